"""What a source package is made of: files that git does not ignore, and upstream's tarball."""

import re
import shutil
from collections.abc import Container, Iterable
from pathlib import Path

from debian.deb822 import Deb822

from venvpkg.control import read_upstream_version
from venvpkg.errors import VenvpkgError
from venvpkg.pipeline import World

QUILT = "3.0 (quilt)"
# What tar(1) takes for more than itself in a pattern.
QUOTABLE = re.compile(r"[][*?\\]")


def find_ignored(folder: Path, left_out: Container[Path], world: World) -> list[str]:
    """Return what git is told to ignore of what is copied, relative to the project (gitignore(5)).

    It may be a password as well as what a build takes: the packages are built with it, and the source
    package does not have it.
    """
    if not shutil.which("git", path=world.environ.get("PATH")):
        return []
    words = ["git", "-C", str(folder), "-c", "safe.directory=*", "ls-files", "-z", "--others"]
    answer = world.run([*words, "--ignored", "--exclude-standard", "--directory"], check=False)
    names = answer.stdout.split("\0") if answer.returncode == 0 else []
    return [
        name.rstrip("/")
        for name in names
        if name
        and not name.startswith("debian/")
        and folder / name not in left_out
        and "__pycache__" not in Path(name).parts
    ]


def leave_out(names: Iterable[str], copy: Path) -> list[str]:
    """Return dpkg-buildpackage's options that leave files out of a source package (dpkg-source(1)).

    Args:
        names: relative to the project's folder.
        copy: the source package's folder.
    """
    if read_format(copy) != QUILT:
        return ["-I" + QUOTABLE.sub(r"\\\g<0>", f"{copy.name}/{name}") for name in names]
    listed = "|".join(map(re.escape, names))
    return [f"--source-option=--extend-diff-ignore=^(?:{listed})(?:/|$)"] if listed else []


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
