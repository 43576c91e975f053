"""`venvpkg verify` on real .debs, prefixes and folders, that dpkg-deb and venv made."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner, Result

from handmade import PYTHON, make_deb, make_root
from venvpkg.cli import venvpkg
from venvpkg.deb import read_deb
from venvpkg.relocate import record_hash
from venvpkg.tree import Tree
from wheels import write_wheel


@pytest.fixture(autouse=True)
def _has_debian_python() -> None:
    if not PYTHON.exists():
        pytest.skip(f"Debian's own {PYTHON} is not here")


def check(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(venvpkg, ["verify", *map(str, words)])


def codes(result: Result) -> list[tuple[str, str]]:
    """Code and path of every finding in JSON output."""
    return [(f["code"], f["path"]) for f in json.loads(result.stdout)["findings"]]


@pytest.mark.parametrize("compression", ["zstd", "xz", "gzip", "none"])
def test_right_package_has_no_finding(compression: str, tmp_path: Path) -> None:
    """As a .deb in every compression, and as a folder."""
    root = make_root(tmp_path / "app")
    for path in (make_deb(root, compression), root):
        result = check(path)
        assert (result.exit_code, "nothing found" in result.stdout) == (0, True), result.stdout


def test_deb_and_folder_are_the_same_tree(tmp_path: Path) -> None:
    """Names, kinds, modes, sizes and, on the walk, contents."""
    root = make_root(tmp_path / "app")
    (root / "opt/venvs/app/etc").mkdir()
    (root / "opt/venvs/app/etc/name with blank é").write_bytes(b"x" * 5000)
    deb = read_deb(make_deb(root))
    folder = Tree.from_dir(root)
    # dpkg-deb makes DEBIAN/ an archive of its own.
    assert set(deb.entries) == set(folder.entries) - {PurePosixPath("DEBIAN")}
    for one in deb:
        other = folder.entries[one.path]
        assert (one.kind, one.size, one.target) == (other.kind, other.size, other.target)
        assert one.mode == other.mode
    walked = {e.path: e.load() for e in deb.walk() if e.kind == "file"}
    assert walked == {e.path: e.load() for e in folder.files() if e.path.parts[0] != "DEBIAN"}


def test_hard_links_have_the_content_of_their_twin(tmp_path: Path) -> None:
    """dpkg-deb keeps them, and a tar archive has the content once."""
    root = make_root(tmp_path / "app")
    info = root / "opt/venvs/app/lib/app-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: app\nVersion: 1\n")
    (info / "one").write_text("same\n")
    (info / "two").hardlink_to(info / "one")
    digest = record_hash(b"same\n")
    rows = [f"app-1.dist-info/{name},{digest},5" for name in ("one", "two")]
    (info / "RECORD").write_text("\n".join(rows) + "\n")
    assert check(make_deb(root)).exit_code == 0
    (info / "one").write_text("else\n")
    assert [code for code, _ in codes(check(make_deb(root), "--json"))] == ["V006", "V006"]


def test_environment_that_was_copied_is_found_out(tmp_path: Path) -> None:
    """Where it was made is read from the environment itself: text, bytecode and first lines."""
    made = tmp_path / "made here"
    venv.create(made, with_pip=False, symlinks=True)
    site = next((made / "lib").glob("python3.*/site-packages"))
    (site / "thing.py").write_text("NAME = 1\n")
    subprocess.run([made / "bin/python", "-m", "compileall", "-q", site], check=True)
    (made / "bin/tool").write_text(f"#!{made}/bin/python\n")
    (made / "bin/tool").chmod(0o755)
    moved = tmp_path / "moved"
    shutil.copytree(made, moved, symlinks=True)
    shutil.rmtree(made)
    found = {code for code, _ in codes(check(moved, "--json"))}
    assert {"V001", "V002"} <= found


def test_package_that_names_no_interpreter_is_found_out(tmp_path: Path) -> None:
    """`Depends: python3` is what dh-virtualenv's packages have."""
    root = make_root(tmp_path / "app", "Depends: python3\n")
    assert "V009" in {code for code, _ in codes(check(make_deb(root), "--json"))}


def test_installed_environment_without_a_package_is_held_to_no_depends(tmp_path: Path) -> None:
    """Nobody's control file is there to be wrong."""
    made = tmp_path / "env"
    venv.create(made, with_pip=False, symlinks=True)
    assert {code for code, _ in codes(check(made, "--json"))} <= {"V004"}


def test_accepted_findings_are_left_out(tmp_path: Path) -> None:
    """The manifest in the package says which, and why."""
    root = make_root(tmp_path / "app", "Depends: python3\n")
    accepted = [
        {"code": "V009", "path": "*", "reason": "on purpose"},
        {"code": "V004", "path": "*", "reason": "x"},
    ]
    (root / "opt/venvs/app/venvpkg.json").write_text(json.dumps({"accepted": accepted}))
    assert check(make_deb(root)).exit_code == 0


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "inner"])
def test_damaged_package_is_an_error_with_a_code(damage: str, tmp_path: Path) -> None:
    """Exit code 3, and no traceback."""
    deb = make_deb(make_root(tmp_path / "app"))
    data = deb.read_bytes()
    broken = {
        "empty": b"",
        "text": b"hello\n",
        "cut": data[: len(data) // 2],
        "inner": data[:-200] + b"x" * 200,
    }
    deb.write_bytes(broken[damage])
    result = check(deb)
    assert (result.exit_code, "error[deb-invalid]" in result.output) == (3, True), result.output


def test_what_is_not_there_is_an_error_with_a_code(tmp_path: Path) -> None:
    """And so is a folder without an environment."""
    for path, code in ((tmp_path / "none.deb", "path-not-found"), (tmp_path, "no-environment")):
        result = check(path)
        assert (result.exit_code, f"error[{code}]" in result.output) == (3, True), result.output


def test_several_paths_are_added_up(tmp_path: Path) -> None:
    """One JSON document, and the worst exit code."""
    right, wrong = make_root(tmp_path / "right"), make_root(tmp_path / "wrong", "Depends: python3\n")
    result = check(right, wrong, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["checked"] == 2 * sum(1 for _ in Tree.from_dir(right).files())


def test_inspect_tells_what_is_inside(tmp_path: Path) -> None:
    """Distributions with licence and size, bytecode counted in, and entry points; as text and as JSON."""
    root = make_root(tmp_path / "app")
    prefix = root / "opt/venvs/app"
    site = next((prefix / "lib").glob("python3.*/site-packages"))
    wheel = write_wheel(
        tmp_path, "wren", files={"wren/__init__.py": "x = 1\n"}, scripts={"wren": "wren:main"}
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "wren/__pycache__").mkdir()
    (site / "wren/__pycache__/__init__.cpython-311.pyc").write_bytes(b"x" * 1000)
    (found,) = json.loads(CliRunner().invoke(venvpkg, ["inspect", "--json", str(make_deb(root))]).stdout)
    assert found["prefix"] == "/opt/venvs/app"
    assert found["interpreter"] == str(PYTHON.resolve())
    (item,) = found["distributions"]
    assert (item["name"], item["version"], item["source"]) == ("wren", "1.0", "index")
    assert item["scripts"] == {"wren": "wren:main"}
    own = sum(p.stat().st_size for p in site.rglob("*") if p.is_file())
    assert item["size"] == own
    assert found["size"] > own
    text = CliRunner().invoke(venvpkg, ["inspect", str(root)]).stdout
    assert "wren 1.0" in text
    assert "entry points: wren" in text
