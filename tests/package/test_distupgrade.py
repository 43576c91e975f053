"""Years on a server: Python's updates, a library's, hostile variables, and a distribution upgrade."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples import build_example
from projects import Project
from roots import DATABASES, Base, Root, RootFactory, difference
from venvpkg.elsewhere import find_foreign
from workbench import Bench, Built, Recipe

pytestmark = [pytest.mark.root, pytest.mark.network]

Servers = Callable[[str], Root]
PREFIX = "/opt/venvs/demo"
NATIVE = """\
#include <Python.h>
#include <png.h>

static PyObject *version(PyObject *self, PyObject *none)
{ return PyUnicode_FromString(png_get_libpng_ver(NULL)); }
static PyMethodDef methods[] = {{"version", version, METH_NOARGS, "Of libpng."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "", -1, methods};
PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
"""
MAIN = """\
import sys

from demo import _native


def main():
    print("demo", *sys.version_info[:2], _native.version())
"""
WINDOW = """\
import sys
import tkinter


def main():
    window = tkinter.Tk()
    tkinter.Label(window, text="A window").pack()
    window.wait_visibility()
    print("window", sys.version_info[1], window.winfo_viewable(), window.winfo_width() > 1)
    window.destroy()
"""


def program(**changes: object) -> Project:
    """A command that tells its Python's version and that of a library in Depends."""
    files = {"demo/__main__.py": MAIN, "demo/_native.c": NATIVE}
    return Project(files=files, link=["-lpng16"], **changes)  # type: ignore[arg-type]


def window(name: str, config: str = "") -> Project:
    """A command that opens a window."""
    return Project(
        name=name,
        config=f'expose = "all"\n{config}',
        files={f"{name}/__init__.py": "import tkinter\n", f"{name}/__main__.py": WINDOW},
    )


@pytest.fixture(scope="module")
def workshop(builder_base: Callable[[str], Base]) -> Iterator[Bench]:
    """A builder with libpng."""
    with builder_base("bookworm").open() as root:
        root.apt("install", "libpng-dev")
        yield Bench(root)


@pytest.fixture(scope="module")
def built(workshop: Bench) -> dict[str, Built]:
    """Packages of one program."""
    projects = {
        "plain": program(config='expose = "all"'),
        "hermetic": program(config='expose = "all"\nhermetic = true'),
    }
    return workshop.build_all({name: Recipe(project=project) for name, project in projects.items()})


def repack(root: Root, package: str, old: bytes, new: bytes, glob: str) -> str:
    """Make a package of a higher version of one that is installed, with other bytes of the same length in it.

    Returns the .deb's path in the root.
    """
    folder = f"/srv/repacked/{package}"
    root.run(f"mkdir -p {folder} && cd {folder} && apt-get -q download {package} && dpkg-deb -R *.deb tree")
    tree = root.inside(f"{folder}/tree")
    control = (tree / "DEBIAN/control").read_text()
    version = re.search(r"^Version: (.*)", control, re.MULTILINE)
    assert version
    # The parts of Python depend on each other with "=".
    (tree / "DEBIAN/control").write_text(control.replace(version[1], f"{version[1]}+later1"))
    changed = [path for path in tree.glob(glob) if path.is_file() and old in path.read_bytes()]
    assert changed
    for path in changed:
        path.write_bytes(path.read_bytes().replace(old, new))
    root.run(f"dpkg-deb -Zgzip -z1 --build {folder}/tree {folder}/later.deb")
    return f"{folder}/later.deb"


# --- The interpreter and the libraries get updates


def test_point_release_of_python_changes_nothing(built: dict[str, Built], server: Servers) -> None:
    """The trigger fires, says nothing, and no file of the package is another one; the new Python is used."""
    root = server("bookworm")
    root.install([built["plain"].deb()])
    before = root.snapshot(DATABASES)
    library = "usr/lib/python3.11"
    changes = {
        "python3.11": (b"Python", b"python", "usr/share/doc/*/copyright"),
        "python3.11-minimal": (b"Python", b"python", "usr/share/doc/*/copyright"),
        "libpython3.11-minimal": (b"Append", b"append", f"{library}/site.py"),
        "libpython3.11-stdlib": (b"json", b"JSON", f"{library}/json/tool.py"),
    }
    debs = [repack(root, part, *change) for part, change in changes.items()]
    said = root.run(["dpkg", "-i", *debs]).stdout
    assert "Processing triggers for demo" in said
    assert "demo: " not in said
    assert root.run(["dpkg", "--verify", "demo"]).stdout == ""
    changed = difference(before, root.snapshot([*DATABASES, "/srv"]))
    assert "/usr/lib/python3.11/site.py" in changed
    assert [path for path in changed if path.startswith(PREFIX) or path == "/usr/bin/demo"] == []
    assert root.run(["demo"]).stdout.startswith("demo 3 11 1.6.")


def test_security_update_of_a_library_is_picked_up(built: dict[str, Built], server: Servers) -> None:
    """Nothing of a library in Depends is in the package."""
    root = server("bookworm")
    root.install([built["plain"].deb()])
    version = root.run(["demo"]).stdout.split()[-1]
    later = version[:-1] + "X"
    deb = repack(root, "libpng16-16", version.encode(), later.encode(), "usr/lib/*/libpng16.so.16.*")
    root.run(["dpkg", "-i", deb])
    assert root.run(["demo"]).stdout.split()[-1] == later


def test_python_that_comes_back_heals_everything(built: dict[str, Built], server: Servers) -> None:
    """The trigger warns and does not fail; every command says what is missing; no file changes in between."""
    root = server("bookworm")
    root.install([built["plain"].deb()])
    before = root.snapshot()
    gone = root.run(["dpkg", "--force-depends", "--remove", "python3.11", "python3.11-minimal"])
    assert "demo: /usr/bin/python3.11 does not start, and demo was built for Python 3.11." in gone.stdout
    assert "error" not in gone.stdout
    done = root.run(["demo"], check=False)
    assert done.returncode == 127
    assert done.stdout.startswith("demo: /usr/bin/python3.11 is missing, and demo needs it.")
    root.apt(*done.stdout.partition("apt-get ")[2].split())
    assert root.run(["demo"]).stdout.startswith("demo 3 11")
    left = difference(before, root.snapshot())
    assert [p for p in left if not p.startswith(("/usr/lib/python3", "/var/lib"))] == []


# --- Variables and files of others

EVIL = "import os\nos.write(1, b'impressed ')\n"
HOSTILE = {
    "PYTHONPATH": ({"PYTHONPATH": "/srv/evil"}, True),
    "PYTHONHOME": ({"PYTHONHOME": "/srv/evil"}, True),
    "PYTHONSTARTUP": ({"PYTHONSTARTUP": "/srv/evil/sitecustomize.py", "PYTHONINSPECT": "1"}, True),
    "a user's own modules": ({"HOME": "/srv/home", "PYTHONUSERBASE": "/srv/home/.local"}, False),
    "the current folder": ({}, False),
}


@pytest.mark.parametrize("which", ["plain", "hermetic"])
def test_hermetic_commands_are_not_impressed(which: str, built: dict[str, Built], server: Servers) -> None:
    """By variables, which reach those that are not hermetic; a user's modules reach no environment."""
    root = server("bookworm")
    root.install([built[which].deb()])
    for folder in ("/srv/evil", "/srv/home/.local/lib/python3.11/site-packages"):
        root.inside(folder).mkdir(parents=True)
        for name in ("sitecustomize.py", "usercustomize.py", "png.py", "argparse.py"):
            (root.inside(folder) / name).write_text(EVIL)
    root.inside("/srv/evil/demo").mkdir()
    (root.inside("/srv/evil/demo/__init__.py")).write_text(EVIL)
    expected = root.run(["demo"]).stdout
    assert expected.startswith("demo 3 11")
    for name, (environ, impresses) in HOSTILE.items():
        for command in ("/usr/bin/demo", f"{PREFIX}/bin/demo"):
            said = root.run([command], env=environ, cwd="/srv/evil", check=False).stdout
            assert (said != expected) == (impresses and which == "plain"), (name, command, said)


# --- The release that this system is of


def test_release_is_spoken_of_once(built: dict[str, Built], server: Servers) -> None:
    """Where apt has no source for Python any more; nothing of it is left after a purge."""
    root = server("bookworm")
    root.install([built["plain"].deb()])

    def fire(codename: str) -> str:
        root.run(f"sed -i s/^VERSION_CODENAME=.*/VERSION_CODENAME={codename}/ /usr/lib/os-release")
        # Any package could bring another os-release.
        return root.run(["/var/lib/dpkg/info/demo.postinst", "triggered", "/usr/lib/os-release"]).stdout

    assert fire("trixie") == ""
    root.run("rm -rf /var/lib/apt/lists/*")
    assert fire("trixie").splitlines() == [
        "demo: built on bookworm for python3.11, which is not part of trixie.",
        "demo: It works as before, but python3.11 gets no security updates here: a rebuild on trixie is due.",
    ]
    assert fire("trixie") == ""
    assert "a rebuild on forky is due" in fire("forky")
    assert fire("bookworm") == ""
    assert "a rebuild on trixie is due" in fire("trixie")
    root.run("mv /usr/lib/os-release /usr/lib/os-release.away")
    assert root.run(["/var/lib/dpkg/info/demo.postinst", "triggered", "/usr/lib/os-release"]).stdout == ""
    root.purge("demo")
    assert not root.inside("/var/lib/venvpkg").exists()


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """A system that went from bookworm to trixie."""

    root: Root
    said: str
    """What apt-get full-upgrade printed."""
    foreign: bool
    """Whether a Python that is not Debian's took part."""


@pytest.fixture(scope="module")
def upgraded(
    workshop: Bench,
    built: dict[str, Built],
    root_factory: RootFactory,
    uv_binary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Upgraded]:
    """With a plain program, skyplot, and programs with windows on different Pythons."""
    workshop.root.apt("install", "python3-tk")
    bundled = 'interpreter = "bundled"\n'
    projects = {"plainwindow": window("plainwindow"), "ownwindow": window("ownwindow", bundled)}
    found = {f.path.name: f for f in find_foreign(os.environ)}.get("python3.12")
    if found:
        home = found.path.parents[1]
        ignored = shutil.ignore_patterns("test", "__pycache__", "site-packages")
        shutil.copytree(home, workshop.root.inside(str(home)), symlinks=True, ignore=ignored)
        workshop.root.copy_in(uv_binary, "/usr/local/bin/uv")
        config = f'{bundled}python = "{found.path}"\ninstaller = "uv"\n'
        projects["newwindow"] = window("newwindow", config)
    debs = [workshop.build(project).deb(name) for name, project in projects.items()]
    debs += [built["plain"].deb()]
    debs += [build_example(workshop.root, "skyplot", tmp_path_factory.mktemp("skyplot"))]
    with root_factory.base("bookworm", ["python3"]).open() as root:
        root.install(debs)
        sources = root.inside("/etc/apt/sources.list")
        sources.write_text(sources.read_text().replace("bookworm", "trixie"))
        for path in root.inside("/etc/apt/sources.list.d").iterdir():
            path.write_text(path.read_text().replace("bookworm", "trixie"))
        # What is downloaded must not be mixed with what is kept for bookworm.
        root.inside("/srv/archives/partial").mkdir(parents=True)
        root.inside("/etc/apt/apt.conf.d/99archives").write_text('Dir::Cache::Archives "/srv/archives";\n')
        root.run(["apt-get", "-q", "update"])
        said = root.apt("full-upgrade").stdout
        # For those who want to read it: pytest -rP.
        print(said)
        yield Upgraded(root=root, said=said, foreign=found is not None)


def removed(said: str) -> list[str]:
    """What apt listed under REMOVED."""
    listed = re.search(r"^The following packages will be REMOVED:\n((?:  .*\n)+)", said, re.MULTILINE)
    return listed[1].split() if listed else []


SHOW = """\
Xvfb :9 -screen 0 640x480x24 -nolisten tcp >/dev/null 2>&1 &
for attempt in $(seq 300); do [ -S /tmp/.X11-unix/X9 ] && break; sleep 0.1; done
DISPLAY=:9 "$1"
status=$?
kill $!
wait
exit $status
"""


def show(root: Root, command: str) -> str:
    """Run a program on a screen of its own."""
    return root.run(["sh", "-c", SHOW, "sh", command]).stdout


@pytest.mark.full
def test_package_stays_and_runs_on_its_python(upgraded: Upgraded) -> None:
    """Which apt keeps, for it is depended on, after autoremove as well."""
    root = upgraded.root
    assert "VERSION_CODENAME=trixie" in root.inside("/usr/lib/os-release").read_text()
    assert {"demo", "skyplot", "python3.11"} & set(removed(upgraded.said)) == set()
    root.apt("autoremove")
    assert root.run(["demo"]).stdout.startswith("demo 3 11 1.6.")
    assert root.run(["python3", "--version"]).stdout.startswith("Python 3.13")
    assert root.run(["dpkg", "--audit"]).stdout == ""
    root.run(["skyplot", "--size", "400", "--output", "/srv/sky.png"])
    assert root.inside("/srv/sky.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_upgrade_says_once_which_rebuild_is_due(upgraded: Upgraded) -> None:
    """By the trigger, for each package on Debian's Python; an update of base-files says it no more."""
    for name in ("demo", "skyplot"):
        line = f"{name}: built on bookworm for python3.11, which is not part of trixie."
        assert upgraded.said.count(line) == 1, upgraded.said
    assert "ownwindow: " not in upgraded.said
    again = upgraded.root.apt("install", "--reinstall", "base-files").stdout
    assert "Processing triggers for demo" in again
    assert "demo: " not in again and "skyplot: " not in again


@pytest.mark.full
def test_program_with_windows_is_removed_in_the_open_or_bundled(upgraded: Upgraded) -> None:
    """python3-tk is for one Python; a Python in the package has its own, and opens a window."""
    assert "plainwindow" in removed(upgraded.said)
    assert not {"ownwindow", "newwindow"} & set(removed(upgraded.said))
    upgraded.root.apt("install", "xvfb")
    assert show(upgraded.root, "ownwindow") == "window 11 1 True\n"
    if upgraded.foreign:
        assert show(upgraded.root, "newwindow") == "window 12 1 True\n"


@pytest.mark.full
def test_purge_after_the_upgrade_leaves_nothing(upgraded: Upgraded) -> None:
    """Python goes too then, with autoremove."""
    root = upgraded.root
    root.run(["dpkg", "--purge", "demo", "skyplot", "ownwindow"])
    assert not root.inside("/var/lib/venvpkg").exists()
    assert not root.inside(PREFIX).exists()
    root.apt("autoremove")
    assert not root.inside("/usr/bin/python3.11").exists()
