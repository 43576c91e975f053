"""Activators that real tools wrote at awkward places, relocated, and then really sourced."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pythons import Python, find_pythons
from venvpkg.plan import Move
from venvpkg.process import Shell, python_environment
from venvpkg.relocate import relocate
from venvpkg.stage import apply
from venvpkg.tree import Tree

BUILD_NAMES = ("plain", "two words", "it's here", 'say "hi"', "dol$lar", "b&w;(1)", "grün")
UV = shutil.which("uv", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))


def with_venv(python: Python) -> Callable[[Path], None]:
    """Return what makes an environment with the standard library."""

    def make(place: Path) -> None:
        Shell()([python.path, "-I", "-m", "venv", "--without-pip", place], env=python_environment(os.environ))

    return make


def with_uv(place: Path) -> None:
    """Make an environment with uv, which writes activators of its own."""
    if not UV:
        pytest.skip("there is no uv")
    env = python_environment(os.environ) | {"UV_PYTHON_DOWNLOADS": "never"}
    python = find_pythons()[-1].path
    Shell()([UV, "venv", "--quiet", "--no-config", "--offline", "--python", python, place], env=env)


def with_virtualenv(place: Path) -> None:
    """Make an environment with virtualenv."""
    program = shutil.which("virtualenv")
    if not program:
        pytest.skip("there is no virtualenv")
    Shell()([program, "--without-pip", "--no-download", place], env=python_environment(os.environ))


MAKERS = {
    **{str(python): with_venv(python) for python in find_pythons()},
    "uv": with_uv,
    "virtualenv": with_virtualenv,
}


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """A tool that makes environments."""
    return MAKERS[request.param]


@pytest.fixture(params=BUILD_NAMES)
def moved(maker: Callable[[Path], None], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make an environment at an awkward place, relocate it, and move it to the final one."""
    build, final = tmp_path / request.param / "app", tmp_path / "final" / "app"
    build.parent.mkdir()
    maker(build)
    move = Move(build=PurePosixPath(build), final=PurePosixPath(final))
    apply(relocate(Tree.from_dir(build), move), build)
    assert list(relocate(Tree.from_dir(build), move)) == []
    final.parent.mkdir()
    build.rename(final)
    return final


def ask(shell: str, script: str, final: Path) -> dict[str, str]:
    """Run a script in a shell and return the lines NAME=value that it printed."""
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"there is no {shell}")
    place = final.parent / "script"
    place.write_text(script.replace("FINAL", str(final)), encoding="utf-8")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(final.parent), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    flags = ["-f"] if shell == "tcsh" else []
    answer = Shell()([program, *flags, place], env=env, cwd=final.parent)
    assert answer.tail == ()
    return dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)


def assert_undone(said: dict[str, str], final: Path) -> None:
    """Activated, all pointed at the final path; afterwards everything is as before."""
    assert said["during"] == str(final)
    assert said["python"] == str(final / "bin" / "python")
    assert said["after"] in ("unset", "0")
    assert said["path"].replace(" ", ":") == "/usr/bin:/bin"


def test_sh_activates_and_deactivates(moved: Path) -> None:
    """The shell that every server has."""
    said = ask(
        "sh",
        """set -e
        . FINAL/bin/activate
        echo "during=$VIRTUAL_ENV"; echo "python=$(command -v python)"
        deactivate
        echo "after=${VIRTUAL_ENV-unset}"; echo "path=$PATH"
        """,
        moved,
    )
    assert_undone(said, moved)


def test_csh_activates_and_deactivates(moved: Path) -> None:
    """It has no functions, so that deactivate is an alias."""
    said = ask(
        "tcsh",
        """set prompt = "> "
        source FINAL/bin/activate.csh
        echo "during=$VIRTUAL_ENV"; echo "python=`which python`"
        deactivate
        echo "after=$?VIRTUAL_ENV"; echo "path=$PATH"
        """,
        moved,
    )
    assert_undone(said, moved)


def test_fish_activates_and_deactivates(moved: Path) -> None:
    """Its quoting is its own."""
    said = ask(
        "fish",
        """source FINAL/bin/activate.fish
        echo "during=$VIRTUAL_ENV"; echo "python="(command -s python)
        deactivate
        echo -n "after="; set -q VIRTUAL_ENV; and echo set; or echo unset
        echo "path=$PATH"
        """,
        moved,
    )
    assert_undone(said, moved)


def test_no_activator_names_the_build_path(moved: Path) -> None:
    """Those for shells that are not here included: PowerShell, nushell, Windows' own, xonsh."""
    folder = moved / "bin"
    activators = [p for p in folder.iterdir() if re.match(r"(?i)activate|deactivate", p.name)]
    assert {"activate", "activate.csh", "activate.fish"} <= {p.name for p in activators}
    parts = [name for name in BUILD_NAMES if not (moved.parent.parent / "final" / name).exists()]
    base = str(moved.parent.parent)
    for path in [*activators, moved / "pyvenv.cfg"]:
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            assert base not in line or str(moved) in line, path.name
            assert not any(f"{base}/{part}" in line for part in parts), path.name
