"""Duplicates become hard links, where nothing can tell; debug information is counted and left alone."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import pytest

from objects import Objects
from venvpkg.digests import Digests
from venvpkg.distributions import Distribution
from venvpkg.elf import symbol_bytes
from venvpkg.process import Shell
from venvpkg.tree import Tree
from venvpkg.weight import LEAST_TOLD, describe_symbols, link_duplicates

BIG = b"x" * 5000


def linked(folder: Path, one: str, other: str, *, data: bytes = BIG, mode: int = 0o644) -> bool:
    """Write two files with the same bytes, the second with a mode; tell whether they are one afterwards."""
    for name in (one, other):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / other).chmod(mode)
    link_duplicates(Tree.from_dir(folder), folder, Digests())
    assert (folder / other).read_bytes() == data
    return (folder / one).samefile(folder / other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.libs/libz-1f.so.1.2", "b.libs/libz-1f.so.1.2"),
        ("a.libs/libz.so", "b.libs/libz.so"),
        ("a/static/app.js", "b/app.js"),
        ("a/font.ttf", "b/other.ttf"),
    ],
)
def test_libraries_and_pictures_with_the_same_bytes_are_one_file(
    tmp_path: Path, one: str, other: str
) -> None:
    """Nobody but an installer writes them."""
    assert linked(tmp_path, one, other)


@pytest.mark.parametrize("name", ["data.json", "module.py", "tool.cfg", "base.sqlite", "README"])
def test_what_somebody_may_write_to_stays_two_files(tmp_path: Path, name: str) -> None:
    """The other one would change with it."""
    assert not linked(tmp_path, f"a/{name}", f"b/{name}")


@pytest.mark.parametrize("name", ["fast.cpython-311-x86_64-linux-gnu.so", "fast.abi3.so", "fast.so"])
def test_extension_modules_stay_two_files(tmp_path: Path, name: str) -> None:
    """From one file the linker gives both modules the same static data."""
    assert not linked(tmp_path, f"a/{name}", f"b/{name}")


def test_small_files_and_other_modes_stay_two_files(tmp_path: Path) -> None:
    """A link has one mode, and a block of the file system is not saved by less."""
    assert not linked(tmp_path, "a/x.js", "b/x.js", data=b"x" * 4095)
    assert not linked(tmp_path, "c/x.js", "d/x.js", mode=0o755)


def test_saved_bytes_are_counted_once(tmp_path: Path) -> None:
    """What is one file already saves no more."""
    for name in ("a.js", "b.js", "c.js"):
        (tmp_path / name).write_bytes(BIG)
    (tmp_path / "d.js").write_bytes(b"y" * 5000)
    tree = Tree.from_dir(tmp_path)
    assert link_duplicates(tree, tmp_path, Digests()) == 10000
    assert link_duplicates(tree, tmp_path, Digests()) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.js", "b.js", "c.js", "d.js"]


def distribution(name: str, path: str, tag: str = "cp311-cp311-manylinux_2_17_x86_64") -> Distribution:
    """One that has a file."""
    return Distribution(
        name=name,
        version="1",
        folder=PurePosixPath(f"{name}-1.dist-info"),
        requires=(),
        files=(PurePosixPath(path),),
        scripts={},
        tags=(tag,),
        licence="",
    )


def test_symbols_are_what_strip_takes_out(objects: Objects, tmp_path: Path) -> None:
    """As many bytes as it does, but for the padding of sections."""
    data = objects["libprivate.so.1"]
    (tmp_path / "x.so").write_bytes(data)
    Shell()(["strip", "--strip-unneeded", tmp_path / "x.so"])
    stripped = (tmp_path / "x.so").read_bytes()
    assert abs(len(data) - len(stripped) - symbol_bytes(io.BytesIO(data))) < 300
    assert symbol_bytes(io.BytesIO(stripped)) == 0


@pytest.mark.parametrize("size", [0, 4, 20, 60, 500, 5000])
def test_damaged_file_has_no_symbols(objects: Objects, size: int) -> None:
    """It is named elsewhere."""
    assert symbol_bytes(io.BytesIO(objects["libprivate.so.1"][:size])) == 0


def test_log_names_distributions_with_debug_information(objects: Objects) -> None:
    """The largest first; none where it is little, and none of what was compiled in this build."""
    data = objects["libprivate.so.1"]
    # A section table at the end of a file may name any size.
    at = int.from_bytes(data[40:48], "little")
    sections = bytearray(data)
    symtab = next(s for s in range(at, len(data), 64) if int.from_bytes(data[s + 4 : s + 8], "little") == 2)
    sections[symtab + 32 : symtab + 40] = (3 * LEAST_TOLD).to_bytes(8, "little")
    files = {PurePosixPath("a.so"): bytes(sections), PurePosixPath("b.so"): data}
    symbols = {path: symbol_bytes(io.BytesIO(data)) for path, data in files.items()}
    brought = [distribution("large", "a.so"), distribution("small", "b.so")]
    text = describe_symbols(symbols, brought)
    assert text.startswith(
        "wheels brought 3.0 MB of debug information and symbols, which stay (large 3.0 MB, "
    )
    assert describe_symbols(symbols, brought[1:]) == ""
    assert describe_symbols(symbols, [distribution("large", "a.so", "cp311-cp311-linux_x86_64")]) == ""
