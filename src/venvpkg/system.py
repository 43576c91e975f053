"""What the package database knows, as a frozen value: who owns a path, a soname, a Python."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from venvpkg.control import relation_names
from venvpkg.process import Runner

LDCONFIG_LINE = re.compile(r"^\t(\S+) \(([^)]*)\) => (\S+)$", re.MULTILINE)
# Folders that usrmerge made one; dpkg still knows many files under the old name.
MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One installed Debian package."""

    version: str
    depends: tuple[tuple[str, ...], ...]
    """Pre-Depends and Depends: alternatives by name, clause by clause."""
    provides: frozenset[str]
    essential: bool = False
    """Every system has it (Policy §3.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The machine's packages and shared libraries."""

    packages: Mapping[str, Installed] = field(default_factory=dict)
    sonames: Mapping[str, str] = field(default_factory=dict)
    """Where the dynamic linker finds a soname, absolute path."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Which package owns a path, for the paths that were asked for."""

    @classmethod
    def read(cls, run: Runner, paths: Iterable[str] = ()) -> "System":
        """Ask dpkg and ldconfig; ``paths`` are the absolute paths whose owners are wanted."""
        sonames = read_sonames(run)
        return cls(
            packages=read_packages(run),
            sonames=sonames,
            owners=read_owners(run, [*paths, *sonames.values()]),
        )

    @property
    def essential(self) -> frozenset[str]:
        """Return the packages that every system has, with what they depend on."""
        return self.closure(", ".join(name for name, package in self.packages.items() if package.essential))

    def owner(self, path: str) -> str | None:
        """Return the package that owns ``path``, under any of the names that it has."""
        return next((self.owners[name] for name in spellings(path) if name in self.owners), None)

    def provider(self, soname: str) -> str | None:
        """Return the package that owns the library with this soname."""
        return self.owner(self.sonames[soname]) if soname in self.sonames else None

    def closure(self, relations: str) -> frozenset[str]:
        """Return the names of all packages that a relationship field brings in, as installed here."""
        providers: dict[str, set[str]] = {}
        for name, package in self.packages.items():
            for provided in (name, *package.provides):
                providers.setdefault(provided, set()).add(name)
        reached: set[str] = set()
        waiting = [name for clause in relation_names(relations) for name in clause]
        while waiting:
            for name in providers.get(waiting.pop(), ()):
                if name not in reached:
                    reached.add(name)
                    waiting += [alt for clause in self.packages[name].depends for alt in clause]
        return frozenset(reached)


def spellings(path: str, resolve: Callable[[str], str] = os.path.realpath) -> list[str]:
    """Return the names that dpkg may know a path by: itself, resolved, with and without ``/usr``.

    Args:
        path: absolute.
        resolve: returns the real path of a folder; one that remembers saves time.
    """
    # What no path can be, from a file that means harm.
    if "\0" in path:
        return []
    names = []
    # Not Path.resolve(), to which a link in a circle is an error.
    folder, last = os.path.split(path.rstrip("/"))
    beside = f"{resolve(folder).rstrip('/')}/{last}"
    real = os.path.realpath(beside) if Path(beside).is_symlink() else beside
    for name in dict.fromkeys((path, beside, real)):
        names.append(name)
        if name.startswith("/usr/") and name[4:].startswith(MERGED):
            names.append(name[4:])
        elif name.startswith(MERGED):
            names.append("/usr" + name)
    return names


def read_packages(run: Runner) -> dict[str, Installed]:
    """Return the installed packages by name, from dpkg-query(1)."""
    form = (
        "${db:Status-Status}\t${Package}\t${Version}\t${Pre-Depends}\t${Depends}\t${Provides}\t${Essential}\n"
    )
    packages = {}
    for line in run(["dpkg-query", "-W", "-f", form], check=False).stdout.splitlines():
        status, name, version, pre_depends, depends, provides, essential = line.split("\t")
        if status == "installed":
            clauses = (*clause_names(pre_depends), *clause_names(depends))
            provided = frozenset(n for clause in clause_names(provides) for n in clause)
            packages[name] = Installed(
                version=version, depends=clauses, provides=provided, essential=essential == "yes"
            )
    return packages


def clause_names(relations: str) -> tuple[tuple[str, ...], ...]:
    """Return the names in a field that dpkg wrote.

    python-debian's parser is thorough and slow; over a whole package database that is seconds.
    """
    clauses = (c for c in relations.split(",") if c.strip())
    return tuple(
        tuple(re.split(r"[\s(:\[]", a.strip(), maxsplit=1)[0] for a in c.split("|")) for c in clauses
    )


def read_sonames(run: Runner) -> dict[str, str]:
    """Return what the dynamic linker finds, soname or name of a file to path."""
    ldconfig = next((p for p in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if Path(p).exists()), "ldconfig")
    found: dict[str, str] = {}
    for soname, _flags, path in LDCONFIG_LINE.findall(run([ldconfig, "-p"], check=False).stdout):
        found.setdefault(soname, path)
    # Some objects need a library by another name that it has in the linker's folders.
    folders = sorted({str(Path(path).parent) for path in found.values()})
    if folders:
        listed = run(["find", "-L", *folders, "-maxdepth", "1", "-type", "f", "-name", "*.so.*"], check=False)
        found = {Path(path).name: path for path in sorted(listed.stdout.splitlines())} | found
    return found


def read_owners(run: Runner, paths: Iterable[str]) -> dict[str, str]:
    """Return the owners of paths that dpkg knows, from ``dpkg-query --search``."""
    # Not for longer than this: links come and go.
    resolve = cache(os.path.realpath)
    names = sorted({name for path in paths for name in spellings(path, resolve)})
    owners: dict[str, str] = {}
    for start in range(0, len(names), 1000):
        found = run(["dpkg-query", "-S", *names[start : start + 1000]], check=False).stdout
        for line in found.splitlines():
            who, _, path = line.partition(": ")
            if not who.startswith(("diversion by", "local diversion")):
                owners.setdefault(path, who.split(",")[0].split(":")[0])
    return owners


def host_architecture(run: Runner) -> str:
    """Return Debian's name of the architecture that packages are built for."""
    return run(["dpkg-architecture", "-qDEB_HOST_ARCH"]).stdout.strip()


def read_codename() -> str:
    """Return VERSION_CODENAME of this system (os-release(5)), or nothing."""
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip("\"'")
    return ""
