"""What presets name, and what is seen to need some of it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest

from venvpkg.distributions import read_distributions
from venvpkg.proof import importable
from venvpkg.pruning import find_candidates, find_needed, imported_names, module_of
from venvpkg.spec import PRUNE_PRESETS
from venvpkg.tree import Tree

SITE = "lib/python3.11/site-packages/"


def site(files: Mapping[str, str]) -> Tree:
    """A tree with files in site-packages."""
    return Tree.from_files({SITE + name: text.encode() for name, text in files.items()})


def named(name: str) -> str:
    """The preset that names a file, beside a compiled module and a distribution's metadata."""
    tree = Tree.from_files({name: b"", f"{SITE}p/fast.cpython-311-x86_64-linux-gnu.so": b""})
    return find_candidates(tree, PRUNE_PRESETS).get(PurePosixPath(name), "")


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("p/tests/a.py", "tests"),
        ("p/sub/test/data.bin", "tests"),
        ("Crypto/SelfTest/a.py", "tests"),
        ("tests/a.py", "tests"),
        ("p/conftest.py", "tests"),
        ("p/test.py", ""),
        ("p/testing/a.py", ""),
        ("p/a.pyi", "stubs"),
        ("p/py.typed", ""),
        ("p/a.h", "headers"),
        ("p/a.pxd", "headers"),
        ("p/fast.c", "headers"),
        ("p/data.c", ""),
        ("p/liba.a", "static"),
        ("p/docs/a.html", "docs"),
        ("p/doc.py", ""),
        ("p/locale/de/LC_MESSAGES/p.mo", "locales"),
        ("p/locale/en/LC_MESSAGES/p.mo", ""),
        ("p/locale/en_GB/LC_MESSAGES/p.mo", ""),
        ("p/translations/qtbase_pt_BR.qm", "locales"),
        ("p/translations/qtbase_en.qm", ""),
        ("p/model.mo", ""),
        ("p-1.dist-info/licenses/docs/LICENSE", ""),
    ],
)
def test_each_file_has_the_preset_that_it_looks_like(name: str, preset: str) -> None:
    """By folder and suffix, inside site-packages."""
    assert named(SITE + name) == preset


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("share/man/man1/a.1", "docs"),
        ("share/tests/a", ""),
        ("include/site/python3.11/greenlet/greenlet.h", "headers"),
        ("python/lib/python3.12/site-packages/pip/tests/a.py", ""),
        ("tests", ""),
    ],
)
def test_outside_of_site_packages_less_is_sure(name: str, preset: str) -> None:
    """Folders that data_files made; a bundled interpreter has a key of its own."""
    assert named(name) == preset


def test_distribution_that_is_called_test_is_no_test() -> None:
    """All of it would be gone."""
    record = "test/__init__.py,,\ntest-1.dist-info/RECORD,,\n"
    files = {"test/__init__.py": "", "test-1.dist-info/METADATA": "Name: test\n"}
    tree = site({**files, "test-1.dist-info/RECORD": record})
    assert find_candidates(tree, PRUNE_PRESETS, read_distributions(tree)) == {}


@pytest.mark.parametrize(
    "source",
    [
        "import p.tests.util",
        "import p.tests.util as u",
        "from p.tests import util",
        "from p import (\n    other,\n    tests,\n)\nfrom p.tests.util import x",
        "def f():\n    from .tests.util import x",
        "from p.tests \\\n    import util",
        "plugins = ['p.tests.util']",
        "x = 'p.tests.util:main'",
    ],
)
def test_whatever_names_a_module_keeps_it(source: str) -> None:
    """With the packages that it is in; wherever in the file."""
    tree = site(
        {"p/__init__.py": source, "p/tests/__init__.py": "", "p/tests/util.py": "", "p/tests/b.py": ""}
    )
    kept = find_needed(tree, find_candidates(tree, PRUNE_PRESETS))
    assert {path.name for path in kept} == {"__init__.py", "util.py"}


@pytest.mark.parametrize(
    "source",
    ["# from p.tests import util", '"""See p.tests."""', "import ptests.util", "def f(:\n  import p.tests"],
)
def test_what_only_speaks_of_a_module_keeps_nothing(source: str) -> None:
    """Comments, docstrings, other names, what does not parse."""
    tree = site({"p/__init__.py": source, "p/tests/__init__.py": "", "p/tests/util.py": ""})
    assert find_needed(tree, find_candidates(tree, PRUNE_PRESETS)) == {}


def test_entry_point_keeps_its_module() -> None:
    """A plug-in is found by nothing else."""
    files = {"p/__init__.py": "", "p/tests/__init__.py": "", "p/tests/plugin.py": "import p.tests.more\n"}
    points = "[pytest11]\np = p.tests.plugin\n"
    tree = site({**files, "p/tests/more.py": "", "p-1.dist-info/entry_points.txt": points})
    kept = find_needed(tree, find_candidates(tree, PRUNE_PRESETS))
    assert {path.name for path in kept} == {"__init__.py", "plugin.py", "more.py"}


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ({"numpy/a.h": "", "other/x.py": "import numpy as np\nnp.get_include()\n"}, {"a.h"}),
        ({"numpy/a.h": "", "other/x.py": "from numpy import get_include\n"}, {"a.h"}),
        ({"numpy/a.h": "", "numpy/x.py": "def get_include(): ...\nget_include()\n"}, set()),
        ({"pythran/pythonic/a.hpp": "", "other/b.h": ""}, {"a.hpp"}),
        ({"mypy/typeshed/a.pyi": "", "mypy/x.py": "end = '.pyi'\n", "q/b.pyi": ""}, {"a.pyi"}),
        ({"q/b.pyi": "", "q/x.py": "import lazy_loader as lazy\nlazy.attach_stub(__name__)\n"}, {"b.pyi"}),
        ({"q/b.pyi": "", "q/x.py": '"""As b.pyi says"""\n'}, set()),
        ({"q/docs/a.html": "", "q/x.py": "place = 'docs/a.html'\n", "r/docs/b.html": ""}, {"a.html"}),
    ],
)
def test_files_that_are_no_modules_stay_where_code_wants_them(
    files: Mapping[str, str], kept: set[str]
) -> None:
    """Headers for others that compile, stubs and documentation for the package itself."""
    tree = site(files)
    assert {path.name for path in find_needed(tree, find_candidates(tree, PRUNE_PRESETS))} == kept


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("p/__init__.py", "p"),
        ("p/a.cpython-311-x86_64-linux-gnu.so", "p.a"),
        ("a.py", "a"),
        ("p/not-one.py", ""),
        ("p/a.txt", ""),
    ],
)
def test_module_is_named_by_its_place(name: str, module: str) -> None:
    """Below site-packages."""
    assert module_of(PurePosixPath(SITE + name)) == module


def test_relative_imports_are_counted_from_the_package() -> None:
    """From a module's folder, or from the package's own __init__."""
    top = ast.parse("from ..x import y\nfrom . import z\n")
    assert {*imported_names(PurePosixPath(SITE + "p/q/r.py"), top)} == {"p.x", "p.x.y", "p.q", "p.q.z"}
    assert {*imported_names(PurePosixPath(SITE + "p/q/__init__.py"), top)} == {"p.x", "p.x.y", "p.q", "p.q.z"}


def test_what_is_no_module_of_a_package_is_not_imported() -> None:
    """Scripts among data would do what they are for; a namespace package (PEP 420) has no __init__."""
    files = [
        "p/__init__.py",
        "p/a.py",
        "p/data/script.py",
        "p/setup.py",
        "p/__main__.py",
        "space/q/__init__.py",
    ]
    found = importable(site(dict.fromkeys(files, "")))
    assert {name for group in found for name in group} == {"p", "p.a", "space.q"}
