"""Writes a debian/ for a project that has none."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path, PurePosixPath

from venvpkg.debversion import to_debian
from venvpkg.errors import VenvpkgError
from venvpkg.licences import (
    UNDECLARED,
    as_field,
    describe_licence,
    find_holders,
    is_common,
    read_text,
    recognise,
    short_name,
    wrap,
)
from venvpkg.metadata import Metadata, Person, find_licence_files
from venvpkg.policy import choose_policy, choose_section, find_tags, make_synopsis, package_name
from venvpkg.rehearsal import Inside
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec
from venvpkg.templates import render_template

FIXME, UNKNOWN_VERSION = "FIXME:", "0~FIXME"
OPEN = re.compile(rf"(?:[\w-]+[:=] ?| -- ){FIXME}|\S+ \({UNKNOWN_VERSION}")
# Files that let debhelper take another build system than none, or run autoreconf.
FOREIGN = (
    "Makefile",
    "makefile",
    "GNUmakefile",
    "CMakeLists.txt",
    "configure",
    "configure.ac",
    "configure.in",
    "meson.build",
    "build.xml",
    "Makefile.PL",
    "Build.PL",
)
MODES = {"debian/rules": 0o755}
# There is one of each in every debian/.
ALWAYS = ("debian/control", "debian/rules", "debian/changelog", "debian/copyright")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One binary package of a :class:`Draft`."""

    name: str
    architecture: str
    """``any``, or ``all`` where there is no machine code."""
    prefix: PurePosixPath
    layers: bool
    """There is a second package under it."""
    extended: str
    """The extended description, as lines of a field."""
    modules: tuple[str, ...]
    """What its autopkgtest imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the templates of a debian/ are filled with."""

    name: str
    """Of the source package."""
    version: str
    """As debian/changelog has it."""
    distribution: str
    maintainer: str
    """Name and address; like every text here, what is not known is a line that begins with FIXME."""
    date: str
    """As RFC 5322 has it."""
    synopsis: str
    section: str
    homepage: str
    build_depends: tuple[str, ...]
    packages: tuple[Binary, ...]
    developers_files: tuple[str, ...]
    """Files that would make debhelper run another build system."""
    change: str
    """The changelog's one line."""
    holders: tuple[str, ...]
    """Who holds the copyright."""
    licence: str
    """Short name (DEP-5)."""
    licence_text: str
    """As lines of a field."""
    bundled: tuple[tuple[str, str], ...]
    """Name and licence of each distribution that is not the project."""
    service: str
    """A command line for a systemd unit, or empty for none."""
    exposed: tuple[str, ...]
    """Commands for /usr/bin; none where the project's own configuration says which."""
    tags: str
    """URL of the page of tags on a forge, or empty."""
    policy: str
    """The version of Debian Policy that it was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What a draft takes beside the project's metadata."""

    folder: Path
    """The project's."""
    source: str = ""
    """The source package's name where there is one already."""
    specs: Sequence[Spec]
    """One for each environment."""
    inside: Sequence[Inside]
    """What is in each; none where that is not known."""
    build_depends: tuple[str, ...]
    """The declared list."""
    configured: bool
    """The project has a table ``[tool.venvpkg]``, or debian/venvpkg.toml."""
    people: tuple[Person, ...]
    """Who may be the maintainer, after those that the metadata names."""
    date: datetime
    codename: str
    """VERSION_CODENAME of this system (os-release(5)), or empty."""
    service: str | None
    """What was asked for: a command line, empty for the project's own program, None for none."""
    taken: tuple[str, ...] = ()
    """Commands that another package has."""
    version: str = UNKNOWN_VERSION
    """What debian/changelog has where the project has no version."""


def make_draft(metadata: Metadata, background: Background) -> Draft:
    """Decide what stands in debian/.

    Raises:
        VenvpkgError: ``name-unknown``, ``version-invalid``, ``service-program-unknown``.
    """
    names = [spec.package for spec in background.specs]
    known: list[Inside | None] = [*background.inside] or [None] * len(names)
    place = background.folder / (background.specs[0].project or ".")
    text = "\n".join(map(read_text, find_licence_files(place, metadata)))
    if not text and metadata.licence_text:
        text = metadata.licence_text
        licence = short_name(recognise(text) or "custom")
    else:
        # A text of its own is what its words are.
        named = metadata.licence or (recognise(text) or "custom" if text else "")
        licence = short_name(named) if named else UNDECLARED
    return Draft(
        name=background.source or package_name(metadata.name),
        version=to_debian(metadata.version) if metadata.version else background.version,
        distribution="unstable",
        maintainer=choose_maintainer((*metadata.people, *background.people)),
        date=format_datetime(background.date),
        synopsis=make_synopsis(metadata.summary, metadata.name) or f"{FIXME} what it is, in one line",
        section=choose_section(metadata.classifiers),
        homepage=metadata.homepage,
        build_depends=(
            "debhelper-compat (= 13)",
            "dh-sequence-venvpkg",
            *dict.fromkeys(_python(spec, one) for spec, one in zip(background.specs, known, strict=True)),
            *background.build_depends,
        ),
        packages=tuple(
            _binary(spec, metadata, one) for spec, one in zip(background.specs, known, strict=True)
        ),
        developers_files=tuple(name for name in FOREIGN if (background.folder / name).is_file()),
        change="Package made by venvpkg init.",
        holders=tuple(_holders(metadata, text, licence, background.date.year)),
        licence=licence,
        licence_text=describe_licence(licence, text),
        bundled=tuple(sorted({pair for one in background.inside for pair in _told(one)})),
        service=choose_program(metadata, background) if background.service is not None else "",
        exposed=exposed_commands(metadata, background),
        tags=find_tags(metadata.urls.values()),
        policy=choose_policy(background.codename),
    )


def _python(spec: Spec, inside: Inside | None) -> str:
    """Return the package of the interpreter, with its headers unless it is known that nothing takes them."""
    return python_package(spec) if inside and not inside.compiles else f"{python_package(spec)}-dev"


def python_package(spec: Spec) -> str:
    """Return the Debian package that the key ``python`` speaks of."""
    named = re.fullmatch(r"(?:python)?(3\.\d+)", spec.python)
    return f"python{named[1]}" if named and spec.interpreter == "system" else "python3"


def _binary(spec: Spec, metadata: Metadata, inside: Inside | None) -> Binary:
    # Otherwise it would say the same as the synopsis.
    whole = (
        f"{metadata.name}: {metadata.summary.rstrip('.')}."
        if make_synopsis(metadata.summary, "").endswith(" …")
        else ""
    )
    own = (
        f"The package holds {metadata.name} with everything that it requires, in a Python environment "
        f"of its own: {spec.prefix}."
    )
    paragraphs = [wrap(text) for text in (whole, own) if text]
    lines = [line for number, p in enumerate(paragraphs) for line in ([""] if number else []) + p]
    return Binary(
        name=spec.package,
        # Whether there is machine code is seen when it is there; a package for any is right either way.
        architecture="all" if inside and not inside.machine_code else "any",
        prefix=spec.prefix,
        layers=spec.layers,
        extended=as_field(lines),
        modules=inside.modules if inside else (),
    )


def _told(inside: Inside) -> Iterable[tuple[str, str]]:
    return ((name, licence or "none declared") for name, licence in inside.distributions)


def choose_maintainer(people: Iterable[Person]) -> str:
    """Return the first one who has an address."""
    found = next((person for person in people if re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", person.email)), None)
    return str(found) if found else f"{FIXME} your name <you@example.org>"


def choose_program(metadata: Metadata, background: Background) -> str:
    """Return the command line of the service.

    Raises:
        VenvpkgError: ``service-program-unknown``.
    """
    spec = background.specs[0]
    words = (background.service or "").split(maxsplit=1)
    own = [name for name in metadata.scripts if name == metadata.name] or list(metadata.scripts)
    program = words[0] if words else own[0] if len(own) == 1 else ""
    there = set(metadata.scripts).union(*(one.programs for one in background.inside))
    known = program.startswith("/") or (program in there if there else "/" not in program)
    if not program or not known:
        raise VenvpkgError(
            code="service-program-unknown",
            message=f"The project has no program {program}." if program else "Which program is the service?",
            causes=[f"Its programs are: {', '.join(metadata.scripts) or 'none'}."],
            hint="Name it with its arguments: venvpkg init --command 'myapp --port 8000'",
        )
    # The launcher says in plain words what is missing.
    folder = "/usr/bin" if program in exposed_commands(metadata, background) else f"{spec.prefix}/bin"
    place = program if program.startswith("/") else f"{folder}/{program}"
    return " ".join([place, *words[1:]])


def exposed_commands(metadata: Metadata, background: Background) -> tuple[str, ...]:
    """Return the project's programs, for /usr/bin; none where its own configuration says which."""
    if background.configured or len(background.specs) > 1:
        return ()
    return tuple(name for name in metadata.scripts if name not in background.taken)


def _holders(metadata: Metadata, text: str, licence: str, year: int) -> list[str]:
    # The long texts name who wrote them, not who wrote the program.
    told = [] if is_common(licence) else find_holders(text)
    people = [person.name or person.email for person in metadata.people]
    people = people or [f"the authors of {metadata.name}"]
    return told or [f"{year} {name}" for name in dict.fromkeys(people)]


def render_draft(draft: Draft) -> dict[str, str]:
    """Return the files of a debian/, by their path relative to the project's folder."""
    first = draft.packages[0].name
    chosen = {
        "control": ("control.j2", True),
        "rules": ("rules.j2", True),
        "changelog": ("changelog.j2", True),
        "copyright": ("copyright.j2", True),
        "tests/control": ("tests-control.j2", True),
        "watch": ("watch.j2", bool(draft.tags)),
        "source/lintian-overrides": ("source-lintian-overrides.j2", bool(draft.tags)),
        f"{first}.service": ("service.j2", bool(draft.service)),
        "venvpkg.toml": ("venvpkg.toml.j2", bool(draft.exposed)),
    }
    made = {
        f"debian/{name}": render_template(f"init/{template}", draft=draft)
        for name, (template, wanted) in chosen.items()
        if wanted
    }
    return {**made, "debian/source/format": "3.0 (native)\n"}


def write_files(made: Mapping[str, str], folder: Path, *, force: bool) -> None:
    """Write the files of a debian/, all or none.

    Raises:
        VenvpkgError: ``debian-exists``, unless ``force`` is set.
    """
    if not force:
        require_room(made, folder)
    # Beside their place, so that each comes there by a rename.
    with scratch_folder(folder) as scratch:
        for name, text in made.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(MODES.get(name, 0o644))
        for name in made:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).replace(folder / name)


def require_folder(folder: Path) -> None:
    """Make sure that debian/ is a folder, where there is anything of that name.

    Raises:
        VenvpkgError: ``debian-exists``.
    """
    place = folder / "debian"
    if (place.exists() or place.is_symlink()) and not place.is_dir():
        raise VenvpkgError(
            code="debian-exists",
            message=f"{place} is no folder.",
            causes=[f"It is a link to {place.readlink()}." if place.is_symlink() else "It is a file."],
            hint="Move it away: a Debian source package has its files in a folder of that name.",
        )


def require_room(names: Iterable[str], folder: Path) -> None:
    """Make sure that no file of these names is there.

    Raises:
        VenvpkgError: ``debian-exists``.
    """
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise VenvpkgError(
            code="debian-exists",
            message=f"{folder / 'debian'} has files of these names already.",
            causes=there,
            hint="See what would be written: venvpkg init --force --dry-run\n"
            "Overwrite them: venvpkg init --force\n"
            "Write the others: venvpkg init --missing",
        )


def find_unfinished(folder: Path) -> list[str]:
    """Return the lines in debian/ that are left to its owner: ``debian/control:4: Maintainer: FIXME: …``."""
    found = []
    debian = folder / "debian"
    for path in (debian / "control", debian / "changelog", *sorted(debian.glob("*.service"))):
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        for number, line in enumerate(lines, 1):
            # Not where somebody speaks of the word.
            if OPEN.match(line):
                found.append(f"debian/{path.name}:{number}: {line.strip()}")
    return found
