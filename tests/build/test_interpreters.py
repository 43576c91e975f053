"""Which Python is packaged, and which are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builds import PYTHON, Case, fail

MakeCase = Callable[..., Case]


@pytest.mark.parametrize("wanted", ["", "python3", "3", "{minor}", "python{minor}", "/usr/bin/python3"])
def test_named_python_is_dereferenced(make: MakeCase, minor: str, wanted: str) -> None:
    """Whatever the name, the link, and what later steps are told, hold the minor version."""
    key = f'python = "{wanted.format(minor=minor)}"' if wanted else ""
    case = make(key)
    case.build()
    assert str((case.stage / "bin/python").readlink()) == f"/usr/bin/python{minor}"
    assert case.state.interpreter == f"/usr/bin/python{minor}"


def test_debians_python_is_taken_whatever_comes_first_on_path(make: MakeCase, tmp_path: Path) -> None:
    """A shim on PATH is no interpreter that a server can have."""
    shim = tmp_path / "shims/python3"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 1\n")
    shim.chmod(0o755)
    case = make()
    case.environ["PATH"] = f"{shim.parent}:{case.environ['PATH']}"
    case.build()
    assert str(case.python.readlink()).startswith("/usr/bin/python3.")


@pytest.mark.parametrize("wanted", ["3.99", "python3.99", "/usr/bin/python3.99"])
def test_python_that_is_not_there_is_an_error_that_lists_the_others(
    make: MakeCase, minor: str, wanted: str
) -> None:
    """And names what to add to Build-Depends."""
    error = fail(make(f'python = "{wanted}"'))
    assert error.code == "python-not-found"
    assert "python3.99" in error.message
    assert f"/usr/bin/python{minor}" in error.hint
    assert "Build-Depends" in error.hint


def test_python_that_no_package_owns_is_refused(make: MakeCase, tmp_path: Path) -> None:
    """A pyenv or /usr/local Python: the error says why a server would break."""
    own = tmp_path / "pyenv/bin/python3"
    own.parent.mkdir(parents=True)
    shutil.copy2(PYTHON.resolve(), own)
    case = make(f'python = "{own}"')
    error = fail(case)
    assert error.code == "python-not-packaged"
    assert str(own) in error.message
    assert any("server" in cause for cause in error.causes)
    assert "/usr/bin/python3." in error.hint


def test_python_that_does_not_start_is_told(make: MakeCase, tmp_path: Path) -> None:
    """With its own last words."""
    own = tmp_path / "python3"
    own.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    own.chmod(0o755)
    error = fail(make(f'python = "{own}"'))
    assert error.code == "python-broken"
    assert "no such luck" in error.causes


def test_project_that_wants_another_python_is_told(make: MakeCase, minor: str) -> None:
    """Before anything is downloaded; the Pythons that are here are listed."""
    case = make()
    path = case.source / "pyproject.toml"
    changed = path.read_text().replace('version = "1.0"', 'version = "1.0"\nrequires-python = ">=3.99"')
    path.write_text(changed)
    error = fail(case)
    assert error.code == "python-not-admitted"
    assert ">=3.99" in error.message
    assert f"/usr/bin/python{minor}" in error.causes[0]


def test_project_that_admits_the_python_is_built(make: MakeCase, minor: str) -> None:
    """A range with both ends."""
    case = make()
    path = case.source / "pyproject.toml"
    text = path.read_text()
    wanted = f'version = "1.0"\nrequires-python = ">=3.8,<={minor}.99"'
    path.write_text(text.replace('version = "1.0"', wanted))
    case.build()
    assert "demo" in case.distributions()


def test_wish_that_is_no_range_is_a_mistake(make: MakeCase) -> None:
    """PEP 440 says what one is."""
    case = make()
    path = case.source / "pyproject.toml"
    text = path.read_text()
    path.write_text(text.replace('version = "1.0"', 'version = "1.0"\nrequires-python = "three"'))
    assert fail(case).code == "config-invalid"


def test_installer_that_is_not_there_is_told(make: MakeCase, tmp_path: Path) -> None:
    """With the command that brings it."""
    case = make(installer="uv")
    case.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("uv", path=case.environ["PATH"]):
        pytest.skip("uv is a system package here")
    error = fail(case)
    assert error.code == "installer-not-found"
    assert "uv" in error.message


def test_pip_stands_in_where_there_is_no_uv(make: MakeCase) -> None:
    """The default is auto."""
    case = make(installer="auto")
    case.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("uv", path=case.environ["PATH"]):
        pytest.skip("uv is a system package here")
    case.build()
    assert case.state.installer.startswith("pip ")
