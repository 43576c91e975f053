"""Pythons that are not Debian's, and those that apt could install."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from packaging.version import InvalidVersion, Version

from venvpkg.errors import VenvpkgError
from venvpkg.process import Runner, python_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A Python that a version manager installed, which a server cannot get with apt."""

    manager: str
    """``pyenv`` or ``uv``."""
    version: Version
    path: Path

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.manager} has {self.version} at {self.path}."

    @classmethod
    def of(cls, manager: str, folder: Path, name: str) -> Self | None:
        """Return the Python in a version manager's folder, if there is one."""
        try:
            version = Version(name)
        except InvalidVersion:
            return None
        path = folder / "bin" / f"python{version.major}.{version.minor}"
        return cls(manager=manager, version=version, path=path) if path.is_file() else None


def find_foreign(environ: Mapping[str, str]) -> list[Foreign]:
    """Return what pyenv and uv have installed, oldest first."""
    home = Path(environ.get("HOME") or "/nonexistent")
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    # What "uv python dir" prints, without a uv.
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    found = [Foreign.of("pyenv", folder, folder.name) for folder in subfolders(pyenv)]
    for folder in subfolders(uv):
        named = re.match(r"cpython-([^-+]+)", folder.name)
        found.append(Foreign.of("uv", folder, named[1]) if named else None)
    return sorted((f for f in found if f), key=lambda f: f.version)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in one, but for links, which are second names; none where it can't be read."""
    try:
        return [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()]
    except OSError:
        return []


def offered_pythons(run: Runner, environ: Mapping[str, str]) -> dict[str, Version]:
    """Return the Pythons that apt could install, by package, oldest first; none where there is no apt."""
    env = {**python_environment(environ), "LC_ALL": "C.UTF-8"}
    try:
        said = run(["apt-cache", "pkgnames", "python3."], env=env, check=False).stdout.split()
        names = sorted(
            (n for n in said if re.fullmatch(r"python3\.\d+", n)), key=lambda n: int(n.split(".")[1])
        )
        policy = run(["apt-cache", "policy", *names], env=env, check=False).stdout if names else ""
    except VenvpkgError:
        return {}
    found = {}
    for name in names:
        candidate = re.search(
            rf"^{re.escape(name)}:\n.*\n  Candidate: (?:\d+:)?(3[\d.]*)", policy, re.MULTILINE
        )
        if candidate:
            found[name] = Version(candidate[1].rstrip("."))
    return found


def is_ubuntu(run: Runner, environ: Mapping[str, str]) -> bool:
    """Tell whether this is Ubuntu, or made from it: deadsnakes builds for no other."""
    try:
        words = ["dpkg-vendor", "--derives-from", "Ubuntu"]
        return run(words, env=python_environment(environ), check=False).returncode == 0
    except VenvpkgError:
        return False
