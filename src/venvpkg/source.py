"""What a source package is made of: files that git does not ignore, and upstream's tarball."""

import os
import re
import shlex
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from debian.deb822 import Deb822

from venvpkg.control import read_upstream_version
from venvpkg.errors import VenvpkgError
from venvpkg.pipeline import World

QUILT = "3.0 (quilt)"
SHOWN_NAMES = 10
# What dpkg-buildpackage runs after it has made the source package; a percent sign means something to it.
BRING_BACK = "#!/bin/sh\nexec cp -a -- {kept}/. {copy}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is no part of the source package, and waits until that is made."""

    names: tuple[str, ...]
    """Relative to the project."""
    words: tuple[str, ...]
    """dpkg-buildpackage's options that bring it back for the binary packages."""

    def __str__(self) -> str:
        """Return the names for people."""
        shown = ["".join(c if c.isprintable() else "?" for c in name) for name in self.names[:SHOWN_NAMES]]
        more = len(self.names) - len(shown)
        return ", ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def find_ignored(folder: Path, left_out: Collection[Path], world: World) -> list[str]:
    """Return what git is told to ignore of what is copied, relative to the project (gitignore(5)).

    It may be a password as well as what a build takes: the packages are built with it, and the source
    package does not have it.
    """
    if not shutil.which("git", path=world.environ.get("PATH")):
        return []
    found: list[str] = []
    for top in _repositories(folder, world):
        words = ["--others", "--ignored", "--exclude-standard", "--directory"]
        found += [str(top / _unquote(name).rstrip("/")) for name in _git(folder / top, words, world)]
    # A debian/ that a program of the project's makes anew is ignored as a whole, or all that is in it.
    made_anew = "debian/control" in found
    return [
        name
        for name in _outermost([name for name in found if name != "debian"])
        if folder / name not in left_out
        and "__pycache__" not in Path(name).parts
        and not (made_anew and Path(name).parts[0] == "debian")
        and Path(name).parts[:2] != ("debian", "wheelhouse")
    ]


def _repositories(folder: Path, world: World) -> Iterator[PurePosixPath]:
    """Yield the folders that git is asked in: the project's, and those of submodules."""
    waiting = [PurePosixPath()]
    for top in waiting:
        yield top
        lines = (line.split("\t", 1) for line in _git(folder / top, ["--stage"], world))
        waiting += [
            top / _unquote(parts[1]) for parts in lines if parts[0].startswith("160000") and len(parts) == 2
        ]


def _git(folder: Path, words: Sequence[str], world: World) -> list[str]:
    # Not -z: what is quoted may have any bytes.
    settings = ["-c", "safe.directory=*", "-c", "core.quotePath=true"]
    answer = world.run(["git", "-C", str(folder), *settings, "ls-files", *words], check=False)
    return answer.stdout.splitlines() if answer.returncode == 0 else []


def _unquote(name: str) -> str:
    """Return a name as it is, of which git quotes what is not ASCII as a C program does (core.quotePath)."""
    if not name.startswith('"'):
        return name
    return os.fsdecode(name[1:-1].encode("ascii").decode("unicode_escape").encode("latin-1"))


def _outermost(names: Sequence[str]) -> list[str]:
    """Return the names that lie in none of the others."""
    known = set(map(PurePosixPath, names))
    return [str(path) for path in sorted(known) if known.isdisjoint(path.parents)]


def set_aside(names: Sequence[str], copy: Path, place: Path) -> Aside:
    """Move files of a source package's folder out of it until it is made, with the pointer to its repository.

    Args:
        names: relative to the folder.
        copy: the source package's folder.
        place: a folder for what is needed meanwhile.
    """
    kept, program = place / "kept", place / "bring-back"
    pointers = [str(path.relative_to(copy)) for path in (copy / ".git", *copy.glob("**/.git"))]
    for name in dict.fromkeys((*names, *pointers)):
        if os.path.lexists(copy / name):
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).rename(kept / name)
    kept.mkdir(parents=True, exist_ok=True)
    program.write_text(
        BRING_BACK.format(kept=shlex.quote(str(kept)), copy=shlex.quote(str(copy))), encoding="utf-8"
    )
    program.chmod(0o755)
    hook = str(program).replace("%", "%%")
    return Aside(names=tuple(names), words=(f"--hook-build=sh {shlex.quote(hook)}",))


def read_format(folder: Path) -> str:
    """Return the format of a source package, from debian/source/format (dpkg-source(1))."""
    path = folder / "debian" / "source" / "format"
    return path.read_text("utf-8", "replace").strip() if path.is_file() else "1.0"


def fetch_upstream(folder: Path, copy: Path, about: Deb822) -> None:
    """Copy upstream's tarballs from beside the project, where dpkg-source(1) wants them, beside the copy.

    Args:
        folder: the project's.
        copy: the source package's.
        about: what dpkg-parsechangelog(1) says of it.

    Raises:
        VenvpkgError: ``upstream-tarball-missing``.
    """
    stem = f"{about['Source']}_{read_upstream_version(copy / 'debian' / 'changelog')}.orig"
    found = [
        path for path in folder.parent.glob(f"{stem}*") if re.match(r"\.tar\.|-", path.name[len(stem) :])
    ]
    for path in found:
        shutil.copyfile(path, copy.parent / path.name)
    if read_format(copy) == QUILT and not any(path.name.startswith(f"{stem}.tar.") for path in found):
        raise VenvpkgError(
            code="upstream-tarball-missing",
            message=f"There is no {stem}.tar.gz in {folder.parent}.",
            causes=[f"debian/source/format is {QUILT}: upstream's source is a tarball of its own."],
            hint=f"git archive --prefix={stem.partition('_')[0]}/ -o ../{stem}.tar.gz HEAD . ':!debian'\n"
            "Or make it a package without one: 3.0 (native), and a version without a revision.",
        )
