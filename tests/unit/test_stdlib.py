"""Imports of what Debian packages apart from Python, found in real source."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from venvpkg.distributions import Distribution
from venvpkg.stdlib import SPLIT, Import, read_imports, split_dependencies

APP = PurePosixPath("lib/app.py")
OTHER = PurePosixPath("lib/other.py")


def imports(source: str) -> dict[str, bool]:
    """The modules that a file imports, and whether importing the file runs that."""
    found: dict[str, bool] = {}
    for one in read_imports(APP, source.encode()):
        found[one.module] = found.get(one.module, False) or one.certain
    return found


def distribution(name: str) -> Distribution:
    """An installed distribution without files."""
    folder = PurePosixPath(f"{name}-1.dist-info")
    return Distribution(
        name=name, version="1", folder=folder, requires=(), files=(), scripts={}, tags=(), licence=""
    )


def answer(
    *found: Import,
    version: str = "3.11",
    own: bool = True,
    loaded: bool = False,
    brought: tuple[str, ...] = (),
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Depends, Suggests and what is gone."""
    dependencies, gone = split_dependencies(
        found,
        frozenset({APP} if own else ()),
        frozenset({APP} if loaded else ()),
        [distribution(name) for name in brought],
        version,
    )
    return dependencies.depends, dependencies.suggests, gone


def found(module: str, *, certain: bool = True, path: PurePosixPath = APP) -> Import:
    """An import."""
    return Import(path=path, module=module, certain=certain)


# --- Reading


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import tkinter", "tkinter"),
        ("import tkinter.ttk as t", "tkinter"),
        ("import os, tkinter", "tkinter"),
        ("from tkinter import *", "tkinter"),
        ("from tkinter.ttk import Button", "tkinter"),
        ("import turtle", "turtle"),
        ("import _tkinter", "_tkinter"),
        ("import dbm.gnu", "dbm.gnu"),
        ("from dbm import gnu", "dbm.gnu"),
        ("import distutils.core", "distutils"),
        ("from lib2to3 import pygram", "lib2to3"),
        ("class A:\n    import tkinter", "tkinter"),
        ("for x in y:\n    import tkinter", "tkinter"),
        ("with x:\n    import tkinter", "tkinter"),
        ("try:\n    import tkinter\nfinally:\n    pass", "tkinter"),
        ("try:\n    import tkinter\nexcept ValueError:\n    pass", "tkinter"),
        ("try:\n    pass\nfinally:\n    import tkinter", "tkinter"),
    ],
)
def test_an_import_that_always_runs_is_certain(source: str, module: str) -> None:
    """In any spelling, in any block that runs."""
    assert imports(source) == {module: True}


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    import tkinter",
        "async def f():\n    import tkinter",
        "class A:\n    def f(self):\n        import tkinter",
        "try:\n    import tkinter\nexcept ImportError:\n    tkinter = None",
        "try:\n    import tkinter\nexcept ModuleNotFoundError:\n    pass",
        "try:\n    import tkinter\nexcept (KeyError, ImportError):\n    pass",
        "try:\n    import tkinter\nexcept Exception:\n    pass",
        "try:\n    import tkinter\nexcept:\n    pass",
        "try:\n    import Tkinter\nexcept ImportError:\n    import tkinter",
        "try:\n    x\nexcept ImportError:\n    pass\nelse:\n    import tkinter",
        "try:\n try:\n  import tkinter\n except KeyError:\n  pass\nexcept ImportError:\n pass",
        "match x:\n    case 1:\n        import tkinter",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tkinter",
        "import sys\nif sys.platform == 'win32':\n    import tkinter",
        "if x:\n    pass\nelse:\n    import tkinter",
        "from contextlib import suppress\nwith suppress(ImportError):\n    import tkinter",
        "import contextlib\nwith contextlib.suppress(KeyError, ImportError):\n    import tkinter",
        "if __name__ == '__main__':\n    import tkinter",
    ],
)
def test_an_import_that_may_not_run_is_uncertain(source: str) -> None:
    """Guarded, conditional, or inside a function."""
    assert imports(source) == {"tkinter": False}


@pytest.mark.parametrize(
    "source",
    [
        "import tkinterextra", "from . import tkinter", "from .tkinter import x", "from ..distutils import y",
        "import dbm", "from dbm import whichdb", "x = 'import tkinter'", "# import tkinter",
        "import setuptools._distutils",
        "import mytkinter.tkinter", "import os.distutils",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_none(source: str) -> None:
    """Other modules, relative imports, strings and comments."""
    assert imports(source) == {}


@pytest.mark.parametrize(
    "source",
    ["import tkinter\nprint 'x'\n", "import tkinter\0", "import tkinter\n" + "(" * 3000, "\xff tkinter"],
)
def test_a_file_that_does_not_parse_has_none(source: str) -> None:
    """Python 2, templates, deliberately broken test data."""
    assert list(read_imports(APP, source.encode("latin-1"))) == []


def test_a_deeply_nested_file_is_no_crash() -> None:
    """Generated code is like this."""
    assert imports("import tkinter\nx = " + "+".join("a" * 900)) == {"tkinter": True}


def test_another_encoding_is_read() -> None:
    """As its first line says."""
    source = "# -*- coding: latin-1 -*-\nimport tkinter\nx = 'caf\xe9'\n".encode("latin-1")
    assert [i.module for i in read_imports(APP, source)] == ["tkinter"]


# --- Deciding


def test_what_the_project_always_imports_is_depended_on() -> None:
    """Held to this Python, so that an upgrade does not take it away without a word."""
    assert answer(found("tkinter")) == (("python3-tk (>= 3.11~)", "python3-tk (<< 3.12)"), (), ())


def test_what_the_project_may_import_is_suggested() -> None:
    """In the same range."""
    assert answer(found("tkinter", certain=False)) == (
        (),
        ("python3-tk (>= 3.11~)", "python3-tk (<< 3.12)"),
        (),
    )


def test_what_others_import_is_suggested_unless_it_was_loaded() -> None:
    """The smoke run tells what importing the project runs."""
    assert answer(found("tkinter"), own=False)[:2] == ((), ("python3-tk (>= 3.11~)", "python3-tk (<< 3.12)"))
    assert answer(found("tkinter"), own=False, loaded=True)[1] == ()


def test_one_certain_import_is_enough() -> None:
    """However many uncertain ones there are; each package once."""
    depends, suggests, _ = answer(
        found("tkinter", certain=False), found("turtle"), found("tkinter", path=OTHER)
    )
    assert (len(depends), suggests) == (2, ())


def test_packages_are_in_order() -> None:
    """The same files give the same fields."""
    one, two = found("tkinter"), found("lib2to3")
    assert answer(one, two) == answer(two, one)


def test_setuptools_brings_a_distutils() -> None:
    """Debian's is then not needed, on any Python."""
    assert answer(found("distutils"), brought=("setuptools",)) == ((), (), ())
    assert answer(found("distutils"), brought=("setuptools",), version="3.13") == ((), (), ())
    assert answer(found("distutils")) == (
        ("python3-distutils (>= 3.11~)", "python3-distutils (<< 3.12)"),
        (),
        (),
    )


@pytest.mark.parametrize(
    ("module", "version", "is_gone"),
    [
        ("distutils", "3.11", False),
        ("distutils", "3.12", True),
        ("lib2to3", "3.12", False),
        ("lib2to3", "3.13", True),
    ],
)
def test_a_module_that_this_python_has_no_more_is_gone(module: str, version: str, is_gone: bool) -> None:
    """No package brings it back."""
    depends, suggests, gone = answer(found(module), version=version)
    assert (gone, bool(depends), suggests) == ((module,) if is_gone else (), not is_gone, ())


def test_a_guarded_import_of_what_is_gone_is_nothing() -> None:
    """Its author knows."""
    assert answer(found("distutils", certain=False), version="3.12") == ((), (), ())


@pytest.mark.parametrize("module", SPLIT)
def test_every_split_module_has_a_package(module: str) -> None:
    """Of Debian's names."""
    package, _ = SPLIT[module]
    assert package.startswith("python3-")
    assert answer(found(module), version="3.9")[0][0] == f"{package} (>= 3.9~)"
