"""What a build misses, from the words of compilers, build systems and projects, and who has it."""

from __future__ import annotations

from collections import Counter

import pytest

from venvpkg.missing import OFFERS, find_missing_things


def packages(text: str) -> list[str]:
    """The packages that are named for an output."""
    return [thing.package for thing in find_missing_things(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # gcc, clang, ld
        ("x.c:1:10: fatal error: png.h: No such file or directory", ["libpng-dev"]),
        ("x.c:1:10: fatal error: 'png.h' file not found", ["libpng-dev"]),
        ("x.c:1:10: fatal error: libxml/xpath.h: No such file or directory", ["libxml2-dev"]),
        ("x.c:1:10: fatal error: Python.h: No such file or directory", ["python3-dev"]),
        ("/usr/bin/ld: cannot find -lpq: No such file or directory", ["libpq-dev"]),
        ("/usr/bin/ld: cannot find -lpython3.12: No such file or directory", ["python3-dev"]),
        ("gcc: fatal error: cannot execute ‘cc1plus’: execvp: No such file", ["build-essential"]),
        # setuptools, make, sh
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", ["build-essential"]),
        ("error: command 'gcc' failed: No such file or directory", ["build-essential"]),
        ("unable to execute 'swig': No such file or directory", ["swig"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", ["cmake"]),
        ("/bin/sh: 1: gfortran: not found", ["gfortran"]),
        ("make: g++: No such file or directory", ["build-essential"]),
        # pkg-config, autoconf
        ("Package libffi was not found in the pkg-config search path.", ["libffi-dev"]),
        ("Package 'cairo', required by 'virtual:world', not found", ["libcairo2-dev"]),
        ("configure: error: No package 'libxml-2.0' found", ["libxml2-dev"]),
        # Meson
        ('meson.build:3:6: ERROR: Dependency "cairo" not found, tried pkgconfig', ["libcairo2-dev"]),
        (
            "Did not find pkg-config by name 'pkg-config'\nFound pkg-config: NO\nDid not find CMake 'cmake'\n"
            'meson.build:3:6: ERROR: Dependency "dbus-1" not found, tried pkgconfig and cmake',
            ["pkgconf", "libdbus-1-dev"],
        ),
        (
            "meson.build:31:12: ERROR: Dependency lookup for cairo with method 'pkg-config' failed: "
            "Pkg-config for machine host machine not found. Giving up.",
            ["pkgconf", "libcairo2-dev"],
        ),
        ("meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", ["build-essential"]),
        ("meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]", ["gfortran"]),
        ("meson.build:5:7: ERROR: Program 'swig' not found or not executable", ["swig"]),
        ("meson.build:9:5: ERROR: C shared or static library 'hdf5' not found", ["libhdf5-dev"]),
        ("ERROR: Could not detect Ninja v1.8.2 or newer", ["ninja-build"]),
        ("meson.build:27:7: ERROR: C header 'libqhull_r/qhull_ra.h' not usable", ["libqhull-dev"]),
        # CMake; what it could do without stands behind two dashes
        (
            "-- Could NOT find Doxygen\n-- Could NOT find SWIG\nCMake Error at X.cmake:230 (message):\n"
            "  Could NOT find PNG (missing: PNG_LIBRARY PNG_PNG_INCLUDE_DIR)",
            ["libpng-dev"],
        ),
        ("  Could NOT find Python3 (missing: Python3_INCLUDE_DIRS Development)", ["python3-dev"]),
        ('  configuration file provided by "Eigen3" with any of', ["libeigen3-dev"]),
        ('CMake Error: CMake was unable to find a build program corresponding to "Ninja".', ["ninja-build"]),
        ("  No CMAKE_CXX_COMPILER could be found.", ["build-essential"]),
        # Rust
        ("error: can't find Rust compiler", ["cargo"]),
        ("Cargo, the Rust package manager, is not installed or is not on PATH.", ["cargo"]),
        ("error: linker `cc` not found", ["build-essential"]),
        # psycopg2, mysqlclient, lxml, Pillow, python-ldap, pycurl
        ("Error: pg_config executable not found.", ["libpq-dev"]),
        ("Exception: Can not find valid pkg-config name.", ["default-libmysqlclient-dev"]),
        ("OSError: mysql_config not found", ["default-libmysqlclient-dev"]),
        (
            "Error: Please make sure the libxml2 and libxslt development packages are installed.",
            ["libxml2-dev", "libxslt1-dev"],
        ),
        ("__main__.RequiredDependencyException: jpeg", ["libjpeg-dev", "zlib1g-dev"]),
        ("The headers or library files could not be found for zlib,", ["zlib1g-dev"]),
        ("Modules/common.h:15:10: fatal error: lber.h: No such file or directory", ["libldap-dev"]),
        (
            "Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'",
            ["libcurl4-openssl-dev"],
        ),
        # of all that is said, what is missing
        ("a.c:1:1: fatal error: ffi.h: No such file\n/bin/sh: 1: cmake: not found", ["libffi-dev", "cmake"]),
        ("ld: cannot find -lz: No such file\na.c:1:1: fatal error: zlib.h: No such file", ["zlib1g-dev"]),
        ("x.c:3:5: error: expected ';'\nprogram not found, ld: warning, as: the file is not found", []),
        ("Compiler for C supports arguments -Wall: YES\nFound pkg-config: NO\nFound CMake: NO", []),
    ],
)
def test_what_is_missing_is_found(text: str, found: list[str]) -> None:
    """And nothing else."""
    assert packages(text) == found


@pytest.mark.parametrize(
    ("text", "name", "pattern"),
    [
        ("x.c:1:10: fatal error: foo/bar.h: No such file", "foo/bar.h", r"/foo/bar\.h$"),
        ("ld: cannot find -lfoo: No such file", "-lfoo", r"/libfoo\.(so|a)$"),
        ("Package 'foo', required by 'virtual:world', not found", "foo", r"/foo\.pc$"),
    ],
)
def test_unknown_thing_has_a_pattern_to_search_for(text: str, name: str, pattern: str) -> None:
    """apt-file knows every file of the archive."""
    (thing,) = find_missing_things(text)
    assert (thing.name, thing.package, thing.pattern) == (name, "", pattern)


def test_each_thing_is_in_one_package() -> None:
    """The later one would win unseen."""
    words = Counter(word for words in OFFERS.values() for word in words.split())
    assert [word for word, count in words.items() if count > 1] == []
    assert [
        word
        for word in words
        if word.casefold() != word and "." not in word and "-l" not in word[:2] and not word.endswith("/")
    ] == []
