"""One function per check; a numbered check is a pure function from evidence to findings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from debian.deb822 import PkgRelation
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from venvpkg.control import relation_names
from venvpkg.distributions import locate, read_record, server_markers, text_of
from venvpkg.evidence import Evidence, interpreters, program_path, read_manifest
from venvpkg.relocate import HASHES, LONGEST_SHEBANG
from venvpkg.report import Finding, Report
from venvpkg.shlibs import External, Missing, optional_module
from venvpkg.smoke import smoke_findings
from venvpkg.stdlib import SPLIT, split_dependencies
from venvpkg.tree import Entry, Tree

# What the ELF header says on Debian's architectures (Policy §11.1).
MACHINES = {
    "amd64": ("EM_X86_64", 64),
    "arm64": ("EM_AARCH64", 64),
    "armhf": ("EM_ARM", 32),
    "i386": ("EM_386", 32),
    "ppc64el": ("EM_PPC64", 64),
    "riscv64": ("EM_RISCV", 64),
    "s390x": ("EM_S390", 64),
}


def check_v001(evidence: Evidence) -> Iterator[Finding]:
    """Find the build path in text files."""
    for mention in evidence.mentions:
        if mention.kind == "text":
            yield Finding(
                code="V001",
                path=str(mention.path),
                message=f"names the build path: {mention.excerpt}",
                hint="The path does not exist on a server. Make the file's path relative, or prune the file.",
            )


def check_v002(evidence: Evidence) -> Iterator[Finding]:
    """Find the build path in bytecode."""
    for mention in evidence.mentions:
        if mention.kind == "bytecode":
            yield Finding(
                code="V002",
                path=str(mention.path),
                message=f"holds the build path: {mention.excerpt}",
                hint="Ship the module's source, from which venvpkg compiles, or leave the .pyc out.",
            )


def check_v003(evidence: Evidence) -> Iterator[Finding]:
    """Find the build path in ELF files: RPATH, RUNPATH, interpreter or any other string."""
    for mention in evidence.mentions:
        if mention.kind == "elf":
            yield Finding(
                code="V003",
                path=str(mention.path),
                message=f"holds the build path: {mention.excerpt}",
                hint="Build it with -ffile-prefix-map and without an absolute -rpath.",
            )


def check_v004(evidence: Evidence) -> Iterator[Finding]:
    """Find symbolic links that dangle, or lead to what no dependency owns."""
    for entry in evidence.tree:
        if entry.kind != "symlink" or entry.path.parts[0] == "DEBIAN":
            continue
        target = PurePosixPath("/", evidence.tree.resolve(entry.path))
        found = evidence.tree.get(target.relative_to("/"))
        # A link in a circle leads to itself.
        if (found and found.kind != "symlink") or target == PurePosixPath("/"):
            continue
        owner = evidence.system.owner(str(target))
        if owner is None or owner not in evidence.covered:
            why = f"{owner} owns it, and Depends does not bring {owner} in" if owner else "no package owns it"
            yield Finding(
                code="V004",
                path=str(entry.path),
                message=f"points to {entry.target}: {why}",
                hint="Ship the target, depend on the package that owns it, or leave the link out.",
            )


def check_v005(evidence: Evidence) -> Iterator[Finding]:
    """Find programs whose interpreter will not be there, or whose first line is over the kernel's limit."""
    for place, head in evidence.heads.items():
        for program in interpreters(head):
            path = program_path(program)
            owner = evidence.system.owner(str(path))
            if path.relative_to("/") not in evidence.tree and owner not in evidence.covered:
                yield Finding(
                    code="V005",
                    path=str(place),
                    message=f"starts {program}, which is in neither the package nor its dependencies",
                    hint=f"Depend on {owner}." if owner else "Correct the first line, or prune the file.",
                )
        line = head.split(b"\n", 1)[0]
        if head.startswith(b"#!") and len(line) > LONGEST_SHEBANG:
            yield Finding(
                code="V005",
                path=str(place),
                message=f"its first line has {len(line)} bytes, over the limit of {LONGEST_SHEBANG}",
                hint="Choose a shorter install-root or env-name.",
            )


def check_v006(evidence: Evidence) -> Iterator[Finding]:
    """Find files that are not what RECORD says."""
    # Of two distributions that have one path, the RECORD of one is wrong by nature; check V015 tells that.
    clashing = {evidence.inside / clash.path for clash in evidence.clashes}
    for distribution in evidence.distributions:
        record = evidence.inside / distribution.folder / "RECORD"
        for name, digest, size in read_record(text_of(evidence.tree, record)):
            path = evidence.inside / locate(distribution.folder, name)
            if path in clashing:
                continue
            wrong = _differs(evidence.tree.get(path), evidence.digests.get(path, ""), digest, size)
            if wrong:
                yield Finding(
                    code="V006",
                    path=str(path),
                    message=f"{wrong} (RECORD of {distribution.name})",
                    hint="Changed after it was installed; in a build, do that before dh_venvpkg_settle.",
                )


def check_v007(evidence: Evidence) -> Iterator[Finding]:
    """Find libraries that nothing provides."""
    for link in evidence.links:
        if isinstance(link, Missing) and not optional_module(link.object):
            yield Finding(
                code="V007",
                path=str(evidence.inside / link.object),
                message=f"needs {link.soname}, which nothing provides",
                hint="Add the package that has it to build-depends.",
            )


def check_v008(evidence: Evidence) -> Iterator[Finding]:
    """Find libraries that the system provides and Depends does not cover."""
    covered = evidence.covered | evidence.system.closure(evidence.weak_relations)
    for link in evidence.links:
        if isinstance(link, External) and not optional_module(link.object):
            owner = evidence.system.provider(link.soname)
            if owner not in covered:
                yield Finding(
                    code="V008",
                    path=str(evidence.inside / link.object),
                    message=f"needs {link.soname}, and Depends does not bring in {owner or 'what has it'}",
                    hint="Put ${shlibs:Depends} into Depends in debian/control.",
                )


def check_v009(evidence: Evidence) -> Iterator[Finding]:
    """Find an environment that Depends does not hold to the interpreter's minor version."""
    link = evidence.tree.get(evidence.inside / "bin" / "python")
    target = evidence.tree.resolve(evidence.inside / "bin" / "python")
    minor = evidence.minor
    if link is None or target in evidence.tree or not minor or not evidence.control:
        return
    names = {name for clause in relation_names(evidence.relations) for name in clause}
    if f"python{minor}" not in names:
        yield Finding(
            code="V009",
            path=str(link.path),
            message=f"leads to /{target}, and Depends does not name python{minor}",
            hint="Put ${misc:Depends} into Depends in debian/control.",
        )


def _glob(path: PurePosixPath) -> str:
    """Return a glob of the key prune that has a file of the environment."""
    parts = path.parts
    return "/".join(
        ["*", *(parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else parts)]
    )


def check_v010(evidence: Evidence) -> Iterator[Finding]:
    """Find ELF files for another architecture, or any in a package for all of them."""
    architecture = evidence.control.get("Architecture", "")
    for path, elf in evidence.elves.items():
        if architecture == "all":
            wrong = "is machine code, in a package that is Architecture: all"
            hint = "Use Architecture: any in debian/control."
        elif architecture in MACHINES and (elf.machine, elf.bits) != MACHINES[architecture]:
            machine = f"{elf.machine.removeprefix('EM_')}, {elf.bits} bits"
            wrong = f"is for {machine}, in a package for {architecture}"
            # A glob of the key prune is relative to the prefix.
            hint = f'Build on each architecture; if it is never used here: prune = ["{_glob(path)}"]'
        else:
            continue
        yield Finding(
            code="V010",
            path=str(evidence.inside / path),
            message=wrong,
            hint=hint,
        )


def check_v011(evidence: Evidence) -> Iterator[Finding]:
    """Find imports and commands that failed, where the environment was run."""
    if evidence.smoke:
        yield from smoke_findings(evidence.smoke)


def check_v012(evidence: Evidence) -> Iterator[Finding]:
    """Find secrets: credentials in URLs, private keys, files that hold credentials."""
    brought = {path: d.name for d in evidence.distributions for path in d.files}
    for secret in evidence.secrets:
        hint = "Take it out, and change it where it was published; let the server read it from elsewhere."
        inside = secret.path.is_relative_to(evidence.inside) and secret.path.relative_to(evidence.inside)
        if inside and brought.get(inside, evidence.project) != evidence.project:
            hint = f'{brought[inside]} ships it to everyone. Leave it out: prune = ["{_glob(inside)}"]'
        yield Finding(code="V012", path=str(secret.path), message=secret.what, hint=hint)


def check_v013(evidence: Evidence) -> Iterator[Finding]:
    """Find editable installs, which point at a folder of the build machine (PEP 660)."""
    for entry in evidence.tree.files():
        if not entry.path.is_relative_to(evidence.inside):
            continue
        name = entry.path.name
        editable = name.startswith("__editable__") or name.endswith(".egg-link")
        if name == "direct_url.json":
            editable = '"editable":true' in text_of(evidence.tree, entry.path).replace(" ", "")
        if editable:
            yield Finding(
                code="V013",
                path=str(entry.path),
                message="belongs to an editable install",
                hint="Install the project itself, not a link to its folder.",
            )


def check_v014(evidence: Evidence) -> Iterator[Finding]:
    """Find requirements of a distribution that the environment does not meet."""
    versions = {d.name: d.version for d in evidence.distributions}
    markers = server_markers(evidence.minor, evidence.control.get("Architecture", ""))
    for distribution in evidence.distributions:
        for text in distribution.requires:
            wrong = _unmet(text, versions, markers)
            if wrong:
                yield Finding(
                    code="V014",
                    path=str(evidence.inside / distribution.folder),
                    message=f"{distribution.name} requires {text}, and {wrong}",
                    hint="Add it to the requirements, or correct the version that is pinned.",
                )


def check_v015(evidence: Evidence) -> Iterator[Finding]:
    """Find paths at which two distributions ship different bytes."""
    for clash in evidence.clashes:
        yield Finding(
            code="V015",
            path=str(evidence.inside / clash.path),
            message=f"is in {' and in '.join(clash.names)}, with different bytes in each",
            hint="Only one of them is there now. Install one of the distributions, or prune the file.",
        )


def _unmet(text: str, versions: Mapping[str, str], markers: Mapping[str, str]) -> str:
    try:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate(dict(markers)):
            return ""
        name = canonicalize_name(requirement.name)
        if name not in versions:
            return f"{name} is not there"
        if not requirement.specifier.contains(versions[name], prereleases=True):
            return f"{name} is {versions[name]}"
    except (ValueError, KeyError, RecursionError):
        return "that is no requirement that anything understands"
    return ""


def check_v016(evidence: Evidence) -> Iterator[Finding]:
    """Find modes and kinds of files that no environment needs: set-id bits, world-writable files, devices."""
    for entry in evidence.tree:
        if entry.path.parts[0] == "DEBIAN":
            continue
        wrong = ""
        if entry.kind == "special":
            wrong = "is a device, a socket or a pipe"
        elif entry.kind != "symlink" and entry.mode & 0o6000:
            wrong = f"is set-id (mode {entry.mode:04o})"
        elif entry.kind != "symlink" and entry.mode & 0o002 and not entry.mode & 0o1000:
            wrong = f"may be written by anyone (mode {entry.mode:04o})"
        if wrong:
            yield Finding(
                code="V016",
                path=str(entry.path),
                message=wrong,
                hint="Correct the mode in the project, or prune the file.",
            )


def check_v017(evidence: Evidence) -> Iterator[Finding]:
    """Find imports of what Debian splits off the standard library, without a Depends on its version."""
    python = evidence.tree.resolve(evidence.inside / "bin" / "python")
    minor = evidence.minor
    if python in evidence.tree or not minor or not evidence.control:
        return
    own = frozenset(path for d in evidence.distributions if d.name == evidence.project for path in d.files)
    loaded = frozenset(
        PurePosixPath(path).relative_to(f"/{evidence.inside}")
        for path in (evidence.smoke.modules.values() if evidence.smoke else ())
        if path.startswith(f"/{evidence.inside}/")
    )
    held = upper_bounds(evidence.relations)
    for found in evidence.imports:
        needs, gone = split_dependencies([found], own, loaded, evidence.distributions, minor)
        package = needs.depends[0].split()[0] if needs.depends else ""
        if gone:
            message = f"imports {found.module}, which Python {minor} has not"
        elif package and package not in held:
            message = f"imports {found.module}, and Depends does not hold {package} to Python {minor}"
        else:
            continue
        yield Finding(
            code="V017",
            path=str(evidence.inside / found.path),
            message=message,
            hint=f"Depends: {', '.join(needs.depends)}" if package else "Change the import.",
        )


def upper_bounds(relations: str) -> frozenset[str]:
    """Return the packages that a relationship field does not let grow newer without end."""
    clauses = PkgRelation.parse_relations(relations) if relations.strip(", ") else []
    found = [(r["name"], r.get("version") or ("", "")) for clause in clauses for r in clause]
    return frozenset(name for name, (operator, _) in found if operator in ("<<", "<=", "="))


def check_v018(evidence: Evidence) -> Iterator[Finding]:
    """Find what the environment had mapped of the system when it was run, and Depends does not bring in."""
    # What no package owns has no Depends to be held to.
    if not evidence.smoke or not evidence.control:
        return
    # What Recommends or Suggests has may be there or not; split-off modules are check V017's.
    split = ", ".join({SPLIT[found.module][0] for found in evidence.imports})
    covered = evidence.covered | evidence.system.closure(evidence.weak_relations)
    covered |= evidence.system.closure(split)
    used = [(path, "mapped") for path in evidence.smoke.mapped]
    used += [(path, "imported") for path in evidence.smoke.modules.values()]
    for path, how in used:
        inside = PurePosixPath(path).relative_to("/") if path.startswith("/") else PurePosixPath(path)
        owner = evidence.system.owner(path)
        if inside in evidence.tree or inside.is_relative_to(evidence.inside) or owner in covered:
            continue
        why = f"{owner} owns it, and Depends does not bring {owner} in" if owner else "no package owns it"
        yield Finding(
            code="V018",
            path=path.lstrip("/"),
            message=f"was {how} when the environment ran: {why}",
            hint=f"Depend on {owner}." if owner else "Install it from a Debian package, and depend on that.",
        )


def check_v019(evidence: Evidence) -> Iterator[Finding]:
    """Find .pth files that run code whenever Python starts."""
    for path, line in evidence.startup.items():
        yield Finding(
            code="V019",
            path=str(path),
            message=f"runs code whenever Python starts: {line[:80]}",
            hint="Look at what it does: it runs in every program of the environment, asked for or not.",
        )


def check_v020(evidence: Evidence) -> Iterator[Finding]:
    """Find what is not as the package shipped it: changed, gone, or installed by hand."""
    known = {finding.path for finding in check_v006(evidence)}
    packed = PurePosixPath("DEBIAN/control") in evidence.tree
    again = f"apt-get install --reinstall {evidence.control.get('Package', '')}"
    again = "Changed after dh_md5sums; do that before it." if packed else again
    for path, digest in evidence.shipped.items():
        entry, digests = evidence.tree.get(path), evidence.digests.get(path, "")
        wrong = "is no file any more" if digest and entry and entry.kind != "file" else ""
        wrong = wrong or _differs(entry, digests, digest, "")
        if wrong and str(path) not in known:
            yield Finding(code="V020", path=str(path), message=f"{wrong} (dpkg's list)", hint=again)
    # A .deb has no list of its files but itself.
    if packed or not evidence.shipped:
        return
    told = read_manifest(evidence.tree, evidence.inside).get("distributions")
    listed = [d for d in told if isinstance(d, dict)] if isinstance(told, list) else []
    versions = {str(d.get("name")): d.get("version") for d in listed}
    changed = [d for d in evidence.distributions if versions and versions.get(d.name) != d.version]
    brought = {evidence.inside / path: f"{d.name} {d.version}" for d in changed for path in d.files}
    for entry in evidence.tree:
        if entry.kind == "folder" or entry.path in evidence.shipped or _is_cached(entry.path, evidence.tree):
            continue
        of = f" ({brought[entry.path]}, which the manifest has not)" if entry.path in brought else ""
        yield Finding(
            code="V020",
            path=str(entry.path),
            message=f"is not from the package{of}",
            hint="Remove it, or build a new version of the package with it.",
        )


def _is_cached(path: PurePosixPath, tree: Tree) -> bool:
    """Tell whether a file is the bytecode of a module that is there, which Python writes (PEP 3147)."""
    source = path.parent.parent / f"{path.name.split('.')[0]}.py"
    return path.suffix == ".pyc" and path.parent.name == "__pycache__" and source in tree


Check = Callable[[Evidence], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    check_v001,
    check_v002,
    check_v003,
    check_v004,
    check_v005,
    check_v006,
    check_v007,
    check_v008,
    check_v009,
    check_v010,
    check_v011,
    check_v012,
    check_v013,
    check_v014,
    check_v015,
    check_v016,
    check_v017,
    check_v018,
    check_v019,
    check_v020,
)


# What a project deletes between the steps of its own build is taken as it is, distributions among it, and so
# is code that runs at start-up, which well-known distributions have. Who looks at a finished package is told.
# dpkg's lists are not written yet.
GATE = tuple(check for check in CHECKS if check not in (check_v014, check_v019, check_v020))


def verify(evidence: Evidence, checks: Sequence[Check] = CHECKS) -> Report:
    """Run checks and return what they found, in the order of their numbers."""
    findings = [f for check in checks for f in check(evidence)]
    return Report(findings=tuple(sorted(findings)), checked=sum(1 for _ in evidence.tree.files()))


def _differs(entry: Entry | None, digests: str, digest: str, size: str) -> str:
    if entry is None:
        return "is not there"
    if not digest or entry.kind != "file":
        return ""
    if size and size != str(entry.size):
        return f"has {entry.size} bytes instead of {size}"
    algorithm = digest.partition("=")[0]
    if algorithm not in HASHES:
        return f"has a hash of an unknown kind, {algorithm}"
    return "" if digest in digests.split() else "has another hash"
