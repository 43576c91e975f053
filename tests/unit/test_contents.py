"""What files tell is found out once, and told the same from memory."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handmade import KEY
from objects import Objects
from venvpkg.cache import Cache
from venvpkg.contents import Contents, Search, read_environment
from venvpkg.digests import Memory
from venvpkg.distributions import read_distributions
from venvpkg.elf import Elf
from venvpkg.tree import Tree

SITE = "lib/python3.11/site-packages"
# Names in ELF files may be no UTF-8.
TEXT = st.text(st.characters())
FILES = {
    f"{SITE}/app/__init__.py": b"import tkinter\n",
    f"{SITE}/app/quiet.py": b"x = 1\n",
    f"{SITE}/app-1.0.dist-info/METADATA": b"Name: app\nVersion: 1.0\n",
    f"{SITE}/app-1.0.dist-info/RECORD": b"app/__init__.py,,\napp/quiet.py,,\n",
    f"{SITE}/other/__init__.py": b"try:\n    import dbm.gnu\nexcept ImportError:\n    pass\n",
    f"{SITE}/other/server.key": KEY.encode(),
    f"{SITE}/other-1.0.dist-info/METADATA": b"Name: other\nVersion: 1.0\n",
    f"{SITE}/other-1.0.dist-info/RECORD": b"other/__init__.py,,\nother/server.key,,\n",
    f"{SITE}/starts.pth": b"import sys; sys.path.append('/x')\n",
    "share/secret.txt": b"token-of-this-build\n",
}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """One that remembers nothing yet."""
    return Memory(cache=Cache(tmp_path / "cache"))


def read(
    files: Mapping[str, bytes], memory: Memory, search: Search | None = None, *, closed: str = ""
) -> dict[str, Contents]:
    """What files tell, by path; those below ``closed`` can be hashed and not be read again."""
    tree = Tree.from_files(files)
    distributions = read_distributions(tree)
    if closed:
        shut = {
            path: replace(entry, opener=_Once(files[str(path)]))
            for path, entry in tree.entries.items()
            if str(path).startswith(closed) and entry.kind == "file"
        }
        tree = Tree({**tree.entries, **shut})
    found = read_environment(tree, distributions, "app", search or Search(), memory)
    return {str(path).removeprefix(f"{SITE}/"): contents for path, contents in found.items()}


class _Once:
    """Opens a file twice, that is to hash it: once for all, and once for its group's key."""

    def __init__(self, data: bytes) -> None:
        self.data, self.left = data, 2

    def __call__(self) -> BinaryIO:
        assert self.left, "it was read again"
        self.left -= 1
        return io.BytesIO(self.data)


def test_files_tell_what_is_in_them(memory: Memory, objects: Objects) -> None:
    """The others are left out."""
    library = objects["libprivate.so.1"]
    search = Search(secrets=(b"token-of-this-build",))
    found = read({**FILES, f"{SITE}/app/x.so": library}, memory, search)
    assert found["app/__init__.py"].imports == (("tkinter", True),)
    assert found["other/__init__.py"].imports == (("dbm.gnu", False),)
    assert found["other/server.key"].secrets == ("holds a private key",)
    assert found["starts.pth"].startup == ("import sys; sys.path.append('/x')",)
    assert found["share/secret.txt"].secrets == ("holds a password or token of this build's environment",)
    elf = found["app/x.so"].elf
    assert elf and elf.soname == "libprivate.so.1"
    assert found["app/x.so"].symbols > 0
    assert len(found) == 6


def test_memory_tells_the_same(memory: Memory, objects: Objects) -> None:
    """The second time no file is read but to hash it, and without a cache all of them are."""
    files = {**FILES, f"{SITE}/app/x.so": objects["libprivate.so.1"]}
    first = read(files, memory)
    assert read(files, Memory(cache=memory.cache), closed="") == first
    assert read(files, Memory(cache=memory.cache), closed="lib") == first
    assert read(files, Memory()) == first


def test_change_of_one_distribution_is_read(memory: Memory) -> None:
    """Its files are, and those of the others are not."""
    read(FILES, memory)
    changed = {**FILES, f"{SITE}/app/quiet.py": b"import turtle\n"}
    found = read(changed, memory, closed=f"{SITE}/other")
    assert found["app/quiet.py"].imports == (("turtle", True),)
    moved = {name.replace("app/quiet.py", "app/loud.py"): data for name, data in changed.items()}
    assert "app/loud.py" in read(moved, memory)


def test_another_search_is_another_question(memory: Memory) -> None:
    """What is secret in this build was not in the last one."""
    read(FILES, memory)
    found = read(FILES, memory, Search(secrets=(b"x = 1",)))
    assert found["app/quiet.py"].secrets
    assert "app/quiet.py" not in read(FILES, memory)


def test_files_of_another_owner_are_judged_anew(memory: Memory) -> None:
    """A password in a URL is told of the project's files, and not of what others published."""
    text = b"https://user:pa55word-of-ours@example.org/\n"
    files = {**FILES, f"{SITE}/app/quiet.py": text}
    tree = Tree.from_files(files)
    distributions = read_distributions(tree)
    for project, told in (("app", True), ("other", False), ("app", True)):
        found = read_environment(tree, distributions, project, Search(), memory)
        assert (PurePosixPath(SITE, "app/quiet.py") in found) is told


def test_mention_of_a_build_folder_is_of_one_build(memory: Memory) -> None:
    """The next one has another temporary folder, and none is told of the last one's."""
    files = {**FILES, f"{SITE}/app/quiet.py": b"'/tmp/venvpkg-1/x'\n"}
    for _ in range(2):
        found = read(files, memory, Search(passing=(b"/tmp/venvpkg-1",)))
        assert found["app/quiet.py"].mention == ("text", "/tmp/venvpkg-1/x")
    assert "app/quiet.py" not in read(files, memory, Search(passing=(b"/tmp/venvpkg-2",)))


@given(
    st.builds(
        Contents,
        imports=st.lists(st.tuples(TEXT, st.booleans())).map(tuple),
        elf=st.none()
        | st.builds(
            Elf,
            machine=TEXT,
            bits=st.sampled_from([32, 64]),
            needed=st.lists(TEXT).map(tuple),
            soname=TEXT,
            runpath=st.lists(TEXT).map(tuple),
            interpreter=TEXT,
        ),
        symbols=st.integers(min_value=0),
        secrets=st.lists(TEXT).map(tuple),
        startup=st.lists(TEXT).map(tuple),
    )
)
def test_contents_come_back_from_json(contents: Contents) -> None:
    """Whatever they are."""
    assert Contents.from_json(json.loads(json.dumps(contents.to_json()))) == contents
