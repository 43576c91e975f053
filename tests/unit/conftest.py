"""Tiny real files that several unit tests look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from objects import Objects, compile_objects


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """ELF files that gcc made; see `objects.compile_objects`."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    return compile_objects(tmp_path_factory.mktemp("objects"))


@pytest.fixture
def without_apt_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with apt-cache and without apt-file, whose index may be missing, or old, or of another suite."""
    found = shutil.which("apt-cache")
    if found:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "apt-cache").symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
