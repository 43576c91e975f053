"""What source builds run with: compilers that forget where they ran, and caches that flags do not mix in."""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from venvpkg.cache import can_make, user_caches
from venvpkg.process import Runner

COMPILERS = ("cc", "gcc", "c++", "g++", "gfortran", "clang", "clang++")
FLAGS = ("CFLAGS", "CPPFLAGS", "CXXFLAGS", "FFLAGS", "FCFLAGS", "LDFLAGS", "RUSTFLAGS", "CC", "CXX")
PLACES = re.compile(r"-f(file|debug|macro)-prefix-map=\S+")
# Builds that are told to make code for the processor they run on; an older one stops at such a package with
# SIGILL. What a source says of that is left out; who wants it says so to dpkg-buildflags(1).
NATIVE = re.compile(r"(-m(?:arch|tune|cpu)|target-cpu)=native")
ASKED = re.compile(r"DEB_(BUILD_)?\w+_(SET|APPEND|PREPEND|MAINT_\w+)")
# What else takes a number of jobs, where the user has not set it. ninja, which meson-python runs, takes none.
JOBS = (
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "CARGO_BUILD_JOBS",
    "MAX_JOBS",
    "NPY_NUM_BUILD_JOBS",
)
# Debug information names the folder that a compiler ran in and those of its headers; the linker hashes that
# into the build id. Installers choose such folders by chance, deeper than an option could tell beforehand.
WRAPPER = """#!/bin/sh
{before}number=0
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
BEFORE = """\
for word; do
    shift
    case $word in
    -march=native | -mtune=native | -mcpu=native) ;;
    *) set -- "$@" "$word" ;;
    esac
done
"""
# rustc has its option in one word, in two, and behind a long name.
RUST_WRAPPER = """#!/bin/sh
for word; do
    shift
    case $word in
    *target-cpu=native) word=${{word%native}}generic ;;
    esac
    set -- "$@" "$word"
done
exec {program} "$@"
"""


def wrap_compilers(folder: Path, roots: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Write a program for each compiler on PATH that runs it, with places of chance mapped away.

    No source chooses this machine's processor.

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
    native = wants_native(environ)
    programs = dict.fromkeys(names, WRAPPER) | ({} if native else {"rustc": RUST_WRAPPER})
    for name, text in programs.items():
        program = shutil.which(name, path=environ.get("PATH"))
        if program:
            path = folder / name
            before = "" if native else BEFORE
            filled = text.format(roots=patterns, program=shlex.quote(program), before=before)
            path.write_text(filled, encoding="utf-8")
            path.chmod(0o755)


def wants_native(environ: Mapping[str, str]) -> bool:
    """Tell whether the packager asks for this machine's processor, in a variable of dpkg-buildflags(1)."""
    return any(ASKED.fullmatch(name) and NATIVE.search(value) for name, value in environ.items())


def build_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables for source builds: how many jobs may run, and no flag for this very processor."""
    jobs = parallel_jobs(environ)
    made = {name: str(jobs) for name in JOBS if not environ.get(name)}
    made["MAKEFLAGS"] = _make_flags(environ.get("MAKEFLAGS", ""), jobs)
    # Each build has so many jobs of its own.
    made |= {} if environ.get("UV_CONCURRENT_BUILDS") else {"UV_CONCURRENT_BUILDS": "1"}
    flags = environ.get("RUSTFLAGS", "")
    if NATIVE.search(flags) and not wants_native(environ):
        # A rustc of rustup's is found before the wrapper.
        made["RUSTFLAGS"] = NATIVE.sub(r"\1=generic", flags)
    return made


def _make_flags(flags: str, jobs: int) -> str:
    """Return MAKEFLAGS with a number of jobs, where it has none; debian/rules' own job server is not ours."""
    shared = "--jobserver" in flags
    words, mark, variables = f" {flags} ".partition(" -- ")
    kept = [w for w in words.split() if not (shared and re.match(r"--jobserver|-j", w))]
    if not any(re.match(r"-j|--jobs", word) for word in kept):
        kept.append(f"-j{jobs}")
    return " ".join([*kept, *(["--", variables.strip()] if mark else [])])


def debian_flags(run: Runner, environ: Mapping[str, str], source: Path) -> dict[str, str]:
    """Return the variables that dh sets for compilers (dpkg-buildflags(1)), where they are not set.

    What is compiled with them for a look at what is inside need not be compiled again for the package.
    """
    if not shutil.which("dpkg-buildflags", path=environ.get("PATH")):
        return {}
    told = run(["dpkg-buildflags"], env=environ, cwd=source).stdout.splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in told) if name not in environ}


def parallel_jobs(environ: Mapping[str, str]) -> int:
    """Return how many jobs may run at once: ``parallel=N`` of DEB_BUILD_OPTIONS, else the cores."""
    for option in environ.get("DEB_BUILD_OPTIONS", "").split():
        name, _, value = option.partition("=")
        if name == "parallel" and value.isdigit():
            return max(1, int(value))
    return len(os.sched_getaffinity(0))


def cache_folders(
    environ: Mapping[str, str], scratch: Path, constraints: Iterable[Path] = (), relations: Iterable[str] = ()
) -> dict[str, Path]:
    """Return where uv and pip keep what they fetch and build, by the variable that says so.

    Wheels that they compile are kept under the source's name alone. So that none comes from a build with
    other flags, or with other build requirements, every set of flags and of ``constraints`` for these has a
    folder of its own inside the user's cache. So has every list of ``relations``, the key build-depends: many
    a build leaves out what it finds no library for.
    """
    flags = [f"{name}={PLACES.sub('', environ[name]).split()}" for name in FLAGS if name in environ]
    flags.append(f"native={wants_native(environ)}")
    flags += [file.read_text("utf-8", "surrogateescape") for file in constraints if file.is_file()]
    flags.append(f"relations={sorted(relations)}")
    key = hashlib.sha256("\n".join(flags).encode(errors="surrogateescape")).hexdigest()[:12]
    base = user_caches(environ)
    places = {
        "UV_CACHE_DIR": Path(environ.get("UV_CACHE_DIR") or base / "uv"),
        "PIP_CACHE_DIR": Path(environ.get("PIP_CACHE_DIR") or base / "pip"),
    }
    return {
        name: place / f"venvpkg-{key}" if can_make(place) else scratch / "cache" / place.name
        for name, place in places.items()
    }
