"""An interpreter inside the package: Debian's, pyenv's or uv's, copied and made right for its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builds import PYTHON, Case, fail
from venvpkg.elsewhere import find_foreign

MakeCase = Callable[..., Case]
# The newest of each minor version, of which the newest will do.
FOREIGN = [f for f in {f.path.name: f for f in find_foreign(os.environ)}.values() if f.version.minor >= 11]
CHOSEN = [PYTHON, *(f.path for f in FOREIGN[-1:])]
NATIVE = """\
#include <Python.h>
static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "native", "", -1, 0};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&about); }
"""


@pytest.fixture(scope="module", params=[str(path) for path in CHOSEN])
def python(request: pytest.FixtureRequest) -> Path:
    """A Python of this machine."""
    return Path(request.param).resolve()


def bundled(make: MakeCase, python: Path, config: str = "", **project: object) -> Case:
    """A case with that Python inside."""
    return make(f'interpreter = "bundled"\npython = "{python}"\n{config}', **project)


def test_whole_python_is_inside(make: MakeCase, python: Path) -> None:
    """With modules that are compiled for it, without a path of where it was, and without Depends on any."""
    case = bundled(make, python, dependencies=["wren-pure"], files={"demo/native.c": NATIVE}).finish()
    said = case.manifest()["interpreter"]
    assert said == {
        "path": f"/opt/venvs/demo/python/bin/{python.name}",
        "version": said["version"],  # type: ignore[index]
        "package": "",
        "mode": "bundled",
    }
    assert (case.stage / "bin/python").readlink() == Path(f"../python/bin/{python.name}")
    origin = str(python.parents[1])
    if origin != "/usr":
        assert [name for name, data in case.files().items() if origin.encode() in data] == []
    depends = case.depends()
    assert {"ca-certificates", "tzdata"} <= set(depends)
    assert not [clause for clause in depends if clause.startswith(("python3", "libpython", "libtk"))]
    kept = {name for name in case.files() if name.startswith("python/")}
    assert not [
        n for n in kept if "/test/" in n or "/idlelib/" in n or "/ensurepip/" in n or n.endswith((".a", ".h"))
    ]
    assert f"python/lib/{python.name}/LICENSE.txt" in kept or "python/LICENSE" in kept
    assert case.gate() == ()
    assert case.state.values["interpreter"] == "bundled"
    assert [a["path"] for a in case.actions if a["do"] == "trigger"] == []


def test_the_same_bytes_twice(make: MakeCase) -> None:
    """Wherever it is built."""
    python = CHOSEN[-1].resolve()
    one, other = (bundled(make, python, at=at).finish().files() for at in ("one", "a longer path"))
    assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} == set()


@pytest.mark.parametrize("part", ["tests", "idle", "ensurepip", "headers"])
def test_parts_can_be_kept(make: MakeCase, part: str) -> None:
    """Each by its name."""
    python = CHOSEN[-1].resolve()
    case = bundled(make, python, f'bundle-keep = ["{part}"]')
    case.build()
    path = {"headers": f"include/{python.name}/Python.h", "idle": f"lib/{python.name}/idlelib/__init__.py"}
    path |= {"tests": f"lib/{python.name}/test/__init__.py"}
    path |= {"ensurepip": f"lib/{python.name}/ensurepip/__init__.py"}
    if (python.parents[1] / path[part]).exists():
        assert (case.stage / "python" / path[part]).exists()


@pytest.mark.skipif(not FOREIGN, reason="neither pyenv nor uv has a Python here")
def test_pyenvs_python_is_found_by_its_version(make: MakeCase) -> None:
    """Where Debian has none of that; not without bundled."""
    wanted = FOREIGN[-1]
    minor = f"{wanted.version.major}.{wanted.version.minor}"
    if Path(f"/usr/bin/python{minor}").exists():
        pytest.skip(f"Debian has {minor} here")
    case = make(f'python = "{minor}"')
    case.environ |= {k: v for k, v in os.environ.items() if k in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR")}
    case.environ["HOME"] = os.environ["HOME"]
    error = fail(case)
    assert error.code == "python-not-packaged"
    assert 'interpreter = "bundled"' in " ".join(error.causes)
    own = case.source / "pyproject.toml"
    own.write_text(own.read_text().replace("[tool.venvpkg]", '[tool.venvpkg]\ninterpreter = "bundled"'))
    case.finish()
    assert case.manifest()["interpreter"]["version"] == str(wanted.version)  # type: ignore[index]


def test_python_that_is_nowhere_is_an_error(make: MakeCase) -> None:
    """As without bundled."""
    assert fail(make('interpreter = "bundled"\npython = "3.99"')).code == "python-not-found"


@pytest.mark.parametrize("bytecode", ["install", "none"])
def test_other_bytecode_modes_leave_it_without(make: MakeCase, bytecode: str) -> None:
    """The standard library as well."""
    case = bundled(make, CHOSEN[-1].resolve(), f'bytecode = "{bytecode}"').finish()
    assert [name for name in case.files() if name.endswith(".pyc")] == []
    assert case.gate() == ()


def test_python_that_is_at_home_elsewhere_is_refused(make: MakeCase, tmp_path: Path) -> None:
    """A script that calls another one starts, and its copy would still need that."""
    own = tmp_path / "python3"
    own.write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    own.chmod(0o755)
    error = fail(bundled(make, own))
    assert error.code == "bundle-failed"
    assert "It is at home in /usr." in error.causes


@pytest.mark.skipif(not FOREIGN or FOREIGN[-1].version.minor < 12, reason="there is no Python 3.12 or later")
def test_module_that_this_python_has_no_more_is_told(make: MakeCase) -> None:
    """No test imports the file that needs it, and a server might."""
    case = bundled(make, CHOSEN[-1].resolve(), files={"demo/old.py": "import distutils\n"})
    case.build()
    error = fail(case, "settle")
    assert error.code == "split-module-gone"
    assert "distutils" in error.message
