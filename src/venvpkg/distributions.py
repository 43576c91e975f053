"""What is installed in a tree: its .dist-info folders as values."""

import configparser
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from functools import lru_cache
from pathlib import PurePosixPath
from posixpath import normpath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from venvpkg.licences import recognise
from venvpkg.tree import Tree

Row = tuple[str, str, str]
"""Path, hash and size, as written."""

EXTENSIONS = (".py", ".so")
# What the kernel calls Debian's architectures (uname(2)).
MACHINES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "i386": "i686",
    "loong64": "loongarch64",
    "ppc64el": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One installed distribution (PEP 376, "Recording installed projects" of the PyPA)."""

    name: str
    """Normalized name (PEP 503)."""
    version: str
    folder: PurePosixPath
    """The .dist-info folder, relative to the top of the tree."""
    requires: tuple[str, ...]
    """Requires-Dist, as written."""
    files: tuple[PurePosixPath, ...]
    """The paths in RECORD, relative to the top of the tree."""
    scripts: Mapping[str, str]
    """Console and GUI entry points: name to ``module:function``."""
    tags: tuple[str, ...]
    """Compatibility tags of the wheel it came from (PEP 425)."""
    licence: str
    """License-Expression (PEP 639), else License where it is one line, else what the classifiers say."""

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the names of what it has in bin/: entry points, and scripts and programs of its own."""
        brought = sorted(path.name for path in self.files if path.parent == PurePosixPath("bin"))
        return tuple(dict.fromkeys((*self.scripts, *brought)))

    @property
    def built_here(self) -> bool:
        """Tell whether the wheel was compiled on this machine.

        An index takes no wheel with a plain ``linux_*`` platform tag: those are manylinux or musllinux,
        repaired by auditwheel, whose ELF files strip and dwz would break.
        """
        return any(tag.rsplit("-", 1)[-1].startswith("linux_") for tag in self.tags)

    def requirements(self, environment: Mapping[str, str], extras: tuple[str, ...] = ()) -> frozenset[str]:
        """Return the normalized names of what it requires on the target interpreter."""
        found = set()
        for text in self.requires:
            wanted = [{**environment, "extra": extra} for extra in ("", *extras)]
            # Of what packaging can't read, and of what it can't evaluate: ``os_name ~= '1'``.
            with suppress(ValueError, KeyError, RecursionError):
                requirement = Requirement(text)
                if requirement.marker is None or any(requirement.marker.evaluate(dict(e)) for e in wanted):
                    found.add(canonicalize_name(requirement.name))
        return frozenset(found)

    @property
    def optional(self) -> frozenset[str]:
        """Return the normalized names of what an extra alone brings."""
        found = set()
        for text in self.requires:
            with suppress(ValueError, RecursionError):
                requirement = Requirement(text)
                if requirement.marker and "extra" in str(requirement.marker):
                    found.add(canonicalize_name(requirement.name))
        return frozenset(found)

    def modules(self) -> tuple[str, ...]:
        """Return the names of the top-level modules that it brings, from RECORD."""
        site = self.folder.parent
        names: dict[str, None] = {}
        for path in self.files:
            if not path.is_relative_to(site) or path == site:
                continue
            inside = path.relative_to(site)
            top = inside.parts[0]
            if inside.suffix not in EXTENSIONS or top.endswith((".dist-info", ".libs", ".data")):
                continue
            name = top if len(inside.parts) > 1 else top.split(".")[0]
            if name.isidentifier() and not name.startswith("__"):
                names[name] = None
        return tuple(names)

    def packages(self) -> tuple[str, ...]:
        """Return what of it can be imported: its top-level modules, or the first packages in a namespace.

        Importing a namespace itself runs nothing of it (PEP 420).
        """
        site = self.folder.parent
        inside = [p.relative_to(site) for p in self.files if p.is_relative_to(site) and p != site]
        regular = {p.parent for p in inside if p.name.split(".")[0] == "__init__"}
        found: dict[str, None] = {}
        for name in self.modules():
            top = PurePosixPath(name)
            below = sorted(p for p in regular if p.is_relative_to(top))
            first = [p for p in below if not any(above in regular for above in p.parents)]
            named = [".".join(p.parts) for p in first if all(part.isidentifier() for part in p.parts)]
            found |= dict.fromkeys(named if top not in regular and named else [name])
        return tuple(found)


def read_distributions(tree: Tree) -> tuple[Distribution, ...]:
    """Return the distributions of a tree, by name."""
    return tuple(sorted((_read(tree, folder) for folder in find_folders(tree)), key=lambda d: d.name))


def find_owners(environment: Tree, distributions: Iterable[Distribution]) -> dict[PurePosixPath, str]:
    """Return which distribution a file is of, for all files that are of one.

    Bytecode is no part of RECORD where it was compiled afterwards; it belongs to its module (PEP 3147).
    """
    owners = {path: d.name for d in distributions for path in d.files}
    for entry in environment.files():
        path = entry.path
        if path.suffix == ".pyc" and path.parent.name == "__pycache__" and path not in owners:
            module = path.parent.parent / f"{path.name.split('.')[0]}.py"
            owners |= {path: owners[module]} if module in owners else {}
    return owners


def find_folders(tree: Tree) -> tuple[PurePosixPath, ...]:
    """Return the .dist-info folders of what is installed.

    One deeper inside site-packages came with what a distribution vendors (setuptools/_vendor), and is a
    file of that distribution like any other.
    """
    found = {
        e.path.parent
        for e in tree.files()
        if e.path.name == "METADATA" and e.path.parent.suffix == ".dist-info"
    }
    sites = {folder.parent for folder in found}
    return tuple(sorted(f for f in found if not any(above in sites for above in f.parent.parents)))


def _read(tree: Tree, folder: PurePosixPath) -> Distribution:
    metadata = read_headers(tree, folder / "METADATA")
    wheel = read_headers(tree, folder / "WHEEL")
    rows = read_record(text_of(tree, folder / "RECORD"))
    return Distribution(
        name=canonicalize_name(metadata.get("Name") or folder.name.split("-")[0]),
        version=metadata.get("Version") or "",
        folder=folder,
        requires=tuple(metadata.get_all("Requires-Dist") or ()),
        files=tuple(tree.own(locate(folder, row[0])) for row in rows),
        scripts=dict(_entry_points(text_of(tree, folder / "entry_points.txt"))),
        tags=tuple(wheel.get_all("Tag") or ()),
        licence=_licence(metadata),
    )


def _licence(metadata: Message) -> str:
    expression = metadata.get("License-Expression")
    written = str(metadata.get("License") or "").strip().splitlines()
    classified = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    names = [c.rsplit("::", 1)[1].strip() for c in classified]
    # Some put the whole text there, of which the first line says little.
    short = written[0] if len(written) == 1 else ""
    return str(
        expression or short or recognise("\n".join(written)) or ", ".join(names) or "".join(written[:1])
    )


def server_markers(minor: str, architecture: str) -> dict[str, str]:
    """Return the environment that markers are evaluated in (PEP 508): the server's, not this machine's.

    Args:
        minor: of Python, ``3.11``; any Python 3 where it is empty.
        architecture: as dpkg names it; none where it is empty or ``all``.
    """
    version = f"{minor or '3'}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": "posix",
        "platform_machine": MACHINES.get(architecture, ""),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": version,
        "python_version": minor or "3",
        "sys_platform": "linux",
        "extra": "",
    }


def text_of(tree: Tree, path: PurePosixPath) -> str:
    """Return a file's text, or an empty one where it is not there."""
    entry = tree.get(path)
    return entry.load().decode("utf-8", "surrogateescape") if entry and entry.kind == "file" else ""


def read_headers(tree: Tree, path: PurePosixPath) -> Message:
    """Return the headers of a METADATA or WHEEL; bytes that are not UTF-8 are replaced."""
    # As text, for email makes objects of headers that are not ASCII, and METADATA is UTF-8.
    data = text_of(tree, path).encode("utf-8", "surrogateescape")
    return HeaderParser().parsestr(data.decode("utf-8", "replace"))


def _entry_points(text: str) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    # Names of entry points keep their case; configparser lowers them unless told otherwise.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            yield from parser.items(section)


def read_record(text: str) -> list[Row]:
    """Return the rows of a RECORD: path, hash, size (PEP 376)."""
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline="")):
            if row:
                rows.append((row[0], row[1] if len(row) > 1 else "", row[2] if len(row) > 2 else ""))
    except csv.Error:
        # A field of more than 128 KiB, or a zero byte; what comes before is as good as any.
        return rows
    return rows


def format_record(rows: list[Row]) -> bytes:
    """Return RECORD's bytes, rows in the order of their paths."""
    out = io.StringIO()
    plain = csv.writer(out, lineterminator="\n")
    # csv quotes what it is told to end lines with, and reads a carriage return as the end of one as well.
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in sorted(rows):
        (quoted if "\r" in "".join(row) else plain).writerow(row)
    return out.getvalue().encode("utf-8", "surrogateescape")


@lru_cache(maxsize=1 << 15)
def locate(folder: PurePosixPath, name: str) -> PurePosixPath:
    """Return the path, from the top of the tree, of a RECORD row; ``..`` is resolved by name alone."""
    if name.startswith("/"):
        return PurePosixPath(name)
    return PurePosixPath(normpath(f"/{folder.parent}/{name}")[1:])
