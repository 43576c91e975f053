"""What the user asked, validated, every mistake at once."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from string import ascii_letters as LETTERS
from typing import Any, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from venvpkg.control import relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME, Key
from venvpkg.report import Accepted

DEFAULT_ROOT = PurePosixPath("/opt/venvs")
DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
BUNDLE_PARTS = ("tests", "idle", "ensurepip", "static", "headers")
SEEDS = ("pip", "setuptools", "wheel")
PRUNE_PRESETS = ("tests", "headers", "static", "stubs", "docs", "locales")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The configuration of one binary package's environment.

    Fields are the keys of ``[tool.venvpkg]``; :mod:`venvpkg.keys` has their meaning.
    """

    package: str
    """Name of the binary package."""
    source: Path
    """The project's folder, absolute: where debian/ is."""
    requires_python: str = ""
    """``requires-python`` of pyproject.toml."""
    dependency_groups: Mapping[str, object] = field(default_factory=dict)
    """``[dependency-groups]`` of pyproject.toml."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What was set, key by key, after overrides; this is what the steps hand on to one another."""

    python: str = ""
    interpreter: str = "system"
    install_root: PurePosixPath = DEFAULT_ROOT
    env_name: str = ""
    project: str | None = "."
    requirements: tuple[str, ...] | None = None
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    preinstall: tuple[str, ...] = ()
    seed: tuple[str, ...] = ()
    require_hashes: bool | None = None
    system_site_packages: bool = False
    installer: str = "auto"
    installer_args: tuple[str, ...] = ()
    index_url: str = ""
    extra_index_url: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    build_isolation: bool = True
    build_constraints: tuple[str, ...] = ()
    config_settings: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    build_depends: tuple[str, ...] = ()
    build_depends_of: tuple[str, ...] = ()
    install_build_depends: bool = False
    bytecode: str = "build"
    strip: str = "built"
    prune: tuple[str, ...] = ()
    bundle_keep: tuple[str, ...] = ()
    layers: bool = False
    expose: tuple[str, ...] = ()
    """``("all",)`` for every entry point of the project."""
    demote: Mapping[str, str] = field(default_factory=dict)
    hermetic: bool = False
    compression: str = "zstd"
    smoke: tuple[str, ...] = ()
    accept: tuple[Accepted, ...] = ()

    @property
    def prefix(self) -> PurePosixPath:
        """Return the final prefix, ``/opt/venvs/myapp``."""
        return self.install_root / (self.env_name or self.package)

    @property
    def presets(self) -> tuple[str, ...]:
        """Return the presets of the key ``prune``."""
        return tuple(name for name in self.prune if name in PRUNE_PRESETS)

    @property
    def env_package(self) -> str:
        """Return the binary package that has what the project stands on; the same one without layers."""
        return env_package(self.package) if self.layers else self.package

    @classmethod
    def from_values(
        cls,
        package: str,
        source: Path,
        values: Mapping[str, Any],
        *,
        requires_python: str = "",
        dependency_groups: Mapping[str, object] | None = None,
    ) -> Self:
        """Validate ``values`` and make a spec of them.

        Raises:
            VenvpkgError: ``config-invalid``, with every mistake.
        """
        mistakes = [*find_mistakes(values), *find_deeper_mistakes(package, values)]
        if requires_python and not _is_specifier(requires_python):
            mistakes.append(f"requires-python is not a version specifier (PEP 440): {requires_python!r}")
        raise_mistakes(mistakes, "the configuration")
        fields = {name.replace("-", "_"): _freeze(BY_NAME[name], value) for name, value in values.items()}
        fields = {name: value for name, value in fields.items() if name in cls.__dataclass_fields__}
        return cls(
            package=package,
            source=source,
            requires_python=requires_python,
            dependency_groups=dependency_groups or {},
            values=dict(values),
            **fields,
        )


def env_package(package: str) -> str:
    """Return the name of the binary package that has the environment of a layered one."""
    return f"{package}-env"


def find_mistakes(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with names and types of keys, a line each."""
    mistakes = []
    for name, value in values.items():
        key = BY_NAME.get(name)
        if key is None:
            mistakes.append(f"unknown key {name!r}{nearest(name, BY_NAME)}")
        elif not _fits(key, value):
            mistakes.append(f"{name} must be {_describe(key)}, not {value!r}")
    return mistakes


def find_deeper_mistakes(package: str, values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with values of the right type."""
    if find_mistakes(values):
        return []
    mistakes = []
    root = values.get("install-root", "/opt/venvs")
    # POSIX leaves it open what two leading slashes mean, and so do Python's paths.
    absolute = root.startswith("/") and not root.startswith("//")
    if not absolute or ".." in root.split("/") or PurePosixPath(root) == PurePosixPath("/"):
        mistakes.append(f"install-root must be an absolute path other than /, not {root!r}")
    if "env-name" in values and not re.fullmatch(r"[A-Za-z0-9_+.-]*[A-Za-z0-9_+-]", values["env-name"]):
        mistakes.append(f"env-name must be one plain folder name, not {values['env-name']!r}")
    # A shebang line can't quote a blank, debian/conffiles neither, and dpkg-query takes a path for a pattern.
    if not re.fullmatch(r"[A-Za-z0-9/_.+~@%=,-]*", root):
        mistakes.append(f"install-root must be of letters, digits and the signs /_.+~@%=,- alone: {root!r}")
    for relation in values.get("build-depends", ()):
        clauses = relation_names(relation)
        if len(clauses) != 1 or not all(DEBIAN_PACKAGE.fullmatch(n) for n in clauses[0]):
            mistakes.append(f"build-depends: {relation!r} is no Debian package relation")
    for name in values.get("build-depends-of", ()):
        if not DEBIAN_PACKAGE.fullmatch(name):
            mistakes.append(f"build-depends-of: {name!r} is no name of a Debian source package")
    for name in values.get("bundle-keep", ()):
        if name not in BUNDLE_PARTS:
            mistakes.append(f"bundle-keep must be of {', '.join(BUNDLE_PARTS)}, not {name!r}")
    for text in values.get("seed", ()):
        if not re.fullmatch(rf"({'|'.join(SEEDS)})([=<>~!].+)?", text) or not _is_specifier(
            text.lstrip(LETTERS)
        ):
            mistakes.append(
                f"seed must be of {', '.join(SEEDS)}, each with a version or without, not {text!r}"
            )
    for glob in values.get("prune", ()):
        near = difflib.get_close_matches(glob, PRUNE_PRESETS, n=1, cutoff=0.75)
        if not glob.strip("!/"):
            mistakes.append(f"prune: {glob!r} is neither a preset nor a glob")
        elif near and glob not in PRUNE_PRESETS:
            mistakes.append(f"prune: {glob!r} is no preset{nearest(glob, dict.fromkeys(PRUNE_PRESETS))}")
    for name, level in values.get("demote", {}).items():
        if level not in ("Recommends", "Suggests"):
            mistakes.append(f'demote.{name} must be "Recommends" or "Suggests", not {level!r}')
    for number, record in enumerate(values.get("accept", ()), 1):
        for part in ("code", "path", "reason"):
            if not isinstance(record.get(part), str) or not record[part].strip():
                mistakes.append(f"accept, entry {number}: {part} is required")
        mistakes += [
            f"accept, entry {number}: unknown {k!r}" for k in record if k not in ("code", "path", "reason")
        ]
    for command in values.get("smoke", ()):
        try:
            words = shlex.split(command)
        except ValueError as error:
            mistakes.append(f"smoke: {command!r}: {error}")
        else:
            if not words:
                mistakes.append("smoke: an empty command")
    return mistakes


def raise_mistakes(mistakes: Sequence[str], where: str) -> None:
    """Raise ``config-invalid`` where there are mistakes."""
    if mistakes:
        raise mistaken(mistakes, where)


def mistaken(mistakes: Sequence[str], where: str) -> VenvpkgError:
    """Return the error ``config-invalid`` with every mistake."""
    count = "is a mistake" if len(mistakes) == 1 else f"are {len(mistakes)} mistakes"
    return VenvpkgError(
        code="config-invalid",
        message=f"There {count} in {where}.",
        causes=mistakes,
        hint="docs/configuration.md has every key and its type.",
    )


def _fits(key: Key, value: object) -> bool:
    strings = isinstance(value, list) and all(map(_is_text, value))
    match key.kind:
        case "string":
            return _is_text(value)
        case "list":
            return strings
        case "bool" | "automatic":
            return isinstance(value, bool)
        case "project":
            return _is_text(value) or value is False
        case "choice":
            return value in key.choices
        case "expose":
            return strings or value == "all"
        case "records":
            return isinstance(value, list) and all(isinstance(v, dict) for v in value)
        case "table" if key.name == "demote":
            return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        case "table":
            return isinstance(value, dict) and all(
                isinstance(v, dict) and all(map(_is_text, v)) and all(map(_is_setting, v.values()))
                for v in value.values()
            )


def _is_setting(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_text(value: object) -> bool:
    # Neither a path nor an argument of a command may hold a zero byte, which TOML can write.
    return isinstance(value, str) and "\0" not in value


def _describe(key: Key) -> str:
    match key.kind:
        case "list":
            return "a list of strings"
        case "bool" | "automatic":
            return "true or false"
        case "project":
            return "a path, or false"
        case "choice":
            return "one of " + ", ".join(f'"{c}"' for c in key.choices)
        case "expose":
            return 'a list of entry points, or "all"'
        case "records":
            return "a list of tables with code, path and reason"
        case "table" if key.name == "demote":
            return 'a table such as { psycopg2 = "Recommends" }'
        case "table":
            return 'a table by distribution, such as { pillow = { freetype = "enable" } }'
        case "string":
            return "a string"


def _freeze(key: Key, value: Any) -> Any:
    if key.name == "install-root":
        return PurePosixPath(value)
    if key.kind == "project":
        return None if value is False else value
    if key.kind == "expose" and value == "all":
        return ("all",)
    if key.kind == "records":
        return tuple(Accepted(**record) for record in value)
    if key.name == "demote":
        return {canonicalize_name(name): level for name, level in value.items()}
    if key.name == "config-settings":
        return {
            canonicalize_name(name): {k: (v,) if isinstance(v, str) else tuple(v) for k, v in table.items()}
            for name, table in value.items()
        }
    return tuple(value) if isinstance(value, list) else value


def nearest(name: str, known: Mapping[str, object]) -> str:
    """Return words that name the nearest known name, or none where nothing is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; the nearest is {close[0]!r}" if close else ""


def _is_specifier(text: str) -> bool:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
