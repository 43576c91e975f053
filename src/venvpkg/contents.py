"""What the bytes of a file tell: imports, ELF headers, secrets, folders of the build machine.

Each file is read once. What the files of a distribution told an earlier build, or an earlier command of this
one, is not found out again while their bytes are the same.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache as once
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Self

import venvpkg
from venvpkg.cache import make_key
from venvpkg.credentials import find_known, find_secrets
from venvpkg.digests import Digests, Memory
from venvpkg.distributions import Distribution, find_owners
from venvpkg.elf import MAGIC, Elf, NotElfError, read_elf, symbol_bytes
from venvpkg.relocate import GOES_ON
from venvpkg.stdlib import read_imports
from venvpkg.tree import WINDOW, Entry, Tree

# The smallest ELF header is 52 bytes long.
LEAST_ELF = 52
SETUPTOOLS = re.compile(
    rb"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get\(var, '\w+'\) == '\w+'; "
    rb"enabled and __import__\('_distutils_hack'\)(\.add_shim\(\))?;? ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the bytes of one file tell."""

    imports: tuple[tuple[str, bool], ...] = ()
    """``module`` and ``certain`` of each :class:`venvpkg.stdlib.Import`."""
    elf: Elf | None = None
    symbols: int = 0
    """Bytes of debug information and symbols (see :func:`venvpkg.elf.symbol_bytes`)."""
    secrets: tuple[str, ...] = ()
    """What it gives away, in words that do not repeat it."""
    mention: tuple[str, str] | None = None
    """Of a file that names a folder of the build machine: text, bytecode or elf, and what stands there."""
    startup: tuple[str, ...] = ()
    """Of a .pth file: the lines that Python runs when it starts."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Make it of what :meth:`to_json` returned, as JSON has it."""
        elf = told.get("elf")
        if elf:
            elf = Elf(**{**elf, "needed": tuple(elf["needed"]), "runpath": tuple(elf["runpath"])})
        return cls(
            imports=tuple((module, certain) for module, certain in told.get("imports", ())),
            elf=elf,
            symbols=told.get("symbols", 0),
            secrets=tuple(told.get("secrets", ())),
            startup=tuple(told.get("startup", ())),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are not empty, but for a mention."""
        return {name: value for name, value in asdict(self).items() if value and name != "mention"}


NOTHING = Contents()


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for in every file."""

    build_paths: tuple[bytes, ...] = ()
    """Folders of the build machine."""
    passing: tuple[bytes, ...] = ()
    """Folders that no other build has, so that nothing names them that was read in an earlier one."""
    secrets: tuple[bytes, ...] = ()
    """Passwords and tokens of this machine."""
    patterns: tuple[tuple[bytes, re.Pattern[bytes]], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Make the patterns of the folders."""
        found = (
            (raw, re.compile(re.escape(raw) + GOES_ON)) for raw in (*self.build_paths, *self.passing) if raw
        )
        object.__setattr__(self, "patterns", tuple(found))


def read_contents(
    entry: Entry, path: PurePosixPath, data: bytes | None, search: Search, *, own: bool
) -> Contents:
    """Read one file.

    Args:
        entry: the file.
        path: where it is, relative to the environment's prefix where it lies below that.
        data: its bytes, or nothing of a file that is larger than :data:`venvpkg.tree.WINDOW`.
        search: what to look for.
        own: it is the project's, or nobody's (see :func:`venvpkg.credentials.find_secrets`).
    """
    head = entry.head(1024) if data is None else data[:1024]
    if data is None:
        secrets, mention = _search_windows(entry, path, head, search, own)
    else:
        secrets = tuple(find_secrets(path, data, own=own, known=search.secrets))
        mention = _find_mention(path, data, head, search)
    elf, symbols = None, 0
    if entry.size >= LEAST_ELF and head.startswith(MAGIC):
        with suppress(NotElfError), entry.opener() if data is None else BytesIO(data) as stream:
            elf, symbols = read_elf(stream), symbol_bytes(stream)
    imports = tuple(read_imports(path, data or b"")) if path.suffix == ".py" else ()
    starts = path.suffix == ".pth" and path.parent.name.endswith("-packages")
    startup = startup_lines(head if data is None else data) if starts else ()
    if not (secrets or mention or elf or startup or imports):
        return NOTHING
    return Contents(
        imports=tuple((found.module, found.certain) for found in imports),
        elf=elf,
        symbols=symbols,
        secrets=secrets,
        mention=mention,
        startup=tuple(startup),
    )


def read_environment(
    tree: Tree, distributions: Sequence[Distribution], project: str, search: Search, memory: Memory
) -> dict[PurePosixPath, Contents]:
    """Read the files of an environment, and return those that tell anything.

    Args:
        tree: the environment, with paths relative to its prefix.
        distributions: those that it has.
        project: normalized name of the project's.
        search: what to look for.
        memory: what is known already.
    """
    # A distribution's files are other people's; the project's are not, nor what no distribution has.
    others = {path for d in distributions if d.name != project for path in d.files}
    found: dict[PurePosixPath, Contents] = {}
    if not memory.cache.folder:
        for entry in tree.files():
            told = _load_and_read(entry, search, own=entry.path not in others)
            found |= {entry.path: told} if told is not NOTHING else {}
        return found
    groups: dict[str, list[Entry]] = {}
    owners = find_owners(tree, distributions)
    for entry in tree.files():
        groups.setdefault(owners.get(entry.path, ""), []).append(entry)
    del owners
    memory.digests.learn(tree.files())
    for entries in groups.values():
        key = _make_key(entries, others, search, memory.digests)
        kept = memory.cache.get("contents", key)
        if kept is None:
            read = ((e, _load_and_read(e, search, own=e.path not in others)) for e in entries)
            fresh = {e.path: contents for e, contents in read if contents is not NOTHING}
            found |= fresh
            # What names a folder of one build is told of that build alone.
            if not any(contents.mention for contents in fresh.values()):
                text = json.dumps({str(path): contents.to_json() for path, contents in fresh.items()})
                memory.cache.put("contents", key, text.encode())
        else:
            found |= {PurePosixPath(p): Contents.from_json(told) for p, told in json.loads(kept).items()}
    return dict(sorted(found.items()))


def _load_and_read(entry: Entry, search: Search, *, own: bool) -> Contents:
    return read_contents(entry, entry.path, entry.load() if entry.size <= WINDOW else None, search, own=own)


def _make_key(entries: Iterable[Entry], others: set[PurePosixPath], search: Search, digests: Digests) -> str:
    """Return the key of what some files tell: all that decides it."""
    digest = hashlib.sha256()
    for entry in entries:
        line = f"{entry.path}\0{entry.path in others}\0{digests.of(entry).hex()}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    asked = [[word.hex() for word in words] for words in (search.build_paths, search.secrets)]
    return make_key(_programs(), asked, digest.hexdigest())


@once
def _programs() -> list[str]:
    """Return what the modules that read are, which decide what they find."""
    folder = Path(venvpkg.__file__).parent
    names = ("contents", "credentials", "elf", "relocate", "stdlib")
    return [hashlib.sha256((folder / f"{name}.py").read_bytes()).hexdigest() for name in names]


def _search_windows(
    entry: Entry, path: PurePosixPath, head: bytes, search: Search, own: bool
) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    secrets: dict[str, None] = {}
    mention = None
    for number, data in enumerate(entry.windows()):
        if b"\0" in head and number:
            secrets |= dict.fromkeys(find_known(data, search.secrets))
        else:
            secrets |= dict.fromkeys(find_secrets(path, data, own=own, known=search.secrets))
        mention = mention or _find_mention(path, data, head, search)
    return tuple(secrets), mention


def _find_mention(path: PurePosixPath, data: bytes, head: bytes, search: Search) -> tuple[str, str] | None:
    if not any(raw in data and pattern.search(data) for raw, pattern in search.patterns):
        return None
    start = min(at for at in (data.find(raw) for raw, _ in search.patterns) if at >= 0)
    found = re.match(rb"[^\s\0\"'<>]{1,120}", data[start:])
    kind = "bytecode" if path.suffix == ".pyc" else "text"
    kind = "elf" if head.startswith(MAGIC) else kind
    return kind, found[0].decode("utf-8", "replace") if found else ""


def startup_lines(data: bytes) -> list[str]:
    """Return the lines of a .pth file that Python runs when it starts, but for those of setuptools.

    Its one line puts its own distutils in place of the standard library's, and is in most environments.
    """
    lines = [line for line in data.splitlines() if line.startswith((b"import ", b"import\t"))]
    return [line.decode("utf-8", "replace") for line in lines if not SETUPTOOLS.fullmatch(line.strip())]
