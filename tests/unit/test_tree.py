"""Trees from folders and from bytes."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path, PurePosixPath

import pytest

from venvpkg.tree import Tree


def paths(tree: Tree) -> list[str]:
    """The paths, in order."""
    return [str(e.path) for e in tree]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    """Folders before what is in them."""
    for name in ("b/z", "b/a", "a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert paths(Tree.from_dir(tmp_path)) == ["a", "b", "b/a", "b/z"]


def test_kinds_modes_and_sizes_are_read(tmp_path: Path) -> None:
    """Files, folders, links of every sort, and what is neither."""
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "file").chmod(0o4755)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("../gone")
    (tmp_path / "to-folder").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    tree = Tree.from_dir(tmp_path)
    found = {str(e.path): (e.kind, e.size, e.target) for e in tree}
    assert found == {
        "folder": ("folder", 0, ""),
        "file": ("file", 5, ""),
        "link": ("symlink", 0, "file"),
        "dangling": ("symlink", 0, "../gone"),
        "to-folder": ("symlink", 0, "folder"),
        "pipe": ("special", 0, ""),
    }
    entry = tree.get(PurePosixPath("file"))
    assert entry
    assert (entry.mode, entry.load(), entry.head(2)) == (0o4755, b"12345", b"12")


def test_a_link_to_a_folder_is_not_entered(tmp_path: Path) -> None:
    """A circle would not end."""
    (tmp_path / "circle").symlink_to(".")
    assert paths(Tree.from_dir(tmp_path)) == ["circle"]


def test_a_socket_is_special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ran in the stage may leave one."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        assert [e.kind for e in Tree.from_dir(tmp_path)] == ["special"]


def test_a_missing_folder_is_an_empty_tree(tmp_path: Path) -> None:
    """So is a file."""
    assert paths(Tree.from_dir(tmp_path / "gone")) == []
    (tmp_path / "file").touch()
    assert paths(Tree.from_dir(tmp_path / "file")) == []


def test_a_folder_can_be_seen_inside_a_package(tmp_path: Path) -> None:
    """Every path gets the prefix."""
    (tmp_path / "bin").mkdir()
    tree = Tree.from_dir(tmp_path, PurePosixPath("opt/venvs/app"))
    assert paths(tree) == ["opt/venvs/app/bin"]


def test_contents_are_read_when_asked_for(tmp_path: Path) -> None:
    """A file that changes in between is read as it is then."""
    (tmp_path / "a").write_bytes(b"old")
    (entry,) = Tree.from_dir(tmp_path)
    (tmp_path / "a").write_bytes(b"newer")
    assert (entry.load(), entry.size) == (b"newer", 3)


def test_a_tree_of_bytes_has_its_folders() -> None:
    """They are implied; executables are named."""
    tree = Tree.from_files({"a/b/c": b"x", "bin/run": b"#!"}, links={"l/m": "t"}, executable=("bin/run",))
    assert paths(tree) == ["a", "a/b", "a/b/c", "bin", "bin/run", "l", "l/m"]
    assert {str(e.path): e.mode for e in tree.files()} == {"a/b/c": 0o644, "bin/run": 0o755}
    assert [e.load() for e in tree.files()] == [b"x", b"#!"]


def test_both_doors_give_the_same_tree(tmp_path: Path) -> None:
    """What a test makes of bytes is what a folder would be."""
    made = Tree.from_files({"a/b": b"x", "c": b""}, links={"d": "a/b"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x")
    (tmp_path / "c").touch()
    (tmp_path / "d").symlink_to("a/b")
    read = Tree.from_dir(tmp_path)
    assert [(e.path, e.kind, e.size, e.target) for e in made] == [
        (e.path, e.kind, e.size, e.target) for e in read
    ]


def test_the_part_below_a_folder_is_relative_to_it() -> None:
    """Without the folder itself, and without its neighbour with a longer name."""
    tree = Tree.from_files({"opt/app/x": b"1", "opt/app2/y": b"2"}, links={"opt/app/l": "x"})
    below = tree.below(PurePosixPath("opt/app"))
    assert paths(below) == ["l", "x"] or paths(below) == ["x", "l"]
    assert [e.load() for e in below.files()] == [b"1"]
    assert PurePosixPath("x") in below
    assert below.get(PurePosixPath("y")) is None


def test_the_part_with_some_paths_leaves_out_the_rest() -> None:
    """Paths that are not there among them."""
    tree = Tree.from_files({"a": b"1", "b": b"2"})
    assert paths(tree.only([PurePosixPath("b"), PurePosixPath("gone")])) == ["b"]


def test_a_name_beyond_utf8_is_read(tmp_path: Path) -> None:
    """And written back as the same bytes."""
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).write_bytes(b"x")
    (entry,) = Tree.from_dir(tmp_path)
    assert (os.fsencode(entry.path), entry.load()) == (b"\xff", b"x")


def test_entries_are_read_again(tmp_path: Path) -> None:
    """Those alone, and the order stays."""
    for name in ("a", "b/c", "d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "link").symlink_to("a")
    tree = Tree.from_dir(tmp_path)
    for name in ("a", "b/c"):
        (tmp_path / "new").write_bytes(b"12")
        (tmp_path / "new").replace(tmp_path / name)
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("d")
    again = tree.reread(tmp_path, [PurePosixPath("b/c"), PurePosixPath("link")])
    assert [(str(e.path), e.size, e.target) for e in again] == [
        ("a", 1, ""),
        ("b", 0, ""),
        ("b/c", 2, ""),
        ("d", 1, ""),
        ("link", 0, "d"),
    ]
    assert not again.matches(tmp_path)
    assert again.reread(tmp_path, [PurePosixPath("a")]).matches(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "echo >>a",
        "cp -p a z; printf 2 >a; touch -r z a; rm z",
        "chmod 600 a",
        "rm a",
        "touch z",
        "mkdir z",
        "ln -sfn b link",
        "mv a aa",
        "mv b bb",
    ],
)
def test_change_of_a_folder_is_seen(tmp_path: Path, change: str) -> None:
    """Also where size and time of the last modification are as before."""
    subprocess.run("printf 1 >a; mkdir b; printf 1 >b/c; ln -s a link", shell=True, cwd=tmp_path, check=True)
    tree = Tree.from_dir(tmp_path)
    assert tree.matches(tmp_path)
    time.sleep(0.02)
    subprocess.run(change, shell=True, cwd=tmp_path, check=True)
    assert not tree.matches(tmp_path)
