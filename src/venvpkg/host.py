"""Finds the environments that packages brought to this machine, and enters them."""

import base64
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from venvpkg.errors import VenvpkgError, printable
from venvpkg.inside.selfcheck import read_packages
from venvpkg.process import Runner

MARK, MANIFEST = b"/pyvenv.cfg", b"/venvpkg.json"
# Where the package database is, unless DPKG_ADMINDIR says otherwise (dpkg(1)).
DATABASE = "/var/lib/dpkg"
SHELLS = Path(__file__).with_name("shells")
BOURNE = ("sh", "dash", "ash", "ksh", "ksh93", "mksh", "lksh", "yash", "posh")
# Accounts of services have one of these.
NO_SHELLS = ("nologin", "false", "true")
COLUMNS = ("package", "version", "Python", "prefix", "distributions", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that an environment has wrong."""

    state: str
    """``unfinished``, ``interpreter-missing``, ``interpreter-other``, ``other-release`` or ``changed``."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment that a package brought."""

    package: str
    """As dpkg names it where it may be there for several architectures: ``demo:amd64``."""
    version: str
    python: str
    """``3.11`` of the system's, ``3.12.1`` of one that is bundled; empty where nothing says it."""
    mode: str
    """``system``, ``bundled``, or empty where there is no manifest."""
    prefix: Path
    distributions: int | None
    """None where there is no manifest."""
    problems: tuple[Problem, ...]

    @property
    def state(self) -> str:
        """Return ``ok``, or what the gravest problem is."""
        return self.problems[0].state if self.problems else "ok"

    def row(self) -> tuple[str, ...]:
        """Return what a table shows of it."""
        python = f"{self.python or '-'}{f' ({self.mode})' if self.mode else ''}"
        count = "-" if self.distributions is None else str(self.distributions)
        cells = (self.package, self.version, python, str(self.prefix), count, self.state)
        return tuple(map(printable, cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A prefix that dpkg knows, and whose it is."""

    package: str
    prefix: Path
    files: frozenset[str]
    """What the package has below it but for conffiles, absolute paths; of a layered one both packages."""
    lower: str = ""
    """Of a layered environment the package that is under the project's, where both are there."""


def find_places(environ: Mapping[str, str]) -> list[Place]:
    """Return the prefixes of environments that packages own, by path.

    The lists are read as dpkg has them: asking dpkg-query takes several times as long.
    """
    found, uppers = [], {}
    for listed in (Path(environ.get("DPKG_ADMINDIR") or DATABASE) / "info").glob("*.list"):
        data = listed.read_bytes()
        if MARK + b"\n" not in data and MANIFEST + b"\n" not in data:
            continue
        paths = data.split(b"\n")
        # Conffiles are the administrator's, who may have removed them.
        own = set(_conffiles(listed))
        for mark in [path for path in paths if path.endswith((MARK, MANIFEST))]:
            prefix = mark.rpartition(b"/")[0]
            files = frozenset(os.fsdecode(p) for p in paths if p.startswith(prefix + b"/") and p not in own)
            place = Place(package=listed.stem, prefix=Path(os.fsdecode(prefix)), files=files)
            if mark.endswith(MARK) and os.fsdecode(prefix + b"/bin/python") in files:
                found.append(place)
            elif prefix + MARK not in paths:
                uppers[place.prefix] = place
    return sorted((_join(place, uppers.get(place.prefix)) for place in found), key=lambda place: place.prefix)


def _join(lower: Place, upper: Place | None) -> Place:
    """Return the environment that two packages have together, which goes by the project's name."""
    if upper is None:
        return lower
    files = lower.files | upper.files
    return Place(package=upper.package, prefix=lower.prefix, files=files, lower=lower.package)


def read_shipped(prefix: Path, environ: Mapping[str, str]) -> dict[PurePosixPath, str]:
    """Return what packages have below a prefix, without leading slash, with MD5 hashes in RECORD's form.

    A conffile has no hash, for it is the administrator's, who may have removed it as well.
    """
    known = read_packages(str(prefix), environ.get("DPKG_ADMINDIR") or DATABASE)
    there = {path: "" for path in known.conffiles if os.path.lexists(path)}
    return {
        PurePosixPath(path.lstrip("/")): _record_form(digest.removeprefix("md5="))
        for path, digest in (known.files | there).items()
    }


def read_md5sums(text: str) -> dict[PurePosixPath, str]:
    """Return the files that a package's md5sums lists (deb-md5sums(5)), with hashes as RECORD has them."""
    lines = (line.partition("  ") for line in text.splitlines())
    return {PurePosixPath(path): _record_form(digest) for digest, _, path in lines if path}


def _record_form(digest: str) -> str:
    try:
        code = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
    except ValueError:
        return ""
    return f"md5={code}" if code else ""


def _conffiles(listed: Path) -> Iterator[bytes]:
    path = listed.with_suffix(".conffiles")
    for line in path.read_bytes().splitlines() if path.exists() else ():
        # A flag may stand before the path (deb-conffiles(5)).
        yield line[line.find(b"/") :]


def list_environments(environ: Mapping[str, str], codename: str, run: Runner) -> list[Installed]:
    """Return the environments of all packages on this machine, with their state.

    Files are looked for and not read; ``venvpkg verify`` and the self-check compare them.

    Args:
        environ: where DPKG_ADMINDIR may name another package database.
        codename: VERSION_CODENAME of this machine (os-release(5)), or empty.
        run: asks dpkg-query and, where an environment is of another release, apt-cache.
    """
    places = find_places(environ)
    manifests = {place.prefix: read_installed_manifest(place.prefix) for place in places}
    versions = read_versions([n for place in places for n in (place.package, place.lower) if n], run)
    old = {
        str(about["interpreter"]["package"])
        for about in manifests.values()
        if about and _is_of_another_release(about, codename)
    }
    offered = read_offered(old, run) if old else {}
    return [_describe(place, manifests[place.prefix], versions, codename, offered.get) for place in places]


def read_installed_manifest(prefix: Path) -> dict[str, Any]:
    """Return what an environment says of itself; nothing where it has no manifest of venvpkg's."""
    try:
        about = json.loads((prefix / "venvpkg.json").read_bytes())
        # What is wanted of it has to be there.
        about["interpreter"]["version"], about["interpreter"]["package"], about["interpreter"]["mode"]
        [(d["name"], d["version"]) for d in about["distributions"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(about)


def read_versions(packages: Sequence[str], run: Runner) -> dict[str, tuple[str, str]]:
    """Return version and status of packages, from dpkg-query(1)."""
    if not packages:
        return {}
    form = "${Package}\t${binary:Package}\t${Version}\t${db:Status-Status}\n"
    found: dict[str, tuple[str, str]] = {}
    for line in run(["dpkg-query", "-W", "-f", form, *packages], check=False).stdout.splitlines():
        name, full, version, status = line.split("\t")
        found |= {name: (version, status), full: (version, status)}
    return found


def read_offered(packages: Iterable[str], run: Runner) -> dict[str, bool]:
    """Return which packages apt has an archive for; what is only installed counts for nothing."""
    names = sorted(filter(None, packages))
    try:
        said = run(["apt-cache", "madison", *names], check=False).stdout
    except VenvpkgError:
        return {}
    there = {line.split("|")[0].strip() for line in said.splitlines()}
    return {name: name in there for name in names}


def _is_of_another_release(about: Mapping[str, Any], codename: str) -> bool:
    built_on, mode = about.get("built_on"), about["interpreter"]["mode"]
    return bool(built_on and codename and built_on != codename and mode == "system")


def _describe(
    place: Place,
    about: Mapping[str, Any],
    versions: Mapping[str, tuple[str, str]],
    codename: str,
    offered: Callable[[str], bool | None],
) -> Installed:
    version, status = versions.get(place.package, ("", "installed"))
    under = versions.get(place.lower, ("", "installed"))[1]
    problems = [
        *_unfinished(place.package, status),
        *_unfinished(place.lower, under),
        *_interpreter(place, about),
        *_release(about, codename, offered),
        *_changes(place),
    ]
    python = str(about["interpreter"]["version"]) if about else _told_python(place.prefix)
    mode = str(about["interpreter"]["mode"]) if about else ""
    return Installed(
        package=place.package,
        version=version,
        # Debian's point releases come and go under an environment.
        python=python if mode == "bundled" else ".".join(python.split(".")[:2]),
        mode=mode,
        prefix=place.prefix,
        distributions=len(about["distributions"]) if about else None,
        problems=tuple(problems),
    )


def _told_python(prefix: Path) -> str:
    try:
        text = (prefix / "pyvenv.cfg").read_text("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+(?:\.\d+)*)", text, re.MULTILINE)
    return found[1] if found else ""


def _unfinished(package: str, status: str) -> Iterator[Problem]:
    if status != "installed":
        text = f"dpkg has {package} as {status}: dpkg --configure -a, or install it again"
        yield Problem(state="unfinished", text=text)


def _interpreter(place: Place, about: Mapping[str, Any]) -> Iterator[Problem]:
    python = place.prefix / "bin" / "python"
    if not os.access(python, os.X_OK):
        package = about["interpreter"]["package"] if about else ""
        again = f"apt-get install {package or f'--reinstall {place.lower or place.package}'}"
        text = f"{os.path.realpath(python)} is missing: {again}"
        yield Problem(state="interpreter-missing", text=text)
        return
    # A link to python3 leads elsewhere after a distribution upgrade, and the modules are not there.
    real = re.fullmatch(r"python(3\.\d+)", os.path.basename(os.path.realpath(python)))  # noqa: PTH119
    minors = [folder.name.removeprefix("python") for folder in (place.prefix / "lib").glob("python3.*")]
    if real and minors and real[1] not in minors:
        text = f"bin/python is Python {real[1]}, and the modules are for {minors[0]}: a rebuild is due"
        yield Problem(state="interpreter-other", text=text)


def _release(
    about: Mapping[str, Any], codename: str, offered: Callable[[str], bool | None]
) -> Iterator[Problem]:
    if not about or not _is_of_another_release(about, codename):
        return
    package = about["interpreter"]["package"]
    said = {
        True: f"where apt still offers {package}",
        False: f"which has no {package}: it gets no security updates, and a rebuild on {codename} is due",
        None: f"which may have no {package}",
    }[offered(package)]
    yield Problem(state="other-release", text=f"built on {about['built_on']}, and this is {codename}, {said}")


def _changes(place: Place) -> Iterator[Problem]:
    """Find what is gone, and distributions that dpkg does not know."""
    gone = [path for path in place.files if not path.endswith(".pyc") and not os.path.lexists(path)]
    there = (place.prefix / "lib").glob("python3.*/site-packages/*.dist-info")
    foreign = sorted(path.name.removesuffix(".dist-info") for path in there if str(path) not in place.files)
    texts = [f"{len(gone)} files are gone"] if gone else []
    texts += [f"installed by hand: {', '.join(foreign)}"] if foreign else []
    if texts:
        yield Problem(state="changed", text=f"{'; '.join(texts)} (venvpkg verify {place.prefix})")


def to_json(environments: Iterable[Installed]) -> str:
    """Return a list with one object for each environment."""
    objects = [{**asdict(e), "prefix": str(e.prefix), "state": e.state} for e in environments]
    return json.dumps(objects, indent=2)


def to_text(environments: Sequence[Installed]) -> str:
    """Return a table, with each problem in a line of its own below its environment."""
    rows = [COLUMNS, *(e.row() for e in environments)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, problems in zip(rows, [(), *(e.problems for e in environments)], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines += ["  ".join(cells).rstrip(), *(f"  {printable(p.text)}" for p in problems)]
    return "\n".join(lines)


def choose(name: str, environ: Mapping[str, str]) -> Path:
    """Return the prefix that a package, an environment or a path names.

    Raises:
        VenvpkgError: ``environment-unknown``, ``environment-ambiguous``.
    """
    if "/" in name or name in (".", ".."):
        # No link is followed: the environment knows itself by its own name.
        prefix = Path(os.path.abspath(name))  # noqa: PTH100
        if (prefix / "pyvenv.cfg").is_file():
            return prefix
        raise VenvpkgError(
            code="environment-unknown",
            message=f"{prefix} is no virtual environment.",
            causes=["It has no pyvenv.cfg (PEP 405)."],
            hint="venvpkg list",
        )
    places = find_places(environ)
    for of in (_package_names, lambda place: (place.prefix.name,)):
        found = [place for place in places if name in of(place)]
        if len(found) == 1:
            return found[0].prefix
        if found:
            raise VenvpkgError(
                code="environment-ambiguous",
                message=f"{len(found)} environments are called {name}.",
                causes=[f"{place.prefix} of {place.package}" for place in found],
                hint="Name the prefix.",
            )
    near = get_close_matches(name, list_names(places), 1)
    raise VenvpkgError(
        code="environment-unknown",
        message=f"No package here brought an environment {name}.",
        causes=[f"{place.package}: {place.prefix}" for place in places] or ["No package brought any."],
        hint=f"Did you mean {near[0]}?" if near else "venvpkg list",
    )


def list_names(places: Iterable[Place]) -> list[str]:
    """Return what environments are called, by their packages and by their folders."""
    return sorted({name for place in places for name in (place.package.split(":")[0], place.prefix.name)})


def _package_names(place: Place) -> tuple[str, ...]:
    both = [name for name in (place.package, place.lower) if name]
    return (*both, *(name.split(":")[0] for name in both))


def activate(prefix: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program in the environment gets, as ``activate`` sets them."""
    kept = deactivate(environ)
    path = kept.get("PATH") or os.defpath
    return kept | {"PATH": f"{prefix / 'bin'}:{path}", "VIRTUAL_ENV": str(prefix)}


def deactivate(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those of an environment that is active already."""
    unwanted = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME")
    kept = {name: value for name, value in environ.items() if name not in unwanted}
    active = environ.get("VIRTUAL_ENV")
    if active and "PATH" in kept:
        kept["PATH"] = ":".join(p for p in kept["PATH"].split(":") if p != f"{active}/bin")
    return kept


def find_command(command: str, prefix: Path, environ: Mapping[str, str]) -> str:
    """Return the program that a command names, the environment's before any other on PATH.

    Raises:
        VenvpkgError: ``command-not-found``.
    """
    found = shutil.which(command, path=environ["PATH"])
    if found:
        return found
    programs = sorted(p.name for p in (prefix / "bin").iterdir()) if (prefix / "bin").is_dir() else []
    near = get_close_matches(command, programs, 1)
    raise VenvpkgError(
        code="command-not-found",
        message=f"There is no program {command}, neither in {prefix}/bin nor on PATH.",
        causes=[f"The environment has: {', '.join(programs[:50]) or 'none'}"],
        hint=f"venvpkg run {shlex.quote(str(prefix))} {shlex.quote(near[0])}"
        if near
        else "Correct the name.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A program, and what it is started with."""

    program: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]


def plan_shell(prefix: Path, environ: Mapping[str, str], *, interactive: bool) -> Start:
    """Return how the user's own shell starts with the environment activated.

    One that reads a script, or that is not known, gets the variables alone.

    Args:
        prefix: the environment's.
        environ: the variables of this process; SHELL names the shell.
        interactive: standard input is a terminal.
    """
    wanted = environ.get("SHELL") or "/bin/sh"
    refused = Path(wanted).name in NO_SHELLS
    shell = "/bin/sh" if refused else shutil.which(wanted) or "/bin/sh"
    kept, name = deactivate(environ), Path(shell).name
    script = {"fish": "activate.fish", "csh": "activate.csh", "tcsh": "activate.csh"}.get(name, "activate")
    told = kept | {"VENVPKG_ACTIVATE": str(prefix / "bin" / script)}
    if not interactive or not (prefix / "bin" / script).is_file():
        return Start(program=shell, argv=(shell,), environ=activate(prefix, environ))
    if name == "bash":
        return Start(program=shell, argv=(shell, "--rcfile", str(SHELLS / "bashrc"), "-i"), environ=told)
    if name == "zsh":
        told |= {"ZDOTDIR": str(SHELLS / "zsh"), "VENVPKG_ZDOTDIR": kept.get("ZDOTDIR", "")}
    elif name in ("csh", "tcsh"):
        told |= {"HOME": str(SHELLS / "csh"), "VENVPKG_HOME": kept.get("HOME") or "/"}
    elif name in BOURNE:
        told |= {"ENV": str(SHELLS / "shrc"), "VENVPKG_ENV": kept.get("ENV", "")}
    elif name == "fish":
        # fish knows no other escapes between single quotes.
        quoted = re.sub(r"([\\'])", r"\\\1", told.pop("VENVPKG_ACTIVATE"))
        return Start(program=shell, argv=(shell, "-C", f"source '{quoted}'"), environ=told)
    else:
        return Start(program=shell, argv=(shell,), environ=activate(prefix, environ))
    return Start(program=shell, argv=(shell, "-i"), environ=told)


def replace_process(start: Start) -> NoReturn:
    """Become another program, whose exit status and signals are this process's own.

    Raises:
        VenvpkgError: ``command-failed``.
    """
    # Python ignores these two from its start on, and what is ignored stays so for the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(start.program, list(start.argv), dict(start.environ))
    except OSError as error:
        raise VenvpkgError(
            code="command-failed",
            message=f"Could not run {start.program}.",
            causes=[str(error)],
            hint="Is it a program, and is what its first line names there?",
        ) from error
