"""dh-venvpkg's .deb, built from the checkout in a clean root, and kept while its source stays the same."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debian.deb822 import Deb822

import roots
from roots import RootFactory

CHECKOUT = Path(__file__).resolve().parents[1]


def build_deb(factory: RootFactory) -> Path:
    """Return the path of the .deb, which is built with plain dpkg-buildpackage on bookworm."""
    files = source_files(CHECKOUT)
    folder = roots.cache_folder() / "debs" / digest(CHECKOUT, files)
    with roots.locked(roots.cache_folder() / "debs" / "lock"):
        if not list(folder.glob("*.deb")):
            shutil.rmtree(folder.parent / folder.name, ignore_errors=True)
            build_checkout(factory, files, folder)
    (deb,) = folder.glob("dh-venvpkg_*.deb")
    return deb


def source_files(checkout: Path) -> list[Path]:
    """The checkout's files as a clone would have them, with what is new and not ignored."""
    # The checkout may belong to another user than the tests, which git refuses until told.
    command = ["git", "-c", f"safe.directory={checkout}", "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        answer = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
        paths = [Path(name) for name in answer.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        # An exported tree, or no git: then all but what tools leave behind.
        skipped = re.compile(r"(^|/)(\.(git|venv.*|.*_cache|hypothesis)|__pycache__|dist|.*\.egg-info)(/|$)")
        every = (path.relative_to(checkout) for path in checkout.rglob("*"))
        paths = [path for path in every if not skipped.search(str(path))]
    return sorted(path for path in paths if (checkout / path).is_file() or (checkout / path).is_symlink())


def digest(checkout: Path, files: list[Path]) -> str:
    """A key that changes with any byte or mode that goes into the .deb (tests and docs' prose do not)."""
    relevant = {"src", "debian", "debian-templates", "docs", "pyproject.toml", "LICENSE", "README.md"}
    total = hashlib.sha256()
    for path in files:
        if path.parts[0] in relevant and not (checkout / path).is_symlink():
            mode = (checkout / path).stat().st_mode & 0o111
            total.update(f"{path}\0{mode}\0".encode() + (checkout / path).read_bytes() + b"\0")
    return total.hexdigest()[:24]


def build_checkout(factory: RootFactory, files: list[Path], target: Path) -> None:
    """Build the .deb in a root that holds what debian/control says, and nothing else."""
    with (
        factory.base("bookworm", ["build-essential", *build_depends()]).open() as root,
        tempfile.TemporaryDirectory() as copy,
    ):
        source = Path(copy) / "venvpkg"
        copy_checkout(source, files)
        built = root.build(source, network=False)
        target.mkdir(parents=True)
        (target / "build.log").write_text(built.log)
        for deb in built.debs:
            shutil.copy(deb, target)


def build_depends() -> list[str]:
    """The packages that debian/control's Build-Depends names."""
    control = Deb822((CHECKOUT / "debian/control").read_text())
    names = [re.split(r"[\s(\[<|:]", part.strip())[0] for part in control["Build-Depends"].split(",")]
    real = {"debhelper-compat": "debhelper", "dh-sequence-python3": "dh-python"}
    return [real.get(name, name) for name in names if name]


def copy_checkout(target: Path, files: list[Path] | None = None) -> None:
    """Copy the checkout's files, as a clone would have them."""
    for path in files or source_files(CHECKOUT):
        to = target / path
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / path, to, follow_symlinks=False)


def build_wheel(folder: Path) -> Path:
    """Return venvpkg's wheel, built from the checkout into ``folder``."""
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT]
    subprocess.run(words, check=True, capture_output=True)
    (wheel,) = folder.glob("venvpkg-*.whl")
    return wheel
