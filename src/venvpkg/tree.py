"""Files as a value, from a folder or a dict of bytes."""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from venvpkg.errors import VenvpkgError

# A path of PATH_MAX bytes (limits.h) whose names are of few characters.
DEEPEST = 512
# What a zip archive without ZIP64 can hold; a bomb in a .deb would take all memory.
LOADED_BYTES = 4 * 1024**3

# A larger file is looked at in parts, so that none decides how much memory a build takes.
WINDOW = 16 * 1024**2
OVERLAP = 64 * 1024
BLOCK = 1024**2

Kind = Literal["file", "folder", "symlink", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or symbolic link of a tree."""

    path: PurePosixPath
    """Relative to the top of the tree."""
    kind: Kind
    mode: int
    """Permission bits, 0 to 0o7777."""
    size: int = 0
    """Bytes; 0 for what is not a file."""
    target: str = ""
    """Where a symbolic link points, as written; of a file in a .deb, the file that it is a hard link to."""
    opener: Callable[[], BinaryIO | io.FileIO] = io.BytesIO
    """Opens a file for reading."""
    stamp: int = 0
    """Time of the last change (st_ctime_ns) and inode of a file or link on a disk, in one number, which
    takes less memory than two: whatever is done to it, one of them is another."""

    @property
    def changed(self) -> int:
        """Return when it was changed last, in nanoseconds since 1970; 0 of what is on no disk."""
        return self.stamp >> 64

    def load(self) -> bytes:
        """Return the bytes of a file.

        Raises:
            VenvpkgError: ``file-too-large``, over 4 GiB.
        """
        if self.size > LOADED_BYTES:
            raise explain_size(self.path, self.size)
        with self.opener() as stream:
            return stream.read()

    def windows(self) -> Iterator[bytes]:
        """Yield a file in parts: whole where it is of a usual size, else parts that overlap.

        What is no longer than :data:`OVERLAP` is whole in one of them.

        Raises:
            VenvpkgError: ``file-too-large``, over 4 GiB.
        """
        if self.size <= WINDOW:
            yield self.load()
            return
        if self.size > LOADED_BYTES:
            raise explain_size(self.path, self.size)
        with self.opener() as stream:
            data = stream.read(WINDOW)
            while data:
                yield data
                fresh = stream.read(WINDOW - OVERLAP)
                data = data[-OVERLAP:] + fresh if fresh else b""

    def digest(self, algorithm: str = "sha256") -> bytes:
        """Return a hash of a file's bytes (see hashlib), which need not all be in memory."""
        made = hashlib.new(algorithm)
        with self.opener() as stream:
            while block := stream.read(BLOCK):
                made.update(block)
        return made.digest()

    def head(self, count: int) -> bytes:
        """Return the first bytes of a file."""
        with self.opener() as stream:
            return stream.read(count)


@dataclass(frozen=True, slots=True)
class Tree:
    """Entries by path, in the order of their names."""

    entries: Mapping[PurePosixPath, Entry]
    again: Callable[[], Iterator[Entry]] | None = None
    """Goes over the entries in an order of its own, each open until the next one only; see :meth:`walk`."""

    def walk(self) -> Iterator[Entry]:
        """Iterate over the entries in the order in which their contents are at hand.

        A tree that is read from a stream has the contents of most files at no other time.
        """
        return self.again() if self.again else iter(self)

    @classmethod
    def from_dir(cls, top: Path, at: PurePosixPath | None = None) -> "Tree":
        """Read names, modes and sizes below ``top``; contents are read when asked for.

        ``at`` is put before every path, so that a prefix alone can be seen as part of a package.
        """
        start = at or PurePosixPath()
        return cls({e.path: e for e in walk_folder(top, start)} if top.is_dir() else {})

    @classmethod
    def from_files(
        cls,
        files: Mapping[str, bytes],
        links: Mapping[str, str] | None = None,
        executable: tuple[str, ...] = (),
    ) -> "Tree":
        """Make a tree from ``{path: bytes}`` and ``{path: target}``; folders are implied."""
        made: dict[PurePosixPath, Entry] = {}
        for name, data in files.items():
            mode = 0o755 if name in executable else 0o644
            made[PurePosixPath(name)] = Entry(
                path=PurePosixPath(name),
                kind="file",
                mode=mode,
                size=len(data),
                opener=partial(io.BytesIO, data),
            )
        for name, target in (links or {}).items():
            made[PurePosixPath(name)] = Entry(
                path=PurePosixPath(name), kind="symlink", mode=0o777, target=target
            )
        for path in list(made):
            for parent in path.parents:
                if parent.name:
                    made.setdefault(parent, Entry(path=parent, kind="folder", mode=0o755))
        return cls(dict(sorted(made.items())))

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over the entries."""
        return iter(self.entries.values())

    def __contains__(self, path: object) -> bool:
        """Tell whether an entry has this path."""
        return path in self.entries

    def get(self, path: PurePosixPath) -> Entry | None:
        """Return the entry with this path."""
        return self.entries.get(path)

    def own(self, path: PurePosixPath) -> PurePosixPath:
        """Return the tree's own object for a path that it has, so that there is one of each."""
        entry = self.entries.get(path)
        return entry.path if entry else path

    def resolve(self, path: PurePosixPath) -> PurePosixPath:
        """Return where a path leads, with every symbolic link on the way followed.

        The tree is taken for the root of the file system. What leaves the tree is followed no further,
        and neither is a loop; the result need not be in the tree. Both paths are relative.
        """
        waiting, done, hops = list(reversed(path.parts)), PurePosixPath(), 0
        # A chain of links that each name a long path has no end that anyone could wait for.
        while waiting:
            part = waiting.pop()
            if part == "..":
                done = done.parent
                continue
            entry = self.entries.get(done / part)
            # Linux follows 40 links (path_resolution(7)).
            if entry is None or entry.kind != "symlink" or hops == 40 or len(waiting) > DEEPEST:
                done = done / part
                continue
            hops += 1
            if entry.target.startswith("/"):
                done = PurePosixPath()
            waiting += [p for p in reversed(PurePosixPath(entry.target).parts) if p not in ("/", "//")]
        return done

    def files(self) -> Iterator[Entry]:
        """Iterate over the regular files."""
        return (e for e in self.entries.values() if e.kind == "file")

    def only(self, paths: Iterable[PurePosixPath]) -> "Tree":
        """Return the part of the tree that has these paths."""
        return Tree({path: self.entries[path] for path in paths if path in self.entries})

    def reread(self, top: Path, paths: Iterable[PurePosixPath]) -> "Tree":
        """Return the tree of the folder ``top`` with these entries as they are now, which must be there.

        Two whole trees at once take more memory than anything else.
        """
        fresh = {}
        for path in paths:
            place = top / path
            fresh[path] = _make(str(place.parent), path, path.name, place.lstat())
        return Tree({**self.entries, **fresh})

    def matches(self, top: Path) -> bool:
        """Tell whether a tree of the folder ``top`` has all that is there, and nothing was changed since."""
        there = walk_folder(top, PurePosixPath())
        return all(entry == now for entry, now in zip_longest(self, there))

    def below(self, top: PurePosixPath) -> "Tree":
        """Return the part of the tree below ``top``, with paths relative to it."""
        depth = len(top.parts)
        found = {}
        for path, entry in self.entries.items():
            # Several times as fast as is_relative_to.
            if path.parts[:depth] == top.parts and len(path.parts) > depth:
                inner = PurePosixPath(*path.parts[depth:])
                found[inner] = _moved(entry, inner)
        return Tree(found)


def _moved(entry: Entry, path: PurePosixPath) -> Entry:
    # Several times as fast as dataclasses.replace.
    return Entry(
        path=path,
        kind=entry.kind,
        mode=entry.mode,
        size=entry.size,
        target=entry.target,
        opener=entry.opener,
        stamp=entry.stamp,
    )


def explain_size(path: PurePosixPath, size: int) -> VenvpkgError:
    """Return the error for a file that is too large to be looked at."""
    return VenvpkgError(
        code="file-too-large",
        message=f"{str(path)!r} has {size} bytes.",
        causes=[f"venvpkg looks into files of up to {LOADED_BYTES} bytes."],
        hint="Is it meant to be there? The key prune leaves it out of a package.",
    )


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens a file on a disk. An environment may have a hundred thousand, so that each counts."""

    folder: str
    """One string for all files of a folder."""
    name: str

    def __call__(self) -> io.FileIO:
        return io.FileIO(f"{self.folder}/{self.name}")


def walk_folder(top: Path, start: PurePosixPath) -> Iterator[Entry]:
    """Yield what is below a folder, each entry of a folder in the order of names, as :class:`Tree` has it."""
    # Without recursion: archives hold folders that lie deeper than Python's calls go.
    waiting = [_scan(str(top), start)]
    while waiting:
        place, entry = next(waiting[-1], ("", None))
        if entry is None:
            waiting.pop()
            continue
        yield entry
        if entry.kind == "folder":
            waiting.append(_scan(place, entry.path))


def _scan(folder: str, at: PurePosixPath) -> Iterator[tuple[str, Entry]]:
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        yield child.path, _make(folder, at / child.name, child.name, child.stat(follow_symlinks=False))


def _make(folder: str, path: PurePosixPath, name: str, status: os.stat_result) -> Entry:
    mode, stamp = stat.S_IMODE(status.st_mode), status.st_ctime_ns << 64 | status.st_ino
    if stat.S_ISREG(status.st_mode):
        opener = _Opener(folder, name)
        return Entry(path=path, kind="file", mode=mode, size=status.st_size, opener=opener, stamp=stamp)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path=path, kind="folder", mode=mode)
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - a Path takes several times as long
        return Entry(path=path, kind="symlink", mode=mode, target=target, stamp=stamp)
    return Entry(path=path, kind="special", mode=mode)
