"""What the property tests are made of: specimens, mutations, limits, and campaigns of two lengths."""

from __future__ import annotations

import functools
import io
import json
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objects import compile_objects
from pythons import Python, find_pythons

# How many times as many cases a long campaign tries.
LONG = 100
# What one case may take; each takes some milliseconds, but this machine may have much else to do.
SECONDS = 10
MEMORY = 1024**3

BUILD = "/build/a place/app"
FINAL = "/opt/venvs/app"


# --- Campaigns


def campaign(strategy: st.SearchStrategy[Any], *, examples: int) -> Callable[..., Callable[..., None]]:
    """Make a test of a property: the same cases at every run, and in a long campaign always other ones."""

    def decorate(check: Callable[[Any], None]) -> Callable[..., None]:
        @functools.wraps(check)
        def limited(case: Any) -> None:
            with limits():
                check(case)

        # Hypothesis would call it with the name that the property has for its case.
        del limited.__wrapped__  # type: ignore[attr-defined]
        common = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
        short = settings(max_examples=examples, derandomize=True, **common)(given(strategy)(limited))
        long = settings(max_examples=LONG * examples, **common)(given(strategy)(limited))

        def test(run: Callable[[], None]) -> None:
            run()

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        runs = [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.full)]
        return pytest.mark.parametrize("run", runs)(test)

    return decorate


@contextmanager
def limits() -> Iterator[None]:
    """Fail what takes too long, and let what takes too much memory have none."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# --- Mutations

Mutation = Callable[[bytes], bytes]
NUMBERS = (0, 1, 2, 4, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def overwrite(place: int, data: bytes) -> Mutation:
    """Put other bytes in the place of some."""
    return lambda old: old[: place % (len(old) + 1)] + data + old[place % (len(old) + 1) + len(data) :]


def insert(place: int, data: bytes) -> Mutation:
    """Put bytes between others."""
    return lambda old: old[: place % (len(old) + 1)] + data + old[place % (len(old) + 1) :]


def cut(place: int, length: int) -> Mutation:
    """Take bytes out."""
    return lambda old: old[: place % (len(old) + 1)] + old[place % (len(old) + 1) + length :]


def repeat(place: int, length: int, times: int) -> Mutation:
    """Have some bytes several times."""

    def change(old: bytes) -> bytes:
        at = place % (len(old) + 1)
        return old[:at] + old[at : at + length] * times + old[at + length :]

    return change


def truncate(place: int) -> Mutation:
    """Leave out the end."""
    return lambda old: old[: place % (len(old) + 1)]


def mutations(
    places: st.SearchStrategy[int], tokens: Sequence[bytes] = (), most: int = 5
) -> st.SearchStrategy[list[Mutation]]:
    """Damage that somebody who knows the format would do, at places that may be sought out."""
    words = st.sampled_from(tokens) if tokens else st.binary(min_size=1, max_size=8)
    numbers = st.builds(
        lambda number, size, order: (number % 256**size).to_bytes(size, order),
        st.sampled_from(NUMBERS),
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from(["little", "little", "big"]),
    )
    spans = st.sampled_from([1, 2, 4, 8, 16, 56, 64, 512, 1024])
    one = (
        st.builds(overwrite, places, numbers)
        | st.builds(overwrite, places, words)
        | st.builds(overwrite, places, st.binary(min_size=1, max_size=4))
        | st.builds(insert, places, words)
        | st.builds(cut, places, spans)
        | st.builds(repeat, places, spans, st.sampled_from([2, 3, 300]))
        | st.builds(truncate, places)
    )
    return st.lists(one, max_size=most)


def damaged(
    specimens: Sequence[bytes], places: st.SearchStrategy[int], tokens: Sequence[bytes] = ()
) -> st.SearchStrategy[bytes]:
    """A whole specimen, or one with some mutations."""
    changes = mutations(places, tokens)
    return st.builds(
        lambda data, some: functools.reduce(lambda d, change: change(d), some, data),
        st.sampled_from(specimens),
        changes,
    )


ANYWHERE = st.integers(0, 300) | st.integers(0, 2**20)


# --- Bytecode

SOURCE = f"""\
'''Lives in {BUILD}/share, or at z={BUILD}.'''
PLACE, NEIGHBOUR = "{BUILD}/etc/conf", "{BUILD}2"
BYTES, UMLAUT = b"{BUILD}/x", "{BUILD}/gr\\u00fcn"
NUMBERS = (1, -1, 2**70, -2**70, 1.5, 2j, None, True, ..., frozenset({{"a", "{BUILD}/b"}}))
LONG = "{BUILD}/{"y" * 300}"
def f(a, *, key="{BUILD}/default"):
    return lambda: [PLACE, key, a, 10**20, {{"x": b"y"}}]
"""

# Writes a module as a .pyc to standard output.
WRITE = """
import importlib.util, marshal, sys
code = compile(sys.stdin.read(), sys.argv[1] + "/lib/m.py", "exec")
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))
"""

# Answers, for two .pyc files, what the first one holds but for the path, and whether the second one holds it.
LOAD = """
import marshal, re, struct, sys
build, final = sys.argv[1:3]
sys.setrecursionlimit(400)

FIELDS = ["co_" + name for name in (
    "argcount cellvars consts filename firstlineno flags freevars kwonlyargcount name names nlocals "
    "posonlyargcount qualname stacksize varnames"
).split()]

class TooMuch(Exception):
    pass

def describe(item, rename, left):
    left[0] -= 1
    if left[0] < 0:
        raise TooMuch
    inner = lambda value: describe(value, rename, left)
    if isinstance(item, str):
        pattern = re.escape(build) + r"(?![A-Za-z0-9_.+~\\x80-\\U0010ffff-])"
        return rename and re.sub(pattern, final, item) or item
    if isinstance(item, bytes):
        pattern = re.escape(build).encode() + rb"(?![A-Za-z0-9_.+~\\x80-\\xff-])"
        return rename and re.sub(pattern, final.encode(), item) or item
    if isinstance(item, (tuple, list)):
        return [type(item).__name__, *map(inner, item)]
    if isinstance(item, (set, frozenset)):
        return [type(item).__name__, *sorted(map(inner, item), key=repr)]
    if isinstance(item, dict):
        return ["dict", *([inner(key), inner(value)] for key, value in item.items())]
    if hasattr(item, "co_code"):
        # Not what is no string in a whole file: instructions, and what Python makes of them.
        return ["code", *(inner(getattr(item, name, None)) for name in FIELDS)]
    return repr(item)

def read(stream):
    return stream.read(struct.unpack("<I", stream.read(4))[0])

while True:
    try:
        one, other = read(sys.stdin.buffer), read(sys.stdin.buffer)
    except struct.error:
        break
    try:
        wanted = describe(marshal.loads(one[16:]), True, [5000])
    except BaseException:
        answer = "damaged before"
    else:
        try:
            found = describe(marshal.loads(other[16:]), False, [5000])
            answer = "same" if repr(found) == repr(wanted) else "other"
        except BaseException as error:
            answer = "damaged since: %r" % error
    print(answer, flush=True)
"""


@functools.cache
def pythons() -> tuple[Python, ...]:
    """Return the Pythons of this machine."""
    return find_pythons()


@functools.cache
def bytecode(python: Python) -> bytes:
    """Return the .pyc of a module that speaks of the build path in every way."""
    words = [str(python.path), "-I", "-c", WRITE, BUILD]
    return subprocess.run(words, input=SOURCE.encode(), capture_output=True, check=True).stdout


class Loader:
    """A Python that loads bytecode, damaged bytecode too, which may end it."""

    def __init__(self, python: Python) -> None:
        self._words = [str(python.path), "-I", "-S", "-c", LOAD, BUILD, FINAL]
        self._child: subprocess.Popen[bytes] | None = None

    def compare(self, before: bytes, since: bytes) -> str:
        """Tell what became of bytecode: "same", "damaged before", or what is wrong with it since."""
        if self._child is None:
            self._child = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdin
        assert self._child.stdout
        sent = b"".join(struct.pack("<I", len(data)) + data for data in (before, since))
        self._child.stdin.write(sent)
        self._child.stdin.flush()
        answer = self._child.stdout.readline().decode().strip()
        if not answer:
            self.close()
        return answer or "damaged before"

    def close(self) -> None:
        """End the Python."""
        if self._child is not None:
            self._child.communicate()
            self._child = None


loader = functools.cache(Loader)


# --- ELF files


@functools.cache
def elves() -> tuple[bytes, ...]:
    """Return tiny ELF files of gcc's, or the running Python's where there is no gcc."""
    if not shutil.which("gcc"):
        return (Path(sys.executable).resolve().read_bytes(),)
    with tempfile.TemporaryDirectory() as folder:
        objects = compile_objects(Path(folder))
        return tuple(objects[name] for name in ("runpath.so", "rpath.so", "strings.so", "program"))


def elf_places() -> st.SearchStrategy[int]:
    """Places in the ELF header, in program headers, in dynamic sections, in the first section; and others."""
    fields = {16, 18, 24, 32, 40, 52, 54, 56, 58, 60, 62, *range(64, 64 + 56 * 14, 4)}
    for data in elves():
        for at in range(64, 64 + 56 * data[56], 56):
            kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, at)
            if kind == 2:
                fields |= set(range(offset, offset + min(size, 320), 8))
        fields |= set(range(struct.unpack_from("<Q", data, 40)[0], len(data), 8))
    return st.sampled_from(sorted(fields)) | ANYWHERE


# --- Debian packages

CONTROL = b"Package: myapp\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.example>\nDescription: x\n"
FILES = {
    "opt/venvs/app/pyvenv.cfg": b"home = /usr/bin\n",
    "opt/venvs/app/bin/app": b"#!/opt/venvs/app/bin/python\n",
    "opt/venvs/app/lib/python3.11/site-packages/x.py": b"x = 1\n",
    "opt/venvs/app/lib/python3.11/site-packages/x-1.dist-info/METADATA": b"Name: x\nVersion: 1\n",
    "opt/venvs/app/lib/python3.11/site-packages/x-1.dist-info/RECORD": b"x.py,,\nx-1.dist-info/RECORD,,\n",
    "opt/venvs/app/share/" + "long/" * 30 + "name": b"",
}


@functools.cache
def debs() -> tuple[bytes, ...]:
    """Return a package that dpkg-deb made, uncompressed and compressed."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "root"
        for path, data in {"DEBIAN/control": CONTROL, **FILES}.items():
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_bytes(data)
        (top / "opt/venvs/app/bin/python").symlink_to("/usr/bin/python3")
        made = []
        for compression in ("none", "gzip", "xz"):
            deb = Path(name) / f"{compression}.deb"
            words = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(top), str(deb)]
            subprocess.run(words, check=True, capture_output=True)
            made.append(deb.read_bytes())
        return tuple(made)


def ar(members: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return an archive as dpkg-deb reads it (deb(5))."""
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o100644, len(data)) + data)
        parts.append(b"\n" * (len(data) % 2))
    return b"".join(parts)


def deb(control: bytes, files: bytes) -> bytes:
    """Return a package of two tar archives."""
    return ar([(b"debian-binary", b"2.0\n"), (b"control.tar", control), (b"data.tar", files)])


def tar(members: Sequence[tuple[Mapping[str, Any], bytes]], layout: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive of members whose attributes may be any."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout, encoding="utf-8") as archive:
        for attributes, data in members:
            member = tarfile.TarInfo()
            for name, value in attributes.items():
                setattr(member, name, value)
            member.size = attributes.get("size", len(data))
            try:
                header = member.tobuf(layout, "utf-8", "surrogateescape")
            except (ValueError, struct.error):
                continue
            assert archive.fileobj
            archive.fileobj.write(header + data + b"\0" * (-len(data) % 512))
    return out.getvalue()


def corrected(archive: bytes) -> bytes:
    """Return a tar archive in which each block that looks like a header has the checksum of one."""
    out = bytearray(archive)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


# --- TOML


def toml(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return value.isoformat() if isinstance(value, datetime) else repr(value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def toml_values(words: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any value that TOML has."""
    leaves = st.booleans() | st.integers() | st.floats() | words
    leaves |= st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1) - timedelta(1))
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=6,
    )
