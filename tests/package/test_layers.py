"""Two packages that are one environment: a server gets them in any order, and loses them in any order."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import cast

import pytest
from debian.deb822 import Changes

from backend import pack
from debs import control_field, read
from projects import Project
from roots import DATABASES, Entry, Root, RootFactory, difference, snapshot
from workbench import NATIVE, Bench, Built, Recipe

pytestmark = pytest.mark.root

PREFIX = "/opt/venvs/demo"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
STANZA = """\
Package: demo-env
Architecture: any
Depends: ${misc:Depends}, ${shlibs:Depends}
Provides: ${misc:Provides}
Replaces: demo
Description: environment of demo
 All that it requires.
"""
KILLS = 40
UNIT = "[Service]\nExecStart=/usr/bin/demo\n\n[Install]\nWantedBy=multi-user.target\n"
MAIN = "import sys\n\n\ndef main():\n    import lark\n\n    print({version}, lark.VERSION, sys.prefix)\n"
# What says which service was started or restarted, in a root where no systemd runs.
INVOKE = '#!/bin/sh\necho "$*" >>/srv/invoked\n'


def versioned(
    number: int, lark: int, *, layers: bool = True, config: str = "", prefix: str = PREFIX, **changes: object
) -> Project:
    """The project's version, and that of what it requires."""
    more = cast("dict[str, str | bytes | None]", changes.get("files", {}))
    data = {"lark.py": f"VERSION = {lark}\n".encode(), f"lark_data/only{lark}.txt": b"\n"}
    files: dict[str, str | bytes | None] = {
        "demo/__main__.py": MAIN.format(version=number),
        f"demo/only{number}.py": "",
        "debian/demo.service": UNIT,
        "debian/demo.install": f"kept.conf {prefix}/etc\nkept.conf etc/demo\n",
        "kept.conf": "a = 1\n",
    }
    values: dict[str, object] = {
        "version": f"{number}.0",
        "wheels": [pack("lark", f"{lark}.0", data)],
        "dependencies": ["lark"],
        "config": f'expose = ["demo"]\n{config}' + ("\nlayers = true" if layers else ""),
        "fields": "Replaces: demo-env\n" if layers else "",
        "packages": STANZA if layers else "",
        **changes,
        "files": {**files, **more},
    }
    return Project(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(bench: Callable[[str], Bench]) -> dict[str, Built]:
    """Packages, by the versions of the project and of what it requires."""
    projects = {
        "1 1": versioned(1, 1),
        "2 1": versioned(2, 1),
        "3 2": versioned(3, 2),
        "1 1 install": versioned(1, 1, config='bytecode = "install"'),
        "2 1 install": versioned(2, 1, config='bytecode = "install"'),
        "whole": versioned(1, 1, layers=False, version="0.9"),
        "back": versioned(4, 1, layers=False, fields="Replaces: demo-env\nConflicts: demo-env\n"),
        "elsewhere": versioned(
            2, 1, config='env-name = "other"\ninstall-root = "/srv/venvs"', prefix="/srv/venvs/other"
        ),
    }
    return bench("bookworm").build_all({name: Recipe(project=project) for name, project in projects.items()})


@pytest.fixture(scope="module")
def opened(root_factory: RootFactory) -> Iterator[Root]:
    """One server for all of these tests."""
    with root_factory.base("bookworm", ["python3"]).open() as root:
        root.run(["mkdir", "-p", "/srv/debs", "/run/systemd/system"])
        invoke = root.inside("/usr/bin/deb-systemd-invoke")
        invoke.unlink()
        invoke.write_text(INVOKE)
        invoke.chmod(0o755)
        yield root


@pytest.fixture
def server(opened: Root) -> Iterator[Root]:
    """The server without the packages."""
    opened.run("rm -f /srv/invoked")
    yield opened
    opened.purge("demo", "demo-env", check=False)
    opened.run("rm -rf /opt/* /srv/venvs")


def install(root: Root, *debs: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Hand packages to one dpkg, in this order."""
    copies = [root.copy_in(d, f"/srv/debs/{d.parent.name}-{d.name}") for d in debs]
    names = [f"/srv/debs/{copy.name}" for copy in copies]
    return root.run(["dpkg", "--force-unsafe-io", "-i", *names], check=check)


def both(built: Built) -> tuple[Path, Path]:
    """The lower one first."""
    return built.deb("demo-env"), built.deb("demo")


def state(root: Root) -> dict[str, Entry]:
    """All that is in /opt."""
    return {**snapshot(root.inside("/opt"))}


def says(root: Root) -> str:
    """What the program prints."""
    return root.run(["demo"]).stdout.strip()


def invoked(root: Root) -> list[str]:
    """What was done with services since this was asked before."""
    path = root.inside("/srv/invoked")
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def is_sound(root: Root) -> None:
    """Nothing differs from what the two packages shipped."""
    done = root.run([f"{PREFIX}/bin/python", "-I", "-m", "venvpkg_selfcheck"], check=False)
    assert done.returncode == 0, done.stdout


def test_a_deploy_is_the_projects_package_alone(server: Root, built: dict[str, Built]) -> None:
    """Some kilobytes, with which the service is started anew, once."""
    install(server, *both(built["1 1"]))
    assert says(server) == f"1 1 {PREFIX}"
    invoked(server)
    install(server, built["2 1"].deb("demo"))
    assert says(server) == f"2 1 {PREFIX}"
    assert [x for x in invoked(server) if "demo.service" in x] == ["restart demo.service"]
    is_sound(server)
    assert built["2 1"].deb("demo").stat().st_size < 20_000


def test_both_builds_of_one_environment_give_the_same_files(built: dict[str, Built]) -> None:
    """Whichever of the two a server has."""
    paths = [
        f"{SITE}/lark.py",
        f"{PREFIX}/pyvenv.cfg",
        f"{PREFIX}/bin/activate",
        f"{PREFIX}/venvpkg-layer.json",
    ]
    one, other = (built[name].deb("demo-env") for name in ("1 1", "2 1"))
    assert [read(one, p.strip("/")) for p in paths] == [read(other, p.strip("/")) for p in paths]


def test_a_project_does_not_come_without_its_environment(server: Root, built: dict[str, Built]) -> None:
    """Dpkg says which one is missing, and the version that runs is whole when both have come."""
    install(server, *both(built["1 1"]))
    done = install(server, built["3 2"].deb("demo"), check=False)
    assert done.returncode != 0
    assert "depends on demo-env-" in done.stdout
    install(server, built["3 2"].deb("demo-env"))
    server.run(["dpkg", "--configure", "-a"])
    assert says(server) == f"3 2 {PREFIX}"
    is_sound(server)


@pytest.mark.parametrize("names", list(permutations(["demo-env", "demo"])), ids="-then-".join)
@pytest.mark.parametrize(("old", "new"), [("1 1", "3 2"), ("3 2", "1 1"), ("whole", "1 1")])
def test_any_order_ends_like_a_first_installation(
    server: Root, built: dict[str, Built], names: tuple[str, str], old: str, new: str
) -> None:
    """Forwards, back, and from one package to two; one by one as well."""
    install(server, *both(built[new]))
    fresh = state(server)
    server.purge("demo", "demo-env")
    install(server, *((built["whole"].deb(),) if old == "whole" else both(built[old])))
    for name in names:
        install(server, built[new].deb(name), check=False)
    server.run(["dpkg", "--configure", "-a"])
    assert difference(fresh, state(server)) == {}
    is_sound(server)


def test_two_packages_become_one_again(server: Root, built: dict[str, Built]) -> None:
    """The whole one says that the other is gone, and dpkg takes that away."""
    install(server, built["back"].deb())
    fresh = state(server)
    server.purge("demo")
    install(server, *both(built["1 1"]))
    # With dpkg alone this takes --auto-deconfigure, with which apt calls it.
    server.install([built["back"].deb()])
    assert difference(fresh, state(server)) == {}
    assert server.run("dpkg-query -W -f '${db:Status-Status}' demo-env", check=False).stdout != "installed"
    is_sound(server)


def test_apt_takes_the_projects_package_alone(server: Root, built: dict[str, Built]) -> None:
    """And both of another environment, either way."""
    server.install(both(built["1 1"]))
    assert "demo-env" not in server.install([built["2 1"].deb("demo")]).stdout
    for name in ("3 2", "1 1"):
        server.install(both(built[name]))
        assert says(server) == f"{name} {PREFIX}"
    is_sound(server)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["build", "install"])
def test_a_killed_dpkg_heals(server: Root, bench: Callable[[str], Bench], mode: str) -> None:
    """At whatever moment both were coming: the next dpkg makes of it what a first one makes."""
    debs, clean = {}, {}
    for number in (1, 2):
        code = f"V = {number}\n".encode()
        wheel = {f"many/only{number}_{n % 9}/module{n}.py": code for n in range(150)}
        files = {f"demo/only{number}_{n % 9}/module{n}.py": code for n in range(150)}
        wheels = [pack("lark", str(number), {"lark.py": b"VERSION = 1\n"}), pack("many", str(number), wheel)]
        config = f'bytecode = "{mode}"'
        project = versioned(
            number, 1, config=config, wheels=wheels, dependencies=["lark", "many"], files=files
        )
        made = bench("bookworm").build(project)
        copies = [server.copy_in(d, f"/srv/debs/{mode}{number}-{d.name}") for d in both(made)]
        debs[number] = [f"/srv/debs/{copy.name}" for copy in copies]
    for number in (1, 2):
        begin = time.monotonic()
        server.run(["dpkg", "-i", *debs[number]])
        seconds = time.monotonic() - begin
        clean[number] = state(server)
        server.run(["dpkg", "-P", "demo", "demo-env"])
    chance = random.Random(f"layers {mode}")
    server.run(["dpkg", "-i", *debs[1]])
    wrong: list[object] = []
    for case in range(KILLS):
        number = 2 - case % 2
        words = chance.sample(debs[number], 2)
        running = subprocess.Popen(
            ["chroot", str(server.path), "dpkg", "-i", *words],
            env=server.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(chance.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        server.run(["dpkg", "--configure", "-a"], check=False)
        done = server.run(["dpkg", "-i", *chance.sample(debs[number], 2)], check=False)
        server.run(["dpkg", "--configure", "-a"], check=False)
        told = done.stdout if server.run(["dpkg", "--audit"]).stdout else ""
        wrong += [(case, told)] if told else []
        wrong += [(case, fault) for fault in difference(clean[number], state(server)).items()]
    assert wrong == []


def test_an_environment_that_comes_alone_starts_services_anew(server: Root, built: dict[str, Built]) -> None:
    """They run with modules that were replaced; the project's package was not touched, and hears of it."""
    install(server, *both(built["1 1"]))
    invoked(server)
    # The same content under a higher version, as without a record, or the same one once more.
    for name in ("2 1", "1 1"):
        install(server, built[name].deb("demo-env"))
        assert [x for x in invoked(server) if "demo.service" in x] == ["restart demo.service"]
    assert server.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", "demo"]).stdout == "installed"
    assert says(server) == f"1 1 {PREFIX}"


def test_both_at_once_start_services_anew_once(server: Root, built: dict[str, Built]) -> None:
    """The trigger has nothing to do where the project's package is configured anyway."""
    install(server, *both(built["1 1"]))
    invoked(server)
    install(server, *both(built["3 2"]))
    assert [x for x in invoked(server) if "demo.service" in x] == ["restart demo.service"]


def test_other_triggers_start_nothing(server: Root, built: dict[str, Built]) -> None:
    """A point release of Python is the administrator's to follow."""
    install(server, *both(built["1 1"]))
    invoked(server)
    server.run("dpkg-trigger --by-package=dpkg /usr/lib/os-release && dpkg --triggers-only -a")
    assert [x for x in invoked(server) if "demo.service" in x] == []


@pytest.mark.parametrize("mode", ["", " install"], ids=["bytecode in the package", "compiled on the server"])
@pytest.mark.parametrize(
    "commands",
    [
        ["dpkg -P demo", "dpkg -P demo-env"],
        ["dpkg -P demo-env demo"],
        ["dpkg -r demo", "dpkg -r demo-env", "dpkg -P demo-env", "dpkg -P demo"],
        ["dpkg -r demo", "dpkg -P demo-env", "dpkg -P demo"],
        ["dpkg -P --force-depends demo-env", "dpkg -P demo"],
    ],
    ids=["project first", "at once", "removed, then purged", "environment between", "environment first"],
)  # fmt: skip
def test_purged_in_any_order_nothing_is_left(
    server: Root, built: dict[str, Built], commands: list[str], mode: str
) -> None:
    """What was written in the prefix at run time included."""
    before = server.snapshot(ignore=[*DATABASES, "/srv"])
    install(server, *both(built[f"1 1{mode}"]))
    server.run(f"echo x >{PREFIX}/written && mkdir {SITE}/demo/cache && echo y >{SITE}/demo/cache/z")
    for command in commands:
        server.run(command)
    assert difference(before, server.snapshot(ignore=[*DATABASES, "/srv"])) == {}


def test_bytecode_of_the_environment_outlives_a_deploy(server: Root, built: dict[str, Built]) -> None:
    """Each package compiles its own modules, so that a deploy takes no longer than its own do."""
    install(server, *both(built["1 1 install"]))
    compiled = server.inside(f"{SITE}/__pycache__/lark.cpython-311.pyc")
    before = compiled.stat().st_ino
    install(server, built["2 1 install"].deb("demo"))
    assert compiled.stat().st_ino == before
    assert server.inside(f"{SITE}/demo/__pycache__/only2.cpython-311.pyc").exists()
    assert not server.inside(f"{SITE}/demo/__pycache__/only1.cpython-311.pyc").exists()
    install(server, built["2 1 install"].deb("demo-env"))
    assert compiled.stat().st_ino != before
    is_sound(server)


def test_another_place_takes_the_old_one_away(server: Root, built: dict[str, Built]) -> None:
    """The keys env-name and install-root are other ones; what was written there goes with the prefix."""
    install(server, *both(built["1 1"]))
    server.run(f"echo x >{PREFIX}/written")
    install(server, *both(built["elsewhere"]))
    assert says(server) == "2 1 /srv/venvs/other"
    assert state(server) == {}


# --- Built by dpkg-buildpackage


def listed(folder: Path) -> set[str]:
    """The packages of the newest .changes."""
    newest = max(folder.glob("*.changes"), key=lambda p: p.stat().st_mtime_ns)
    return {
        x["name"].split("_")[0] for x in Changes(newest.read_text())["Files"] if x["name"].endswith("deb")
    }


def rebuild(bench: Bench, folder: str, version: str) -> str:
    """Build the next version, and return what dpkg-buildpackage said."""
    for name in ("pyproject.toml", "debian/changelog"):
        path = bench.root.inside(f"{folder}/{name}")
        path.write_text(re.sub(r"1\.\d(?=[\")])", version, path.read_text(), count=1))
    done = bench.run(folder, "dpkg-buildpackage -us -uc -b")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_what_servers_have_is_not_published_again(bench: Callable[[str], Bench]) -> None:
    """The next version's .changes has the project's package alone, until the environment is another one."""
    builder = bench("bookworm")
    rules = "override_dh_gencontrol:\n\tdh_gencontrol -- -Vsaid=so\n"
    fields = "Replaces: demo-env\nXB-Said: ${said}\n"
    packages = STANZA.replace("Replaces", "XB-Said: ${said}\nReplaces")
    native = {"demo/_native.c": NATIVE}
    project = versioned(
        1, 1, rules=rules, fields=fields, packages=packages, files=native, link=["-Wl,--no-as-needed", "-lm"]
    )
    folder = builder.write(project)
    beside = builder.root.inside(folder).parent
    rebuild(builder, folder, "1.0")
    assert listed(beside) == {"demo", "demo-env", "demo-dbgsym"}
    builder.root.run("venvpkg record ../demo-env_1.0_*.deb", cwd=folder)
    said = rebuild(builder, folder, "1.1")
    assert "demo-env is as in 1.0" in said
    assert listed(beside) == {"demo", "demo-dbgsym"}
    (lower,) = beside.glob("demo-env_*.deb")
    debs = [lower, *beside.glob("demo_1.1_*.deb")]
    assert [control_field(deb, "Version") for deb in debs] == ["1.0", "1.1"]
    assert [control_field(deb, "Said") for deb in debs] == ["so", "so"]
    # What the project compiled needs libraries of its own.
    assert ["libc6" in control_field(deb, "Depends") for deb in debs] == [False, True]
    rebuild(builder, folder, "1.2")
    wheel = pack("lark", "2.0", {"lark.py": b"VERSION = 2\n"})
    builder.root.inside(f"{folder}/wheels/{wheel[0]}").write_bytes(wheel[1])
    rebuild(builder, folder, "1.3")
    assert listed(beside) == {"demo", "demo-env", "demo-dbgsym"}
    assert list(beside.glob("demo-env_1.3_*.deb"))


@pytest.mark.parametrize("compat", [12, 14])
def test_other_compat_levels_give_the_same_layer(
    bench: Callable[[str], Bench], built: dict[str, Built], compat: int
) -> None:
    """Whichever of debhelper's commands come after the split."""
    other = bench("bookworm").build(versioned(1, 1, compat=compat))
    provided = [control_field(one.deb("demo-env"), "Provides") for one in (other, built["1 1"])]
    assert provided[0] == provided[1]
