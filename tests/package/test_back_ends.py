"""Projects of every common build back end: init, build and lintian, without an edit."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debs import contents
from roots import Base, Root
from venvpkg.scaffold import FIXME

# Each fetches its back end from an index and builds a package.
pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.full]

MAIN = '"""A program."""\n\n__version__ = "1.4"\n\n\ndef main():\n    print("it works")\n'
C_MODULE = """\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "", -1, 0};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
"""


def project(
    backend: str, requires: str, *, table: str = "", tool: str = "", version: str = 'version = "1.4"'
) -> str:
    """A pyproject.toml of PEP 621."""
    return f"""\
[build-system]
requires = [{requires}]
build-backend = "{backend}"

[project]
name = "demo-app"
{version}
description = "Shows that it works"
license = {{ text = "MIT" }}
authors = [{{ name = "Ada Example", email = "ada@example.org" }}]
requires-python = ">=3.9"
{table}

[project.scripts]
demo-app = "demo_app:main"

{tool}
"""


SETUP_CFG = """\
[metadata]
name = demo-app
version = attr: demo_app.__version__
description = Shows that it works
author = Ada Example
author_email = ada@example.org
license = MIT

[options]
package_dir =
    = src
packages = find:

[options.packages.find]
where = src

[options.entry_points]
console_scripts =
    demo-app = demo_app:main
"""
SETUP_PY = """\
from setuptools import setup

setup(
    name="demo-app", version="1.4", description="Shows that it works", author="Ada Example",
    author_email="ada@example.org", license="MIT", package_dir={"": "src"}, packages=["demo_app"],
    entry_points={"console_scripts": ["demo-app = demo_app:main"]},
)
"""
POETRY = """\
[build-system]
requires = ["poetry-core>=1"]
build-backend = "poetry.core.masonry.api"

[tool.poetry]
name = "demo-app"
version = "1.4"
description = "Shows that it works"
authors = ["Ada Example <ada@example.org>"]
license = "MIT"
packages = [{ include = "demo_app", from = "src" }]

[tool.poetry.dependencies]
python = ">=3.9"
click = "^8"

[tool.poetry.scripts]
demo-app = "demo_app:main"
"""
FLIT = """\
[build-system]
requires = ["flit_core>=2,<4"]
build-backend = "flit_core.buildapi"

[tool.flit.metadata]
module = "demo_app"
dist-name = "demo-app"
author = "Ada Example"
author-email = "ada@example.org"
home-page = "https://github.com/example/demo-app"
classifiers = ["License :: OSI Approved :: MIT License"]

[tool.flit.scripts]
demo-app = "demo_app:main"
"""
DYNAMIC = 'dynamic = ["version"]'
SETUPTOOLS = '"setuptools>=61"'
CMAKE = """\
cmake_minimum_required(VERSION 3.15)
project(demo LANGUAGES C)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
python_add_library(_native MODULE native.c WITH_SOABI)
install(TARGETS _native DESTINATION demo_app)
"""
MESON = """\
project('demo-app', 'c', version: '1.4')
py = import('python').find_installation(pure: false)
py.install_sources('src/demo_app/__init__.py', subdir: 'demo_app')
py.extension_module('_native', 'native.c', install: true, subdir: 'demo_app')
"""
GIT = (
    "git init -q && git add -A && git -c user.name=x -c user.email=x@example.org commit -q -m x "
    "&& git tag v1.4"
)

# Files beside src/demo_app/__init__.py, and a command that comes before.
PROJECTS: dict[str, dict[str, str]] = {
    "setuptools": {"pyproject.toml": project("setuptools.build_meta", SETUPTOOLS)},
    "setuptools, version of an attribute": {
        "pyproject.toml": project(
            "setuptools.build_meta",
            SETUPTOOLS,
            version=DYNAMIC,
            tool='[tool.setuptools.dynamic]\nversion = { attr = "demo_app.__version__" }',
        )
    },
    "setuptools, setup.cfg": {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=61"]\n',
        "setup.cfg": SETUP_CFG,
    },
    "setuptools, setup.py alone": {"setup.py": SETUP_PY},
    "setuptools-scm": {
        "pyproject.toml": project(
            "setuptools.build_meta",
            '"setuptools>=61", "setuptools-scm>=8"',
            version=DYNAMIC,
            tool="[tool.setuptools_scm]",
        ),
        "before": GIT,
    },
    "setuptools, an extension module": {
        "pyproject.toml": project("setuptools.build_meta", SETUPTOOLS),
        "setup.py": "from setuptools import Extension, setup\n"
        'setup(ext_modules=[Extension("demo_app._native", ["native.c"])])\n',
        "native.c": C_MODULE,
    },
    "hatchling": {"pyproject.toml": project("hatchling.build", '"hatchling"')},
    "hatchling, version of a file": {
        "pyproject.toml": project(
            "hatchling.build",
            '"hatchling"',
            version=DYNAMIC,
            tool='[tool.hatch.version]\npath = "src/demo_app/__init__.py"',
        )
    },
    "hatch-vcs": {
        "pyproject.toml": project(
            "hatchling.build",
            '"hatchling", "hatch-vcs"',
            version=DYNAMIC,
            tool='[tool.hatch.version]\nsource = "vcs"',
        ),
        "before": GIT,
    },
    "flit": {
        "pyproject.toml": project(
            "flit_core.buildapi", '"flit_core>=3.2"', tool='[tool.flit.module]\nname = "demo_app"'
        )
    },
    "flit, all of it in the module": {
        "pyproject.toml": project(
            "flit_core.buildapi",
            '"flit_core>=3.2"',
            version=DYNAMIC,
            tool='[tool.flit.module]\nname = "demo_app"',
        )
    },
    "flit, its old table": {"pyproject.toml": FLIT},
    "pdm": {
        "pyproject.toml": project("pdm.backend", '"pdm-backend"', tool="[tool.pdm]\ndistribution = true")
    },
    "pdm, version of a file": {
        "pyproject.toml": project(
            "pdm.backend",
            '"pdm-backend"',
            version=DYNAMIC,
            tool='[tool.pdm.version]\nsource = "file"\npath = "src/demo_app/__init__.py"',
        )
    },
    "poetry": {"pyproject.toml": POETRY},
    "poetry, PEP 621": {
        "pyproject.toml": project(
            "poetry.core.masonry.api",
            '"poetry-core>=2"',
            table='dependencies = ["click>=8"]',
            tool='[tool.poetry]\npackages = [{ include = "demo_app", from = "src" }]',
        )
    },
    "uv": {"pyproject.toml": project("uv_build", '"uv_build"')},
    "scikit-build-core": {
        "pyproject.toml": project("scikit_build_core.build", '"scikit-build-core>=0.10"'),
        "CMakeLists.txt": CMAKE,
        "native.c": C_MODULE,
    },
    "meson-python": {
        "pyproject.toml": project("mesonpy", '"meson-python"'),
        "meson.build": MESON,
        "native.c": C_MODULE,
    },
    "a name with dots and capitals": {
        "pyproject.toml": project("setuptools.build_meta", SETUPTOOLS).replace(
            'name = "demo-app"', 'name = "Demo.App"'
        )
    },
}


@pytest.fixture(scope="module")
def workshop(builder_base: Callable[[str], Base]) -> Iterator[Root]:
    """A builder with what people have who build extension modules, and lintian."""
    with builder_base("bookworm").open() as root:
        root.apt("install", "git", "lintian", "cmake", "ninja-build", "pkg-config")
        yield root


@pytest.mark.parametrize("name", PROJECTS)
def test_back_end_builds_without_an_edit(workshop: Root, name: str) -> None:
    """From init to a package that works and of which lintian says nothing."""
    folder = f"/srv/{list(PROJECTS).index(name)}/demo app"
    files = {"src/demo_app/__init__.py": MAIN, "README.md": "Demo\n", **PROJECTS[name]}
    before = files.pop("before", "")
    for path, text in files.items():
        target = workshop.inside(f"{folder}/{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    if before:
        workshop.run(before, cwd=folder)
    said = workshop.run("venvpkg init", cwd=folder).stdout
    assert FIXME not in said, said
    built = workshop.run("venvpkg build --source", cwd=folder).stdout
    (deb,) = (p for p in workshop.inside(f"{folder}/dist").glob("demo-app_*.deb"))
    assert deb.name.startswith("demo-app_1.4_"), built
    native = "native.c" in files
    assert deb.name.endswith("_all.deb") != native
    assert "usr/bin/demo-app" in contents(deb)
    told = workshop.run("lintian --allow-root dist/*.changes", cwd=folder, check=False).stdout
    print(f"{name}: {deb.name}, lintian: {told.strip() or 'nothing'}")
    # A package of debug symbols may hold nothing else, no override; lintian of Debian 12 knows no zstd.
    known = "-dbgsym: malformed-deb-archive"
    assert not [line for line in told.splitlines() if line.startswith(("E:", "W:")) and known not in line]


def test_metadata_of_maturin_are_read(workshop: Root, tmp_path: Path) -> None:
    """Without a Rust compiler init can't see what is inside, and says so."""
    folder = "/srv/maturin"
    target = workshop.inside(f"{folder}/pyproject.toml")
    target.parent.mkdir(parents=True)
    target.write_text(
        project("maturin", '"maturin>=1.5,<2"', tool='[tool.maturin]\nmodule-name = "demo_app"')
    )
    workshop.inside(f"{folder}/Cargo.toml").write_text('[package]\nname = "demo"\nversion = "1.4.0"\n')
    said = workshop.run("venvpkg init", cwd=folder).stdout
    assert "could not see what is inside" in said
    control = workshop.inside(f"{folder}/debian/control").read_text()
    assert "Architecture: any" in control and FIXME not in control


def test_program_of_rust_is_built(workshop: Root) -> None:
    """It is no entry point, and Cargo writes where it ran into the bill of materials."""
    workshop.apt("install", "cargo")
    folder = "/srv/rust"
    files = {
        "pyproject.toml": project(
            "maturin", '"maturin>=1.5,<2"', tool='[tool.maturin]\nbindings = "bin"'
        ).replace('[project.scripts]\ndemo-app = "demo_app:main"\n', ""),
        "Cargo.toml": '[package]\nname = "demo-app"\nversion = "1.4.0"\nedition = "2021"\n',
        "src/main.rs": 'fn main() { println!("hello from rust"); }\n',
    }
    for path, text in files.items():
        target = workshop.inside(f"{folder}/{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    workshop.run("venvpkg build", cwd=folder)
    (deb,) = (p for p in workshop.inside(f"{folder}/dist").glob("demo-app_*.deb"))
    assert not deb.name.endswith("_all.deb") and "usr/bin/demo-app" in contents(deb)
    workshop.run("dpkg -i dist/demo-app_*.deb", cwd=folder)
    assert workshop.run("demo-app").stdout == "hello from rust\n"
