"""What a project says of itself: from pyproject.toml, or from the distribution that its back end built."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from email.utils import getaddresses
from pathlib import Path
from typing import Any, Self

from packaging.utils import canonicalize_name

from venvpkg.errors import VenvpkgError

# What has a name of its own among the labels of Project-URL, in the order of what is taken for the homepage.
HOMEPAGES = ("homepage", "home", "source", "sourcecode", "repository", "github", "documentation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An author or a maintainer."""

    name: str
    """Empty where only the address is known."""
    email: str
    """Empty where only the name is known."""

    def __str__(self) -> str:
        """Return it as the field Maintainer has it (Policy §5.6.2)."""
        # A comma would begin another address.
        name = " ".join((self.name or self.email.partition("@")[0]).replace(",", "").split())
        return f"{name} <{self.email}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Core metadata of a project; what is not known is empty."""

    name: str = ""
    """Normalized name (PEP 503)."""
    version: str = ""
    """As PEP 440 has it."""
    summary: str = ""
    people: tuple[Person, ...] = ()
    """Maintainers, then authors."""
    licence: str = ""
    """An SPDX expression, or what the classifiers say."""
    licence_text: str = ""
    """The whole text, where it stands in pyproject.toml itself."""
    licence_files: tuple[str, ...] = ()
    """Globs relative to the project's folder."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """By label, in lower case and without punctuation ("Well-known Project URLs" of the PyPA)."""
    classifiers: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    """Names of its programs: console scripts, gui-scripts, and where that is known, others in bin/."""

    @classmethod
    def from_pyproject(cls, pyproject: Mapping[str, Any]) -> Self:
        """Read the table ``[project]``, as far as it is static (PEP 621).

        Raises:
            VenvpkgError: ``project-invalid``, with every mistake.
        """
        table = pyproject["project"] if "project" in pyproject else _read_poetry(pyproject)
        mistakes = list(_find_mistakes(table))
        if mistakes:
            raise VenvpkgError(
                code="project-invalid",
                message="The table [project] of pyproject.toml is not as the specification has it.",
                causes=mistakes,
                hint="https://packaging.python.org/specifications/pyproject-toml/ has every key.",
            )
        told = table.get("license", "")
        classifiers = tuple(table.get("classifiers", ()))
        people = [*table.get("maintainers", ()), *table.get("authors", ())]
        named = told.get("text", "") if isinstance(told, dict) else told
        in_file = (told["file"],) if isinstance(told, dict) and "file" in told else ()
        return cls(
            name=canonicalize_name(table.get("name", "")),
            version=table.get("version", ""),
            summary=" ".join(table.get("description", "").split()),
            people=tuple(Person(name=p.get("name", ""), email=p.get("email", "")) for p in people),
            # Some put the whole text there.
            licence=named if named and "\n" not in named.strip() else _classified(classifiers),
            licence_text=named if "\n" in named.strip() else "",
            licence_files=(*in_file, *table.get("license-files", ())),
            urls={_label(k): v for k, v in table.get("urls", {}).items()},
            classifiers=classifiers,
            scripts=(*table.get("scripts", {}), *table.get("gui-scripts", {})),
        )

    @classmethod
    def from_headers(cls, headers: Message, licence: str, scripts: Iterable[str]) -> Self:
        """Take it from a distribution's METADATA.

        Args:
            headers: of METADATA (core metadata specifications).
            licence: what :class:`venvpkg.distributions.Distribution` has.
            scripts: names of its programs.
        """
        pairs = [
            (headers.get(name) or "", headers.get(f"{name}-email") or "") for name in ("Maintainer", "Author")
        ]
        urls = [text.partition(",") for text in headers.get_all("Project-URL") or ()]
        home = headers.get("Home-page") or ""
        return cls(
            name=canonicalize_name(headers.get("Name") or ""),
            version=headers.get("Version") or "",
            summary=" ".join((headers.get("Summary") or "").split()),
            people=tuple(person for names, emails in pairs for person in _people(names, emails)),
            licence="" if licence == "UNKNOWN" else licence,
            licence_files=tuple(headers.get_all("License-File") or ()),
            urls={
                **({"homepage": home} if home else {}),
                **{_label(label): url.strip() for label, _, url in urls},
            },
            classifiers=tuple(headers.get_all("Classifier") or ()),
            scripts=tuple(scripts),
        )

    def completed(self, other: "Metadata") -> "Metadata":
        """Return it with what it has not from ``other``."""
        values = {name: getattr(self, name) or getattr(other, name) for name in self.__dataclass_fields__}
        return replace(self, **values)

    @property
    def homepage(self) -> str:
        """Return the URL of the project's page, or nothing."""
        found = (self.urls.get(label, "") for label in HOMEPAGES)
        return next((url for url in found if re.fullmatch(r"https?://\S+", url)), "")


def _read_poetry(pyproject: Mapping[str, Any]) -> dict[str, Any]:
    """Return what poetry's own table says under the names of PEP 621, as far as they mean the same."""
    tool = pyproject.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    values = poetry if isinstance(poetry, dict) else {}
    return {k: values[k] for k in ("name", "version", "description") if isinstance(values.get(k), str)}


def _find_mistakes(table: object) -> Iterable[str]:
    if not isinstance(table, dict):
        yield "project is no table"
        return
    for key in ("name", "version", "description"):
        if not isinstance(table.get(key, ""), str):
            yield f"{key} must be a string, not {table[key]!r}"
    name = table.get("name", "x")
    if isinstance(name, str) and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        yield f"name must be of letters, digits and the signs ._- alone: {name!r}"
    for key in ("classifiers", "license-files", "dynamic"):
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            yield f"{key} must be a list of strings"
    for key in ("authors", "maintainers"):
        value = table.get(key, [])
        if not isinstance(value, list) or not all(_is_table_of_strings(v) for v in value):
            yield f"{key} must be a list of tables with name and email"
    for key in ("urls", "scripts", "gui-scripts"):
        if not _is_table_of_strings(table.get(key, {})):
            yield f"{key} must be a table of strings"
    told = table.get("license", "")
    if not (isinstance(told, str) or _is_table_of_strings(told)):
        yield "license must be an SPDX expression, or a table with text or file"


def _is_table_of_strings(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _people(names: str, emails: str) -> list[Person]:
    found = [Person(name=name, email=email) for name, email in getaddresses([emails]) if email]
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if len(listed) == len(found) == 1 and not found[0].name:
        # Older back ends have each in a field of its own.
        return [Person(name=listed[0], email=found[0].email)]
    return [*found, *(Person(name=name, email="") for name in listed)]


def _classified(classifiers: Iterable[str]) -> str:
    names = [c.rsplit("::", 1)[1].strip() for c in classifiers if c.startswith("License ::")]
    return ", ".join(names)


def _label(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def find_licence_files(folder: Path, metadata: Metadata) -> list[Path]:
    """Return the files that hold the project's licence: those that it names, or those of the usual names."""
    globs = metadata.licence_files or ("LICEN[CS]E*", "COPYING*", "licen[cs]e*")
    found = (
        path
        for glob in globs
        if not glob.startswith("/") and ".." not in glob
        for path in _match(folder, glob)
    )
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _match(folder: Path, glob: str) -> list[Path]:
    """Return what a pattern means in a folder; nothing where pathlib has another syntax than it."""
    try:
        # At the end, two asterisks are folders alone to pathlib.
        return sorted(folder.glob(f"{glob}/*" if glob.endswith("**") else glob))
    except (ValueError, NotImplementedError, IndexError):
        return []
