"""`venvpkg diff` on real .debs and folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from debian.changelog import Changelog

import fuzzing
from handmade import PYTHON, add_distribution, make_deb, make_root, site_of
from venvpkg.cli import venvpkg

PREFIX = "opt/venvs/app"
ENTRY = "app (2) unstable; urgency=medium\n\n{}\n -- A <a@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build root of a package with one distribution, a hard link, and a name with a blank."""
    if not PYTHON.exists():
        pytest.skip(f"Debian's own {PYTHON} is not here")
    root = make_root(tmp_path_factory.mktemp("made") / "app")
    add_distribution(root, "demo")
    (root / PREFIX / "etc").mkdir()
    (root / PREFIX / "etc/one").write_text("same\n")
    (root / PREFIX / "etc/two é").hardlink_to(root / PREFIX / "etc/one")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/demo").symlink_to(f"/{PREFIX}/bin/python")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The first of two packages."""
    return copy(made, tmp_path / "one")


def copy(root: Path, to: Path) -> Path:
    """The same content in another folder, files with times of their own."""
    shutil.copytree(root, to, symlinks=True)
    for number, path in enumerate(sorted(to.rglob("*"))):
        os.utime(path, (10**9 + number, 10**9 + number), follow_symlinks=False)
    return to


def diff(*words: str | Path) -> Result:
    """Run the command; the only exception is the one that exits."""
    result = CliRunner().invoke(venvpkg, ["diff", *map(str, words)])
    assert not isinstance(result.exception, Exception), result.output
    return result


def test_equal_content_that_was_built_twice_is_the_same(root: Path, tmp_path: Path) -> None:
    """With other times, in other compressions, under other names."""
    one, two = make_deb(root), make_deb(copy(root, tmp_path / "two"), "gzip")
    assert one.read_bytes() != two.read_bytes()
    result = diff(one, two)
    assert (result.exit_code, result.stdout) == (0, f"{one} and {two} hold the same\n")
    assert (diff("--changelog", one, two).exit_code, diff("--changelog", one, two).stdout) == (0, "")
    assert json.loads(diff("--json", one, two).stdout)["different"] is False


def test_folder_is_the_same_as_its_own_package(root: Path) -> None:
    """In both directions; hard links and odd names among its files."""
    deb = make_deb(root)
    assert diff(root, deb).exit_code == 0, diff(root, deb).stdout
    assert diff(deb, root).exit_code == 0


def test_difference_is_exit_code_1_and_is_told(root: Path, tmp_path: Path) -> None:
    """In words, as JSON and as lines for the changelog."""
    other = copy(root, tmp_path / "two")
    (site_of(other) / "demo/__init__.py").write_text("NAME = 2\n")
    add_distribution(other, "fresh")
    control = other / "DEBIAN/control"
    control.write_text(control.read_text().replace("Depends: ", "Depends: libgomp1 (>= 12), "))
    (other / PREFIX / "etc/one").write_text("else\n")
    one, two = make_deb(root), make_deb(other)
    result = diff(one, two)
    assert result.exit_code == 1
    for line in (
        "  + fresh 1 (+0.0 MB)",
        "  demo (1 file)",
        "  + libgomp1 (>= 12)",
        f"  changed {PREFIX}/etc/one",
    ):
        assert line in result.stdout.splitlines()
    as_json = diff("--json", one, two)
    content = json.loads(as_json.stdout)
    assert (as_json.exit_code, content["different"]) == (1, True)
    assert content["distributions"] == {"fresh": ["", "1"]}
    assert content["rebuilt"] == {"demo": 1}
    assert content["files"] == {f"{PREFIX}/etc/one": "changed"}
    as_changelog = diff("--changelog", one, two)
    assert as_changelog.exit_code == 1
    assert as_changelog.stdout.splitlines() == [
        "  * Add fresh 1.",
        "  * Rebuild demo.",
        "  * Depends: add libgomp1 (>= 12).",
        f"  * Changed: {PREFIX}/etc/one.",
    ]
    Changelog(ENTRY.format(as_changelog.stdout), strict=True)


def test_hard_links_in_a_row_are_no_crash(tmp_path: Path) -> None:
    """dpkg-deb itself makes all of them links to the first, and other tools need not."""

    def package(name: str, content: bytes) -> Path:
        names = [
            ({"name": "./a"}, content),
            ({"name": "./b", "type": b"1", "linkname": "./a"}, b""),
            ({"name": "./c", "type": b"1", "linkname": "./b"}, b""),
        ]
        control = fuzzing.tar([({"name": "./control"}, fuzzing.CONTROL)])
        (tmp_path / name).write_bytes(fuzzing.deb(control, fuzzing.tar(names)))
        return tmp_path / name

    one, two = package("one.deb", b"1"), package("two.deb", b"2")
    assert diff(one, one).exit_code == 0
    content = json.loads(diff("--json", one, two).stdout)
    assert content["files"] == dict.fromkeys("abc", "changed")


@pytest.mark.parametrize("what", ["content", "mode", "target", "maintainer script"])
def test_smallest_difference_is_seen(what: str, root: Path, tmp_path: Path) -> None:
    """One byte of the same size, a permission, a link, and a file of the control archive."""
    other = copy(root, tmp_path / "two")
    path = {
        "content": f"{PREFIX}/etc/two é",
        "mode": f"{PREFIX}/etc/one",
        "target": "usr/bin/demo",
        "maintainer script": "DEBIAN/postinst",
    }[what]
    place = other / path
    if what == "content":
        place.write_text("some\n")
    elif what == "mode":
        place.chmod(0o600)
    elif what == "target":
        place.unlink()
        place.symlink_to(f"/{PREFIX}/bin/python3")
    else:
        for folder, word in ((root, "one"), (other, "two")):
            (folder / "DEBIAN/postinst").write_text(f"#!/bin/sh\n# {word}\n")
            (folder / "DEBIAN/postinst").chmod(0o755)
    how = {"mode": "mode changed", "target": "target changed"}.get(what, "changed")
    result = diff("--json", make_deb(root), make_deb(other))
    assert (result.exit_code, json.loads(result.stdout)["files"]) == (1, {path: how})
    assert diff(root, other).stdout == f"other files\n  {how} {path}\n"


def test_installed_environments_are_compared_from_their_prefixes_on(root: Path, tmp_path: Path) -> None:
    """Where each of them lies is told, and modules that are the same are not."""
    other = copy(root, tmp_path / "two")
    result = diff("--json", root / PREFIX, other / PREFIX)
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert content["prefix"] == [str(root / PREFIX), str(other / PREFIX)]
    assert (content["distributions"], content["rebuilt"], content["fields"]) == ({}, {}, {})
    assert diff(root / PREFIX, root / PREFIX).exit_code == 0


def test_forms_exclude_each_other(root: Path) -> None:
    """A usage error, before anything is read."""
    result = diff("--json", "--changelog", root, root)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "exclude each other" in result.output


@pytest.mark.parametrize("words", [[], ["one"], ["one", "two", "three"]])
def test_two_paths_are_needed(words: list[str]) -> None:
    """No more and no less."""
    assert diff(*words).exit_code == 2


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "inner"])
@pytest.mark.parametrize("form", ["", "--json"])
def test_broken_package_is_an_error_with_a_code(damage: str, form: str, root: Path, tmp_path: Path) -> None:
    """Exit code 3 and no difference, on either side, also where only the walk meets it."""
    deb, broken = make_deb(root), tmp_path / "broken.deb"
    data = deb.read_bytes()
    kinds = {
        "empty": b"",
        "text": b"hello\n",
        "cut": data[: len(data) // 2],
        "inner": data[:-200] + b"x" * 200,
    }
    broken.write_bytes(kinds[damage])
    for pair in ((deb, broken), (broken, deb)):
        result = diff(*filter(None, [form]), *pair)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "error[deb-invalid]" in result.output


def test_path_that_is_not_there_is_an_error_with_a_code(root: Path, tmp_path: Path) -> None:
    """On either side."""
    for pair in ((root, tmp_path / "none.deb"), (tmp_path / "none", root)):
        result = diff(*pair)
        assert (result.exit_code, "error[path-not-found]" in result.output) == (3, True)


def test_file_whose_name_is_no_text_is_told(root: Path, tmp_path: Path) -> None:
    """In a terminal that has no such character either."""
    other = copy(root, tmp_path / "two")
    (other / "usr/share").mkdir()
    (other / "usr/share" / os.fsdecode(b"a\xff\x1bb")).write_bytes(b"")
    words = ["python3", "-m", "venvpkg", "diff", make_deb(root), make_deb(other)]
    done = subprocess.run(
        words,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == ["other files", r"  added usr/share/a\udcff\x1bb"]
