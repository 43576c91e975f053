"""The checks: each finds a tree with exactly its defect, and a right tree has no finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest

from objects import Objects
from venvpkg.cache import Cache
from venvpkg.contents import Search
from venvpkg.digests import Memory
from venvpkg.evidence import Evidence, find_build_paths, gather
from venvpkg.relocate import record_hash
from venvpkg.smoke import Smoke
from venvpkg.system import Installed, System
from venvpkg.tree import Entry, Tree
from venvpkg.verify import verify

INSIDE = PurePosixPath("opt/venvs/app")
SITE = f"{INSIDE}/lib/python3.11/site-packages"
INFO = f"{SITE}/app-1.0.dist-info"
BUILD = b"/build/source"
SCRIPT = b"#!/opt/venvs/app/bin/python\nprint(1)\n"
CONTROL = b"Package: app\nVersion: 1\nDepends: python3.11, libc6 (>= 2.36)\n"
MODULE = b"NAME = 1\n"

SYSTEM = System(
    packages={
        "python3.11": Installed(version="1", depends=(("python3.11-minimal",),), provides=frozenset()),
        "python3.11-minimal": Installed(version="1", depends=(), provides=frozenset()),
        "libc6": Installed(version="1", depends=(), provides=frozenset()),
        "libpng16-16": Installed(version="1", depends=(), provides=frozenset()),
        "dash": Installed(version="1", depends=(), provides=frozenset(), essential=True),
        "perl": Installed(version="1", depends=(), provides=frozenset()),
    },
    sonames={"libc.so.6": "/lib/x/libc.so.6", "libpng16.so.16": "/lib/x/libpng16.so.16"},
    owners={
        "/usr/bin/python3.11": "python3.11-minimal",
        "/bin/sh": "dash",
        "/usr/bin/perl": "perl",
        "/lib/x/libc.so.6": "libc6",
        "/lib/x/libpng16.so.16": "libpng16-16",
    },
)


def record(files: dict[str, bytes]) -> bytes:
    """A RECORD of files below site-packages."""
    rows = [
        f"{name.removeprefix(SITE + '/')},{record_hash(data)},{len(data)}" for name, data in files.items()
    ]
    return "\n".join([*rows, "app-1.0.dist-info/RECORD,,", ""]).encode()


def package(
    files: dict[str, bytes] | None = None,
    links: dict[str, str] | None = None,
    programs: Iterable[str] = (),
    recorded: dict[str, bytes] | None = None,
) -> Tree:
    """A right package, with files and links added or replaced."""
    own = {f"{SITE}/app/__init__.py": MODULE, f"{INFO}/METADATA": b"Name: app\nVersion: 1.0\n"}
    every = {
        "DEBIAN/control": CONTROL,
        f"{INSIDE}/bin/app": SCRIPT,
        **own,
        f"{INFO}/RECORD": record({**own, **(recorded or {})}),
        **(files or {}),
    }
    every_link = {
        f"{INSIDE}/bin/python": "/usr/bin/python3.11",
        f"{INSIDE}/bin/python3": "python",
        **(links or {}),
    }
    return Tree.from_files(every, every_link, executable=(f"{INSIDE}/bin/app", *programs))


def look(tree: Tree, system: System = SYSTEM) -> Evidence:
    """The evidence about a package, which is the same where files are known already."""
    search = Search(build_paths=(BUILD,))
    evidence = gather(tree, INSIDE, search, lambda _: system)
    with TemporaryDirectory() as folder:
        for _ in ("unknown", "known"):
            memory = Memory(cache=Cache(Path(folder)))
            assert gather(tree, INSIDE, search, lambda _: system, memory=memory) == evidence
    return evidence


def found(tree: Tree) -> list[tuple[str, str]]:
    """Code and path of every finding."""
    return [(f.code, f.path) for f in verify(look(tree)).findings]


def test_a_right_package_has_no_finding() -> None:
    """Of all its files, DEBIAN's among them."""
    report = verify(look(package()))
    assert report.findings == ()
    assert report.checked == 5


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (f"{INSIDE}/pyvenv.cfg", b"command = python -m venv /build/source/debian/app\n"),
        (f"{INSIDE}/etc/app.conf", b"root=/build/source"),
        ("usr/share/app/readme", b"see /build/source/x\n"),
        (f"{INSIDE}/data.bin", b"\0\1/build/source/x\0"),
    ],
)
def test_v001_finds_the_build_path_in_files(name: str, data: bytes) -> None:
    """Anywhere in the package, at the end of a file and in data that is no text."""
    assert found(package({name: data})) == [("V001", name)]


@pytest.mark.parametrize(
    "data", [b"/build/source2/x", b"/build/source-1", b"/build/sourcery", b"a/build/sourc"]
)
def test_another_path_that_begins_like_the_build_path_is_none(data: bytes) -> None:
    """A path goes on with letters, digits and a few signs."""
    assert found(package({f"{INSIDE}/x": data})) == []


def test_v002_finds_the_build_path_in_bytecode() -> None:
    """As co_filename has it."""
    name = f"{SITE}/app/__pycache__/x.cpython-311.pyc"
    assert found(package({name: b"\xa7\r\r\n" + b"\0" * 12 + b"z\x12/build/source/x.py"})) == [("V002", name)]


def test_v003_finds_the_build_path_in_an_elf_file(objects: Objects) -> None:
    """A run path, say; NEEDED is another check's."""
    name = f"{SITE}/app/x.so"
    data = objects["program"] + b"\0/build/source/lib\0"
    assert ("V003", name) in found(package({name: data}))


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere", "no package owns it"),
        ("/usr/bin/perl", "perl owns it"),
        ("../../../../x", "no package owns it"),
    ],
)
def test_v004_finds_links_that_lead_nowhere(target: str, why: str) -> None:
    """Dangling ones, ones out of the package, and ones to what is not depended on."""
    name = f"{INSIDE}/link"
    report = verify(look(package(links={name: target})))
    assert [(f.code, f.path) for f in report.findings] == [("V004", name)]
    assert why in report.findings[0].message


@pytest.mark.parametrize(
    "target", ["bin", "bin/app", "/opt/venvs/app/bin/app", "../app/bin", "/usr/bin/python3.11"]
)
def test_links_into_the_package_or_its_dependencies_are_right(target: str) -> None:
    """Relative, absolute, and through the parent."""
    assert found(package(links={f"{INSIDE}/link": target})) == []


def test_links_through_links_of_the_package_are_followed() -> None:
    """lib64 is lib in every environment; a loop leads nowhere and is no crash."""
    right = {f"{INSIDE}/lib64": "lib", f"{INSIDE}/link": "lib64/python3.11/site-packages/app/__init__.py"}
    assert found(package(links=right)) == []
    loop = package(links={f"{INSIDE}/a": "b", f"{INSIDE}/b": "a"})
    assert {code for code, _ in found(loop)} <= {"V004"}


@pytest.mark.parametrize(
    "head",
    [
        b"#!/usr/bin/perl\n",
        b"#!/usr/bin/env node\n",
        b"#!/usr/bin/env -S perl -w\n",
        b"#!/nowhere/python\n",
        b"#!/bin/sh\n'''exec' /nowhere/python \"$0\" \"$@\"\n' '''\n",
        b"#!python\n",
    ],
)
def test_v005_finds_programs_without_their_interpreter(head: bytes) -> None:
    """In the package or in its dependencies it must be, behind env and sh too."""
    name = f"{INSIDE}/bin/tool"
    codes = {code for code, path in found(package({name: head}, programs=[name])) if path == name}
    assert codes == {"V005"}


@pytest.mark.parametrize(
    "head", [b"#!/bin/sh\n", b"#! /bin/sh -e\n", b"#!/opt/venvs/app/bin/python3\n", b"echo\n", b""]
)
def test_programs_with_their_interpreter_are_right(head: bytes) -> None:
    """What every system has is not depended on."""
    name = "usr/bin/tool"
    assert found(package({name: head}, programs=[name])) == []


def test_v005_finds_a_first_line_that_is_too_long() -> None:
    """127 bytes are what every kernel reads."""
    name = f"{INSIDE}/bin/tool"
    report = verify(look(package({name: b"#!/bin/sh " + b"x" * 130 + b"\n"}, programs=[name])))
    assert [(f.code, f.path, "over the limit" in f.message) for f in report.findings] == [
        ("V005", name, True)
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"NAME = 2\n", "has another hash"),
        (b"NAME = 10\n", "has 10 bytes instead of 9"),
        (None, "is not there"),
    ],
)
def test_v006_finds_files_that_are_not_what_record_says(data: bytes | None, why: str) -> None:
    """A changed byte, a changed size, a missing file."""
    name = f"{SITE}/app/x.py"
    files = {} if data is None else {name: data}
    report = verify(look(package(files, recorded={name: MODULE})))
    assert [(f.code, f.path) for f in report.findings] == [("V006", name)]
    assert why in report.findings[0].message


def test_v007_finds_a_library_that_nothing_provides(objects: Objects) -> None:
    """The object is named, and the soname."""
    name = f"{SITE}/app/x.so"
    evidence = look(package({name: objects["program"]}), replace(SYSTEM, sonames={}))
    report = verify(evidence)
    assert {(f.code, f.path) for f in report.findings} == {("V007", name)}
    assert "libc.so.6" in report.findings[0].message


def test_v008_finds_a_library_that_depends_does_not_cover(objects: Objects) -> None:
    """The build machine has it, and so the build went well."""
    name = f"{SITE}/app/x.so"
    bare = CONTROL.replace(b"python3.11, libc6 (>= 2.36)", b"python3.11")
    report = verify(look(package({name: objects["program"], "DEBIAN/control": bare})))
    assert {(f.code, f.path) for f in report.findings} == {("V008", name)}
    assert "libc6" in report.findings[0].message


@pytest.mark.parametrize("field", ["Recommends", "Suggests", "Pre-Depends"])
def test_weaker_relations_cover_a_library_too(objects: Objects, field: str) -> None:
    """The key demote puts it there on purpose."""
    control = CONTROL.replace(b", libc6 (>= 2.36)", b"\n" + field.encode() + b": libc6")
    assert found(package({f"{SITE}/app/x.so": objects["program"], "DEBIAN/control": control})) == []


@pytest.mark.parametrize(
    "depends", [b"python3 (>= 3.11~)", b"python3.11-minimal", b"python3.12, python3.11-minimal"]
)
def test_v009_finds_an_interpreter_that_is_not_held(depends: bytes) -> None:
    """To its minor version, by the name of the package that has the whole standard library."""
    control = b"Package: app\nVersion: 1\nDepends: libc6, " + depends + b"\n"
    assert ("V009", f"{INSIDE}/bin/python") in found(package({"DEBIAN/control": control}))


def test_a_tree_without_an_environment_is_no_crash() -> None:
    """Nothing is there that could be wrong."""
    assert verify(look(Tree({}))).findings == ()


def test_a_special_file_is_no_crash() -> None:
    """V016 finds a device by its kind; no check reads it."""
    tree = package()
    path = INSIDE / "device"
    made = Tree({**tree.entries, path: Entry(path=path, kind="special", mode=0o644)})
    assert found(made) == [("V016", str(path))]


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o666, 0o777])
def test_v016_finds_modes_that_no_environment_needs(mode: int) -> None:
    """Set-id bits, and what anyone may write."""
    tree = package({f"{INSIDE}/x": b"x"})
    path = INSIDE / "x"
    made = Tree({**tree.entries, path: replace(tree.entries[path], mode=mode)})
    assert found(made) == [("V016", str(path))]


def test_v010_finds_machine_code_in_a_package_for_all(objects: Objects) -> None:
    """And code for another machine than the package's."""
    name = f"{SITE}/app/x.so"
    for architecture, codes in (("all", ["V010"]), ("s390x", ["V010"])):
        control = CONTROL + f"Architecture: {architecture}\n".encode()
        assert [
            code for code, _ in found(package({name: objects["program"], "DEBIAN/control": control}))
        ] == codes


def test_v010_says_what_to_leave_out(objects: Objects) -> None:
    """As a glob of the key prune; machine code in a package for all is another matter."""
    name = f"{SITE}/app/arm/x.so"
    for architecture, said in (("all", "Architecture: any"), ("s390x", 'prune = ["*/app/arm/x.so"]')):
        control = CONTROL + f"Architecture: {architecture}\n".encode()
        report = verify(look(package({name: objects["program"], "DEBIAN/control": control})))
        assert said in next(f.hint for f in report.findings if f.code == "V010")


def test_bytecode_that_holds_another_path_is_no_build_path() -> None:
    """A wheel's module may say where it was compiled, as numpy's does; only its own path is the prefix."""
    name = f"{SITE}/app/__pycache__/there.cpython-311.pyc"
    place = b"/opt/_internal/cpython-3.11.14"
    other = place + b"/lib/python3.11/site-packages/scipy_openblas64/include"
    own = b"/opt/venvs/app/lib/python3.11/site-packages/app/there.py"
    assert find_build_paths(package({name: b"\0" + own + b"\0" + other + b"\0"}), INSIDE) == ()
    built = place + b"/lib/python3.11/site-packages/app/there.py"
    assert find_build_paths(package({name: b"\0" + built + b"\0"}), INSIDE) == (place,)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (f"{INFO}/direct_url.json", b'{"url": "file:///x", "dir_info": {"editable": true}}'),
        (f"{SITE}/__editable__.app-1.0.pth", b"/srv/app/src\n"),
        (f"{SITE}/app.egg-link", b"/srv/app\n"),
    ],
)
def test_v013_finds_editable_installs(name: str, data: bytes) -> None:
    """As PEP 610, setuptools and its old command leave them."""
    assert found(package({name: data})) == [("V013", name)]


@pytest.mark.parametrize(
    ("requires", "unmet"),
    [
        ("none-such", True),
        ("app > 1.0", True),
        ("app == 1.0", False),
        ("none-such; python_version < '3.11'", False),
        ("none-such; python_version >= '3.11'", True),
        ("none-such; extra == 'more'", False),
        ("none-such; sys_platform == 'win32'", False),
        ("((", True),
    ],
)
def test_v014_finds_requirements_that_are_not_met(requires: str, unmet: bool) -> None:
    """On the Python and the system that the package is for; extras are nobody's."""
    metadata = f"Name: app\nVersion: 1.0\nRequires-Dist: {requires}\n".encode()
    files = {f"{SITE}/app/__init__.py": MODULE, f"{INFO}/METADATA": metadata}
    tree = package({**files, f"{INFO}/RECORD": record(files)})
    assert [code for code, _ in found(tree)] == (["V014"] if unmet else [])


def test_two_slashes_at_the_beginning_are_one() -> None:
    """POSIX leaves their meaning open; links and first lines have them all the same."""
    links = {f"{INSIDE}/bin/odd": "//usr/bin/python3.11"}
    tree = package({f"{INSIDE}/bin/tool": b"#!//bin/sh\n"}, links=links, programs=[f"{INSIDE}/bin/tool"])
    assert found(tree) == []


@pytest.mark.parametrize(
    ("source", "more", "expected"),
    [
        (b"try:\n    import tkinter\nexcept ImportError:\n    pass\n", b"", []),
        (b"x = 1\n", b"Suggests: python3-tk\n", []),
        (b"x = 1\n", b"", ["V018"]),
    ],
)
def test_v018_leaves_what_is_not_needed(source: bytes, more: bytes, expected: list[str]) -> None:
    """A guarded import loads python3-tk where that is installed; a server need not have it."""
    names = ("python3-tk", "libtk8.6")
    packages = {
        **SYSTEM.packages,
        "python3-tk": Installed(version="1", depends=(("libtk8.6",),), provides=frozenset()),
        "libtk8.6": Installed(version="1", depends=(), provides=frozenset()),
    }
    owners = {**SYSTEM.owners, **{f"/usr/lib/{name}.so": name for name in names}}
    system = replace(SYSTEM, packages=packages, owners=owners)
    files = {f"{INSIDE}/lib/python3.11/site-packages/gui.py": source, "DEBIAN/control": CONTROL + more}
    smoke = Smoke(mapped=("/usr/lib/libtk8.6.so",))
    evidence = look(package(files), system).with_run(smoke, lambda _: {})
    assert [f.code for f in verify(evidence).findings] == expected
