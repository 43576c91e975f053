"""What a requirements file pins, and where it is found."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from venvpkg.errors import VenvpkgError

SEARCHED = ("pylock.toml", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt")
OPTION = re.compile(r"(--[\w-]+|-\w)[=\s]*(.*)")
# Of dependency groups in each other; PEP 735 has no limit, and nobody's have more than a few.
DEEPEST = 100
HASH = re.compile(r"\s--hash[= ](\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One requirement line."""

    name: str
    """Normalized name (PEP 503); empty for a bare path or URL."""
    line: str
    """The requirement without its options."""
    hashes: tuple[str, ...]
    """``sha256:…``, as written."""
    marker: str
    """Environment marker (PEP 508), or empty."""

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Tell whether the marker admits the target interpreter.

        Raises:
            VenvpkgError: ``requirements-invalid``, for a marker that has no answer: ``os_name ~= '1'``.
        """
        if not self.marker:
            return True
        try:
            return Requirement(f"x; {self.marker}").marker.evaluate(dict(environment))  # type: ignore[union-attr]
        except (ValueError, KeyError, RecursionError) as error:
            raise VenvpkgError(
                code="requirements-invalid",
                message=f"The marker of a requirement can't be evaluated: {self.line}",
                causes=[str(error)],
                hint="See https://packaging.python.org/en/latest/specifications/dependency-specifiers/",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """All requirement lines of some files, those that they include among them."""

    files: tuple[Path, ...]
    """The files to hand to the installer; included ones are not repeated."""
    pins: tuple[Pin, ...]

    @property
    def hashed(self) -> bool:
        """Tell whether there is a requirement, and every one has a hash."""
        return bool(self.pins) and all(pin.hashes for pin in self.pins)

    @property
    def names(self) -> frozenset[str]:
        """Return the normalized names."""
        return frozenset(pin.name for pin in self.pins if pin.name)


def find_requirements(folder: Path) -> tuple[Path, ...]:
    """Return the lock or requirements file that a project has, the first of :data:`SEARCHED`."""
    return next(((folder / name,) for name in SEARCHED if (folder / name).is_file()), ())


def is_lock(file: Path) -> bool:
    """Tell whether a file's name is that of a lock, which a tool has to turn into requirements first."""
    return file.name.endswith(".lock") or bool(re.fullmatch(r"pylock(\.[^.]+)?\.toml", file.name))


def read_requirements(files: tuple[Path, ...]) -> Requirements:
    """Read requirements files, with what they include.

    The format is pip's: https://pip.pypa.io/en/stable/reference/requirements-file-format/

    Raises:
        VenvpkgError: ``requirements-missing``, ``requirements-invalid``, ``requirements-editable``,
            ``lock-not-supported``.
    """
    pins: list[Pin] = []
    seen: set[Path] = set()
    for file in files:
        if is_lock(file) or file.name.endswith(".toml"):
            raise VenvpkgError(
                code="lock-not-supported",
                message=f"{file} is no lock file that venvpkg can read.",
                causes=[f"It reads {', '.join(SEARCHED)}, and pylock.NAME.toml."],
                hint='Export it, and name the result: requirements = ["requirements.txt"]',
            )
        pins += _read_file(file, None, seen)
    return Requirements(files=files, pins=tuple(pins))


def _read_file(file: Path, including: Path | None, seen: set[Path]) -> list[Pin]:
    try:
        place = file.resolve()
        # Each once: files that include each other may do so twice, and the next ones twice again.
        if place in seen:
            return []
        seen.add(place)
        text = file.read_text(encoding="utf-8-sig")
    # A zero byte in a name is a ValueError, links in a circle are a RuntimeError up to Python 3.12.
    except (OSError, ValueError, RuntimeError) as error:
        raise VenvpkgError(
            code="requirements-missing",
            message=f"Could not read the requirements file {file}.",
            causes=[
                f"{including} includes it." if including else "The key requirements names it.",
                str(error),
            ],
            hint="Correct the name, or take it out.",
        ) from error
    pins = []
    for number, line in logical_lines(text):
        found = OPTION.match(line)
        option, value = found.groups() if found else ("", "")
        if option in ("-r", "--requirement"):
            pins += _read_file(file.parent / value.strip("\"'"), file, seen)
        elif option in ("-e", "--editable"):
            raise VenvpkgError(
                code="requirements-editable",
                message=f"{file}:{number} asks for an editable install.",
                causes=[line, "It would point at a folder that the server has not."],
                hint='Name the project with the key project (default "."), or give a plain path.',
            )
        elif not option:
            pins.append(parse_pin(line, f"{file}:{number}"))
    return pins


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines without comments, continued ones joined, each with the number of its first line."""
    joined: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first or number
        # pip joins continued lines first, but a comment line inside a continuation ends nothing.
        if pending and raw.lstrip().startswith("#"):
            continue
        if raw.rstrip().endswith("\\") and not raw.lstrip().startswith("#"):
            pending += raw.rstrip()[:-1] + " "
            continue
        line = re.sub(r"(^|\s)#.*$", "", pending + raw).strip()
        if line:
            joined.append((first, line))
        pending, first = "", 0
    if pending.strip():
        joined.append((first, pending.strip()))
    return joined


def parse_pin(line: str, where: str) -> Pin:
    """Read one requirement with its hashes.

    Raises:
        VenvpkgError: ``requirements-invalid``.
    """
    hashes = tuple(HASH.findall(" " + line))
    bare = re.split(r"\s--?[a-z]", line, maxsplit=1)[0].strip()
    if re.match(r"(\.{0,2}/|[a-z+]+://|\S+\.(whl|zip|tar\.\w+)$|\.{1,2}$|\S+/)", bare) and not re.match(
        r"[\w.-]+(\[[^]]*\])?\s*@", bare
    ):
        return Pin(name="", line=bare, hashes=hashes, marker="")
    try:
        requirement = Requirement(bare)
    except (InvalidRequirement, RecursionError) as error:
        raise VenvpkgError(
            code="requirements-invalid",
            message=f"{where} is not a requirement.",
            causes=[bare, *str(error).splitlines()[:1]],
            hint="See https://pip.pypa.io/en/stable/reference/requirements-file-format/",
        ) from error
    return Pin(
        name=canonicalize_name(requirement.name),
        line=bare,
        hashes=hashes,
        marker=str(requirement.marker or ""),
    )


def resolve_groups(groups: Mapping[str, object], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the requirements of dependency groups, included groups expanded (PEP 735).

    Raises:
        VenvpkgError: ``group-invalid``.
    """
    known = {canonicalize_name(name): content for name, content in groups.items()}
    found: list[str] = []
    expanded: set[str] = set()

    def expand(name: str, within: tuple[str, ...]) -> None:
        key = canonicalize_name(name)
        content = known.get(key)
        if key in expanded:
            return
        if key in within or len(within) > DEEPEST or not isinstance(content, list):
            why = "is not there, or not a list"
            why = f"is included through more than {DEEPEST} others" if len(within) > DEEPEST else why
            why = "includes itself" if key in within else why
            raise VenvpkgError(
                code="group-invalid",
                message=f"The dependency group {name} {why}.",
                causes=[f"[dependency-groups] has {', '.join(sorted(groups)) or 'no group'}."],
                hint="Correct the key groups, or [dependency-groups] in pyproject.toml (PEP 735).",
            )
        for item in content:
            if isinstance(item, str):
                found.append(item)
            else:
                included = item.get("include-group", "") if isinstance(item, dict) else item
                expand(str(included), (*within, key))
        expanded.add(key)

    for name in names:
        expand(name, ())
    return tuple(dict.fromkeys(found))


def quote_hashes(pin: Pin) -> str:
    """Return the pin as a line of a requirements file."""
    return " ".join([pin.line, *(f"--hash={shlex.quote(h)}" for h in pin.hashes)])
