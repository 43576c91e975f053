"""`venvpkg relocate` on environments that venv, uv and virtualenv made, used at the new place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pythons import Python, find_pythons
from venvpkg.cli import venvpkg
from wheels import write_wheel

# Given line by line on standard input, for csh knows an alias from the next line on.
SHELLS = {
    "sh": [
        ". {0}/bin/activate",
        "command -v python",
        'echo "$VIRTUAL_ENV"',
        "deactivate",
        'echo "[$VIRTUAL_ENV]"',
    ],
    "csh": [
        "set prompt = x",
        "source {0}/bin/activate.csh",
        "which python",
        'echo "$VIRTUAL_ENV"',
        "deactivate",
        'echo "[$?VIRTUAL_ENV]"',
    ],
    "fish": [
        "source {0}/bin/activate.fish",
        "command -v python",
        'echo "$VIRTUAL_ENV"',
        "deactivate",
        'echo "[$VIRTUAL_ENV]"',
    ],
}


def move(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(venvpkg, ["relocate", *map(str, words)])


def run(*words: str | Path, check: bool = True, stdin: str = "") -> str:
    """What a command prints."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, input=stdin)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with a module and a command that says where it lives."""
    code = "import sys\n\n\ndef main():\n    print('wren', sys.prefix, __file__)\n"
    folder = tmp_path_factory.mktemp("wheel")
    return write_wheel(folder, "wren", files={"wren/__init__.py": code}, scripts={"wren": "wren:main"})


def make(tool: str, python: Path, place: Path, wheel: Path) -> Path:
    """An environment with one distribution, its bytecode among its files."""
    maker: dict[str, list[str | Path]] = {
        "venv": [python, "-m", "venv", "--without-pip", place],
        "uv": ["uv", "venv", "--quiet", "--offline", "--python", python, place],
        "virtualenv": ["virtualenv", "--quiet", "--no-seed", "--python", python, place],
    }
    if tool != "venv" and not shutil.which(tool):
        pytest.skip(f"there is no {tool}")
    run(*maker[tool])
    run("uv", "pip", "install", "--quiet", "--offline", "--no-index", "--python", place / "bin/python", wheel)
    run(place / "bin/python", "-m", "compileall", "-q", place / "lib")
    return place


@pytest.fixture(params=["plain", "with blank"])
def source(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path) -> Path:
    """An environment of the newest Python, in a plain folder and in one with a blank."""
    return make("venv", find_pythons()[-1].path, tmp_path / request.param, wheel)


def assert_works(place: Path, old: Path) -> None:
    """The command runs at the new place, and no file names the old one."""
    site = next((place / "lib").glob("python3.*/site-packages"))
    assert run(place / "bin/wren").split() == ["wren", str(place), str(site / "wren/__init__.py")]
    assert run("grep", "-rlaF", f"{old}", place, check=False) == ""


@pytest.mark.skipif(not shutil.which("uv"), reason="there is no uv")
@pytest.mark.parametrize("tool", ["venv", "uv", "virtualenv"])
@pytest.mark.parametrize("python", find_pythons(), ids=str)
def test_environment_works_at_its_new_place(tool: str, python: Python, tmp_path: Path, wheel: Path) -> None:
    """Of every maker and every Python here: the command, and activate in three shells."""
    old = make(tool, python.path, tmp_path / "old", wheel)
    new = tmp_path / "new"
    result = move(old, new)
    assert result.exit_code == 0, result.output
    assert_works(new, old)
    assert "wren" in run("uv", "pip", "list", "--offline", "--python", new / "bin/python")
    run("uv", "pip", "check", "--python", new / "bin/python")
    for shell, script in SHELLS.items():
        if shutil.which(shell):
            said = run(shell, stdin="\n".join(script).format(new) + "\n").splitlines()
            assert said[:2] == [f"{new}/bin/python", str(new)]
            assert said[2] in ("[]", "[0]")


def test_old_environment_is_untouched(source: Path, tmp_path: Path) -> None:
    """It works as before; with --move it is gone."""
    assert move(source, tmp_path / "new").exit_code == 0
    assert run(source / "bin/wren").startswith(f"wren {source}")
    assert move("--move", source, tmp_path / "newer").exit_code == 0
    assert not source.exists()
    assert_works(tmp_path / "newer", source)


def test_environment_that_was_copied_by_hand_works_again(source: Path, tmp_path: Path) -> None:
    """It speaks of where it was made, which is found in its own files."""
    copied = tmp_path / "copied"
    shutil.copytree(source, copied, symlinks=True)
    shutil.rmtree(source)
    assert move(copied, tmp_path / "new").exit_code == 0
    assert_works(tmp_path / "new", source)
    assert_works(tmp_path / "new", copied)


def test_staged_environment_speaks_of_its_final_prefix(source: Path, tmp_path: Path) -> None:
    """It is made for another machine, and nothing of it is started here."""
    staged = tmp_path / "stage/opt/wren"
    assert move("--final", "/opt/wren", source, staged).exit_code == 0
    assert (staged / "bin/wren").read_text().startswith("#!/opt/wren/bin/python")
    assert run("grep", "-rlaF", str(tmp_path), staged, check=False) == ""


def test_dry_run_lists_every_edit_and_makes_none(source: Path, tmp_path: Path) -> None:
    """The files that would be rewritten are those that name the folder."""
    result = move("--dry-run", source, tmp_path / "new")
    assert result.exit_code == 0
    assert {"rewrite bin/activate", "rewrite bin/wren"} <= set(result.output.splitlines())
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


def test_what_cannot_be_proven_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    """A file that names the old place inside data that nobody understands."""
    (source / "data.bin").write_bytes(b"\0\1" + str(source).encode() + b"\0")
    result = move(source, tmp_path / "new")
    assert (result.exit_code, "error[relocation-unproven]" in result.output) == (3, True)
    assert "data.bin" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


def test_broken_interpreter_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    """The link leads to a Python that this machine has not."""
    (source / "bin/python").unlink()
    (source / "bin/python").symlink_to("/nowhere/python3.11")
    result = move(source, tmp_path / "new")
    assert (result.exit_code, "error[relocation-unproven]" in result.output) == (3, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name]


@pytest.mark.parametrize(
    ("target", "code"),
    [("full", "target-exists"), ("plain/inner", "target-inside"), ("a blank", "target-unfit")],
)
def test_unfit_target_is_an_error_with_a_code(target: str, code: str, tmp_path: Path, wheel: Path) -> None:
    """Nothing is written."""
    source = make("venv", find_pythons()[-1].path, tmp_path / "plain", wheel)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    result = move(source, tmp_path / target)
    assert (result.exit_code, f"error[{code}]" in result.output) == (3, True), result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "plain"]


def test_folder_that_is_no_environment_is_an_error_with_a_code(tmp_path: Path) -> None:
    """There is no pyvenv.cfg in it."""
    result = move(tmp_path, tmp_path.with_name("x"))
    assert (result.exit_code, "error[no-environment]" in result.output) == (3, True)
