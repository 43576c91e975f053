"""Which files the project stands on, and what two packages of one environment are together."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from venvpkg.distributions import read_distributions
from venvpkg.errors import VenvpkgError
from venvpkg.layers import Published, Record, divide, unite, unite_fields
from venvpkg.tree import Entry, Tree

SITE = "lib/python3.11/site-packages"
PLACE = "bookworm/amd64"


def described(name: str, *files: str) -> dict[str, bytes]:
    """A distribution of empty files."""
    folder = f"{SITE}/{name}-1.0.dist-info"
    rows = [*files, f"{name}-1.0.dist-info/METADATA", f"{name}-1.0.dist-info/RECORD"]
    about = {f"{folder}/METADATA": f"Name: {name}\nVersion: 1.0\n".encode()}
    record = {f"{folder}/RECORD": "".join(f"{row},,\n" for row in rows).encode()}
    return {**{f"{SITE}/{name}": b"" for name in files if not name.startswith("..")}, **about, **record}


def below(files: dict[str, bytes], **links: str) -> set[str]:
    """What goes into the lower package, where app is the project's distribution."""
    tree = Tree.from_files(files, links)
    return {str(p).replace(SITE, "site") for p in divide(tree, read_distributions(tree), "app")}


def test_what_other_distributions_have_is_below() -> None:
    """Programs, modules and their bytecode, and all that is in their .dist-info, listed or not."""
    files = described("app", "app.py", "../../../bin/app") | described("dep", "dep.py", "../../../bin/dep")
    files |= {"bin/app": b"", "bin/dep": b"", f"{SITE}/dep-1.0.dist-info/REQUESTED": b""}
    files |= {
        f"{SITE}/__pycache__/{name}.cpython-311.pyc": b"" for name in ("app", "dep", "venvpkg_selfcheck")
    }
    info = {f"site/dep-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "REQUESTED")}
    cached = {f"site/__pycache__/{name}.cpython-311.pyc" for name in ("dep", "venvpkg_selfcheck")}
    assert below(files) == {"bin/dep", "site/dep.py", *info, *cached}


def test_a_path_of_several_is_below() -> None:
    """A namespace's __init__.py that the project ships as well, say: one package may have it."""
    files = described("app", "space/__init__.py", "space/app.py") | described("dep", "space/__init__.py")
    found = below(files)
    assert "site/space/__init__.py" in found
    assert "site/space/app.py" not in found


def test_what_makes_an_environment_is_below() -> None:
    """Interpreter, activators and configuration, and nothing that has almost such a name."""
    names = {"pyvenv.cfg", "bin/activate", "bin/activate.fish", "bin/Activate.ps1", "python/lib/x.so"}
    others = {"bin/activate-app", "bin/python-app", "etc/pyvenv.cfg", "include.txt", "venvpkg.json"}
    assert below(dict.fromkeys([*names, *others], b""), **{"bin/python": "/usr/bin/python3.11"}) == {
        *names,
        "bin/python",
    }


def test_an_empty_folder_goes_where_its_name_says() -> None:
    """Venv makes one for headers; any other is the project's."""
    folders = [PurePosixPath(name) for name in ("include", "include/python3.11", "var")]
    tree = Tree({path: Entry(path=path, kind="folder", mode=0o755) for path in folders})
    assert divide(tree, (), "app") == {PurePosixPath("include/python3.11")}


def test_two_trees_are_one() -> None:
    """Each file once, and both control archives."""
    one = Tree.from_files({"DEBIAN/control": b"Package: app\n", "opt/a": b"1"})
    other = Tree.from_files({"DEBIAN/control": b"Package: app-env\n", "opt/b": b"2"})
    both = unite(one, other)
    assert {str(e.path): e.load() for e in both.files()} == {
        "DEBIAN/control": b"Package: app\n",
        "DEBIAN/app-env/control": b"Package: app-env\n",
        "opt/a": b"1",
        "opt/b": b"2",
    }


def test_fields_of_two_are_those_of_one() -> None:
    """The project's name, and what both depend on."""
    upper = {"Package": "app", "Depends": "app-env-1, libc6"}
    lower = {"Package": "app-env", "Depends": "python3.11", "Suggests": "x"}
    joined = {"Package": "app", "Depends": "app-env-1, libc6, python3.11", "Suggests": "x"}
    assert unite_fields(upper, lower) == joined


@pytest.mark.parametrize(
    ("layer", "current", "chosen"),
    [
        ("env-1", "2.0", "1.0~rc1"),
        ("env-2", "2.0", "2.0"),
        ("env-2", "1.0~rc1", "1.0~rc1"),
        ("env-2", "1:0.1", "1:0.1"),
    ],
)
def test_a_version_is_kept_with_what_it_was_of(layer: str, current: str, chosen: str) -> None:
    """Compared as dpkg does, with tildes and epochs."""
    record = Record(published={}).add("env", PLACE, Published(layer="env-1", version="1.0~rc1"))
    assert record.choose_version("env", PLACE, layer, current) == chosen


def test_a_version_falls_neither_in_a_build_nor_in_the_record() -> None:
    """Servers have the higher one."""
    record = Record(published={}).add("env", PLACE, Published(layer="env-1", version="1.0"))
    for lower in (
        lambda: record.choose_version("env", PLACE, "env-2", "1.0~rc1"),
        lambda: record.add("env", PLACE, Published(layer="env-2", version="0.9")),
    ):
        with pytest.raises(VenvpkgError) as caught:
            lower()
        assert caught.value.code == "layer-version-lower"
