"""Source packages of dh-virtualenv: built with it, with venvpkg in its place, and migrated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from debs import clauses, contents, maintainer_files, read
from former import PROJECTS, TRIGGERS, UNIT
from projects import Project
from roots import Base, RootFactory, difference
from workbench import Bench, Built, Recipe

pytestmark = pytest.mark.root

BUILDER = ["build-essential", "debhelper", "python3-dev", "python3-pip", "python3-venv"]
BUILD = "dpkg-buildpackage -b -us -uc"
# The environments of each project, by the binary packages that have them.
PREFIXES = {
    "synapse": {"demo": "opt/venvs/demo"},
    "wlanpi": {"demo": "opt/demo"},
    "stackstorm": {"demo": "opt/stackstorm/st2"},
    "fleet": {"fleet": "opt/venvs/fleet", "fleet-agent": "opt/venvs/fleet-agent"},
}


@dataclass(frozen=True, kw_only=True)
class Ways:
    """One project, built three ways."""

    former: Built
    """With Debian's dh-virtualenv."""
    stand_in: Built
    """With venvpkg in its place."""
    migrated: Built


@pytest.fixture(scope="module")
def former_bench(root_factory: RootFactory) -> Iterator[Bench]:
    """A builder with Debian's dh-virtualenv."""
    with root_factory.base("bookworm", [*BUILDER, "dh-virtualenv", "python3-virtualenv"]).open() as root:
        yield Bench(root)


@pytest.fixture(scope="module")
def stand_in_bench(builder_base: Callable[[str], Base], dh_venvpkg_deb: Path) -> Iterator[Bench]:
    """A builder with dh-venvpkg-virtualenv."""
    (stand_in,) = dh_venvpkg_deb.parent.glob("dh-venvpkg-virtualenv_*.deb")
    with builder_base("bookworm").open() as root:
        root.install([stand_in])
        yield Bench(root)


@pytest.fixture(scope="module")
def ways(former_bench: Bench, stand_in_bench: Bench) -> dict[str, Ways]:
    """Every project, built every way."""
    plain = {name: Recipe(project=project, command=f"{BUILD} -d") for name, project in PROJECTS.items()}
    moved = {name: replace(r, command=f"venvpkg migrate && {r.command}") for name, r in plain.items()}
    one = former_bench.build_all(plain)
    two, three = (stand_in_bench.build_all(recipes) for recipes in (plain, moved))
    return {name: Ways(former=one[name], stand_in=two[name], migrated=three[name]) for name in PROJECTS}


def tell(bench: Bench, command: str, *debs: Path) -> dict[str, object]:
    """What a command of venvpkg's says in JSON of packages of the machine."""
    places = []
    for number, deb in enumerate(debs):
        bench.root.copy_in(deb, f"/srv/told/{number}/{deb.name}")
        places.append(f"/srv/told/{number}/{deb.name}")
    answer = bench.run("/", f"venvpkg {command} --json {' '.join(places)}")
    assert answer.stdout, answer.stderr
    told: dict[str, object] = json.loads(answer.stdout)
    return told


@pytest.mark.parametrize("name", PROJECTS)
def test_package_builds_as_it_is_and_migrated(ways: dict[str, Ways], name: str) -> None:
    """With the environment where it was, and nothing for a server to miss."""
    for built in (ways[name].stand_in, ways[name].migrated):
        assert built.status == 0, built.log
        for package, prefix in PREFIXES[name].items():
            assert f"{prefix}/pyvenv.cfg" in contents(built.deb(package))
            assert "python3.11" in clauses(built.deb(package))


@pytest.mark.parametrize("name", PROJECTS)
def test_nothing_is_found_in_the_packages(ways: dict[str, Ways], stand_in_bench: Bench, name: str) -> None:
    """Neither as it is nor migrated; what dh-virtualenv made has findings."""
    for package in PREFIXES[name]:
        for built in (ways[name].stand_in, ways[name].migrated):
            assert tell(stand_in_bench, "verify", built.deb(package))["findings"] == []
        if ways[name].former.status == 0:
            assert tell(stand_in_bench, "verify", ways[name].former.deb(package))["findings"]


@pytest.mark.parametrize("name", PROJECTS)
def test_same_distributions_are_inside(ways: dict[str, Ways], stand_in_bench: Bench, name: str) -> None:
    """But for pip and setuptools, which the migrated package has no use for."""
    for package in PREFIXES[name]:
        found = [
            {d["name"]: d["version"] for d in environment["distributions"]}
            for built in (ways[name].stand_in, ways[name].migrated)
            for environment in tell(stand_in_bench, "inspect", built.deb(package))  # type: ignore[union-attr]
        ]
        tools = {"pip", "setuptools"}
        as_it_is, migrated = ({n: v for n, v in each.items() if n not in tools} for each in found)
        # What one of them deletes by hand it deletes either way.
        assert as_it_is == migrated
        assert not tools & found[1].keys()


def test_dpkg_is_told_what_synapse_asks_for(ways: dict[str, Ways]) -> None:
    """The database's library is recommended, and what the script writes counts."""
    for built in (ways["synapse"].stand_in, ways["synapse"].migrated):
        deb = built.deb()
        assert any(clause.startswith("zlib1g") for clause in clauses(deb, "Recommends")), built.log
        assert not any(clause.startswith("zlib1g") for clause in clauses(deb))
        assert read(deb, "etc/demo/demo.conf") == b"demo\n"
        assert "OK" in built.log and "Ran 1 test" in built.log


def test_rules_get_shorter(ways: dict[str, Ways]) -> None:
    """How long each is, before and after."""
    for name, project in PROJECTS.items():
        before = str(project.files["debian/rules"]).splitlines()
        after = (ways[name].migrated.folder / "debian/rules").read_text().splitlines()
        print(f"{name}: {len(before)} lines of debian/rules, {len(after)} after")
        assert len(after) < len(before)
        assert not (ways[name].migrated.folder / "debian/demo.triggers").exists()


# --- options that debhelper's own library reads


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        ("dh_virtualenv -a", "opt/venvs/demo/bin/demo"),
        ("dh_virtualenv -O--python=/usr/bin/python3.11 -O--install-suffix=x", "opt/venvs/x/bin/demo"),
        ("dh_virtualenv -s -S -v --install-suffix x", "opt/venvs/x/bin/pip"),
        ("DH_OPTIONS=--install-suffix=x dh_virtualenv", "opt/venvs/x/bin/demo"),
        ("dh_virtualenv -Nother -D .", "opt/venvs/demo/bin/demo"),
    ],
)
def test_call_is_read_as_debhelper_does(stand_in_bench: Bench, call: str, seen: str) -> None:
    """Also where dh-virtualenv got it wrong."""
    packages = OTHER if "other" in call else ""
    project = former_project(f"override_dh_virtualenv:\n\t{call}\n", packages=packages)
    built = stand_in_bench.build(project)
    assert built.status == 0, built.log
    assert seen in contents(built.deb())


def test_scripts_are_left_out(stand_in_bench: Bench) -> None:
    """With -n."""
    project = former_project("override_dh_virtualenv:\n\tdh_virtualenv -n\n")
    files = maintainer_files(stand_in_bench.build(project).deb())
    assert not files.keys() & {"preinst", "postinst", "prerm", "postrm", "triggers"}


def test_build_system_of_that_name(stand_in_bench: Bench) -> None:
    """With the add-on it is that; alone it warns of what follows."""
    plain = former_project("", line="dh $@ --buildsystem=dh_virtualenv")
    built = stand_in_bench.build(plain, DH_REQUIREMENTS_FILE="pins.txt")
    assert "say --with venvpkg" in built.log
    assert "usr/share/python/demo/bin/demo" in contents(built.deb())
    assert "python3.11" in clauses(built.deb())
    both = former_project("", line="dh $@ --buildsystem=dh_virtualenv --with python-virtualenv")
    built = stand_in_bench.build(both)
    assert "usr/share/python/demo/bin/demo" in contents(built.deb())


OTHER = "Package: other\nArchitecture: all\nDescription: other\n Another one.\n"


def former_project(
    rules: str, *, line: str = "dh $@ --with python-virtualenv", packages: str = ""
) -> Project:
    """A small project with these rules."""
    return Project(
        addon="",
        packages=packages,
        build_depends=["dh-virtualenv"],
        files={"debian/rules": f"#!/usr/bin/make -f\n\n%:\n\t{line}\n\n{rules}", "pins.txt": ""},
    )


def test_package_takes_the_place_of_the_original(stand_in_bench: Bench) -> None:
    """For whoever build-depends on a version of it."""
    deb = stand_in_bench.root.run("dpkg-query -W -f '${Provides}|${Conflicts}' dh-venvpkg-virtualenv").stdout
    provides, conflicts = deb.split("|")
    assert "dh-virtualenv (= 1.2.3)" in provides and "dh-sequence-python-virtualenv" in provides
    assert conflicts == "dh-virtualenv"
    checked = stand_in_bench.run(stand_in_bench.write(PROJECTS["synapse"]), "dpkg-checkbuilddeps")
    assert "dh-virtualenv" not in checked.stdout


# --- on a server


def serviced(version: str) -> Project:
    """A project with a service, whose interpreter is a copy that dh-virtualenv's postinst replaces."""
    call = "dh_virtualenv --python python3 --extra-virtualenv-arg=--always-copy"
    project = former_project(f"override_dh_virtualenv:\n\t{call}\n")
    files = {**project.files, "debian/demo.service": UNIT.format(env="demo", program="demo")}
    return replace(project, version=version, files={**files, "debian/demo.triggers": TRIGGERS})


def test_server_goes_over_and_back(
    former_bench: Bench, stand_in_bench: Bench, root_factory: RootFactory
) -> None:
    """The program runs before and after, both ways, and nothing of the other package is left."""
    old = former_bench.build_all(
        {v: Recipe(project=serviced(v), command=f"{BUILD} -d") for v in ("1.0", "3.0")}
    )
    new = stand_in_bench.build_all(
        {v: Recipe(project=serviced(v), command=f"{BUILD} -d") for v in ("2.0", "4.0")}
    )
    debs = {v: built.deb() for v, built in (*old.items(), *new.items())}
    with root_factory.base("bookworm", ["python3", "libpython3-stdlib", "systemd"]).open() as root:
        before = root.snapshot()
        for version in ("1.0", "2.0", "1.0", "4.0", "3.0", "2.0"):
            root.install([debs[version]])
            shown = root.run(["/opt/venvs/demo/bin/demo"]).stdout
            assert shown.startswith(f"demo {version} /opt/venvs/demo"), version
            # What runs on a server writes bytecode; dh-virtualenv's postinst replaces the interpreter.
            root.run("/opt/venvs/demo/bin/python -c 'import demo.__main__, json.tool'")
            if version in old:
                root.run(
                    "printf x >>/opt/venvs/demo/bin/python3.11; dpkg-trigger --no-await /usr/bin/python3.11",
                    check=False,
                )
                root.run("dpkg --configure -a")
            else:
                owned = set(root.run(["dpkg-query", "-L", "demo"]).stdout.split("\n"))
                there = root.run(["find", "/opt/venvs/demo"]).stdout.split("\n")
                assert [p for p in there if p and p not in owned] == []
        root.purge("demo")
        left = difference(before, root.snapshot())
        assert [p for p in left if "venv" in p or p.startswith("/opt")] == []
