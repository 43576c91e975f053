"""Tiny real files that several unit tests look at."""

from __future__ import annotations

import shutil

import pytest

from objects import Objects, compile_objects


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """ELF files that gcc made; see `objects.compile_objects`."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    return compile_objects(tmp_path_factory.mktemp("objects"))
