"""Reads a .deb as a stream: nothing of it is unpacked to disk, and nothing that is in it runs."""

import io
import os
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Self

from venvpkg.errors import VenvpkgError
from venvpkg.process import CommandFailedError, stream
from venvpkg.tree import BLOCK, LOADED_BYTES, WINDOW, Entry, Kind, Tree, explain_size

# Small files that say what the rest is; their contents stay at hand.
KEPT_NAMES = (
    "METADATA",
    "RECORD",
    "WHEEL",
    "entry_points.txt",
    "direct_url.json",
    "pyvenv.cfg",
    "venvpkg.json",
    "venvpkg-layer.json",
)
# Bills of materials that wheels bring (PEP 770).
KEPT_FOLDER = ".dist-info/sboms/"
KEPT_BYTES = 8 * 1024 * 1024
KEPT_HEAD = 64 * 1024
KEPT_BYTECODE = 20
# All of them together; a few large environments have some ten million bytes.
KEPT_TOTAL = 256 * 1024 * 1024
# PATH_MAX of Linux: no system can unpack what has a longer name.
LONGEST_PATH = 4096
PROGRAM_FOLDER = "bin"
CONTROL = PurePosixPath("DEBIAN")


def read_deb(path: Path) -> Tree:
    """Read names, modes and sizes of a .deb's files, and the contents of the small ones that describe it.

    The contents of all others are at hand while the tree is walked.

    Raises:
        VenvpkgError: ``deb-invalid``, from the walk as well; ``file-too-large``, over 4 GiB.
    """
    if not path.is_file():
        raise VenvpkgError(code="deb-invalid", message=f"There is no file {path}.", hint="Check the name.")
    entries: dict[PurePosixPath, Entry] = {}
    bytecode = kept = 0
    for entry in _members(path, "--ctrl-tarfile", CONTROL):
        entries[entry.path] = _keep(entry) if entry.size <= KEPT_BYTES else _drop(entry)
    control = CONTROL / "control"
    entries[control] = _require_control(path, entries.get(control))
    for entry in _members(path, "--fsys-tarfile", PurePosixPath()):
        bytecode += entry.path.suffix == ".pyc"
        telling = entry.path.parent.name == PROGRAM_FOLDER
        telling |= entry.path.suffix == ".pyc" and bytecode <= KEPT_BYTECODE
        wanted = entry.path.name in KEPT_NAMES or KEPT_FOLDER in str(entry.path)
        wanted |= telling and entry.size <= KEPT_HEAD
        if entry.target and entry.kind == "file":
            original = entries.get(PurePosixPath(entry.target))
            if original is None or original.kind != "file":
                raise _invalid(path, [f"{str(entry.path)!r} is a hard link to what is not there."])
            target = original.target or entry.target
            entry = replace(entry, size=original.size, opener=original.opener, target=target)
        wanted &= entry.size <= KEPT_BYTES
        kept += entry.size if wanted else 0
        if kept > KEPT_TOTAL:
            raise _invalid(path, [f"METADATA, RECORD and scripts have more than {KEPT_TOTAL} bytes."])
        entries[entry.path] = _keep(entry) if wanted else _drop(entry)
    return Tree(dict(sorted(entries.items())), partial(_members, path, "--fsys-tarfile", PurePosixPath()))


def _require_control(path: Path, control: Entry | None) -> Entry:
    """Return the control file as UTF-8, which Policy §5.1 asks for and not every tool writes."""
    text = control.load().decode("utf-8", "replace") if control and control.kind == "file" else ""
    if control is None or not re.search(r"^Package:[ \t]*[a-z0-9]", text, re.MULTILINE | re.IGNORECASE):
        raise _invalid(path, ["Its control file is not there, or names no package."])
    return _with_content(control, text.encode())


def _invalid(path: Path, causes: Sequence[str]) -> VenvpkgError:
    return VenvpkgError(
        code="deb-invalid",
        message=f"{path} is not a whole Debian package.",
        causes=causes,
        hint="Was it downloaded to its end? What dpkg thinks of it: "
        f"dpkg-deb --info {shlex.quote(str(path))}",
    )


def _keep(entry: Entry) -> Entry:
    return _with_content(entry, entry.load()) if entry.kind == "file" else entry


def _drop(entry: Entry) -> Entry:
    return _with_content(entry, b"") if entry.kind == "file" else entry


def _with_content(entry: Entry, data: bytes) -> Entry:
    return replace(entry, opener=partial(io.BytesIO, data))


# What a broken archive raises: tarfile converts numbers and calls itself for each header before a header.
BROKEN = (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError)


class _Header(tarfile.TarInfo):
    """A member's header, of which no more is read at once than the longest paths need."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # tarfile takes a broken header for the archive's end, which is zeros or nothing at all.
            if buf.strip(b"\0"):
                raise tarfile.ReadError(f"a broken header: {error}") from error
            raise
        ahead = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if member.size < 0 or (member.type in ahead and member.size > 16 * LONGEST_PATH):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _members(path: Path, option: str, at: PurePosixPath) -> Iterator[Entry]:
    """Yield the members of one of the archives; a file can be opened until the next one comes."""
    try:
        # An absolute path, for dpkg-deb takes a file's name for an option where it begins like one.
        with stream(["dpkg-deb", option, path.absolute()]) as source, _tar(source) as archive:
            for member in archive:
                place = _place(member.name, at)
                if place == at and member.size > LOADED_BYTES:
                    raise tarfile.ReadError(f"its top folder has {member.size} bytes")
                if place != at:
                    yield _entry(path, archive, member, place)
    except BROKEN as error:
        raise _invalid(path, [str(error)]) from error
    except CommandFailedError as error:
        raise _invalid(path, error.causes) from error


@contextmanager
def _tar(source: BinaryIO) -> Iterator[tarfile.TarFile]:
    # Names are bytes, whatever the locale: as UTF-8 they come back as they were.
    with tarfile.open(
        fileobj=source, mode="r|", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        yield archive


def _place(name: str, at: PurePosixPath) -> PurePosixPath:
    """Return the path in the tree that a member's name is, with what dpkg ignores of it left out."""
    place = PurePosixPath(name.lstrip("/"))
    if ".." in place.parts or "\0" in name or len(name) > LONGEST_PATH:
        raise tarfile.ReadError(f"{name[:200]!r} is no path inside a package")
    if at != CONTROL and place.parts[:1] == CONTROL.parts:
        raise tarfile.ReadError("its files have a folder DEBIAN, which is dpkg-deb's own")
    return at / place


def _entry(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, place: PurePosixPath) -> Entry:
    mode = member.mode & 0o7777
    # At once, for a bomb takes its time as well.
    if member.size > LOADED_BYTES:
        raise explain_size(place, member.size)
    if member.isfile():
        large = member.size > WINDOW
        opener = _Copy(path, archive, member) if large else partial(_open, path, archive, member)
        return Entry(path=place, kind="file", mode=mode, size=member.size, opener=opener)
    if "\0" in member.linkname or len(member.linkname) > LONGEST_PATH:
        raise tarfile.ReadError(f"{str(place)!r} is a link to what is no path")
    if member.islnk():
        return Entry(path=place, kind="file", mode=mode, target=str(_place(member.linkname, PurePosixPath())))
    kind: Kind = "folder" if member.isdir() else "symlink" if member.issym() else "special"
    return Entry(path=place, kind=kind, mode=mode, target=member.linkname if kind == "symlink" else "")


def _open(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    try:
        found = archive.extractfile(member)
        # A stream goes forward only, so a file's bytes are taken whole.
        return io.BytesIO(found.read() if found else b"")
    except BROKEN as error:
        raise _invalid(path, [str(error)]) from error


class _Copy:
    """Opens a large file any number of times, from a copy on the disk that is gone with the entry."""

    def __init__(self, path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.path, self.archive, self.member = path, archive, member
        self.copy: IO[bytes] | None = None

    def __call__(self) -> io.FileIO:
        try:
            if self.copy is None:
                self.copy = TemporaryFile()  # noqa: SIM115 - as long as the entry is there
                found = self.archive.extractfile(self.member)
                shutil.copyfileobj(found or io.BytesIO(), self.copy, BLOCK)
                self.copy.flush()
        except BROKEN as error:
            raise _invalid(self.path, [str(error)]) from error
        stream = io.FileIO(os.dup(self.copy.fileno()))
        stream.seek(0)
        return stream
