"""Relocation: real bytes in, bytes that are right for the final prefix out."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objects import Objects
from venvpkg.digests import Digests
from venvpkg.distributions import read_distributions, read_record
from venvpkg.elf import read_elf
from venvpkg.plan import Move
from venvpkg.process import Shell
from venvpkg.relocate import (
    LONGEST_SHEBANG,
    Edit,
    names_local_folder,
    neutralise_bills,
    reconcile_records,
    relocate,
    relocate_bytes,
    relocate_c_strings,
    relocate_text,
)
from venvpkg.tree import Tree

MOVE = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/opt/venvs/app"))
LONG = Move(build=PurePosixPath("/b/app"), final=PurePosixPath("/opt/" + "long/" * 25 + "app"))
FAR = Move(build=PurePosixPath("/b/" + "far/" * 30 + "app"), final=PurePosixPath("/opt/venvs/app"))
BLANK = Move(build=PurePosixPath("/b/my 'own' app"), final=PurePosixPath("/opt/venvs/app"))
BODY = b"import sys\nprint(sys.prefix)\n"


def script(data: bytes, move: Move = MOVE, *, hermetic: bool = False) -> bytes:
    """Relocate an executable file."""
    return relocate_bytes(data, move, hermetic=hermetic, executable=True)


def edited(files: dict[str, bytes], move: Move = MOVE, **more: object) -> dict[str, bytes | None]:
    """Relocate a tree and return new contents by path; None where the entry goes."""
    return {str(e.path): e.data for e in relocate(Tree.from_files(files, **more), move)}  # type: ignore[arg-type]


# --- The first lines of scripts


def test_plain_shebang_is_rewritten() -> None:
    """What pip and uv write where nothing is special."""
    assert script(b"#!/b/app/bin/python\n" + BODY) == b"#!/opt/venvs/app/bin/python\n" + BODY


@pytest.mark.parametrize("name", ["python", "python3", "python3.11"])
def test_shebang_keeps_the_interpreters_name(name: str) -> None:
    """All three are in bin/."""
    moved = script(f"#!/b/app/bin/{name}\n".encode() + BODY)
    assert moved.splitlines()[0] == f"#!/opt/venvs/app/bin/{name}".encode()


def test_quoted_shebang_loses_its_quotes() -> None:
    """Distlib quotes a path that holds a blank; the final one holds none."""
    move = Move(build=PurePosixPath("/b/my app"), final=MOVE.final)
    assert script(b'#!"/b/my app/bin/python3"\n' + BODY, move).startswith(b"#!/opt/venvs/app/bin/python3\n")


def test_unquoted_shebang_with_blanks_is_rewritten() -> None:
    """Pip does not quote in scripts that a wheel brings as they are."""
    move = Move(build=PurePosixPath("/b/my app"), final=MOVE.final)
    assert script(b"#!/b/my app/bin/python\n" + BODY, move) == b"#!/opt/venvs/app/bin/python\n" + BODY


def test_env_shebang_is_left_alone() -> None:
    """It names no path of the build."""
    data = b"#!/usr/bin/env python3\n" + BODY
    assert script(data) == data


def test_env_shebang_with_the_build_path_is_rewritten() -> None:
    """An env that is told a whole path gets the final one."""
    assert script(b"#!/usr/bin/env /b/app/bin/python\n") == b"#!/usr/bin/env /opt/venvs/app/bin/python\n"


def test_shebang_keeps_its_flags() -> None:
    """-E and others are the author's."""
    assert script(b"#!/b/app/bin/python -E\n" + BODY) == b"#!/opt/venvs/app/bin/python -E\n" + BODY


@pytest.mark.parametrize(
    "program", ["'/b/my '\"'\"'own'\"'\"' app/bin/python3'", "\"/b/my 'own' app/bin/python3\""]
)
def test_wrapper_is_taken_off_where_the_final_path_is_short(program: str) -> None:
    """Uv and pip start /bin/sh where the build path holds a blank."""
    data = f"#!/bin/sh\n'''exec' {program} \"$0\" \"$@\"\n' '''\n".encode() + BODY
    assert script(data, BLANK) == b"#!/opt/venvs/app/bin/python3\n" + BODY


def test_wrapper_of_a_long_build_path_is_taken_off() -> None:
    """Pip wraps a path that is over the kernel's limit, without quotes."""
    data = f"#!/bin/sh\n'''exec' {FAR.build}/bin/python \"$0\" \"$@\"\n' '''\n".encode() + BODY
    assert script(data, FAR) == b"#!/opt/venvs/app/bin/python\n" + BODY


def test_wrapper_with_a_flag_is_taken_off() -> None:
    """One flag fits behind a plain shebang."""
    data = f"#!/bin/sh\n'''exec' {FAR.build}/bin/python -E \"$0\" \"$@\"\n' '''\n".encode() + BODY
    assert script(data, FAR) == b"#!/opt/venvs/app/bin/python -E\n" + BODY


def test_wrapper_with_two_flags_stays_a_wrapper() -> None:
    """The kernel would hand both to Python as one word, which it does not understand."""
    data = f"#!/bin/sh\n'''exec' {FAR.build}/bin/python -E -s \"$0\" \"$@\"\n' '''\n".encode() + BODY
    moved = script(data, FAR)
    assert moved == b"#!/bin/sh\n'''exec' /opt/venvs/app/bin/python -E -s \"$0\" \"$@\"\n' '''\n" + BODY


def test_relocatable_wrapper_names_the_final_python() -> None:
    """Uv's --relocatable finds Python beside the script, which a link into /usr/bin would break."""
    data = (
        b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n"
        + BODY
    )
    assert script(data) == b"#!/opt/venvs/app/bin/python3\n" + BODY


def test_long_shebang_is_wrapped() -> None:
    """A final path over the kernel's limit starts through /bin/sh."""
    moved = script(b"#!/b/app/bin/python\n" + BODY, LONG)
    assert moved.startswith(b"#!/bin/sh\n'''exec' /opt/long/")
    assert all(len(line) <= LONGEST_SHEBANG for line in moved.splitlines()[:1])
    compile(moved, "script", "exec")


def test_wrapper_stays_where_both_paths_are_long() -> None:
    """Only the path changes."""
    move = Move(build=FAR.build, final=LONG.final)
    data = f"#!/bin/sh\n'''exec' {FAR.build}/bin/python \"$0\" \"$@\"\n' '''\n".encode() + BODY
    assert script(data, move) == data.replace(str(FAR.build).encode(), str(LONG.final).encode())


@pytest.mark.parametrize("length", range(LONGEST_SHEBANG - 2, LONGEST_SHEBANG + 3))
def test_the_limit_is_that_of_an_old_kernel(length: int) -> None:
    """127 bytes of a first line stay plain, one more is wrapped."""
    tail = "/bin/python"
    final = PurePosixPath("/opt/" + "x" * (length - len("#!/opt/" + tail)))
    first = script(b"#!/b/app/bin/python\n", Move(build=MOVE.build, final=final)).splitlines()[0]
    assert first == (f"#!{final}{tail}".encode() if length <= LONGEST_SHEBANG else b"#!/bin/sh")


@pytest.mark.parametrize("move", [MOVE, LONG, FAR])
def test_a_relocated_script_really_runs(move: Move, tmp_path: Path) -> None:
    """From a build path to a real folder; short, and so long that sh has to help."""
    deep = tmp_path / ("d" * 100 if move is LONG else "d")
    (deep / "bin").mkdir(parents=True)
    (deep / "bin" / "python3").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    there = Move(build=move.build, final=PurePosixPath(deep))
    place = tmp_path / "script"
    place.write_bytes(
        script(f"#!{move.build}/bin/python3\n".encode() + b"import sys\nprint(sys.argv[1:])\n", there)
    )
    place.chmod(0o755)
    assert Shell()([place, "a b", "c"]).stdout == "['a b', 'c']\n"


def test_hermetic_adds_isolation() -> None:
    """-I keeps PYTHONPATH and the user's modules out."""
    assert (
        script(b"#!/b/app/bin/python\n" + BODY, hermetic=True) == b"#!/opt/venvs/app/bin/python -I\n" + BODY
    )


def test_hermetic_joins_flags() -> None:
    """The kernel passes one word."""
    assert script(b"#!/b/app/bin/python -E\n", hermetic=True) == b"#!/opt/venvs/app/bin/python -IE\n"


def test_hermetic_twice_is_hermetic_once() -> None:
    """The settle step sees the same script again."""
    for first in (b"#!/b/app/bin/python\n", b"#!/b/app/bin/python -E\n", b"#!/b/app/bin/python -sI\n"):
        once = script(first + BODY, hermetic=True)
        assert script(once, hermetic=True) == once
    once = script(b"#!/b/app/bin/python\n" + BODY, LONG, hermetic=True)
    assert script(once, LONG, hermetic=True) == once
    assert once.count(b"-I") == 1


def test_hermetic_leaves_other_programs_alone() -> None:
    """Sh knows no -I."""
    data = b"#!/bin/sh\necho /opt/venvs/app\n"
    assert script(data, hermetic=True) == data


def test_a_script_that_is_not_executable_keeps_its_flags() -> None:
    """Its first line is text like any other."""
    assert relocate_bytes(b"#!/b/app/bin/python\n", MOVE, hermetic=True) == b"#!/opt/venvs/app/bin/python\n"


def test_the_rest_of_a_script_is_relocated_too() -> None:
    """Its shebang is one place of several."""
    moved = script(b"#!/b/app/bin/python\nHOME = '/b/app/share'\n")
    assert moved == b"#!/opt/venvs/app/bin/python\nHOME = '/opt/venvs/app/share'\n"


# --- Boundaries and spellings


@pytest.mark.parametrize("neighbour", ["/b/app2", "/b/app-1", "/b/app.old", "/b/app_x", "/b/app+", "/b/app~"])
def test_a_neighbour_with_a_longer_name_is_left_alone(neighbour: str) -> None:
    """/b/app is not the beginning of another folder's name."""
    data = f"x={neighbour}/bin {neighbour}\n".encode()
    assert relocate_bytes(data, MOVE) == data


@pytest.mark.parametrize("after", ["", "/", "/x", ":", '"', "'", "\n", " ", ",", ")", ";", "\r\n", "\t"])
def test_a_whole_path_is_replaced_whatever_follows(after: str) -> None:
    """At the end of the file too."""
    assert relocate_bytes(f"at /b/app{after}".encode(), MOVE) == f"at /opt/venvs/app{after}".encode()


def test_every_occurrence_is_replaced() -> None:
    """Paths come in lists."""
    assert relocate_bytes(b"/b/app/x:/b/app2:/b/app", MOVE) == b"/opt/venvs/app/x:/b/app2:/opt/venvs/app"


def test_a_path_after_a_flag_or_scheme_is_replaced() -> None:
    """Makefile, sysconfig data and .pc files hold these."""
    data = b"CFLAGS=-I/b/app/include -L/b/app/lib\nurl=file:///b/app/x\nprefix=/b/app\n"
    want = b"CFLAGS=-I/opt/venvs/app/include -L/opt/venvs/app/lib\nurl=file:///opt/venvs/app/x\nprefix=/opt/venvs/app\n"
    assert relocate_bytes(data, MOVE) == want


def test_quoted_url_of_a_path_with_blanks_is_replaced() -> None:
    """A URL writes a blank as %20."""
    data = f'{{"url": "file://{quote(str(BLANK.build))}/x"}}'.encode()
    assert relocate_bytes(data, BLANK) == b'{"url": "file:///opt/venvs/app/x"}'


def test_json_spelling_of_a_path_is_replaced() -> None:
    """JSON and Python write letters beyond ASCII as escapes."""
    move = Move(build=PurePosixPath("/b/größe"), final=MOVE.final)
    assert relocate_bytes(json.dumps({"at": "/b/größe/x"}).encode(), move) == b'{"at": "/opt/venvs/app/x"}'
    assert relocate_bytes("at=/b/größe/x".encode(), move) == b"at=/opt/venvs/app/x"


def test_backslashes_in_the_final_path_are_no_templates() -> None:
    r"""A \1 in a path is a backslash and a digit."""
    move = Move(build=MOVE.build, final=PurePosixPath(r"/opt/a\1b"))
    assert relocate_text(b"/b/app/x", move) == rb"/opt/a\1b/x"


def test_binary_files_are_untouched() -> None:
    """An archive or an image may hold such bytes by accident, with lengths and sums beside them."""
    data = b"PK\x03\x04\0\0/b/app/x\0" * 3
    assert relocate_bytes(data, MOVE) == data


def test_a_binary_file_that_begins_like_text_is_untouched() -> None:
    """The NUL may come late."""
    data = b"text " * 1000 + b"/b/app/x" + b"\0"
    assert relocate_bytes(data, MOVE) == data


def test_a_text_of_any_encoding_is_relocated() -> None:
    """Latin-1 is text too."""
    assert relocate_bytes(b"caf\xe9 /b/app/x\n", MOVE) == b"caf\xe9 /opt/venvs/app/x\n"


def test_a_file_without_the_path_gives_no_edit() -> None:
    """The tree has thousands of them."""
    assert not list(relocate(Tree.from_files({"a.py": b"x = 1\n", "b": b"", "c": b"\0"}), MOVE))


PIECES = st.sampled_from(
    [b"/b/app", b"/b/app2", b"/opt/venvs/app", b"/", b"bin/python", b"#!", b"\n", b" ", b"'", b'"', b"$0",
     b"'''exec' ", b"#!/bin/sh\n", b"' '''\n", b"\0", b"\x7fELF", b"-I", b":", b"%20", b"\xff"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14), st.booleans(), st.booleans())
def test_relocating_twice_gives_no_edits(pieces: list[bytes], executable: bool, hermetic: bool) -> None:
    """Whatever the bytes, the second pass finds nothing to do."""
    for move in (MOVE, LONG, FAR):
        once = relocate_bytes(b"".join(pieces), move, executable=executable, hermetic=hermetic)
        assert relocate_bytes(once, move, executable=executable, hermetic=hermetic) == once


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_around_a_path_are_kept(before: bytes, after: bytes) -> None:
    """Nothing but the path itself changes."""
    if b"/b/app" in before + after or b"\0" in before + after or before.startswith(b"\x7fELF"):
        return
    data = before + b"/b/app/" + after
    assert relocate_bytes(data, MOVE) == before + b"/opt/venvs/app/" + after


@given(st.lists(PIECES, max_size=14))
def test_no_build_path_is_left_in_text(pieces: list[bytes]) -> None:
    """As a whole path it is gone; a neighbour's name stays."""
    data = b"".join(pieces).replace(b"\0", b"").replace(b"\x7fELF", b"")
    moved = relocate_bytes(data, MOVE)
    assert moved.count(b"/b/app2") == data.count(b"/b/app2")
    assert moved.replace(b"/b/app2", b"").count(b"/b/app/") == 0


# --- Files of an environment


def test_pyvenv_cfg_speaks_of_the_final_path() -> None:
    """Its line command is where venv writes the build path."""
    data = b"home = /usr/bin\ncommand = /usr/bin/python3.11 -m venv --without-pip /b/app\n"
    assert edited({"pyvenv.cfg": data}) == {"pyvenv.cfg": data.replace(b"/b/app", b"/opt/venvs/app")}


def test_pth_is_relocated() -> None:
    """A line that names a folder, and one that runs code."""
    data = b"/b/app/src\nimport sys; sys.path.append('/b/app/more')\n"
    moved = edited({"lib/python3.11/site-packages/x.pth": data})
    assert list(moved.values()) == [data.replace(b"/b/app", b"/opt/venvs/app")]


DIRECT = "lib/python3.11/site-packages/x-1.dist-info/direct_url.json"


def test_direct_url_of_a_local_folder_is_removed() -> None:
    """The server has not the folder (PEP 610)."""
    assert edited({DIRECT: b'{"url": "file:///b/app/source", "dir_info": {}}'}) == {DIRECT: None}


def test_direct_url_of_a_local_archive_is_removed() -> None:
    """A wheel in a wheelhouse is as far away."""
    data = b'{"url": "file:///srv/x-1-py3-none-any.whl", "archive_info": {"hash": "sha256=00"}}'
    assert edited({DIRECT: data}) == {DIRECT: None}


def test_direct_url_of_version_control_stays() -> None:
    """It says where the code comes from, for anyone."""
    assert edited({DIRECT: b'{"url": "https://example.org/x.git", "vcs_info": {"vcs": "git"}}'}) == {}


def test_direct_url_of_an_editable_install_stays() -> None:
    """A check has to find it."""
    data = b'{"url": "file:///srv/x", "dir_info": {"editable": true}}'
    assert edited({DIRECT: data}) == {}
    assert names_local_folder(data.replace(b"true", b"false"))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"3", b'"file:"', b"\xff\xfe", b'{"dir_info": {}}', b'{"url": null}'],
)
def test_malformed_direct_url_stays(data: bytes) -> None:
    """Whatever it is, it is no reason to stop."""
    assert edited({DIRECT: data}) == {}


@pytest.mark.parametrize("folder", ["null", "[]", '"x"', "1"])
def test_direct_url_with_an_odd_dir_info_is_read(folder: str) -> None:
    """The field should be a table, and need not be."""
    assert names_local_folder(f'{{"url": "file:///x", "dir_info": {folder}}}'.encode())


def test_absolute_symlink_into_the_build_is_rewritten() -> None:
    """Its target moves with the environment."""
    tree = Tree.from_files({}, links={"bin/x": "/b/app/lib/x", "bin/self": "/b/app"})
    assert {str(e.path): e.target for e in relocate(tree, MOVE)} == {
        "bin/x": "/opt/venvs/app/lib/x",
        "bin/self": "/opt/venvs/app",
    }


def test_other_symlinks_are_left_alone() -> None:
    """Relative ones, ones to the system, ones to a neighbour."""
    links = {"bin/a": "python", "bin/b": "../lib/b", "bin/c": "/usr/bin/python3.11", "bin/d": "/b/app2/x"}
    assert not list(relocate(Tree.from_files({}, links=links), MOVE))


def test_an_edit_says_what_happens_to_the_entry() -> None:
    """Content, target, or neither for an entry that goes."""
    tree = Tree.from_files({"a": b"/b/app", DIRECT: b'{"url": "file:///x"}'}, links={"l": "/b/app/x"})
    assert set(relocate(tree, MOVE)) == {
        Edit(path=PurePosixPath("a"), data=b"/opt/venvs/app"),
        Edit(path=PurePosixPath(DIRECT)),
        Edit(path=PurePosixPath("l"), target="/opt/venvs/app/x"),
    }


def test_names_beyond_utf8_are_kept(tmp_path: Path) -> None:
    """A file name is bytes; so is the target of a link."""
    place = os.fsencode(tmp_path)
    with open(place + b"/\xff.txt", "wb") as stream:  # noqa: PTH123
        stream.write(b"/b/app")
    os.symlink(b"/b/app/\xfe", place + b"/link")  # noqa: PTH211
    found = {os.fsencode(e.path): e for e in relocate(Tree.from_dir(tmp_path), MOVE)}
    assert found[b"\xff.txt"].data == b"/opt/venvs/app"
    assert os.fsencode(found[b"link"].target or "") == b"/opt/venvs/app/\xfe"


# --- ELF


def test_path_in_an_elf_file_is_rewritten_in_place(objects: Objects) -> None:
    """The file keeps its length, and the dynamic linker reads the final path."""
    move = Move(build=PurePosixPath("/build/app"), final=PurePosixPath("/opt/x"))
    moved = relocate_bytes(objects["runpath.so"], move)
    (objects.folder / "moved.so").write_bytes(moved)
    with (objects.folder / "moved.so").open("rb") as stream:
        origin, folder = read_elf(stream).runpath
    assert (origin, PurePosixPath(folder)) == ("$ORIGIN/../libs", PurePosixPath("/opt/x/lib"))
    assert len(moved) == len(objects["runpath.so"])


def test_a_longer_final_path_leaves_an_elf_file_alone(objects: Objects) -> None:
    """There is no room; check V003 says so."""
    move = Move(build=PurePosixPath("/build/app"), final=PurePosixPath("/opt/venvs/application"))
    assert relocate_bytes(objects["runpath.so"], move) == objects["runpath.so"]


def test_strings_of_a_relocated_library_are_right(objects: Objects) -> None:
    """Loaded and called, it names the final path, and still a neighbour's; other strings are whole."""
    move = Move(build=PurePosixPath("/build/app"), final=PurePosixPath("/opt/x"))
    place = objects.folder / "strings-moved.so"
    place.write_bytes(relocate_bytes(objects["strings.so"], move))
    library = ctypes.CDLL(str(place))
    library.place.restype = ctypes.c_char_p
    first, neighbour, last = library.place().decode().split(":")
    assert PurePosixPath(first) == PurePosixPath("/opt/x/share")
    assert neighbour == "/build/app2/share"
    assert PurePosixPath(last) == PurePosixPath("/opt/x")


def test_a_string_that_ends_a_path_is_kept(objects: Objects) -> None:
    """The linker stores a name inside the path that ends with it; the name must stay where it is."""
    move = Move(build=PurePosixPath("/build/where/it/was/made/app"), final=MOVE.final)
    place = objects.folder / "tail-moved.so"
    place.write_bytes(relocate_bytes(objects["tail.so"], move))
    assert ctypes.CDLL(str(place)).lib() == 7


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_bytes_of_a_binary_stay_where_they_are(before: bytes, after: bytes) -> None:
    """Every byte outside the path keeps its place."""
    move = Move(build=PurePosixPath("/build/app"), final=PurePosixPath("/opt/x"))
    data = before + b"/build/app" + b"/" + after
    moved = relocate_c_strings(data, move)
    assert len(moved) == len(data)
    if b"/build/app" not in before + after:
        assert (moved[: len(before)], moved[len(before) + 10 :]) == (before, b"/" + after)


# --- RECORD

SITE = "lib/python3.11/site-packages"
RECORD = f"{SITE}/x-1.dist-info/RECORD"
METADATA = f"{SITE}/x-1.dist-info/METADATA"


def digest(data: bytes, algorithm: str = "sha256") -> str:
    """A hash as RECORD has it."""
    return f"{algorithm}=" + urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()


def reconciled(files: dict[str, bytes], **more: object) -> dict[str, tuple[str, str]]:
    """Reconcile, and return the rows that RECORD has then."""
    tree = Tree.from_files({METADATA: b"Name: x\n", **files}, **more)  # type: ignore[arg-type]
    edits = {e.path: e.data for e in reconcile_records(tree, Digests())}
    data = edits.get(PurePosixPath(RECORD)) or files[RECORD]
    return {name: (hash_, size) for name, hash_, size in read_record(data.decode("utf-8", "surrogateescape"))}


def test_a_changed_file_gets_its_new_hash_and_size() -> None:
    """RECORD is true of what is there."""
    rows = reconciled({RECORD: b"x.py,sha256=old,1\nx-1.dist-info/RECORD,,\n", f"{SITE}/x.py": b"x = 1\n"})
    assert rows == {"x.py": (digest(b"x = 1\n"), "6"), "x-1.dist-info/RECORD": ("", "")}


def test_a_row_whose_file_is_gone_is_dropped() -> None:
    """Pruned files among them."""
    rows = reconciled({RECORD: b"x.py,sha256=a,1\n../../../bin/x,sha256=b,1\nx-1.dist-info/RECORD,,\n"})
    assert set(rows) == {"x-1.dist-info/RECORD"}


def test_a_script_outside_the_site_folder_is_found() -> None:
    """Rows climb up with dots."""
    rows = reconciled({RECORD: b"../../../bin/x,sha256=old,1\n", "bin/x": b"#!"})
    assert rows == {"../../../bin/x": (digest(b"#!"), "2")}


@pytest.mark.parametrize(
    "name", ["a,b.py", 'a"b.py', "a\nb.py", "a\x0bb.py", "a\u2028b.py", "a b.py", "ü.py", "'.py"]
)
def test_odd_names_are_kept(name: str) -> None:
    """Commas, quotes, line breaks of every kind: csv knows how to write each."""
    written = '"' + name.replace('"', '""') + '"'
    rows = reconciled({RECORD: f"{written},sha256=old,1\n".encode(), f"{SITE}/{name}": b"new"})
    assert rows == {name: (digest(b"new"), "3")}


def test_a_name_beyond_utf8_is_kept() -> None:
    """A tree read from disk has it with a surrogate, and so has the row."""
    name = b"\xff.py".decode("utf-8", "surrogateescape")
    rows = reconciled({RECORD: b"\xff.py,sha256=old,1\n", f"{SITE}/{name}": b"new"})
    assert rows == {name: (digest(b"new"), "3")}


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_algorithm_of_a_row_is_kept(algorithm: str) -> None:
    """PEP 376 leaves the choice to the installer."""
    rows = reconciled({RECORD: f"x.py,{algorithm}=old,1\n".encode(), f"{SITE}/x.py": b"new"})
    assert rows == {"x.py": (digest(b"new", algorithm), "3")}


@pytest.mark.parametrize("written", ["rot13=abc", "shake_128=abc", "=", "abc"])
def test_an_unknown_algorithm_becomes_sha256(written: str) -> None:
    """No installer could check it."""
    rows = reconciled({RECORD: f"x.py,{written},1\n".encode(), f"{SITE}/x.py": b"new"})
    assert rows == {"x.py": (digest(b"new"), "3")}


def test_rows_without_a_hash_stay_without() -> None:
    """Bytecode has none, and RECORD itself has none."""
    rows = reconciled({RECORD: b"x.py,,\nx-1.dist-info/RECORD,,\n", f"{SITE}/x.py": b"new"})
    assert rows == {"x.py": ("", ""), "x-1.dist-info/RECORD": ("", "")}


def test_a_right_record_gives_no_edit() -> None:
    """Sorted, true and once each."""
    row = f"x-1.dist-info/RECORD,,\nx.py,{digest(b'new')},3\n".encode()
    assert (
        reconcile_records(Tree.from_files({METADATA: b"", RECORD: row, f"{SITE}/x.py": b"new"}), Digests())
        == ()
    )


def test_the_order_of_rows_does_not_matter() -> None:
    """Two installers that write one file in other orders give the same RECORD."""
    files = {f"{SITE}/{name}": name.encode() for name in ("a.py", "b.py")}
    made = [
        [
            e.data
            for e in reconcile_records(Tree.from_files({METADATA: b"", RECORD: rows, **files}), Digests())
        ]
        for rows in (b"b.py,sha256=,\na.py,sha256=,\n", b"a.py,sha256=,\nb.py,sha256=,\nb.py,sha256=,\n")
    ]
    assert made[0] == made[1] != []


def test_short_rows_are_read() -> None:
    """A row may end early, and an empty line is none."""
    assert read_record("a.py\n\nb.py,sha256=x\n") == [("a.py", "", ""), ("b.py", "sha256=x", "")]


def test_a_symlink_in_record_keeps_its_row() -> None:
    """Its bytes are another file's."""
    rows = reconciled({RECORD: b"l.py,sha256=old,1\n"}, links={f"{SITE}/l.py": "x.py"})
    assert rows == {"l.py": ("sha256=old", "1")}


# --- Bills of materials


@pytest.mark.parametrize(
    ("tag", "refs", "fresh"),
    [
        ("linux_x86_64", ["path+file:///t/x1/app#1.0"], ["path+file://.#1.0"]),
        (
            "linux_x86_64",
            [
                "path+file:///t/x1/app/core#core@1.0",
                "path+file:///t/x1/app/cli#2.0",
                "registry+https://c.io#3",
            ],
            ["path+file://./core#core@1.0", "path+file://./cli#2.0", "registry+https://c.io#3"],
        ),
        ("manylinux_2_17_x86_64", ["path+file:///home/runner/app#1.0"], None),
        ("linux_x86_64", ["registry+https://c.io#3"], None),
    ],
)
def test_cargos_bills_name_no_folder_of_a_build(tag: str, refs: list[str], fresh: list[str] | None) -> None:
    """What comes from an index is as its publisher made it."""
    info = "lib/python3.11/site-packages/app-1.0.dist-info"
    files = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: app\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: cp311-cp311-{tag}\n".encode(),
        f"{info}/RECORD": b"",
        f"{info}/sboms/app.cyclonedx.json": json.dumps([{"bom-ref": ref} for ref in refs]).encode(),
    }
    tree = Tree.from_files(files)
    edits = list(neutralise_bills(tree, read_distributions(tree)))
    assert [str(edit.path) for edit in edits] == ([f"{info}/sboms/app.cyclonedx.json"] if fresh else [])
    assert not edits or [ref["bom-ref"] for ref in json.loads(edits[0].data or b"")] == fresh
