"""The hook for pre-commit: its file, and what its entry does to a commit."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from builds import clean_environment, run_cli
from checkout import CHECKOUT


def read_hook() -> dict[str, str]:
    """The one hook of the file, whose values are plain scalars."""
    text = (CHECKOUT / ".pre-commit-hooks.yaml").read_text()
    assert text.startswith("- id: ") and text.count("\n- ") == 0
    found = [re.fullmatch(r"(?:- |  )([a-z_]+): (\S.*)", line) for line in text.splitlines()]
    assert all(found)
    return {match[1]: match[2] for match in found if match}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An example, whose debian/ fits it."""
    left_out = shutil.ignore_patterns("dist", ".debhelper", "hello-web")
    return Path(shutil.copytree(CHECKOUT / "examples" / "hello-web", tmp_path / "web", ignore=left_out))


def run_hook(folder: Path) -> tuple[int, str]:
    """Exit code and words of the hook's entry, which pre-commit runs at the top of a repository."""
    program, *words = shlex.split(read_hook()["entry"])
    assert program == "venvpkg"
    done = run_cli(words, folder, clean_environment())
    return done.returncode, done.stdout + done.stderr


def test_hook_has_what_pre_commit_asks_for() -> None:
    """It is installed with pip, is given no names of files, and runs where a file could make it fail."""
    hook = read_hook()
    assert hook["id"] == "venvpkg-init-check"
    assert {"name", "entry"} <= set(hook)
    assert (hook["language"], hook["pass_filenames"]) == ("python", "false")
    pattern = re.compile(hook["files"])
    assert all(
        pattern.search(name) for name in ("pyproject.toml", "debian/changelog", "debian/source/format")
    )
    assert not any(pattern.search(name) for name in ("src/app.py", "docs/debian/x", "lib/pyproject.toml"))


def test_hook_lets_a_fitting_project_pass(project: Path) -> None:
    """And says so."""
    assert run_hook(project) == (0, "debian/ fits the project\n")


def test_hook_stops_a_commit_with_a_stale_version(project: Path) -> None:
    """Exit code 1, with the command that writes the new one."""
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
    status, said = run_hook(project)
    assert status == 1
    assert said == "debian/changelog is at 1.0.0, and pyproject.toml at 1.1.0: dch -v 1.1.0\n"
