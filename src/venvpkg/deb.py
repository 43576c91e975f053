"""Reads a .deb as a stream: nothing of it is unpacked to disk, and nothing that is in it runs."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from venvpkg.errors import VenvpkgError
from venvpkg.process import stream
from venvpkg.tree import Entry, Kind, Tree

# Small files that say what the rest is; their contents stay at hand.
KEPT_NAMES = (
    "METADATA",
    "RECORD",
    "WHEEL",
    "entry_points.txt",
    "direct_url.json",
    "pyvenv.cfg",
    "venvpkg.json",
)
KEPT_BYTES = 8 * 1024 * 1024
KEPT_HEAD = 64 * 1024
KEPT_BYTECODE = 20
PROGRAM_FOLDER = "bin"


def read_deb(path: Path) -> Tree:
    """Read names, modes and sizes of a .deb's files, and the contents of the small ones that describe it.

    The contents of all others are at hand while the tree is walked.

    Raises:
        VenvpkgError: ``deb-invalid``.
    """
    if not path.is_file():
        raise VenvpkgError(code="deb-invalid", message=f"There is no file {path}.", hint="Check the name.")
    entries: dict[PurePosixPath, Entry] = {}
    bytecode = 0
    for entry in _members(path, "--ctrl-tarfile", PurePosixPath("DEBIAN")):
        entries[entry.path] = _keep(entry)
    for entry in _members(path, "--fsys-tarfile", PurePosixPath()):
        bytecode += entry.path.suffix == ".pyc"
        telling = entry.path.parent.name == PROGRAM_FOLDER
        telling |= entry.path.suffix == ".pyc" and bytecode <= KEPT_BYTECODE
        wanted = entry.path.name in KEPT_NAMES or (telling and entry.size <= KEPT_HEAD)
        if entry.target and entry.kind == "file":
            entry = replace(entry, size=entries[PurePosixPath(entry.target)].size)
        entries[entry.path] = _keep(entry) if wanted and entry.size <= KEPT_BYTES else _drop(entry)
    return Tree(dict(sorted(entries.items())), partial(_members, path, "--fsys-tarfile", PurePosixPath()))


def _keep(entry: Entry) -> Entry:
    return _with_content(entry, entry.load()) if entry.kind == "file" else entry


def _drop(entry: Entry) -> Entry:
    return _with_content(entry, b"") if entry.kind == "file" else entry


def _with_content(entry: Entry, data: bytes) -> Entry:
    return replace(entry, opener=partial(io.BytesIO, data))


def _members(path: Path, option: str, at: PurePosixPath) -> Iterator[Entry]:
    """Yield the members of one of the archives; a file can be opened until the next one comes."""
    try:
        with stream(["dpkg-deb", option, path]) as source, _tar(source) as archive:
            for member in archive:
                if member.name not in (".", "./"):
                    yield _entry(archive, member, at)
    except (tarfile.TarError, EOFError, KeyError, VenvpkgError) as error:
        causes = list(error.causes) if isinstance(error, VenvpkgError) else [str(error)]
        raise VenvpkgError(
            code="deb-invalid",
            message=f"{path} is not a whole Debian package.",
            causes=causes,
            hint="Was it downloaded to its end? dpkg-deb --info tells what dpkg thinks of it.",
        ) from error


@contextmanager
def _tar(source: BinaryIO) -> Iterator[tarfile.TarFile]:
    with tarfile.open(fileobj=source, mode="r|") as archive:
        yield archive


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, at: PurePosixPath) -> Entry:
    place = at / member.name.removeprefix("./").lstrip("/")
    mode = member.mode & 0o7777
    if member.isfile():
        return Entry(
            path=place, kind="file", mode=mode, size=member.size, opener=partial(_open, archive, member)
        )
    if member.islnk():
        target = member.linkname.removeprefix("./").lstrip("/")
        return Entry(path=place, kind="file", mode=mode, target=target)
    kind: Kind = "folder" if member.isdir() else "symlink" if member.issym() else "special"
    return Entry(path=place, kind=kind, mode=mode, target=member.linkname if kind == "symlink" else "")


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    found = archive.extractfile(member)
    # A stream goes forward only, so a file's bytes are taken whole.
    return io.BytesIO(found.read() if found else b"")
