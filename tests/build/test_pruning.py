"""Presets of the key prune: what they leave out, and what the proof by import keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import backend
from builds import Case, clean_environment, fail
from projects import Project
from venvpkg.cache import Cache
from venvpkg.spec import PRUNE_PRESETS

MakeCase = Callable[..., Case]
ALL = f"prune = {list(PRUNE_PRESETS)}"
DYNAMIC = """\
import importlib
try:
    found = importlib.import_module("kit.te" + "sts.by_name")
except ImportError:
    found = None
"""
LAZY = """\
from pathlib import Path
text = Path(__file__).with_name("__init__" + ".py" + "i").read_text()
"""
HIDDEN = """\
import os
if not os.path.exists(os.path.join(os.path.dirname(__file__), "te" + "sts", "needed.dat")):
    raise RuntimeError("needed.dat is not there")
"""
KIT = {
    "kit/__init__.py": "",
    "kit/core.py": "def selftest():\n    from kit.tests import common\n    return common.two\n",
    "kit/tests/__init__.py": "",
    "kit/tests/common.py": "from .deeper.numbers import two\n",
    "kit/tests/deeper/__init__.py": "",
    "kit/tests/deeper/numbers.py": "two = 2\n",
    "kit/tests/test_core.py": "import kit.core\n",
    "kit/tests/data.txt": "x" * 100,
    "kit/dynamic.py": DYNAMIC,
    "kit/tests/by_name.py": "",
    "kit/conftest.py": "import pytest\n",
    "kit/core.pyi": "def selftest() -> int: ...\n",
    "kit/include/kit.h": "int kit;\n",
    "kit/libkit.a": "!<arch>\n",
    "kit/docs/index.html": "<p>",
    "kit/locale/de/LC_MESSAGES/kit.mo": "",
    "kit/locale/en_GB/LC_MESSAGES/kit.mo": "",
    "kit/broken.py": "import no_such_module_anywhere\n",
    "kit/ends.py": "import os\nos._exit(3)\n",
    "kit/forks.py": "import os\nos.fork()\n",
    "kit/writes.py": "from pathlib import Path\nPath(__file__).with_name('table.txt').write_text('x')\n",
    "lazykit/__init__.py": LAZY,
    "lazykit/__init__.pyi": "x: int\n",
    "hiddenkit/__init__.py": "",
    "hiddenkit/needs.py": HIDDEN,
    "hiddenkit/tests/needed.dat": "x",
    "hiddenkit/tests/test_it.py": "",
}
OWN = {
    "demo/locale/de/LC_MESSAGES/demo.mo": "",
    "demo/tests/__init__.py": "",
    "demo/tests/test_demo.py": "",
}


def kit(**more: str) -> tuple[str, bytes]:
    """A wheel that has something of each kind."""
    return backend.pack("kit", "1.0", {name: text.encode() for name, text in {**KIT, **more}.items()})


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A project that needs the wheel, built with all presets."""
    folder = tmp_path_factory.mktemp("pruned").resolve()
    project = Project(config=f'installer = "uv"\n{ALL}', wheels=[kit()], dependencies=["kit"], files=OWN)
    (folder / "home").mkdir()
    source = project.write(folder / "src")
    return Case(source=source, environ=clean_environment(HOME=str(folder / "home"))).finish()


def there(case: Case) -> set[str]:
    """The sources and data in site-packages, without metadata."""
    names = {str(p.relative_to(case.site)) for p in case.site.rglob("*") if p.is_file()}
    return {n for n in names if not n.endswith(".pyc") and ".dist-info" not in n}


@pytest.mark.parametrize(
    ("preset", "gone"),
    [
        (
            "tests",
            {"kit/tests/test_core.py", "kit/tests/data.txt", "kit/conftest.py", "demo/tests/test_demo.py"},
        ),
        ("headers", {"kit/include/kit.h"}),
        ("static", {"kit/libkit.a"}),
        ("stubs", {"kit/core.pyi"}),
        ("docs", {"kit/docs/index.html"}),
        ("locales", {"kit/locale/de/LC_MESSAGES/kit.mo"}),
    ],
)
def test_each_preset_leaves_out_what_it_names(pruned: Case, preset: str, gone: set[str]) -> None:
    """Of the distributions and of the project; folders that are empty then go as well."""
    assert not gone & there(pruned), preset
    assert not (pruned.site / "kit/docs").exists()
    assert not (pruned.site / "demo/tests").exists()


def test_what_nobody_named_is_still_there(pruned: Case) -> None:
    """English, the project's own languages, every other module."""
    stay = {"kit/core.py", "kit/locale/en_GB/LC_MESSAGES/kit.mo", "demo/locale/de/LC_MESSAGES/demo.mo"}
    assert stay <= there(pruned)


def test_tests_that_a_function_imports_stay_with_what_they_import(pruned: Case) -> None:
    """No module fails without them when it is imported, and the function would."""
    stay = {"common.py", "__init__.py", "deeper/__init__.py", "deeper/numbers.py"}
    assert {f"kit/tests/{name}" for name in stay} <= there(pruned)
    assert pruned.ask("import kit.core; print(kit.core.selftest())") == "2"


def test_module_that_is_imported_by_a_computed_name_stays(pruned: Case) -> None:
    """Nothing fails without it: the importer catches the error, and would do something else."""
    assert pruned.ask("import kit.dynamic; print(kit.dynamic.found.__name__)") == "kit.tests.by_name"
    assert (pruned.site / "kit/tests/__pycache__").is_dir()


def test_stub_that_is_read_at_import_stays(pruned: Case) -> None:
    """As lazy_loader reads it, under a name that stands nowhere."""
    assert "lazykit/__init__.pyi" in there(pruned)


def test_file_that_a_module_fails_without_stays(pruned: Case) -> None:
    """Where nothing tells which file it was, all of the package that may be it."""
    assert "hiddenkit/tests/needed.dat" in there(pruned)
    assert pruned.ask("import hiddenkit.needs") == ""


def test_what_modules_write_when_they_are_imported_is_not_shipped(pruned: Case) -> None:
    """Nor does one that ends the process, forks, or was broken before stop anything."""
    assert "kit/table.txt" not in there(pruned)
    assert {"kit/ends.py", "kit/forks.py", "kit/broken.py", "kit/writes.py"} <= there(pruned)


def test_records_are_true_of_what_is_left(pruned: Case) -> None:
    """The gate compares them."""
    assert pruned.gate() == ()
    record = next(pruned.site.glob("kit-*.dist-info/RECORD")).read_text()
    assert "kit/tests/common.py" in record
    assert "kit/tests/test_core.py" not in record


def test_settling_again_changes_nothing(pruned: Case) -> None:
    """What was kept is looked at again, and kept again."""
    before = pruned.files()
    pruned.settle()
    assert pruned.files() == before


def test_log_says_what_was_left_out_and_why_something_was_kept(
    make: MakeCase, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the size of each preset's files."""
    make(ALL, offline=False, wheels=[kit()], dependencies=["kit"]).finish()
    said = capsys.readouterr().err
    assert "pruned: " in said
    assert "tests 0.0 MB" in said
    assert "prune keeps kit/tests/__init__.py and 3 more: kit/core.py names kit.tests.common" in said
    assert "prune keeps kit/tests/by_name.py: kit.dynamic asks for it" in said


def test_exclamation_mark_keeps_what_a_preset_or_a_glob_names(make: MakeCase) -> None:
    """For what is found by name when it runs, such as a plug-in or one language."""
    keeps = '"locales", "!*/locale/de/*", "*/kit/docs/*", "!*/docs/index.html"'
    wheel = kit(**{"kit/docs/more.html": "", "kit/locale/fr/LC_MESSAGES/kit.mo": ""})
    case = make(f"prune = [{keeps}]", offline=False, wheels=[wheel], dependencies=["kit"]).finish()
    names = there(case)
    assert {"kit/locale/de/LC_MESSAGES/kit.mo", "kit/docs/index.html"} <= names
    assert not {"kit/docs/more.html", "kit/locale/fr/LC_MESSAGES/kit.mo"} & names


def test_proof_needs_no_bytecode(make: MakeCase) -> None:
    """Where none is shipped, none is written either."""
    config = f'bytecode = "none"\n{ALL}'
    case = make(config, offline=False, wheels=[kit()], dependencies=["kit"]).finish()
    assert "kit/tests/by_name.py" in there(case)
    assert "kit/include/kit.h" not in there(case)
    assert not list(case.stage.rglob("*.pyc"))


def test_step_that_was_killed_begins_again(make: MakeCase) -> None:
    """What was aside then is back before anything is looked at."""
    case = make(ALL, offline=False, wheels=[kit()], dependencies=["kit"])
    case.build()
    waiting = case.source / "debian/.debhelper/venvpkg/demo/pruned"
    name = Path("lib") / case.site.parent.name / "site-packages/kit/tests/common.py"
    (waiting / name).parent.mkdir(parents=True)
    (case.stage / name).rename(waiting / name)
    case.settle()
    assert "kit/tests/common.py" in there(case)
    assert not waiting.exists()


def test_what_was_proven_once_is_imported_again_only_where_something_changed(
    make: MakeCase, tmp_path: Path
) -> None:
    """That is the package that changed, and those that load it."""
    witness, cache = tmp_path / "witness", Cache(tmp_path / "kept")
    members = {"user/__init__.py": "import used\n", "used/__init__.py": "", "alone/__init__.py": ""}
    members = {
        name: f"open({str(witness)!r}, 'a').write('{name[:4]} ')\n{text}" for name, text in members.items()
    }
    members["used/tests/test_it.py"] = ""
    wheel = backend.pack("three", "1.0", {name: text.encode() for name, text in members.items()})

    def imported(change: str, at: str) -> list[str]:
        """What is imported by the proof, where one module has another last line."""
        case = make(
            f"project = false\nrequirements = ['requirements.txt']\n{ALL}",
            offline=False,
            wheels=[wheel],
            files={"requirements.txt": "three\n"},
            at=at,
        )
        case.cache = cache
        case.build()
        with (case.site / "used/__init__.py").open("a") as stream:
            stream.write(change)
        witness.write_text("")
        case.settle()
        assert "used/tests/test_it.py" not in there(case)
        return sorted(witness.read_text().split())

    # The smoke run imports each once more.
    smoke = ["alon", "used", "user"]
    assert imported("", "one") == sorted([*smoke, *smoke, "used"])
    assert imported("", "two") == smoke
    assert imported("# changed", "three") == sorted([*smoke, "used", "used", "user"])


def test_environment_that_lets_nothing_be_imported_proves_nothing(make: MakeCase) -> None:
    """Here a .pth file ends Python when it starts; the error names the way without a proof."""
    case = make(ALL, offline=False, wheels=[kit()], dependencies=["kit"])
    case.build()
    (case.site / "ends.pth").write_text("import sys; sys.stderr.write('no start'), sys.exit(3)\n")
    error = fail(case, "settle")
    assert error.code == "prune-unproven"
    assert any("no start" in cause for cause in error.causes)
    assert "prune = [" in error.hint
