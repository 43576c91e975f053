"""What an environment weighs without need: duplicates, and debug information that wheels brought."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from venvpkg.digests import Digests
from venvpkg.distributions import Distribution
from venvpkg.tree import Entry, Tree

# A smaller one saves nothing: that is what a file system gives to any file.
LEAST_LINKED = 4096
# Files of these kinds are written by nobody but an installer. A program may write to its data, and an
# administrator to a module, which would change the other one as well.
LINKED = re.compile(r"\.(so(\.[\d.]+)?|js|css|map|wasm|ttf|otf|woff2?|png|jpe?g|svg|gif|ico)$")
# Python imports two extension modules from two files; the linker knows a file again by its number, and would
# give the second one the first one's state.
EXTENSION = re.compile(r"(\.cpython-\w+(-[\w-]+)?|\.abi3|/(?!lib)[^/]*)\.so$")
# Less than that is not worth a note.
LEAST_TOLD = 1_000_000


def describe_symbols(symbols: Mapping[PurePosixPath, int], distributions: Iterable[Distribution]) -> str:
    """Say how much of wheels' ELF files strip(1) would take out, or nothing where it is little.

    What was compiled in this build has been through dh_strip.

    Args:
        symbols: bytes of that kind, by file.
        distributions: those that it has.
    """
    brought = {path: d.name for d in distributions if not d.built_here for path in d.files}
    sizes: dict[str, int] = {}
    for path, size in symbols.items():
        if path in brought:
            sizes[brought[path]] = sizes.get(brought[path], 0) + size
    if sum(sizes.values()) < LEAST_TOLD:
        return ""
    largest = sorted(sizes.items(), key=lambda size: (-size[1], size[0]))[:5]
    parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in largest)
    total = sum(sizes.values()) / 1e6
    return f"wheels brought {total:.1f} MB of debug information and symbols, which stay ({parts})"


def link_duplicates(tree: Tree, folder: Path, digests: Digests) -> int:
    """Make hard links of files with the same bytes and mode; returns the bytes that it saves.

    dpkg-deb and dpkg keep hard links within a package. Where the file system has none, nothing changes.
    """
    alike: dict[tuple[int, int], list[Entry]] = {}
    for entry in tree.files():
        name = str(entry.path)
        if entry.size >= LEAST_LINKED and LINKED.search(name) and not EXTENSION.search(name):
            alike.setdefault((entry.size, entry.mode), []).append(entry)
    saved = 0
    for (size, _), entries in alike.items():
        first: dict[bytes, Path] = {}
        for entry in entries if len(entries) > 1 else ():
            path = folder / entry.path
            kept = first.setdefault(digests.of(entry), path)
            if kept == path or kept.samefile(path):
                continue
            temporary = path.with_name(".venvpkg-new")
            with suppress(OSError):
                os.link(kept, temporary)
                temporary.replace(path)
                saved += size
    return saved
