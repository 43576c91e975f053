"""Reads debian/control and debian/changelog."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debian.changelog import Changelog, ChangelogParseError
from debian.deb822 import Deb822, PkgRelation

from venvpkg.errors import VenvpkgError


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One binary package of debian/control."""

    name: str
    architecture: str
    """The field as written: ``any``, ``all``, or a list of architectures."""
    fields: dict[str, str]
    """Every field of the stanza, by its name in its usual capitals (Policy §5.1 makes no difference)."""

    @property
    def is_arch_all(self) -> bool:
        """Tell whether the package is the same on every architecture."""
        return self.architecture == "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """debian/control as a value."""

    source: str
    build_depends: str
    """Build-Depends, -Arch and -Indep joined by commas."""
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Relationship clauses for the package, by field."""

    depends: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    suggests: tuple[str, ...] = ()


def read_control(path: Path) -> Control:
    """Read a debian/control file.

    Raises:
        VenvpkgError: ``control-missing``, ``control-invalid``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise VenvpkgError(
            code="control-missing",
            message=f"There is no {path}.",
            hint="Run this from the top of a Debian source package.",
        ) from None
    except UnicodeDecodeError as error:
        name = shlex.quote(str(path))
        raise VenvpkgError(
            code="control-invalid",
            message=f"{path} is not UTF-8.",
            causes=[str(error)],
            hint=f"If it is Latin-1: iconv -f latin1 -t utf-8 -o {name}.new {name} && mv {name}.new {name}",
        ) from None
    stanzas = [
        canonical_fields(s) for s in Deb822.iter_paragraphs(text.splitlines(keepends=True), use_apt_pkg=False)
    ]
    if not stanzas or "Source" not in stanzas[0]:
        raise VenvpkgError(
            code="control-invalid",
            message=f"{path} does not begin with a Source stanza.",
            hint="See deb-src-control(5).",
        )
    source = stanzas[0]
    fields = ("Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep")
    return Control(
        source=source["Source"],
        build_depends=", ".join(source[f].strip().rstrip(",") for f in fields if source.get(f, "").strip()),
        packages=tuple(
            Package(name=s["Package"], architecture=s.get("Architecture", ""), fields=s)
            for s in stanzas[1:]
            if "Package" in s
        ),
    )


def canonical_fields(stanza: Mapping[str, str]) -> dict[str, str]:
    """Return fields under their usual names, for names have no case (Policy §5.1)."""
    return {"-".join(part.capitalize() for part in name.split("-")): stanza[name] for name in stanza}


def read_upstream_version(path: Path) -> str:
    """Return the upstream version of the newest entry of a debian/changelog, without epoch and revision.

    Raises:
        VenvpkgError: ``changelog-invalid``.
    """
    return _read_newest(path)[1]


def read_changelog_source(path: Path) -> str:
    """Return the source package that a debian/changelog is of.

    Raises:
        VenvpkgError: ``changelog-invalid``.
    """
    return _read_newest(path)[0]


def _read_newest(path: Path) -> tuple[str, str]:
    try:
        with path.open(encoding="utf-8") as stream:
            changelog = Changelog(stream, max_blocks=1)
            source, version = changelog.package, changelog.version.upstream_version
    except (OSError, ValueError, ChangelogParseError, IndexError, AttributeError) as error:
        # Where there is no entry, python-debian has an IndexError or no version at all.
        raise VenvpkgError(
            code="changelog-invalid",
            message=f"Could not read a version from {path}.",
            causes=[str(error)],
            hint=f"dpkg tells which line it is: dpkg-parsechangelog -l {shlex.quote(str(path))}",
        ) from error
    return str(source), str(version)


def relation_names(relations: str) -> list[list[str]]:
    """Return the package names of a relationship field: one list of alternatives for each clause.

    The syntax is that of Debian Policy §7.1; versions, architectures and profiles are left out.
    """
    # A comma may stand at the end, or twice, and python-debian warns of the nothing behind it.
    clauses = [clause for clause in relations.split(",") if clause.strip()]
    parsed = PkgRelation.parse_relations(",".join(clauses)) if clauses else []
    return [[str(alternative["name"]) for alternative in clause] for clause in parsed if clause]


def format_relations(relations: Sequence[str]) -> str:
    """Join relationship clauses into the value of one field, each clause once."""
    return ", ".join(dict.fromkeys(" ".join(clause.split()) for clause in relations))
