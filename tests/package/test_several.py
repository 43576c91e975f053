"""One source package with several environments, on two Pythons, built and installed together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend import pack
from debs import clauses, contents, maintainer_files, read
from projects import Project
from roots import Root
from venvpkg.elsewhere import Foreign, find_foreign
from workbench import Bench, Built

pytestmark = pytest.mark.root

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]

[project]
name = "demo"
version = "1.0"
optional-dependencies = {{ web = ["more"] }}

[project.scripts]
demo = "demo.__main__:main"

[tool.venvpkg]
installer = "uv"
find-links = ["wheels"]
no-index = true

[tool.venvpkg.packages.demo]
expose = ["demo"]

[tool.venvpkg.packages.demo-next]
project = false
requirements = ["next.txt"]
python = "{next}"

[tool.venvpkg.packages.python3-demo]
extras = ["web"]
install-root = "/usr/lib"
"""
SCRIPT = "#!/usr/bin/env python3\nprint('plain')\n"
MORE = pack("more", "1.0", {"more.py": b"import sys\ndef main():\n    print('more', sys.version_info[1])\n"},
            scripts={"more": "more:main"})  # fmt: skip


def paragraph(name: str, architecture: str, more: str = "") -> str:
    """A binary package of debian/control."""
    depends = "Depends: ${misc:Depends}, ${shlibs:Depends}, ${python3:Depends}\n"
    return f"Package: {name}\nArchitecture: {architecture}\n{depends}{more}Description: one\n It is one.\n\n"


def project(minor: str) -> Project:
    """Three environments and a plain package; dh_python3 is loaded as well."""
    return Project(
        addon="",
        build_depends=["dh-python"],
        packages=paragraph("demo-next", "all")
        + paragraph("python3-demo", "all")
        + paragraph("demo-plain", "all", "Build-Profiles: <!noplain>\n"),
        files={
            "pyproject.toml": PYPROJECT.format(next=minor),
            f"wheels/{MORE[0]}": MORE[1],
            "next.txt": "more\n",
            "bin/demo-plain": SCRIPT,
            "debian/demo-plain.install": "bin/demo-plain usr/bin\n",
            "debian/rules": "#!/usr/bin/make -f\n%:\n\tdh $@ --with python3,venvpkg\n",
        },
    )


def second_deb(python: Foreign, folder: Path) -> Path:
    """Put a version manager's Python into a package of the name that Debian's would have."""
    minor = f"{python.version.major}.{python.version.minor}"
    prefix = python.path.parents[1]
    top = folder / f"python{minor}"
    for name in ("DEBIAN", "usr/bin", "usr/lib"):
        (top / name).mkdir(parents=True)
    shutil.copy2(python.path.resolve(), top / f"usr/bin/python{minor}")
    for library in (prefix / "lib").glob(f"libpython{minor}.so.*"):
        shutil.copy2(library, top / "usr/lib")
    unwanted = shutil.ignore_patterns("test", "tests", "__pycache__", "site-packages", "config-*", "idlelib")
    shutil.copytree(prefix / f"lib/python{minor}", top / f"usr/lib/python{minor}", ignore=unwanted)
    # The libraries of its extension modules come with Debian's own.
    (top / "DEBIAN/control").write_text(
        f"Package: python{minor}\nVersion: {python.version}-1\nArchitecture: {architecture()}\n"
        "Depends: python3\nMaintainer: A Developer <developer@example.org>\n"
        "Description: another Python\n As deadsnakes has them.\n"
    )
    command = ["dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", top, folder]
    subprocess.run(command, check=True, capture_output=True)
    (deb,) = folder.glob("*.deb")
    return deb


def architecture() -> str:
    """This machine's, as dpkg has it."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A minor version that bookworm has not, and a package of it."""
    found = {f"{f.version.major}.{f.version.minor}": f for f in find_foreign(os.environ)}
    minor = next((m for m in ("3.12", "3.13", "3.10", "3.9") if m in found), None)
    if minor is None:
        pytest.skip("neither pyenv nor uv has a second Python here")
    return minor, second_deb(found[minor], tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="module")
def machine(
    builder_base: Callable[[str], object], second: tuple[str, Path], uv_binary: Path
) -> Iterator[Bench]:
    """A builder with two Pythons."""
    base = builder_base("bookworm")
    with base.open() as root:  # type: ignore[attr-defined]
        root.install([second[1]])
        # The pip of bookworm does not run on Python 3.12.
        root.copy_in(uv_binary, "/usr/local/bin/uv")
        yield Bench(root)


@pytest.fixture(scope="module")
def built(machine: Bench, second: tuple[str, Path]) -> Built:
    """The four packages."""
    return machine.build(project(second[0]), "dpkg-buildpackage -us -uc -b")


def test_every_package_has_what_its_table_says(built: Built, second: tuple[str, Path]) -> None:
    """Its own Python, project, extras and prefix; no environment without a table."""
    minor = second[0]
    assert set(built.debs) == {"demo", "demo-next", "python3-demo", "demo-plain"}
    names = {name: set(contents(deb)) for name, deb in built.debs.items()}
    assert {"opt/venvs/demo/lib/python3.11/site-packages/demo", "usr/bin/demo"} <= names["demo"]
    assert f"opt/venvs/demo-next/lib/python{minor}/site-packages/more.py" in names["demo-next"]
    assert {
        f"usr/lib/python3-demo/lib/python3.11/site-packages/{name}" for name in ("demo", "more.py")
    } <= names["python3-demo"]
    assert not [path for path in names["demo-plain"] if "site-packages" in path]
    assert not [path for path in names["demo-next"] if path.endswith("/demo")]
    pythons = {name: {c for c in clauses(deb) if re.match(r"python3", c)} for name, deb in built.debs.items()}
    assert (pythons["demo"], pythons["demo-next"]) == ({"python3.11"}, {f"python{minor}"})
    assert "python3.11" in pythons["python3-demo"]


def test_dh_python3_does_its_work_where_no_environment_is(built: Built) -> None:
    """In a package whose name begins with python3- too, below /usr/lib."""
    assert read(built.deb("demo-plain"), "usr/bin/demo-plain").startswith(b"#! /usr/bin/python3\n")
    files = maintainer_files(built.deb("python3-demo"))
    assert b"py3compile" not in files["postinst"]
    script = read(built.deb("python3-demo"), "usr/lib/python3-demo/bin/demo")
    assert script.startswith(b"#!/usr/lib/python3-demo/bin/python")


def test_packages_work_together_and_leave_nothing(
    built: Built, second: tuple[str, Path], server: Callable[[str], Root]
) -> None:
    """Installed at once on a server, run, and purged one by one."""
    root = server("bookworm")
    root.install([second[1], *built.debs.values()])
    said = [
        root.run([f"/{command}"]).stdout
        for command in ("usr/bin/demo", "usr/lib/python3-demo/bin/demo", "usr/lib/python3-demo/bin/more",
                        "opt/venvs/demo-next/bin/more", "usr/bin/demo-plain")
    ]  # fmt: skip
    assert said == [
        "demo 1.0 /opt/venvs/demo\n",
        "demo 1.0 /usr/lib/python3-demo\n",
        "more 11\n",
        f"more {second[0].split('.')[1]}\n",
        "plain\n",
    ]
    root.purge("demo")
    assert not root.inside("/opt/venvs/demo").exists()
    assert root.run(["/opt/venvs/demo-next/bin/more"]).stdout.startswith("more ")
    root.purge("demo-next", "python3-demo")
    assert not root.inside("/opt/venvs").exists() and not root.inside("/usr/lib/python3-demo").exists()


def test_choice_of_packages_changes_no_byte_of_the_others(
    machine: Bench, built: Built, second: tuple[str, Path]
) -> None:
    """`-A`, `-B` and a build profile."""
    ways = {
        "A": ("dpkg-buildpackage -us -uc -A", {"demo-next", "python3-demo", "demo-plain"}),
        "B": ("dpkg-buildpackage -us -uc -B", {"demo"}),
        "profile": ("dpkg-buildpackage -us -uc -b -Pnoplain", {"demo", "demo-next", "python3-demo"}),
    }
    for way, (command, names) in ways.items():
        made = machine.build(project(second[0]), command)
        assert set(made.debs) == names, way
        for name in names:
            assert contents(made.deb(name)) == contents(built.deb(name)), f"{way}: {name}"


def test_options_of_an_override_are_for_its_package(machine: Bench, second: tuple[str, Path]) -> None:
    """`dh_venvpkg -pdemo --extras web` beside `dh_venvpkg -Ndemo`."""
    changed = project(second[0])
    rules = str(changed.files["debian/rules"])
    rules += "\noverride_dh_venvpkg:\n\tdh_venvpkg -pdemo --extras web\n\tdh_venvpkg -Ndemo\n"
    changed.files = {**changed.files, "debian/rules": rules}
    made = machine.build(changed, "dpkg-buildpackage -us -uc -b")
    assert "opt/venvs/demo/lib/python3.11/site-packages/more.py" in contents(made.deb("demo"))
    assert f"opt/venvs/demo-next/lib/python{second[0]}/site-packages/more.py" in contents(
        made.deb("demo-next")
    )


def test_build_after_one_that_failed_is_as_if_it_had_not(
    machine: Bench, built: Built, second: tuple[str, Path]
) -> None:
    """The second environment failed, the first was there already; nobody cleaned."""
    command = (
        "echo nothing-of-that-name >next.txt\ndpkg-buildpackage -us -uc -b -nc && exit 9\n"
        "echo more >next.txt\ndpkg-buildpackage -us -uc -b -nc\n"
    )
    made = machine.build(project(second[0]), command)
    for name in built.debs:
        assert contents(made.deb(name)) == contents(built.deb(name)), name
        assert maintainer_files(made.deb(name)) == maintainer_files(built.deb(name)), name


@pytest.mark.parametrize("way", ["requires-python", ".python-version"])
def test_second_python_is_chosen_where_the_project_wants_it(
    way: str, machine: Bench, second: tuple[str, Path]
) -> None:
    """Without the key python; the log says why it is not Debian's default."""
    minor = second[0]
    wanted = Project(architecture="all", config='installer = "uv"', files={".python-version": f"{minor}\n"})
    if way == "requires-python":
        text = str(wanted._generated()["pyproject.toml"])
        changed = text.replace('version = "1.0"', f'version = "1.0"\nrequires-python = "=={minor}.*"')
        wanted.files = {"pyproject.toml": changed}
    made = machine.build(wanted)
    assert f"python{minor}" in clauses(made.deb())
    assert f"note: /usr/bin/python{minor} is taken, for" in made.log
    assert "/usr/bin/python3.11 is 3.11." in made.log
