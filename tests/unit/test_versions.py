"""What files say of the Python version: locks, pins of version managers, declarations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.version import Version

from venvpkg.versions import Wish, read_ranges, read_wishes

LOCKS = {
    "uv.lock": 'version = 1\nrequires-python = ">=3.12"\n',
    "pylock.toml": 'lock-version = "1.0"\nrequires-python = ">=3.12"\n',
    "pylock.web.toml": 'lock-version = "1.0"\nrequires-python = ">=3.12"\n',
    "poetry.lock": '[metadata]\nlock-version = "2.0"\npython-versions = "^3.12"\n',
    "pdm.lock": '[metadata]\nstrategy = []\n[[metadata.targets]]\nrequires_python = ">=3.12"\n',
}


def pins(folder: Path, text: str) -> Wish | None:
    """What a .python-version says."""
    (folder / ".python-version").write_text(text)
    return next(iter(read_wishes(folder, ".", ())), None)


@pytest.mark.parametrize("name", LOCKS)
def test_the_range_of_a_lock_binds(name: str, tmp_path: Path) -> None:
    """It was resolved for that range alone."""
    (tmp_path / name).write_text(LOCKS[name])
    (wish,) = read_wishes(tmp_path, ".", [tmp_path / name])
    assert (wish.origin, wish.binding) == (name, True)
    assert [wish.admits(Version(v)) for v in ("3.11.2", "3.12.0", "3.13.1")] == [False, True, True]


@pytest.mark.parametrize("key", ["python_version", "python_full_version"])
def test_a_pipfile_names_a_minor_version_and_does_not_bind(key: str, tmp_path: Path) -> None:
    """Pipenv warns of another one, and installs."""
    file = tmp_path / "Pipfile.lock"
    version = "3.12" if key == "python_version" else "3.12.4"
    file.write_text(json.dumps({"_meta": {"requires": {key: version}}}))
    (wish,) = read_wishes(tmp_path, ".", [file])
    assert (str(wish), wish.binding) == (f"Pipfile.lock asks for {version}", False)
    assert [wish.admits(Version(v)) for v in ("3.12.9", "3.13.0")] == [True, False]


def test_a_lock_that_is_not_installed_says_nothing(tmp_path: Path) -> None:
    """The key requirements may name another file."""
    (tmp_path / "uv.lock").write_text(LOCKS["uv.lock"])
    assert read_wishes(tmp_path, ".", [tmp_path / "requirements.txt"]) == ()


def test_targets_of_pdm_are_alternatives(tmp_path: Path) -> None:
    """One without a range is for every version."""
    file = tmp_path / "pdm.lock"
    first = '[[metadata.targets]]\nrequires_python = "==3.11.*"\n'
    file.write_text(f'{first}[[metadata.targets]]\nrequires_python = ">=3.13"\n')
    (wish,) = read_wishes(tmp_path, ".", [file])
    assert [wish.admits(Version(v)) for v in ("3.11.2", "3.12.1", "3.13.0")] == [True, False, True]
    file.write_text(f'{first}[[metadata.targets]]\nplatform = "linux"\n')
    assert read_wishes(tmp_path, ".", [file]) == ()


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        (">=3.11,<4.0", "3.11.2 3.12.1 3.14.0"),
        ("^3.12", "3.12.1 3.14.0"),
        ("~3.11", "3.11.2"),
        ("~3.11.1", "3.11.2"),
        ("~3", "3.8.1 3.11.2 3.12.1 3.14.0"),
        ("~=3.11", "3.11.2 3.12.1 3.14.0"),
        ("~=3.11.0", "3.11.2"),
        ("3.11.*", "3.11.2"),
        ("3.11", "3.11.2"),
        ("=3.11.2", "3.11.2"),
        ("~3.8 || ^3.12", "3.8.1 3.12.1 3.14.0"),
        (">= 3.8, != 3.11.*", "3.8.1 3.12.1 3.14.0"),
        (">=3.11 <3.13", "3.11.2 3.12.1"),
        ("*", "3.8.1 3.11.2 3.12.1 3.14.0"),
    ],
)
def test_ranges_of_poetry_and_of_pep_440(text: str, admitted: str) -> None:
    """Each in the syntax of its tool."""
    ranges = read_ranges(text)
    versions = ("3.8.1", "3.11.2", "3.12.1", "3.14.0")
    found = [v for v in versions if any(r.contains(v) for r in ranges)]
    assert " ".join(found) == admitted


@pytest.mark.parametrize("text", ["", "three", ">=", "^x", ">=3.11 or so", "==" + "1" * 5000, "^3.*"])
def test_what_is_no_range_forbids_nothing(text: str) -> None:
    """And is no crash: the tool whose syntax it is will tell."""
    assert read_ranges(text) == ()
    assert Wish.range("x", text).admits(Version("3.11.2"))


@pytest.mark.parametrize(
    "text",
    ["3.12", "3.12.4\n", "# ours\n3.12.4 # newest\n", "cpython-3.12.4-linux-x86_64-gnu", "cpython@3.12",
     "python3.12", "\ufeff3.12\r\n", "3.12.4/envs/app", "3.9.1\n3.12.4", "3.9.1 3.12.4", "==3.12.*",
     "3.12-dev"],
)  # fmt: skip
def test_version_file_means_the_minor_version(text: str, tmp_path: Path) -> None:
    """Which point release, Debian chooses; pyenv's and uv's spellings, and several versions."""
    wish = pins(tmp_path, text)
    assert wish and not wish.binding
    assert [wish.admits(Version(v)) for v in ("3.11.9", "3.12.0", "3.13.0")] == [False, True, False]


@pytest.mark.parametrize("text", ["", "# nothing\n", "system\n", "3.12\nsystem\n"])
def test_version_file_that_leaves_it_open_says_nothing(text: str, tmp_path: Path) -> None:
    """Debian's default is what "system" is."""
    assert pins(tmp_path, text) is None


@pytest.mark.parametrize("text", ["pypy3.10-7.3.12", "miniconda3-4.7.12", "my-app", "2.7.18", "312"])
def test_version_file_that_names_no_version_of_cpython_is_kept_for_a_note(text: str, tmp_path: Path) -> None:
    """It forbids nothing."""
    wish = pins(tmp_path, text)
    assert wish and wish.ranges == () and wish.text == text


def test_version_file_of_the_projects_folder_comes_first(tmp_path: Path) -> None:
    """A source package may hold several projects."""
    (tmp_path / "app").mkdir()
    (tmp_path / ".python-version").write_text("3.11\n")
    assert [str(w) for w in read_wishes(tmp_path, "app", ())] == [".python-version asks for 3.11"]
    (tmp_path / "app/.python-version").write_text("3.12\n")
    assert [str(w) for w in read_wishes(tmp_path, "app", ())] == [".python-version asks for 3.12"]


@pytest.mark.parametrize(
    ("name", "text", "origin"),
    [
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.12"\n', "pyproject.toml (poetry)"),
        ("setup.cfg", "[options]\npython_requires = >=3.12\n", "setup.cfg"),
    ],
)
def test_older_declarations_bind_like_requires_python(
    name: str, text: str, origin: str, tmp_path: Path
) -> None:
    """Poetry's own table, and setuptools' own file; a project that is not installed only wishes."""
    (tmp_path / name).write_text(text)
    for project, binding in ((".", True), (None, False)):
        (wish,) = read_wishes(tmp_path, project, ())
        assert (wish.origin, wish.binding, wish.admits(Version("3.11.2"))) == (origin, binding, False)


def test_range_of_a_project_that_is_not_installed_is_a_wish(tmp_path: Path) -> None:
    """With project = false; where the project is installed, the configuration has its range."""
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.12"\n')
    assert read_wishes(tmp_path, ".", ()) == ()
    assert [str(w) for w in read_wishes(tmp_path, None, ())] == ["pyproject.toml asks for >=3.12"]


@pytest.mark.parametrize("name", [*LOCKS, "Pipfile.lock", ".python-version", "pyproject.toml", "setup.cfg"])
@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe\x00", b"[" * 5000, b"metadata = 3\n", b'{"_meta": []}', b"[a\nb"]
)
def test_files_that_are_damaged_are_no_crash(name: str, data: bytes, tmp_path: Path) -> None:
    """Whoever needs the file says what is wrong with it."""
    (tmp_path / name).write_bytes(data)
    wishes = read_wishes(tmp_path, ".", [tmp_path / name])
    assert all(wish.admits(Version("3.11.2")) for wish in wishes)


def test_what_a_message_shows_is_one_short_line() -> None:
    """A file may hold anything."""
    shown = Wish.range("x", ">=3.11,\x1b[31m\n" + "y" * 200).text
    assert shown.isprintable() and len(shown) <= 60
