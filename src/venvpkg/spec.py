"""What the user asked, validated, every mistake at once."""

import difflib
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from venvpkg.control import relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME, KEYS, Key
from venvpkg.report import Accepted

DEFAULT_ROOT = PurePosixPath("/opt/venvs")
OWN_FILE = "debian/venvpkg.toml"
DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
LATER = {
    "interpreter": ("bundled", "A bundled interpreter"),
    "layers": (True, "Layers"),
}
LATER_LISTS = ("bundle-keep", "build-constraints")
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
    config_settings: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    build_depends: tuple[str, ...] = ()
    build_depends_of: tuple[str, ...] = ()
    install_build_depends: bool = False
    bytecode: str = "build"
    strip: str = "built"
    prune: tuple[str, ...] = ()
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
            VenvpkgError: ``config-invalid``, with every mistake; ``not-there-yet``.
        """
        mistakes = [*find_mistakes(values), *find_deeper_mistakes(package, values)]
        if requires_python and not _is_specifier(requires_python):
            mistakes.append(f"requires-python is not a version specifier (PEP 440): {requires_python!r}")
        raise_mistakes(mistakes, "the configuration")
        refuse_later(values)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the files of a project say, before it is known for which binary package."""

    source: Path
    origin: str
    """Where the keys were read: ``pyproject.toml`` or ``debian/venvpkg.toml``; for messages."""
    values: Mapping[str, Any]
    packages: Mapping[str, Mapping[str, Any]]
    """Overrides by binary package, from ``[tool.venvpkg.packages.NAME]``."""
    requires_python: str
    dependency_groups: Mapping[str, object]

    def spec(self, package: str, variables: Mapping[str, Any], options: Mapping[str, Any]) -> Spec:
        """Return the spec for one binary package: option beats variable beats package beats file."""
        values = {**self.values, **self.packages.get(package, {}), **variables, **options}
        return self.with_values(package, values)

    def with_values(self, package: str, values: Mapping[str, Any]) -> Spec:
        """Return the spec for one binary package from values that are already merged."""
        return Spec.from_values(
            package,
            self.source,
            values,
            requires_python=self.requires_python,
            dependency_groups=self.dependency_groups,
        )


def read_configuration(source: Path) -> Configuration:
    """Read pyproject.toml and debian/venvpkg.toml.

    Raises:
        VenvpkgError: ``config-syntax``, ``config-invalid``.
    """
    pyproject = _read_toml(source / "pyproject.toml")
    own = source / "debian" / "venvpkg.toml"
    if own.is_file():
        origin, table = OWN_FILE, _read_toml(own)
    else:
        tool = pyproject.get("tool", {})
        origin, table = (
            "[tool.venvpkg] in pyproject.toml",
            tool.get("venvpkg", {}) if isinstance(tool, dict) else {},
        )
    if not isinstance(table, dict):
        raise mistaken(["tool.venvpkg is not a table"], "pyproject.toml")
    packages = table.pop("packages", {})
    mistakes = find_mistakes(table)
    if not isinstance(packages, dict) or not all(isinstance(v, dict) for v in packages.values()):
        raise_mistakes([*mistakes, "packages must hold a table for each binary package"], origin)
    for name, overrides in packages.items():
        mistakes += [f"packages.{name}: {m}" for m in find_mistakes(overrides)]
    raise_mistakes(mistakes, origin)
    project = pyproject.get("project", {})
    groups = pyproject.get("dependency-groups", {})
    return Configuration(
        source=source,
        origin=origin,
        values=table,
        packages=packages,
        requires_python=str(project.get("requires-python", "")) if isinstance(project, dict) else "",
        dependency_groups=groups if isinstance(groups, dict) else {},
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VenvpkgError(
            code="config-syntax",
            message=f"{path.name} is not valid TOML.",
            causes=[str(error)],
            hint="See https://toml.io",
        ) from error


def read_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys that ``DH_VENVPKG_*`` variables set; lists are shell words.

    Raises:
        VenvpkgError: ``config-invalid``.
    """
    known = {key.variable: key for key in KEYS if key.has_option}
    mistakes = [
        f"{name} is no variable of venvpkg's{_nearest(name, known)}"
        for name in environ
        if name.startswith("DH_VENVPKG_") and name not in known
    ]
    values = {}
    for name, key in known.items():
        if name in environ:
            try:
                values[key.name] = parse_text(key, environ[name])
            except ValueError as error:
                mistakes.append(f"{name}: {error}")
    raise_mistakes(mistakes, "the environment")
    return values


def read_options(given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the keys that command-line options set; each option has the list of its values."""
    values: dict[str, Any] = {}
    mistakes = []
    for name, words in given.items():
        key = BY_NAME[name]
        try:
            if key.kind == "list" or (key.kind == "expose" and list(words) != ["all"]):
                values[name] = list(words)
            else:
                values[name] = parse_text(key, words[-1])
        except ValueError as error:
            mistakes.append(f"--{name}: {error}")
    raise_mistakes(mistakes, "the options")
    return values


def parse_text(key: Key, text: str) -> Any:
    """Read a key's value from a variable or an option.

    Raises:
        ValueError: for text that is no value of that kind.
    """
    lowered = text.strip().lower()
    if key.kind == "list" or (key.kind == "expose" and lowered != "all"):
        return shlex.split(text)
    if key.kind in ("bool", "automatic") or (
        key.kind == "project" and lowered in ("0", "false", "no", "off")
    ):
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off", ""):
            return False
        raise ValueError(f"expected true or false, not {text!r}")
    return text


def read_compression(configuration: Configuration, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return dpkg-deb's variables for the key ``compression`` (dpkg-deb(1)).

    They hold for the whole source package, and reach a ``dh_builddeb`` in an override as well.
    """
    chosen = {**configuration.values, **variables}.get("compression", "zstd")
    made = {"DPKG_DEB_COMPRESSOR_TYPE": str(chosen)}
    if chosen == "zstd":
        # Level 9 takes a twentieth of xz's time, for a fifth more bytes.
        made["DPKG_DEB_COMPRESSOR_LEVEL"] = "9"
    return made


def find_mistakes(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with names and types of keys, a line each."""
    mistakes = []
    for name, value in values.items():
        key = BY_NAME.get(name)
        if key is None:
            mistakes.append(f"unknown key {name!r}{_nearest(name, BY_NAME)}")
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
    # A shell quotes a blank; the kernel's shebang line can't, and neither can debian/conffiles.
    if re.search(r"[\s'\"\\$`]", root):
        mistakes.append(f"install-root must not hold blanks or quotes: {root!r}")
    for relation in values.get("build-depends", ()):
        clauses = relation_names(relation)
        if len(clauses) != 1 or not all(DEBIAN_PACKAGE.fullmatch(n) for n in clauses[0]):
            mistakes.append(f"build-depends: {relation!r} is no Debian package relation")
    for name in values.get("build-depends-of", ()):
        if not DEBIAN_PACKAGE.fullmatch(name):
            mistakes.append(f"build-depends-of: {name!r} is no name of a Debian source package")
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


def refuse_later(values: Mapping[str, Any]) -> None:
    """Refuse what is designed and not built yet, rather than ignore it."""
    wanted = [
        f"{what} ({key} = {value!r})" for key, (value, what) in LATER.items() if values.get(key) == value
    ]
    wanted += [key for key in LATER_LISTS if values.get(key)]
    wanted += [f'prune = ["{name}"]' for name in values.get("prune", ()) if name in PRUNE_PRESETS]
    if wanted:
        raise VenvpkgError(
            code="not-there-yet",
            message=f"This version of venvpkg has not got: {', '.join(wanted)}.",
            hint="Leave it out. For prune, write globs such as */site-packages/*/tests",
        )


def select_packages(configuration: Configuration, packages: Sequence[str]) -> tuple[str, ...]:
    """Return the binary packages that get an environment.

    Raises:
        VenvpkgError: ``packages-unnamed``, ``package-unknown``.
    """
    unknown = [name for name in configuration.packages if name not in packages]
    if unknown:
        raise VenvpkgError(
            code="package-unknown",
            message=f"{configuration.origin} names what debian/control has not: {', '.join(unknown)}.",
            causes=[f"debian/control has: {', '.join(packages) or 'no binary package'}."],
            hint="Correct the name of the table packages.NAME, or add the package to debian/control.",
        )
    if configuration.packages:
        return tuple(name for name in packages if name in configuration.packages)
    if len(packages) != 1:
        table = "" if configuration.origin == OWN_FILE else "tool.venvpkg."
        raise VenvpkgError(
            code="packages-unnamed",
            message=f"There are {len(packages)} binary packages, and none is named as having an environment.",
            causes=[f"They are: {', '.join(packages) or 'none'}."],
            hint="Name each that gets one, with an empty table where nothing differs:\n"
            f"[{table}packages.{packages[0] if packages else 'myapp'}]",
        )
    return tuple(packages)


def _fits(key: Key, value: object) -> bool:
    strings = isinstance(value, list) and all(isinstance(v, str) for v in value)
    match key.kind:
        case "string":
            return isinstance(value, str)
        case "list":
            return strings
        case "bool" | "automatic":
            return isinstance(value, bool)
        case "project":
            return isinstance(value, str) or value is False
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
                isinstance(v, dict) and all(_is_setting(s) for s in v.values()) for v in value.values()
            )


def _is_setting(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value))


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


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; the nearest is {close[0]!r}" if close else ""


def _is_specifier(text: str) -> bool:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
