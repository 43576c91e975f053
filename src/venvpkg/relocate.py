"""Rewrite every path to the final prefix: bytes in, bytes out."""

import base64
import hashlib
import json
import os
import re
import shlex
import struct
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import quote

from venvpkg.digests import Digests
from venvpkg.distributions import Distribution, Row, find_folders, format_record, locate, read_record
from venvpkg.plan import Move
from venvpkg.tree import WINDOW, Entry, Tree

# The kernel reads 256 bytes since Linux 5.1 and 128 before; pip and uv stay under the older limit.
LONGEST_SHEBANG = 127
# A path goes on with one of these; "/b/app" must not match inside "/b/app2".
GOES_ON = rb"(?![A-Za-z0-9_.+~\x80-\xff-])"
WRAPPER = re.compile(
    rb"""\#!\ ?/bin/sh\n
    '''exec'\ (?P<program>"\$\(dirname[^\n]*?/'?[\w.]+'?|"[^"\n]*"|'[^'\n]*'|[^\s"']+)
    (?P<flags>(?:\ -\w+)*)\ "\$0"\ "\$@"\n
    '\ '''\n""",
    re.VERBOSE,
)
# Nothing is taken back once it matched, or a first line without an end takes the square of its length.
PLAIN = re.compile(rb"#![ \t]*+(?P<program>\"[^\"\n]*+\"|\S++)[ \t]*+(?P<flags>[^\n]*+)\n")


# A crate in a folder, as Cargo identifies it (cargo-pkgid(1)).
CRATE = re.compile(rb"path\+file://(/[^\"#?\s]*)")
# What RECORD may use (PEP 376, PEP 427), and this machine computes.
HASHES = frozenset(name for name in hashlib.algorithms_available if not name.startswith("shake"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change to a tree."""

    path: PurePosixPath
    data: bytes | None = None
    """New content of a file."""
    target: str | None = None
    """New target of a symbolic link; with neither content nor target the entry is removed."""


def relocate(tree: Tree, *moves: Move, hermetic: bool = False) -> Iterator[Edit]:
    """Yield the edits that make a tree, built at each ``move.build``, right for ``move.final``.

    Args:
        tree: the environment, with paths relative to its prefix.
        moves: from where to where, one after the other.
        hermetic: start Python with ``-I`` in scripts.
    """
    for entry in tree:
        yield from _relocate_entry(entry, moves, hermetic)


def _relocate_entry(entry: Entry, moves: Iterable[Move], hermetic: bool) -> Iterator[Edit]:
    if entry.kind == "symlink":
        written = target = entry.target.encode(errors="surrogateescape")
        for move in moves:
            target = relocate_text(target, move)
        if target != written:
            yield Edit(path=entry.path, target=target.decode(errors="surrogateescape"))
    elif entry.kind == "file":
        if entry.size > WINDOW and not _names(entry, moves):
            return
        data = moved = entry.load()
        if entry.path.name == "direct_url.json" and names_local_folder(data):
            yield Edit(path=entry.path)
            return
        executable = bool(entry.mode & 0o111)
        for move in moves:
            if executable and entry.path.parts[0] == "bin":
                moved = name_python(moved, move)
            moved = relocate_bytes(moved, move, hermetic=hermetic, executable=executable)
        if moved is not data and moved != data:
            yield Edit(path=entry.path, data=moved)


def _names(entry: Entry, moves: Iterable[Move]) -> bool:
    """Tell whether a large file has to be looked at as a whole: a script, or one that names a place."""
    builds = [build for move in moves for build, _ in spellings(move)]
    return entry.head(2) == b"#!" or any(build in data for data in entry.windows() for build in builds)


def relocate_bytes(data: bytes, move: Move, *, hermetic: bool = False, executable: bool = False) -> bytes:
    """Return a file's bytes for the final prefix, by what kind of file they are."""
    script = executable and data.startswith(b"#!")
    if not script and not any(build in data for build, _ in spellings(move)):
        return data
    if data.startswith(b"\x7fELF"):
        return relocate_c_strings(data, move)
    if b"\0" in data[:1024] or b"\0" in data:
        return relocate_pyc(data, move) if data[2:4] == b"\r\n" else data
    moved = relocate_text(data, move)
    return relocate_shebang(moved, move, hermetic=hermetic) if script else moved


def name_python(data: bytes, move: Move) -> bytes:
    """Give a program that asks for any Python (``#!/usr/bin/env python3``) the environment's.

    Installers write the first line of the scripts of wheels only where it is ``#!python``; the others
    would run on whatever is first on PATH, without the environment's modules.
    """
    found = re.match(rb"#![ \t]*(?:/usr/bin/env[ \t]+)?(python3?)[ \t]*\n", data)
    program = os.fsencode(move.final / "bin") + b"/" + found[1] if found else b""
    return shebang(program, b"") + data[found.end() :] if found else data


@lru_cache(maxsize=8)
def spellings(move: Move) -> tuple[tuple[bytes, bytes], ...]:
    """Return the ways in which a path may be written, each beside the final path in the same way."""
    build, final = str(move.build), str(move.final)
    # A quoted whole path loses its quotes with its blanks, so that the folder of the build does not show.
    ways = [(shlex.quote(build), shlex.quote(final))] if shlex.quote(build) != build else []
    ways += [(build, final), (_quote(build), _quote(final))]
    # Activators quote for their shell: sh closes and opens the quote, fish and csh put a backslash.
    ways += [(shlex.quote(build)[1:-1], final)] if shlex.quote(build) != build else []
    ways += [(re.sub(r"([\\' ])", r"\\\1", build), final), (json.dumps(build)[1:-1], json.dumps(final)[1:-1])]
    ways += [(build.replace("'", r"'\''"), final), (ascii(build)[1:-1], ascii(final)[1:-1])]
    # A name that is not UTF-8 stands as it is in text; marshal writes the surrogates that Python makes of it.
    return tuple(
        dict.fromkeys(
            (b.encode(errors=errors), f.encode(errors=errors))
            for errors in ("surrogateescape", "surrogatepass")
            for b, f in ways
        )
    )


def _quote(path: str) -> str:
    return quote(path, errors="surrogateescape")


def relocate_text(data: bytes, move: Move) -> bytes:
    """Replace the build path wherever it stands as a whole path or at the beginning of one."""
    for build, final in spellings(move):
        if build in data:
            data = re.sub(re.escape(build) + GOES_ON, final.replace(b"\\", rb"\\"), data)
    return data


def relocate_shebang(data: bytes, move: Move, *, hermetic: bool = False) -> bytes:
    """Make the first lines of a script start the final interpreter.

    Understands a plain line, a quoted one, and the ``/bin/sh`` wrapper that pip and uv write where the
    build path was too long or held a blank; it is taken off where the final path needs none, and put
    on where it does.
    """
    found = WRAPPER.match(data) or PLAIN.match(data)
    if not found:
        return data
    program = found["program"].strip(b"\"'")
    folder = os.fsencode(move.final / "bin")
    if program.startswith(b"$(dirname"):
        program = folder + b"/" + re.split(rb"[/'\"]+", program.rstrip(b"'\""))[-1]
    if not re.fullmatch(re.escape(folder) + rb"/python[\d.]*", program):
        return data
    flags = found["flags"].strip()
    if hermetic and not re.match(rb"-\w*I", flags):
        flags = b"-I" + flags.removeprefix(b"-")
    return shebang(program, flags) + data[found.end() :]


def shebang(program: bytes, flags: bytes) -> bytes:
    """Return a script's first line, or lines that are Python and sh at once where one is too long."""
    words = b" ".join(filter(None, (program, flags)))
    # The kernel hands all that follows the program over as one word.
    if len(words) + 2 <= LONGEST_SHEBANG and b" " not in flags:
        return b"#!" + words + b"\n"
    return b"#!/bin/sh\n'''exec' " + words + b' "$0" "$@"\n' + b"' '''\n"


def relocate_c_strings(data: bytes, move: Move) -> bytes:
    """Replace the build path in a binary file, filling up with slashes, which a path may have several of.

    Nothing in the file moves, neither a string nor its end: the linker lets a string that ends another
    one lie in it. The file is left as it is where the final path is longer; check V003 then names it.
    """
    build, final = os.fsencode(move.build), os.fsencode(move.final)
    if len(final) > len(build):
        return data
    filled = final + b"/" * (len(build) - len(final))
    return re.sub(re.escape(build) + GOES_ON, lambda _: filled, data)


# What follows the type byte of a marshalled object (Python/marshal.c): bytes that have a fixed number, or
# text after its length in one byte or in four, or as many objects as a count says.
FIXED = {kind: size for kinds, size in ((b"0NFTS.", 0), (b"ir", 4), (b"Ig", 8), (b"y", 16)) for kind in kinds}
SHORT_TEXT, LONG_TEXT, ASCII_TEXT, COUNTED = b"zZf", b"sutaA", b"zZaA", b"([<>"
# A code object of 3.8 to 3.10, and of 3.11 and later: numbers of four bytes, and objects (-1).
OLD_CODE = (*[4] * 6, *[-1] * 8, 4, -1)
NEW_CODE = (*[4] * 5, *[-1] * 8, 4, -1, -1)
MAGIC_38, MAGIC_311 = 3400, 3450


def relocate_pyc(data: bytes, move: Move) -> bytes:
    """Replace the build path in marshalled strings, ``co_filename`` first of all.

    Works on the bytes, so that it does not take the interpreter that wrote them. What is not understood
    is left as it is; check V002 then names the file.
    """
    magic = int.from_bytes(data[:2], "little")
    if magic < MAGIC_38:
        return data
    try:
        return _relocate_marshal(data, move, NEW_CODE if magic >= MAGIC_311 else OLD_CODE)
    except (IndexError, struct.error, KeyError):
        return data


def _relocate_marshal(data: bytes, move: Move, code: tuple[int, ...]) -> bytes:
    # Bytes have a name that is not UTF-8 as it is, text has the surrogates that Python makes of it.
    patterns = {
        errors: (
            re.compile(re.escape(str(move.build).encode(errors=errors)) + GOES_ON),
            str(move.final).encode(errors=errors).replace(b"\\", rb"\\"),
        )
        for errors in ("surrogateescape", "surrogatepass")
    }
    out, done, at = bytearray(), 0, 16
    # What is still to come, last first: a number of bytes, or an object (-1), or a dictionary's rest (-2).
    waiting = [-1]
    while waiting:
        expected = waiting.pop()
        if expected >= 0:
            at += expected
            continue
        # Each takes a byte at least; a damaged file may name thousands of millions.
        if len(waiting) >= len(data) - at:
            raise IndexError(at)
        start, kind = at, data[at] & 0x7F
        at += 1
        if expected == -2 and kind != ord("0"):
            waiting += [-2, -1]
        if kind in FIXED:
            at += FIXED[kind]
        elif kind in SHORT_TEXT or kind in LONG_TEXT:
            width = 1 if kind in SHORT_TEXT else 4
            body = at + width
            at = body + int.from_bytes(data[at:body], "little")
            text = data[body:at]
            pattern, final = patterns["surrogateescape" if kind == ord("s") else "surrogatepass"]
            moved = pattern.sub(final, text)
            if moved != text:
                # Python reads it as Latin-1, or as no number; nothing that it writes is like that.
                if kind == ord("f") or (kind in ASCII_TEXT and not text.isascii()):
                    raise KeyError(kind)
                out += data[done:start] + _marshal_text(kind, data[start] & 0x80, moved)
                done = at
        elif kind == ord("l"):
            at += 4 + 2 * abs(struct.unpack_from("<i", data, at)[0])
        elif kind == ord("x"):
            at += 1 + data[at]
            at += 1 + data[at]
        elif kind in COUNTED:
            count = struct.unpack_from("<I", data, at)[0]
            if count > len(data) - at:
                raise IndexError(count)
            waiting += [-1] * count
            at += 4
        else:
            # A short tuple, a slice, a code object, a dictionary; anything else is not known.
            waiting += {
                ord(")"): [-1] * data[at],
                ord(":"): [-1] * 3,
                ord("c"): list(reversed(code)),
                ord("{"): [-2],
            }[kind]
            at += kind == ord(")")
    if at != len(data):
        raise IndexError(at)
    return bytes(out + data[done:])


def _marshal_text(kind: int, flag: int, text: bytes) -> bytes:
    if kind in ASCII_TEXT:
        interned = kind in b"AZ"
        if not text.isascii():
            kind = ord("t" if interned else "u")
        elif kind in b"zZ" and len(text) > 255:
            kind = ord("A" if interned else "a")
    length = bytes((len(text),)) if kind in b"zZ" else struct.pack("<I", len(text))
    return bytes((kind | flag,)) + length + text


def names_local_folder(data: bytes) -> bool:
    """Tell whether a direct_url.json (PEP 610) names a place that only the build machine has."""
    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(about, dict):
        return False
    folder = about.get("dir_info")
    editable = isinstance(folder, dict) and folder.get("editable")
    return str(about.get("url", "")).startswith("file:") and not editable


def neutralise_bills(tree: Tree, distributions: Iterable[Distribution]) -> Iterator[Edit]:
    """Yield edits that take the folders of builds out of bills of materials (PEP 770).

    Cargo names a crate by its place, ``path+file:///tmp/x/app#1.0``, which is another in every build and
    nowhere on a server: ``path+file://.#1.0``, as it has them in package URLs.
    """
    for folder in (d.folder / "sboms" for d in distributions if d.built_here):
        for entry in tree.below(folder).files():
            data = entry.load()
            places = CRATE.findall(data)
            if places:
                begun = b"path+file://"
                data = data.replace(begun + os.path.commonpath(places), begun + b".")
                yield Edit(path=folder / entry.path, data=data)


def reconcile_records(tree: Tree, digests: Digests) -> tuple[Edit, ...]:
    """Return the edits that make every RECORD true of the files that are there.

    A row whose file is gone is dropped; hash and size are taken from the file; rows without a hash
    stay without, and a RECORD's own row has none (PEP 376). Rows are sorted, so that the same files give
    the same RECORD.
    """
    edits = []
    places = (tree.get(folder / "RECORD") for folder in find_folders(tree))
    records = {entry.path: entry for entry in places if entry and entry.kind == "file"}
    for record in records.values():
        rows = read_record(record.load().decode("utf-8", "surrogateescape"))
        entries = [tree.get(locate(record.path.parent, row[0])) for row in rows]
        digests.learn(e for e in entries if e and e.kind == "file")
        fresh = [_fresh_row(row, e, records, digests) for row, e in zip(rows, entries, strict=True)]
        data = format_record([row for row in dict.fromkeys(fresh) if row])
        if data != record.load():
            edits.append(Edit(path=record.path, data=data))
    return tuple(edits)


def _fresh_row(
    row: Row, entry: Entry | None, records: Container[PurePosixPath], digests: Digests
) -> Row | None:
    if entry is None or entry.kind not in ("file", "symlink"):
        return None
    if entry.path in records:
        return (row[0], "", "")
    if not row[1] or entry.kind == "symlink":
        return row
    algorithm = row[1].partition("=")[0]
    algorithm = algorithm if algorithm in HASHES else "sha256"
    digest = digests.of(entry) if algorithm == "sha256" else entry.digest(algorithm)
    return (row[0], write_hash(algorithm, digest), str(entry.size))


def record_hash(data: bytes, algorithm: str = "sha256") -> str:
    """Return a hash as RECORD writes it: ``sha256=`` and URL-safe base64 without padding.

    Args:
        data: what to hash.
        algorithm: one of :data:`HASHES`.
    """
    return write_hash(algorithm, hashlib.new(algorithm, data).digest())


def write_hash(algorithm: str, digest: bytes) -> str:
    """Return a hash that is known already as RECORD writes it."""
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
