"""Learns from a project what its debian/ has to say."""

import os
import pwd
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from venvpkg.builddeps import Wanted, absent_from_control, apt_line, expand_sources, find_missing
from venvpkg.configuration import (
    Configuration,
    find_unread,
    make_specs,
    read_configuration,
    read_toml,
    read_variables,
)
from venvpkg.control import Package, read_changelog_source, read_control, read_upstream_version
from venvpkg.debversion import to_debian
from venvpkg.errors import VenvpkgError
from venvpkg.export import copy_for_build
from venvpkg.log import warn
from venvpkg.metadata import Metadata, Person
from venvpkg.pipeline import World
from venvpkg.policy import make_synopsis, package_name
from venvpkg.rehearsal import Inside, rehearse
from venvpkg.scaffold import Background, Draft, find_unfinished, make_draft
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec
from venvpkg.system import read_owners

# Sources of extension modules.
COMPILED = (".c", ".cc", ".cpp", ".cxx", ".pyx", ".rs", ".f", ".f90")
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
NOT_USED = "nothing in debian/ uses venvpkg: Build-Depends has no dh-sequence-venvpkg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user asked of a draft."""

    service: str | None = None
    """A command line for a systemd unit, empty for the project's own program, None for none."""
    static: bool = False
    """Nothing is installed to see what is inside."""
    missing: bool = False
    """What is in debian/ already stays, and names come from there."""
    whole: bool = False
    """Nothing may be left open: what is not known is taken from the machine, and installing has to work."""


def draft_debian(folder: Path, world: World, wish: Wish) -> Draft:
    """Return what a debian/ for a project has to say.

    Args:
        folder: the project's.
        world: its source is of no meaning here.
        wish: what was asked for.

    Raises:
        VenvpkgError: ``project-not-found``, what :func:`venvpkg.scaffold.make_draft` raises, and where the
            draft has to be whole ``build-depends-missing`` and what installing raises.
    """
    configuration = read_configuration(folder)
    metadata = read_metadata(folder, configuration)
    own = folder / "debian" / "control"
    control = read_control(own) if wish.missing and own.is_file() else None
    packages = control.packages if control else ()
    specs = choose_specs(configuration, metadata, world.environ, packages)
    wanted = Wanted.of(specs)
    relations = (*wanted.relations, *_expanded(wanted, world, wish))
    inside: list[Inside] = []
    if not wish.static:
        inside = try_out(folder, specs, relations, world, wish)
    if inside:
        metadata = metadata.completed(inside[0].project)
        # pyproject.toml knows of entry points alone.
        programs = dict.fromkeys((*metadata.scripts, *inside[0].project.scripts))
        metadata = replace(metadata, scripts=tuple(programs))
        specs = choose_specs(configuration, metadata, world.environ, packages)
    taken = find_taken(metadata.scripts, specs[0].package, world)
    for text in find_commandless(configuration, metadata, taken):
        warn(text)
    for text in () if control or wish.whole else find_namesakes(specs, world):
        warn(text)
    people = known_people(folder, world)
    date = choose_date(folder, world, now=not wish.whole)
    if wish.whole:
        if not make_synopsis(metadata.summary, metadata.name):
            metadata = replace(metadata, summary=f"Python application {metadata.name}")
        people = (*people, builder())
    background = Background(
        folder=folder,
        source=control.source if control else "",
        specs=specs,
        inside=inside,
        build_depends=tuple(dict.fromkeys(relations)),
        configured=bool(configuration.values or configuration.packages),
        people=people,
        date=date,
        codename=world.codename,
        service=wish.service,
        taken=tuple(taken),
    )
    if wish.whole:
        # Requirements alone have none; the first real one will be newer.
        background = replace(background, version=f"0~{date:%Y%m%d}")
    return make_draft(metadata, background)


def find_stale(folder: Path, world: World) -> list[str]:
    """Return what of a debian/ does not fit its project, a line each: quickly, and without a network.

    Raises:
        VenvpkgError: for a configuration that is wrong, and for a file of debian/ that can't be read.
    """
    configuration = read_configuration(folder)
    metadata = read_metadata(folder, configuration)
    wanted = ("control", "rules", "changelog", "copyright", "source/format")
    missing = [name for name in wanted if not (folder / "debian" / name).is_file()]
    if not {"control", "rules"}.intersection(missing) and not uses_venvpkg(folder):
        # All else would speak of an environment that there is not.
        return [NOT_USED]
    if missing:
        command = "venvpkg init" if len(missing) == len(wanted) else "venvpkg init --missing"
        return [f"debian/{name} is missing: {command}" for name in missing]
    control = read_control(folder / "debian" / "control")
    packages = control.packages
    specs = make_specs(configuration, packages, [p.name for p in packages], read_variables(world.environ), {})
    found = [f"{line}: not written yet" for line in find_unfinished(folder)]
    found += [text] if (text := find_unread(folder)) else []
    bundled = [spec.package for spec in specs if spec.interpreter == "bundled"]
    found += [
        f"debian/control has Architecture: all for {p.name}, and the interpreter is bundled: any"
        for p in packages
        if p.name in bundled and p.is_arch_all
    ]
    source = read_changelog_source(folder / "debian" / "changelog")
    if source != control.source:
        found.append(f"debian/changelog is of {source}, and debian/control of {control.source}")
    told = metadata.version
    written = read_upstream_version(folder / "debian" / "changelog")
    upstream = to_debian(told).rpartition(":")[2] if told else written
    if written != upstream:
        found.append(
            f"debian/changelog is at {written}, and pyproject.toml at {told}: dch -v {to_debian(told)}"
        )
    absent = absent_from_control(Wanted.of(specs).relations, folder / "debian" / "control")
    if absent:
        listed = ", ".join(absent)
        found.append(f"Build-Depends has not: {listed}: venvpkg build-depends --write-control")
    return found


def uses_venvpkg(folder: Path) -> bool:
    """Tell whether a debian/ names the add-on, or that of dh-virtualenv which venvpkg stands in for."""
    texts = [(folder / "debian" / name).read_text("utf-8", "replace") for name in ("control", "rules")]
    return bool(re.search(r"venvpkg|virtualenv", "\n".join(texts)))


def find_warnings(folder: Path, world: World) -> list[str]:
    """Return what somebody who builds a project should look at, a line each."""
    debian = folder / "debian"
    if all((debian / name).is_file() for name in ("control", "rules")):
        return find_stale(folder, world)
    configuration = read_configuration(folder)
    metadata = read_metadata(folder, configuration)
    if (debian / "control").is_file() or not metadata.name:
        return []
    specs = choose_specs(configuration, metadata, world.environ)
    taken = find_taken(metadata.scripts, specs[0].package, world)
    return [*find_namesakes(specs, world), *find_commandless(configuration, metadata, taken)]


def find_namesakes(specs: Sequence[Spec], world: World) -> list[str]:
    """Return a warning for each package whose name is that of one of Debian's (apt-cache(8))."""
    if not shutil.which("apt-cache", path=world.environ.get("PATH")):
        return []
    found = []
    for spec in specs:
        told = world.run(["apt-cache", "show", "--no-all-versions", spec.package], check=False).stdout
        section = re.search(r"^Filename: pool/", told, re.M)
        if section:
            found.append(
                f"an archive of this machine has a package {spec.package}, whose place this one would take: "
                "another name is that of a table [tool.venvpkg.packages.NAME] in pyproject.toml"
            )
    return found


def find_taken(names: Sequence[str], package: str, world: World) -> list[str]:
    """Return those of the commands that another package has on this machine (dpkg-query(1))."""
    owners = read_owners(world.run, [f"{folder}/{name}" for name in names for folder in ("/usr/bin", "/bin")])
    return [n for n in names if {owners.get(f"{f}/{n}", package) for f in ("/usr/bin", "/bin")} != {package}]


def find_commandless(configuration: Configuration, metadata: Metadata, taken: Sequence[str]) -> Iterator[str]:
    """Yield a warning for the project's programs that get no launcher in /usr/bin, by the reason."""
    tables = (configuration.values, *configuration.packages.values())
    if tables != ({},):
        if metadata.scripts and not any("expose" in table for table in tables):
            yield (
                f"no launcher in /usr/bin for {', '.join(metadata.scripts)}: {configuration.origin} has no "
                'key expose, as in: expose = "all"'
            )
    elif taken:
        yield f"these are commands of other packages, and get no launcher in /usr/bin: {', '.join(taken)}"


def read_metadata(folder: Path, configuration: Configuration) -> Metadata:
    """Return what pyproject.toml says of the project that is packaged.

    Raises:
        VenvpkgError: ``project-not-found``, ``project-invalid``.
    """
    told = configuration.values.get("project", ".")
    if told is False:
        # There are requirements alone; the folder's name is the only one that there is.
        return Metadata(name=canonicalize_name(re.sub(r"[^\w.-]+", "-", folder.name).strip("-._")))
    place = folder / str(told)
    if not any((place / name).is_file() for name in PROJECT_FILES):
        raise VenvpkgError(
            code="project-not-found",
            message=f"There is no Python project in {place}.",
            causes=[f"It has none of {', '.join(PROJECT_FILES)}."],
            hint="For requirements alone: project = false, in debian/venvpkg.toml."
            if list(place.glob("*requirements*.txt"))
            else "Run this in the folder that has pyproject.toml, or name that folder.",
        )
    return Metadata.from_pyproject(read_toml(place / "pyproject.toml"))


def choose_specs(
    configuration: Configuration,
    metadata: Metadata,
    environ: Mapping[str, str],
    packages: Sequence[Package] = (),
) -> list[Spec]:
    """Return the specification of each environment: one for each table, or one by the project's name.

    Where there are binary packages already, they have the names.
    """
    if packages:
        return make_specs(configuration, packages, [p.name for p in packages], read_variables(environ), {})
    # While the name is not known, a placeholder has to do.
    names = tuple(configuration.packages) or (package_name(metadata.name or "unnamed"),)
    made = [Package(name=name, architecture="any", fields={}) for name in names]
    return make_specs(configuration, made, names, read_variables(environ), {})


def _expanded(wanted: Wanted, world: World, wish: Wish) -> tuple[str, ...]:
    if not wanted.sources:
        return ()
    try:
        return expand_sources(wanted.sources, world.run)
    except VenvpkgError as error:
        if wish.whole:
            raise
        warn(f"build-depends-of is not in debian/control yet, for {error.message}")
        return ()


def try_out(
    folder: Path, specs: Sequence[Spec], relations: Sequence[str], world: World, wish: Wish
) -> list[Inside]:
    """Install the project in a copy, and return what is inside; nothing where that can't be done."""
    try:
        missing = find_missing(relations, world.run)
        if missing:
            raise VenvpkgError(
                code="build-depends-missing",
                message=f"System packages that build-depends lists are not installed: {', '.join(missing)}.",
                hint=apt_line(missing),
            )
        with scratch_folder() as scratch:
            copy = scratch / (folder.name or "source")
            copy_for_build(folder, copy, {scratch})
            return rehearse([replace(spec, source=copy) for spec in specs], replace(world, source=copy))
    except VenvpkgError as error:
        if wish.whole:
            raise
        # uv begins with what it did.
        said = (
            c for c in error.causes if not c.startswith(("Using ", "Resolved ", "Prepared ", "Updating "))
        )
        first = next(said, "")
        warn(
            f"could not see what is inside, so Architecture is any, and debian/copyright tells the project's "
            f"own licence alone: {error.message} {first}"
        )
        return []


def looks_compiled(folder: Path, specs: Sequence[Spec]) -> bool:
    """Tell whether a project seems to have an extension module, or to compile what it requires."""
    hidden = re.compile(r"\.|venv$|node_modules$|debian$")
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not hidden.match(name)]
        if any(name.endswith(COMPILED) for name in names):
            return True
    return any(spec.no_binary for spec in specs)


def known_people(folder: Path, world: World) -> tuple[Person, ...]:
    """Return who this user says to be: to Debian's tools (dch(1)), and to git."""
    environ = world.environ
    name = environ.get("DEBFULLNAME") or environ.get("NAME") or ""
    email = environ.get("DEBEMAIL") or environ.get("EMAIL") or ""
    if match := re.fullmatch(r"\s*(.*?)\s*<(.+)>\s*", email):
        name, email = match[1] or name, match[2]
    told = []
    if shutil.which("git", path=environ.get("PATH")):
        words = ["git", "-C", str(folder), "config"]
        told = [world.run([*words, f"user.{key}"], check=False).stdout.strip() for key in ("name", "email")]
    git = Person(name=told[0], email=told[1]) if told else Person(name="", email="")
    return (Person(name=name or git.name, email=email), git)


def builder() -> Person:
    """Return the user of this machine, as dch(1) has it where nothing else is known."""
    account = pwd.getpwuid(os.geteuid())
    mailname = Path("/etc/mailname")
    host = mailname.read_text("utf-8", "replace").strip() if mailname.is_file() else ""
    name = account.pw_gecos.partition(",")[0] or account.pw_name
    return Person(name=name, email=f"{account.pw_name}@{host or socket.getfqdn()}")


def choose_date(folder: Path, world: World, *, now: bool) -> datetime:
    """Return the date of the changelog's entry: SOURCE_DATE_EPOCH, or else now or the project's last change.

    A package that is built twice of the same files is to have the same bytes.
    """
    told = world.environ.get("SOURCE_DATE_EPOCH", "")
    if told.isdigit():
        return datetime.fromtimestamp(int(told), UTC)
    if now:
        return datetime.now(UTC)
    if shutil.which("git", path=world.environ.get("PATH")):
        # The folder may be one of many in a repository.
        words = ["git", "-C", str(folder), "-c", "safe.directory=*", "log", "-1", "--format=%ct", "--", "."]
        answer = world.run(words, check=False)
        if answer.stdout.strip().isdigit():
            return datetime.fromtimestamp(int(answer.stdout), UTC)
    # Requirements alone have neither of these.
    globs = (*PROJECT_FILES, "*requirements*.txt", "*.lock", "debian/venvpkg.toml")
    times = [int(path.stat().st_mtime) for glob in globs for path in folder.glob(glob) if path.is_file()]
    return datetime.fromtimestamp(max(times), UTC) if times else datetime.now(UTC)
