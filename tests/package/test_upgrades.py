"""From one version to the next and back: what changes its kind, and what is gone, leaves nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from backend import pack
from projects import Project
from roots import Entry, Root, RootFactory, difference, snapshot
from workbench import Bench, Built, Recipe

pytestmark = pytest.mark.root

PREFIX = "/opt/venvs/demo"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
MODES = ("build", "install", "none")
MAIN = """\
import sys


def main():
    from demo import {module}, turn
    from demo.kind import VERSION

    print({module}.VERSION, turn.VERSION, VERSION, sys.prefix)
"""
# What dh_install cannot make: links, from a target that runs right after it.
LINKS = """\
execute_after_dh_install:
	mkdir -p debian/demo/{prefix}/share
	cd debian/demo/{prefix}/share && {links}
"""
SHARED = "mkdir -p real{more} && for d in real{more}; do echo {version} >$$d/a; done"


def versioned(number: int, prefix: str = PREFIX, **changes: object) -> Project:
    """Version 1 or 2: modules, folders and links of one are something else in the other."""
    first = number == 1
    version = f"VERSION = {number}\n"
    files: dict[str, str | bytes | None] = {
        "demo/__main__.py": MAIN.format(module="only1" if first else "only2"),
        f"demo/only{number}.py": version,
        "demo/turn/__init__.py" if first else "demo/turn.py": version,
        "demo/kind.py" if first else "demo/kind/__init__.py": version,
        f"demo/space{number}/deep/module.py": version,
    }
    # A folder becomes a link, and a link becomes a folder.
    more, link = (" data", "ln -s real turn") if first else (" turn", "ln -s real data")
    made = f"{SHARED.format(more=more, version=number)} && {link}"
    gone = [pack("gone", "1.0", {"gone/__init__.py": b"", "gone/sub/module.py": b""})] if first else []
    values: dict[str, object] = {
        "version": f"{number}.0",
        "files": files,
        "rules": LINKS.format(prefix=prefix.strip("/"), links=made),
        "wheels": [*gone, pack("stays", f"{number}.0", {"stays/__init__.py": version.encode()})],
        "dependencies": ["stays", *(["gone"] if first else [])],
        **changes,
    }
    return Project(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(bench: Callable[[str], Bench]) -> dict[str, Built]:
    """Packages of both versions, by what is different about them."""
    projects = {
        f"{number} {mode}": versioned(number, config=f'bytecode = "{mode}"')
        for number in (1, 2)
        for mode in MODES
    }
    for number in (1, 2):
        projects[f"{number} bundled"] = versioned(number, config='interpreter = "bundled"')
    projects["moved"] = versioned(2, "/opt/venvs/moved", config='env-name = "moved"')
    projects["elsewhere"] = versioned(2, "/srv/venvs/demo", config='install-root = "/srv/venvs"')
    # Debian's own Python is copied without its libpython.
    recipes = {name: Recipe(project=project) for name, project in projects.items()}
    return bench("bookworm").build_all(recipes)


@pytest.fixture(scope="module")
def opened(root_factory: RootFactory) -> Iterator[Root]:
    """One server for all of these tests, with what the packages depend on."""
    with root_factory.base("bookworm", ["python3", "ca-certificates", "tzdata"]).open() as root:
        root.run(["mkdir", "-p", "/srv/debs"])
        yield root


@pytest.fixture
def server(opened: Root) -> Iterator[Root]:
    """The server without the package, and without anything in /opt and /srv/venvs."""
    yield opened
    for name in ("demo", "plugin", "other"):
        opened.purge(name, check=False)
    opened.run("rm -rf /opt/* /srv/venvs")


def install(root: Root, built: Built, *, check: bool = True) -> str:
    """Install with dpkg alone, as an upgrade or a downgrade, and return what it said."""
    deb = root.copy_in(built.deb(), f"/srv/debs/{built.deb().parent.name}.deb")
    command = ["dpkg", "--force-unsafe-io", "-i", f"/srv/debs/{deb.name}"]
    return root.run(command, check=check).stdout


def state(root: Root) -> dict[str, Entry]:
    """All that is in /opt and /srv/venvs."""
    found = {**snapshot(root.inside("/opt"))}
    if root.inside("/srv/venvs").exists():
        found |= snapshot(root.inside("/srv/venvs"))
    return found


@pytest.fixture(scope="module")
def clean(built: Mapping[str, Built], opened: Root) -> dict[str, dict[str, Entry]]:
    """What each package leaves on a server that never had another."""
    found = {}
    for name, each in built.items():
        install(opened, each)
        found[name] = state(opened)
        opened.purge("demo")
        opened.run("rm -rf /srv/venvs")
    return found


def use(root: Root, prefix: str = PREFIX) -> str:
    """Run the program as root, so that it writes the bytecode that it may."""
    return root.run([f"{prefix}/bin/demo"], env={"PYTHONDONTWRITEBYTECODE": None}).stdout


def same(root: Root, clean: Mapping[str, Entry]) -> dict[str, str]:
    """In what the server differs from one that has only ever had this package."""
    return difference(clean, state(root))


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_upgrade_and_downgrade_equal_a_clean_installation(
    before: str, after: str, built: Mapping[str, Built], clean: Mapping[str, dict[str, Entry]], server: Root
) -> None:
    """Whatever writes the bytecode: modules, folders, links and distributions come, go and change kind."""
    for name in (f"1 {before}", f"2 {after}", f"1 {before}"):
        number = name.split()[0]
        said = install(server, built[name])
        assert "not empty" not in said
        assert same(server, clean[name]) == {}
        assert use(server) == f"{number} {number} {number} {PREFIX}\n"
    server.purge("demo")
    assert state(server) == {}
    assert server.inside("/opt").is_dir()


@pytest.mark.parametrize(
    "names", [("1 build", "2 bundled", "1 build"), ("1 bundled", "2 install", "1 bundled")], ids=str
)
def test_interpreter_becomes_bundled_and_back(
    names: tuple[str, ...], built: Mapping[str, Built], clean: Mapping[str, dict[str, Entry]], server: Root
) -> None:
    """The folder of the interpreter comes and goes whole."""
    for name in names:
        install(server, built[name])
        assert same(server, clean[name]) == {}
        assert use(server).startswith(name.split()[0])
    server.purge("demo")
    assert state(server) == {}


@pytest.mark.parametrize("where", ["moved", "elsewhere"])
def test_environment_moves_to_another_prefix(
    where: str, built: Mapping[str, Built], clean: Mapping[str, dict[str, Entry]], server: Root
) -> None:
    """With env-name or install-root changed; what was written in the old one goes, and /opt stays."""
    prefix = "/opt/venvs/moved" if where == "moved" else "/srv/venvs/demo"
    for name, here in (("1 none", PREFIX), (where, prefix), ("1 none", PREFIX)):
        install(server, built[name])
        assert same(server, clean[name]) == {}
        server.run(f"mkdir '{here}/a b' && touch '{here}/a b/c\nd' {here}/cache")
        assert use(server, here)[0] in "12"
    server.run(f"rm -r {PREFIX}/cache '{PREFIX}/a b'")
    install(server, built[where])
    assert same(server, clean[where]) == {}
    assert server.inside("/opt").is_dir()
    server.purge("demo")
    assert state(server) == {}


def test_folder_of_a_gone_distribution_cannot_be_imported(built: Mapping[str, Built], server: Root) -> None:
    """Python would take the folder that is left, with what was written there, for a namespace package."""
    install(server, built["1 none"])
    server.run(f"echo mine >{SITE}/gone/data; echo mine >{SITE}/stays/data; touch {SITE}/gone/x.pyc")
    server.run(f"mkdir {SITE}/gone/__pycache__; touch {SITE}/gone/__pycache__/x.nbi {SITE}/demo/turn/data")
    said = install(server, built["2 none"])
    assert f"demo: {SITE}/gone is gone; what was written there is in {SITE}/gone.venvpkg-old." in said
    assert server.run(["cat", f"{SITE}/gone.venvpkg-old/data", f"{SITE}/stays/data"]).stdout == "mine\nmine\n"
    for name in ("gone", "gone.sub", "demo.space1", "demo.only1"):
        program = f"import importlib; importlib.import_module({name!r})"
        done = server.run([f"{PREFIX}/bin/python", "-c", program], check=False)
        assert "ModuleNotFoundError" in done.stdout
    install(server, built["1 none"])
    assert "ok" in server.run([f"{PREFIX}/bin/python", "-c", "import gone.sub.module; print('ok')"]).stdout
    server.purge("demo")
    assert state(server) == {}


def test_data_in_a_folder_that_becomes_a_link_is_kept_aside(
    built: Mapping[str, Built], server: Root, clean: Mapping[str, dict[str, Entry]]
) -> None:
    """It is nobody's to throw away, and the link is there."""
    install(server, built["1 build"])
    server.run(f"echo mine >{PREFIX}/share/data/mine")
    said = install(server, built["2 build"])
    assert f"What was written to {PREFIX}/share/data is in {PREFIX}/share/data.venvpkg-old" in said
    assert server.inside(f"{PREFIX}/share/data").readlink() == Path("real")
    assert server.inside(f"{PREFIX}/share/data.venvpkg-old/mine").read_text() == "mine\n"
    for name in ("1 build", "2 build"):
        install(server, built[name])
        assert {path.split("/")[3] for path in same(server, clean[name])} == {"data.venvpkg-old"}
    server.purge("demo")
    assert state(server) == {}


def test_link_of_the_administrators_stays(built: Mapping[str, Built], server: Root) -> None:
    """A folder of the package that was moved to another disk is found there by the next version."""
    install(server, built["1 build"])
    server.run(f"mkdir /srv/disk && mv {PREFIX}/share/real /srv/disk && ln -s /srv/disk/real {PREFIX}/share")
    install(server, built["2 build"])
    assert server.inside(f"{PREFIX}/share/real").is_symlink()
    assert server.inside("/srv/disk/real/a").read_text() == "2\n"
    server.run("rm -r /srv/disk")


def test_link_to_a_folder_that_another_package_has_files_in_is_refused(
    built: Mapping[str, Built], server: Root, tmp_path: Path, clean: Mapping[str, dict[str, Entry]]
) -> None:
    """Before anything is unpacked: the old version stays whole, and goes on to work."""
    tree = tmp_path / "plugin"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: plugin\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    (tree / f"{PREFIX}/share/data".strip("/")).mkdir(parents=True)
    (tree / f"{PREFIX}/share/data/plugin".strip("/")).touch()
    subprocess.run(["dpkg-deb", "--build", tree, tmp_path / "plugin.deb"], check=True, capture_output=True)
    install(server, built["1 install"])
    server.copy_in(tmp_path / "plugin.deb", "/srv/debs/plugin.deb")
    server.run(["dpkg", "-i", "/srv/debs/plugin.deb"])
    said = install(server, built["2 install"], check=False)
    assert f"demo: {PREFIX}/share/data becomes a link, and another package has files in it." in said
    assert use(server).startswith("1 1 1")
    assert same(server, clean["1 install"]) == {"venvs/demo/share/data/plugin": "new"}
    server.purge("plugin")
    install(server, built["2 install"])
    assert same(server, clean["2 install"]) == {}


def test_failed_upgrade_leaves_the_old_version_whole(
    built: Mapping[str, Built], server: Root, clean: Mapping[str, dict[str, Entry]], tmp_path: Path
) -> None:
    """When dpkg goes back, so do the folders and links that made way, and the bytecode."""
    # A file that another package has stops dpkg in the midst of unpacking.
    tree = tmp_path / "other"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: other\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    site = tree / SITE.strip("/") / "stays-2.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("")
    subprocess.run(["dpkg-deb", "--build", tree, tmp_path / "other.deb"], check=True, capture_output=True)
    install(server, built["1 install"])
    server.copy_in(tmp_path / "other.deb", "/srv/debs/other.deb")
    server.run(["dpkg", "-i", "/srv/debs/other.deb"])
    before = state(server)
    said = install(server, built["2 install"], check=False)
    assert "trying to overwrite" in said
    after = difference(before, state(server))
    assert after == {}
    assert server.run(["dpkg", "--audit"]).stdout == ""
    server.purge("other")
    install(server, built["2 install"])
    assert same(server, clean["2 install"]) == {}


# --- While the old version runs

RUNNING = """\
import sys, time
from pathlib import Path

import demo, stays

print("started", flush=True)
sys.stdin.readline()
found = [stays.VERSION]
for name in ("demo.turn", "demo.only1", "gone"):
    try:
        found.append(__import__(name, fromlist=["x"]).__dict__.get("VERSION", "there"))
    except ImportError as error:
        found.append(type(error).__name__)
print(found, flush=True)
"""


def test_process_of_the_old_version_meets_the_new_files(built: Mapping[str, Built], server: Root) -> None:
    """What it has loaded it keeps; what it imports later is the new version's, or is gone."""
    install(server, built["1 build"])
    server.inside("/srv/running.py").write_text(RUNNING)
    command = ["chroot", server.path, f"{PREFIX}/bin/python", "/srv/running.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "started\n"
        install(server, built["2 build"])
        process.stdin.write("\n")
        process.stdin.flush()
        said = process.stdout.readline().strip()
    assert said == "[1, 2, 'ModuleNotFoundError', 'ModuleNotFoundError']"


# --- Removal


@pytest.mark.parametrize("how", ["remove", "force", "purge", "twice"])
def test_all_that_was_written_at_run_time_goes(how: str, built: Mapping[str, Built], server: Root) -> None:
    """Odd names, other users' files, sealed folders, sockets; /var and /etc are not looked at."""
    install(server, built["1 none"])
    server.run("useradd -m other 2>/dev/null", check=False)
    server.run(
        f"cd {PREFIX} && mkdir -p 'a b/c' lib/deep/er && touch 'a b/c/new\nline' 'lib/ lead' lib/-f\n"
        "touch /var/lib/kept /etc/kept.conf lib/deep/er/x\nchown -R other lib/deep && chmod 500 lib/deep/er\n"
        "mkfifo fifo && ln -s /etc/kept.conf link && ln -s / root && chmod 0 lib/deep\n"
        "bin/python -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'"
    )
    use(server)
    if how == "twice":
        server.run(["dpkg", "--remove", "demo"])
        install(server, built["1 none"])
    option = {"remove": ["--remove"], "force": ["--force-all", "--remove"]}.get(how, ["--purge"])
    done = server.run(["dpkg", *option, "demo"])
    assert "not empty" not in done.stdout
    assert state(server) == {}
    assert server.inside("/opt").is_dir()
    server.purge("demo")
    server.run(["rm", "/var/lib/kept", "/etc/kept.conf"])
    assert state(server) == {}


def test_removal_needs_no_interpreter(built: Mapping[str, Built], server: Root) -> None:
    """Neither Debian's nor the package's own."""
    for name in ("1 install", "1 bundled"):
        install(server, built[name])
        server.run(f"rm -f {PREFIX}/bin/python*; mv /usr/bin/python3.11 /usr/bin/away")
        try:
            server.purge("demo")
            assert state(server) == {}
        finally:
            server.run(["mv", "/usr/bin/away", "/usr/bin/python3.11"])


def test_process_that_goes_on_to_write_does_not_stop_the_removal(
    built: Mapping[str, Built], server: Root
) -> None:
    """A file that comes after prerm has cleared goes with postrm."""
    install(server, built["1 none"])
    script = (
        f"while :; do mkdir -p {PREFIX}/lib/spool; : >{PREFIX}/lib/spool/$((n = n + 1)); sleep 0.01; done"
    )
    with subprocess.Popen(["chroot", server.path, "sh", "-c", f"{script} 2>/dev/null"]) as process:
        done = server.run(["dpkg", "--remove", "demo"], check=False)
        process.kill()
    assert done.returncode == 0, done.stdout
    assert server.run(["dpkg", "--audit"]).stdout == ""
    server.purge("demo")
    assert state(server) == {}


def test_what_is_mounted_in_the_prefix_is_left_alone(built: Mapping[str, Built], server: Root) -> None:
    """It is data of somebody's; the prefix stays for its sake, and that is said."""
    install(server, built["1 none"])
    server.run(f"mkdir -p /srv/data {PREFIX}/var && touch /srv/data/precious")
    server.run(f"mount --bind /srv/data {PREFIX}/var")
    try:
        done = server.run(["dpkg", "--purge", "demo"])
        assert f"demo: {PREFIX} is not cleared: something is mounted in it." in done.stdout
        assert server.inside("/srv/data/precious").exists()
    finally:
        server.run(["umount", f"{PREFIX}/var"])
    assert not server.inside(f"{PREFIX}/bin").exists()
    server.run(["rm", "-r", "/srv/data"])


@pytest.mark.parametrize("where", ["/opt", "/opt/venvs", PREFIX])
@pytest.mark.parametrize("kind", ["link", "mount"])
def test_place_may_be_a_link_or_a_mount_point(
    where: str, kind: str, built: Mapping[str, Built], server: Root, clean: Mapping[str, dict[str, Entry]]
) -> None:
    """The administrator's own stays, empty; it makes no step fail."""
    server.run(f"mkdir -p /srv/place {where}")
    if kind == "link":
        server.run(f"rmdir {where} && ln -s /srv/place {where}")
    else:
        server.run(f"mount --bind /srv/place {where}")
    try:
        for name in ("1 install", "2 none"):
            install(server, built[name])
            assert use(server)[0] == name[0]
        server.run(f"mkdir {PREFIX}/cache && touch '{PREFIX}/cache/a b'")
        server.run(["dpkg", "--remove", "demo"])
        server.purge("demo")
        assert list(server.inside("/srv/place").rglob("*")) == []
        assert server.run(["test", "-d", "/opt"], check=False).returncode == 0
    finally:
        if kind == "link":
            server.run(f"rm -f {where}; mkdir -p /opt")
        else:
            server.run(["umount", where])
        server.run(["rm", "-r", "/srv/place"])
