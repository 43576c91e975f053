"""`venvpkg check-reproducible` builds a source package twice, whatever is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import wheels
from builds import clean_environment, run_cli
from projects import BACKEND, Project

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCE = "#include <Python.h>\nconst char *where(void) { return __FILE__; }\nPyMODINIT_FUNC PyInit__%s(void)"
MODULE = '{ static struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "_%s"}; return PyModule_Create(&m); }\n'
STAMPED = (
    BACKEND
    + """

_build_wheel = build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    Path("demo/stamp.py").write_text(f"STAMP = {os.urandom(8).hex()!r}\\n")
    return _build_wheel(wheel_directory)
"""
)


@pytest.fixture(autouse=True)
def _tools() -> None:
    if not shutil.which("dpkg-buildpackage") or not shutil.which("gcc"):
        pytest.skip("dpkg-buildpackage and gcc are not both here")


def check(source: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the checkout's own fronts of debhelper."""
    scratch = source.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    path = f"{CHECKOUT}/src/perl/bin:{os.environ['PATH']}"
    settings = {"PATH": path, "PERL5LIB": f"{CHECKOUT}/src/perl", "TMPDIR": str(scratch)}
    env = clean_environment(HOME=str(source.parent), **settings, **environ)
    return run_cli(["check-reproducible", str(source)], source.parent, env)


def extension(name: str) -> str:
    """A module in C that tells in which file it was compiled."""
    return (SOURCE + MODULE) % (name, name)


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_extensions_are_the_same_bytes_twice(installer: str, tmp_path: Path) -> None:
    """The project's own, and one of an sdist that the installer compiles where it likes."""
    house = tmp_path / "house"
    files = {"wren_c/_wren.c": extension("wren"), "wren_c/__init__.py": "from wren_c import _wren\n"}
    wheels.write_sdist(house, "wren-c", files=files, backend="backend")
    config = f'installer = "{installer}"\nno-index = true\nfind-links = ["{house}"]'
    own = {"demo/_demo.c": extension("demo"), "demo/__init__.py": "from demo import _demo\n"}
    source = Project(dependencies=["wren-c"], config=config, files=own).write(tmp_path / "src")
    before = sorted(source.rglob("*"))
    done = check(source)
    assert done.returncode == 0, done.stdout + done.stderr
    # The package, and its debug symbols, which would name the folders.
    assert done.stdout.count("the same bytes twice") == 2
    assert sorted(source.rglob("*")) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_package_that_differs_is_told_with_its_first_file(tmp_path: Path) -> None:
    """What is random in the project is found, and named."""
    source = Project(files={"backend/backend.py": STAMPED}).write(tmp_path / "src")
    done = check(source)
    assert done.returncode == 1, done.stdout + done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("demo_1.0_") and "differs, first in opt/venvs/demo/lib/python3" in first
    assert "stamp" in first
    assert "the same version, with other files" in done.stdout


def test_build_that_fails_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    """And with the conditions under which it failed; nothing stays behind."""
    source = Project(rules="override_dh_auto_configure:\n\techo no luck; false\n").write(tmp_path / "src")
    done = check(source)
    assert done.returncode == 3
    assert "error[build-failed]" in done.stderr and "no luck" in done.stderr
    assert list((tmp_path / "scratch").iterdir()) == []


def test_folder_without_debian_is_an_error(tmp_path: Path) -> None:
    """With a code."""
    (tmp_path / "src").mkdir()
    done = check(tmp_path / "src")
    assert (done.returncode, "error[source-missing]" in done.stderr) == (3, True)
