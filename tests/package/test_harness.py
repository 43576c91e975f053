"""The clean roots are what the other package tests take them for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from projects import Project
from roots import DATABASES, SUITES, CommandFailed, Root, difference

pytestmark = pytest.mark.root

CleanRoot = Callable[[str], Root]


def make_deb(folder: Path, version: str = "1") -> Path:
    """A package of one file and one folder in /opt, made by hand."""
    tree = folder / f"trivial-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "opt/trivial").mkdir(parents=True)
    (tree / "opt/trivial/hello").write_text("hello\n")
    (tree / "DEBIAN/control").write_text(
        f"Package: trivial\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\n"
        "Description: one file\n"
    )
    deb = folder / f"trivial_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)], check=True, capture_output=True
    )
    return deb


@pytest.mark.parametrize("suite", SUITES)
def test_root_is_the_suite_and_has_no_python(suite: str, clean_root: CleanRoot) -> None:
    """What a package needs must come from its Depends, so a clean root has no Python of its own."""
    root = clean_root(suite)
    assert f"VERSION_CODENAME={suite}" in root.run(["cat", "/etc/os-release"]).stdout
    assert root.run("command -v python3", check=False).returncode != 0
    assert not [
        path for path in root.files() if path.startswith(("/usr/bin/python", "/usr/lib/python", "/opt/"))
    ]


def test_root_without_network_sees_only_loopback(clean_root: CleanRoot) -> None:
    """A build that asks an index in secret fails there; one that talks to itself does not."""
    seen = clean_root("bookworm").run(["cat", "/proc/net/dev", "/proc/net/route"], network=False).stdout
    interfaces = [line.split(":")[0].strip() for line in seen.splitlines() if ":" in line]
    assert interfaces == ["lo"]
    fib = clean_root("bookworm").run(["cat", "/proc/net/fib_trie"], network=False).stdout
    assert "127.0.0.1" in fib, "the loopback interface is down"


def test_root_is_a_copy(clean_root: CleanRoot) -> None:
    """What one test does to its root, the next one does not see."""
    first = clean_root("bookworm")
    first.run("rm -r /usr/share/doc && echo spoilt >/etc/hostname && touch /new")
    second = clean_root("bookworm")
    assert (
        second.run("test -d /usr/share/doc && ! grep -q spoilt /etc/hostname && ! test -e /new").returncode
        == 0
    )


@pytest.mark.parametrize("pivot", [False, True])
def test_closed_root_leaves_neither_mount_nor_folder_nor_process(clean_root: CleanRoot, pivot: bool) -> None:
    """A test that left a daemon behind does not keep the root alive."""
    root = clean_root("bookworm")
    pid = int(root.run("sleep 1000 >/dev/null 2>&1 & echo $!", pivot=pivot).stdout)
    assert Path(f"/proc/{pid}").exists()
    root.close()
    assert str(root.path) not in Path("/proc/self/mounts").read_text()
    assert not root.path.exists()
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.network
@pytest.mark.parametrize("suite", SUITES)
def test_booted_root_is_a_machine_of_its_own(suite: str, make_root: Callable[..., Root]) -> None:
    """With systemd as its first process and a loopback of its own; the machine below stays as it is."""
    root = make_root(suite, ["systemd-sysv"])
    user = root.add_user()
    root.boot()
    assert root.run(["cat", "/proc/1/comm"], user=user).stdout == "systemd\n"
    assert root.run(["systemctl", "is-active", "systemd-journald"]).stdout == "active\n"
    assert root.run("echo 1 >/proc/sys/kernel/panic", check=False).returncode != 0
    assert root.run(["cat", "/proc/net/dev"], network=root).stdout.count(":") == 1
    groups = {path.parent for path in Path("/sys/fs/cgroup").rglob(f"{root.path.parent.name}/*")}
    root.run("sleep 1000 >/dev/null 2>&1 &")
    root.close()
    assert not root.path.exists()
    assert [group for group in groups if group.exists()] == []


def test_user_makes_namespaces_in_a_pivoted_root(clean_root: CleanRoot) -> None:
    """As sbuild does; in a chroot the kernel refuses."""
    root = clean_root("bookworm")
    user = root.add_user()
    namespace = ["unshare", "--user", "--map-root-user", "id", "-u"]
    assert root.run(namespace, user=user, pivot=True, check=False).stdout == "0\n"
    assert root.run(namespace, user=user, check=False).returncode != 0
    assert root.run("id -un; pwd", user=user, pivot=True, cwd="/opt").stdout.split() == [user, "/opt"]


@pytest.mark.parametrize("suite", SUITES)
def test_install_and_purge_leave_no_difference(suite: str, clean_root: CleanRoot, tmp_path: Path) -> None:
    """The file list is steady enough to show what a package leaves behind."""
    root = clean_root(suite)
    # dpkg removes /opt with the last package that has something in it; another one keeps it here.
    root.run(["mkdir", "-p", "/opt/other"])
    before, before_files = root.snapshot(DATABASES), root.files()
    root.install([make_deb(tmp_path)])
    assert difference(before, root.snapshot(DATABASES)) == {
        "/opt": "changed",
        "/opt/trivial": "new",
        "/opt/trivial/hello": "new",
    } or difference(before, root.snapshot(DATABASES)) == {"/opt/trivial": "new", "/opt/trivial/hello": "new"}
    root.purge("trivial")
    assert difference(before, root.snapshot(DATABASES)) == {}
    left = set(root.files()) - set(before_files)
    assert {path for path in left if not path.startswith(DATABASES)} == set()


def test_snapshot_sees_content_mode_and_target(clean_root: CleanRoot) -> None:
    """A file list alone would miss a file that was rewritten in place."""
    root = clean_root("bookworm")
    root.run("echo one >/etc/a; echo 1 >/etc/b; ln -s a /etc/c")
    before = root.snapshot()
    root.run("echo two >/etc/a; chmod 600 /etc/b; ln -sf b /etc/c; touch -d 2001-01-01 /etc/hostname")
    assert difference(before, root.snapshot()) == {
        "/etc/a": "changed",
        "/etc/b": "changed",
        "/etc/c": "changed",
    }


def test_failing_command_shows_its_output(clean_root: CleanRoot) -> None:
    """A red test says what the command said."""
    with pytest.raises(CommandFailed, match=r"(?s)exit code 3.*so it goes"):
        clean_root("bookworm").run("echo so it goes >&2; exit 3")


def test_user_is_a_plain_one(clean_root: CleanRoot) -> None:
    """A build as a user must not be root in disguise."""
    root = clean_root("bookworm")
    user = root.add_user()
    assert root.run("id -un; echo $HOME; umask; touch /etc/x", user=user, check=False).stdout.split()[:3] == [
        user,
        f"/home/{user}",
        "0022",
    ]


@pytest.mark.network
def test_apt_installs_from_the_archive(clean_root: CleanRoot) -> None:
    """The root has package lists, and a way to the mirror or to the shared downloads."""
    root = clean_root("bookworm")
    root.apt("install", "hello-traditional")
    assert "hello" in root.run(["hello"]).stdout.lower()


def test_project_is_a_plain_debhelper_package(make_root: Callable[..., Root]) -> None:
    """Without the add-on the helper's project builds with debhelper alone, and as a plain user."""
    root = make_root("bookworm", ["build-essential", "debhelper"])
    user = root.add_user()
    # A lone pyproject.toml sets no build system off: the package has its documentation, and that is all.
    built = root.build(Project(name="plain", addon="", architecture="all"), user=user, network=False)
    assert [path.name for path in built.debs] == ["plain_1.0_all.deb"]
    root.install([built.deb("plain")])
    assert root.run(["dpkg-query", "-W", "-f", "${Version}", "plain"]).stdout == "1.0"
