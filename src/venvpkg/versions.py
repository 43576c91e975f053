"""What the files of a project say of the Python version."""

import configparser
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from venvpkg.errors import printable

# pyenv's and uv's spellings: 3.12, 3.13-dev, 3.12.4/envs/app, cpython-3.12.4-linux-x86_64-gnu, cpython@3.12.
PIN = re.compile(r"(?:cpython[-@]?|python-?)?(3)(?:\.(\d{1,3}))?(?!\d)")
PART = re.compile(r"(\^|~=|~|===|==|=|!=|<=|>=|<|>)?\s*v?(\d[\w.!+*-]*|\*)")
OPERATORS = tuple("<>=!~^")
# Longer than any version is; Python refuses to read numbers of thousands of digits.
LONGEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one place says of the version."""

    origin: str
    """The place, for messages: ``pyproject.toml``."""
    text: str
    """The words as they stand there: ``>=3.12``."""
    ranges: tuple[SpecifierSet, ...]
    """One of them has to hold; none where the words are not understood."""
    binding: bool
    """It says what works, and not only what the developers use."""

    @classmethod
    def range(cls, origin: str, text: str, *, binding: bool = True) -> Self:
        """Read a range of versions, in the syntax of PEP 440 or of poetry."""
        return cls(origin=origin, text=shown(text), ranges=read_ranges(text), binding=binding)

    def admits(self, version: Version) -> bool:
        """Tell whether a version fits; words that are not understood forbid nothing."""
        return not self.ranges or any(r.contains(version, prereleases=True) for r in self.ranges)

    def __str__(self) -> str:
        """Return it as half a sentence: ``pyproject.toml requires >=3.12``."""
        verb = "requires" if self.binding else "asks for"
        return f"{self.origin} {verb} {self.text}"


def shown(text: str) -> str:
    """Return words as a message can show them."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 60 else f"{line[:59]}…"


def read_ranges(text: str) -> tuple[SpecifierSet, ...]:
    """Return the ranges of which one has to hold, none where the text is not understood.

    PEP 440, and what poetry has beside it: ``^3.11``, ``~3.11``, ``3.11.*``, ``||`` between ranges.
    https://python-poetry.org/docs/dependency-specification/
    """
    found = []
    for alternative in re.split(r"\|\|?", text):
        words = [part for part in alternative.split(",") if part.strip()]
        parts = [match for word in words for match in PART.finditer(word)]
        if not parts or PART.sub("", alternative).replace(",", "").strip():
            return ()
        if any(len(match[2]) > LONGEST for match in parts):
            return ()
        try:
            specifiers = (_specifier(match[1] or "", match[2]) for match in parts)
            found.append(SpecifierSet(",".join(s for s in specifiers if s)))
        except ValueError:
            return ()
    return tuple(found)


def _specifier(operator: str, number: str) -> str:
    if number == "*":
        return ""
    if operator in ("^", "~"):
        release = Version(number).release
        # A caret lets everything change behind the first number that is not zero, a tilde behind the second.
        first = next((n for n, part in enumerate(release) if part), len(release) - 1)
        place = first if operator == "^" else min(1, len(release) - 1)
        end = [*release[:place], release[place] + 1]
        return f">={number},<{'.'.join(map(str, end))}"
    if not operator:
        # "3.11" means any 3.11; its point release is for Debian to choose.
        return f"=={number}" if number.endswith("*") or number.count(".") > 1 else f"=={number}.*"
    return f"{'==' if operator == '=' else operator}{number}"


def read_wishes(source: Path, project: str | None, files: Iterable[Path]) -> tuple[Wish, ...]:
    """Return what a project's files say of the version, but for the ``requires-python`` of what is installed.

    Only ranges bind: they say what works. A pin of developers' tools, and the range of a project that is not
    installed itself, are wishes. A file that can't be read says nothing: whoever needs it tells.

    Args:
        source: the source package's folder.
        project: the project's folder below it; None where no project is installed.
        files: the requirements files or the lock that are installed.
    """
    folder = source / (project or ".")
    wishes = [*_declared(folder, installed=project is not None)]
    for file in files:
        wishes += LOCKS[file.name](file) if file.name in LOCKS else ()
        if re.fullmatch(r"pylock\.[^.]+\.toml", file.name):
            wishes += _lock_range(file)
    pin = next((p for p in (folder / ".python-version", source / ".python-version") if p.is_file()), None)
    if pin:
        wishes += _version_file(pin)
    return tuple(wishes)


def _declared(folder: Path, *, installed: bool) -> list[Wish]:
    pyproject = _toml(folder / "pyproject.toml")
    own = _text(_table(pyproject, "project").get("requires-python"))
    if own:
        # Where the project is installed, its range is known already.
        return [] if installed else [Wish.range("pyproject.toml", own, binding=False)]
    poetry = _text(_table(pyproject, "tool", "poetry", "dependencies").get("python"))
    if poetry:
        return [Wish.range("pyproject.toml (poetry)", poetry, binding=installed)]
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_read(folder / "setup.cfg"))
    except configparser.Error:
        return []
    old = parser.get("options", "python_requires", fallback="").strip()
    return [Wish.range("setup.cfg", old, binding=installed)] if old else []


def _lock_range(file: Path) -> list[Wish]:
    text = _text(_toml(file).get("requires-python"))
    return [Wish.range(file.name, text)] if text else []


def _poetry(file: Path) -> list[Wish]:
    text = _text(_table(_toml(file), "metadata").get("python-versions"))
    return [Wish.range(file.name, text)] if text else []


def _pdm(file: Path) -> list[Wish]:
    targets = _table(_toml(file), "metadata").get("targets")
    found = (
        [_text(t.get("requires_python")) for t in targets if isinstance(t, dict)]
        if isinstance(targets, list)
        else []
    )
    # A target without a range is for every version.
    return [Wish.range(file.name, " || ".join(dict.fromkeys(found)))] if found and all(found) else []


def _pipfile(file: Path) -> list[Wish]:
    try:
        content = json.loads(_read(file))
    except (ValueError, RecursionError):
        return []
    requires = _table(content, "_meta", "requires")
    text = _text(requires.get("python_full_version")) or _text(requires.get("python_version"))
    # pipenv itself only warns of another version.
    return [_pinned(file.name, [text])] if text and text != "*" else []


LOCKS = {
    "uv.lock": _lock_range,
    "pylock.toml": _lock_range,
    "poetry.lock": _poetry,
    "pdm.lock": _pdm,
    "Pipfile.lock": _pipfile,
}


def _version_file(file: Path) -> list[Wish]:
    words = []
    for line in _read(file).splitlines():
        text = line.partition("#")[0].strip()
        # uv takes a range as well; pyenv has several versions in a line.
        words += [text] if text.startswith(OPERATORS) else text.split()
    # "system" is what Debian has.
    return [_pinned(file.name, words)] if words and "system" not in words else []


def _pinned(origin: str, words: list[str]) -> Wish:
    ranges: list[SpecifierSet] = []
    for word in words:
        found = PIN.match(word)
        if word.startswith(OPERATORS):
            ranges += read_ranges(word)
        elif found:
            ranges.append(SpecifierSet(f"==3.{int(found[2])}.*" if found[2] else "==3.*"))
    return Wish(origin=origin, text=shown(", ".join(words)), ranges=tuple(ranges), binding=False)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(file))
    except (ValueError, RecursionError):
        return {}


def _table(value: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
