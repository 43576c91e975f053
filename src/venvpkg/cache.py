"""What earlier builds computed, kept between them: bounded, shared, and whole whatever is killed."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

LIMIT = 2 * 1024**3
"""Bytes that may be kept when a build ends."""
# The form of what is kept: another one is never read.
VERSION = 1
DIGEST = 32
# Reading an entry says that it is of use, but not more often than this, in seconds.
USED_AGAIN = 3600
UNFINISHED = ".new-"
KINDS = ("bytecode", "contents", "imports", "shlibs")


@dataclass(frozen=True, slots=True)
class Cache:
    """Entries by kind and key, each in a file of its own below a folder."""

    folder: Path | None = None
    """Where they are; nothing is kept without one."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Cache":
        """Return the user's: VENVPKG_CACHE_DIR, else ``venvpkg`` in the user's cache folder.

        A folder of somebody else's is not used, for what is in there goes into packages; nor is one
        in the home of a build daemon's user, which must not be made.
        """
        folder = Path(environ.get("VENVPKG_CACHE_DIR") or user_caches(environ) / "venvpkg").absolute()
        owned = can_make(folder) and (not folder.exists() or folder.stat().st_uid == os.geteuid())
        return cls(folder if owned else None)

    def get(self, kind: str, key: str) -> bytes | None:
        """Return what is kept, if it is whole."""
        if self.folder is None:
            return None
        path = self._path(kind, key)
        try:
            stored = path.read_bytes()
            if time.time() - path.stat().st_mtime > USED_AGAIN:
                os.utime(path)
        except OSError:
            return None
        data = stored[DIGEST:]
        if hashlib.sha256(data).digest() != stored[:DIGEST]:
            # The machine lost its power while that was written.
            _remove(path)
            return None
        return data

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keep something; a full disk, say, is no reason to fail."""
        if self.folder is None:
            return
        path = self._path(kind, key)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(prefix=UNFINISHED, dir=path.parent, delete=False) as stream:
                temporary = Path(stream.name)
                try:
                    stream.write(hashlib.sha256(data).digest() + data)
                    stream.close()
                    temporary.replace(path)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise

    def trim(self, limit: int = LIMIT) -> int:
        """Remove what was not used for longest until no more than ``limit`` bytes are left; returns how many.

        What a killed build left half-written goes when it is an hour old.
        """
        entries = sorted(self._entries())
        total, removed = sum(size for _, size, _ in entries), 0
        for used, size, path in entries:
            unfinished = path.name.startswith(UNFINISHED) and time.time() - used > USED_AGAIN
            if unfinished or total - removed > limit:
                _remove(path)
                removed += size
        return removed

    def clear(self) -> None:
        """Remove everything."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return how many entries there are of each kind, and their bytes."""
        found = dict.fromkeys(KINDS, (0, 0))
        for _, size, path in self._entries():
            kind = path.parts[-3]
            found[kind] = (found[kind][0] + 1, found[kind][1] + size)
        return found

    def _path(self, kind: str, key: str) -> Path:
        assert self.folder and kind in KINDS
        return self.folder / kind / key[:2] / key

    def _folders(self) -> list[Path]:
        return [self.folder / kind for kind in KINDS] if self.folder else []

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self._folders():
            for path in folder.glob("*/*"):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path


def _remove(path: Path) -> None:
    # Another build may have been faster; and what can't be removed is no reason to fail.
    with suppress(OSError):
        path.unlink()


def make_key(*parts: object) -> str:
    """Return the key of what follows from ``parts``, which are anything that JSON can write."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True).encode()).hexdigest()


def user_caches(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's caches (XDG Base Directory Specification)."""
    home = environ.get("HOME")
    return Path(environ.get("XDG_CACHE_HOME") or (Path(home) / ".cache" if home else "/nonexistent"))


def can_make(place: Path) -> bool:
    """Tell whether a folder is there and writable, or may be made."""
    # What build daemons have for a home is not to be made.
    if place.parts[1:2] in (("nonexistent",), ("sbuild-nonexistent",)):
        return False
    for path in (place, *place.parents):
        try:
            if path.exists():
                return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
        except PermissionError:
            return False
    return False
