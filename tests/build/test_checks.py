"""One package for each check, with exactly its defect."""

from __future__ import annotations

import json
import py_compile
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from handmade import KEY, PYTHON, add_distribution, make_deb, make_root, site_of
from venvpkg.contents import Search
from venvpkg.deb import read_deb
from venvpkg.distributions import text_of
from venvpkg.evidence import gather
from venvpkg.host import read_md5sums
from venvpkg.inspection import read_accepted, try_out
from venvpkg.process import Shell, current_environment
from venvpkg.system import System
from venvpkg.verify import verify
from workbench import library

INSIDE = PurePosixPath("opt/venvs/app")
BUILT_AT = "/srv/build/env"

Defect = Callable[[Path], str]
DEFECTS: dict[str, Defect] = {}


def defect(code: str) -> Callable[[Defect], Defect]:
    """Register what makes a right package a wrong one, and returns the path that is named."""

    def register(make: Defect) -> Defect:
        DEFECTS[code] = make
        return make

    return register


def put(root: Path, path: str, data: bytes, mode: int = 0o644) -> str:
    """Write a file of the environment."""
    place = root / INSIDE / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(mode)
    return str(INSIDE / path)


def in_site(root: Path, name: str) -> str:
    """The path, inside the package, of a file in site-packages."""
    return str((site_of(root) / name).relative_to(root))


@defect("V001")
def _(root: Path) -> str:
    return put(root, "etc/app.conf", f"cache = {BUILT_AT}/cache\n".encode())


@defect("V002")
def _(root: Path) -> str:
    source = site_of(root) / "thing.py"
    source.write_text("NAME = 1\n")
    py_compile.compile(str(source), str(source) + "c", dfile=f"{BUILT_AT}/thing.py")
    source.unlink()
    return in_site(root, "thing.pyc")


@defect("V003")
def _(root: Path) -> str:
    return put(root, "lib/_x.so", library("_x.so") + f"{BUILT_AT}/x.c\0".encode())


@defect("V004")
def _(root: Path) -> str:
    (root / INSIDE / "latest").symlink_to("/srv/releases/7")
    return str(INSIDE / "latest")


@defect("V005")
def _(root: Path) -> str:
    return put(root, "bin/tool", b"#!/usr/local/bin/python9.9\n", 0o755)


@defect("V006")
def _(root: Path) -> str:
    add_distribution(root, "demo")
    (site_of(root) / "demo/__init__.py").write_text("NAME = 2\n")
    return in_site(root, "demo/__init__.py")


@defect("V007")
def _(root: Path) -> str:
    return put(root, "lib/_x.so", library("_x.so", "libnowhere.so.9"))


@defect("V008")
def _(root: Path) -> str:
    return put(root, "lib/_x.so", library("_x.so", "libgomp.so.1"))


@defect("V009")
def _(root: Path) -> str:
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace(PYTHON.resolve().name, "python3"))
    return str(INSIDE / "bin/python")


@defect("V010")
def _(root: Path) -> str:
    data = bytearray(library("_x.so"))
    # e_machine (elf(5)): AArch64, or x86-64 where that is what this machine is.
    data[18:20] = (0x3E if data[18] == 0xB7 else 0xB7).to_bytes(2, "little")
    return put(root, "lib/_x.so", bytes(data))


@defect("V011")
def _(root: Path) -> str:
    add_distribution(root, "demo", {"demo/__init__.py": b"import nothing_of_that_name\n"}, local=True)
    return "demo"


@defect("V012")
def _(root: Path) -> str:
    return put(root, "etc/app.pem", KEY.encode())


@defect("V013")
def _(root: Path) -> str:
    add_distribution(root, "demo", {"__editable__.demo.pth": b"/srv/source/demo\n"})
    return in_site(root, "__editable__.demo.pth")


@defect("V014")
def _(root: Path) -> str:
    add_distribution(root, "demo", metadata="Requires-Dist: other>=2\n")
    return in_site(root, "demo-1.dist-info")


@defect("V015")
def _(root: Path) -> str:
    add_distribution(root, "one", {"shared/__init__.py": b"NAME = 'one'\n"})
    add_distribution(root, "two", {"shared/__init__.py": b"NAME = 'two'\n"})
    return in_site(root, "shared/__init__.py")


@defect("V016")
def _(root: Path) -> str:
    return put(root, "bin/tool", b"#!/bin/sh\n", 0o4755)


@defect("V017")
def _(root: Path) -> str:
    add_distribution(root, "demo", {"demo/gui.py": b"import tkinter\n"}, local=True)
    return in_site(root, "demo/gui.py")


@defect("V018")
def _(root: Path) -> str:
    program = b"import ctypes\nctypes.CDLL('libgomp.so.1')\n"
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    found = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"libgomp\.so\.1 .*=> (\S+)", found)
    assert match
    return str(Path(match[1]).resolve()).lstrip("/")


@defect("V019")
def _(root: Path) -> str:
    (site_of(root) / "zz.pth").write_text("import sys; sys.stdout.write('')\n")
    return in_site(root, "zz.pth")


@defect("V020")
def _(root: Path) -> str:
    (root / "DEBIAN/md5sums").write_text(f"{'0' * 32}  {INSIDE}/etc/app.conf\n")
    return put(root, "etc/app.conf", b"edited = by hand\n")


def find(deb: Path) -> list[tuple[str, str]]:
    """Code and path of every finding that the manifest does not accept; the environment is run."""
    run = Shell()
    tree = read_deb(deb)
    shipped = read_md5sums(text_of(tree, PurePosixPath("DEBIAN/md5sums")))
    evidence = gather(
        tree, INSIDE, Search(build_paths=(BUILT_AT.encode(),)), partial(System.read, run), shipped=shipped
    )
    top = deb.with_suffix(".x")
    shutil.rmtree(top, ignore_errors=True)
    run(["dpkg-deb", "-x", deb, top])
    report = verify(try_out(evidence, top, run, current_environment()))
    left = report.without(read_accepted(evidence.tree, INSIDE)).findings
    return [(f.code, f.path) for f in left]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The build root of a right package."""
    if not PYTHON.exists() or not shutil.which("gcc"):
        pytest.skip(f"{PYTHON} and gcc are not both here")
    return make_root(tmp_path / "app")


@pytest.mark.parametrize("code", sorted(DEFECTS))
def test_each_check_finds_its_defect_and_no_other_check_does(code: str, root: Path) -> None:
    """In a real .deb, on this machine's package database."""
    assert find(make_deb(root)) == []
    path = DEFECTS[code](root)
    assert find(make_deb(root)) == [(code, path)]


@pytest.mark.parametrize("code", sorted(DEFECTS))
def test_each_finding_can_be_accepted(code: str, root: Path) -> None:
    """By code and path, with a reason; another path does not do."""
    path = DEFECTS[code](root)
    for accepted, left in ((path, []), ("some/other/path", [(code, path)])):
        record = {"code": code, "path": accepted, "reason": "known"}
        manifest = {"accepted": [record], "project": "demo"}
        (root / INSIDE / "venvpkg.json").write_text(json.dumps(manifest))
        assert find(make_deb(root)) == left


def test_every_check_of_the_documentation_has_a_defect() -> None:
    """docs/checks.md and the table above have the same numbers."""
    text = (Path(__file__).resolve().parents[2] / "docs/checks.md").read_text()
    assert set(DEFECTS) == set(re.findall(r"^## (V\d{3}):", text, re.MULTILINE))
