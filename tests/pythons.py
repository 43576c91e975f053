"""The Pythons of this machine, for tests that run on every one of them."""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from venvpkg.errors import VenvpkgError
from venvpkg.process import Shell, python_environment

NAMES = tuple(f"python3.{minor}" for minor in range(8, 14))
PROBE = (
    "import json, sys; print(json.dumps([sys.implementation.name, list(sys.version_info[:2]), "
    "sys.implementation.cache_tag, '%d.%d.%d' % sys.version_info[:3]]))"
)


@dataclass(frozen=True)
class Python:
    """One Python that starts."""

    path: Path
    minor: tuple[int, int]
    cache_tag: str
    version: str

    def __str__(self) -> str:
        """Return the name that a test's id shows."""
        return f"python{self.minor[0]}.{self.minor[1]}"


@functools.cache
def find_pythons() -> tuple[Python, ...]:
    """Return one CPython for each minor version, 3.8 or later: those on PATH, then Debian's."""
    places = [shutil.which(name) for name in NAMES]
    places += [str(p) for p in sorted(Path("/usr/bin").glob("python3*"))]
    found: dict[tuple[int, int], Python] = {}
    for place in places:
        # A folder of shims has names of versions that are not switched on: asking is the only way to know.
        python = _ask(Path(place)) if place and os.access(place, os.X_OK) else None
        if python and python.minor >= (3, 8):
            found.setdefault(python.minor, python)
    return tuple(found[minor] for minor in sorted(found))


def _ask(place: Path) -> Python | None:
    if place.name.endswith("config") or not place.name[-1].isdigit():
        return None
    try:
        answer = Shell()([place, "-I", "-S", "-c", PROBE], env=python_environment(os.environ))
        implementation, minor, cache_tag, version = json.loads(answer.stdout)
    except (VenvpkgError, OSError, ValueError):
        return None
    if implementation != "cpython":
        return None
    return Python(path=place, minor=(minor[0], minor[1]), cache_tag=cache_tag, version=version)
