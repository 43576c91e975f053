"""venvpkg's own wheel: what an index hands out holds all that a build needs."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from checkout import CHECKOUT, build_wheel
from venvpkg.keys import KEYS

FRONTS = ("dh_venvpkg", "dh_venvpkg_hide", "dh_venvpkg_hide_built", "dh_venvpkg_settle", "dh_venvpkg_verify")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    own = subprocess.run(
        [sys.executable, "-c", "import click; print(click.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    )
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(str(Path(own.stdout.strip()).parents[1]) + "\n")
    return folder / "env"


def ask(installed: Path, program: str) -> str:
    """What a program prints that runs in the environment and sees no checkout."""
    done = subprocess.run(
        [installed / "bin" / "python", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
    )
    return done.stdout.strip()


def test_templates_are_read_from_the_installed_wheel(installed: Path) -> None:
    """Every template of the checkout is there, with the same bytes, and it is found."""
    program = "from venvpkg import templates; print(templates.find_templates())"
    found = Path(ask(installed, program))
    assert found.is_relative_to(installed)
    sides = (CHECKOUT / "debian-templates", found)
    one, other = ({p.relative_to(top): p.read_bytes() for p in top.rglob("*.j2")} for top in sides)
    assert one == other


def test_command_of_the_installed_wheel_starts(installed: Path) -> None:
    """It tells the version that the package has."""
    done = subprocess.run(
        [installed / "bin" / "venvpkg", "--version"], capture_output=True, text=True, cwd="/"
    )
    assert done.stdout.strip() == f"venvpkg {ask(installed, 'import venvpkg; print(venvpkg.__version__)')}"


def test_fronts_and_their_modules_come_with_the_wheel(installed: Path) -> None:
    """Debhelper finds the commands on PATH and the add-on in one folder for PERL5LIB."""
    site = next((installed / "lib").glob("python*/site-packages"))
    assert (site / "venvpkg" / "perl" / "Debian" / "Debhelper" / "Sequence" / "venvpkg.pm").is_file()
    for name in FRONTS:
        front = installed / "bin" / name
        assert front.read_bytes().startswith(b"#!/usr/bin/perl\n")
        assert front.stat().st_mode & 0o111


def test_programs_for_the_packaged_interpreter_come_with_the_wheel(installed: Path) -> None:
    """They are files, for another interpreter opens them."""
    site = next((installed / "lib").glob("python*/site-packages"))
    assert {p.name for p in (site / "venvpkg" / "inside").glob("*.py")} >= {"compile.py", "smoke.py"}


def test_validate_pyproject_finds_the_schema_in_the_installed_wheel(installed: Path) -> None:
    """By its group of entry points, with the name of the table."""
    program = """
from importlib.metadata import entry_points
(found,) = entry_points(group="validate_pyproject.tool_schema", name="venvpkg")
print(*found.load()(found.name)["properties"])
"""
    assert ask(installed, program).split() == [*(key.name for key in KEYS), "packages"]
