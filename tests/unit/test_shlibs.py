"""Where each needed library comes from, as ld.so would decide."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

import pytest

from objects import Objects
from venvpkg.elf import Elf
from venvpkg.process import Shell
from venvpkg.shlibs import (
    Bundled,
    External,
    Link,
    Missing,
    explain_missing,
    host_machine,
    is_interpreter_library,
    link_objects,
    name_packages,
    owners_beyond,
    read_elves,
)
from venvpkg.system import Installed, System
from venvpkg.tree import Tree

PREFIX = PurePosixPath("/opt/venvs/app")
SITE = "lib/python3.11/site-packages"
SYSTEM = System(sonames={"libc.so.6": "/lib/libc.so.6", "libboth.so.1": "/usr/lib/libboth.so.1"})


def elf(*needed: str, soname: str = "", runpath: tuple[str, ...] = ()) -> Elf:
    """An object that needs these."""
    return Elf(machine="EM_X86_64", bits=64, needed=needed, soname=soname, runpath=runpath, interpreter="")


def links(files: dict[str, Elf], mapped: tuple[str, ...] = ()) -> tuple[Link, ...]:
    """Decide for objects below the prefix."""
    return link_objects({PurePosixPath(p): e for p, e in files.items()}, PREFIX, SYSTEM, mapped)


def bundled(name: str, *, reachable: bool = True, place: str = "x.libs") -> Bundled:
    """A link of pkg/m.so to a library of the environment."""
    return Bundled(
        object=PurePosixPath(f"{SITE}/pkg/m.so"),
        soname=name,
        path=PurePosixPath(f"{SITE}/{place}/{name}"),
        reachable=reachable,
    )


@pytest.mark.parametrize(
    "folder",
    [
        "$ORIGIN/../x.libs",
        "${ORIGIN}/../x.libs",
        "$ORIGIN/../../site-packages/x.libs",
        "$ORIGIN/.././x.libs/",
        f"{PREFIX}/{SITE}/x.libs",
        f"{PREFIX}////{SITE}/x.libs",
        f"/opt/../opt/venvs/app/{SITE}/x.libs",
    ],
)
def test_a_runpath_that_leads_to_the_library_makes_it_bundled(folder: str) -> None:
    """In every way of writing it: auditwheel's, patchelf's, an absolute one."""
    files = {
        f"{SITE}/pkg/m.so": elf("libx.so.1", runpath=("/nowhere", folder)),
        f"{SITE}/x.libs/libx.so.1": elf(),
    }
    assert links(files) == (bundled("libx.so.1"),)


@pytest.mark.parametrize(
    "folder", ["$ORIGINAL/../x.libs", "/usr/lib", "$ORIGIN/../../../../../../../etc", "x.libs", "$LIB"]
)
def test_a_runpath_that_leads_elsewhere_does_not_reach(folder: str) -> None:
    """The environment has the library all the same."""
    files = {f"{SITE}/pkg/m.so": elf("libx.so.1", runpath=(folder,)), f"{SITE}/x.libs/libx.so.1": elf()}
    assert links(files) == (bundled("libx.so.1", reachable=False),)


def test_without_a_runpath_the_environments_library_is_bundled_and_unreachable() -> None:
    """Something has to load it first; ctypes, mostly."""
    files = {f"{SITE}/pkg/m.so": elf("libx.so.1"), f"{SITE}/x.libs/libx.so.1": elf(soname="libx.so.1")}
    assert links(files) == (bundled("libx.so.1", reachable=False),)


def test_a_library_is_known_by_its_soname_too() -> None:
    """Its file may have another name."""
    files = {f"{SITE}/pkg/m.so": elf("libx.so.1"), f"{SITE}/x.libs/libx-1.2.so": elf(soname="libx.so.1")}
    (link,) = links(files)
    assert isinstance(link, Bundled)
    assert link.path.name == "libx-1.2.so"


def test_the_systems_library_is_external() -> None:
    """What ldconfig knows."""
    assert links({"bin/m.so": elf("libc.so.6")}) == (
        External(object=PurePosixPath("bin/m.so"), soname="libc.so.6"),
    )


def test_a_library_that_both_have_is_the_systems_where_no_runpath_leads() -> None:
    """The dynamic linker would not look into the environment."""
    files = {
        f"{SITE}/pkg/m.so": elf("libboth.so.1"),
        f"{SITE}/x.libs/libboth.so.1": elf(soname="libboth.so.1"),
    }
    assert links(files) == (External(object=PurePosixPath(f"{SITE}/pkg/m.so"), soname="libboth.so.1"),)


def test_a_library_that_both_have_is_the_environments_where_a_runpath_leads() -> None:
    """That comes before the system's folders."""
    files = {
        f"{SITE}/pkg/m.so": elf("libboth.so.1", runpath=("$ORIGIN/../x.libs",)),
        f"{SITE}/x.libs/libboth.so.1": elf(),
    }
    assert links(files) == (bundled("libboth.so.1"),)


def test_what_the_smoke_run_had_mapped_decides_between_the_two() -> None:
    """A package that preloads its own copy is seen doing it; under the prefix alone it counts."""
    files = {
        f"{SITE}/pkg/m.so": elf("libboth.so.1"),
        f"{SITE}/x.libs/libboth.so.1": elf(soname="libboth.so.1"),
    }
    assert links(files, (f"{PREFIX}/{SITE}/x.libs/libboth.so.1",)) == (
        bundled("libboth.so.1", reachable=False),
    )
    assert isinstance(links(files, ("/usr/lib/libboth.so.1",))[0], External)


def test_a_library_that_nobody_has_is_missing() -> None:
    """For each object that needs it."""
    files = {"a.so": elf("libgone.so.1"), "b.so": elf("libgone.so.1", "libc.so.6")}
    found = links(files)
    assert [type(link) for link in found] == [Missing, Missing, External]
    assert [str(link.object) for link in found] == ["a.so", "b.so", "b.so"]


@pytest.mark.parametrize(
    "soname", ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld64.so.2", "linux-vdso.so.1"]
)
def test_the_dynamic_linker_itself_is_no_library(soname: str) -> None:
    """The cache does not list it on every architecture, and nothing starts without it."""
    assert is_interpreter_library(soname)
    assert links({"a.so": elf(soname)}) == ()


def test_an_object_with_an_empty_soname_answers_for_its_file_alone() -> None:
    """A module of Python has none."""
    assert [type(link) for link in links({"a.so": elf("libgone.so"), "b.so": elf()})] == [Missing]


# --- Real objects


def test_real_objects_are_read_and_linked(objects: Objects) -> None:
    """Through the tree, with damaged, tiny and other files beside them."""
    tree = Tree.from_files(
        {
            "pkg/one.so": objects["runpath.so"],
            "libs/libprivate.so.1": objects["libprivate.so.1"],
            "pkg/damaged.so": objects["runpath.so"][:400],
            "pkg/tiny.so": b"\x7fELF",
            "pkg/text.so": b"INPUT(libx.so)\n" + b" " * 60,
        }
    )
    elves = read_elves(tree)
    assert {"pkg/one.so", "libs/libprivate.so.1"} <= {str(p) for p in elves}
    assert not {PurePosixPath("pkg/tiny.so"), PurePosixPath("pkg/text.so")} & set(elves)
    found = link_objects({p: e for p, e in elves.items() if p.name != "damaged.so"}, PREFIX, SYSTEM)
    assert (
        Bundled(
            object=PurePosixPath("pkg/one.so"),
            soname="libprivate.so.1",
            path=PurePosixPath("libs/libprivate.so.1"),
            reachable=True,
        )
        in found
    )


def test_the_machine_of_an_interpreter_is_read(objects: Objects, tmp_path: Path) -> None:
    """Nothing, where it is no ELF file or not there."""
    found = host_machine(objects.folder / "program")
    assert found
    assert found[0].startswith("EM_")
    assert found[1] in (32, 64)
    (tmp_path / "shim").write_text("#!/bin/sh\n", encoding="utf-8")
    assert host_machine(tmp_path / "shim") is None
    assert host_machine(tmp_path / "gone") is None


# --- Names


@pytest.fixture
def without_apt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave apt-file out of PATH: it takes seconds for each answer, where it is installed."""
    program = shutil.which("apt-cache")
    if program:
        (tmp_path / "apt-cache").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.skipif(not shutil.which("apt-cache"), reason="there is no apt")
@pytest.mark.parametrize(
    "soname",
    ["libpng16.so.16", "libz.so.1", "libstdc++.so.6", "libLLVM-14.so.1", "x.so", "lib.so", "", "a(b.so"],
)
@pytest.mark.usefixtures("without_apt_file")
def test_any_soname_is_answered_with_names(soname: str) -> None:
    """With what apt knows here, which may be nothing; never with what it does not know."""
    for name in name_packages(soname, Shell()):
        assert name
        assert " " not in name


@pytest.mark.skipif(not shutil.which("apt-cache"), reason="there is no apt")
@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libc.so.6", "libc6"),
        ("libpng16.so.16", "libpng16-16"),
        ("libstdc++.so.6", "libstdc++6"),
        ("libgcc_s.so.1", "libgcc-s1"),
    ],
)
def test_a_soname_names_its_package_as_policy_has_it(soname: str, package: str) -> None:
    """Policy §8.1: name and number, with a dash where the name ends in a digit."""
    known = Shell()(["apt-cache", "pkgnames", package], check=False).stdout.split()
    if not {package, f"{package}t64"} & set(known):
        pytest.skip(f"apt knows no {package} here")
    assert name_packages(soname, Shell())[0].removesuffix("t64") == package


@pytest.mark.usefixtures("without_apt_file")
def test_missing_libraries_are_told_with_who_needs_them() -> None:
    """Each once, with the number of others."""
    missing = [Missing(object=PurePosixPath(f"lib/{n}.so"), soname="libnone-such.so.9") for n in "abc"]
    missing.append(Missing(object=PurePosixPath("lib/d.so"), soname="libother-none.so.1"))
    error = explain_missing(missing, PREFIX, Shell())
    assert error.code == "soname-not-found"
    assert list(error.causes) == [
        "/opt/venvs/app/lib/a.so and 2 more needs libnone-such.so.9",
        "/opt/venvs/app/lib/d.so needs libother-none.so.1",
    ]
    assert "V007" in error.hint


def test_packages_of_used_files_that_nothing_brings_in_are_named() -> None:
    """With one file each."""
    machine = System(
        packages={
            name: Installed(version="1", depends=depends, provides=frozenset())
            for name, depends in (("app", (("liba",),)), ("liba", ()), ("libb", ()))
        },
        owners={"/usr/lib/a.so": "liba", "/usr/lib/b.so": "libb", "/usr/lib/b2.so": "libb"},
    )
    used = ["/usr/lib/a.so", "/usr/lib/b.so", "/usr/lib/b2.so", "/nowhere"]
    assert owners_beyond(used, "app", machine) == {"libb": "/usr/lib/b.so"}


def test_library_that_another_one_brings_in_is_not_named() -> None:
    """Nor one of two that depend on each other; which is the same every time."""
    depends = {
        "libpq5": ("libldap", "libssl"),
        "libldap": ("libsasl",),
        "libone": ("libtwo",),
        "libtwo": ("libone",),
    }
    names = ("libpq5", "libldap", "libsasl", "libone", "libtwo")
    machine = System(
        packages={
            name: Installed(
                version="1", depends=tuple((n,) for n in depends.get(name, ())), provides=frozenset()
            )
            for name in names
        },
        owners={f"/usr/lib/{name}.so": name for name in names},
    )
    used = [f"/usr/lib/{name}.so" for name in reversed(names)]
    assert list(owners_beyond(used, "", machine)) == ["libtwo", "libpq5"]
