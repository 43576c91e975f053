"""As a new user: venvpkg from its wheel on a bare Debian, and a project that has never seen a debian/."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from debian.deb822 import Deb822

import roots
from checkout import build_wheel
from roots import Root, RootFactory

pytestmark = [pytest.mark.root, pytest.mark.network]

# setuptools, with a console script.
GREET = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "greet"
version = "1.2.0"
description = "A program that greets"
dependencies = ["click>=8"]

[project.scripts]
greet = "greet:main"
""",
    "src/greet/__init__.py": """\
import click


@click.command()
@click.argument("name", default="world")
def main(name):
    click.echo(f"hello, {name}")
""",
}

# hatchling, with an extra and a service.
CLOCKD = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "clockd"
dynamic = ["version"]
description = "Tells the time over HTTP"
license = "MIT"
authors = [{ name = "Ada Example", email = "ada@example.org" }]

[project.optional-dependencies]
words = ["itsdangerous>=2"]

[project.scripts]
clockd = "clockd.server:main"

[project.urls]
Homepage = "https://clockd.example.org"

[tool.hatch.version]
path = "clockd/__init__.py"

[tool.venvpkg]
extras = ["words"]
expose = ["clockd"]
""",
    "clockd/__init__.py": '__version__ = "0.3rc1"\n',
    "clockd/server.py": """\
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import itsdangerous


class Clock(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"it is time\\n")


def main():
    if sys.argv[1:] == ["--version"]:
        print("clockd", itsdangerous.__name__)
        return
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Clock).handle_request()
""",
}

# Managed by uv, with an extension module in C.
CRUNCH = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "crunch"
version = "2.0"
description = "Sums what zlib makes of a text"
authors = [{ name = "Ada Example", email = "ada@example.org" }]
requires-python = ">=3.11"
dependencies = ["iniconfig>=2"]

[project.scripts]
crunch = "crunch:main"

[tool.venvpkg]
build-depends = ["zlib1g-dev"]
expose = ["crunch"]
smoke = ["crunch"]
""",
    "setup.py": """\
from setuptools import Extension, setup

setup(ext_modules=[Extension("crunch._sum", ["src/sum.c"], libraries=["z"])])
""",
    "src/sum.c": """\
#include <Python.h>
#include <zlib.h>

static PyObject *sum(PyObject *self, PyObject *none) { return PyLong_FromUnsignedLong(crc32(0, "abc", 3)); }
static PyMethodDef methods[] = {{"sum", sum, METH_NOARGS, "A sum."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sum", "", -1, methods};
PyMODINIT_FUNC PyInit__sum(void) { return PyModule_Create(&module); }
""",
    "src/crunch/__init__.py": """\
import iniconfig

from crunch._sum import sum


def main():
    print(iniconfig.__name__, sum())
""",
    # A developer's, which debhelper must not run.
    "Makefile": "all:\n\tfalse\n",
}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A bare Debian on which somebody has installed venvpkg with pip, and knows nothing else."""

    root: Root

    def write(self, name: str, files: dict[str, str]) -> str:
        """Put a project there, and return its folder."""
        for path, text in files.items():
            target = self.root.inside(f"/home/{name}/{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return f"/home/{name}"

    def type(self, command: str, cwd: str, *, check: bool = True) -> str:
        """What a command line prints, with both outputs."""
        begun = time.monotonic()
        done = self.root.run(
            command, cwd=cwd, check=check, env={"PATH": f"/root/tool/bin:{os.defpath}:/usr/sbin"}
        )
        print(f"$ {command}   # {time.monotonic() - begun:.1f} s\n{done.stdout}")
        return done.stdout


@contextmanager
def furnished(root_factory: RootFactory, suite: str, folder: Path) -> Iterator[Desk]:
    """A desk of this suite, with the wheel installed."""
    wheel = build_wheel(folder)
    with root_factory.base(suite, ["python3-venv"]).open() as root:
        made = Desk(root=root)
        root.copy_in(wheel, f"/root/{wheel.name}")
        made.type(f"/usr/bin/python3 -m venv tool && tool/bin/pip install -q ./{wheel.name}", "/root")
        yield made


@pytest.fixture(scope="module")
def desk(root_factory: RootFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all: what is installed for one project is there for the next."""
    with furnished(root_factory, "bookworm", tmp_path_factory.mktemp("wheel")) as made:
        yield made


def deb_of(desk: Desk, folder: str) -> Path:
    """The package in dist/."""
    (deb,) = (p for p in desk.root.inside(f"{folder}/dist").glob("*.deb") if "dbgsym" not in p.name)
    return deb


def fields_of(deb: Path) -> Deb822:
    """Its control fields."""
    return Deb822(subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout)


def test_without_debians_tools_it_says_what_to_install(desk: Desk) -> None:
    """In a line that can be pasted; this runs first, while they are missing."""
    folder = desk.write("first", GREET)
    said = desk.type("venvpkg build", folder, check=False)
    assert "error[build-tools-missing]" in said
    assert "hint: apt-get install --no-install-recommends build-essential debhelper\n" in said
    assert not desk.root.inside(f"{folder}/dist").exists()


def test_console_script_of_setuptools(desk: Desk, root_factory: RootFactory) -> None:
    """One command, from a bare pyproject.toml to a program on a server."""
    folder = desk.write("greet", GREET)
    said = desk.type("venvpkg build --install-build-depends", folder)
    deb = deb_of(desk, folder)
    assert "sudo apt install ./dist/greet_1.2.0_all.deb" in said
    assert not desk.root.inside(f"{folder}/debian").exists()
    fields = fields_of(deb)
    assert fields["Architecture"] == "all" and "python3.11" in fields["Depends"]
    assert fields["Description"].startswith("program that greets")
    proof = json.loads(deb.with_suffix(".verified.json").read_text())
    assert proof["findings"] == [] and "greet" in proof["imported"]
    with root_factory.base("bookworm").open() as server:
        server.install([deb])
        assert server.run("greet reader").stdout == "hello, reader\n"
        server.purge("greet")


def test_debian_13_does_the_same(root_factory: RootFactory, tmp_path: Path) -> None:
    """With its own Python and debhelper."""
    with furnished(root_factory, "trixie", tmp_path) as desk:
        folder = desk.write("greet", GREET)
        desk.type("venvpkg build --install-build-depends", folder)
        with root_factory.base("trixie").open() as server:
            server.install([deb_of(desk, folder)])
            assert server.run("greet reader").stdout == "hello, reader\n"


def test_service_of_hatchling(desk: Desk, root_factory: RootFactory) -> None:
    """With its version in the code, an extra, and a unit that init wrote."""
    folder = desk.write("clockd", CLOCKD)
    said = desk.type("venvpkg init --service", folder)
    assert "wrote debian/clockd.service" in said and "FIXME" not in said
    desk.type("venvpkg build --install-build-depends", folder)
    deb = deb_of(desk, folder)
    fields = fields_of(deb)
    assert fields["Version"] == "0.3~rc1"
    assert fields["Maintainer"] == "Ada Example <ada@example.org>"
    assert fields["Homepage"] == "https://clockd.example.org"
    with root_factory.base("bookworm", ["curl"]).open() as server:
        server.install([deb])
        unit = server.inside("/lib/systemd/system/clockd.service").read_text()
        (start,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
        told = server.run(f"{start} 8123 & sleep 1; curl -s http://127.0.0.1:8123/; wait")
        assert "it is time" in told.stdout


def test_extension_module_of_a_project_of_uv(desk: Desk, root_factory: RootFactory, tmp_path: Path) -> None:
    """Locked by uv, compiled here, and a Makefile that nobody asked for."""
    for path, text in CRUNCH.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    lock = ["uv", "lock", "--no-config", "--default-index", "https://pypi.org/simple"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    subprocess.run(lock, cwd=tmp_path, check=True, capture_output=True, env=env)
    folder = desk.write("crunch", {**CRUNCH, "uv.lock": (tmp_path / "uv.lock").read_text()})
    desk.type("venvpkg init", folder)
    assert "--buildsystem=none" in desk.root.inside(f"{folder}/debian/rules").read_text()
    desk.type("venvpkg build --install-build-depends", folder)
    fields = fields_of(deb_of(desk, folder))
    assert fields["Architecture"] != "all" and "zlib1g" in fields["Depends"]
    with root_factory.base("bookworm").open() as server:
        server.install([deb_of(desk, folder)])
        assert server.run("crunch").stdout == "iniconfig 891568578\n"


def test_unknown_maintainer_is_asked_for(desk: Desk) -> None:
    """Init writes what it does not know as a FIXME, which a build refuses."""
    assert not roots.why_not()
    folder = desk.write("nobody", GREET)
    said = desk.type("venvpkg init", folder)
    assert "left to you: debian/control:4: Maintainer: FIXME: your name <you@example.org>" in said
    refused = desk.type("venvpkg build", folder, check=False)
    assert "error[debian-unfinished]" in refused and "debian/control:4" in refused
    control = desk.root.inside(f"{folder}/debian/control")
    for path in (control, control.with_name("changelog")):
        path.write_text(path.read_text().replace("FIXME: your name", "Me").replace("you@", "me@"))
    assert "greet_1.2.0_all.deb" in desk.type("venvpkg build", folder)
