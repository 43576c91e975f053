"""Files that are larger than what is held in memory at once are looked at like any other."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from handmade import KEY, PYTHON, add_distribution, make_deb, make_root, site_of
from objects import Objects
from venvpkg.contents import Search
from venvpkg.deb import read_deb
from venvpkg.digests import Digests
from venvpkg.evidence import gather
from venvpkg.plan import Move
from venvpkg.relocate import reconcile_records, record_hash, relocate
from venvpkg.system import System
from venvpkg.tree import OVERLAP, WINDOW, Entry, Tree

INSIDE = PurePosixPath("opt/venvs/app")
BUILD = b"/build/source"
MOVE = Move(build=PurePosixPath("/build/source"), final=PurePosixPath("/opt/app"))


def entry(data: bytes) -> Entry:
    """A file with these bytes."""
    return Tree.from_files({"x": data}).entries[PurePosixPath("x")]


def test_windows_overlap_and_miss_nothing() -> None:
    """Put together they are the file; whatever is short is whole in one of them."""
    data = bytes(range(256)) * ((2 * WINDOW + 1000) // 256)
    windows = list(entry(data).windows())
    assert len(windows) == 3
    assert windows[0] + b"".join(window[OVERLAP:] for window in windows[1:]) == data
    assert list(entry(b"small").windows()) == [b"small"]
    assert entry(data).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("at", [10, WINDOW - 5, WINDOW + 5, WINDOW + 70_000])
def test_build_path_in_a_large_file_is_found_and_rewritten(at: int) -> None:
    """Where two parts meet as well."""
    data = bytearray(WINDOW + 100_000)
    data[at : at + len(BUILD) + 2] = BUILD + b"/x"
    tree = Tree.from_files({f"{INSIDE}/x.bin": bytes(data)})
    found = gather(tree, INSIDE, Search(build_paths=(BUILD,)), lambda _: System(), {})
    assert [str(m.path) for m in found.mentions] == [f"{INSIDE}/x.bin"]
    text = bytes(data).replace(b"\0", b" ")
    (edit,) = relocate(Tree.from_files({"x.txt": text}), MOVE)
    assert edit.data == text.replace(b"/build/source", b"/opt/app")


def test_large_file_without_the_build_path_is_not_even_held() -> None:
    """Nothing is to be done to it."""
    assert list(relocate(Tree.from_files({"x.txt": b" " * (WINDOW + 1)}), MOVE)) == []


def test_secrets_of_large_files_are_found() -> None:
    """In text anywhere; in what is not text, those that this build was given."""
    text = b"x\n" * (WINDOW // 2) + KEY.encode()
    binary = bytes(WINDOW + 10) + b"token-of-this-build"
    tree = Tree.from_files({f"{INSIDE}/a.txt": text, f"{INSIDE}/b.bin": binary})
    found = gather(tree, INSIDE, Search(secrets=(b"token-of-this-build",)), lambda _: System(), {})
    assert [(s.path.name, s.what) for s in found.secrets] == [
        ("a.txt", "holds a private key"),
        ("b.bin", "holds a password or token of this build's environment"),
    ]


def test_large_library_of_a_package_is_read_and_compared_with_its_record(
    objects: Objects, tmp_path: Path
) -> None:
    """As it lies in a folder, and from the stream of a .deb, which goes forward only."""
    if not PYTHON.exists():
        pytest.skip(f"Debian's own {PYTHON} is not here")
    data = objects["libprivate.so.1"] + bytes(WINDOW)
    root = make_root(tmp_path / "app")
    add_distribution(root, "thing", {"thing/libprivate.so.1": data})
    for tree in (Tree.from_dir(root), read_deb(make_deb(root))):
        found = gather(tree, INSIDE, Search(build_paths=(BUILD,)), lambda _: System())
        (path,) = found.elves
        assert found.elves[path].soname == "libprivate.so.1"
        assert found.digests[INSIDE / path] == record_hash(data)
    (site_of(root) / "thing/libprivate.so.1").write_bytes(data + b"x")
    (edit,) = reconcile_records(Tree.from_dir(root / INSIDE), Digests())
    assert edit.data and record_hash(data + b"x").encode() in edit.data


def test_large_file_does_not_decide_how_much_memory_is_needed(tmp_path: Path) -> None:
    """Neither relocated, recorded nor verified: 600 MB of zeros, in a process that may take half."""
    with (tmp_path / "large.bin").open("wb") as stream:
        stream.truncate(600 * 1024**2)
    program = f"""
from pathlib import Path, PurePosixPath
from venvpkg.contents import Search
from venvpkg.evidence import gather
from venvpkg.plan import Move
from venvpkg.relocate import relocate
from venvpkg.system import System
from venvpkg.tree import Tree
tree = Tree.from_dir(Path({str(tmp_path)!r}), PurePosixPath("opt/app"))
assert not list(relocate(tree, Move(build=PurePosixPath("/build/x"), final=PurePosixPath("/opt/app"))))
search = Search(build_paths=(b"/build/x",))
assert gather(tree, PurePosixPath("opt/app"), search, lambda _: System(), {{}}).mentions == ()
assert len(tree.entries[PurePosixPath("opt/app/large.bin")].digest()) == 32
"""
    limit = 300 * 1024**2
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
