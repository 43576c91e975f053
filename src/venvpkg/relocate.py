"""Rewrite every path to the final prefix: bytes in, bytes out."""

import base64
import hashlib
import json
import re
import shlex
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import quote

from venvpkg.distributions import Row, format_record, locate, read_record
from venvpkg.plan import Move
from venvpkg.tree import Entry, Tree

# The kernel reads 256 bytes since Linux 5.1 and 128 before; pip and uv stay under the older limit.
LONGEST_SHEBANG = 127
# A path goes on with one of these; "/b/app" must not match inside "/b/app2".
GOES_ON = rb"(?![A-Za-z0-9_.+~-])"
WRAPPER = re.compile(
    rb"""\#!\ ?/bin/sh\n
    '''exec'\ (?P<program>"\$\(dirname[^\n]*?/'?[\w.]+'?|"[^"\n]*"|'[^'\n]*'|[^\s"']+)
    (?P<flags>(?:\ -\w+)*)\ "\$0"\ "\$@"\n
    '\ '''\n""",
    re.VERBOSE,
)
PLAIN = re.compile(rb"#![ \t]*(?P<program>\"[^\"\n]*\"|\S+)[ \t]*(?P<flags>[^\n]*)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change to a tree."""

    path: PurePosixPath
    data: bytes | None = None
    """New content of a file."""
    target: str | None = None
    """New target of a symbolic link; with neither content nor target the entry is removed."""


def relocate(tree: Tree, move: Move, *, hermetic: bool = False) -> tuple[Edit, ...]:
    """Return the edits that make a tree, built at ``move.build``, right for ``move.final``.

    Args:
        tree: the environment, with paths relative to its prefix.
        move: from where to where.
        hermetic: start Python with ``-I`` in scripts.
    """
    return tuple(edit for entry in tree for edit in _relocate_entry(entry, move, hermetic))


def _relocate_entry(entry: Entry, move: Move, hermetic: bool) -> Iterator[Edit]:
    if entry.kind == "symlink":
        target = relocate_text(entry.target.encode(errors="surrogateescape"), move)
        if target != entry.target.encode(errors="surrogateescape"):
            yield Edit(path=entry.path, target=target.decode(errors="surrogateescape"))
    elif entry.kind == "file":
        data = entry.load()
        if entry.path.name == "direct_url.json" and names_local_folder(data):
            yield Edit(path=entry.path)
            return
        moved = relocate_bytes(data, move, hermetic=hermetic, executable=bool(entry.mode & 0o111))
        if moved != data:
            yield Edit(path=entry.path, data=moved)


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


@lru_cache(maxsize=8)
def spellings(move: Move) -> tuple[tuple[bytes, bytes], ...]:
    """Return the ways in which a path may be written, each beside the final path in the same way."""
    build, final = str(move.build), str(move.final)
    ways = [(build, final), (quote(build), quote(final))]
    # Activators quote for their shell: sh closes and opens the quote, fish and csh put a backslash.
    ways += [(shlex.quote(build)[1:-1], final)] if shlex.quote(build) != build else []
    ways += [(re.sub(r"([\\' ])", r"\\\1", build), final), (json.dumps(build)[1:-1], json.dumps(final)[1:-1])]
    return tuple(
        dict.fromkeys(
            (b.encode(errors="surrogateescape"), f.encode(errors="surrogateescape")) for b, f in ways
        )
    )


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
    folder = str(move.final / "bin").encode()
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
    if len(words) + 2 <= LONGEST_SHEBANG:
        return b"#!" + words + b"\n"
    return b"#!/bin/sh\n'''exec' " + words + b' "$0" "$@"\n' + b"' '''\n"


def relocate_c_strings(data: bytes, move: Move) -> bytes:
    """Replace the build path in NUL-terminated strings, filling up with NULs.

    Nothing else in the file moves. A string is left as it is where the final path is longer, or where
    the linker merged another string into its end; check V003 then names the file.
    """
    build, final = str(move.build).encode(), str(move.final).encode()
    if len(final) > len(build):
        return data
    pattern = re.compile(re.escape(build) + GOES_ON + rb"[^\0]*\0")

    def shorten(match: "re.Match[bytes]") -> bytes:
        text = match[0][:-1].replace(build, final)
        return text + b"\0" * (len(match[0]) - len(text))

    return pattern.sub(shorten, data)


def relocate_pyc(data: bytes, move: Move) -> bytes:
    """Replace the build path at the start of marshalled strings, ``co_filename`` first of all.

    Works on the bytes, so that it does not take the interpreter that wrote them: a string is its type,
    its length (one byte, or four, little endian) and its text. See Python/marshal.c.
    """
    build, final = str(move.build).encode(), str(move.final).encode()
    out, done = bytearray(), 0
    for match in re.finditer(re.escape(build) + GOES_ON, data):
        start = match.start()
        short, long = data[start - 2] & 0x7F, data[start - 5] & 0x7F
        length = struct.unpack_from("<I", data, start - 4)[0]
        if long in b"aAuts" and len(build) <= length <= len(data) - start:
            header, size = start - 5, length
        elif short in b"zZ" and data[start - 1] >= len(build):
            header, size = start - 2, data[start - 1]
        else:
            continue
        text = data[start : start + size].replace(build, final)
        kind, flag = data[header] & 0x7F, data[header] & 0x80
        out += data[done:header]
        if kind in b"zZ" and len(text) < 256:
            out += bytes((kind | flag, len(text))) + text
        else:
            kind = {ord("z"): ord("a"), ord("Z"): ord("A")}.get(kind, kind)
            out += bytes((kind | flag,)) + struct.pack("<I", len(text)) + text
        done = start + size
    return bytes(out + data[done:])


def names_local_folder(data: bytes) -> bool:
    """Tell whether a direct_url.json (PEP 610) names a place that only the build machine has."""
    try:
        about = json.loads(data)
    except ValueError:
        return False
    editable = isinstance(about, dict) and about.get("dir_info", {}).get("editable")
    return isinstance(about, dict) and str(about.get("url", "")).startswith("file:") and not editable


def reconcile_records(tree: Tree) -> tuple[Edit, ...]:
    """Return the edits that make every RECORD true of the files that are there.

    A row whose file is gone is dropped; hash and size are taken from the file; rows without a hash
    stay without. Rows are sorted, so that the same files give the same RECORD.
    """
    edits = []
    records = [e for e in tree.files() if e.path.name == "RECORD" and e.path.parent.suffix == ".dist-info"]
    # hashlib lets go of the interpreter's lock, so two threads hash twice as much.
    with ThreadPoolExecutor(2) as pool:
        for record in records:
            rows = read_record(record.load().decode("utf-8", "surrogateescape"))
            fresh = pool.map(lambda row, at=record.path.parent: _fresh_row(tree, at, row), rows)
            data = format_record([row for row in dict.fromkeys(fresh) if row])
            if data != record.load():
                edits.append(Edit(path=record.path, data=data))
    return tuple(edits)


def _fresh_row(tree: Tree, folder: PurePosixPath, row: Row) -> Row | None:
    entry = tree.get(locate(folder, row[0]))
    if entry is None or entry.kind not in ("file", "symlink"):
        return None
    if not row[1] or entry.kind == "symlink":
        return row
    data = entry.load()
    return (row[0], record_hash(data, row[1].partition("=")[0]), str(len(data)))


def record_hash(data: bytes, algorithm: str = "sha256") -> str:
    """Return a hash as RECORD writes it: ``sha256=`` and URL-safe base64 without padding."""
    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
