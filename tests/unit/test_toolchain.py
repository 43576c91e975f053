"""Compilers that forget where they ran, and caches that flags do not mix in; with a real gcc."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from venvpkg.toolchain import build_settings, cache_folders, parallel_jobs, wrap_compilers

SOURCE = '#include "own.h"\n#include <assert.h>\nint two(int x) { assert(x); return own(x) + 1; }\n'
HEADER = "static inline int own(int x) { return x + 1; }\n"
SHOW = '#!/bin/sh\nfor word; do printf "<%s>\\n" "$word"; done\n'
NOBODY = 65534


@pytest.fixture
def _has_gcc() -> None:
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")


def wrap(tmp_path: Path, environ: dict[str, str] | None = None, *roots: Path) -> dict[str, str]:
    """Wrap the compilers; what is below `tmp_path / "chance"` is mapped away, unless told otherwise."""
    environ = {"PATH": os.environ["PATH"], **(environ or {})}
    wrap_compilers(tmp_path / "wrapped", roots or (tmp_path / "chance",), environ)
    return {**environ, "PATH": f"{tmp_path / 'wrapped'}:{environ['PATH']}"}


def compile_in(top: Path, words: Sequence[str], environ: dict[str, str]) -> bytes:
    """The object file of one source tree at `top`, with a header beside the source and one elsewhere."""
    for path, text in (("src/two.c", SOURCE), ("headers/own.h", HEADER), ("src/near.h", "")):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    command = [word.format(top=top) for word in words]
    subprocess.run(command, cwd=top / "src", env=environ, check=True, capture_output=True)
    return (top / "src/two.o").read_bytes()


def show(folder: Path, name: str = "gcc") -> None:
    """A compiler that tells its arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(SHOW)
    (folder / name).chmod(0o755)


def handed_on(tmp_path: Path, words: Sequence[str], at: Path, *roots: Path) -> list[str]:
    """The arguments that the compiler gets, all but the map of the folder that it runs in."""
    show(tmp_path / "real")
    environ = wrap(tmp_path, {"PATH": f"{tmp_path / 'real'}:/usr/bin:/bin"}, *roots)
    done = subprocess.run(["gcc", *words], cwd=at, env=environ, check=True, capture_output=True, text=True)
    *rest, last = done.stdout.removesuffix(">\n").removeprefix("<").split(">\n<")
    assert last == f"-ffile-prefix-map={at}=."
    return rest


# ---------------------------------------------------------------------------------------------
# What a compiler leaves behind


@pytest.mark.usefixtures("_has_gcc")
@pytest.mark.parametrize(
    "words",
    [
        ("gcc", "-g", "-c", "-I../headers", "two.c"),
        ("gcc", "-g", "-c", "-I{top}/headers", "two.c"),
        ("gcc", "-g", "-c", "-I", "{top}/headers", "two.c"),
        ("gcc", "-g", "-c", "-isystem", "{top}/headers", "two.c"),
        ("gcc", "-g", "-c", "-I{top}/headers", "{top}/src/two.c"),
        ("gcc", "-g3", "-O2", "-c", "-I{top}/headers", "-I{top}/src", "{top}/src/two.c", "-o", "two.o"),
        ("cc", "-g", "-c", "-I{top}/headers", "{top}/src/two.c"),
    ],
)
def test_place_of_chance_leaves_no_trace(words: tuple[str, ...], tmp_path: Path) -> None:
    """In debug information, in what assert() says, with paths of every kind; without the wrapper it does."""
    environ = wrap(tmp_path)
    tops = [tmp_path / "chance" / name for name in ("tmpabcdef", "tmp-of-another-length/deep")]
    plain = [compile_in(top, words, dict(os.environ)) for top in tops]
    assert plain[0] != plain[1]
    wrapped = [compile_in(top, words, environ) for top in tops]
    assert wrapped[0] == wrapped[1]
    assert str(tmp_path / "chance").encode() not in wrapped[0]


@pytest.mark.usefixtures("_has_gcc")
def test_linked_library_has_the_same_build_id(tmp_path: Path) -> None:
    """The linker hashes what the compiler left (ld(1), --build-id)."""
    words = ("gcc", "-g", "-shared", "-fPIC", "-Wl,--build-id", "-I{top}/headers", "two.c", "-o", "two.o")
    environ = wrap(tmp_path)
    one, two = (compile_in(tmp_path / "chance" / name, words, environ) for name in ("one", "two-two"))
    assert one == two
    assert one[:4] == b"\x7fELF"


@pytest.mark.usefixtures("_has_gcc")
def test_another_source_is_another_object(tmp_path: Path) -> None:
    """The wrapper takes away the place alone."""
    words = ("gcc", "-g", "-c", "-I../headers", "two.c")
    environ = wrap(tmp_path)
    one = compile_in(tmp_path / "chance/one", words, environ)
    assert compile_in(tmp_path / "chance/two", (*words, "-DNDEBUG"), environ) != one


# ---------------------------------------------------------------------------------------------
# What is handed on


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "two.c", "-o", "two.o"],
        ["-DNAME=a b", '-DTEXT="quoted"', "it's", "", "*", "$HOME", "`id`", "a\nb", "\\"],
        ["-Wl,-rpath,$ORIGIN/../x", "-L/usr/lib", "-I/usr/include", "/usr/include/x.c"],
        ["@file", "-", "--", "-x", "c", "ä ö.c"],
        [],
    ],
)
def test_words_are_handed_on_as_they_are(words: list[str], tmp_path: Path) -> None:
    """Blanks, quotes, line ends and empty words among them, in their order and with nothing between."""
    (tmp_path / "x").mkdir()
    assert handed_on(tmp_path, words, tmp_path / "x") == words


def test_folders_of_chance_are_mapped_each_to_its_own(tmp_path: Path) -> None:
    """Two headers of one name stay two, and a folder with a blank in its name is one."""
    chance = tmp_path / "chance"
    (chance / "build").mkdir(parents=True)
    words = [f"-I{chance}/a b", "-isystem", f"{chance}/c", f"{chance}/d/x.cpp", "-I/usr/include"]
    assert handed_on(tmp_path, words, chance / "build") == [
        *words,
        f"-ffile-prefix-map={chance}/a b=./outside/1",
        f"-ffile-prefix-map={chance}/c=./outside/2",
        f"-ffile-prefix-map={chance}/d=./outside/3",
    ]


def test_folders_below_the_working_folder_have_one_map(tmp_path: Path) -> None:
    """That of the working folder does for all of them, and its end is no folder of a like name."""
    here = tmp_path / "chance/build"
    here.mkdir(parents=True)
    words = [f"-I{here}/include", f"{here}/x.c", f"-I{here}"]
    assert handed_on(tmp_path, words, here) == words
    words = [f"-I{here}-2"]
    assert handed_on(tmp_path, words, here) == [*words, f"-ffile-prefix-map={here}-2=./outside/1"]


def test_every_root_is_one(tmp_path: Path) -> None:
    """Also one with a blank and a quote in its name, and one that is named twice."""
    first, odd = tmp_path / "first", tmp_path / "it's odd"
    words = [f"-I{first}/x", f"-I{odd}/y", f"-I{tmp_path}/third/z"]
    assert handed_on(tmp_path, words, tmp_path, first, odd, first) == words
    (tmp_path / "at").mkdir()
    assert handed_on(tmp_path, words, tmp_path / "at", first, odd, first) == [
        *words,
        f"-ffile-prefix-map={first}/x=./outside/1",
        f"-ffile-prefix-map={odd}/y=./outside/2",
    ]


@pytest.mark.parametrize("status", [0, 1, 3])
def test_exit_status_is_the_compiler_s(status: int, tmp_path: Path) -> None:
    """A build has to see that it failed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/gcc").write_text(f"#!/bin/sh\necho out; echo err >&2; exit {status}\n")
    (tmp_path / "real/gcc").chmod(0o755)
    environ = wrap(tmp_path, {"PATH": f"{tmp_path / 'real'}:/usr/bin:/bin"})
    done = subprocess.run(["gcc"], env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (status, "out\n", "err\n")


# ---------------------------------------------------------------------------------------------
# For which processor


def test_flags_for_this_very_processor_are_left_out(tmp_path: Path) -> None:
    """A package has to run on an older machine; flags that name a processor stay."""
    words = [
        "-O2",
        "-march=native",
        "x y",
        "",
        "-mtune=native",
        "-march=x86-64-v2",
        "-mcpu=native",
        "-march",
        "a.c",
    ]
    kept = ["-O2", "x y", "", "-march=x86-64-v2", "-march", "a.c"]
    assert handed_on(tmp_path, words, tmp_path) == kept


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("DEB_CFLAGS_APPEND", True),
        ("DEB_CXXFLAGS_MAINT_APPEND", True),
        ("DEB_CFLAGS_SET", True),
        ("CFLAGS", False),
        ("DEB_CFLAGS_STRIP", False),
    ],
)
def test_packager_may_ask_for_this_processor(name: str, asked: bool, tmp_path: Path) -> None:
    """In the variables of dpkg-buildflags; CFLAGS itself may come from the user's own shell."""
    show(tmp_path / "real")
    show(tmp_path / "real", "rustc")
    environ = wrap(tmp_path, {"PATH": f"{tmp_path / 'real'}:/usr/bin:/bin", name: "-O3 -march=native"})
    for compiler, word in (("gcc", "-march=native"), ("rustc", "target-cpu=native")):
        done = subprocess.run(
            [compiler, word], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert (f"<{word}>" in done.stdout) == asked


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["-C", "target-cpu=native", "a b.rs"], ["-C", "target-cpu=generic", "a b.rs"]),
        (["-Ctarget-cpu=native"], ["-Ctarget-cpu=generic"]),
        (["--codegen=target-cpu=native", ""], ["--codegen=target-cpu=generic", ""]),
        (["-C", "target-cpu=znver3"], ["-C", "target-cpu=znver3"]),
    ],
)
def test_rust_is_compiled_for_every_processor(words: list[str], kept: list[str], tmp_path: Path) -> None:
    """Whatever a project's .cargo/config.toml says."""
    show(tmp_path / "real", "rustc")
    environ = wrap(tmp_path, {"PATH": f"{tmp_path / 'real'}:/usr/bin:/bin"})
    done = subprocess.run(["rustc", *words], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.removesuffix(">\n").removeprefix("<").split(">\n<") == kept


def test_rustflags_name_no_native_processor() -> None:
    """They are left as they are otherwise, and where the packager asks for it."""
    flags = "-C debuginfo=2 -C target-cpu=native"
    assert build_settings({"RUSTFLAGS": flags})["RUSTFLAGS"] == "-C debuginfo=2 -C target-cpu=generic"
    assert "RUSTFLAGS" not in build_settings({"RUSTFLAGS": flags, "DEB_RUSTFLAGS_APPEND": flags})
    assert "RUSTFLAGS" not in build_settings({"RUSTFLAGS": "-C debuginfo=2"})


# ---------------------------------------------------------------------------------------------
# Which compilers


def names(tmp_path: Path, **environ: str) -> set[str]:
    """The programs that were written, for a PATH with one compiler of each name."""
    for name in ("gcc", "g++", "zz-gcc", "mycc", "mycxx", "gfortran-99"):
        show(tmp_path / "real", name)
    wrap(tmp_path, {"PATH": str(tmp_path / "real"), **environ})
    return {path.name for path in (tmp_path / "wrapped").iterdir()}


def test_compilers_that_are_on_path_are_wrapped(tmp_path: Path) -> None:
    """And no others; a build that looks for clang finds none."""
    assert names(tmp_path) == {"gcc", "g++"}


def test_compilers_that_the_environment_names_are_wrapped(tmp_path: Path) -> None:
    """CC with its flags, CXX and FC; one that is named by its path is found by its path."""
    found = names(tmp_path, CC="mycc -m64", CXX="mycxx", FC="gfortran-99")
    assert found == {"gcc", "g++", "mycc", "mycxx", "gfortran-99"}
    shutil.rmtree(tmp_path / "wrapped")
    assert names(tmp_path, CC=f"{tmp_path}/real/mycc", CXX="", FC="none") == {"gcc", "g++"}
    # A program of that path would be written over the compiler itself.
    assert (tmp_path / "real/mycc").read_text() == SHOW


def test_named_compiler_runs_through_its_wrapper(tmp_path: Path) -> None:
    """Under its own name."""
    show(tmp_path / "real", "mycc")
    environ = wrap(tmp_path, {"PATH": f"{tmp_path / 'real'}:/usr/bin:/bin", "CC": "mycc -m64"})
    command = ["mycc", "-c"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    assert done.stdout == f"<-c>\n<-ffile-prefix-map={tmp_path}=.>\n"


def test_compiler_in_a_folder_of_an_odd_name_is_found(tmp_path: Path) -> None:
    """The shell is given its path in quotes."""
    show(tmp_path / "it's the real one")
    environ = wrap(tmp_path, {"PATH": f"{tmp_path}/it's the real one:/usr/bin:/bin"})
    done = subprocess.run(["gcc", "x"], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("<x>\n")


@pytest.mark.usefixtures("_has_gcc")
def test_compiler_of_the_architecture_is_wrapped(tmp_path: Path) -> None:
    """A build with debhelper calls it by its triplet."""
    made = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout
    name = f"{made.strip()}-gcc"
    if not Path("/usr/bin", name).exists():
        pytest.skip(f"there is no {name}")
    wrap(tmp_path, {"PATH": "/usr/bin"})
    assert os.access(tmp_path / "wrapped" / name, os.X_OK)


# ---------------------------------------------------------------------------------------------
# Caches


def test_caches_are_the_users_with_a_folder_for_these_flags(tmp_path: Path) -> None:
    """Where uv and pip have them, or where their variables say."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    found = cache_folders({"HOME": str(home)}, scratch)
    assert {n: p.parent for n, p in found.items()} == {
        "UV_CACHE_DIR": home / ".cache/uv",
        "PIP_CACHE_DIR": home / ".cache/pip",
    }
    assert {p.name for p in found.values()} == {found["UV_CACHE_DIR"].name}
    assert found["UV_CACHE_DIR"].name.startswith("venvpkg-")
    moved = cache_folders({"HOME": str(home), "XDG_CACHE_HOME": str(tmp_path / "xdg")}, scratch)
    assert {p.parent.parent for p in moved.values()} == {tmp_path / "xdg"}
    named = cache_folders({"HOME": str(home), "PIP_CACHE_DIR": str(tmp_path / "mine")}, scratch)
    assert named["PIP_CACHE_DIR"].parent == tmp_path / "mine"
    assert named["UV_CACHE_DIR"] == found["UV_CACHE_DIR"]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["CFLAGS", "CPPFLAGS", "CXXFLAGS", "FFLAGS", "FCFLAGS", "LDFLAGS", "RUSTFLAGS", "CC", "CXX"],
)
def test_other_flags_have_another_cache(name: str, tmp_path: Path) -> None:
    """A wheel of another build would be taken for one of this."""
    environ = {"HOME": str(tmp_path)}
    known = [
        cache_folders({**environ, **more}, tmp_path)["PIP_CACHE_DIR"]
        for more in ({}, {name: "-O2"}, {name: "-O3"}, {name: "-O2 -g"}, {"CFLAGS": "-Os", name: "-O2"})
    ]
    assert len(set(known)) == 5 - (name == "CFLAGS")


def test_other_build_depends_have_another_cache(tmp_path: Path) -> None:
    """Pillow without libfreetype-dev is another Pillow."""
    environ = {"HOME": str(tmp_path)}
    lists: list[tuple[str, ...]] = [
        (),
        ("libpng-dev",),
        ("libpng-dev", "libtiff-dev"),
        ("libtiff-dev", "libpng-dev"),
    ]
    found = [cache_folders(environ, tmp_path, (), relations)["UV_CACHE_DIR"] for relations in lists]
    assert len(set(found)) == 3
    assert found[2] == found[3]


def test_place_of_the_build_is_no_flag(tmp_path: Path) -> None:
    """dpkg-buildflags names it, and the cache would be new in every folder."""
    flags = [
        f"-g -O2 {option}={place}=. -fPIC"
        for option in ("-ffile-prefix-map", "-fdebug-prefix-map", "-fmacro-prefix-map")
        for place in ("/build/one", "/build/two-2.0")
    ]
    environs = [{"HOME": str(tmp_path), "CFLAGS": f} for f in (*flags, "-g  -O2 -fPIC")]
    assert len({cache_folders(e, tmp_path)["UV_CACHE_DIR"] for e in environs}) == 1


def test_other_variables_do_not_matter(tmp_path: Path) -> None:
    """A cache that nothing finds again is none."""
    one = cache_folders({"HOME": str(tmp_path), "CFLAGS": "\udcff"}, tmp_path)
    two = cache_folders(
        {"HOME": str(tmp_path), "CFLAGS": "\udcff", "PWD": "/x", "A": "B"}, tmp_path / "other"
    )
    assert one == two


@pytest.fixture
def home_of_plain_user() -> Iterator[Path]:
    """A home of a user who may not write everywhere; root becomes that user for the test."""
    was = os.getresuid()
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    finally:
        os.setresuid(*was)


@pytest.mark.parametrize("home", [None, "", "/nonexistent", "/etc/nothing"])
@pytest.mark.usefixtures("home_of_plain_user")
def test_cache_that_cannot_be_made_is_in_the_scratch_folder(home: str | None) -> None:
    """On a build machine the home does not exist."""
    scratch = Path("/scratch")
    found = cache_folders({} if home is None else {"HOME": home}, scratch)
    assert found == {"UV_CACHE_DIR": scratch / "cache/uv", "PIP_CACHE_DIR": scratch / "cache/pip"}


def test_each_cache_goes_where_it_can(home_of_plain_user: Path) -> None:
    """Where one cannot be made, the other is the user's all the same."""
    home_of_plain_user.joinpath(".cache").mkdir()
    environ = {"HOME": str(home_of_plain_user), "UV_CACHE_DIR": "/etc/nothing"}
    found = cache_folders(environ, Path("/scratch"))
    assert found["UV_CACHE_DIR"] == Path("/scratch/cache/nothing")
    assert found["PIP_CACHE_DIR"].parent == home_of_plain_user / ".cache/pip"
    home_of_plain_user.joinpath(".cache").chmod(0o500)
    assert cache_folders(environ, Path("/scratch"))["PIP_CACHE_DIR"] == Path("/scratch/cache/pip")


# ---------------------------------------------------------------------------------------------
# Jobs


@pytest.mark.parametrize(
    ("options", "jobs"),
    [("parallel=3", 3), ("nocheck parallel=2 x", 2), ("parallel=0", 1), ("parallel=1", 1)],
)
def test_jobs_are_those_of_deb_build_options(options: str, jobs: int) -> None:
    """Policy §4.9.1."""
    assert parallel_jobs({"DEB_BUILD_OPTIONS": options}) == jobs


@pytest.mark.parametrize("options", ["", "parallel=", "parallel=x", "noparallel"])
def test_jobs_are_the_cores_where_nothing_is_said(options: str) -> None:
    """Nonsense says nothing."""
    assert parallel_jobs({"DEB_BUILD_OPTIONS": options}) == len(os.sched_getaffinity(0))


def test_source_builds_are_told_how_many_jobs_there_may_be() -> None:
    """Each build system in its own variable; uv builds one at a time."""
    found = build_settings({"DEB_BUILD_OPTIONS": "nocheck parallel=3"})
    assert found == {
        "CARGO_BUILD_JOBS": "3",
        "CMAKE_BUILD_PARALLEL_LEVEL": "3",
        "MAKEFLAGS": "-j3",
        "MAX_JOBS": "3",
        "NPY_NUM_BUILD_JOBS": "3",
        "UV_CONCURRENT_BUILDS": "1",
    }


def test_what_the_user_has_set_stays() -> None:
    """One variable at a time."""
    environ = {"MAX_JOBS": "1", "UV_CONCURRENT_BUILDS": "7", "DEB_BUILD_OPTIONS": "parallel=3"}
    found = build_settings(environ)
    assert not {"MAX_JOBS", "UV_CONCURRENT_BUILDS"} & set(found)
    assert found["NPY_NUM_BUILD_JOBS"] == "3"


@pytest.mark.parametrize(
    ("flags", "made"),
    [
        ("", "-j3"),
        ("w", "w -j3"),
        ("-j8", "-j8"),
        ("kw -j", "kw -j"),
        ("w -j8 --jobserver-auth=3,4 -- CC=cc", "w -j3 -- CC=cc"),
        (" -j8 --jobserver-auth=fifo:/tmp/x", "-j3"),
        ("-- X=-j1", "-j3 -- X=-j1"),
    ],
)
def test_make_has_its_jobs(flags: str, made: str, tmp_path: Path) -> None:
    """The job server of debian/rules is out of reach; make understands what comes of it."""
    found = build_settings({"MAKEFLAGS": flags, "DEB_BUILD_OPTIONS": "parallel=3"})["MAKEFLAGS"]
    assert found == made
    if shutil.which("make"):
        (tmp_path / "Makefile").write_text("all:\n\t@echo one $(MAKEFLAGS)\n")
        environ = {"PATH": os.environ["PATH"], "MAKEFLAGS": found}
        done = subprocess.run(
            ["make", "-s"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
        )
        assert "-j" in done.stdout
        assert done.stderr == ""
