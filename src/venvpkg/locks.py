"""What requirements files and locks pin, and where they are found."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from venvpkg.errors import VenvpkgError

SEARCHED = ("pylock.toml", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt")
OPTION = re.compile(r"(--[\w-]+|-\w)[=\s]*(.*)")
# Of dependency groups in each other; PEP 735 has no limit, and nobody's have more than a few.
DEEPEST = 100
HASH = re.compile(r"\s--hash[= ](\S+)")
# Of a URL, in its fragment: what pip and uv take for a hash as well.
FRAGMENT = re.compile(r"[#&](sha256|sha384|sha512)=([0-9a-f]+)")


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

    @property
    def version(self) -> str:
        """Return the one version that the line admits, or nothing."""
        found = re.fullmatch(r"[\w.-]+\s*(?:\[[^]]*\])?\s*\(?={2,3}\s*([^\s;,*)]+)\)?\s*(?:;.*)?", self.line)
        return found[1] if found and self.name else ""

    @property
    def is_exact(self) -> bool:
        """Tell whether the line says which version it is, or from where it comes."""
        return bool(self.version) or not self.name or bool(re.match(r"[^;]*@", self.line))

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
    options: tuple[str, ...] = ()
    """What else their lines say to the installer: indexes, formats, constraints."""

    @property
    def hashed(self) -> bool:
        """Tell whether there is a requirement, and every one has a hash."""
        return bool(self.pins) and all(pin.hashes for pin in self.pins)

    @property
    def mixed(self) -> bool:
        """Tell whether some requirements have a hash, and others none."""
        return not self.hashed and any(pin.hashes for pin in self.pins)

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
    options: list[str] = []
    seen: set[Path] = set()
    for file in files:
        if is_lock(file) or file.name.endswith(".toml"):
            raise VenvpkgError(
                code="lock-not-supported",
                message=f"{file} is no lock file that venvpkg can read.",
                causes=[f"It reads {', '.join(SEARCHED)}, and pylock.NAME.toml."],
                hint='Export it, and name the result: requirements = ["requirements.txt"]',
            )
        pins += _read_file(file, None, seen, options)
    return Requirements(files=files, pins=tuple(pins), options=tuple(dict.fromkeys(options)))


def _read_file(file: Path, including: Path | None, seen: set[Path], options: list[str]) -> list[Pin]:
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
            pins += _read_file(file.parent / value.strip("\"'"), file, seen, options)
        elif option in ("-e", "--editable"):
            raise VenvpkgError(
                code="requirements-editable",
                message=f"{file}:{number} asks for an editable install.",
                causes=[line, "It would point at a folder that the server has not."],
                hint='Name the project with the key project (default "."), or give a plain path.',
            )
        elif option in ("-c", "--constraint") and "://" not in value:
            place = file.parent / value.strip("\"'")
            options.append(f"-c {place}")
        elif option:
            options.append(line)
        else:
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
    hashes = tuple(HASH.findall(" " + line)) or tuple(map(":".join, FRAGMENT.findall(line)))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One distribution of a lock."""

    name: str
    """Normalized name."""
    version: str
    """Empty where the lock has none: of a folder, say."""
    index: str
    """The index that it comes from, as the lock names it; empty where it does not."""
    hashes: tuple[str, ...]
    """``sha256:…``, of all its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a lock has, whatever wrote it."""

    distributions: tuple[Locked, ...]
    groups: frozenset[str]
    """Normalized names of the extras and groups, or of a Pipfile's categories, that were locked.

    None where its tool tells those that were not by itself.
    """

    @property
    def versions(self) -> list[tuple[str, str]]:
        """Return names and versions; one name may have several."""
        return [(one.name, one.version) for one in self.distributions]

    @property
    def indexes(self) -> frozenset[str]:
        """Return the indexes that it names."""
        return frozenset(one.index for one in self.distributions if one.index)


def read_lock(file: Path) -> Lock:
    """Read a lock; which of it is wanted is its own tool's to say.

    Raises:
        VenvpkgError: ``lock-invalid``.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text) if file.name == "Pipfile.lock" else tomllib.loads(text)
        distributions = tuple(_locked(content))
        groups = _groups(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VenvpkgError(
            code="lock-invalid",
            message=f"{file.name} is no lock that can be read.",
            causes=[str(error)],
            hint="Lock again; a merge may have left its marks in the file.",
        ) from error
    return Lock(distributions=distributions, groups=groups)


def _locked(content: Any) -> Iterator[Locked]:
    tables = [(item["name"], item) for item in content.get("package", content.get("packages", ()))]
    if "_meta" in content:
        tables = [entry for name in content if name != "_meta" for entry in content[name].items()]
    for name, item in tables:
        source = item.get("source", {})
        files = [f.get("hash") for f in item.get("files", ())] + list(item.get("hashes", ()))
        yield Locked(
            name=canonicalize_name(name),
            version=str(item.get("version", "")).removeprefix("=="),
            index=str(source.get("registry", "") if isinstance(source, dict) else ""),
            hashes=tuple(dict.fromkeys(str(f) for f in files if f)),
        )


def _groups(content: Any) -> frozenset[str]:
    # The categories of a Pipfile: https://pipenv.pypa.io/en/latest/pipfile.html
    if "_meta" in content:
        return frozenset(
            {"default": "packages", "develop": "dev-packages"}.get(n, canonicalize_name(n))
            for n in content
            if n != "_meta"
        )
    return frozenset(map(canonicalize_name, content.get("metadata", {}).get("groups", ())))


def find_differences(
    required: Iterable[str], locked: Iterable[tuple[str, str]], environment: Mapping[str, str]
) -> list[str]:
    """Return in which way a lock does not hold what a project requires, a sentence each.

    Args:
        required: the project's requirements (PEP 508).
        locked: names, normalized, and versions; no version fits any.
        environment: for markers, the target's.
    """
    versions: dict[str, set[str]] = {}
    for name, version in locked:
        versions.setdefault(name, set()).add(version)
    found = []
    for text in required:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": ""}):
            continue
        there = versions.get(canonicalize_name(requirement.name))
        if there is None:
            found.append(f"The project requires {text}, which is not locked.")
        elif not any(not v or _contains(requirement, v) for v in there):
            found.append(f"The project requires {text}, and {', '.join(sorted(there))} is locked.")
    return found


def _contains(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


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
