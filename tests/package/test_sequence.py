"""The add-on among debhelper's commands: nothing touches the environment, and everything else is as usual."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from backend import pack
from debs import Member, clauses, contents, differences, maintainer_files, read
from projects import Project
from roots import difference, snapshot
from workbench import BIG, Bench, Built, Recipe, mixed, odd_wheel

pytestmark = pytest.mark.root

Benches = Callable[[str], Bench]

MANGLERS = (
    "dh_strip", "dh_dwz", "dh_makeshlibs", "dh_shlibdeps", "dh_strip_nondeterminism", "dh_compress",
)  # fmt: skip
BARE_OVERRIDES = "".join(f"override_{command}:\n\t{command}\n\n" for command in MANGLERS)
PREFIX = "opt/venvs/demo"
SITE = f"{PREFIX}/lib/python3.11/site-packages"

# Killed while pip installs: the environment is there and not yet in its place.
KILLED_INSTALLING = """\
setsid debian/rules binary >/dev/null 2>&1 &
until [ -e debian/.debhelper/venvpkg/demo/build/demo/pyvenv.cfg ]; do sleep 0.02; done
sleep 0.2
kill -9 -$!
test ! -e debian/demo/opt/venvs/demo/pyvenv.cfg || exit 9
debian/rules binary
"""
# Killed while the environment is aside.
KILLED_HIDDEN = """\
setsid debian/rules binary >/dev/null 2>&1 &
until [ -e debian/.debhelper/venvpkg/demo/env/pyvenv.cfg ]; do sleep 0.02; done
kill -9 -$!
test -e debian/.debhelper/venvpkg/demo/env/pyvenv.cfg || exit 9
debian/rules binary
"""


def as_package(project: Project) -> Recipe:
    """With dpkg-buildpackage; it does not take compat 14, which debhelper does not provide yet."""
    return Recipe(project=project, command="dpkg-buildpackage -us -uc -b" + " -d" * (project.compat == 14))


def replaced(project: Project, path: str, old: str, new: str) -> Project:
    """The project with another text in one of its files."""
    text = dict(project._generated())[path]
    assert isinstance(text, str) and old in text
    project.files = {**project.files, path: text.replace(old, new)}
    return project


def hashed(data: bytes) -> str:
    """A hash as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def normal(path: str) -> str:
    """The path without `..`."""
    parts: list[str] = []
    for part in path.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def records(deb: Path, site: str = SITE) -> set[str]:
    """Every path that a RECORD lists, after a comparison of hash and size with the file's."""
    files = contents(deb)
    listed = set()
    for record in [p for p in files if p.startswith(site) and p.endswith(".dist-info/RECORD")]:
        for name, digest, size in csv.reader(io.StringIO(read(deb, record).decode())):
            path = normal(f"{site}/{name}")
            assert path in files, f"{record} lists {name}"
            if digest:
                data = read(deb, path)
                assert (digest, size) == (hashed(data), str(len(data))), name
            listed.add(path)
    return listed


def environment(deb: Path, prefix: str = PREFIX) -> dict[str, Member]:
    """The part of a package that is the environment."""
    return {path: m for path, m in contents(deb).items() if path.startswith(f"{prefix}/")}


def sections(deb: Path, path: str, tmp_path: Path) -> set[str]:
    """The names of an ELF file's sections."""
    (tmp_path / "elf").write_bytes(read(deb, path))
    command = ["readelf", "-SW", str(tmp_path / "elf")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\] (\.\S+)", shown))


def find(deb: Path, pattern: str) -> str:
    """The one path of a package that matches."""
    (path,) = [p for p in contents(deb) if re.search(pattern, p)]
    return path


# --- The same bytes, whatever is around

OLD_KEYS = mixed(compat=13)
VARIANTS: dict[str, Callable[[], Recipe]] = {
    **{f"plain {n}": lambda n=n: Recipe(project=mixed(compat=n)) for n in (12, 13, 14)},
    **{
        f"overridden {n}": lambda n=n: as_package(mixed(compat=n, rules=BARE_OVERRIDES)) for n in (12, 13, 14)
    },
    "umask 027": lambda: Recipe(
        project=mixed(), command="chmod -R g-w,o-rwx . && umask 027 && debian/rules binary"
    ),
    "user": lambda: Recipe(project=mixed(), command="dpkg-buildpackage -us -uc -b", user="builder"),
    "fakeroot": lambda: Recipe(
        project=replaced(mixed(), "debian/control", "Rules-Requires-Root: no", "Rules-Requires-Root: binary-targets"),
        command="dpkg-buildpackage -us -uc -b -rfakeroot",
        user="builder",
    ),
    "dpkg-buildpackage -b twice": lambda: Recipe(
        project=mixed(),
        command="dpkg-buildpackage -us -uc -b && rm ../*.deb && dpkg-buildpackage -us -uc -b",
    ),
    "debian/rules binary twice": lambda: Recipe(
        project=mixed(), command="debian/rules binary && rm ../*.deb && debian/rules binary"
    ),
    "a folder with a blank and a quote": lambda: Recipe(project=mixed(), at="it's a demo"),
    "Build-Depends-Arch": lambda: Recipe(
        project=replaced(
            mixed(),
            "debian/control",
            "debhelper-compat (= 13), dh-sequence-venvpkg, python3-dev",
            "debhelper-compat (= 13)\nBuild-Depends-Arch: dh-sequence-venvpkg, python3-dev",
        ),
        command="dpkg-buildpackage -us -uc -B",
    ),
    "--with": lambda: Recipe(
        project=replaced(mixed(addon=""), "debian/rules", "dh $@", "dh $@ --with venvpkg")
    ),
    "a build killed while it installs": lambda: Recipe(project=mixed(), command=KILLED_INSTALLING),
    "a build killed while the environment is aside": lambda: Recipe(project=mixed(), command=KILLED_HIDDEN),
}  # fmt: skip
LIKE_PLAIN = [name for name in VARIANTS if not re.search(r"\d\d$", name) or name == "umask 027"]


@pytest.fixture(scope="module")
def variants(bench: Benches) -> dict[str, Built]:
    """The mixed project, built in every way that may make no difference; by the way's name."""
    work = bench("bookworm")
    if not work.root.inside("/home/builder").exists():
        work.root.add_user("builder")
    return work.build_all({name: make() for name, make in VARIANTS.items()})


@pytest.mark.parametrize("compat", [12, 13, 14])
def test_bare_overrides_change_no_byte(compat: int, variants: Mapping[str, Built]) -> None:
    """`override_dh_strip:` loses what an add-on may have said to dh_strip, so nothing hangs on that."""
    found = differences(variants[f"plain {compat}"].debs, variants[f"overridden {compat}"].debs)
    assert found == []


@pytest.mark.parametrize("compat", [12, 14])
def test_compat_level_changes_nothing_in_the_environment(compat: int, variants: Mapping[str, Built]) -> None:
    """dh_fixperms, dh_compress and dh_strip_nondeterminism run at other places in compat 14."""
    one, other = variants["plain 13"].deb(), variants[f"plain {compat}"].deb()
    assert environment(one) == environment(other)
    assert clauses(one) == clauses(other)


@pytest.mark.parametrize("way", LIKE_PLAIN)
def test_way_of_building_changes_no_byte(way: str, variants: Mapping[str, Built]) -> None:
    """The packages are those of a plain `debian/rules binary` by root."""
    assert differences(variants["plain 13"].debs, variants[way].debs) == []
