"""What wheels bring that a package should not have, in a whole build: its findings and its notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import wheels
from builds import Case, fail
from handmade import KEY
from venvpkg.cli import venvpkg

MakeCase = Callable[..., Case]
SECRET = "s3cr3t-of-the-index"


def test_path_of_two_wheels_is_found(make: MakeCase, installer: str, tmp_path: Path) -> None:
    """V015, with both names, though RECORD is true of the files by then; the same bytes are no clash."""
    for name in ("one", "two"):
        files = {
            f"{name}/__init__.py": "",
            "shared/__init__.py": f"NAME = '{name}'\n",
            "shared/same.py": "",
        }
        wheels.write_wheel(tmp_path / "house", name, files=files)
    config = f'no-index = true\nfind-links = ["{tmp_path / "house"}"]'
    case = make(config, installer=installer, offline=False, dependencies=["one", "two"]).finish()
    (found,) = case.gate()
    assert (found.code, found.path.rsplit("/", 2)[-2:]) == ("V015", ["shared", "__init__.py"])
    assert "one and in two" in found.message
    line = '[{ code = "V015", path = "*/shared/*", reason = "either does" }]'
    config += f"\naccept = {line}"
    other = make(config, installer=installer, offline=False, dependencies=["one", "two"], at="other").finish()
    assert other.gate() == ()
    assert other.manifest()["accepted"] == [{"code": "V015", "path": "*/shared/*", "reason": "either does"}]


def test_code_that_runs_at_start_up_is_told(
    make: MakeCase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The build says it and goes on; a finished package has it as V019."""
    files = {"sly/__init__.py": "", "sly.pth": "import sly; print('', end='')\n"}
    wheels.write_wheel(tmp_path / "house", "sly", files=files)
    config = f'no-index = true\nfind-links = ["{tmp_path / "house"}"]'
    case = make(config, offline=False, dependencies=["sly"]).finish()
    assert case.gate() == ()
    assert "sly.pth runs code whenever Python starts: import sly; print" in capfd.readouterr().err
    told = CliRunner().invoke(venvpkg, ["verify", "--json", str(case.root)]).stdout
    assert [f["code"] for f in json.loads(told)["findings"]] == ["V019"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"KEY = '''{KEY}'''\n", "holds a private key"),
        (f"URL = 'https://alice:{SECRET}@index.example.org/simple'\n", "https://***@index.example.org"),
    ],
)
def test_secret_of_the_project_is_found(make: MakeCase, text: str, what: str) -> None:
    """V012, in words that do not repeat it."""
    (found,) = make(files={"demo/settings.py": text}).finish().gate()
    assert (found.code, found.path.rsplit("/", 1)[1]) == ("V012", "settings.py")
    assert what in found.message
    assert SECRET not in found.message


@pytest.mark.parametrize("where", ["url", "variable", "netrc"])
def test_secret_of_the_build_is_found_wherever_it_lands(make: MakeCase, tmp_path: Path, where: str) -> None:
    """V012 in any file, of any distribution: the build's own passwords are looked for by value."""
    wheels.write_wheel(tmp_path / "house", "leak", files={"leak/__init__.py": f"BUILT_WITH = 'x{SECRET}x'\n"})
    config = f'no-index = true\nfind-links = ["{tmp_path / "house"}"]'
    if where == "url":
        config += f'\nextra-index-url = ["https://me:{SECRET}@127.0.0.1/simple"]'
    case = make(config, offline=False, dependencies=["leak"])
    if where == "variable":
        case.environ["UV_INDEX_PRIVATE_PASSWORD"] = SECRET
    if where == "netrc":
        netrc = Path(case.environ["HOME"]) / ".netrc"
        netrc.write_text(f"machine index.example.org login me password {SECRET}\n")
        netrc.chmod(0o600)
    found = case.finish().gate()
    assert {(f.code, f.path.rsplit("/", 1)[1].split(".")[0]) for f in found} == {("V012", "__init__")}
    assert all(SECRET not in f.message for f in found)


def test_module_that_hangs_fails_the_build(make: MakeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time, and by name."""
    monkeypatch.setattr("venvpkg.smoke.LIMIT", ("timeout", "--foreground", "--kill-after=1", "2"))
    case = make(files={"demo/__init__.py": "import time\ntime.sleep(60)\n"})
    case.build()
    error = fail(case, "settle")
    assert error.code == "smoke-failed"
    assert "import demo" in error.causes[0] and "no end within" in error.causes[0]
