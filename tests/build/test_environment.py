"""What is in a finished environment, whichever installer made it."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import marshal
import re
import shutil
import stat
import subprocess
from pathlib import Path, PurePosixPath

import pytest

import wheels
from builds import PYTHON, Case, clean_environment
from projects import Project

REQUIREMENTS = "wren-scripts\nwren-needs\nwren-both\n"


@pytest.fixture(scope="module", params=["uv", "pip"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, caches: Path
) -> Case:
    """A project with requirements, built and settled once for each installer; tests only look at it."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "home").mkdir()
    native = "wren-omp\n" if shutil.which("gcc") else ""
    config = (
        f'installer = "{request.param}"\nno-index = true\nfind-links = ["{wheelhouse}"]\n'
        'no-binary = ["wren-both"]\nexpose = "all"'
    )
    source = Project(config=config, files={"requirements.txt": REQUIREMENTS + native}).write(folder / "src")
    environ = clean_environment(
        HOME=str(folder / "home"), UV_CACHE_DIR=str(caches / "uv"), PIP_CACHE_DIR=str(caches / "pip")
    )
    return Case(source=source.resolve(), environ=environ).finish()


def test_environment_holds_what_was_asked_for_and_nothing_else(finished: Case) -> None:
    """Neither pip, setuptools nor wheel comes along."""
    wanted = {"demo", "wren-scripts", "wren-needs", "wren-pure", "wren-both"}
    assert set(finished.distributions()) - {"wren-omp"} == wanted
    assert not [p for p in finished.site.iterdir() if re.match(r"pip|setuptools|wheel|pkg_resources", p.name)]
    assert not list((finished.stage / "bin").glob("pip*"))


def test_project_is_found_by_its_name(finished: Case) -> None:
    """Smoke, expose and manifest all need to know which distribution is the project's own."""
    assert finished.state.project == "demo"


def test_source_tree_is_left_as_it_was(finished: Case) -> None:
    """No build/, no egg-info, no __pycache__ beside the sources, and nothing in debian/ but debhelper's."""
    left = {str(p.relative_to(finished.source)) for p in finished.source.rglob("*") if p.is_file()}
    ours = {name for name in left if name.startswith(("debian/.debhelper/", "debian/demo/"))}
    assert left - ours == {
        "pyproject.toml",
        "requirements.txt",
        "backend/backend.py",
        "demo/__init__.py",
        "demo/__main__.py",
        "debian/control",
        "debian/rules",
        "debian/changelog",
        "debian/source/format",
    }
    assert not list((finished.source / "backend").glob("__pycache__"))


def test_debian_folder_is_not_packed(finished: Case) -> None:
    """Neither debian/ nor the environment in it becomes part of the project's wheel."""
    assert [name for name in finished.files() if "debian" in PurePosixPath(name).parts] == []


def test_python_links_to_the_interpreter_by_its_absolute_path(finished: Case, minor: str) -> None:
    """The link that a server follows names the real file, and the other names lead to it."""
    folder = finished.stage / "bin"
    assert str((folder / "python").readlink()) == f"/usr/bin/python{minor}"
    assert str((folder / "python3").readlink()) == "python"
    assert str((folder / f"python{minor}").readlink()) == "python"


def test_pyvenv_cfg_speaks_of_final_paths_alone(finished: Case, minor: str) -> None:
    """Whoever reads it on a server finds nothing of the build."""
    text = (finished.stage / "pyvenv.cfg").read_text()
    assert "home = /usr/bin\n" in text
    assert str(finished.source) not in text
    command = [line for line in text.splitlines() if line.startswith("command")]
    assert all(line.endswith(" /opt/venvs/demo") for line in command)
    assert "include-system-site-packages = false" in text


@pytest.mark.parametrize("name", ["demo", "wren-tool", "wren-old"])
def test_script_starts_with_the_final_interpreter(finished: Case, name: str) -> None:
    """Entry points and old-style scripts alike name the prefix's own Python on line one."""
    script = finished.stage / "bin" / name
    first = script.read_bytes().splitlines()[0]
    assert re.fullmatch(rb"#!/opt/venvs/demo/bin/python[\d.]*", first)
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


def test_script_of_another_language_is_left_alone(finished: Case) -> None:
    """A shell script stays one."""
    assert (finished.stage / "bin/wren-sh").read_text() == "#!/bin/sh\necho sh\n"


def test_activate_scripts_name_the_final_prefix(finished: Case) -> None:
    """Sourcing one on the server must lead to the server's path."""
    activators = list((finished.stage / "bin").glob("[aA]ctivate*"))
    assert len(activators) >= 4
    for path in activators:
        text = path.read_text()
        assert str(finished.source) not in text
        if path.name != "Activate.ps1":
            assert "/opt/venvs/demo" in text


def test_no_file_names_the_build_path(finished: Case) -> None:
    """Bytecode, metadata and libraries included."""
    needle = str(finished.source).encode()
    assert [name for name, data in finished.files().items() if needle in data] == []


def test_no_file_names_the_folder_that_builds_ran_in(finished: Case) -> None:
    """What the back ends ran in is gone by now."""
    needle = finished.state.scratch.encode()
    assert [name for name, data in finished.files().items() if needle in data] == []
    assert not Path(finished.state.scratch).exists()


def test_direct_url_of_the_project_is_left_out(finished: Case) -> None:
    """It would name a temporary folder of the build machine."""
    (info,) = finished.site.glob("demo-*.dist-info")
    assert not (info / "direct_url.json").exists()
    assert "direct_url.json" not in (info / "RECORD").read_text()


def test_every_row_of_every_record_is_right(finished: Case) -> None:
    """Path, hash and size, for each file of each distribution."""
    checked = 0
    for record in finished.site.glob("*.dist-info/RECORD"):
        for name, digest, size in csv.reader(io.StringIO(record.read_text())):
            data = (finished.site / name).read_bytes()
            if digest:
                assert wheels.hash_row(name, data) == f"{name},{digest},{size}"
                checked += 1
    assert checked > 30


def test_every_installed_file_is_in_a_record(finished: Case) -> None:
    """What belongs to no distribution is the environment's own, or bytecode."""
    recorded = {str(path) for d in finished.distributions().values() for path in d.files}
    others = [
        name
        for name in finished.files()
        if name not in recorded and not name.endswith(".pyc") and not re.match(r"bin/([aA]ctiv|python)", name)
    ]
    selfcheck = {name for name in others if name.endswith("/site-packages/venvpkg_selfcheck.py")}
    assert set(others) - selfcheck <= {"pyvenv.cfg", "venvpkg.json", "lib64", ".gitignore", "CACHEDIR.TAG"}


def test_bytecode_is_unchecked_and_names_the_final_prefix(finished: Case, minor: str) -> None:
    """Hash-based and unchecked: no server compares times, and tracebacks name the server's files."""
    if magic_of(PYTHON) != importlib.util.MAGIC_NUMBER:
        pytest.skip("the tests run on another Python than the packaged one")
    compiled = [name for name in finished.files() if name.endswith(".pyc")]
    sources = [name for name in finished.files() if name.endswith(".py")]
    assert len(compiled) == len(sources) > 5
    for name in compiled:
        data = (finished.stage / name).read_bytes()
        assert data[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(data[4:8], "little") == 0b01
        source = importlib.util.source_from_cache(str(finished.stage / name))
        assert data[8:16] == importlib.util.source_hash(Path(source).read_bytes())
        inside = Path(source).relative_to(finished.stage)
        assert marshal.loads(data[16:]).co_filename == f"/opt/venvs/demo/{inside}"


def magic_of(python: Path) -> bytes:
    """An interpreter's magic number."""
    program = "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())"
    answer = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    return bytes.fromhex(answer.stdout)


def test_modes_are_those_of_dh_fixperms(finished: Case) -> None:
    """Folders 0755, files 0644 or 0755."""
    for entry in finished.tree():
        if entry.kind == "folder":
            assert entry.mode == 0o755, entry.path
        elif entry.kind == "file":
            assert entry.mode == (0o755 if entry.path.parts[0] == "bin" and entry.mode & 0o100 else 0o644)


def test_distribution_from_an_sdist_was_built(finished: Case) -> None:
    """no-binary names it, and there is a wheel of the same version."""
    assert "FROM_SDIST" in (finished.site / "wren_both/__init__.py").read_text()


def test_installers_leave_no_notes_of_their_own(finished: Case) -> None:
    """Notes on uv's own cache hold times; a lock has done its work."""
    assert not [name for name in finished.files() if re.search(r"uv_(cache|build)\.json|(^|/)\.lock$", name)]


def test_manifest_says_what_was_built_from_what(finished: Case, minor: str) -> None:
    """Interpreter, installer, requirements with their hash, distributions, and what was imported."""
    found = finished.manifest()
    assert found["schema"] == 1
    assert found["package"] == "demo"
    assert found["prefix"] == "/opt/venvs/demo"
    assert found["built_on"] == "testing"
    interpreter = found["interpreter"]
    assert isinstance(interpreter, dict)
    assert interpreter["path"] == f"/usr/bin/python{minor}"
    assert interpreter["package"] == f"python{minor}"
    assert interpreter["mode"] == "system"
    assert str(found["installer"]).split()[0] in ("uv", "pip")
    assert found["project"] == "demo"
    (requirements,) = found["requirements"]  # type: ignore[misc]
    digest = wheels.hash_of(finished.source / "requirements.txt").removeprefix("sha256:")
    assert requirements == {"file": "requirements.txt", "sha256": digest}
    names = {d["name"]: d for d in found["distributions"]}  # type: ignore[attr-defined]
    assert names["wren-pure"]["version"] == "2.0"
    assert names["demo"]["built_here"] is True
    assert names["wren-pure"]["built_here"] is False
    assert "demo" in found["imported"]  # type: ignore[operator]
    assert "wren_scripts" in found["imported"]  # type: ignore[operator]
    assert found["bytecode"] == "build"


def test_manifest_names_neither_time_nor_place(finished: Case) -> None:
    """The same inputs give the same file."""
    text = (finished.stage / "venvpkg.json").read_text()
    assert str(finished.source) not in text
    assert not re.search(r"\d{4}-\d\d-\d\d", text)
    assert json.loads(text)


def test_depends_holds_interpreter_and_libraries(finished: Case, minor: str) -> None:
    """The interpreter by its minor version, and what the compiled module links to."""
    clauses = finished.depends()
    assert f"python{minor}" in clauses
    assert not [c for c in clauses if c.startswith("python3 ")]
    if "wren-omp" in finished.distributions():
        assert [c for c in clauses if c.startswith("libgomp1 (>= ")]


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_compiled_module_is_known_as_built_here(finished: Case) -> None:
    """dh_strip and dh_dwz are to see it, and nothing else."""
    (name,) = finished.state.built
    assert PurePosixPath(name).match("*/site-packages/wren_omp/native*.so")
    hidden = json.loads((finished.source / "debian/.debhelper/venvpkg/demo/hide.json").read_text())
    assert hidden == {"prefix": "opt/venvs/demo", "built": [name]}


def test_package_passes_the_gate(finished: Case) -> None:
    """Nothing is found in what was made without a mistake."""
    assert finished.gate() == ()


def test_snippets_and_triggers_are_asked_for(finished: Case, minor: str) -> None:
    """Four maintainer scripts, and a trigger on the interpreter and on the release."""
    scripts = [a["script"] for a in finished.actions if a["do"] == "autoscript"]
    assert scripts == ["postinst", "prerm", "postrm", "preinst"]
    for action in finished.actions:
        if action["do"] == "autoscript":
            assert "/opt/venvs/demo" in (Path(action["folder"]) / action["script"]).read_text()
    paths = [a["path"] for a in finished.actions if a["do"] == "trigger"]
    assert paths == [f"/usr/bin/python{minor}", "/usr/lib/os-release"]


def test_staged_python_runs_the_project(finished: Case) -> None:
    """The environment works where it stands, before it is anywhere else."""
    assert finished.ask("import demo, wren_needs, wren_pure; print(demo.__version__)") == "1.0"
