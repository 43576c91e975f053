"""The package on a server: installed, run, upgraded, removed, purged."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from debs import maintainer_files
from projects import Project
from roots import DATABASES, Root, difference
from workbench import Bench, Built, Recipe

pytestmark = pytest.mark.root

Servers = Callable[[str], Root]
PREFIX = "/opt/venvs/demo"
CONFFILE = f"{PREFIX}/etc/demo.conf"
# A program that imports a module of its own, which Python then compiles if it may.
MAIN = """\
import sys


def main():
    from demo import {module}

    print("demo", {module}.NAME, sys.prefix, sys.flags.isolated)
"""


def versioned(version: str, module: str, root: str = "opt/venvs", **changes: object) -> Project:
    """A version of the project; each has a module that the other has not."""
    files = {
        "demo/__main__.py": MAIN.format(module=module),
        f"demo/{module}.py": f"NAME = {module!r}\n",
        "debian/install": f"{module}.ini {root}/demo/etc\n",
        f"{module}.ini": "[ini]\n",
    }
    return Project(version=version, files=files, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(bench: Callable[[str], Bench]) -> dict[str, Built]:
    """Packages of one project, by what is different about them."""
    projects = {
        "one": versioned("1.0", "first", config='expose = "all"'),
        "two": versioned("2.0", "second", config='expose = "all"'),
        "install": versioned("1.0", "first", config='bytecode = "install"'),
        "none": versioned("1.0", "first", config='bytecode = "none"'),
        "hermetic": versioned("1.0", "first", config="hermetic = true"),
        "usr": versioned("1.0", "first", "usr/lib/venvs", config='install-root = "/usr/lib/venvs"'),
        "neighbour": Project(name="other"),
        "conffile": Project(
            files={
                "demo.conf": "as shipped\n",
                "debian/install": "demo.conf opt/venvs/demo/etc\n",
                "debian/conffiles": f"{CONFFILE}\n",
            }
        ),
    }
    return bench("bookworm").build_all({name: Recipe(project=project) for name, project in projects.items()})


def leftovers(root: Root) -> list[str]:
    """What is below /opt."""
    return [path for path in root.files() if path.startswith("/opt/")]


@pytest.mark.parametrize("which", ["one", "install", "none", "hermetic", "usr"])
def test_purge_leaves_the_files_that_were_there_before(
    which: str, built: Mapping[str, Built], server: Servers
) -> None:
    """With every kind of bytecode, after running as root, and with caches that the program wrote."""
    root = server("bookworm")
    before = root.snapshot(DATABASES)
    root.install([built[which].deb()])
    prefix = "/usr/lib/venvs/demo" if which == "usr" else PREFIX
    root.run([f"{prefix}/bin/demo"], env={"PYTHONDONTWRITEBYTECODE": None})
    root.run(f"mkdir -p '{prefix}/var/a b' && touch '{prefix}/var/a b/cache' {prefix}/lib/x.pyc")
    root.purge("demo")
    assert difference(before, root.snapshot(DATABASES)) == {}


def test_trixie_too_is_left_as_it_was(bench: Callable[[str], Bench], server: Servers) -> None:
    """Its dpkg and Python are others; so is what they write."""
    package = bench("trixie").build(versioned("1.0", "first", config='bytecode = "install"\nexpose = "all"'))
    root = server("trixie")
    before = root.snapshot(DATABASES)
    root.install([package.deb()])
    assert root.run(["demo"], env={"PYTHONDONTWRITEBYTECODE": None}).stdout.startswith("demo first")
    root.purge("demo")
    assert difference(before, root.snapshot(DATABASES)) == {}


def test_conffile_under_the_prefix_stays_until_purge(built: Mapping[str, Built], server: Servers) -> None:
    """What the administrator wrote outlives remove and a new installation (Policy 10.7.3)."""
    root = server("bookworm")
    root.install([built["conffile"].deb()])
    root.inside(CONFFILE).write_text("as changed\n")
    root.run([f"{PREFIX}/bin/demo"], env={"PYTHONDONTWRITEBYTECODE": None})
    root.run(["dpkg", "--remove", "demo"])
    assert leftovers(root) == ["/opt/venvs", PREFIX, f"{PREFIX}/etc", CONFFILE]
    root.install([built["conffile"].deb()])
    assert root.inside(CONFFILE).read_text() == "as changed\n"
    root.purge("demo")
    assert leftovers(root) == []


def test_remove_leaves_an_empty_opt(built: Mapping[str, Built], server: Servers) -> None:
    """The folder itself is base-files', and a later purge does not take it either."""
    root = server("bookworm")
    root.install([built["none"].deb()])
    root.run([f"{PREFIX}/bin/demo"], env={"PYTHONDONTWRITEBYTECODE": None})
    root.run(["dpkg", "--remove", "demo"])
    assert leftovers(root) == []
    assert root.inside("/opt").is_dir()
    root.purge("demo")
    assert root.inside("/opt").is_dir()


def test_bytecode_install_compiles_on_the_server(built: Mapping[str, Built], server: Servers) -> None:
    """The package has no .pyc file; after installing, every module has one, and it names the final path."""
    root = server("bookworm")
    root.install([built["install"].deb()])
    listed = root.run(["dpkg", "-L", "demo"]).stdout
    assert ".pyc" not in listed
    (compiled,) = root.inside(PREFIX).rglob("first.*.pyc")
    assert f"{PREFIX}/lib/python3.11/site-packages/demo/first.py".encode() in compiled.read_bytes()


def test_upgrade_and_downgrade_leave_nothing_of_the_other_version(
    built: Mapping[str, Built], server: Servers
) -> None:
    """A module that is gone is gone with the bytecode that was written at run time."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    root.run(f"rm -rf {PREFIX}/lib/python3.11/site-packages/demo/__pycache__")
    assert root.run(["demo"], env={"PYTHONDONTWRITEBYTECODE": None}).stdout.split()[1] == "first"
    assert list(root.inside(PREFIX).rglob("first.*.pyc"))
    root.install([built["two"].deb()])
    assert root.run([f"{PREFIX}/bin/demo"]).stdout.split()[1] == "second"
    assert [path for path in leftovers(root) if "first" in path] == []
    root.install([built["one"].deb()])
    assert root.run([f"{PREFIX}/bin/demo"]).stdout.split()[1] == "first"
    assert [path for path in leftovers(root) if "second" in path] == []


def test_neighbour_under_the_same_root_stays(built: Mapping[str, Built], server: Servers) -> None:
    """Purging one environment touches no other."""
    root = server("bookworm")
    root.install([built["one"].deb(), built["neighbour"].deb("other")])
    before = [path for path in leftovers(root) if "/other" in path]
    root.purge("demo")
    assert leftovers(root) == ["/opt/venvs", *before]
    assert root.run(["/opt/venvs/other/bin/other"]).stdout.startswith("other 1.0")


def test_file_of_another_package_in_the_prefix_stays(
    built: Mapping[str, Built], server: Servers, tmp_path: Path
) -> None:
    """A plug-in package may install into the prefix; only what no package owns is cleared."""
    (tmp_path / "plugin/DEBIAN").mkdir(parents=True)
    (tmp_path / "plugin/DEBIAN/control").write_text(
        "Package: plugin\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    (tmp_path / f"plugin{PREFIX}").mkdir(parents=True)
    (tmp_path / f"plugin{PREFIX}/plugin.txt").write_text("mine\n")
    subprocess.run(
        ["dpkg-deb", "--build", "plugin", "plugin.deb"], cwd=tmp_path, check=True, capture_output=True
    )
    root = server("bookworm")
    root.install([built["one"].deb(), tmp_path / "plugin.deb"])
    root.purge("demo")
    assert leftovers(root) == ["/opt/venvs", PREFIX, f"{PREFIX}/plugin.txt"]


def test_no_installed_file_names_the_build(built: Mapping[str, Built], server: Servers) -> None:
    """Bytecode and binary files are searched too."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    found = root.run(["grep", "-rlaE", "/build/|debian/demo|/tmp/venvpkg", PREFIX], check=False)
    assert (found.returncode, found.stdout) == (1, "")


def test_activate_works_at_the_final_prefix(built: Mapping[str, Built], server: Servers) -> None:
    """And deactivate undoes it."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    script = (
        f'. {PREFIX}/bin/activate; command -v python; echo "$VIRTUAL_ENV"; deactivate; echo "[$VIRTUAL_ENV]"'
    )
    assert root.run(script).stdout.split() == [f"{PREFIX}/bin/python", PREFIX, "[]"]


def test_hermetic_program_takes_no_notice_of_the_environment(
    built: Mapping[str, Built], server: Servers
) -> None:
    """A module of the same name on PYTHONPATH is not the one that runs; without the key it would be."""
    root = server("bookworm")
    root.run("mkdir -p /srv/evil/demo && echo 'raise SystemExit(66)' > /srv/evil/demo/__init__.py")
    for which, status in (("hermetic", 0), ("none", 66)):
        root.install([built[which].deb()])
        done = root.run([f"{PREFIX}/bin/demo"], env={"PYTHONPATH": "/srv/evil"}, check=False)
        assert done.returncode == status, done.stdout


# --- Without its interpreter


def test_launcher_says_which_python_is_missing(built: Mapping[str, Built], server: Servers) -> None:
    """The kernel would say that the program is not found, though it is there."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    forced = root.run(
        ["dpkg", "--force-depends", "--remove", "python3.11", "python3.11-minimal"], check=False
    )
    assert "post-installation script subprocess returned error" not in forced.stdout
    done = root.run(["demo"], check=False)
    assert done.returncode == 127
    assert "/usr/bin/python3.11 is missing" in done.stdout
    assert "apt-get install python3.11" in done.stdout
    root.apt("--fix-broken", "install")
    assert root.run(["demo"]).stdout.startswith("demo first")


@pytest.mark.network
def test_apt_refuses_the_package_on_another_suite(built: Mapping[str, Built], server: Servers) -> None:
    """Trixie has no python3.11, and apt says so."""
    root = server("trixie")
    done = root.install([built["one"].deb()], check=False)
    assert done.returncode != 0
    assert "python3.11" in done.stdout
    assert leftovers(root) == []


def test_forced_package_says_what_is_wrong_and_can_be_removed(
    built: Mapping[str, Built], server: Servers
) -> None:
    """The postinst fails in plain words; remove and purge work."""
    root = server("trixie")
    root.copy_in(built["one"].deb(), "/srv/demo.deb")
    done = root.run(["dpkg", "--force-depends", "-i", "/srv/demo.deb"], check=False)
    assert done.returncode != 0
    assert "demo: /usr/bin/python3.11 does not start, and demo was built for Python 3.11." in done.stdout
    assert "apt-get install python3.11" in done.stdout
    root.purge("demo")
    assert leftovers(root) == []


def test_trigger_warns_and_does_not_fail(built: Mapping[str, Built], server: Servers) -> None:
    """It fires for the interpreter's file and for os-release, and so when either is another one."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    postinst = "/var/lib/dpkg/info/demo.postinst"
    assert root.run([postinst, "triggered", "/usr/bin/python3.11"]).stdout == ""
    root.run("rm -rf /var/lib/apt/lists/* && sed -i s/bookworm/trixie/ /usr/lib/os-release")
    warned = root.run([postinst, "triggered", "/usr/lib/os-release"]).stdout
    assert "built on bookworm for python3.11" in warned
    assert "a rebuild on trixie is due" in warned
    root.run(["rm", "/usr/bin/python3.11"])
    assert "does not start" in root.run([postinst, "triggered", "/usr/bin/python3.11"]).stdout


# --- The scripts themselves


@pytest.mark.parametrize("which", ["one", "install", "usr"])
def test_maintainer_scripts_are_clean(which: str, built: Mapping[str, Built], tmp_path: Path) -> None:
    """Shellcheck finds nothing, and they are /bin/sh with set -e."""
    found = maintainer_files(built[which].deb())
    for name in ("postinst", "prerm", "postrm"):
        (tmp_path / name).write_bytes(found[name])
        assert found[name].startswith(b"#!/bin/sh\nset -e\n")
        done = subprocess.run(["shellcheck", "-s", "sh", tmp_path / name], capture_output=True, text=True)
        assert done.stdout == ""


def test_scripts_can_run_twice(built: Mapping[str, Built], server: Servers) -> None:
    """Dpkg repeats them after an interruption; they are quiet."""
    root = server("bookworm")
    root.install([built["install"].deb()])
    info = "/var/lib/dpkg/info/demo"
    for call in (
        "postinst configure",
        "prerm upgrade 2.0",
        "postinst configure 1.0",
        "prerm remove",
        "postrm remove",
    ):
        script, *arguments = call.split()
        for _ in range(2):
            assert root.run([f"{info}.{script}", *arguments]).stdout == ""


def test_nothing_is_done_under_dpkg_root(built: Mapping[str, Built], server: Servers) -> None:
    """The scripts of a package for another root leave this one alone."""
    root = server("bookworm")
    root.install([built["one"].deb()])
    before = root.snapshot()
    info = "/var/lib/dpkg/info/demo"
    for call in ("postinst configure", "prerm remove", "postrm remove", "postrm purge"):
        script, *arguments = call.split()
        done = root.run([f"{info}.{script}", *arguments], env={"DPKG_ROOT": "/srv/root"})
        assert done.stdout == ""
    assert difference(before, root.snapshot()) == {}


def test_dpkg_can_install_into_another_root_from_outside(built: Mapping[str, Built], server: Servers) -> None:
    """With `--root` and scripts that run outside of it; the system around it is not touched."""
    root = server("bookworm")
    target = "/srv/target"
    root.copy_in(built["install"].deb(), "/srv/demo.deb")
    database = f"{target}/var/lib/dpkg"
    root.run(f"mkdir -p {database}/updates {database}/info && touch {database}/status")
    before = root.snapshot([target])
    dpkg = ["dpkg", f"--root={target}", "--force-script-chrootless", "--force-depends", "--log=/dev/null"]
    root.run([*dpkg, "--install", "/srv/demo.deb"])
    assert root.inside(f"{target}{PREFIX}/bin/demo").is_file()
    assert not [path for path in root.files() if path.startswith(target) and path.endswith(".pyc")]
    root.run([*dpkg, "--purge", "demo"])
    assert not root.inside(f"{target}{PREFIX}").exists()
    assert difference(before, root.snapshot([target])) == {}
