"""What of the environment is shipped, and how it looks from PATH."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builds import Case, fail

MakeCase = Callable[..., Case]


@pytest.mark.parametrize("kind", ["install", "none"])
def test_no_bytecode_is_shipped_where_it_is_not_wanted(make: MakeCase, kind: str) -> None:
    """Compiled on the server, or not at all; the maintainer script knows which."""
    case = make(f'bytecode = "{kind}"', dependencies=["wren-pure"])
    case.finish()
    assert [n for n in case.files() if n.endswith(".pyc") or "__pycache__" in n] == []
    (folder,) = {a["folder"] for a in case.actions if a["do"] == "autoscript"}
    assert ("compileall" in (Path(folder) / "postinst").read_text()) == (kind == "install")
    assert case.gate() == ()


def test_stale_bytecode_is_replaced(make: MakeCase) -> None:
    """What was run in the stage by hand leaves a time-stamped .pyc."""
    case = make()
    case.build()
    subprocess.run([case.python, "-c", "import demo"], env=case.environ, check=True)
    (case.site / "demo/__pycache__/gone.cpython-311.pyc").write_bytes(b"stale")
    case.settle()
    assert not (case.site / "demo/__pycache__/gone.cpython-311.pyc").exists()
    assert case.gate() == ()


def test_source_that_does_not_compile_is_shipped_without(make: MakeCase) -> None:
    """Templates and test data end in .py too."""
    case = make(files={"demo/template.py": "def {{ name }}():\n"})
    case.finish()
    names = [n for n in case.files() if "template" in n]
    assert [Path(n).suffix for n in names] == [".py"]


def test_pruned_files_are_left_out_and_records_kept_right(make: MakeCase) -> None:
    """Globs, relative to the prefix; a folder goes with what it holds."""
    files = {"demo/tests/test_a.py": "", "demo/tests/data/x.txt": "", "demo/keep.txt": "k", "demo/a.pyi": ""}
    case = make('prune = ["*/site-packages/*/tests", "*.pyi", "share/man/"]', files=files)
    text = (case.source / "pyproject.toml").read_text()
    (case.source / "pyproject.toml").write_text(
        text.replace("dependencies = []", 'dependencies = ["wren-scripts"]')
    )
    case.finish()
    names = list(case.files())
    assert [n for n in names if re.search(r"tests|\.pyi$|share/man", n)] == []
    assert any(n.endswith("demo/keep.txt") for n in names)
    assert any(n.endswith("completions/wren-tool") for n in names)
    record = next(case.site.glob("demo-*.dist-info/RECORD")).read_text()
    assert "tests" not in record
    assert case.gate() == ()


def test_prune_of_nothing_changes_nothing(make: MakeCase) -> None:
    """A glob need not match."""
    case = make('prune = ["no/such/*"]')
    case.finish()
    assert case.gate() == ()


# --- expose


def exposed(case: Case) -> set[str]:
    """Files of the package outside the prefix."""
    found = (p for p in case.root.rglob("*") if p.is_file() and not p.is_relative_to(case.stage))
    names = {str(p.relative_to(case.root)) for p in found}
    return {n for n in names if not n.startswith(("DEBIAN/", "usr/share/lintian/", "usr/share/doc/"))}


def test_exposed_entry_point_comes_with_manual_and_completions(make: MakeCase) -> None:
    """Where the shell and man look for them; those of others stay where they are."""
    case = make('expose = ["wren-tool"]', dependencies=["wren-scripts"], files={})
    case.finish()
    assert exposed(case) == {
        "usr/bin/wren-tool",
        "usr/share/man/man1/wren-tool.1",
        "usr/share/man/man1/wren-tool-sub.1",
        "usr/share/bash-completion/completions/wren-tool",
        "usr/share/zsh/vendor-completions/_wren-tool",
        "usr/share/fish/vendor_completions.d/wren-tool.fish",
    }
    assert (case.root / "usr/share/man/man1/wren-tool.1").read_text() == ".TH WREN-TOOL 1\n"
    assert case.gate() == ()


def test_exposing_all_means_the_projects_own(make: MakeCase, installer: str) -> None:
    """Requirements have entry points too, which nobody asked for."""
    case = make('expose = "all"', installer=installer, dependencies=["wren-scripts"])
    case.build()
    assert exposed(case) == {"usr/bin/demo"}


def test_program_that_is_no_entry_point_is_the_projects_too(make: MakeCase) -> None:
    """A compiled one, or an old script."""
    files = {"scripts/demo-tool": "#!/bin/sh\necho told\n"}
    case = make('expose = "all"', files=files)
    case.build()
    assert exposed(case) == {"usr/bin/demo", "usr/bin/demo-tool"}


def test_launcher_execs_the_entry_point(make: MakeCase) -> None:
    """A small script for /bin/sh, executable, that hands every argument on."""
    case = make('expose = "all"')
    case.build()
    launcher = case.root / "usr/bin/demo"
    text = launcher.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert 'exec /opt/venvs/demo/bin/demo "$@"' in text
    assert launcher.stat().st_mode & 0o777 == 0o755
    subprocess.run(["sh", "-n", launcher], check=True)


def test_launcher_says_which_python_is_missing(make: MakeCase, minor: str) -> None:
    """The prefix is not installed here, as on a server where the interpreter is gone."""
    case = make('expose = "all"')
    case.build()
    if Path("/opt/venvs/demo").exists():
        pytest.skip("a package of the tests' name is installed")
    answer = subprocess.run([case.root / "usr/bin/demo"], capture_output=True, text=True)
    assert answer.returncode == 127
    assert f"/usr/bin/python{minor}" in answer.stderr
    assert f"apt-get install python{minor}" in answer.stderr


def test_unknown_entry_point_is_an_error_that_lists_what_there_is(make: MakeCase) -> None:
    """A slip of the pen must not ship nothing."""
    case = make('expose = ["dmeo"]')
    error = fail(case)
    assert error.code == "expose-not-found"
    assert "dmeo" in error.message
    assert "demo" in error.causes[0]


# --- hermetic


def test_hermetic_scripts_ignore_the_users_python_settings(make: MakeCase, installer: str) -> None:
    """With -I; PYTHONPATH on the server does nothing."""
    case = make("hermetic = true", installer=installer, dependencies=["wren-scripts"])
    case.finish()
    for name in ("demo", "wren-tool", "wren-old"):
        first = (case.stage / "bin" / name).read_text().splitlines()[0]
        assert re.fullmatch(r"#!/opt/venvs/demo/bin/python[\d.]* -I", first)
    assert (case.stage / "bin/wren-sh").read_text() == "#!/bin/sh\necho sh\n"
    assert case.manifest()["hermetic"] is True
    assert case.gate() == ()


def test_long_prefix_gets_a_wrapper_that_works(make: MakeCase) -> None:
    """A kernel reads 127 bytes of a first line."""
    name = "x" * 130
    case = make(f'env-name = "{name}"\nhermetic = true')
    case.build()
    (script,) = case.root.glob("opt/venvs/x*/bin/demo")
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert re.match(rf"'''exec' \"?/opt/venvs/{name}/bin/python[\d.]*\"? -I \"\$0\" \"\$@\"", lines[1])
    compile(script.read_text(), "demo", "exec")


def test_install_root_and_name_change_the_prefix(make: MakeCase) -> None:
    """Everywhere that the prefix is written."""
    case = make('install-root = "/usr/lib/apps"\nenv-name = "other"\nsmoke = ["demo"]')
    case.finish()
    prefix = case.root / "usr/lib/apps/other"
    assert (prefix / "bin/demo").read_text().startswith("#!/usr/lib/apps/other/bin/python")
    assert '"prefix": "/usr/lib/apps/other"' in (prefix / "venvpkg.json").read_text()
    assert case.gate() == ()


# --- the same bytes twice


def test_same_inputs_give_the_same_bytes(make: MakeCase, installer: str) -> None:
    """Whatever umask, language, time zone, hash seed, temporary folder and place of the source."""
    dependencies = ["wren-scripts", "wren-needs", "wren-recorder"]
    files = {
        "demo/sets.py": "def f(x):\n    return x in {'a', 'b', 'c', 'd', 'e', 'f'}, ('long' * 9, 1.5, b'x')\n"
    }
    first = make('expose = "all"', installer=installer, dependencies=dependencies, files=files, at="one/src")
    second = make(
        'expose = "all"',
        installer=installer,
        dependencies=dependencies,
        files=files,
        at="somewhere/quite/else/tree",
    )
    first.environ |= {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}
    second.environ |= {"TZ": "Pacific/Auckland", "LC_ALL": "C", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "2"}
    second.environ |= {"DEB_BUILD_OPTIONS": "parallel=1", "UV_CACHE_DIR": str(second.source.parent / "cache")}
    outcome = []
    for case, mask in ((first, 0o022), (second, 0o077)):
        before = os.umask(mask)
        try:
            case.finish()
        finally:
            os.umask(before)
        modes = {str(e.path): (e.kind, e.mode) for e in case.tree()}
        outside = {name: (case.root / name).read_bytes() for name in exposed(case)}
        outcome.append((case.files(), modes, outside))
    assert outcome[0][0].keys() == outcome[1][0].keys()
    assert [n for n in outcome[0][0] if outcome[0][0][n] != outcome[1][0][n]] == []
    assert outcome[0][1:] == outcome[1][1:]
