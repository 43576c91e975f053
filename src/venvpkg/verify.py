"""One function per check; a numbered check is a pure function from evidence to findings."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from debian.deb822 import Deb822

from venvpkg.control import relation_names
from venvpkg.distributions import Distribution, locate, read_distributions, read_record, text_of
from venvpkg.elf import MAGIC, Elf
from venvpkg.relocate import GOES_ON, HASHES, LONGEST_SHEBANG, record_hash
from venvpkg.report import Finding, Report
from venvpkg.shlibs import External, Link, Missing, link_objects, read_elves
from venvpkg.system import System
from venvpkg.tree import Entry, Tree

PROGRAM_FOLDERS = ("bin", "sbin", "libexec", "games")
PYTHON_NAME = re.compile(r"python(3\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the checks look at."""

    tree: Tree
    """The package as it will ship, with DEBIAN/."""
    inside: PurePosixPath
    """The environment's prefix without the leading slash."""
    build_paths: tuple[bytes, ...]
    """Folders of the build machine that nothing may name."""
    relations: str = ""
    """Pre-Depends and Depends of the final control file."""
    weak_relations: str = ""
    """Recommends and Suggests."""
    elves: Mapping[PurePosixPath, Elf] = field(default_factory=dict)
    """The environment's ELF files, by path relative to the prefix."""
    links: tuple[Link, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    """With paths relative to the prefix."""
    system: System = field(default_factory=System)

    @property
    def covered(self) -> frozenset[str]:
        """Return the packages that Depends brings in."""
        return self.system.closure(self.relations) | self.system.essential

    def naming_build_path(self) -> Iterator[tuple[Entry, bytes]]:
        """Yield the files outside DEBIAN/ that name a folder of the build machine, with their bytes."""
        patterns = [(raw, re.compile(re.escape(raw) + GOES_ON)) for raw in self.build_paths]
        for entry in self.tree.files():
            if entry.path.parts[0] == "DEBIAN":
                continue
            data = entry.load()
            if any(raw in data and pattern.search(data) for raw, pattern in patterns):
                yield entry, data


def check_v001(evidence: Evidence, named: Sequence[tuple[Entry, bytes]]) -> Iterator[Finding]:
    """Find the build path in text files."""
    for entry, data in named:
        if data[:4] != MAGIC and entry.path.suffix != ".pyc":
            where = _excerpt(data, evidence.build_paths)
            yield Finding(
                code="V001",
                path=str(entry.path),
                message=f"names the build path: {where}",
                hint="The path does not exist on a server. Make the file's path relative, or prune the file.",
            )


def check_v002(evidence: Evidence, named: Sequence[tuple[Entry, bytes]]) -> Iterator[Finding]:
    """Find the build path in bytecode."""
    for entry, data in named:
        if entry.path.suffix == ".pyc" and data[:4] != MAGIC:
            yield Finding(
                code="V002",
                path=str(entry.path),
                message=f"holds the build path: {_excerpt(data, evidence.build_paths)}",
                hint="Ship the module's source, from which venvpkg compiles, or leave the .pyc out.",
            )


def check_v003(evidence: Evidence, named: Sequence[tuple[Entry, bytes]]) -> Iterator[Finding]:
    """Find the build path in ELF files: RPATH, RUNPATH, interpreter or any other string."""
    for entry, data in named:
        if data[:4] == MAGIC:
            yield Finding(
                code="V003",
                path=str(entry.path),
                message=f"holds the build path: {_excerpt(data, evidence.build_paths)}",
                hint="Build it with -ffile-prefix-map and without an absolute -rpath.",
            )


def check_v004(evidence: Evidence) -> Iterator[Finding]:
    """Find symbolic links that dangle, or lead to what no dependency owns."""
    for entry in evidence.tree:
        if entry.kind != "symlink" or entry.path.parts[0] == "DEBIAN":
            continue
        target = PurePosixPath("/", evidence.tree.resolve(entry.path))
        if target.relative_to("/") in evidence.tree or target == PurePosixPath("/"):
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
    for entry in evidence.tree.files():
        if not entry.mode & 0o111 or entry.path.parent.name not in PROGRAM_FOLDERS:
            continue
        head = entry.head(4096)
        if not head.startswith(b"#!"):
            continue
        line = head.split(b"\n", 1)[0].decode("utf-8", "replace")
        for program in _interpreters(line, head):
            path = _program_path(program)
            owner = evidence.system.owner(str(path))
            if path.relative_to("/") not in evidence.tree and owner not in evidence.covered:
                yield Finding(
                    code="V005",
                    path=str(entry.path),
                    message=f"starts {program}, which is in neither the package nor its dependencies",
                    hint=f"Depend on {owner}." if owner else "Correct the first line, or prune the file.",
                )
        if len(line.encode()) > LONGEST_SHEBANG:
            yield Finding(
                code="V005",
                path=str(entry.path),
                message=f"its first line has {len(line.encode())} bytes, over the limit of {LONGEST_SHEBANG}",
                hint="Choose a shorter install-root or env-name.",
            )


def check_v006(evidence: Evidence) -> Iterator[Finding]:
    """Find files that are not what RECORD says."""
    for distribution in evidence.distributions:
        record = evidence.inside / distribution.folder / "RECORD"
        for name, digest, size in read_record(text_of(evidence.tree, record)):
            path = evidence.inside / locate(distribution.folder, name)
            wrong = _differs(evidence.tree.get(path), digest, size)
            if wrong:
                yield Finding(
                    code="V006",
                    path=str(path),
                    message=f"{wrong} (RECORD of {distribution.name})",
                    hint="Something changed the file after dh_venvpkg_settle; change it before that.",
                )


def check_v007(evidence: Evidence) -> Iterator[Finding]:
    """Find libraries that nothing provides."""
    for link in evidence.links:
        if isinstance(link, Missing):
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
        if isinstance(link, External):
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
    if link is None or link.kind != "symlink" or not link.target.startswith("/"):
        return
    found = PYTHON_NAME.fullmatch(PurePosixPath(link.target).name)
    names = {name for clause in relation_names(evidence.relations) for name in clause}
    if found and f"python{found[1]}" not in names:
        yield Finding(
            code="V009",
            path=str(link.path),
            message=f"links to {link.target}, and Depends does not name python{found[1]}",
            hint="Put ${misc:Depends} into Depends in debian/control.",
        )


def gather(
    tree: Tree, inside: PurePosixPath, build_paths: tuple[bytes, ...], ask: Callable[[Iterable[str]], System]
) -> Evidence:
    """Collect the evidence about one package.

    Args:
        tree: the package, with DEBIAN/control.
        inside: the environment's prefix without the leading slash.
        build_paths: folders of the build machine.
        ask: returns the system, with the owners of the paths that it is given.
    """
    environment = tree.below(inside)
    control: Mapping[str, str] = next(
        iter(Deb822.iter_paragraphs(text_of(tree, PurePosixPath("DEBIAN/control")), use_apt_pkg=False)), {}
    )
    elves = read_elves(environment)
    system = ask([str(p) for p in (*_link_targets(tree), *_programs(tree))])
    return Evidence(
        tree=tree,
        inside=inside,
        build_paths=build_paths,
        relations=_join(control, "Pre-Depends", "Depends"),
        weak_relations=_join(control, "Recommends", "Suggests"),
        elves=elves,
        links=link_objects(elves, PurePosixPath("/", inside), system),
        distributions=read_distributions(environment),
        system=system,
    )


def _join(control: Mapping[str, str], *names: str) -> str:
    return ", ".join(control[name] for name in names if control.get(name))


def _link_targets(tree: Tree) -> Iterator[PurePosixPath]:
    for entry in tree:
        if entry.kind == "symlink":
            yield PurePosixPath("/", tree.resolve(entry.path))


def _programs(tree: Tree) -> Iterator[PurePosixPath]:
    for entry in tree.files():
        if entry.mode & 0o111 and entry.path.parent.name in PROGRAM_FOLDERS:
            head = entry.head(4096)
            if head.startswith(b"#!"):
                for program in _interpreters(head.split(b"\n", 1)[0].decode("utf-8", "replace"), head):
                    yield _program_path(program)


def _program_path(program: str) -> PurePosixPath:
    return PurePosixPath(f"/{program.lstrip('/')}" if program.startswith("/") else f"/usr/bin/{program}")


SCANNING: tuple[Callable[[Evidence, Sequence[tuple[Entry, bytes]]], Iterator[Finding]], ...] = (
    check_v001,
    check_v002,
    check_v003,
)
CHECKS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    check_v004,
    check_v005,
    check_v006,
    check_v007,
    check_v008,
    check_v009,
)


def verify(evidence: Evidence) -> Report:
    """Run every check and return what they found, in the order of their numbers."""
    named = list(evidence.naming_build_path())
    findings = [f for check in SCANNING for f in check(evidence, named)]
    findings += [f for check in CHECKS for f in check(evidence)]
    return Report(findings=tuple(sorted(findings)), checked=sum(1 for _ in evidence.tree.files()))


def _excerpt(data: bytes, paths: Sequence[bytes]) -> str:
    start = min(at for at in (data.find(path) for path in paths) if at >= 0)
    found = re.match(rb"[^\s\0\"'<>]{1,120}", data[start:])
    return found[0].decode("utf-8", "replace") if found else ""


def _interpreters(line: str, head: bytes) -> list[str]:
    words = line[2:].split()
    if not words:
        return []
    if PurePosixPath(words[0]).name == "env":
        rest = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
        return [words[0], *rest[:1]]
    wrapped = re.match(rb"#![^\n]*\n'''exec' [\"']?([^\s\"']+)", head)
    return [words[0], wrapped[1].decode("utf-8", "replace")] if wrapped else [words[0]]


def _differs(entry: Entry | None, digest: str, size: str) -> str:
    if entry is None:
        return "is not there"
    if not digest or entry.kind != "file":
        return ""
    if size and size != str(entry.size):
        return f"has {entry.size} bytes instead of {size}"
    algorithm = digest.partition("=")[0]
    if algorithm not in HASHES:
        return f"has a hash of an unknown kind, {algorithm}"
    return "" if record_hash(entry.load(), algorithm) == digest else "has another hash"
