"""Reads the configuration: files, variables and options, and which packages they are for."""

import re
import shlex
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, Self

from venvpkg.control import Package
from venvpkg.errors import VenvpkgError
from venvpkg.keys import BY_NAME, KEYS, Key
from venvpkg.spec import (
    DEFAULT_ROOT,
    Spec,
    env_package,
    find_mistakes,
    mistaken,
    nearest,
    raise_mistakes,
)

OWN_FILE = "debian/venvpkg.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the files of a project say, before it is known for which binary package."""

    source: Path
    origin: str
    """Where the keys were read: ``pyproject.toml`` or ``debian/venvpkg.toml``; for messages."""
    values: Mapping[str, Any]
    packages: Mapping[str, Mapping[str, Any]]
    """Overrides by binary package, from ``[tool.venvpkg.packages.NAME]``."""

    def spec(self, package: str, variables: Mapping[str, Any], options: Mapping[str, Any]) -> Spec:
        """Return the spec for one binary package: option beats variable beats package beats file."""
        return self.with_values(package, self.merge(package, variables, options))

    def merge(self, package: str, variables: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values for one binary package, not yet checked."""
        return {**self.values, **self.packages.get(package, {}), **variables, **options}

    def with_values(self, package: str, values: Mapping[str, Any]) -> Spec:
        """Return the spec for one binary package from values that are already merged."""
        folder = self.source / (values.get("project") or ".")
        pyproject = read_toml(folder / "pyproject.toml")
        project, groups = pyproject.get("project"), pyproject.get("dependency-groups")
        return Spec.from_values(
            package,
            self.source,
            values,
            # The range of a project that is not installed binds nothing; venvpkg.versions reads it as a wish.
            requires_python=str(project.get("requires-python", ""))
            if isinstance(project, dict) and values.get("project") is not False
            else "",
            dependency_groups=groups if isinstance(groups, dict) else {},
        )


def read_configuration(source: Path) -> Configuration:
    """Read pyproject.toml and debian/venvpkg.toml.

    Raises:
        VenvpkgError: ``config-syntax``, ``config-invalid``.
    """
    pyproject = read_toml(source / "pyproject.toml")
    own = source / "debian" / "venvpkg.toml"
    if own.is_file():
        origin, table = OWN_FILE, read_toml(own)
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
    return Configuration(source=source, origin=origin, values=table, packages=packages)


def find_unread(source: Path) -> str:
    """Return a sentence where pyproject.toml has a table that is not read, or nothing."""
    tool = read_toml(source / "pyproject.toml").get("tool")
    if (source / OWN_FILE).is_file() and isinstance(tool, dict) and tool.get("venvpkg"):
        return f"[tool.venvpkg] in pyproject.toml is not read: {OWN_FILE} is in its place"
    return ""


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's table; an empty one where there is no file.

    Raises:
        VenvpkgError: ``config-syntax``.
    """
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # Besides its own error, tomllib has those of a number with thousands of digits, and of deep nesting.
    except (ValueError, RecursionError) as error:
        raise VenvpkgError(
            code="config-syntax",
            message=f"{path.name} is not valid TOML.",
            causes=[str(error)],
            hint="See https://toml.io",
        ) from error
    except OSError as error:
        raise VenvpkgError(
            code="config-syntax",
            message=f"Could not read {path.name}.",
            causes=[str(error)],
            hint="Is it a file that this user may read?",
        ) from error


def read_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys that ``DH_VENVPKG_*`` variables set; lists are shell words.

    Raises:
        VenvpkgError: ``config-invalid``.
    """
    known = {key.variable: key for key in KEYS if key.has_option}
    mistakes = [
        f"{name} is no variable of venvpkg's{nearest(name, known)}"
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


def find_layers(packages: Sequence[str], layered: Iterable[str]) -> frozenset[str]:
    """Return the binary packages that are the layer under one of the ``layered``."""
    return frozenset(map(env_package, layered)) & frozenset(packages)


def select_packages(
    configuration: Configuration, packages: Sequence[str], layers: Container[str] = ()
) -> tuple[str, ...]:
    """Return the binary packages that get an environment.

    Args:
        configuration: what the files say.
        packages: all that debian/control has.
        layers: those that are a part of another one's environment.

    Raises:
        VenvpkgError: ``packages-unnamed``, ``package-unknown``.
    """
    parts = [name for name in configuration.packages if name in layers]
    if parts:
        raise mistaken(
            [
                f"packages.{name}: it is a layer of {name.removesuffix('-env')}, which has the keys"
                for name in parts
            ],
            configuration.origin,
        )
    unknown = [name for name in configuration.packages if name not in packages]
    if unknown:
        raise VenvpkgError(
            code="package-unknown",
            message=f"{configuration.origin} names what debian/control has not: {', '.join(unknown)}.",
            causes=[f"debian/control has: {', '.join(packages) or 'no binary package'}."],
            hint="Correct the name of the table packages.NAME, or add the package to debian/control.",
        )
    packages = [name for name in packages if name not in layers]
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


def make_specs(
    configuration: Configuration,
    packages: Sequence[Package],
    called: Sequence[str],
    variables: Mapping[str, Any],
    options: Mapping[str, Any],
) -> list[Spec]:
    """Return the specs of those called packages that get an environment.

    Args:
        configuration: what the files say.
        packages: every binary package of debian/control.
        called: the packages to act on; options are for these alone.
        variables: from :func:`read_variables`.
        options: from :func:`read_options`.

    Raises:
        VenvpkgError: ``packages-unnamed``, ``package-unknown``, ``prefixes-collide``, ``commands-collide``,
            ``config-invalid``.
    """
    names = [package.name for package in packages]
    merged = {name: configuration.merge(name, variables, options if name in called else {}) for name in names}
    layers = find_layers(names, (name for name in names if merged[name].get("layers") is True))
    selected = select_packages(configuration, names, layers)
    specs = [configuration.spec(name, variables, options) for name in selected if name in called]
    # A package that is not built this time is installed beside the others all the same.
    places = [Place.of(p, merged[p.name]) for p in packages if p.name in selected]
    require_apart(
        [pair for pair in combinations(places, 2) if not excludes(pair[0].package, pair[1].package)]
    )
    return specs


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a package has what no other may have."""

    package: Package
    prefix: PurePosixPath
    commands: frozenset[str]
    """The names in /usr/bin that the configuration tells."""

    @classmethod
    def of(cls, package: Package, values: Mapping[str, Any]) -> Self:
        """Take it from the values for a package."""
        root = PurePosixPath(values.get("install-root", DEFAULT_ROOT))
        exposed = values.get("expose", ())
        return cls(
            package=package,
            prefix=root / (values.get("env-name") or package.name),
            commands=frozenset(exposed if isinstance(exposed, list) else ()),
        )


def require_apart(pairs: Sequence[tuple[Place, Place]]) -> None:
    """Make sure that packages that can be installed together share no prefix and no command.

    Raises:
        VenvpkgError: ``prefixes-collide``, also for a prefix inside another; ``commands-collide``.
    """
    for code, what, key, tell in (
        ("prefixes-collide", "environments", "env-name", _shared_prefix),
        ("commands-collide", "commands", "expose", _shared_commands),
    ):
        found = [pair for pair in pairs if tell(*pair)]
        if found:
            one, other = (place.package.name for place in found[0])
            raise VenvpkgError(
                code=code,
                message=f"Packages that can be installed together have their {what} in the same place.",
                causes=[tell(*pair) for pair in found],
                hint=f"Set {key} in the table of each, or let debian/control say in the stanza of {other}:\n"
                f"Conflicts: {one}",
            )


def _shared_prefix(one: Place, other: Place) -> str:
    apart = not (one.prefix.is_relative_to(other.prefix) or other.prefix.is_relative_to(one.prefix))
    sentence = f"{one.package.name} has {one.prefix}, and {other.package.name} has {other.prefix}."
    return "" if apart else sentence


def _shared_commands(one: Place, other: Place) -> str:
    names = ", ".join(sorted(one.commands & other.commands))
    return f"{one.package.name} and {other.package.name} expose {names}." if names else ""


def excludes(one: Package, other: Package) -> bool:
    """Tell whether one of two packages conflicts with every version of the other (Policy §7.4)."""
    for package, against in ((one, other), (other, one)):
        names = {against.name, *field_names(against, "Provides")}
        if not names.isdisjoint(field_names(package, "Conflicts", unversioned=True)):
            return True
    return False


def field_names(package: Package, field: str, *, unversioned: bool = False) -> list[str]:
    """Return the package names in a relationship field, or those without a version alone."""
    clauses = [clause.strip() for clause in package.fields.get(field, "").split(",")]
    wanted = [c for c in clauses if c and not (unversioned and "(" in c)]
    return [re.split(r"[\s(:\[<]", clause, maxsplit=1)[0] for clause in wanted]
