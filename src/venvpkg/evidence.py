"""Collects, in one walk over a package, everything that the checks look at."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Self

from debian.deb822 import Deb822

from venvpkg.contents import NOTHING, Search, read_contents, read_environment
from venvpkg.digests import Memory
from venvpkg.distributions import Distribution, locate, read_distributions, read_record, text_of
from venvpkg.elf import Elf
from venvpkg.relocate import HASHES, record_hash, write_hash
from venvpkg.shlibs import Link, link_objects
from venvpkg.smoke import Smoke
from venvpkg.stdlib import Import
from venvpkg.system import System
from venvpkg.tree import WINDOW, Entry, Tree

PROGRAM_FOLDERS = ("bin", "sbin", "libexec", "games")
HEAD = 4096
MODULE_PATH = re.compile(rb"(/[^\0\n\"']{1,400}?)/lib/python3\.\d+/site-packages/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A file that names a folder of the build machine."""

    path: PurePosixPath
    kind: str
    """``text``, ``bytecode`` or ``elf``."""
    excerpt: str
    """The path that stands there, its beginning at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A file that gives away what must stay secret."""

    path: PurePosixPath
    what: str
    """What it holds, without repeating it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Clash:
    """A path at which distributions ship different bytes; the last one that was installed won."""

    path: str
    """Relative to the prefix."""
    names: tuple[str, ...]
    """The distributions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the checks look at; of files' contents only what a check needs."""

    tree: Tree
    """The package as it will ship, with DEBIAN/."""
    inside: PurePosixPath
    """The environment's prefix without the leading slash."""
    control: Mapping[str, str] = field(default_factory=dict)
    """The fields of DEBIAN/control; none where only an environment is at hand."""
    mentions: tuple[Mention, ...] = ()
    heads: Mapping[PurePosixPath, bytes] = field(default_factory=dict)
    """The first 4096 bytes of programs."""
    digests: Mapping[PurePosixPath, str] = field(default_factory=dict)
    """Hashes of files that a RECORD has, as RECORD writes them, with blanks between several kinds."""
    elves: Mapping[PurePosixPath, Elf] = field(default_factory=dict)
    """The environment's ELF files, by path relative to the prefix."""
    links: tuple[Link, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    """With paths relative to the prefix."""
    system: System = field(default_factory=System)
    imports: tuple[Import, ...] = ()
    """Of parts of the standard library that Debian packages apart, by path relative to the prefix."""
    secrets: tuple[Secret, ...] = ()
    clashes: tuple[Clash, ...] = ()
    startup: Mapping[PurePosixPath, str] = field(default_factory=dict)
    """The .pth files that run code when Python starts (see site in the library), each with its lines."""
    project: str = ""
    """Normalized name of the distribution that the environment was made for, or empty."""
    smoke: Smoke | None = None
    """What came of running the environment, where it was run."""
    shipped: Mapping[PurePosixPath, str] = field(default_factory=dict)
    """What the package shipped, where that is known, with MD5 hashes as RECORD writes them, or nothing."""

    def with_run(
        self, smoke: Smoke | None, find_owners: Callable[[Iterable[str]], Mapping[str, str]]
    ) -> Self:
        """Return the evidence with what came of running the environment, where it was run.

        ``find_owners`` returns the packages that own the paths that it is given.
        """
        used = (*smoke.mapped, *smoke.modules.values()) if smoke else ()
        owners = {**self.system.owners, **find_owners(used)}
        return replace(self, smoke=smoke, system=replace(self.system, owners=owners))

    @property
    def minor(self) -> str:
        """Return the minor version of Python that the environment was made for, ``3.11``, or nothing."""
        return minor_of(self.tree, self.inside)

    @property
    def relations(self) -> str:
        """Return Pre-Depends and Depends."""
        return ", ".join(self.control[name] for name in ("Pre-Depends", "Depends") if self.control.get(name))

    @property
    def weak_relations(self) -> str:
        """Return Recommends and Suggests."""
        return ", ".join(self.control[name] for name in ("Recommends", "Suggests") if self.control.get(name))

    @property
    def covered(self) -> frozenset[str]:
        """Return the packages that Depends brings in; what no package owns has no Depends to be held to."""
        if not self.control:
            return frozenset(self.system.packages)
        return self.system.closure(self.relations) | self.system.essential


def gather(
    tree: Tree,
    inside: PurePosixPath,
    search: Search,
    ask: Callable[[Iterable[str]], System],
    control: Mapping[str, str] | None = None,
    *,
    clashes: Iterable[Clash] = (),
    shipped: Mapping[PurePosixPath, str] | None = None,
    memory: Memory | None = None,
) -> Evidence:
    """Collect the evidence about one environment of a package.

    Args:
        tree: the package, with DEBIAN/control.
        inside: the environment's prefix without the leading slash.
        search: what no file may hold.
        ask: returns the system, with the owners of the paths that it is given.
        control: the package's fields, where the tree has no DEBIAN/control.
        clashes: those that RECORD tells no more.
        shipped: what dpkg says that the package shipped, with MD5 hashes as RECORD writes them.
        memory: what is known of the files already; only of a tree that is on the disk.
    """
    if control is None:
        text = text_of(tree, PurePosixPath("DEBIAN/control"))
        control = next(iter(Deb822.iter_paragraphs(text, use_apt_pkg=False)), {})
    environment = tree.below(inside)
    distributions = read_distributions(environment)
    found_clashes = find_clashes(environment, distributions)
    project = find_project(tree, inside, distributions)
    told = read_environment(environment, distributions, project, search, memory) if memory else None
    # As large as the tree itself.
    del environment
    wanted = recorded_algorithms(tree, inside, distributions)
    for path in (path for path, digest in (shipped or {}).items() if digest):
        _want(wanted, tree.own(path), "md5")
    twins = [(e.path, PurePosixPath(e.target)) for e in tree.files() if e.target]
    for path, original in twins:
        _want(wanted, original, *wanted.get(path, ()))
    # A distribution's files are other people's; the project's are not, nor what no distribution has.
    others = {tree.own(inside / path) for d in distributions if d.name != project for path in d.files}
    mentions: list[Mention] = []
    heads, digests = dict[PurePosixPath, bytes](), dict[PurePosixPath, str]()
    elves: dict[PurePosixPath, Elf] = {}
    imports: list[Import] = []
    leaks: list[Secret] = []
    startup: dict[PurePosixPath, str] = {}
    for entry in tree.walk():
        if entry.kind != "file" or entry.target:
            continue
        path = entry.path
        within = path.parts[: len(inside.parts)] == inside.parts
        place = path.relative_to(inside) if within else path
        # A tree that is read from a stream has the bytes of most files once.
        data = None if entry.size > WINDOW or (told is not None and within) else entry.load()
        if told is not None and within:
            found = told.get(place, NOTHING)
        else:
            found = read_contents(entry, place, data, search, own=path not in others)
        leaks += [Secret(path=path, what=what) for what in found.secrets]
        if path.parts[0] == "DEBIAN":
            continue
        if found.mention:
            kind, excerpt = found.mention
            mentions.append(Mention(path=path, kind=kind, excerpt=excerpt))
        if within:
            imports += [Import(path=place, module=m, certain=certain) for m, certain in found.imports]
            startup |= {path: "; ".join(found.startup)} if found.startup else {}
            elves |= {place: found.elf} if found.elf else {}
        if is_program(entry):
            heads[path] = entry.head(HEAD) if data is None else data[:HEAD]
        if path in wanted:
            digests[path] = " ".join(_hash(entry, data, name, memory) for name in wanted[path])
    digests |= {path: digests.get(original, "") for path, original in twins}
    elves = dict(sorted(elves.items()))
    targets = [PurePosixPath("/", tree.resolve(e.path)) for e in tree if e.kind == "symlink"]
    programs = [program_path(name) for head in heads.values() for name in interpreters(head)]
    system = ask([str(path) for path in (*targets, *programs)])
    return Evidence(
        tree=tree,
        inside=inside,
        control=control,
        mentions=tuple(sorted(mentions, key=lambda m: m.path)),
        heads=dict(sorted(heads.items())),
        digests=digests,
        elves=elves,
        links=link_objects(elves, PurePosixPath("/", inside), system),
        distributions=distributions,
        system=system,
        imports=tuple(sorted(imports, key=lambda i: (i.path, i.module))),
        secrets=tuple(sorted(leaks, key=lambda leak: leak.path)),
        clashes=tuple(sorted({*clashes, *found_clashes})),
        startup=startup,
        project=project,
        shipped=shipped or {},
    )


def _hash(entry: Entry, data: bytes | None, algorithm: str, memory: Memory | None) -> str:
    """Return a file's hash as RECORD writes it."""
    if data is not None:
        return record_hash(data, algorithm)
    if memory and algorithm == "sha256":
        return write_hash(algorithm, memory.digests.of(entry))
    return write_hash(algorithm, entry.digest(algorithm))


def find_project(tree: Tree, inside: PurePosixPath, distributions: Iterable[Distribution]) -> str:
    """Return the name of the distribution that an environment was made for.

    Its manifest says it; without one, it is what was installed from a folder (PEP 610).
    """
    named = read_manifest(tree, inside).get("project")
    if isinstance(named, str):
        return named
    for distribution in distributions:
        about = text_of(tree, inside / distribution.folder / "direct_url.json")
        if '"dir_info"' in about:
            return distribution.name
    return ""


def read_manifest(tree: Tree, inside: PurePosixPath) -> dict[str, object]:
    """Return an environment's manifest; an empty one where there is none that can be read."""
    try:
        content = json.loads(text_of(tree, inside / "venvpkg.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def find_clashes(tree: Tree, distributions: Iterable[Distribution]) -> tuple[Clash, ...]:
    """Return the paths that several RECORDs have with different hashes.

    An installer writes each RECORD as its wheel has it, and the files one over the other; a RECORD that was
    made true of the files since tells nothing any more.

    Args:
        tree: the environment, with paths relative to its prefix.
        distributions: those that it has.
    """
    # Few paths are in two; of a hundred thousand no more is kept than a number each.
    seen, several = set[int](), set[int]()
    everyone = tuple(distributions)
    for distribution in everyone:
        own = {hash(path) for path in distribution.files}
        several |= seen & own
        seen |= own
    hashes: dict[PurePosixPath, dict[str, str]] = {}
    for distribution in everyone if several else ():
        for name, digest, _ in read_record(text_of(tree, distribution.folder / "RECORD")):
            path = locate(distribution.folder, name)
            if digest and hash(path) in several:
                hashes.setdefault(path, {})[distribution.name] = digest
    return tuple(
        Clash(path=str(path), names=tuple(sorted(owners)))
        for path, owners in sorted(hashes.items())
        if len(set(owners.values())) > 1
    )


def recorded_algorithms(
    tree: Tree, inside: PurePosixPath, distributions: Iterable[Distribution]
) -> dict[PurePosixPath, frozenset[str]]:
    """Return the files that a RECORD has, each with the kinds of hashes that it is recorded under."""
    wanted: dict[PurePosixPath, frozenset[str]] = {}
    for distribution in distributions:
        for name, digest, _ in read_record(text_of(tree, inside / distribution.folder / "RECORD")):
            algorithm = digest.partition("=")[0]
            if algorithm in HASHES:
                _want(wanted, tree.own(inside / locate(distribution.folder, name)), algorithm)
    return wanted


def _want(wanted: dict[PurePosixPath, frozenset[str]], path: PurePosixPath, *algorithms: str) -> None:
    wanted[path] = _shared(wanted.get(path, frozenset()).union(algorithms))


@cache
def _shared(algorithms: frozenset[str]) -> frozenset[str]:
    # One for all files: a set is larger than all else that is known of a file.
    return algorithms


def is_program(entry: Entry) -> bool:
    """Tell whether a file is meant to be started: it may be executed, and lies where programs do."""
    return entry.kind == "file" and bool(entry.mode & 0o111) and entry.path.parent.name in PROGRAM_FOLDERS


def interpreters(head: bytes) -> list[str]:
    """Return the programs that a script's first lines start: one, or env or sh and what that starts."""
    if not head.startswith(b"#!"):
        return []
    words = head.split(b"\n", 1)[0].decode("utf-8", "replace")[2:].split()
    if not words:
        return []
    if PurePosixPath(words[0]).name == "env":
        rest = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
        return [words[0], *rest[:1]]
    wrapped = re.match(rb"#![^\n]*\n'''exec' [\"']?([^\s\"']+)", head)
    return [words[0], wrapped[1].decode("utf-8", "replace")] if wrapped else [words[0]]


def program_path(program: str) -> PurePosixPath:
    """Return the absolute path of an interpreter; a bare name is looked for in /usr/bin."""
    return PurePosixPath(f"/{program.lstrip('/')}" if program.startswith("/") else f"/usr/bin/{program}")


def find_environments(tree: Tree) -> list[PurePosixPath]:
    """Return the prefixes of the virtual environments in a tree (PEP 405)."""
    return [
        entry.path.parent
        for entry in tree.files()
        if entry.path.name == "pyvenv.cfg" and entry.path.parent / "bin" / "python" in tree
    ]


def minor_of(tree: Tree, inside: PurePosixPath) -> str:
    """Return the minor version that an environment was made for, ``3.11``, from the folder of its modules."""
    folders = (p.name for p in tree.entries if p.parent == inside / "lib")
    return next((f.removeprefix("python") for f in folders if re.fullmatch(r"python3\.\d+", f)), "")


def find_build_paths(tree: Tree, inside: PurePosixPath) -> tuple[bytes, ...]:
    """Return the prefixes, other than its own, that an environment speaks of as its own.

    They stand in pyvenv.cfg, in the scripts' first lines, in bin/activate and in bytecode, of which the
    first files tell enough.
    """
    own = f"/{inside}".encode()
    found: dict[bytes, None] = {}
    bytecode = [e for e in tree.files() if e.path.suffix == ".pyc" and e.path.is_relative_to(inside)][:20]
    scripts = [e for e in tree.files() if e.path.parent == inside / "bin"]
    for entry in bytecode:
        # The module's own path: any other string may be of the place where a wheel was compiled.
        module = entry.path.parent.parent / f"{entry.path.name.split('.')[0]}.py"
        own_path = re.escape(b"/" + os.fsencode(module.relative_to(inside)))
        for match in re.finditer(rb"(/[^\0\n\"']{1,400}?)" + own_path, entry.load()):
            found[match[1]] = None
    # A program of many megabytes is no script.
    for entry in (e for e in scripts if e.size <= WINDOW):
        for match in MODULE_PATH.finditer(entry.load()):
            found[match[1]] = None
        for match in re.finditer(rb"(/[^\0\n\"']{1,400}?)/bin/python[\d.]*[\"'\s]", entry.head(HEAD)):
            found[match[1]] = None
        for match in re.finditer(rb"VIRTUAL_ENV[= ][\"']?(/[^\0\n\"']{1,400}?)[\"';\n]", entry.head(HEAD)):
            found[match[1]] = None
    for line in text_of(tree, inside / "pyvenv.cfg").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "command" and " -m venv " in value:
            # The prefix comes last and may hold blanks; options before it hold no slash.
            folder = value.split(" -m venv ", 1)[1].strip()
            found[folder[max(folder.find("/"), 0) :].encode()] = None
    elsewhere = (p for p in found if p not in (own, b"/usr", b"/usr/local") and not p.startswith(own + b"/"))
    return tuple(p for p in elsewhere if p.startswith(b"/"))
