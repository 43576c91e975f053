"""What the package database knows: on constructed values, on a made-up database, and on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from venvpkg.process import Shell
from venvpkg.system import (
    Installed,
    System,
    clause_names,
    read_owners,
    read_packages,
    read_sonames,
    spellings,
)

NATIVE = "NATIVE"
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="there is no dpkg")


def package(depends: str = "", provides: tuple[str, ...] = (), *, essential: bool = False) -> Installed:
    """An installed package from a relationship field."""
    return Installed(
        version="1", depends=clause_names(depends), provides=frozenset(provides), essential=essential
    )


def system(**packages: Installed) -> System:
    """A system with these packages; underscores stand for dashes."""
    return System(packages={name.replace("_", "-"): value for name, value in packages.items()})


# --- Closure


def test_closure_follows_dependencies() -> None:
    """To the end, through names that are not installed."""
    machine = system(
        app=package("liba (>= 1)"), liba=package("libb:any, gone"), libb=package(), other=package()
    )
    assert machine.closure("app") == {"app", "liba", "libb"}


def test_closure_takes_every_installed_alternative() -> None:
    """Any of them may be what satisfies the clause here."""
    machine = system(a=package("x | y | z"), x=package(), z=package("w"), w=package())
    assert machine.closure("a") == {"a", "x", "z", "w"}


def test_closure_follows_provides() -> None:
    """A virtual package is whoever provides it, the t64 ones among them."""
    machine = system(
        libssl3t64=package("libc6", ("libssl3",)), libc6=package(), mta=package(provides=("mail",))
    )
    assert machine.closure("libssl3 (>= 3.0), mail") == {"libssl3t64", "libc6", "mta"}


def test_closure_ends_in_a_circle() -> None:
    """libc6 and libgcc-s1 depend on each other."""
    machine = system(a=package("b"), b=package("a"))
    assert machine.closure("a") == machine.closure("b") == {"a", "b"}


@pytest.mark.parametrize("relations", ["", "  ", "not-here", "${shlibs:Depends}"])
def test_closure_of_nothing_is_empty(relations: str) -> None:
    """Whatever stands there."""
    assert system(a=package()).closure(relations) == frozenset()


def test_essential_packages_bring_what_they_depend_on() -> None:
    """Every system has both (Policy §3.8)."""
    machine = system(dash=package("libc6", essential=True), libc6=package(), other=package())
    assert machine.essential == {"dash", "libc6"}


# --- Owners


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/bin/x", "/usr/bin/x"),
        ("/usr/bin/x", "/bin/x"),
        ("/usr/lib/a/b", "/lib/a/b"),
        ("/lib64/ld.so", "/usr/lib64/ld.so"),
    ],
)
def test_a_path_has_names_on_both_sides_of_usrmerge(path: str, name: str) -> None:
    """The database may know either."""
    assert {path, name} <= set(spellings(path))


@pytest.mark.parametrize("path", ["/opt/x", "/etc/passwd", "/usr/share/x", "/usr/local/bin/x"])
def test_other_paths_have_no_second_name(path: str) -> None:
    """Only what was merged."""
    assert not any(name.removeprefix("/usr") == path for name in spellings(path) if name != path)


def test_a_link_is_known_by_itself_and_by_its_target(tmp_path: Path) -> None:
    """Through a folder that is a link too."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("file")
    found = spellings(str(tmp_path / "folder" / "link"))
    top = tmp_path.resolve()
    assert {str(tmp_path / "folder" / "link"), str(top / "real" / "link"), str(top / "real" / "file")} <= set(
        found
    )


def test_owner_is_found_under_any_name() -> None:
    """The first that is known."""
    machine = System(owners={"/bin/x": "one"}, sonames={"libx.so.1": "/usr/bin/x", "liby.so": "/nowhere"})
    assert (machine.owner("/usr/bin/x"), machine.owner("/usr/bin/y")) == ("one", None)
    assert [machine.provider(s) for s in ("libx.so.1", "liby.so", "libz.so")] == ["one", None, None]


# --- A database that this test writes, read by the real dpkg-query


def database(folder: Path, packages: Mapping[str, Mapping[str, str]], files: Mapping[str, str]) -> Path:
    """Write a dpkg database."""
    (folder / "info").mkdir(parents=True)
    (folder / "updates").mkdir()
    native = Shell()(["dpkg", "--print-architecture"]).stdout.strip()
    stanzas = []
    for name, fields in packages.items():
        base = {
            "Status": "install ok installed",
            "Version": "1",
            "Architecture": "all",
            "Maintainer": "x <x@y.z>",
        }
        stanza = {"Package": name, **base, **fields, "Description": "x"}
        stanza["Architecture"] = stanza["Architecture"].replace(NATIVE, native)
        stanzas.append("\n".join(f"{k}: {v}" for k, v in stanza.items()))
        lines = ["/.", *(path for path, owner in files.items() if owner == name)]
        suffix = f":{native}" if fields.get("Multi-Arch") == "same" else ""
        (folder / "info" / f"{name}{suffix}.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "status").write_text("\n\n".join(stanzas) + "\n", encoding="utf-8")
    # Since format 1 the lists of a package that several architectures may share are named after both.
    (folder / "info" / "format").write_text("1\n", encoding="utf-8")
    (folder / "available").write_text("", encoding="utf-8")
    return folder


@needs_dpkg
def test_installed_packages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all fields; a package that left its configuration alone is not installed."""
    packages = {
        "app": {
            "Depends": "liba (>= 1) | libb, libc6:any",
            "Pre-Depends": "dpkg (>= 1)",
            "Provides": "mail (= 1), web",
        },
        "dash": {"Essential": "yes"},
        "gone": {"Status": "deinstall ok config-files"},
        "half": {"Status": "install ok unpacked"},
    }
    monkeypatch.setenv("DPKG_ADMINDIR", str(database(tmp_path / "db", packages, {})))
    found = read_packages(Shell())
    assert set(found) == {"app", "dash"}
    assert found["app"].depends == (("dpkg",), ("liba", "libb"), ("libc6",))
    assert found["app"].provides == {"mail", "web"}
    assert (found["app"].essential, found["dash"].essential) == (False, True)


@needs_dpkg
def test_owners_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one package, of several, of an architecture, under a diversion, and of nobody."""
    packages = {"one": {}, "two": {}, "lib": {"Multi-Arch": "same", "Architecture": NATIVE}}
    files = {"/opt/one": "one", "/opt/lib": "lib", "/opt/moved": "two", "/opt/sp ace": "one"}
    folder = database(tmp_path / "db", packages, files)
    (folder / "info" / "two.list").write_text("/.\n/opt/both\n/opt/moved\n", encoding="utf-8")
    with (folder / "info" / "one.list").open("a", encoding="utf-8") as stream:
        stream.write("/opt/both\n")
    diversions = "/opt/moved\n/opt/moved.real\none\n/opt/one\n/opt/one.real\n:\n"
    (folder / "diversions").write_text(diversions, encoding="utf-8")
    monkeypatch.setenv("DPKG_ADMINDIR", str(folder))
    asked = ["/opt/one", "/opt/both", "/opt/lib", "/opt/moved", "/opt/none", "/opt/sp ace"]
    found = read_owners(Shell(), asked)
    assert found["/opt/both"] in ("one", "two")
    del found["/opt/both"]
    assert found == {"/opt/one": "one", "/opt/lib": "lib", "/opt/moved": "two", "/opt/sp ace": "one"}


@needs_dpkg
def test_thousands_of_paths_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several commands: a command line has an end."""
    files = {f"/opt/{'x' * 100}/{number}": "one" for number in range(2500)}
    monkeypatch.setenv("DPKG_ADMINDIR", str(database(tmp_path / "db", {"one": {}}, files)))
    assert read_owners(Shell(), files) == files


def test_no_path_asks_nobody() -> None:
    """dpkg-query without a pattern is an error."""
    assert read_owners(Shell(), []) == {}


# --- This machine


@pytest.fixture(scope="module")
def machine() -> System:
    """The real one."""
    if not shutil.which("dpkg-query"):
        pytest.skip("there is no dpkg")
    return System.read(Shell(), ["/bin/sh", "/usr/bin/env", "/no/such/file"])


def test_dash_owns_sh(machine: System) -> None:
    """Through links, usrmerge and perhaps a diversion."""
    assert machine.owner("/bin/sh") == machine.owner("/usr/bin/sh") == "dash"
    assert (machine.owner("/usr/bin/env"), machine.owner("/no/such/file")) == ("coreutils", None)


def test_libc6_provides_libc(machine: System) -> None:
    """The one soname that every system has."""
    assert machine.provider("libc.so.6") == "libc6"
    assert machine.provider("libno-such-thing.so.9") is None


def test_essential_reaches_libc6(machine: System) -> None:
    """And what it depends on, but not what a developer installed."""
    assert {"dash", "coreutils", "dpkg", "libc6", "libgcc-s1"} <= machine.essential
    assert "gcc" not in machine.essential


def test_a_real_closure_is_plausible(machine: System) -> None:
    """What dpkg stands on: tar among others."""
    found = machine.closure("dpkg")
    assert {"dpkg", "tar", "libc6"} <= found
    assert len(found) < len(machine.packages)


def test_the_linkers_cache_has_files(machine: System) -> None:
    """Absolute paths that are there."""
    assert Path(read_sonames(Shell())["libc.so.6"]).is_file()
    assert all(path.startswith("/") for path in machine.sonames.values())


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("", ()),
        ("a", (("a",),)),
        ("a (>= 1), b:any | c, d [amd64]", (("a",), ("b", "c"), ("d",))),
        ("a(>=1)|b, ", (("a", "b"),)),
    ],
)
def test_names_in_a_field_that_dpkg_wrote(written: str, names: tuple[tuple[str, ...], ...]) -> None:
    """The fast reader agrees with the thorough one's idea."""
    assert clause_names(written) == names


def test_a_library_is_known_by_its_files_name_too() -> None:
    """Some objects need libgomp.so.1.0.0, which the linker finds in its folders."""
    sonames = read_sonames(Shell())
    real = Path(sonames["libstdc++.so.6"]).resolve().name
    assert real != "libstdc++.so.6"
    assert Path(sonames[real]).resolve() == Path(sonames["libstdc++.so.6"]).resolve()
