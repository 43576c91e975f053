"""Whatever the bytes are: a value or an error with a code, soon, and never anything else.

Each property is tried on valid specimens that were damaged by somebody who knows their format. What once
went wrong is an example.
"""

from __future__ import annotations

import io
import os
import re
import struct
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example
from hypothesis import strategies as st

import fuzzing
from fuzzing import ANYWHERE, BUILD, FINAL, TEXT, campaign, corrected, damaged, tar, toml
from objects import Objects
from pythons import Python
from venvpkg.configuration import read_configuration, read_options, read_variables
from venvpkg.control import read_control, read_upstream_version, relation_names
from venvpkg.credentials import find_secrets, known_secrets
from venvpkg.deb import read_deb
from venvpkg.digests import Digests
from venvpkg.distributions import read_distributions, read_record, text_of
from venvpkg.elf import NotElfError, read_elf
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import interpreters, program_path
from venvpkg.keys import KEYS
from venvpkg.locks import parse_pin, quote_hashes, read_requirements, resolve_groups
from venvpkg.plan import Move
from venvpkg.relocate import (
    GOES_ON,
    HASHES,
    name_python,
    reconcile_records,
    record_hash,
    relocate_bytes,
    relocate_c_strings,
    relocate_pyc,
    relocate_shebang,
    relocate_text,
    spellings,
)
from venvpkg.tree import Tree

MOVE = Move(build=PurePosixPath(BUILD), final=PurePosixPath(FINAL))
# One to a longer prefix, and folders whose names are not UTF-8, as Python sees them.
LONGER = Move(build=PurePosixPath("/b/x"), final=PurePosixPath("/opt/" + "long/" * 60 + "app"))
STRANGE = Move(build=PurePosixPath("/b/gr\udcfcn"), final=PurePosixPath("/opt/gr\udcfcn/é"))
MOVES = (MOVE, LONGER, STRANGE)
ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.1-amd64",
    "platform_system": "Linux",
    "platform_version": "#1 SMP",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
}
DEEP = 20_000


@contextmanager
def known_errors() -> Iterator[None]:
    """Let errors pass that a user can mend; their codes are names."""
    try:
        yield
    except VenvpkgError as error:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", error.code)
        assert error.message
        str(error)


def is_inside(path: PurePosixPath) -> bool:
    """Tell whether a path can't lead out of the tree that it is relative to."""
    return not path.is_absolute() and ".." not in path.parts


# --- Relocation

# fmt: off
SHEBANGS = (
    f"#!{BUILD}/bin/python3.11 -E\nimport sys\n".encode(),
    f'#!"{BUILD}/bin/python"\nimport sys\n'.encode(),
    f"#!/bin/sh\n'''exec' \"{BUILD}/bin/python3\" -E -s \"$0\" \"$@\"\n' '''\nimport sys\n".encode(),
    b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\nx\n",
    b"#!/usr/bin/env -S A=1 python3\nx\n",
)
SHEBANG_WORDS = (
    b"#!", b"/bin/python", b"python3", b" -I", b" -E -s", b" ", b"\t", b"\n", b"\r\n", b"'", b'"', b"/",
    b"\0",
    b"'''exec' ", b' "$0" "$@"\n', b"' '''\n", b"$(dirname", b"a" * 300, b"/a" * 300, b" -a" * 300,
    *(way for move in MOVES for ways in spellings(move) for way in ways),
)
TEXTS = st.lists(st.sampled_from(SHEBANG_WORDS) | st.binary(max_size=3), max_size=12).map(b"".join)
SCRIPTS = damaged(SHEBANGS, ANYWHERE, SHEBANG_WORDS) | TEXTS | TEXTS.map(b"#!".__add__)
PYC_WORDS = (
    BUILD.encode(),
    b"/b/x", b"\xe3", b"\xfb", b"(\xff\xff\xff\xff", b"(\x00\x10\x00\x00", b")\xff",
    b"[\xff\xff\x00\x00",
    b"{", b"0", b"N", b"r\0\0\0\0", b"r\1\0\0\0", b"l\xff\xff\xff\x7f", b"l\0\0\0\x80",
    b"s\xff\xff\xff\x7f", b"z\xff",
    b"z\x05/b/x\xe9", b"a\x04\0\0\0/b/x", b"u\x06\0\0\0/b/x/\xff", b"f\x04/b/x", b"t\x04\0\0\0/b/x",
    b"c", b":", b"x\x010\x011",
)
# Python 3.11's.
PYC_HEADER = b"\xa7\r\r\n" + bytes(12)
ELF_WORDS = (BUILD.encode(), b"/build", b"/b/x", b"$ORIGIN", b"a" * 300)
# Not before they are asked for: a compiler makes them.
PYTHONS = st.deferred(lambda: st.sampled_from(fuzzing.pythons()))
PYCS = PYTHONS.flatmap(
    lambda python: damaged([fuzzing.bytecode(python)], st.integers(0, 15) | ANYWHERE, PYC_WORDS)
)
ELVES = st.deferred(lambda: damaged(fuzzing.elves(), fuzzing.elf_places(), ELF_WORDS))
RELOCATED = st.tuples(SCRIPTS | PYCS | ELVES, st.sampled_from(MOVES), st.booleans(), st.booleans())
# fmt: on


@campaign(RELOCATED, examples=400)
@example((b"#!" + b"a" * 300_000, MOVE, False, True))
@example((b"#!/b/gr\xfcn/bin/python\n", STRANGE, False, True))
@example((b"\x7fELF\0/b/gr\xfcn\0", STRANGE, False, False))
@example((PYC_HEADER + b")\xff" * 2**19 + BUILD.encode(), MOVE, False, False))
@example((PYC_HEADER + b"(\0\0\4\0" * 2**16 + BUILD.encode(), MOVE, False, False))
def test_a_file_of_any_kind_is_relocated_once(case: tuple[bytes, Move, bool, bool]) -> None:
    """The second time there is nothing left to do, and an ELF file keeps its length."""
    data, move, hermetic, executable = case
    moved = relocate_bytes(data, move, hermetic=hermetic, executable=executable)
    assert relocate_bytes(moved, move, hermetic=hermetic, executable=executable) == moved
    if data.startswith(b"\x7fELF"):
        assert len(moved) == len(data)


@campaign(st.tuples(PYTHONS, st.integers(0, 400)), examples=20)
def test_bytecode_that_python_compiled_holds_no_build_path(case: tuple[Python, int]) -> None:
    """It is whole, so that nothing of it may be left as it is."""
    python, count = case
    data = fuzzing.bytecode(python)
    moved = relocate_pyc(data, MOVE)
    assert not re.search(re.escape(BUILD.encode()) + GOES_ON, moved)
    assert fuzzing.loader(python).compare(data, moved) == "same"
    # Cut short it is not understood, and what comes after its end isn't either.
    assert relocate_pyc(data[: -1 - count], MOVE) == data[: -1 - count]
    assert relocate_pyc(data + b"N" * (count + 1), MOVE) == data + b"N" * (count + 1)


def damaged_bytecode(python: Python) -> st.SearchStrategy[tuple[Python, bytes]]:
    """Return what Python compiled, damaged after its header, with the Python."""
    data = fuzzing.bytecode(python)
    changed = damaged([data[16:]], ANYWHERE, PYC_WORDS)
    return changed.map(lambda rest: (python, data[:16] + rest))


@campaign(PYTHONS.flatmap(damaged_bytecode), examples=300)
@example((None, PYC_HEADER + b"z\x16" + BUILD.encode() + b"/x/\xe9"))
@example((None, PYC_HEADER + b"f\x14" + BUILD.encode() + b"/1"))
def test_bytecode_that_loads_still_loads_as_the_same(case: tuple[Python | None, bytes]) -> None:
    """Whatever happened to it before: the same names and constants but for the path."""
    python, data = case[0] or fuzzing.pythons()[0], case[1]
    moved = relocate_pyc(data, MOVE)
    assert relocate_pyc(moved, MOVE) == moved
    if moved != data:
        assert fuzzing.loader(python).compare(data, moved) in ("same", "damaged before")


@campaign(st.tuples(TEXTS, st.sampled_from(MOVES)), examples=300)
def test_text_holds_no_build_path(case: tuple[bytes, Move]) -> None:
    """However it was spelled; text that has none stays as it is."""
    data, move = case
    moved = relocate_text(data, move)
    assert relocate_text(moved, move) == moved
    for build, _ in spellings(move):
        assert not re.search(re.escape(build) + GOES_ON, moved)
    if not any(build in data for build, _ in spellings(move)):
        assert moved == data


@campaign(st.tuples(SCRIPTS, st.sampled_from(MOVES), st.booleans()), examples=400)
def test_a_script_keeps_all_but_its_first_lines(case: tuple[bytes, Move, bool]) -> None:
    """And what those ask for, they ask for once."""
    data, move, hermetic = case
    named = name_python(data, move)
    assert name_python(named, move) == named
    moved = relocate_shebang(relocate_text(named, move), move, hermetic=hermetic)
    assert relocate_shebang(moved, move, hermetic=hermetic) == moved
    body = relocate_text(named, move).split(b"\n", 3)[3:]
    assert moved.endswith(b"".join(body))


@campaign(st.tuples(ELVES | TEXTS, st.sampled_from(MOVES)), examples=200)
def test_c_strings_stay_where_they_are(case: tuple[bytes, Move]) -> None:
    """Only bytes of the path are others, and only slashes are more."""
    data, move = case
    moved = relocate_c_strings(data, move)
    assert len(moved) == len(data)
    assert relocate_c_strings(moved, move) == moved
    build = os.fsencode(move.build)
    places = {
        at + i for m in re.finditer(re.escape(build), data) for at in [m.start()] for i in range(len(build))
    }
    assert all(i in places for i in range(len(data)) if data[i] != moved[i])


# --- Records and distributions

# fmt: off
SITE = "lib/python3.11/site-packages"
INFO = f"{SITE}/x-1.dist-info"
NAMES = st.sampled_from(
    [
        "", ".", "..", "/", "/etc/passwd", "../../../bin/app", "x.py", "x.PY", "./x.py", "a\rb.py",
        "a\nb.py", 'a",b.py',
    ],
) | st.sampled_from(
    ["x-1.dist-info/RECORD", "x-1.dist-info/METADATA", "y-1.dist-info/RECORD", "//x", "gr\udcfcn.py", "\0"]
)
DIGESTS = st.sampled_from(
    ["", "sha256=x", "md5=x", "shake_128=x", "=", "none=x", "SHA256=x", *(f"{h}=" for h in sorted(HASHES))]
)
ROWS = st.lists(st.tuples(NAMES | TEXT, DIGESTS | TEXT, st.sampled_from(["", "1", "-1", "x"])), max_size=6)
RECORD_WORDS = (
    b",", b'"', b"\n", b"\r", b"\0", b"\xff", b'"a\rb.py",md5=x,1\n', b"x" * 140_000, b"x.py,sha256=x,1\n",
    b",,\n",
)
# fmt: on


def record_of(rows: list[tuple[str, str, str]]) -> bytes:
    """Return a RECORD in which every field is quoted."""
    lines = [",".join('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


RECORDS = ROWS.map(record_of) | damaged(
    [b"x.py,sha256=x,1\nx-1.dist-info/RECORD,,\n"], ANYWHERE, RECORD_WORDS
)
FILES = {
    f"{SITE}/x.py": b"x",
    f"{SITE}/a\rb.py": b"",
    f"{SITE}/a\nb.py": b"",
    f'{SITE}/a",b.py': b"",
    f"{SITE}/gr\udcfcn.py": b"",
}


def environment(**told: bytes) -> Tree:
    """Return the tree of an environment with one distribution, of which METADATA and others are any."""
    about = {
        f"{INFO}/{name.replace('entry_points', 'entry_points.txt')}": data for name, data in told.items()
    }
    return Tree.from_files(
        {f"{INFO}/METADATA": b"Name: x\n", **FILES, **about}, links={f"{SITE}/link": "x.py"}
    )


@campaign(st.tuples(RECORDS, RECORDS), examples=150)
@example((b"x-1.dist-info/RECORD,sha256=x,1\n", b""))
@example((b"y-1.dist-info/RECORD,sha256=x,1\n", b"x-1.dist-info/RECORD,sha256=x,1\n"))
@example((b'"a\rb.py",sha256=x,1\n', b""))
def test_a_reconciled_record_is_true(case: tuple[bytes, bytes]) -> None:
    """Each hash in it is that of a file, and nothing is left to change, not even where one has another."""
    files = {
        f"{INFO}/RECORD": case[0],
        f"{SITE}/y-1.dist-info/METADATA": b"",
        f"{SITE}/y-1.dist-info/RECORD": case[1],
    }
    files |= {f"{INFO}/METADATA": b"Name: x\n", **FILES}
    edits = reconcile_records(Tree.from_files(files), Digests())
    files |= {str(edit.path): edit.data for edit in edits if edit.data is not None}
    tree = Tree.from_files(files)
    assert reconcile_records(tree, Digests()) == ()
    for distribution in read_distributions(tree):
        rows = read_record(text_of(tree, distribution.folder / "RECORD"))
        for (_, digest, _), path in zip(rows, distribution.files, strict=True):
            entry = tree.get(path)
            assert entry is not None
            if digest:
                assert digest == record_hash(entry.load(), digest.partition("=")[0])


METADATA = (
    b"Metadata-Version: 2.4\nName: x\nVersion: 1\nRequires-Dist: y>=1; python_version < '4'\n"
    b"Requires-Dist: z[a]; extra == 'b' and (os_name == 'posix' or sys_platform in 'linux')\n"
    b"License: MIT\nClassifier: License :: OSI Approved :: MIT License\n\nText\n",
    "Name: grün\nLicense-Expression: MIT\nRequires-Dist: ü\n\n".encode(),
)
METADATA_WORDS = (
    b"\n",
    b"\r",
    b"\r\n ",
    b":",
    b"\0",
    b"\xff",
    b"\xed\xb3\xbf",
    "ü".encode(),
    b"\x1c",
    b"\xe2\x80\xa8",
    b"=?utf-8?b?/w?=",
    b"Requires-Dist: y; python_version ~= 'x'\n",
    b"Requires-Dist: y; nothing == 'x'\n",
    b"Classifier: License ::\n",
    b"Requires-Dist: y; os_name ~= '1'\n",
    b"Requires-Dist: y; 'a' in extras\n",
    b"Requires-Dist: y; extra < 'b'\n",
    b"Name: \n",
    b"Name:",
    b"(",
    b"'",
    b"Content-Type: multipart/mixed; boundary=x\n",
    b"Content-Type: message/rfc822\n",
    b"Requires-Dist: y; python_full_version == '" + b"1" * 5000 + b"'\n",
    b"Requires-Dist: y; " + b"(" * DEEP + b"os_name == 'x'" + b")" * DEEP + b"\n",
)
ENTRY_POINTS = (
    b"[console_scripts]\napp = x:main\nother = x:other [extra]\n\n[gui_scripts]\nwindow = x:main\n",
    b"[DEFAULT]\na = %(b)s\n[console_scripts]\nA = b\na\n  = c\n",
)
POINT_WORDS = (
    b"[",
    b"]",
    b"=",
    b"\n",
    b"\r",
    b"\n ",
    b"\n\t",
    b"#",
    b"%(a)s",
    b"[console_scripts]\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"[DEFAULT]",
)
WHEELS = damaged(
    [b"Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\nTag: py3-none-any\n"], ANYWHERE, METADATA_WORDS
)


@campaign(
    st.builds(
        environment,
        METADATA=damaged(METADATA, ANYWHERE, METADATA_WORDS),
        RECORD=RECORDS,
        entry_points=damaged(ENTRY_POINTS, ANYWHERE, POINT_WORDS),
        WHEEL=WHEELS,
    ),
    examples=300,
)
@example(environment(RECORD=b",,\n./,,\n"))
@example(environment(METADATA=b"Requires-Dist: y; os_name ~= '1'\n"))
@example(environment(METADATA=b"Requires-Dist: y; 'a' in extras\n"))
@example(environment(METADATA=b"Requires-Dist: y; python_full_version == '" + b"1" * 5000 + b"'\n"))
@example(environment(METADATA=b"Requires-Dist: y; " + b"(" * DEEP + b"os_name == 'x'" + b")" * DEEP + b"\n"))
def test_any_distribution_is_a_distribution(tree: Tree) -> None:
    """What can't be read of it is not there; its files do not lead out of the tree but by a whole path."""
    (found,) = read_distributions(tree)
    assert all(is_inside(path) or path.is_absolute() for path in found.files)
    assert all(name.isidentifier() for name in found.modules())
    assert all(name for name in found.requirements(ENVIRONMENT, ("a", "b")))
    assert isinstance(found.built_here, bool)
    assert all(
        isinstance(text, str) for text in (found.name, found.version, found.licence, *found.scripts.values())
    )


# --- ELF files


def dynamic_section(data: bytes) -> int:
    """Return where the dynamic section of a file of 64 bits is."""
    header = next(at for at in range(64, 64 + 56 * data[56], 56) if data[at] == 2)
    return int(struct.unpack_from("<Q", data, header + 8)[0])


@campaign(ELVES, examples=500)
def test_an_elf_file_is_read_or_is_none(data: bytes) -> None:
    """From memory and from a file, which has other errors and takes all memory that it is asked for."""
    answers = []
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for stream in (io.BytesIO(data), io.FileIO(file.fileno(), closefd=False)):
            try:
                answers.append(read_elf(stream))
            except NotElfError:
                answers.append(None)
    # What lies before the beginning of a file is no place, and in memory it is empty.
    assert answers[0] == answers[1] or None in answers


def test_a_dynamic_tag_that_nobody_knows_is_left_out(objects: Objects) -> None:
    """The dynamic linker leaves it out as well; the rest is as true as before."""
    data = objects["runpath.so"]
    known = read_elf(io.BytesIO(data))
    # DT_INIT of the first eight bytes that are it: the tag and an address.
    at = data.index(struct.pack("<Q", 12), dynamic_section(data))
    assert read_elf(io.BytesIO(data[:at] + struct.pack("<Q", 0x5FFFFFF0) + data[at + 8 :])) == known


@pytest.mark.parametrize(
    "damage",
    [(40, "<Q", 0), (58, "<HH", 0, 0), (58, "<HHH", 0xFFFF, 0xFFFF, 0xFFFF), (40, "<Q", 2**62)],
    ids=["no table", "no size", "any size", "far away"],
)
def test_sections_are_not_read(objects: Objects, damage: tuple[Any, ...]) -> None:
    """The dynamic linker reads none; of a damaged file there may be any number."""
    data = bytearray(objects["runpath.so"])
    known = read_elf(io.BytesIO(data))
    struct.pack_into(damage[1], data, damage[0], *damage[2:])
    with fuzzing.limits():
        assert read_elf(io.BytesIO(data)) == known


@pytest.mark.parametrize("damage", [(54, "<HH", 0, 0xFFFE), (54, "<HH", 56, 0xFFFF)], ids=["same", "many"])
def test_segments_have_a_number_and_a_size(objects: Objects, damage: tuple[Any, ...]) -> None:
    """Sixty thousand in the same place would each be read, and so would all that each of them leads to."""
    data = bytearray(objects["runpath.so"])
    struct.pack_into(damage[1], data, damage[0], *damage[2:])
    with fuzzing.limits(), pytest.raises(NotElfError):
        read_elf(io.BytesIO(data))


def test_a_name_without_end_is_in_no_elf_file(objects: Objects) -> None:
    """A thousand tags may have the same name of a million bytes."""
    data = objects["runpath.so"]
    at = dynamic_section(data)
    tags = struct.pack("<QQQQ", 5, len(data) + 16 * 1003, 1, 0) + struct.pack("<QQ", 1, 0) * 1000 + bytes(16)
    long = bytearray(data + tags + b"a" * 2**20 + b"\0")
    header = next(p for p in range(64, 64 + 56 * data[56], 56) if data[p] == 2)
    struct.pack_into("<QQQ", long, header + 8, len(data), len(data), len(data))
    assert at
    with fuzzing.limits(), pytest.raises(NotElfError):
        read_elf(io.BytesIO(long))


# --- Debian packages

# fmt: off
MEMBER_NAMES = (
    st.sampled_from(
        [
            "./", ".", "", "/", "//etc/passwd", "../x", "./a/../../b", "./opt/../x", "./a\0b", "./a\nb",
            "./gr\udcfcn", "DEBIAN/control",
        ],
    )
    | st.sampled_from([f"./{name}" for name in fuzzing.FILES])
    | st.sampled_from(["./control", "./" + "d/" * 3000, "./bin/x" * 2])
)
MEMBERS = st.tuples(
    st.fixed_dictionaries(
        {"name": MEMBER_NAMES},
        optional={
            "type": st.sampled_from(
                [b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"V", b"Z"]
            ),
            "linkname": MEMBER_NAMES,
            "mode": st.sampled_from([0, 0o755, 0o4755, 0o7777777]),
            "size": st.sampled_from([0, 1, 512, 2**20, 2**33, 2**33 + 1, 2**62, -1]),
            "pax_headers": st.dictionaries(
                st.sampled_from(
                    ["path", "size", "linkpath", "GNU.sparse.major", "GNU.sparse.map", "mtime", "hdrcharset"]
                ),
                st.sampled_from(["", "0", "-1", "1", "9" * 30, "x", "../x", "1,2,3", "BINARY"]),
                max_size=3,
            ),
        },
    ),
    st.sampled_from(
        [b"", b"x", b"Package: x\n", b"x" * 600, b"1\n2\n" * 200, b"20 path=../../x\n", b"99 size=9\n"]
    ),
)
TARS = st.builds(
    tar,
    st.lists(MEMBERS, max_size=5),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]),
)
CONTROL_TAR = tar([({"name": "./control"}, fuzzing.CONTROL)])
FILES_TAR = tar([({"name": f"./{name}"}, data) for name, data in fuzzing.FILES.items()])
TAR_WORDS = (
    b"\0", b"\x80", b"\xff" * 12, b"77777777777\0", b"-1", b"x", b"L", b"../", b"ustar", b"\0" * 512,
    b"\0" * 1024,
)
HEADERS = st.sampled_from([*range(0, 512, 4), 124, 135, 136, 156, 157, 345]) | ANYWHERE
DAMAGED_TARS = damaged([FILES_TAR], HEADERS, TAR_WORDS)
AR_WORDS = (
    b"!<arch>\n", b"debian-binary", b"control.tar", b"data.tar.xz", b"_gpgorigin", b"`\n", b"9" * 10, b"-1",
    b"3.0\n", b"\n",
)
PACKAGES = (
    st.deferred(lambda: damaged(fuzzing.debs(), st.integers(0, 260) | ANYWHERE, AR_WORDS))
    | st.builds(fuzzing.deb, st.just(CONTROL_TAR), TARS | DAMAGED_TARS | DAMAGED_TARS.map(corrected))
    | st.builds(
        fuzzing.deb, TARS | damaged([CONTROL_TAR], HEADERS, TAR_WORDS).map(corrected), st.just(FILES_TAR)
    )
    | st.permutations(
        [(b"debian-binary", b"2.0\n"), (b"control.tar", CONTROL_TAR), (b"data.tar", FILES_TAR)]
    ).map(fuzzing.ar)
)
# fmt: on


@campaign(PACKAGES, examples=100)
def test_a_package_is_a_tree_or_an_error(data: bytes) -> None:
    """Its paths are inside of it, where its links lead as well, and its walk says the same as its entries."""
    with tempfile.TemporaryDirectory() as folder, known_errors():
        path = Path(folder) / "x.deb"
        path.write_bytes(data)
        tree = read_deb(path)
        for entry in tree:
            assert is_inside(entry.path)
            assert is_inside(tree.resolve(entry.path))
            assert 0 <= entry.mode <= 0o7777
            assert entry.size >= 0
            entry.load()
        for entry in tree.walk():
            assert entry.path in tree
            assert len(entry.load()) == entry.size or entry.target


PARTS = st.sampled_from(
    ["a", "b", "..", ".", "", "/", "//", "/a", "a/b", "../..", "a/" * 3000, "../" * 40, "\0"]
)
PATHS = st.lists(PARTS, max_size=5).map("/".join)
# A tree made of names has every folder above them, which takes the square of their depth.
NAMES = st.lists(PARTS.filter(lambda part: len(part) < 200), max_size=5).map("/".join)


@campaign(st.tuples(st.dictionaries(NAMES, PATHS, max_size=6), PATHS), examples=300)
def test_links_lead_nowhere_out_of_the_tree(case: tuple[dict[str, str], str]) -> None:
    """Nor in circles for long."""
    links, path = case
    tree = Tree.from_files({}, links={name.lstrip("/"): target for name, target in links.items()})
    for asked in (path, *links):
        assert is_inside(tree.resolve(PurePosixPath(asked.lstrip("/"))))


# --- Requirements

# fmt: off
LINES = (
    b"# a comment\nrequests==2.31.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb  # why\n",
    b"-r other.txt\n--index-url https://x.example/simple\n-c constraints.txt\n",
    b"a[b,c] @ https://x.example/a-1.whl ; python_version < '3.12' and extra == 'd'\n./folder\nx-1.tar.gz\n",
    b"-e .\n",
)
LINE_WORDS = (
    b"\n", b"\r", b"\\\n", b"\\", b"#", b" #", b" ;", b" --hash=", b"'", b'"', b"\0", b"\xff",
    b"\xef\xbb\xbf", "ü".encode(), b"\x0c",
    b"-r in.txt\n", b"-r other.txt\n-r other.txt\n", b"-r .\n", b"-r \0\n", b"-r " + b"x" * 300 + b"\n",
    b"-r /dev/null/x\n",
    b"-r loop.txt\n", b"--requirement=", b"-r https://x.example/r.txt\n", b"-r ''\n",
    b"x; os_name ~= '1'\n",
    b"x; python_version ~= 'x'\n", b"x; '' in extras\n", b"x; extra == ''\n", b"x===\n", b"x @ \n",
    b"x @ file:///\n",
    b"x==" + b"1" * 5000 + b"\n", b"x; " + b"(" * DEEP + b"os_name == 'x'" + b")" * DEEP + b"\n",
    b"x; " + b"os_name == 'x' and " * 500 + b"os_name == 'y'\n", b" " * DEEP, b"x" * DEEP,
)
REQUIREMENTS = damaged(LINES, ANYWHERE, LINE_WORDS)
# fmt: on


@campaign(st.tuples(REQUIREMENTS, REQUIREMENTS), examples=300)
@example((b"-r \0\n", b""))
@example((b"-r loop.txt\n", b""))
@example((b"x; os_name ~= '1'\n", b"y\n"))
@example((b"x; 'a' in extras\n", b"y\n"))
@example((b"x; python_full_version == '" + b"1" * 5000 + b"'\n", b""))
@example((b"x; " + b"(" * DEEP + b"os_name == 'x'" + b")" * DEEP + b"\n", b""))
@example((b"x" + b" " * 10 * DEEP + b"y\n", b""))
def test_any_requirements_are_pins_or_an_error(case: tuple[bytes, bytes]) -> None:
    """Each pin says whether it is meant, and is written as a line."""
    with tempfile.TemporaryDirectory() as name, known_errors():
        folder = Path(name)
        for file, data in zip(("in.txt", "other.txt"), case, strict=True):
            (folder / file).write_bytes(data)
        (folder / "loop.txt").symlink_to("loop.txt")
        found = read_requirements((folder / "in.txt",))
        assert isinstance(found.hashed, bool)
        assert all(found.names)
        for pin in found.pins:
            assert pin.line in quote_hashes(pin)
            pin.applies(ENVIRONMENT)


def test_files_that_include_each_other_twice_are_read_soon(tmp_path: Path) -> None:
    """Thirty of them would be read a thousand million times."""
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n-r {number + 1}.txt\nx{number}\n")
    (tmp_path / "30.txt").write_text("y\n")
    with fuzzing.limits():
        found = read_requirements((tmp_path / "0.txt",))
    assert found.names == {"y", *(f"x{number}" for number in range(30))}


@campaign(
    TEXT
    | st.lists(st.sampled_from(LINE_WORDS) | st.binary(max_size=3), max_size=4).map(
        lambda parts: b"".join(parts).decode("utf-8", "replace")
    ),
    examples=200,
)
def test_any_line_is_a_pin_or_an_error(line: str) -> None:
    """Groups and the key preinstall have lines that no file has."""
    with known_errors():
        parse_pin(line, "here").applies(ENVIRONMENT)


GROUP_NAMES = st.sampled_from(["a", "A", "b", "c", "d", ""])
GROUPS = st.dictionaries(
    GROUP_NAMES,
    st.lists(
        TEXT | GROUP_NAMES.map(lambda name: {"include-group": name}) | st.integers() | st.booleans(),
        max_size=4,
    )
    | TEXT,
    max_size=5,
)


@campaign(st.tuples(GROUPS, st.lists(GROUP_NAMES, max_size=3).map(tuple)), examples=200)
@example(({str(n): [{"include-group": str(n + 1)}] * 2 for n in range(40)} | {"40": ["x"]}, ("0",)))
@example(({str(n): [{"include-group": str(n + 1)}] for n in range(2000)} | {"2000": ["x"]}, ("0",)))
def test_any_groups_are_requirements_or_an_error(case: tuple[dict[str, Any], tuple[str, ...]]) -> None:
    """However deep they include each other."""
    with known_errors():
        resolve_groups(*case)


# --- Configuration

# fmt: off
WORDS = (
    TEXT
    | st.sampled_from(
        [
            "", ".", "..", "/", "/opt/x", "//opt", "all", "a" * 300, "\0", "x (>= 1)", "a | b", "a,b", "'",
            "not-a-folder", "pyproject.toml",
        ],
    )
    | st.sampled_from(
        [
            "Recommends", "system", "uv", "auto", "zstd", "build", "code", "path", "reason", "tests",
            "a [b] <c>",
        ]
    )
)
VALUES = fuzzing.toml_values(WORDS)
TABLES = st.dictionaries(
    st.sampled_from([key.name for key in KEYS]) | st.sampled_from(["packages", "pyhton"]), VALUES, max_size=3
)
RECORD_LISTS = st.lists(
    st.dictionaries(st.sampled_from(["code", "path", "reason", "x"]), VALUES, max_size=4), max_size=2
)
SINGLE = (
    st.sampled_from(KEYS)
    .flatmap(lambda key: st.tuples(st.just(key.name), VALUES))
    .map(lambda pair: dict([pair]))
)
PROJECTS = st.dictionaries(st.just("requires-python"), WORDS | st.sampled_from([">=3.11", "==" + "1" * 5000]))
PYPROJECTS = st.builds(
    lambda **tables: "".join(f"{name.replace('_', '-')} = {toml(table)}\n" for name, table in tables.items()),
    project=VALUES | PROJECTS,
    dependency_groups=VALUES | GROUPS,
    tool=VALUES
    | st.builds(lambda table: {"venvpkg": table}, TABLES | SINGLE | VALUES)
    | st.builds(lambda records: {"venvpkg": {"accept": records}}, RECORD_LISTS),
).map(str.encode)
TOML_WORDS = (
    b"\n", b"[", b"]", b"[[", b"]]", b"=", b'"', b"'''", b'"""', b"\\u0000", b"\0", b"\xff", b"{", b"}",
    b",", b".", b"#",
    b"[tool.venvpkg]\n", b"[packages.myapp]\n", b"1979-05-27T07:32:00", b"1e9999", b"a = 1\n",
    b"tool.venvpkg = 1\n",
    b"a = " + b"[" * DEEP, b"a = " + b"1" * 5000, b"a = " + b"{a=" * DEEP, b"a." * DEEP,
    b"[" + b"a." * DEEP + b"b]\n",
)
TOML_FILES = damaged(
    (
        b'[project]\nrequires-python = ">=3.11"\n[dependency-groups]\nx = ["y"]\n[tool.venvpkg]\n'
        b'accept = [{code = "V001", path = "*", reason = "x"}]\nexpose = ["app"]\n'
        b'[tool.venvpkg.packages.myapp]\nhermetic = true\n',
    ),
    ANYWHERE,
    TOML_WORDS,
)
# fmt: on


@campaign(st.tuples(PYPROJECTS | TOML_FILES, st.none() | TOML_FILES), examples=400)
@example((b"a = " + b"[" * DEEP, None))
@example((b"a = " + b"1" * 5000, None))
@example((b'[tool.venvpkg]\nproject = "pyproject.toml"\n', None))
@example((b'[tool.venvpkg]\nproject = "' + b"a" * 300 + b'"\n', None))
@example((b'[tool.venvpkg]\nproject = "\\u0000"\n', None))
def test_any_configuration_is_a_spec_or_an_error(case: tuple[bytes, bytes | None]) -> None:
    """Any value for any key, and files that are hardly TOML."""
    with tempfile.TemporaryDirectory() as name, known_errors():
        source = Path(name)
        (source / "debian").mkdir()
        (source / "pyproject.toml").write_bytes(case[0])
        if case[1] is not None:
            (source / "debian" / "venvpkg.toml").write_bytes(case[1])
        spec = read_configuration(source).spec("myapp", {}, {})
        assert spec.prefix.is_absolute()
        assert ".." not in spec.prefix.parts
        resolve_groups(spec.dependency_groups, spec.groups)


NAMED = [key for key in KEYS if key.has_option]
GIVEN = st.dictionaries(
    st.sampled_from([key.name for key in NAMED]), st.lists(WORDS, min_size=1, max_size=3), max_size=3
)
VARIABLES = st.dictionaries(
    st.sampled_from([key.variable for key in NAMED]) | st.sampled_from(["DH_VENVPKG_PYHTON", "HOME"]),
    WORDS,
    max_size=3,
)


@campaign(st.tuples(GIVEN, VARIABLES), examples=200)
def test_any_variables_and_options_are_a_spec_or_an_error(
    case: tuple[Mapping[str, list[str]], dict[str, str]],
) -> None:
    """Words of a shell that may not be closed, and kinds of values that they do not fit."""
    with tempfile.TemporaryDirectory() as name, known_errors():
        options, variables = read_options(case[0]), read_variables(case[1])
        read_configuration(Path(name)).spec("myapp", variables, options)


# --- Control files

# fmt: off
CONTROLS = (
    b"Source: myapp\nBuild-Depends: debhelper-compat (= 13), a | b [amd64] <!nocheck>,\n\n# comment\n"
    b"Package: myapp\n"
    b"Architecture: any\nDepends: ${misc:Depends}\nDescription: x\n y\n .\n z\n",
)
CONTROL_WORDS = (
    b"\n", b"\n\n", b":", b" ", b"\t", b"\r", b"\0", b"\xff", b"#", b"Source:", b"Package: x\n",
    b"-----BEGIN PGP SIGNED MESSAGE-----\n",
    b"-----BEGIN PGP SIGNATURE-----\n", b"-----END PGP SIGNATURE-----\n", b"(", b"|", b",", b"<", b"[",
    b"${", b" .\n", "ü".encode(),
)
CHANGELOGS = (
    b"myapp (1:2.0-1) unstable; urgency=low\n\n  * x\n\n"
    b" -- A <a@b.example>  Mon, 01 Jan 2024 00:00:00 +0000\n",
)
CHANGELOG_WORDS = (
    b"\n", b" ", b"(", b")", b";", b"=", b" --", b"  ", b"\0", b"\xff", b"~", b":", b"-",
    b"myapp () unstable;\n", b"vim: x\n",
)
# fmt: on


@campaign(
    st.tuples(damaged(CONTROLS, ANYWHERE, CONTROL_WORDS), damaged(CHANGELOGS, ANYWHERE, CHANGELOG_WORDS)),
    examples=300,
)
def test_any_control_file_and_changelog_are_read_or_an_error(case: tuple[bytes, bytes]) -> None:
    """Each alone, and relations whatever they are."""
    with tempfile.TemporaryDirectory() as name:
        for read, data in zip((read_control, read_upstream_version), case, strict=True):
            path = Path(name) / "file"
            path.write_bytes(data)
            with known_errors():
                found = read(path)  # type: ignore[operator]
                if read is read_control:
                    relation_names(found.build_depends)


RELATIONS = st.lists(
    st.sampled_from(
        [
            "a",
            "b2",
            "|",
            ",",
            "(",
            ")",
            ">=",
            "1:2~3",
            "[",
            "]",
            "<",
            ">",
            "!",
            ":any",
            "${x}",
            " ",
            "\n",
            "\0",
            "ü",
        ]
    ),
    max_size=12,
)


@pytest.mark.filterwarnings("ignore:cannot parse package relationship")
@campaign(RELATIONS.map("".join), examples=300)
def test_any_relations_have_names(relations: str) -> None:
    """What can't be parsed is the name of something that there is not, and may be empty."""
    assert all(
        clause and all(isinstance(name, str) for name in clause) for clause in relation_names(relations)
    )


# --- Scripts


@campaign(SCRIPTS, examples=300)
def test_any_first_lines_name_programs_or_none(head: bytes) -> None:
    """Two at most, with a whole path each."""
    found = interpreters(head)
    assert len(found) <= 2
    assert all(program_path(name).is_absolute() for name in found)


# --- Credentials

# Nothing around a password has a q, so that no part of one is there by chance.
PASSWORDS = st.builds(
    lambda parts: f"q{'q'.join(parts)}q",
    st.lists(
        st.text(st.sampled_from("1Z_-.~!$&()*+,;=@:%^"), min_size=4, max_size=12), min_size=2, max_size=3
    )
    | st.just(["@ssw0rd", "@"]),
)
HOLDING = st.sampled_from(
    [
        *("https://user:{0}@host.example/x", "see https://:{0}@[::1]:80/, or not", "'x+ssh://u:{0}@h'"),
        *("https://u:{0}@h?mail=a@b", "https://u:{0}@h/a@b and c@d", "a://{0}:{0}@h"),
    ]
)
URLS = st.builds(str.format, HOLDING, PASSWORDS) | TEXT
SECRET_WORDS = (
    *(b"://", b"@", b":", b"https://", b"/", b"\n", b" ", b"\0", b"\xff", b"a" * 300, b"https://u:...@h/"),
    *(b"-----BEGIN ", b"PRIVATE KEY-----", b"-----BEGIN OPENSSH PRIVATE KEY-----", b"PuTTY-User-Key-File-2"),
    *(b"aa://b:c" * DEEP, b"@x" * DEEP, b"-----BEGIN A " * DEEP),
)
SECRET_PLACES = st.sampled_from(
    [
        *("opt/x/a.py", "opt/x/.netrc", "opt/x/tests/k.pem", "k.key"),
        *("opt/x-1.dist-info/direct_url.json", "opt/x-1.dist-info/METADATA"),
    ]
).map(PurePosixPath)
SECRET_FILES = damaged(
    [b"https://user:password@h.example/\n", b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64],
    ANYWHERE,
    SECRET_WORDS,
)
NETRCS = damaged(
    [b"machine h login u password secret-word\ndefault login a password another-word\nmacdef x\n y\n\n"],
    ANYWHERE,
    (
        *(b"\n", b"#", b'"', b"\\", b"\xff", b"\0", b"machine ", b"password", b"login\n", b"macdef"),
        *(b"default ", b"account x"),
    ),
)
SECRET_VARIABLES = st.dictionaries(
    st.sampled_from(
        ["PIP_INDEX_URL", "UV_INDEX_X_PASSWORD", "TOKEN", "GITHUB_TOKEN", "DH_VENVPKG_INDEX_URL"]
    ),
    URLS | st.binary(max_size=30).map(os.fsdecode),
    max_size=4,
)


@campaign(
    st.tuples(
        SECRET_PLACES,
        PASSWORDS,
        HOLDING,
        damaged([b"text\n"], ANYWHERE, SECRET_WORDS),
        st.booleans(),
        st.booleans(),
    ),
    examples=200,
)
@example((PurePosixPath("a"), "qfirst@second-halfq", "https://user:{0}@host.example/", b"", True, False))
@example((PurePosixPath("a"), "q@ssw0rdq", "https://user:{0}@host.example/", b"", True, False))
def test_what_a_file_gives_away_is_not_repeated(
    case: tuple[PurePosixPath, str, str, bytes, bool, bool],
) -> None:
    """Neither a password nor a part of it; and what is known is told wherever it stands."""
    path, password, holding, around, own, known = case
    data = around + b"\n" + holding.format(password).encode() + b"\n" + around
    told = list(find_secrets(path, data, own=own, known=[password.encode()] if known else []))
    assert not any("q" in what for what in told)
    assert told or not known


@campaign(st.tuples(SECRET_PLACES, SECRET_FILES, st.booleans()), examples=200)
def test_any_file_is_searched_for_secrets(case: tuple[PurePosixPath, bytes, bool]) -> None:
    """Soon, and what is told of it can be shown on a terminal."""
    path, data, own = case
    assert all(what.isprintable() for what in find_secrets(path, data, own=own))


@campaign(st.tuples(NETRCS, SECRET_VARIABLES, st.lists(URLS, max_size=2)), examples=150)
@example((b"", {"PIP_INDEX_URL": "https://u:gr\udcfcn-geheim@h/"}, ["\udcfc"]))
def test_any_environment_has_secrets_or_none(case: tuple[bytes, dict[str, str], list[str]]) -> None:
    """None is so short that it would be found in any text."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, ".netrc").write_bytes(case[0])
        assert all(len(secret) >= 8 for secret in known_secrets({**case[1], "HOME": home}, case[2]))


@campaign(PASSWORDS, examples=150)
@example("qgr\udcfcn-geheimq")
def test_the_password_of_an_index_is_known(case: str) -> None:
    """As it is written, and as it is meant."""
    for written in (case, quote(os.fsencode(case), safe="")):
        known = known_secrets({"PIP_INDEX_URL": f"https://u:{written}@h.example/simple"}, ())
        assert {os.fsencode(written), unquote_to_bytes(os.fsencode(written))} <= set(known)
