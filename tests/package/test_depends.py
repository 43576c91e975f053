"""What a build finds out about the system, and what it says where something is wrong."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from backend import pack
from debs import clauses, contents, read
from projects import Project
from workbench import NATIVE, Bench, Built, Recipe, library, mixed

pytestmark = pytest.mark.root

Benches = Callable[[str], Bench]

WEAK = "${misc:Depends}, ${shlibs:Depends}\nSuggests: ${misc:Suggests}\nRecommends: ${shlibs:Recommends}"
TK = ["python3-tk (>= 3.11~)", "python3-tk (<< 3.12)"]


def linked(module: str, link: list[str], **changes: object) -> Project:
    """A project whose extension is linked with libraries; `-Wl,--no-as-needed` keeps unused ones."""
    files = {f"{module}/__init__.py": f"import {module}._native\n", f"{module}/_native.c": NATIVE}
    return Project(files=files, link=["-Wl,--no-as-needed", *link], **changes)  # type: ignore[arg-type]


def native_wheel(name: str, needs: str) -> tuple[str, bytes]:
    """A wheel as an index has it, with a library that needs another one."""
    data = library(f"lib{name}.so.1", needs)
    return pack(name, "1.0", {f"{name}.py": b"", f"{name}.libs/lib{name}.so.1": data})


RECIPES: dict[str, Project] = {
    "tkinter": Project(files={"demo/__init__.py": "import tkinter\n"}, depends=WEAK),
    "guarded tkinter": Project(
        files={"demo/__init__.py": "try:\n    import tkinter\nexcept ImportError:\n    tkinter = None\n"},
        depends=WEAK,
    ),
    "guarded tkinter without Suggests": Project(
        files={"demo/__init__.py": "try:\n    import tkinter\nexcept ImportError:\n    tkinter = None\n"}
    ),
    "ctypes": Project(
        files={"demo/__init__.py": "import ctypes\nctypes.CDLL('libpng16.so.16')\n"}, depends=WEAK
    ),
    "linked": linked("demo", ["-lpng16"]),
    "demote": Project(
        dependencies=["painter"],
        wheels=[native_wheel("painter", "libpng16.so.16")],
        config='demote = { painter = "Recommends" }',
        depends=WEAK,
    ),
    "system-site-packages": Project(
        files={"demo/__init__.py": "import png_of_debian\n"}, config="system-site-packages = true"
    ),
    "hermetic": Project(config="hermetic = true"),
    "open": Project(name="open"),
    "smoke": Project(config='smoke = ["demo --version", "python -c \'raise SystemExit(0)\'"]'),
}
FAILING: dict[str, Project] = {
    "soname": Project(dependencies=["painter"], wheels=[native_wheel("painter", "libpaint.so.7")]),
    "smoke": Project(config='smoke = ["python -c \'raise SystemExit(5)\'"]'),
    "import": Project(files={"demo/__init__.py": "import nowhere_to_be_found\n"}),
    "accept": Project(
        dependencies=["painter"],
        wheels=[native_wheel("painter", "libpaint.so.7")],
        config='accept = [{ code = "V007", path = "*", reason = "" }]',
    ),
}
