"""Both examples: the files after purge minus those before, and what piuparts says."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from debian.deb822 import Deb822

from debs import control_field
from examples import EXAMPLES
from roots import DATABASES, Base, Root, RootFactory, difference
from venvpkg.elsewhere import find_foreign

pytestmark = [pytest.mark.root, pytest.mark.network]

MODES = ("build", "install", "none")
FOREIGN = {f"bundled {f.path.name}": f.path for f in find_foreign(os.environ) if f.version.minor in (12, 13)}
INTERPRETERS = {"system": None, "bundled python3.11": Path("/usr/bin/python3.11"), **FOREIGN}
USE = {
    "hello-web": "hello-web --version",
    "skyplot": "skyplot --size 400 --output /tmp/sky.png && rm /tmp/sky.png",
}
# A system user stays, so that no other one gets its number: piuparts takes no notice either.
ACCOUNTS = {f"/etc/{name}{end}" for name in ("passwd", "shadow", "group", "gshadow") for end in ("", "-")}
# debconf of trixie makes it when apt installs something, which happens in the tested root alone.
IGNORED = ("/var/cache/debconf/tmp.ci/",)


@dataclass
class Builder:
    """A root in which the examples are built."""

    root: Root
    folder: Path
    """Where the packages go, on this machine."""

    def build(self, name: str, interpreter: str = "system", mode: str = "build", version: str = "") -> Path:
        """Build one example, as another version where one is given."""
        source = self.folder / f"{name}-{interpreter}-{mode}-{version}".replace(" ", "-")
        shutil.copytree(EXAMPLES / name, source / name, symlinks=True)
        if version:
            for file in ("debian/changelog", "pyproject.toml"):
                path = source / name / file
                path.write_text(path.read_text().replace("1.0.0", version))
        env = {"DH_VENVPKG_BYTECODE": mode}
        if python := INTERPRETERS[interpreter]:
            self.provide(python)
            env |= {"DH_VENVPKG_INTERPRETER": "bundled", "DH_VENVPKG_PYTHON": str(python)}
        control = Deb822((source / name / "debian/control").read_text())
        self.root.apt("satisfy", control["Build-Depends"])
        built = self.root.build(source / name, at=f"/build/{source.name}", env=env).deb(name)
        return Path(shutil.copy(built, source))

    def provide(self, python: Path) -> None:
        """Copy a Python of this machine into the root."""
        home = self.root.inside(str(python.parents[1]))
        if not python.is_relative_to("/usr") and not home.exists():
            ignored = shutil.ignore_patterns("test", "__pycache__", "site-packages")
            shutil.copytree(python.parents[1], home, symlinks=True, ignore=ignored)


@pytest.fixture(scope="module")
def builder(
    builder_base: Callable[[str], Base], uv_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Builder]:
    """One for all."""
    with builder_base("bookworm").open() as root:
        root.copy_in(uv_binary, "/usr/local/bin/uv")
        yield Builder(root, tmp_path_factory.mktemp("examples"))


def each() -> list[object]:
    """A parameter for every combination; all but one are the full run's."""
    return [
        pytest.param(name, interpreter, mode, marks=() if first else pytest.mark.full)
        for name in USE
        for interpreter in INTERPRETERS
        for mode in MODES
        for first in [(name, interpreter, mode) == ("hello-web", "system", "install")]
    ]


@pytest.mark.parametrize(("name", "interpreter", "mode"), each())
def test_files_after_purge_minus_before_are_none(
    name: str, interpreter: str, mode: str, builder: Builder, make_root: Callable[..., Root]
) -> None:
    """After the program ran as root, which writes bytecode where it is allowed to."""
    deb = builder.build(name, interpreter, mode)
    root = make_root("bookworm")
    # What the package depends on is not what is looked at: it comes before and stays.
    root.apt("satisfy", control_field(deb, "Depends"))
    before = root.snapshot(DATABASES)
    root.install([deb])
    root.run(USE[name], env={"PYTHONDONTWRITEBYTECODE": None})
    root.purge(name)
    assert not difference(before, root.snapshot(DATABASES)).keys() - ACCOUNTS


# --- piuparts


@pytest.fixture(scope="module")
def tarball(root_factory: RootFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minimal root with what a server has: piuparts finds fault with what the purge of systemd leaves."""
    if not shutil.which("piuparts"):
        pytest.skip("piuparts is not installed: apt-get install piuparts")
    path = tmp_path_factory.mktemp("piuparts") / "root.tar.gz"
    (tree,) = root_factory.base("bookworm", ["systemd"]).layers
    command = ["tar", "-C", tree, "--numeric-owner", "-I", "gzip -1", "-cf", path, "."]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module", params=list(USE))
def versions(request: pytest.FixtureRequest, builder: Builder) -> tuple[Path, Path]:
    """The folder of an archive with version 1.0.0 of an example, and the package of 1.0.1."""
    old = builder.build(request.param, version="1.0.0")
    new = builder.build(request.param, version="1.0.1")
    control = subprocess.run(["dpkg-deb", "-f", old], capture_output=True, text=True, check=True).stdout
    archive = old.parent / "archive"
    archive.mkdir()
    shutil.copy(old, archive)
    digest = hashlib.sha256(old.read_bytes()).hexdigest()
    more = f"Filename: ./{old.name}\nSize: {old.stat().st_size}\nSHA256: {digest}\n"
    (archive / "Packages").write_text(control + more)
    return archive, new


@pytest.mark.full
@pytest.mark.parametrize("suites", [("bookworm",), ("bookworm", "trixie")], ids="-".join)
def test_piuparts_passes(
    suites: tuple[str, ...],
    versions: tuple[Path, Path],
    tarball: Path,
    root_factory: RootFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Install, remove, install, purge, and upgrade from the version before; then a distribution upgrade."""
    archive, new = versions
    log = tmp_path / "log"
    command: list[str | Path] = ["piuparts", "-b", tarball, "-m", root_factory.archive.main, "-l", log]
    command += [word for suite in suites for word in ("-d", suite)]
    command += [f"--bindmount={archive}", f"--extra-repo=deb [trusted=yes] file://{archive} ./"]
    command += ["--fail-on-broken-symlinks", "--pedantic-purge-test", "--no-eatmydata"]
    command += [word for path in IGNORED for word in ("-i", path)]
    if len(suites) == 1:
        # From one suite to the next Debian's own files move.
        command += ["--warn-on-usr-move=fail", "--install-remove-install"]
    subprocess.run([*command, new], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    said = re.findall(r"^\S+ (?:INFO: (?:PASS|FAIL)|ERROR|WARN).*(?:\n  .*)*", log.read_text(), re.MULTILINE)
    with capsys.disabled():
        print(f"\n{new.name}, {' to '.join(suites)}:", *said, sep="\n  ")
    assert said
    assert all("INFO: PASS: " in line for line in said)
