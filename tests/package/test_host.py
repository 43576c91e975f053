"""An environment on a server: listed, entered, checked, and changed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from backend import pack
from projects import Project
from roots import Root
from workbench import Bench, Built, Recipe

pytestmark = pytest.mark.root

PREFIX = "/opt/venvs/demo"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
CHECK = [f"{PREFIX}/bin/python", "-I", "-m", "venvpkg_selfcheck"]
NATIVE = """\
#include <Python.h>
extern int omp_get_max_threads(void);
static struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "_omp", "", -1, 0};
PyMODINIT_FUNC PyInit__omp(void) { return omp_get_max_threads() > 0 ? PyModule_Create(&about) : 0; }
"""
# None of Debian's settings: the test looks for the environment's own prompt.
SHELLS = {"bash": ".bashrc", "dash": "", "zsh": ".zshrc"}


@pytest.fixture(scope="module")
def built(bench: Callable[[str], Bench]) -> Mapping[str, Built]:
    """A project that needs a library of the system's, and five others."""
    files = {"demo/__init__.py": "from demo import _omp\n", "demo/_omp.c": NATIVE}
    project = Project(
        files={**files, "debian/install": "demo.conf opt/venvs/demo/etc\n", "demo.conf": "a = 1\n",
               "debian/conffiles": f"{PREFIX}/etc/demo.conf\n"},
        link=["-lgomp"], dependencies=["more"], wheels=[pack("more", "1.0", {"more.py": b"NAME = 1\n"})],
        build_depends=["python3-dev"],
    )  # fmt: skip
    return bench("bookworm").build_all(
        {
            "demo": Recipe(project=project),
            "bundled": Recipe(project=Project(name="inner", config='interpreter = "bundled"')),
            "install": Recipe(project=Project(name="late", config='bytecode = "install"')),
        }
    )


@pytest.fixture
def host(built: Mapping[str, Built], builder: Callable[[str], Root]) -> Root:
    """A machine with dh-venvpkg and three environments."""
    root = builder("bookworm")
    root.install([built["demo"].deb(), built["bundled"].deb("inner"), built["install"].deb("late")])
    root.add_user("visitor")
    return root


def findings(root: Root) -> dict[str, str]:
    """What the self-check finds, by path."""
    done = root.run([*CHECK, "--json"], check=False)
    found = {f["path"]: f["message"] for f in json.loads(done.stdout)["findings"]}
    assert done.returncode == (1 if found else 0)
    return found


def test_what_was_installed_is_as_it_was_shipped(host: Root) -> None:
    """An ordinary user may ask everything, and nothing is written."""
    before = host.files()
    table = host.run(["venvpkg", "list"], user="visitor").stdout.splitlines()
    assert [line.split() for line in table[1:]] == [
        ["demo", "1.0", "3.11", "(system)", PREFIX, "2", "ok"],
        ["inner", "1.0", "3.11.2", "(bundled)", "/opt/venvs/inner", "1", "ok"],
        ["late", "1.0", "3.11", "(system)", "/opt/venvs/late", "1", "ok"],
    ]
    assert host.run(["venvpkg", "run", "demo", "demo"], user="visitor").stdout == f"demo 1.0 {PREFIX}\n"
    for name in ("demo", "inner", "late"):
        prefix = f"/opt/venvs/{name}"
        done = host.run([f"{prefix}/bin/python", "-I", "-m", "venvpkg_selfcheck"], user="visitor")
        assert done.stdout.startswith(f"{prefix}: ")
        assert done.stdout.endswith(", no findings\n")
        done = host.run(["venvpkg", "verify", prefix], check=False)
        assert "V020" not in done.stdout
        assert "V006" not in done.stdout
    assert host.files() == before


def test_shell_of_a_user(host: Root) -> None:
    """On a terminal, with the user's own settings, and with the environment in the prompt."""
    host.apt("install", "zsh")
    line = "echo $MINE-$VIRTUAL_ENV-$(command -v python)-${ZDOTDIR-}; exit 7"
    for shell, settings in SHELLS.items():
        if settings:
            host.inside(f"/home/visitor/{settings}").write_text("export MINE=mine\n")
        env = {"SHELL": f"/bin/{shell}", "MINE": None if settings else "mine"}
        command = f"(sleep 1; echo '{line}'; sleep 1) | script -qec 'venvpkg shell demo' /dev/null"
        done = host.run(command, user="visitor", env=env, check=False)
        assert f"mine-{PREFIX}-{PREFIX}/bin/python-" in done.stdout, done.stdout
        assert "venvpkg/shells" not in done.stdout
        assert "(demo)" in done.stdout
        assert done.returncode == 7


def test_what_was_changed_by_hand_is_named(host: Root, uv_binary: Path, tmp_path: Path) -> None:
    """A distribution that uv installed, files that were edited and removed, a library that is gone."""
    host.copy_in(uv_binary, "/usr/local/bin/uv")
    name, data = pack("strange", "3.0", {"strange/__init__.py": b"", "strange/more.py": b""})
    (host.inside("/run") / name).write_bytes(data)
    host.run(["uv", "pip", "install", "--python", f"{PREFIX}/bin/python", "--no-index", f"/run/{name}"])
    host.inside(f"{SITE}/more.py").write_text("NAME = 2\n")
    host.inside(f"{SITE}/demo/__main__.py").unlink()
    host.inside(f"{PREFIX}/etc/demo.conf").write_text("a = 2\n")
    expected = {
        f"{SITE}/strange-3.0.dist-info": "strange 3.0 is not from the package",
        f"{SITE}/strange/__init__.py": "not from the package (strange 3.0)",
        f"{SITE}/strange/more.py": "not from the package (strange 3.0)",
        f"{SITE}/more.py": "changed",
        f"{SITE}/demo/__main__.py": "gone",
        f"{PREFIX}/etc/demo.conf": "conffile, changed",
    }
    found = findings(host)
    assert {path: text for path, text in found.items() if path in expected} == expected
    others = set(found) - set(expected)
    assert all("/strange-3.0.dist-info/" in path or path == f"{PREFIX}/.lock" for path in others)
    done = host.run(["venvpkg", "verify", "--json", PREFIX], check=False)
    told = {(f["code"], f"/{f['path']}") for f in json.loads(done.stdout)["findings"]}
    assert {
        ("V006", f"{SITE}/more.py"),
        ("V006", f"{SITE}/demo/__main__.py"),
        ("V020", f"{SITE}/strange/more.py"),
        ("V020", f"{SITE}/strange-3.0.dist-info/METADATA"),
    } <= told
    assert not [path for _, path in told if path.endswith("demo.conf")]
    listed = host.run(["venvpkg", "list"]).stdout
    assert "1 files are gone; installed by hand: strange-3.0 (venvpkg verify /opt/venvs/demo)" in listed
    host.run(["dpkg", "--purge", "--force-depends", "libgomp1"])
    found = findings(host)
    assert "cannot open shared object file" in found["libgomp.so.1"]
    assert "libgomp.so.1" in found["demo"]
    # What the package shipped is back, and what it did not is still told.
    host.apt("install", "--fix-broken")
    host.run("dpkg --unpack --force-confold /run/venvpkg-tests/debs/demo_*.deb && dpkg --configure -a")
    assert {path for path in findings(host) if "strange" not in path and not path.endswith(".lock")} == {
        f"{PREFIX}/etc/demo.conf"
    }
    host.purge("demo")
    assert not host.inside(PREFIX).exists()


def test_interpreter_that_was_forced_away(host: Root) -> None:
    """`list` says what to install, and the self-check runs on any other Python."""
    host.run("rm /usr/bin/python3.11")
    table = json.loads(host.run(["/opt/venvs/inner/bin/python", "-m", "json.tool"], stdin="[]").stdout)
    assert table == []
    done = host.run(["/opt/venvs/inner/bin/python", "-I", f"{SITE}/venvpkg_selfcheck.py"], check=False)
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first.startswith(f"{PREFIX}/bin/python: does not run: ")
    assert first.endswith("; python3.11 has it")
    assert last.endswith(" 1 findings")
