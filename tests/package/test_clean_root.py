"""`venvpkg verify --run --root`: a package in a clean root that mmdebstrap made."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handmade import PYTHON, add_distribution, make_deb, make_root
from roots import RootFactory

pytestmark = [pytest.mark.root, pytest.mark.network]

CHECKOUT = Path(__file__).resolve().parents[2]
# An environment that is made by hand is for this machine's own Python, so the root has to be of its suite.
SUITES = {"python3.11": "bookworm", "python3.13": "trixie"}
PROGRAM = b"import ctypes\nctypes.CDLL('libgomp.so.1')\n"
MODULES = ("click", "debian", "elftools", "packaging", "venvpkg")


@dataclass(frozen=True)
class Checked:
    """What the command said."""

    status: int
    findings: list[tuple[str, str]]
    """Code and path."""
    said: str
    """All that it wrote."""


@pytest.fixture(scope="session")
def python() -> str:
    """The name of Debian's Python on this machine."""
    name = PYTHON.resolve().name
    if name not in SUITES:
        pytest.skip(f"{name} is no suite's default Python")
    return name


def memory() -> Path | None:
    """A folder in memory with room for a root, where unpacking and removing one takes little time."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return None
    return folder if shutil.disk_usage(folder).free > 2e9 else None


@pytest.fixture(scope="session")
def make_tarball(root_factory: RootFactory, python: str) -> Iterator[Callable[..., Path]]:
    """`make_tarball(*packages)`: a clean root as `mmdebstrap --include=… SUITE root.tar` makes it."""
    with tempfile.TemporaryDirectory(prefix="venvpkg-tarballs-") as name:

        def make(*packages: str) -> Path:
            path = Path(name) / f"root-{len(packages)}.tar"
            if not path.exists():
                tree = root_factory.base(SUITES[python], packages).layers[0]
                # Documentation is half of the files, and nothing here looks at it.
                left_out = [f"--exclude=./usr/share/{part}/*" for part in ("doc", "locale", "zoneinfo")]
                subprocess.run(
                    ["tar", "-cf", path, "-C", tree, *left_out, "--numeric-owner", "."], check=True
                )
            return path

        yield make


@pytest.fixture
def tarball(make_tarball: Callable[..., Path]) -> Path:
    """A root with Debian's Python, and without the library."""
    return make_tarball("python3")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """The folder of temporary files of every run."""
    with tempfile.TemporaryDirectory(prefix="venvpkg-scratch-", dir=memory()) as name:
        yield Path(name)


def package(folder: Path, depends: str, program: bytes = PROGRAM) -> Path:
    """A .deb whose module loads a library when it is imported."""
    root = make_root(folder / "app", f"Depends: {depends}\n")
    add_distribution(root, "demo", {"demo/__init__.py": program}, local=True)
    return make_deb(root)


def verify(tarball: Path, scratch: Path, *words: str | Path) -> Checked:
    """Run the command in a process of its own, and make sure that it leaves nothing behind."""
    mounts = Path("/proc/self/mounts").read_text()
    command = [sys.executable, "-m", "venvpkg", "verify", "--json", "--root", tarball, *words]
    environ = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(CHECKOUT / "src")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert list(scratch.iterdir()) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    return read(done)


def read(done: subprocess.CompletedProcess[str]) -> Checked:
    """What a finished command said."""
    found = json.loads(done.stdout)["findings"] if done.stdout else []
    pairs = [(f["code"], f["path"]) for f in found]
    return Checked(done.returncode, pairs, done.stdout + done.stderr)


def test_depends_brings_all_that_the_package_needs(
    make_tarball: Callable[..., Path], scratch: Path, python: str, tmp_path: Path
) -> None:
    """The root has neither Python nor the library; with both in Depends nothing is found."""
    tarball = make_tarball()
    checked = verify(tarball, scratch, "--run", package(tmp_path, f"{python}, libgomp1"))
    assert (checked.status, checked.findings) == (0, []), checked.said


def test_library_that_depends_lacks_is_not_there(
    tarball: Path, scratch: Path, python: str, tmp_path: Path
) -> None:
    """Whatever this machine has; what the module does besides is seen in the root alone."""
    spy = b"import os\nassert os.listdir('/opt/venvs') == ['app']\nassert os.getuid() == 0\n"
    checked = verify(tarball, scratch, "--run", package(tmp_path, python, spy + PROGRAM))
    assert (checked.status, checked.findings) == (1, [("V011", "demo")]), checked.said
    assert "libgomp.so.1: cannot open shared object file" in checked.said


def test_package_is_checked_against_the_root_without_running(
    tarball: Path, scratch: Path, python: str, tmp_path: Path
) -> None:
    """Who owns what is asked of the root, and a module that would fail is not imported."""
    deb = package(tmp_path, f"{python}-minimal")
    checked = verify(tarball, scratch, deb)
    # The interpreter is there, and Depends does not name the package that holds its standard library.
    assert checked.findings == [("V009", "opt/venvs/app/bin/python")], checked.said


def test_folder_cannot_be_installed(tarball: Path, scratch: Path, tmp_path: Path) -> None:
    """Only a .deb can, and that is said before the root is unpacked."""
    checked = verify(tarball, scratch, "--run", make_root(tmp_path / "app"))
    assert (checked.status, checked.findings) == (3, [])
    assert "error[deb-needed]" in checked.said


@pytest.mark.parametrize("what", ["text", "empty", "cut", "no root", "none", "folder"])
def test_tarball_that_holds_no_root_is_an_error(
    what: str, tarball: Path, scratch: Path, tmp_path: Path
) -> None:
    """With a code, and a command that makes one."""
    deb, wrong = package(tmp_path, "python3"), tmp_path / "wrong.tar"
    if what == "text":
        wrong.write_text("hello\n" * 1000)
    elif what == "empty":
        wrong.write_bytes(b"\0" * 10240)
    elif what == "cut":
        with tarball.open("rb") as stream:
            wrong.write_bytes(stream.read(3_000_000))
    elif what == "no root":
        (tmp_path / "etc").mkdir()
        subprocess.run(["tar", "-cf", wrong, "-C", tmp_path, "./etc"], check=True)
    elif what == "folder":
        wrong.mkdir()
    checked = verify(wrong, scratch, "--run", deb)
    assert checked.status == 3
    assert f"error[root-unusable]: {wrong} is no clean root that could be used." in checked.said
    assert "hint: mmdebstrap --variant=minbase" in checked.said


def test_depends_that_cannot_be_installed_is_an_error(tarball: Path, scratch: Path, tmp_path: Path) -> None:
    """With apt's own words."""
    checked = verify(tarball, scratch, "--run", package(tmp_path, "no-package-of-this-name-is-there"))
    assert (checked.status, checked.findings) == (3, [])
    assert "error[root-install-failed]: app.deb could not be installed in the clean root." in checked.said
    assert "\n  E: Unable to " in checked.said


def test_package_whose_script_fails_is_an_error(
    tarball: Path, scratch: Path, python: str, tmp_path: Path
) -> None:
    """With what the script said."""
    root = make_root(tmp_path / "app", "Depends: libc6\n")
    (root / "DEBIAN/postinst").write_text("#!/bin/sh\necho so it goes >&2\nexit 3\n")
    (root / "DEBIAN/postinst").chmod(0o755)
    checked = verify(tarball, scratch, "--run", make_deb(root))
    assert checked.status == 3
    assert "error[root-install-failed]" in checked.said
    assert "so it goes" in checked.said


# ---------------------------------------------------------------------------------------------
# As a plain user


@dataclass(frozen=True)
class User:
    """A user of this machine who is not root, with folders that the user may read and write."""

    uid: int
    gid: int
    top: Path


@pytest.fixture(scope="session")
def user() -> Iterator[User]:
    """The first one that has subordinate ids (subuid(5)), with a copy of the command."""
    path = Path("/etc/subuid")
    names = [line.split(":")[0] for line in path.read_text().splitlines()] if path.is_file() else []
    known = [entry for entry in pwd.getpwall() if entry.pw_name in names and entry.pw_uid != 0]
    if not known:
        pytest.skip("no user but root has subordinate ids")
    if not shutil.which("newuidmap") or not shutil.which("setpriv"):
        pytest.skip("newuidmap (package uidmap) or setpriv is not installed")
    # Neither the checkout nor the tests' Python need be where another user may read.
    with tempfile.TemporaryDirectory(prefix="venvpkg-user-", dir=memory()) as name:
        top = Path(name)
        top.chmod(0o755)
        for module in MODULES:
            spec = importlib.util.find_spec(module)
            assert spec and spec.origin
            shutil.copytree(Path(spec.origin).parent, top / "modules" / module)
        (top / "scratch").mkdir()
        os.chown(top / "scratch", known[0].pw_uid, known[0].pw_gid)
        yield User(known[0].pw_uid, known[0].pw_gid, top)


def test_plain_user_can_check_in_a_clean_root(
    user: User, make_tarball: Callable[..., Path], python: str, tmp_path: Path
) -> None:
    """In a namespace of the user's own, with the root's other users in it; nothing is left."""
    allowed = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
    tried = [*allowed, "unshare", "--user", "--map-auto", "--map-root-user", "--mount", "true"]
    answer = subprocess.run(tried, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip(f"a plain user may not make a namespace here: {answer.stderr.strip()}")
    deb = Path(shutil.copy(package(tmp_path, f"{python}, libgomp1"), user.top))
    tarball = Path(shutil.copy(make_tarball("python3"), user.top))
    environ = {
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(user.top / "scratch"),
        "TMPDIR": str(user.top / "scratch"),
        "PYTHONPATH": str(user.top / "modules"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [*allowed, PYTHON, "-m", "venvpkg", "verify", "--json", "--run", "--root", tarball, deb]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)
    checked = read(done)
    assert (checked.status, checked.findings) == (0, []), checked.said
    assert list((user.top / "scratch").iterdir()) == []
