"""What is asked of ``venvpkg build``, and whether it can be done here."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from venvpkg.builddeps import Wanted, apt_line, find_missing, install
from venvpkg.configuration import read_configuration
from venvpkg.control import read_control
from venvpkg.display import Display
from venvpkg.drafting import read_metadata
from venvpkg.errors import VenvpkgError
from venvpkg.pipeline import World
from venvpkg.scaffold import find_unfinished, require_folder

# What a build takes beside the packages that it declares.
TOOLS = {"dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", "make": "build-essential"}
# This program is these packages.
OURS = re.compile(r"(dh-sequence-venvpkg|dh-venvpkg)\b")
OTHER_OUTPUT = "Name another folder: venvpkg build --output DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for."""

    folder: Path
    """The project's folder, absolute."""
    output: Path
    """Where the results go, absolute."""
    source: bool = False
    """The source package is wanted, too."""
    sign: str | None = None
    """A key to sign with (dpkg-buildpackage(1), -k), empty for the maintainer's, None for no signature."""
    install_build_depends: bool = False
    taken: Mapping[Path, Path] = field(default_factory=dict)
    """Files that earlier orders wrote, each with the project's folder."""


def require_project(folder: Path) -> None:
    """Make sure that there is something to build.

    Raises:
        VenvpkgError: ``debian-unfinished``, where lines of debian/ are left to their owner;
            ``project-not-found``, ``project-invalid``.
    """
    require_folder(folder)
    unfinished = find_unfinished(folder)
    if unfinished:
        raise VenvpkgError(
            code="debian-unfinished",
            message=f"{len(unfinished)} lines in debian/ are not written yet.",
            causes=unfinished,
            hint="Replace each FIXME by what it asks for, and build again.",
        )
    if not (folder / "debian" / "control").is_file():
        read_metadata(folder, read_configuration(folder))


def require_output(order: Order) -> None:
    """Make sure that the results can go where they are to go, without making the folder yet.

    Raises:
        VenvpkgError: ``output-unusable``.
    """
    place = order.output
    if place.is_relative_to(order.folder / "debian"):
        reason = "What lies in debian/ is part of the source package."
    elif place.is_symlink() and not place.exists():
        reason = f"It is a link to {place.readlink()}, which is not there."
    else:
        above = next(folder for folder in (place, *place.parents) if folder.exists())
        if not above.is_dir():
            reason = f"{above} is no folder."
        elif not os.access(above, os.W_OK | os.X_OK):
            reason = f"{above} may not be written."
        else:
            return
    raise VenvpkgError(
        code="output-unusable",
        message=f"The packages can't go into {place}.",
        causes=[reason],
        hint=OTHER_OUTPUT,
    )


def require_executable(folder: Path) -> None:
    """Make sure that programs can be run where the build will be: debian/rules is one.

    Raises:
        VenvpkgError: ``temporary-noexec``.
    """
    program = folder / "program"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    if not os.access(program, os.X_OK):
        raise VenvpkgError(
            code="temporary-noexec",
            message=f"No program may be run in {folder.parent}.",
            causes=["The file system is mounted with the option noexec, and the build runs there."],
            hint="Name another folder for temporary files: TMPDIR=/var/tmp",
        )
    program.unlink()


def require_key(order: Order, world: World) -> None:
    """Make sure that there is a key to sign with, which dpkg-buildpackage(1) does without in silence.

    Raises:
        VenvpkgError: ``signing-failed``.
    """
    if order.sign is None:
        return
    words = ["gpg", "--batch", "--list-secret-keys", *([order.sign] if order.sign else [])]
    found = shutil.which("gpg", path=world.environ.get("PATH"))
    answer = world.run(words, check=False, env=world.environ) if found else None
    if answer is None or answer.returncode != 0 or not answer.stdout.strip():
        raise VenvpkgError(
            code="signing-failed",
            message=f"There is no secret key{f' {order.sign}' if order.sign else ''} to sign with.",
            causes=answer.tail if answer else ["gpg is not installed."],
            hint="Your keys: gpg --list-secret-keys\nName one of them: venvpkg build --sign=KEY",
        )


def require_tools(order: Order, world: World, display: Display) -> None:
    """Make sure that Debian's tools are there.

    Raises:
        VenvpkgError: ``build-tools-missing``; what installing raises.
    """
    path = world.environ.get("PATH")
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)]
    if missing and order.install_build_depends and shutil.which("apt-get", path=path):
        display.begin("installing build-essential and debhelper")
        install(
            Wanted(relations=("build-essential", "debhelper"), sources=()),
            world.run,
            world.environ,
            sudo=True,
        )
        missing = [package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)]
    if missing:
        raise VenvpkgError(
            code="build-tools-missing",
            message="Debian's tools for building packages are not installed.",
            causes=[f"Missing: {', '.join(missing)}."],
            hint="apt-get install --no-install-recommends build-essential debhelper\n"
            "Or let it do that: venvpkg build --install-build-depends",
        )


def declared(source: Path) -> list[str]:
    """Return the clauses of Build-Depends without this program itself, which is there."""
    clauses = read_control(source / "debian" / "control").build_depends.split(",")
    return [c.strip() for c in clauses if c.strip() and not OURS.match(c.strip())]


def require_installed(relations: Sequence[str], order: Order, world: World, display: Display) -> None:
    """Make sure that build dependencies are installed.

    Raises:
        VenvpkgError: ``build-depends-missing``; what installing raises.
    """
    missing = find_missing(relations, world.run)
    if missing and order.install_build_depends:
        display.begin(f"installing {', '.join(missing)}")
        install(Wanted(relations=missing, sources=()), world.run, world.environ, sudo=True)
        missing = find_missing(relations, world.run)
    if missing:
        raise VenvpkgError(
            code="build-depends-missing",
            message=f"{len(missing)} build dependencies are not installed.",
            causes=[f"Missing: {', '.join(missing)}."],
            hint=f"{apt_line(missing)}\nOr let it do that: venvpkg build --install-build-depends",
        )
