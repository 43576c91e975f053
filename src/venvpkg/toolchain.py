"""What source builds run with: compilers that forget where they ran, and caches that flags do not mix in."""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

COMPILERS = ("cc", "gcc", "c++", "g++", "gfortran", "clang", "clang++")
FLAGS = ("CFLAGS", "CPPFLAGS", "CXXFLAGS", "FFLAGS", "FCFLAGS", "LDFLAGS", "RUSTFLAGS", "CC", "CXX")
PLACES = re.compile(r"-f(file|debug|macro)-prefix-map=\S+")
# Debug information names the folder that a compiler ran in and those of its headers; the linker hashes that
# into the build id. Installers choose such folders by chance, deeper than an option could tell beforehand.
WRAPPER = """#!/bin/sh
number=0
for word; do
    case $word in
    -I*) folder=${{word#-I}} ;;
    *.c | *.cc | *.cpp | *.cxx | *.C | *.f | *.f90 | *.F | *.F90) folder=${{word%/*}} ;;
    *) folder=$word ;;
    esac
    case $folder/ in
    "$PWD"/*) ;;
    {roots})
        number=$((number + 1))
        set -- "$@" "-ffile-prefix-map=$folder=./outside/$number"
        ;;
    esac
done
exec {program} "$@" "-ffile-prefix-map=$PWD=."
"""


def wrap_compilers(folder: Path, roots: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Write a program for each compiler on PATH that runs it and maps places of chance away.

    Args:
        folder: where the programs go; it has to come first on PATH.
        roots: folders below which installers unpack and build.
        environ: the environment that has PATH.
    """
    folder.mkdir(parents=True, exist_ok=True)
    triplets = {p.name.removesuffix("-gcc") for p in Path("/usr/bin").glob("*-linux-gnu*-gcc")}
    names = [*COMPILERS, *(f"{t}-{n}" for t in triplets for n in ("gcc", "g++", "gfortran"))]
    chosen = [environ[name].split()[:1] for name in ("CC", "CXX", "FC") if name in environ]
    names += [word for words in chosen for word in words if "/" not in word]
    patterns = " | ".join(f"{shlex.quote(str(root))}/*" for root in dict.fromkeys(roots))
    for name in names:
        program = shutil.which(name, path=environ.get("PATH"))
        if program:
            path = folder / name
            path.write_text(WRAPPER.format(roots=patterns, program=shlex.quote(program)), encoding="utf-8")
            path.chmod(0o755)


def cache_folders(
    environ: Mapping[str, str], scratch: Path, constraints: Iterable[Path] = ()
) -> dict[str, Path]:
    """Return where uv and pip keep what they fetch and build, by the variable that says so.

    Wheels that they compile are kept under the source's name alone. So that none comes from a build with
    other flags, or with other build requirements, every set of flags and of ``constraints`` for these has a
    folder of its own inside the user's cache.
    """
    flags = [f"{name}={PLACES.sub('', environ[name]).split()}" for name in FLAGS if name in environ]
    flags += [file.read_text("utf-8", "surrogateescape") for file in constraints if file.is_file()]
    key = hashlib.sha256("\n".join(flags).encode(errors="surrogateescape")).hexdigest()[:12]
    home = environ.get("HOME")
    base = Path(environ.get("XDG_CACHE_HOME") or (Path(home) / ".cache" if home else "/nonexistent"))
    places = {
        "UV_CACHE_DIR": Path(environ.get("UV_CACHE_DIR") or base / "uv"),
        "PIP_CACHE_DIR": Path(environ.get("PIP_CACHE_DIR") or base / "pip"),
    }
    return {
        name: place / f"venvpkg-{key}" if _can_make(place) else scratch / "cache" / place.name
        for name, place in places.items()
    }


def _can_make(place: Path) -> bool:
    if place.is_relative_to("/nonexistent"):
        return False
    for path in (place, *place.parents):
        try:
            if path.exists():
                return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
        except PermissionError:
            return False
    return False
