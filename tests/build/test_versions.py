"""Versions that come from version control, and what stands in for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builds import Case, clean_environment

MakeCase = Callable[..., Case]

ASKING = '''\
"""A backend that takes its version as setuptools-scm does."""

import os, subprocess
from pathlib import Path

import backend


def version():
    told = os.environ.get("SETUPTOOLS_SCM_PRETEND_VERSION")
    if told:
        return told
    return subprocess.check_output(["git", "describe", "--tags"], text=True).strip()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    path = Path("pyproject.toml")
    path.write_text(path.read_text().replace('"0.0"', f'"{version()}"'))
    return backend.build_wheel(wheel_directory)
'''
CHANGELOG = """\
demo ({version}) unstable; urgency=medium

  * A version.

 -- A Developer <developer@example.org>  Thu, 02 Jan 2025 03:04:05 +0000
"""


@pytest.fixture
def asking(make: MakeCase) -> Callable[..., Case]:
    """A project whose back end asks version control."""

    def made(changelog: str = "1.0", installer: str = "uv", **more: object) -> Case:
        files = {"backend/asking.py": ASKING, "debian/changelog": CHANGELOG.format(version=changelog)}
        case = make(installer=installer, files=files, **more)
        path = case.source / "pyproject.toml"
        text = path.read_text().replace('build-backend = "backend"', 'build-backend = "asking"')
        path.write_text(text.replace('version = "1.0"', 'version = "0.0"'))
        return case

    return made


def git(folder: Path, *words: str) -> None:
    """Run git with an identity of its own."""
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, env=clean_environment(HOME="/")
    )


def commit(folder: Path, tag: str) -> None:
    """Make a repository of one commit and a tag."""
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "tag", tag)


def test_exported_tree_takes_the_changelogs_version(asking: Callable[..., Case], installer: str) -> None:
    """There is no repository to ask."""
    case = asking("2.5-1", installer)
    case.build()
    assert case.versions()["demo"] == "2.5"
    assert case.state.project == "demo"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1.2~rc1-1", "1.2rc1"),
        ("2:1.4.0-2ubuntu1", "1.4.0"),
        ("1.0", "1.0"),
        ("1.2~a1", "1.2a1"),
        ("3.1+dfsg-2", "3.1+dfsg"),
    ],
)
def test_debian_version_becomes_a_python_version(
    asking: Callable[..., Case], written: str, wanted: str
) -> None:
    """Without epoch and Debian revision, and with the tilde as PEP 440 has it."""
    case = asking(written)
    case.build()
    assert case.versions()["demo"] == wanted


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_checkout_tells_its_own_version(asking: Callable[..., Case], installer: str) -> None:
    """Though the changelog has another, and the repository stays as it is."""
    case = asking("9.9", installer)
    commit(case.source, "3.3")
    index = (case.source / ".git/index").read_bytes()
    case.build()
    assert case.versions()["demo"] == "3.3"
    assert (case.source / ".git/index").read_bytes() == index
    assert not (case.stage / ".git").exists()


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_worktree_tells_its_own_version(asking: Callable[..., Case], tmp_path: Path) -> None:
    """In a worktree .git is a file."""
    first = asking("9.9", at="main")
    commit(first.source, "3.4")
    git(first.source, "worktree", "add", "-q", str(tmp_path / "tree"))
    case = Case(source=(tmp_path / "tree").resolve(), environ=first.environ)
    case.build()
    assert case.versions()["demo"] == "3.4"


def test_version_that_the_user_gives_beats_the_changelog(asking: Callable[..., Case]) -> None:
    """The variable is for that."""
    case = asking("2.5-1")
    case.environ["SETUPTOOLS_SCM_PRETEND_VERSION"] = "7.7"
    case.build()
    assert case.versions()["demo"] == "7.7"


def test_sdist_keeps_the_version_that_it_carries(make: MakeCase) -> None:
    """PKG-INFO says it, and back ends read it; nothing is forced on them."""
    backend = (
        "import os\nfrom pathlib import Path\nimport backend\n\n\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    Path('demo/told.txt').write_text(str(os.environ.get('SETUPTOOLS_SCM_PRETEND_VERSION')))\n"
        "    return backend.build_wheel(folder)\n"
    )
    case = make(files={"PKG-INFO": "Name: demo\nVersion: 1.0\n", "backend/asking.py": backend})
    path = case.source / "pyproject.toml"
    path.write_text(path.read_text().replace('build-backend = "backend"', 'build-backend = "asking"'))
    case.build()
    assert (case.site / "demo/told.txt").read_text() == "None"
