"""A file is hashed once in a build, and again when it was changed."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pytest

from venvpkg.digests import SETTLED, Digests
from venvpkg.tree import Entry, Tree


def closed() -> BinaryIO:
    """Opens no file."""
    raise AssertionError("it was read again")


def settle() -> None:
    """Wait until a file that was written is remembered."""
    time.sleep(SETTLED / 1e9 * 1.2)


def entry_of(folder: Path, name: str = "x") -> Entry:
    """One file of a folder, as it is now."""
    return Tree.from_dir(folder).entries[PurePosixPath(name)]


def test_file_is_read_once(tmp_path: Path) -> None:
    """One by one or many at a time."""
    for number in range(200):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    settle()
    tree, digests = Tree.from_dir(tmp_path), Digests()
    digests.learn(tree.files())
    for entry in tree.files():
        assert digests.of(replace(entry, opener=closed)) == hashlib.sha256(entry.load()).digest()


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """Of the same size, and with the time of last modification put back."""
    path, digests = tmp_path / "x", Digests()
    path.write_bytes(b"one")
    settle()
    before, times = digests.of(entry_of(tmp_path)), path.stat()
    assert digests.known
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns
    assert digests.of(entry_of(tmp_path)) == hashlib.sha256(b"two").digest() != before


def test_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    """Another write may get the same time."""
    (tmp_path / "x").write_bytes(b"one")
    digests = Digests()
    assert digests.of(entry_of(tmp_path)) == hashlib.sha256(b"one").digest()
    assert digests.known == {}


def test_file_of_no_disk_is_not_remembered() -> None:
    """It has no stamp."""
    digests = Digests()
    for data in (b"one", b"two"):
        entry = Tree.from_files({"x": data}).entries[PurePosixPath("x")]
        assert digests.of(entry) == hashlib.sha256(data).digest()
    assert digests.known == {}


def test_hashes_are_handed_on(tmp_path: Path) -> None:
    """To the next command of a build, which reads the file no more."""
    (tmp_path / "x").write_bytes(b"one")
    settle()
    digests = Digests()
    digests.learn([entry_of(tmp_path)])
    digests.save(tmp_path / "digests")
    again = Digests.load(tmp_path / "digests")
    assert again == digests
    assert again.of(replace(entry_of(tmp_path), opener=closed)) == hashlib.sha256(b"one").digest()
    assert Digests.load(tmp_path / "none") == Digests()


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """Also where threads read."""
    (tmp_path / "x").write_bytes(b"one")
    entry = entry_of(tmp_path)
    (tmp_path / "x").unlink()
    with pytest.raises(FileNotFoundError):
        Digests().learn([entry])
