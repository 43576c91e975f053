"""Finds and describes a Python: path, version, owner package."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from packaging.version import Version

from venvpkg.elsewhere import Foreign, find_foreign, is_ubuntu, offered_pythons
from venvpkg.errors import VenvpkgError
from venvpkg.log import note, warn
from venvpkg.process import Runner, python_environment
from venvpkg.system import read_owners, read_packages
from venvpkg.versions import Wish

OLDEST = Version("3.8")
DEFAULT = "python3"
NAMED = re.compile(r"(?:python)?(\d+(?:\.\d+)?)")
PROBE = """
import json, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "cache_tag": sys.implementation.cache_tag,
    "base_prefix": sys.base_prefix,
    "stdlib": sysconfig.get_path("stdlib"),
}))
"""
BUNDLE = 'interpreter = "bundled" ships a copy of it inside the package, which then needs none on the server.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that the packaged environment will run on."""

    path: Path
    """The real file, ``/usr/bin/python3.11``."""
    version: str
    """``3.11.2``."""
    cache_tag: str
    """``cpython-311``."""
    stdlib: Path
    package: str
    """The Debian package to depend on, ``python3.11``; empty for one that is bundled."""
    origin: Path
    """The prefix that it was installed in, ``sys.base_prefix``."""

    @classmethod
    def from_json(cls, told: Mapping[str, str]) -> Self:
        """Make it of its fields, with paths as text."""
        return cls(
            path=Path(told["path"]),
            version=told["version"],
            cache_tag=told["cache_tag"],
            stdlib=Path(told["stdlib"]),
            package=told["package"],
            origin=Path(told["origin"]),
        )

    @property
    def minor(self) -> str:
        """Return ``3.11``."""
        return minor_of(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A Python that starts on this machine."""

    path: Path
    """The real file."""
    version: Version
    implementation: str
    """``CPython``, as the module platform has it."""
    cache_tag: str
    stdlib: Path
    origin: Path

    @property
    def usable(self) -> bool:
        """Tell whether venvpkg can package for it."""
        return self.implementation == "CPython" and self.version >= OLDEST

    def __str__(self) -> str:
        """Return path and version, for messages."""
        return f"{self.path} is {self.version}"


def minor_of(version: str) -> str:
    """Return ``3.11`` of ``3.11.2``."""
    return ".".join(version.split(".")[:2])


def find_interpreter(
    wanted: str,
    requires_python: str,
    run: Runner,
    environ: Mapping[str, str],
    wishes: Sequence[Wish] = (),
    *,
    bundled: bool = False,
) -> Interpreter:
    """Find the Python that ``wanted`` names, and make sure that a server can have it from apt.

    One that is bundled may come from anywhere: Debian's are looked for first, then pyenv's and uv's. Without
    a name it is Debian's default where the project admits that, else the newest other one that it admits.
    Whatever differs from what a file asks for is told.

    Args:
        wanted: ``python3``, ``3.12``, ``python3.12`` or a path; empty to choose.
        requires_python: the project's own range of versions (PEP 621), or empty.
        run: runs the interpreter, dpkg-query, and apt-cache for hints.
        environ: the environment to start it in.
        wishes: what else speaks of the version.
        bundled: the package will hold it.

    Raises:
        VenvpkgError: ``python-not-found``, ``python-broken``, ``python-too-old``, ``python-not-admitted``,
            ``python-not-packaged``, ``python-incomplete``.
    """
    own = [Wish.range("pyproject.toml", requires_python)] if requires_python else []
    wishes = (*own, *wishes)
    binding = [wish for wish in wishes if wish.binding]
    path = locate(wanted or DEFAULT, environ)
    foreign = [f.path for f in reversed(find_foreign(environ))] if bundled else []
    if path is None and wanted:
        named = NAMED.fullmatch(Path(wanted).name)
        path = next((p for p in foreign if named and p.name == f"python{minor_of(named[1])}"), None)
    elif path is None:
        path = next((p for p in [*map(Path, reversed(installed_pythons())), *foreign]), None)
    if path is None:
        raise missing(wanted or DEFAULT, binding, run, environ)
    first = chosen = describe(path, run, environ)
    if not wanted and not (first.usable and all(w.admits(first.version) for w in wishes)):
        others = [describe(p, run, environ) for p in foreign]
        chosen = choose([first, *packaged_pythons(first.path, run, environ), *others], wishes) or first
    require_usable(chosen, binding, run, environ)
    package = "" if bundled else owner_package(chosen, binding, run, environ)
    tell_choice(first, chosen, wishes, wanted)
    return Interpreter(
        path=chosen.path,
        version=str(chosen.version),
        cache_tag=chosen.cache_tag,
        stdlib=chosen.stdlib,
        package=package,
        origin=chosen.origin,
    )


def choose(present: Sequence[Present], wishes: Sequence[Wish]) -> Present | None:
    """Return the first that fits what binds, of several the one that fits most of the rest."""
    binding = [wish for wish in wishes if wish.binding]
    fit = [p for p in present if p.usable and all(wish.admits(p.version) for wish in binding)]
    return max(fit, key=lambda p: sum(wish.admits(p.version) for wish in wishes), default=None)


def tell_choice(first: Present, chosen: Present, wishes: Sequence[Wish], wanted: str) -> None:
    """Say why it is not Debian's default, and what asks for another one."""
    for wish in wishes:
        if not wish.ranges:
            note(f"{wish}, which names no version of CPython, and is not heeded")
    if chosen != first:
        why = "; ".join(str(wish) for wish in wishes if not wish.admits(first.version))
        note(f"{chosen.path} is taken, for {why or f'{OLDEST} is the oldest that can be'}; {first}")
    refused = "; ".join(str(wish) for wish in wishes if not wish.admits(chosen.version))
    if refused and wanted:
        note(f"{refused}; the key python says {wanted}, and {chosen}")
    elif refused:
        key = minor_of(str(chosen.version))
        warn(f"{refused}; {chosen}, and taken: none of Debian's that are here fits better")
        note(f'python = "{key}" says that this is meant')


def require_usable(python: Present, binding: Sequence[Wish], run: Runner, environ: Mapping[str, str]) -> None:
    """Make sure that a Python is new enough, and that everything that binds admits it.

    Raises:
        VenvpkgError: ``python-too-old``, ``python-not-admitted``.
    """
    if not python.usable:
        raise VenvpkgError(
            code="python-too-old",
            message=f"{python.path} is {python.implementation} {python.version}.",
            causes=[f"venvpkg packages for CPython {OLDEST} and later."],
            hint=advise(binding, packaged_pythons(None, run, environ), run, environ),
        )
    refusing = [wish for wish in binding if not wish.admits(python.version)]
    if refusing:
        present = packaged_pythons(None, run, environ)
        foreign = [f for f in find_foreign(environ) if all(w.admits(f.version) for w in binding)]
        raise VenvpkgError(
            code="python-not-admitted",
            message=f"The project wants Python {' and '.join(w.text for w in refusing)}; {python}.",
            causes=[
                *(f"{wish}." for wish in binding),
                f"Debian's here: {', '.join(map(str, present)) or 'none'}.",
                *map(str, foreign),
                *([BUNDLE] if foreign else []),
            ],
            hint=advise(binding, present, run, environ) + "\nOr change what requires it.",
        )


def missing(wanted: str, binding: Sequence[Wish], run: Runner, environ: Mapping[str, str]) -> VenvpkgError:
    """Return the error for a Python that is neither in /usr/bin nor on PATH."""
    named = NAMED.fullmatch(Path(wanted).name)
    name = wanted if "/" in wanted or not named else f"python{named[1]}"
    asked = Wish.range("the key python", named[1]) if named else None
    foreign = [f for f in find_foreign(environ) if asked and asked.admits(f.version)]
    present = packaged_pythons(None, run, environ)
    if foreign:
        message = f"Debian has no {name} here."
        return not_packaged(message, foreign, binding, advise(binding, present, run, environ, asked))
    return VenvpkgError(
        code="python-not-found",
        message=f"Could not find {name}.",
        causes=[
            f"Looked for {name}."
            if "/" in name
            else "Looked in /usr/bin, on PATH, and for pyenv's and uv's.",
            *(f"{wish}." for wish in binding),
        ],
        hint=advise(binding, present, run, environ, asked),
    )


def not_packaged(
    message: str, foreign: Iterable[Foreign], binding: Iterable[Wish], hint: str
) -> VenvpkgError:
    """Return the error for a Python that no server could get with apt."""
    return VenvpkgError(
        code="python-not-packaged",
        message=message,
        causes=[
            *map(str, foreign),
            *(f"{wish}." for wish in binding),
            "The environment links to its interpreter by that path.",
            "A server could not get it with apt, and the package would break there.",
            BUNDLE,
        ],
        hint=hint,
    )


def advise(
    binding: Sequence[Wish],
    present: Sequence[Present],
    run: Runner,
    environ: Mapping[str, str],
    asked: Wish | None = None,
) -> str:
    """Return what can be done to get a Python of Debian's.

    Args:
        binding: what it has to fit.
        present: Debian's Pythons on this machine.
        run: asks apt and dpkg-vendor.
        environ: the environment for them.
        asked: what the key python says, where nothing that is present fits that.
    """
    fit = [p for p in present if p.usable and all(w.admits(p.version) for w in binding)]
    here = {p.path.name for p in present}
    wishes = [*binding, *([asked] if asked else [])]
    offered = [
        name
        for name, version in offered_pythons(run, environ).items()
        if name not in here and all(w.admits(version) for w in wishes)
    ]
    lines = []
    if offered:
        lines.append(f"Add {offered[-1]} to Build-Depends: apt-get install {offered[-1]}")
    elif (asked or not fit) and is_ubuntu(run, environ):
        lines.append("Add deadsnakes: add-apt-repository ppa:deadsnakes/ppa")
    paths = ", ".join(f"{p.path} ({p.version})" for p in (fit or present)) or "none"
    if fit:
        lines.append(
            f'Set python = "{minor_of(str(fit[0].version))}": Debian\'s that are here and fit: {paths}.'
        )
    else:
        lines.append(f"None of Debian's that are here fits: {paths}.")
    if asked and not offered:
        name = f"python{asked.text}"
        lines.append(f"apt knows no {name}: add the archive that has it, and {name} to Build-Depends.")
    elif not offered:
        lines.append("apt knows no other that would.")
    return "\n".join(lines)


def locate(wanted: str, environ: Mapping[str, str]) -> Path | None:
    """Return the real file behind a name, a version or a path."""
    named = NAMED.fullmatch(wanted)
    name = f"python{named[1]}" if named else wanted
    if "/" in name:
        candidates = [Path(name)]
    else:
        # Debian's own come first: a pyenv shim on the PATH is no interpreter that a server can have.
        folders = ["/usr/bin", *environ.get("PATH", "").split(os.pathsep)]
        candidates = [Path(folder) / name for folder in folders if folder]
    for candidate in candidates:
        runs = candidate.is_file() and os.access(candidate, os.X_OK)
        if runs and ("/" in name or not is_script(candidate)):
            return candidate.resolve()
    return None


def is_script(path: Path) -> bool:
    """Tell whether a program is a script, such as a shim: that is no interpreter, but runs one, or none."""
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def installed_pythons() -> list[str]:
    """Return the paths of Debian's Pythons on this machine, oldest first."""
    found = (p for p in Path("/usr/bin").glob("python3.*") if re.fullmatch(r"python3\.\d+", p.name))
    return [str(p) for p in sorted(found, key=lambda p: int(p.name.split(".")[1]))]


def packaged_pythons(but: Path | None, run: Runner, environ: Mapping[str, str]) -> list[Present]:
    """Return Debian's whole and working Pythons, newest first, ``but`` for one."""
    paths = [path for path in reversed(installed_pythons()) if Path(path) != but]
    owners, packages = (read_owners(run, paths), read_packages(run)) if paths else ({}, {})
    found = []
    for path in paths:
        if owners.get(path, "").removesuffix("-minimal") in packages:
            try:
                found.append(describe(Path(path), run, environ))
            except VenvpkgError:
                continue
    return found


def describe(path: Path, run: Runner, environ: Mapping[str, str]) -> Present:
    """Start the interpreter and return what it says of itself.

    Raises:
        VenvpkgError: ``python-broken``.
    """
    try:
        answer = run([path, "-I", "-S", "-c", PROBE], env=python_environment(environ))
        about: dict[str, str] = json.loads(answer.stdout)
        return Present(
            path=path,
            version=Version(about["version"]),
            implementation=about["implementation"],
            cache_tag=about["cache_tag"],
            stdlib=Path(about["stdlib"]),
            origin=Path(about["base_prefix"]),
        )
    except (VenvpkgError, ValueError, KeyError, TypeError) as error:
        causes = list(error.causes) if isinstance(error, VenvpkgError) else [str(error)]
        raise VenvpkgError(
            code="python-broken",
            message=f"{path} does not start.",
            causes=causes,
            hint="Name a Python that works with the key python.",
        ) from error


def owner_package(python: Present, binding: Sequence[Wish], run: Runner, environ: Mapping[str, str]) -> str:
    """Return the Debian package to depend on for an interpreter.

    dpkg names python3.11-minimal as the owner, which lacks most of the standard library.

    Raises:
        VenvpkgError: ``python-not-packaged``, ``python-incomplete``.
    """
    path = python.path
    owner = next(iter(read_owners(run, [str(path)]).values()), None)
    if owner is None:
        minor = minor_of(str(python.version))
        same = [f for f in find_foreign(environ) if minor_of(str(f.version)) == minor]
        present = packaged_pythons(path, run, environ)
        has_minor = any(minor_of(str(p.version)) == minor for p in present)
        asked = None if has_minor else Wish.range(str(path), minor)
        hint = advise(binding, present, run, environ, asked)
        raise not_packaged(f"No Debian package owns {path}.", same, binding, hint)
    package = owner.removesuffix("-minimal")
    if package not in read_packages(run):
        raise VenvpkgError(
            code="python-incomplete",
            message=f"{owner} is installed, but {package} is not.",
            causes=["The minimal package lacks most of the standard library."],
            hint=f"Add {package} (or python3) to Build-Depends: apt-get install {package}",
        )
    return package
