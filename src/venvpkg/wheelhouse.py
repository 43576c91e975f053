"""The folder in a source package that holds everything its environments are built from."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from venvpkg.configuration import read_toml
from venvpkg.errors import VenvpkgError
from venvpkg.flat import flatten
from venvpkg.locks import is_lock
from venvpkg.plan import WHEELHOUSE, requirement_files
from venvpkg.spec import Spec

FOLDER = Path(WHEELHOUSE)
SUMS, RECORD = "SHA256SUMS", "wheelhouse.json"
# What of the configuration decides which archives are wanted.
KEYS = (
    "project", "requirements", "extras", "groups", "preinstall", "no-binary", "only-binary",
    "build-isolation", "config-settings",
)  # fmt: skip
# Without these in pyproject.toml, what a project requires may stand in any of these files.
ELSEWHERE = ("setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """For what, and from what, one environment's archives were chosen."""

    python: str
    """``3.11``."""
    architecture: str
    """Debian's name of it, or ``any`` where no archive is for one alone."""
    inputs: Mapping[str, str]
    """SHA-256 of what decided, by the name under which a message speaks of it."""


def find_wheelhouse(source: Path) -> Path | None:
    """Return the folder, where the source package has it."""
    folder = source / FOLDER
    return folder if folder.is_dir() else None


def list_of(folder: Path, package: str) -> Path:
    """Return the requirements file that says what the environment of a package gets."""
    return folder / f"{package}.txt"


def take_from(spec: Spec, folder: Path) -> Spec:
    """Return the specification of the same environment, built from the folder and nothing else.

    Links to pages go, folders stay: no index and no page is asked.
    """
    local = [link for link in spec.find_links if "://" not in link or link.startswith("file://")]
    values = {k: v for k, v in spec.values.items() if k not in ("index-url", "extra-index-url")}
    values |= {"no-index": True, "find-links": [str(FOLDER), *local]}
    if list_of(folder, spec.package).is_file():
        values |= {"requirements": [str(list_of(FOLDER, spec.package))], "groups": []}
    return Spec.from_values(
        spec.package,
        spec.source,
        values,
        requires_python=spec.requires_python,
        dependency_groups=spec.dependency_groups,
    )


def inputs_of(spec: Spec) -> dict[str, str]:
    """Return the SHA-256 of everything that decides which archives an environment takes."""
    found: dict[str, str] = {}
    for file in requirement_files(spec):
        # A list that includes others is as good as one that has their lines.
        found[_name(spec, file)] = _digest(_bytes(file) if is_lock(file) else flatten(file).encode())
    for name in (*spec.constraints, *spec.build_constraints):
        found[name] = _digest(_bytes(spec.source / name))
    found["the configuration"] = _digest(_canonical({k: spec.values.get(k) for k in KEYS}))
    if spec.groups:
        found["[dependency-groups] of pyproject.toml"] = _digest(_canonical(dict(spec.dependency_groups)))
    if spec.project is not None:
        folder = spec.source / spec.project
        table = read_toml(folder / "pyproject.toml")
        project = table.get("project", {})
        if not isinstance(project, dict) or not project or "dependencies" in project.get("dynamic", ()):
            found |= {name: _digest(_bytes(folder / name)) for name in ELSEWHERE if (folder / name).is_file()}
            tools = {k: v for k, v in table.get("tool", {}).items() if k != "venvpkg"}
            found["[tool] of pyproject.toml"] = _digest(_canonical(tools))
        wanted = ("dependencies", "optional-dependencies", "requires-python")
        required = {k: project.get(k) for k in wanted} if isinstance(project, dict) else {}
        found["what pyproject.toml requires"] = _digest(_canonical([required, table.get("build-system")]))
    return found


def _name(spec: Spec, file: Path) -> str:
    return str(file.relative_to(spec.source)) if file.is_relative_to(spec.source) else str(file)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sum_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder but the list of them."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != SUMS:
            with path.open("rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def find_changes(folder: Path) -> list[str]:
    """Return what differs from the list of hashes, a line each; nothing where there is no list.

    Raises:
        VenvpkgError: ``wheelhouse-changed``, for a list that is none.
    """
    if not (folder / SUMS).is_file():
        return []
    listed = {}
    for number, line in enumerate((folder / SUMS).read_text("utf-8", "replace").splitlines(), 1):
        value, _, name = line.partition("  ")
        if len(value) != 64 or not name:
            raise _changed([f"Line {number} of {SUMS} is none that sha256sum writes."])
        listed[name] = value
    there = sum_files(folder)
    changes = [f"{name}: it is not there any more" for name in listed if name not in there]
    changes += [
        f"{name}: listed with sha256:{listed[name]}, but it has sha256:{value}"
        for name, value in there.items()
        if listed.get(name, value) != value
    ]
    return changes + [f"{name}: it is not in {SUMS}" for name in there if name not in listed]


def require_unchanged(folder: Path) -> None:
    """Make sure that every file is the one that was listed.

    Raises:
        VenvpkgError: ``wheelhouse-changed``.
    """
    changes = find_changes(folder)
    if changes:
        raise _changed(changes)


def _changed(changes: list[str]) -> VenvpkgError:
    return VenvpkgError(
        code="wheelhouse-changed",
        message=f"{FOLDER} is not what {SUMS} in it lists.",
        causes=changes[:10],
        hint="Find out why before you trust it. To fetch all of it anew: venvpkg vendor",
    )


def find_stale(spec: Spec, folder: Path, python: str, architecture: str) -> list[str]:
    """Return why the archives are not those that a specification asks for now, a line each.

    A folder that has no record (one that ``pip download`` filled) is not judged.

    Args:
        spec: the specification as it is without the folder.
        folder: the wheelhouse.
        python: ``3.11``.
        architecture: Debian's name of the one that is built for.
    """
    if not (folder / RECORD).is_file():
        return []
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))[spec.package]
        origin = Origin(**record)
        before = dict(origin.inputs)
    except KeyError:
        return [f"nothing was fetched for {spec.package}"]
    except (OSError, ValueError, TypeError) as error:
        return [f"{RECORD} can't be read: {error}"]
    stale = []
    if origin.python != python:
        stale.append(f"it is for Python {origin.python}, and {spec.package} gets {python}")
    if origin.architecture not in ("any", architecture):
        stale.append(f"it is for {origin.architecture}, and this is {architecture}")
    now = inputs_of(spec)
    stale += [f"{name}: changed since" for name in now if before.get(name, now[name]) != now[name]]
    stale += [f"{name}: not there when it was fetched" for name in now if name not in before]
    return stale + [f"{name}: not there any more" for name in before if name not in now]


def require_fresh(spec: Spec, folder: Path, python: str, architecture: str) -> None:
    """Make sure that the archives were fetched for what is asked for now.

    Raises:
        VenvpkgError: ``wheelhouse-stale``.
    """
    stale = find_stale(spec, folder, python, architecture)
    if stale:
        raise VenvpkgError(
            code="wheelhouse-stale",
            message=f"{FOLDER} was fetched for something else than what is built now.",
            causes=stale,
            hint="Fetch it again: venvpkg vendor",
        )


def is_for_any(names: Iterable[str]) -> bool:
    """Tell whether none of some archives is for one architecture alone."""
    for name in names:
        try:
            tags = parse_wheel_filename(name)[3]
        except InvalidWheelFilename:
            continue
        if all(tag.platform != "any" for tag in tags):
            return False
    return True


def write_lists(folder: Path, origins: Mapping[str, Origin]) -> None:
    """Write what the folder was made from, and the hashes of all that is in it."""
    record = {package: asdict(origin) for package, origin in origins.items()}
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    lines = [f"{value}  {name}\n" for name, value in sum_files(folder).items()]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
