"""Finds and describes a Python: path, version, owner package."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from venvpkg.errors import VenvpkgError
from venvpkg.process import Runner, python_environment
from venvpkg.system import read_owners, read_packages

OLDEST = Version("3.8")
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
    """The Debian package to depend on, ``python3.11``."""

    @property
    def minor(self) -> str:
        """Return ``3.11``."""
        return ".".join(self.version.split(".")[:2])


def find_interpreter(
    wanted: str, requires_python: str, run: Runner, environ: Mapping[str, str]
) -> Interpreter:
    """Find the Python that ``wanted`` names, and make sure that a server can have it from apt.

    Args:
        wanted: ``python3``, ``3.12``, ``python3.12`` or a path; empty for Debian's default.
        requires_python: the project's own range of versions (PEP 621), or empty.
        run: runs the interpreter and dpkg-query.
        environ: the environment to start it in.

    Raises:
        VenvpkgError: ``python-not-found``, ``python-broken``, ``python-too-old``, ``python-not-admitted``,
            ``python-not-packaged``, ``python-incomplete``.
    """
    path = locate(wanted or "python3", environ)
    about = describe(path, run, environ)
    version = Version(about["version"])
    if about["implementation"] != "CPython" or version < OLDEST:
        raise VenvpkgError(
            code="python-too-old",
            message=f"{path} is {about['implementation']} {version}.",
            hint=f"venvpkg packages for CPython {OLDEST} and later.",
        )
    if requires_python and not SpecifierSet(requires_python).contains(version, prereleases=True):
        raise VenvpkgError(
            code="python-not-admitted",
            message=f"The project wants Python {requires_python}; {path} is {version}.",
            causes=[f"Found here: {', '.join(installed_pythons()) or 'no other Python'}."],
            hint='Set python = "X.Y" to one that fits, or change requires-python.',
        )
    return Interpreter(
        path=path,
        version=about["version"],
        cache_tag=about["cache_tag"],
        stdlib=Path(about["stdlib"]),
        package=owner_package(path, run),
    )


def locate(wanted: str, environ: Mapping[str, str]) -> Path:
    """Return the real file behind a name, a version or a path."""
    name = f"python{wanted}" if re.fullmatch(r"\d+(\.\d+)?", wanted) else wanted
    if "/" in name:
        candidates = [Path(name)]
    else:
        # Debian's own come first: a pyenv shim on the PATH is no interpreter that a server can have.
        folders = ["/usr/bin", *environ.get("PATH", "").split(os.pathsep)]
        candidates = [Path(folder) / name for folder in folders if folder]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    present = ", ".join(installed_pythons()) or "none"
    raise VenvpkgError(
        code="python-not-found",
        message=f"Could not find {name}.",
        causes=[
            f"Looked for {', '.join(map(str, candidates))}."
            if "/" in name
            else "Looked in /usr/bin and on PATH."
        ],
        hint=f"Add {name} to Build-Depends, or set python = … to one that is here: {present}.",
    )


def installed_pythons() -> list[str]:
    """Return the paths of Debian's Pythons on this machine, oldest first."""
    found = (p for p in Path("/usr/bin").glob("python3.*") if re.fullmatch(r"python3\.\d+", p.name))
    return [str(p) for p in sorted(found, key=lambda p: int(p.name.split(".")[1]))]


def describe(path: Path, run: Runner, environ: Mapping[str, str]) -> dict[str, str]:
    """Start the interpreter and return what it says of itself."""
    try:
        answer = run([path, "-I", "-S", "-c", PROBE], env=python_environment(environ))
        about: dict[str, str] = json.loads(answer.stdout)
    except (VenvpkgError, ValueError) as error:
        causes = list(error.causes) if isinstance(error, VenvpkgError) else [str(error)]
        raise VenvpkgError(
            code="python-broken",
            message=f"{path} does not start.",
            causes=causes,
            hint="Name a Python that works with the key python.",
        ) from error
    return about


def owner_package(path: Path, run: Runner) -> str:
    """Return the Debian package to depend on for an interpreter.

    dpkg names python3.11-minimal as the owner, which lacks most of the standard library.
    """
    owner = next(iter(read_owners(run, [str(path)]).values()), None)
    if owner is None:
        raise VenvpkgError(
            code="python-not-packaged",
            message=f"No Debian package owns {path}.",
            causes=[
                "The environment links to its interpreter by that path.",
                "A server could not get it with apt, and the package would break there.",
            ],
            hint='Use one of Debian\'s, such as python = "python3"; here: '
            + (", ".join(installed_pythons()) or "none")
            + ".",
        )
    package = owner.removesuffix("-minimal")
    if package not in read_packages(run):
        raise VenvpkgError(
            code="python-incomplete",
            message=f"{owner} is installed, but {package} is not.",
            causes=["The minimal package lacks most of the standard library."],
            hint=f"Add {package} (or python3) to Build-Depends: apt-get install {package}",
        )
    return package
