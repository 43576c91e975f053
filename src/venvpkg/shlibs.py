"""Splits sonames into bundled and external; asks dpkg-shlibdeps for the external."""

import hashlib
import json
import re
import shutil
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from debian.debian_support import Version

from venvpkg.cache import make_key
from venvpkg.control import Dependencies, relation_names
from venvpkg.digests import Digests, Memory
from venvpkg.distributions import Distribution
from venvpkg.elf import MAGIC, Elf, NotElfError, read_elf
from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.process import Runner
from venvpkg.system import System
from venvpkg.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A library that the environment itself holds."""

    object: PurePosixPath
    """The file that needs it."""
    soname: str
    path: PurePosixPath
    """The library, relative to the prefix."""
    reachable: bool
    """The object's own RUNPATH leads there; else something else has to load it first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A library that the system provides."""

    object: PurePosixPath
    soname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A library that nothing provides."""

    object: PurePosixPath
    soname: str


Link = Bundled | External | Missing
# Modules of the standard library that most do without, whose libraries are many or unwanted. Debian has
# them in packages of their own.
OPTIONAL = {"_tkinter": "python3-tk", "_gdbm": "python3-gdbm", "_dbm": "python3-gdbm"}
# Libraries in packages that their names do not suggest.
OTHERWISE = {
    **{f"lib{name}-2.0.so.0": "libglib2.0-0" for name in ("glib", "gobject", "gio", "gmodule", "gthread")},
    **{f"libbrotli{name}.so.1": "libbrotli1" for name in ("common", "dec", "enc")},
    **{f"lib{name}3.so": "libnss3" for name in ("smime", "nss", "nssutil", "ssl")},
    "libgdk-3.so.0": "libgtk-3-0",
    "libharfbuzz.so.0": "libharfbuzz0b",
}


def read_elves(tree: Tree) -> dict[PurePosixPath, Elf]:
    """Return the ELF files of a tree; damaged ones are left out."""
    found = {}
    for entry in tree.files():
        # The smallest ELF header is 52 bytes long.
        if entry.size >= 52 and entry.head(4) == MAGIC:
            with entry.opener() as stream:
                try:
                    found[entry.path] = read_elf(stream)
                except NotElfError:
                    continue
    return found


def link_objects(
    elves: Mapping[PurePosixPath, Elf], prefix: PurePosixPath, system: System, mapped: Iterable[str] = ()
) -> tuple[Link, ...]:
    """Decide for every NEEDED of every object where it comes from, as ld.so(8) would.

    Args:
        elves: the ELF files of the environment, by path relative to the prefix.
        prefix: the final prefix, which an absolute RUNPATH may name.
        system: knows the libraries of the machine.
        mapped: files that the smoke run had mapped. They decide where an object's own RUNPATH does not
            lead to a library that both the environment and the system have.
    """
    by_name: dict[str, PurePosixPath] = {}
    for path, elf in elves.items():
        by_name.setdefault(elf.soname, path)
        by_name.setdefault(path.name, path)
    loaded = {PurePosixPath(name).name for name in mapped if PurePosixPath(name).is_relative_to(prefix)}
    links: list[Link] = []
    for path, elf in elves.items():
        for soname in elf.needed:
            near = _reach(path, elf, soname, elves, prefix)
            if near:
                links.append(Bundled(object=path, soname=soname, path=near, reachable=True))
            elif soname in system.sonames and not (soname in by_name and by_name[soname].name in loaded):
                links.append(External(object=path, soname=soname))
            elif soname in by_name:
                links.append(Bundled(object=path, soname=soname, path=by_name[soname], reachable=False))
            elif not is_interpreter_library(soname):
                links.append(Missing(object=path, soname=soname))
    return tuple(links)


def optional_module(path: PurePosixPath) -> str:
    """Return the name that a module of :data:`OPTIONAL` has, if an object is one; else an empty one."""
    name = path.name.split(".")[0]
    return name if path.parent.name == "lib-dynload" and name in OPTIONAL else ""


def is_interpreter_library(soname: str) -> bool:
    """Tell whether it is the dynamic linker itself, which ldconfig does not list under that name."""
    return soname.startswith(("ld-linux", "ld64", "linux-vdso"))


def _reach(
    path: PurePosixPath, elf: Elf, soname: str, elves: Mapping[PurePosixPath, Elf], prefix: PurePosixPath
) -> PurePosixPath | None:
    for folder in elf.runpath:
        place = re.sub(r"\$(ORIGIN\b|\{ORIGIN\})", str(prefix / path.parent), folder)
        parts: list[str] = []
        for part in PurePosixPath(place, soname).parts:
            if part == ".." and parts:
                parts.pop()
            elif part != "..":
                parts.append(part)
        target = PurePosixPath(*parts)
        if target.is_relative_to(prefix) and target.relative_to(prefix) in elves:
            return target.relative_to(prefix)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How dpkg-shlibdeps(1) is asked, which takes some seconds for a hundred libraries."""

    run: Runner
    jobs: int
    """How many may run at once."""
    memory: Memory
    seal: str = ""
    """Names all that an answer follows from but for its question; see :func:`seal_libraries`."""


def seal_libraries(
    plan: Plan, tree: Tree, elves: Iterable[PurePosixPath], system: System, digests: Digests
) -> str:
    """Return a hash of what dpkg-shlibdeps reads: the environment's libraries, and the system's.

    Args:
        plan: where the package is built.
        tree: the environment.
        elves: its ELF files.
        system: packages and libraries of the machine.
        digests: hashes of the files.
    """
    source, root = plan.spec.source, plan.package_root
    told = [source / "debian" / "shlibs.local", *Path("/etc/dpkg").glob("shlibs.*")]
    told += [p for name in ("shlibs", "symbols") for p in (source / "debian").glob(f"*/DEBIAN/{name}")]
    # Private libraries of the same package, outside of the environment.
    told += [p for p in root.rglob("*.so*") if p.is_file() and not p.is_relative_to(plan.stage)]
    return make_key(
        {name: package.version for name, package in system.packages.items()},
        # A package's file may be put in another's place by hand.
        {name: [path, *_signature(path)] for name, path in system.sonames.items()},
        {str(path): _hash(path.read_bytes()) for path in told if path.is_file()},
        {str(path): digests.of(entry).hex() for path in elves if (entry := tree.get(path))},
    )


def _signature(path: str) -> list[int]:
    try:
        status = Path(path).stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def resolve(
    plan: Plan,
    elves: Mapping[PurePosixPath, Elf],
    links: Sequence[Link],
    distributions: Sequence[Distribution],
    scan: Scan,
    suggested: Container[PurePosixPath] = (),
) -> Dependencies:
    """Return the relationships that the external libraries give, from dpkg-shlibdeps.

    Objects of a distribution that the key ``demote`` names give Recommends or Suggests, those in
    ``suggested`` give Suggests.

    Raises:
        VenvpkgError: ``shlibdeps-failed``.
    """
    owners = {path: d.name for d in distributions for path in d.files}
    groups: dict[str, list[PurePosixPath]] = {"depends": [], "recommends": [], "suggests": []}
    unresolved = {link.object for link in links if isinstance(link, Missing)}
    for path in dict.fromkeys(link.object for link in links if isinstance(link, External)):
        if path not in unresolved:
            level = plan.spec.demote.get(owners.get(path, ""), "Depends")
            level = "Suggests" if path in suggested else level
            groups[level.lower()].append(path)
    folders = sorted({link.path.parent for link in links if isinstance(link, Bundled) and not link.reachable})
    found = {
        level: ask_shlibdeps(plan, objects, folders, scan) for level, objects in groups.items() if objects
    }
    depends = found.get("depends", ())
    names = {n for clause in relation_names(", ".join(depends)) for n in clause}
    weaker = {
        level: tuple(c for c in found.get(level, ()) if relation_names(c)[0][0] not in names)
        for level in ("recommends", "suggests")
    }
    return Dependencies(depends=depends, **weaker)


def ask_shlibdeps(
    plan: Plan, objects: Sequence[PurePosixPath], folders: Sequence[PurePosixPath], scan: Scan
) -> tuple[str, ...]:
    """Return what dpkg-shlibdeps(1) says of some objects of the stage, one clause a package.

    Raises:
        VenvpkgError: ``shlibdeps-failed``.
    """
    key = make_key(scan.seal, [str(path) for path in objects], [str(path) for path in folders])
    known = scan.memory.cache.get("shlibs", key) if scan.seal else None
    if known is not None:
        return tuple(json.loads(known))
    # It takes the folder that holds DEBIAN for the package's root, and resolves $ORIGIN against that.
    (plan.package_root / "DEBIAN").mkdir(exist_ok=True)
    words = ["dpkg-shlibdeps", "-O", "--warnings=0", "--ignore-missing-info", f"-S{plan.package_root}"]
    words += [f"-l{plan.stage / folder}" for folder in folders]
    with ThreadPoolExecutor(scan.jobs) as pool:
        answers = pool.map(
            lambda part: _run_shlibdeps(plan, [*words, *part], scan.run),
            [
                [w for path in part for w in ("-e", str(plan.stage / path))]
                for part in _deal(plan, objects, scan.jobs)
            ],
        )
        clauses = merge_clauses(clause for answer in answers for clause in answer)
    if scan.seal:
        scan.memory.cache.put("shlibs", key, json.dumps(clauses).encode())
    return clauses


def _deal(plan: Plan, objects: Sequence[PurePosixPath], count: int) -> list[list[PurePosixPath]]:
    """Deal objects to ``count`` hands of about the same number of bytes."""
    sizes = {path: (plan.stage / path).stat().st_size for path in objects}
    hands: list[list[PurePosixPath]] = [[] for _ in range(min(count, len(objects)))]
    for path in sorted(objects, key=lambda path: (-sizes[path], path)):
        min(hands, key=lambda hand: sum(sizes[p] for p in hand)).append(path)
    return hands


def _run_shlibdeps(plan: Plan, words: Sequence[str], run: Runner) -> list[str]:
    try:
        answer = run(words, cwd=plan.spec.source)
    except VenvpkgError as error:
        raise VenvpkgError(
            code="shlibdeps-failed",
            message="dpkg-shlibdeps could not tell which packages the environment's libraries come from.",
            causes=error.causes,
            hint="It needs objdump: apt-get install binutils\n"
            "And a debian/control that dpkg can read: dpkg-checkbuilddeps",
        ) from error
    for line in answer.stdout.splitlines():
        name, _, value = line.partition("=")
        if name == "shlibs:Depends":
            return [clause.strip() for clause in value.split(",") if clause.strip()]
    return []


def merge_clauses(clauses: Iterable[str]) -> tuple[str, ...]:
    """Return clauses of several answers as one: of ``a (>= 1)`` and ``a (>= 2)`` the second, sorted.

    dpkg-gencontrol(1) does the same with those of a field.
    """
    merged: dict[str, tuple[Version | None, str]] = {}
    for clause in clauses:
        found = re.fullmatch(r"(\S+) \(>= (\S+)\)", clause)
        name, version = (found[1], Version(found[2])) if found else (clause, None)
        known = merged.get(name, (None, clause))[0]
        if name not in merged or (version is not None and (known is None or version > known)):
            merged[name] = (version, clause)
    return tuple(clause for _, (_, clause) in sorted(merged.items()))


def owners_beyond(paths: Iterable[str], covered: str, system: System) -> dict[str, str]:
    """Return packages that own files used at run time and are not ``covered``, each with one such file.

    A library brings in its own: of what one of them depends on, none is named.
    """
    closure = system.closure(covered)
    found: dict[str, str] = {}
    for path in paths:
        owner = system.owner(path)
        if owner and owner not in closure:
            found.setdefault(owner, path)
    for owner in sorted(found):
        others = system.closure(", ".join(name for name in found if name != owner))
        if owner in others:
            del found[owner]
    return found


def name_packages(soname: str, run: Runner) -> list[str]:
    """Return the Debian packages that may hold a soname: what its name suggests, else what apt-file says."""
    # Policy 8.1: libfoo.so.1 is in libfoo1, libfoo2.so.1 in libfoo2-1; a t64 was added in 2024.
    found = re.fullmatch(r"(lib.+?)(?:-([\d.]+))?\.so\.?([\d.]*)", soname)
    if found and shutil.which("apt-cache"):
        stem, inner, outer = found[1].lower().replace("_", "-"), found[2] or "", found[3] or ""
        version = outer or inner
        guesses = [f"{stem}-{version}" if stem[-1].isdigit() and version else f"{stem}{version}"]
        guesses += [f"{stem}-{inner}-{outer}", f"{stem}{inner}-{outer}"] if inner and outer else []
        guesses += [OTHERWISE[soname]] if soname in OTHERWISE else []
        known = [n for g in guesses for n in run(["apt-cache", "pkgnames", g], check=False).stdout.split()]
        likely = [name for guess in guesses for name in (guess, f"{guess}t64") if name in known]
        if likely:
            return likely
    if not shutil.which("apt-file"):
        return []
    pattern = f"/{re.escape(soname)}$"
    holding = run(["apt-file", "search", "--package-only", "--regexp", pattern], check=False).stdout.split()
    # Libraries for cross compilers and for debugging lie in folders of their own.
    return sorted((n for n in holding if not n.endswith(("-cross", "-dbg"))), key=lambda n: (len(n), n))[:5]


def explain_missing(missing: Sequence[Missing], prefix: PurePosixPath, run: Runner) -> VenvpkgError:
    """Return the error for sonames that nothing provides."""
    causes, packages = [], []
    for soname in dict.fromkeys(link.soname for link in missing):
        needers = [str(prefix / link.object) for link in missing if link.soname == soname]
        more = f" and {len(needers) - 1} more" if len(needers) > 1 else ""
        named = name_packages(soname, run)
        packages += named[:1]
        where = f" (in the Debian package {' or '.join(named)})" if named else ""
        causes.append(f"{needers[0]}{more} needs {soname}{where}")
    install = f"apt-get install {' '.join(dict.fromkeys(packages))}\n" if packages else ""
    # Globs of the keys prune and accept, relative to the prefix.
    globs = [f"*/{path.name}" for path in dict.fromkeys(link.object for link in missing)]
    records = ", ".join(f'{{ code = "V007", path = "{glob}", reason = "…" }}' for glob in globs[:3])
    return VenvpkgError(
        code="soname-not-found",
        message="A library is neither in the environment nor on this system.",
        causes=causes,
        hint=f"{install}Add the package that has it to build-depends and to Build-Depends.\n"
        "What is never loaded can go:\n"
        f"prune = {json.dumps(globs[:20])}\n"
        f"or stay as it is: accept = [{records}{', …' if len(globs) > 3 else ''}]",
    )


def host_machine(interpreter: Path) -> tuple[str, int] | None:
    """Return machine and word size of the interpreter, which objects must share to be loaded."""
    try:
        with interpreter.open("rb") as stream:
            elf = read_elf(stream)
    except (OSError, NotElfError):
        return None
    return elf.machine, elf.bits
