"""What happens between the steps, and when they run again."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builds import PYTHON, Case, fail
from venvpkg.errors import VenvpkgError
from venvpkg.interpreter import find_interpreter
from venvpkg.pipeline import read_specs
from venvpkg.plan import make_plan
from venvpkg.stage import make_environment

MakeCase = Callable[..., Case]


def write(path: Path, text: str) -> None:
    """Write a file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_file_from_debian_install_wins_and_survives_a_second_run(make: MakeCase) -> None:
    """Dh_install ran before us; its file replaces a distribution's own of the same name."""
    case = make(dependencies=["wren-scripts"])
    write(case.stage / "etc/wren.conf", "key = ours\n")
    write(case.stage / "share/mine.txt", "mine\n")
    for _ in range(2):
        case.build()
        assert (case.stage / "etc/wren.conf").read_text() == "key = ours\n"
        assert (case.stage / "share/mine.txt").read_text() == "mine\n"
    case.settle()
    assert (case.stage / "etc/wren.conf").read_text() == "key = ours\n"
    assert case.gate() == ()


def test_second_run_leaves_nothing_of_the_first(make: MakeCase) -> None:
    """A distribution that is required no more is gone."""
    case = make(dependencies=["wren-pure"])
    case.build()
    path = case.source / "pyproject.toml"
    path.write_text(path.read_text().replace("'wren-pure'", "'wren-extra'"))
    case.build()
    assert set(case.distributions()) == {"demo", "wren-extra"}


def test_second_build_gives_the_same_tree(make: MakeCase, installer: str) -> None:
    """Dh_prep takes the package build root away; the rest of debian/ stays."""
    case = make(installer=installer, dependencies=["wren-scripts"])
    case.finish()
    first = case.files()
    shutil.rmtree(case.root)
    case.finish()
    assert case.files() == first


def test_failed_build_leaves_no_state_for_the_next_step(make: MakeCase) -> None:
    """An older environment must not be settled as if it were this one."""
    case = make()
    case.build()
    path = case.source / "pyproject.toml"
    path.write_text(path.read_text().replace("dependencies = []", 'dependencies = ["wren-nonesuch"]'))
    fail(case)
    assert not (case.source / "debian/.debhelper/venvpkg/demo/state.json").exists()
    assert case.settle().actions == []


def test_tree_that_stepped_aside_comes_back(make: MakeCase) -> None:
    """Renamed by the fronts that hide; what was put under the prefix in the meantime stays."""
    case = make(dependencies=["wren-pure"])
    case.build()
    aside = case.source / "debian/.debhelper/venvpkg/demo/env"
    case.stage.rename(aside)
    write(case.stage / "share/late.txt", "late\n")
    case.settle()
    assert (case.stage / "share/late.txt").read_text() == "late\n"
    assert "wren-pure" in case.distributions()
    assert not aside.exists()
    assert case.gate() == ()


def test_stage_that_is_gone_is_told(make: MakeCase) -> None:
    """A command between the steps removed it."""
    case = make()
    case.build()
    shutil.rmtree(case.root)
    assert fail(case, "settle").code == "stage-missing"


def test_environment_that_cannot_be_made_is_told(make: MakeCase) -> None:
    """With the words of Python's own module, which finds a file where the folder has to be."""
    case = make()
    (spec,), run = read_specs(case.call(), case.world()), case.world().run
    plan = make_plan(spec, find_interpreter("", "", run, case.environ), case.root)
    write(plan.workshop, "in the way\n")
    with pytest.raises(VenvpkgError) as caught:
        make_environment(plan, run, case.environ)
    assert caught.value.code == "venv-failed"
    assert any(str(plan.workshop) in cause for cause in caught.value.causes)


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")
def test_control_file_that_dpkg_refuses_is_told(make: MakeCase) -> None:
    """By dpkg-shlibdeps, which reads it for every library; a field that is there twice is no field to it."""
    case = make(dependencies=["wren-omp"])
    case.build()
    control = case.source / "debian/control"
    control.write_text(control.read_text().replace("Section: misc", "Section: misc\nSection: net"))
    error = fail(case, "settle")
    assert error.code == "shlibdeps-failed"
    assert any("duplicate field" in cause for cause in error.causes)
    assert "dpkg-checkbuilddeps" in error.hint


def test_module_that_apt_has_for_another_python_alone_is_told(
    make: MakeCase, minor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here apt reads a database of the test's, in which Tk is of an older Python."""
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "status").write_text(
        "Package: python3-tk\nStatus: install ok installed\nArchitecture: all\nVersion: 3.4.2-1\n"
        "Maintainer: A Developer <developer@example.org>\nDescription: test\n"
    )
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{tmp_path}/lists/partial";\n'
        f'Dir::State::lists "{tmp_path}/lists";\nDir::State::status "{tmp_path}/status";\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    case = make(files={"demo/gui.py": "import tkinter\n"})
    case.build()
    error = fail(case, "settle")
    assert error.code == "split-module-not-packaged"
    assert error.message == f"apt has no python3-tk for Python {minor}, which the project needs."
    assert list(error.causes) == ["apt has python3-tk 3.4.2-1."]


def test_settle_without_a_build_does_nothing(make: MakeCase) -> None:
    """A package that gets no environment."""
    case = make()
    assert case.settle().actions == []


def test_deleted_files_are_taken_as_deleted(make: MakeCase) -> None:
    """RECORD follows, and so does the manifest."""
    case = make(dependencies=["wren-pure", "wren-scripts"])
    case.build()
    (case.stage / "bin/wren-old").unlink()
    (case.stage / "etc/wren.conf").unlink()
    case.settle()
    assert case.gate() == ()
    record = next(case.site.glob("wren_scripts-*.dist-info/RECORD")).read_text()
    assert "wren-old" not in record and "wren.conf" not in record


def test_deleted_distribution_is_no_more_in_the_manifest(make: MakeCase) -> None:
    """Someone took it out by hand, with all that RECORD lists."""
    case = make(dependencies=["wren-needs"])
    case.build()
    shutil.rmtree(case.site / "wren_pure")
    (info,) = case.site.glob("wren_pure-*.dist-info")
    shutil.rmtree(info)
    case.settle()
    names = [d["name"] for d in case.manifest()["distributions"]]  # type: ignore[attr-defined]
    assert names == ["demo", "wren-needs"]
    assert case.gate() == ()


def test_added_files_are_relocated_and_compiled(make: MakeCase) -> None:
    """Written with the stage's path, by a step of the user's own."""
    case = make()
    case.build()
    write(case.site / "demo/late.py", "LATE = True\n")
    write(case.stage / "etc/app.conf", f"home = {case.stage}/share\n")
    write(case.stage / "bin/late", f"#!{case.stage}/bin/python\nimport demo.late\n")
    (case.stage / "bin/late").chmod(0o755)
    (case.stage / "share").mkdir()
    (case.stage / "share/link").symlink_to(case.stage / "etc/app.conf")
    case.settle()
    assert (case.stage / "etc/app.conf").read_text() == "home = /opt/venvs/demo/share\n"
    assert (case.stage / "bin/late").read_text().startswith("#!/opt/venvs/demo/bin/python\n")
    assert str((case.stage / "share/link").readlink()) == "/opt/venvs/demo/etc/app.conf"
    assert list((case.site / "demo/__pycache__").glob("late.*.pyc"))
    assert case.gate() == ()


def test_changed_file_is_recorded_as_it_is(make: MakeCase) -> None:
    """A patch between the steps is meant."""
    case = make(dependencies=["wren-pure"])
    case.build()
    (case.site / "wren_pure/__init__.py").write_text("__version__ = 'patched'\n")
    case.settle()
    assert case.ask("import wren_pure; print(wren_pure.__version__)") == "patched"
    assert case.gate() == ()


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_distribution_installed_into_the_stage_is_taken_in(
    make: MakeCase, tool: str, wheelhouse: Path
) -> None:
    """By a command in debian/rules, between dh_venvpkg and the settle step."""
    case = make()
    case.build()
    target = str(case.stage / "bin/python")
    words = {
        "uv": ["uv", "pip", "install", "--python", target],
        "pip": [str(PYTHON), "-m", "pip", "--python", target, "install"],
    }[tool]
    wheel = next(wheelhouse.glob("wren_scripts-*.whl"))
    subprocess.run([*words, "--no-index", str(wheel)], env=case.environ, check=True, capture_output=True)
    case.settle()
    assert "wren-scripts" in case.distributions()
    assert (case.stage / "bin/wren-tool").read_text().startswith("#!/opt/venvs/demo/bin/python")
    assert not list(case.site.glob("wren_scripts-*.dist-info/direct_url.json"))
    needle = str(case.source).encode()
    assert [name for name, data in case.files().items() if needle in data] == []
    assert case.gate() == ()


def test_several_packages_get_an_environment_each(make: MakeCase) -> None:
    """Those that the configuration names, each with its own keys."""
    stanzas = (
        "Package: demo-tools\nArchitecture: all\nDepends: ${misc:Depends}\nDescription: t\n t\n\n"
        "Package: demo-doc\nArchitecture: all\nDescription: d\n d"
    )
    case = make(packages=stanzas)
    path = case.source / "pyproject.toml"
    tables = '[tool.venvpkg.packages.demo]\n[tool.venvpkg.packages.demo-tools]\nexpose = "all"\n'
    path.write_text(path.read_text() + tables)
    case.packages = ("demo", "demo-tools", "demo-doc")
    case.finish()
    assert (case.root / "opt/venvs/demo/bin/demo").exists()
    assert not (case.root / "usr/bin").exists()
    tools = case.source / "debian/demo-tools"
    assert "/opt/venvs/demo-tools/bin/python" in (tools / "opt/venvs/demo-tools/bin/demo").read_text()
    assert (tools / "usr/bin/demo").exists()
    assert not (case.source / "debian/demo-doc").exists()


def test_only_the_called_packages_are_built(make: MakeCase) -> None:
    """-p, -N, -a and -i are debhelper's business; we do what we are called for."""
    case = make(packages="Package: demo-tools\nArchitecture: all\nDescription: t\n t")
    path = case.source / "pyproject.toml"
    path.write_text(path.read_text() + "[tool.venvpkg.packages.demo]\n[tool.venvpkg.packages.demo-tools]\n")
    case.packages = ("demo-tools",)
    case.build()
    assert not case.root.exists()
    assert (case.source / "debian/demo-tools/opt/venvs/demo-tools/bin/demo").exists()


def test_several_packages_and_none_named_is_an_error(make: MakeCase) -> None:
    """That says what to write."""
    case = make(packages="Package: demo-tools\nArchitecture: all\nDescription: t\n t")
    error = fail(case)
    assert error.code == "packages-unnamed"
    assert "[tool.venvpkg.packages.demo]" in error.hint


def test_option_beats_variable_beats_package_beats_file(make: MakeCase) -> None:
    """In that order, key by key, and the later steps see the same."""
    case = make(
        'env-name = "file"\nbytecode = "none"\n[tool.venvpkg.packages.demo]\nenv-name = "package"',
        offline=False,
    )

    def build(name: str) -> None:
        case.build()
        assert (case.root / f"opt/venvs/{name}/bin/demo").exists()

    build("package")
    case.environ["DH_VENVPKG_ENV_NAME"] = "variable"
    build("variable")
    case.options["env-name"] = ["option"]
    build("option")
    del case.environ["DH_VENVPKG_ENV_NAME"]
    case.options.clear()
    case.settle()
    manifest = json.loads((case.root / "opt/venvs/option/venvpkg.json").read_text())
    assert (manifest["prefix"], manifest["bytecode"]) == ("/opt/venvs/option", "none")


def test_own_file_replaces_the_table(make: MakeCase) -> None:
    """debian/venvpkg.toml does not merge with pyproject.toml."""
    case = make('env-name = "table"')
    (case.source / "debian/venvpkg.toml").write_text('installer = "uv"\nexpose = "all"\n')
    case.build()
    assert case.stage.exists()
    assert (case.root / "usr/bin/demo").exists()


def test_every_mistake_is_told_at_once(make: MakeCase) -> None:
    """With the nearest known key."""
    error = fail(make('bytecoed = "none"\nexpose = 3\nsmoke = "x"'))
    assert error.code == "config-invalid"
    assert len(error.causes) == 3
    assert "'bytecode'" in error.causes[0]


def test_source_in_a_folder_with_odd_characters_is_built(make: MakeCase, installer: str) -> None:
    """Blanks, brackets, quotes and letters that are not ASCII."""
    case = make(installer=installer, at="a b/ü [x]/it's", dependencies=["wren-scripts"])
    case.finish()
    assert (case.stage / "bin/demo").read_text().startswith("#!/opt/venvs/demo/bin/python")
    assert (case.stage / "bin/wren-old").read_text().startswith("#!/opt/venvs/demo/bin/python")
    needle = str(case.source).encode()
    assert [name for name, data in case.files().items() if needle in data] == []
    assert case.gate() == ()


def test_temporary_folder_with_a_blank_is_no_trouble(make: MakeCase, installer: str, tmp_path: Path) -> None:
    """The project is found by the folder that it was installed from."""
    folder = tmp_path / "tmp dir"
    folder.mkdir()
    case = make(installer=installer)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        case.finish()
    finally:
        tempfile.tempdir = before
    assert case.state.project == "demo"
    assert list(folder.iterdir()) == []
