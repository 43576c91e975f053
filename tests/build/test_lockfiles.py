"""Locks and editable requirements become what pip and uv install."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from builds import Case, fail
from roots import find_index_settings
from venvpkg.lockfiles import flatten, tidy

MakeCase = Callable[..., Case]
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]

[project]
name = "demo"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["iniconfig>=2", "colorama; sys_platform == 'win32'"]

[project.optional-dependencies]
more = ["six"]

[dependency-groups]
docs = ["toml"]
dev = ["pluggy"]

[tool.venvpkg]
extras = ["more"]
groups = ["docs"]
"""


@pytest.mark.parametrize("line", ["-e .", "-e.", "--editable .", "--editable=./"])
def test_editable_project_is_installed_as_it_is(line: str, make: MakeCase) -> None:
    """`uv export` and pip-compile write it; it would point at a folder that a server has not."""
    case = make(files={"requirements.txt": f"wren-pure==1.0\n{line}\n"})
    case.finish()
    assert {k: v for k, v in case.versions().items() if k != "pip"} == {"demo": "1.0", "wren-pure": "1.0"}
    assert case.gate() == ()
    (recorded,) = case.manifest()["requirements"]  # type: ignore[misc]
    assert recorded["file"] == "requirements.txt"


def test_editable_folder_of_an_included_file_is_installed(make: MakeCase, installer: str) -> None:
    """From the project's folder, whoever includes it."""
    sdist = wheels.write_sdist(Path(make().source.parent), "wren-local")
    files = {
        "requirements.txt": "-r more/other.txt\n",
        "more/other.txt": "-e ./libs/wren_local-1.0  # ours\nwren-pure==1.0\n",
    }
    case = make(files=files, installer=installer, at="with")
    shutil.unpack_archive(sdist, case.source / "libs")
    case.finish()
    assert case.versions()["wren-local"] == "1.0"
    assert [f.code for f in case.gate()] == []


def test_requirements_are_tidied() -> None:
    """The project itself and the public index go, local paths become absolute; the rest stays."""
    text = (
        "--index-url https://pypi.org/simple\n-i https://pypi.org/simple/\n--extra-index-url https://e.org/s\n"
        "-e .\n./\n../other ; python_version > '3'\n-e git+https://e.org/x.git#egg=x\n"
        "click==8 \\\n    --hash=sha256:00\n"
    )
    assert tidy(text, Path("/srv/demo")).splitlines() == [
        "--extra-index-url https://e.org/s",
        "/srv/other ; python_version > '3'",
        "git+https://e.org/x.git#egg=x",
        "click==8      --hash=sha256:00",
    ]


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    """Each stands once in its own chain."""
    (tmp_path / "a.txt").write_text("-r b.txt\none\n")
    (tmp_path / "b.txt").write_text("-r a.txt\ntwo\n-c c.txt\n")
    assert flatten(tmp_path / "a.txt").count("two") == 1
    assert f"-c {tmp_path / 'c.txt'}" in flatten(tmp_path / "a.txt")


# --- With an index


@pytest.fixture
def locked(make: MakeCase, tmp_path: Path) -> Callable[[str], Case]:
    """`locked("uv.lock")`: the project with a lock of that name, and nothing else that pins."""
    if not shutil.which("uv"):
        pytest.skip("uv is not on PATH")

    def made(name: str) -> Case:
        case = make(offline=False, at=name, files={"pyproject.toml": PYPROJECT})
        case.environ |= find_index_settings()
        run = {"cwd": case.source, "env": case.environ, "check": True}
        subprocess.run(["uv", "lock", "--quiet"], **run)  # type: ignore[call-overload]
        if name.startswith("pylock"):
            words = ["uv", "export", "--quiet", "--format", "pylock.toml", "--no-emit-project"]
            words += ["--extra", "more", "--no-default-groups", "--group", "docs", "-o", name]
            subprocess.run(words, **run)  # type: ignore[call-overload]
            (case.source / "uv.lock").unlink()
        return case

    return made


@pytest.mark.network
@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_lock_is_installed(name: str, locked: Callable[[str], Case]) -> None:
    """What it pins for this Python, with extras and groups, and with its hashes; not its other groups."""
    case = locked(name)
    case.finish()
    assert set(case.versions()) == {"demo", "iniconfig", "six", "toml"}
    assert case.gate() == ()
    (recorded,) = case.manifest()["requirements"]  # type: ignore[misc]
    assert recorded["file"] == name
    (exported,) = (case.source / "debian/.debhelper/venvpkg/demo/requirements").iterdir()
    assert exported.read_text().count("--hash=sha256:") >= 3


@pytest.mark.network
@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_lock_that_does_not_fit_any_more_is_an_error(name: str, locked: Callable[[str], Case]) -> None:
    """With what is new, and the command that locks again."""
    case = locked(name)
    pyproject = case.source / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"iniconfig>=2"', '"iniconfig>=2", "attrs"'))
    error = fail(case)
    assert error.code == "lock-stale"
    assert error.hint.startswith("Lock again")


@pytest.mark.network
@pytest.mark.parametrize("text", ["no toml at all [", "lock-version = 9", ""])
def test_broken_lock_is_an_error(text: str, make: MakeCase) -> None:
    """With a code."""
    case = make(offline=False, files={"pylock.toml": text})
    case.environ |= find_index_settings()
    assert fail(case).code == "lock-invalid"
