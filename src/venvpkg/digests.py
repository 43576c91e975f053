"""The SHA-256 of a file, computed once in a build."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from venvpkg.cache import Cache
from venvpkg.tree import Entry

# Nanoseconds: the clock that stamps files goes on in steps of up to 10 ms. What was changed just before it
# was read may be changed again in the same step.
SETTLED = 50_000_000
# How many files a thread takes at once.
SHARE = 64


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 by the stamp of a file (see :class:`venvpkg.tree.Entry`), which a changed file has no more."""

    known: dict[int, bytes] = field(default_factory=dict)

    def of(self, entry: Entry) -> bytes:
        """Return the hash of a file."""
        found = self.known.get(entry.stamp)
        return self._read(entry) if found is None else found

    def learn(self, entries: Iterable[Entry]) -> None:
        """Hash files on two cores: hashlib lets go of the interpreter's lock."""
        unknown = [entry for entry in entries if entry.stamp not in self.known]
        shares = [unknown[at : at + SHARE] for at in range(0, len(unknown), SHARE)]
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(lambda share: [self._read(entry) for entry in share], shares):
                pass

    def save(self, path: Path) -> None:
        """Write what is known, for the next command of the build."""
        with path.open("w", encoding="ascii") as stream:
            stream.writelines(f"{stamp:x} {digest.hex()}\n" for stamp, digest in self.known.items())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote; nothing is known without the file."""
        if not path.is_file():
            return cls()
        with path.open(encoding="ascii") as stream:
            rows = (line.split() for line in stream)
            return cls({int(stamp, 16): bytes.fromhex(digest) for stamp, digest in rows})

    def _read(self, entry: Entry) -> bytes:
        digest = entry.digest()
        if entry.changed and time.time_ns() - entry.changed > SETTLED:
            self.known[entry.stamp] = digest
        return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What this build and earlier ones know of files."""

    digests: Digests = field(default_factory=Digests)
    cache: Cache = field(default_factory=Cache)
