"""The gate finds what was planted after the settle step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builds import Case, clean_environment, fail
from projects import Project

MakeCase = Callable[..., Case]


@pytest.fixture(scope="module")
def pattern(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, caches: Path
) -> Callable[[str, str], Case]:
    """`pattern(keys, depends)`: a settled case, made once for each, from which the tests take copies."""
    made: dict[tuple[str, str], Case] = {}

    def settle(keys: str, depends: str) -> Case:
        if (keys, depends) not in made:
            folder = tmp_path_factory.mktemp("pattern")
            config = f'installer = "uv"\nno-index = true\nfind-links = ["{wheelhouse}"]\n{keys}'
            project = Project(config=config, dependencies=["wren-pure"], depends=depends)
            environ = clean_environment(HOME=str(folder), UV_CACHE_DIR=str(caches / "uv"))
            source = project.write(folder / "src").resolve()
            made[keys, depends] = Case(source=source, environ=environ).finish()
        return made[keys, depends]

    return settle


@pytest.fixture
def settled(pattern: Callable[[str, str], Case], tmp_path: Path) -> Callable[..., Case]:
    """A case that is built and settled, with keys of the test's own."""

    def made(keys: str = "", depends: str = "${misc:Depends}, ${shlibs:Depends}") -> Case:
        case = pattern(keys, depends)
        shutil.copytree(case.source, tmp_path / "src", symlinks=True)
        return replace(case, source=(tmp_path / "src").resolve(), actions=list(case.actions))

    return made


def codes(case: Case) -> list[tuple[str, str]]:
    """What the gate finds: number and path."""
    return [(f.code, f.path) for f in case.gate()]


def test_build_path_in_a_text_file_is_found(settled: Callable[..., Case]) -> None:
    """V001, in the environment and outside it."""
    case = settled()
    (case.stage / "share").mkdir()
    (case.stage / "share/app.conf").write_text(f"home = {case.stage}\n")
    (case.root / "etc").mkdir()
    (case.root / "etc/app.conf").write_text(f"home = {case.source}/x\n")
    found = codes(case)
    assert found == [("V001", "etc/app.conf"), ("V001", "opt/venvs/demo/share/app.conf")]
    assert str(case.source) in case.verify()[0].message


def test_folder_that_builds_ran_in_is_found_too(settled: Callable[..., Case]) -> None:
    """It is gone, and no server has it."""
    case = settled()
    (case.stage / "notes.txt").write_text(f"{case.state.scratch}/source/x\n")
    assert codes(case) == [("V001", "opt/venvs/demo/notes.txt")]


def test_path_that_only_begins_alike_is_not_found(settled: Callable[..., Case]) -> None:
    """Another folder's name may start with ours."""
    case = settled()
    (case.stage / "notes.txt").write_text(f"{case.source}-other/x\n")
    assert codes(case) == []


def test_build_path_in_bytecode_is_found(settled: Callable[..., Case]) -> None:
    """V002."""
    case = settled()
    compiled = next(case.site.glob("demo/__pycache__/__init__.*.pyc"))
    compiled.write_bytes(compiled.read_bytes().replace(b"/opt/venvs/demo", str(case.stage).encode()))
    assert codes(case) == [("V002", str(compiled.relative_to(case.root)))]


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_build_path_in_a_library_is_found(make: MakeCase) -> None:
    """V003."""
    case = make(dependencies=["wren-native"]).finish()
    library = next(case.site.glob("wren_native/native*.so"))
    library.write_bytes(library.read_bytes() + str(case.source).encode() + b"/x\0")
    found = [code for code, path in codes(case) if path == str(library.relative_to(case.root))]
    assert found == ["V003", "V006"]


def test_dangling_link_is_found(settled: Callable[..., Case]) -> None:
    """V004: inside the package, and to what no package owns."""
    case = settled()
    (case.stage / "bin/inside").symlink_to("nothing")
    (case.stage / "bin/outside").symlink_to("/usr/bin/no-such-program")
    (case.stage / "bin/fine").symlink_to("demo")
    assert codes(case) == [("V004", "opt/venvs/demo/bin/inside"), ("V004", "opt/venvs/demo/bin/outside")]


def test_script_with_a_missing_interpreter_is_found(settled: Callable[..., Case]) -> None:
    """V005: neither the package nor its dependencies have it."""
    case = settled()
    for name, first in {
        "a": "#!/usr/local/bin/ruby",
        "b": "#!/usr/bin/env nonesuch",
        "c": "#!/bin/sh",
    }.items():
        script = case.stage / "bin" / name
        script.write_text(f"{first}\n")
        script.chmod(0o755)
    assert codes(case) == [("V005", "opt/venvs/demo/bin/a"), ("V005", "opt/venvs/demo/bin/b")]


def test_edited_file_is_found(settled: Callable[..., Case]) -> None:
    """V006: same size, another byte; another size; gone."""
    case = settled()
    module = case.site / "wren_pure/__init__.py"
    module.write_text(module.read_text().replace("2.0", "2.1"))
    (case.stage / "bin/demo").write_text("#!/bin/sh\n")
    next(case.site.glob("demo-*.dist-info/WHEEL")).unlink()
    found = codes(case)
    assert [code for code, _ in found] == ["V006"] * 3
    assert any(path.endswith("wren_pure/__init__.py") for _, path in found)
    messages = " ".join(f.message for f in case.verify())
    assert "has another hash" in messages and "is not there" in messages and "bytes instead of" in messages


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_library_that_depends_does_not_cover_is_found(make: MakeCase) -> None:
    """V008 and V018: debian/control says nothing of shlibs:Depends."""
    case = make(dependencies=["wren-omp"], depends="${misc:Depends}").finish()
    found, ran = case.gate()
    assert (found.code, ran.code) == ("V008", "V018")
    assert "libgomp.so.1" in found.message
    assert "${shlibs:Depends}" in found.hint


def test_missing_depends_on_the_interpreter_is_found(settled: Callable[..., Case], minor: str) -> None:
    """V009: debian/control says nothing of misc:Depends."""
    case = settled(depends="${shlibs:Depends}, python3")
    found = case.gate()
    assert [f.code for f in found] == ["V009"]
    assert f"python{minor}" in found[0].message
    assert "${misc:Depends}" in found[0].hint


def test_accepted_findings_are_left_out(settled: Callable[..., Case]) -> None:
    """By number and path; another path is found all the same."""
    records = (
        '{ code = "V001", path = "share/*.conf", reason = "read by nobody" }, '
        '{ code = "V004", path = "/opt/venvs/demo/bin/outside", reason = "comes later" }'
    )
    case = settled(f"accept = [{records}]")
    (case.stage / "share").mkdir()
    for name in ("share/app.conf", "share/app.txt"):
        (case.stage / name).write_text(f"{case.source}/x\n")
    (case.stage / "bin/outside").symlink_to("/usr/bin/no-such-program")
    assert codes(case) == [("V001", "opt/venvs/demo/share/app.txt")]


def test_accepting_without_a_reason_is_a_mistake(make: MakeCase) -> None:
    """Path and reason are required."""
    error = fail(make('accept = [{ code = "V001" }]'))
    assert error.code == "config-invalid"
    assert len(error.causes) == 2


def test_every_finding_is_told_at_once(settled: Callable[..., Case]) -> None:
    """In the order of their numbers."""
    case = settled(depends="${shlibs:Depends}")
    (case.stage / "a.txt").write_text(f"{case.source}\n")
    (case.stage / "b").symlink_to("nothing")
    (case.site / "wren_pure/__init__.py").write_text("")
    found = [code for code, _ in codes(case)]
    assert found == sorted(found)
    assert {"V001", "V004", "V006", "V009"} <= set(found)


def test_gate_changes_nothing(settled: Callable[..., Case]) -> None:
    """It only looks."""
    case = settled()
    case.gate()
    before = {p: p.lstat().st_mtime_ns for p in case.root.rglob("*")}
    case.verify()
    assert {p: p.lstat().st_mtime_ns for p in case.root.rglob("*")} == before
