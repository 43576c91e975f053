"""What tests of ``venvpkg init`` and ``venvpkg build`` share: projects without a debian/."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from backend import pack
from builds import clean_environment, run_cli
from projects import Project

PLAIN = Project(config='no-index = true\nexpose = ["demo"]')
ME = {"DEBFULLNAME": "Ada Example", "DEBEMAIL": "ada@example.org"}


def bare(folder: Path, project: Project = PLAIN) -> Path:
    """A project that has no debian/."""
    project.write(folder)
    shutil.rmtree(folder / "debian")
    return folder


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    """One that keeps what is temporary in a folder of its own, which is made."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return clean_environment(TMPDIR=str(tmp_path / "tmp"), HOME=str(tmp_path / "tmp"), **{**ME, **changes})


def built(folder: Path, tmp_path: Path, *words: str) -> dict[str, object]:
    """What ``build --json`` says of one project."""
    done = run_cli(["build", "--json", *words], folder, environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    made: dict[str, object] = json.loads(done.stdout)["builds"][0]
    return made


def plain_wheel() -> tuple[str, bytes]:
    """One that needs nothing."""
    return pack("lark", "1.0", {"lark/__init__.py": b"VERSION = 1\n"})
