"""System build dependencies: what is missing, how to get it, and debian/control brought in line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from debian.deb822 import Deb822

from venvpkg.builddeps import (
    Wanted,
    absent_from_control,
    apt_line,
    expand_sources,
    find_missing,
    install,
    is_really_root,
    require_build_depends,
    with_sources_line,
    with_sources_stanza,
    write_control,
)
from venvpkg.control import read_control, relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.process import Shell
from venvpkg.spec import Spec

CONTROL = """\
# Copyright somebody.
Source: app
Section: misc
# why debhelper
Build-Depends:
 debhelper-compat (= 13),
# the picture library
 libpng-dev (>= 1.0),
 dh-sequence-venvpkg,
Maintainer: A Developer <a@example.org>

Package: app
Architecture: any
# kept as well
Depends: ${misc:Depends}
Description: x
"""
ABSENT = "no-such-package-on-any-machine"
ONE_SOURCE = """\
Package: wren
Binary: wren
Version: 1.0
Maintainer: A Developer <developer@example.org>
Build-Depends: debhelper-compat (= 13), libwren-dev
Architecture: any
Format: 3.0 (native)
Directory: .
"""
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-checkbuilddeps"), reason="there is no dpkg-dev")


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """A control file with comments in awkward places."""
    path = tmp_path / "debian" / "control"
    path.parent.mkdir()
    path.write_text(CONTROL, encoding="utf-8")
    return path


def clauses(path: Path) -> list[list[str]]:
    """The names in Build-Depends."""
    return relation_names(read_control(path).build_depends)


# --- debian/control


def test_what_is_there_is_not_absent(control: Path) -> None:
    """Blanks make no difference; another version does."""
    wanted = ("debhelper-compat (=13)", "libpng-dev  (>=  1.0)", "libpng-dev (>= 1.6)", "x")
    assert absent_from_control(wanted, control) == ("libpng-dev (>= 1.6)", "x")


def test_what_is_all_there_leaves_the_file_alone(control: Path) -> None:
    """Not a byte is written."""
    before = control.stat().st_mtime_ns
    assert write_control(("libpng-dev (>= 1.0)",), control) == ()
    assert (control.read_text(encoding="utf-8"), control.stat().st_mtime_ns) == (CONTROL, before)


def test_new_clauses_are_added_and_all_else_stays(control: Path) -> None:
    """Comments, order and layout."""
    assert write_control(("liblapack-dev", "libfreetype-dev (>= 2)"), control) == (
        "liblapack-dev",
        "libfreetype-dev (>= 2)",
    )
    text = control.read_text(encoding="utf-8")
    assert [line for line in CONTROL.splitlines() if line not in text.splitlines()] == []
    assert clauses(control)[-2:] == [["liblapack-dev"], ["libfreetype-dev"]]
    assert [p.name for p in read_control(control).packages] == ["app"]


@pytest.mark.parametrize(
    ("field", "after"),
    [
        ("Build-Depends: aa, bb", "Build-Depends: aa, bb, cc, dd"),
        ("Build-Depends:\n aa,\n bb", "Build-Depends:\n aa,\n bb,\n cc,\n dd"),
        ("Build-Depends:\n aa,\n# why\n bb,", "Build-Depends:\n aa,\n# why\n bb,\n cc,\n dd"),
        ("Build-Depends: aa,", "Build-Depends: aa,\n cc,\n dd"),
    ],
)
def test_new_clauses_stand_as_the_others_do(field: str, after: str, control: Path) -> None:
    """On one line, or on a line each."""
    control.write_text(f"Source: x\n{field}\nPriority: optional\n\nPackage: x\n", encoding="utf-8")
    write_control(("cc", "dd"), control)
    assert control.read_text(encoding="utf-8") == f"Source: x\n{after}\nPriority: optional\n\nPackage: x\n"


def test_writing_twice_is_writing_once(control: Path) -> None:
    """The second time there is nothing to do."""
    wanted = ("liblapack-dev", "libpng-dev (>= 1.6)", "a | b [amd64] <!nocheck>")
    write_control(wanted, control)
    text = control.read_text(encoding="utf-8")
    assert write_control(wanted, control) == ()
    assert control.read_text(encoding="utf-8") == text


def test_another_version_of_a_package_is_replaced(control: Path) -> None:
    """In its place, with its comment."""
    assert write_control(("libpng-dev (>= 1.6)",), control) == ("libpng-dev (>= 1.6)",)
    lines = control.read_text(encoding="utf-8").splitlines()
    assert lines[lines.index("# the picture library") + 1] == " libpng-dev (>= 1.6),"
    assert "1.0" not in "\n".join(lines)


def test_alternatives_replace_the_plain_name(control: Path) -> None:
    """The first name tells which clause."""
    write_control(("libpng-dev | libpng16-dev",), control)
    assert ["libpng-dev", "libpng16-dev"] in clauses(control)
    assert ["libpng-dev"] not in clauses(control)


def test_a_range_of_two_clauses_is_kept(control: Path) -> None:
    """Neither bound takes the other's place."""
    wanted = ("libpng-dev (>= 1.6)", "libpng-dev (<< 2)")
    write_control(wanted, control)
    assert absent_from_control(wanted, control) == ()


def test_a_missing_field_is_made(control: Path) -> None:
    """In the source's stanza."""
    control.write_text(
        "Source: x\nMaintainer: A <a@b.c>\n\nPackage: x\nArchitecture: all\n", encoding="utf-8"
    )
    write_control(("a", "b (>= 1)"), control)
    assert clauses(control) == [["a"], ["b"]]
    assert [p.fields.get("Build-Depends") for p in read_control(control).packages] == [None]


def test_a_field_on_one_line_stays_readable(control: Path) -> None:
    """Added at its end."""
    control.write_text(
        "Source: x\nBuild-Depends: debhelper-compat (= 13), a\n\nPackage: x\n", encoding="utf-8"
    )
    write_control(("b",), control)
    assert clauses(control) == [["debhelper-compat"], ["a"], ["b"]]
    assert Deb822(control.read_text(encoding="utf-8"))["Source"] == "x"


def test_clauses_of_the_other_fields_count(control: Path) -> None:
    """Build-Depends-Arch and -Indep are Build-Depends too."""
    control.write_text(
        "Source: x\nBuild-Depends: a\nBuild-Depends-Arch: b\nBuild-Depends-Indep: c\n", encoding="utf-8"
    )
    assert absent_from_control(("a", "b", "c", "d"), control) == ("d",)


def test_a_package_without_build_depends_has_none(control: Path) -> None:
    """All are absent."""
    control.write_text("Source: x\n\nPackage: x\n", encoding="utf-8")
    assert absent_from_control(("a",), control) == ("a",)


# --- What is installed


@needs_dpkg
def test_missing_clauses_are_found_by_dpkg() -> None:
    """Installed, absent, too old, one of two alternatives, and virtual."""
    wanted = [
        "dpkg-dev",
        ABSENT,
        "dpkg-dev (>= 99)",
        f"{ABSENT} | dpkg-dev",
        f"{ABSENT} <!nocheck>",
        "dpkg-dev [hurd-i386]",
    ]
    assert find_missing(wanted, Shell()) == (ABSENT, "dpkg-dev (>= 99)", f"{ABSENT} <!nocheck>")


@needs_dpkg
def test_what_dpkg_does_not_understand_is_told() -> None:
    """With the clause."""
    with pytest.raises(VenvpkgError) as caught:
        find_missing(["dpkg-dev (oops"], Shell())
    assert (caught.value.code, "dpkg-dev (oops" in caught.value.message) == ("relation-invalid", True)


def test_nothing_wanted_is_nothing_missing() -> None:
    """Nor is dpkg asked: it may not be there."""
    assert find_missing([], Shell()) == ()


def test_plain_names_are_installed_by_name() -> None:
    """The shortest line that works."""
    assert apt_line(["a", "b"]) == "apt-get install --no-install-recommends a b"


def test_other_clauses_are_satisfied() -> None:
    """apt-get satisfy knows versions and alternatives; the line works when pasted."""
    line = apt_line(["a (>= 1)", "b | c"])
    assert line == "apt-get satisfy --no-install-recommends 'a (>= 1), b | c'"
    assert Shell()(["sh", "-c", f"set -- {line}; echo $#"]).stdout == "4\n"


def test_fakeroot_is_not_root() -> None:
    """Its user id says 0, and apt fails."""
    assert not is_really_root({"FAKEROOTKEY": "1"})
    assert is_really_root({}) == (os.geteuid() == 0)


def test_wanted_is_what_all_environments_declare() -> None:
    """Each clause once, whatever its blanks."""
    one = Spec.from_values(
        "a", Path("/s"), {"build-depends": ["one (>=  1)", "two"], "build-depends-of": ["scipy"]}
    )
    two = Spec.from_values(
        "b", Path("/s"), {"build-depends": ["one (>= 1)", "three"], "build-depends-of": ["scipy"]}
    )
    assert Wanted.of([one, two]) == Wanted(relations=("one (>= 1)", "two", "three"), sources=("scipy",))


@needs_dpkg
def test_a_build_stops_where_something_is_missing(control: Path) -> None:
    """With the line that installs it."""
    spec = Spec.from_values("app", control.parents[1], {"build-depends": ["dpkg-dev", ABSENT]})
    with pytest.raises(VenvpkgError) as caught:
        require_build_depends(spec, Shell(), os.environ)
    assert (caught.value.code, caught.value.hint) == ("build-depends-missing", apt_line([ABSENT]))
    assert ABSENT in caught.value.causes[0]


@needs_dpkg
def test_under_fakeroot_a_build_says_why_it_installs_nothing(control: Path) -> None:
    """install-build-depends is on, and this is not root."""
    values = {"build-depends": [ABSENT], "install-build-depends": True}
    with pytest.raises(VenvpkgError) as caught:
        require_build_depends(
            Spec.from_values("app", control.parents[1], values), Shell(), {**os.environ, "FAKEROOTKEY": "1"}
        )
    assert "fakeroot" in "\n".join(caught.value.causes)


@needs_dpkg
def test_a_control_file_that_differs_is_told(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The build goes on, with a warning that names the clause."""
    spec = Spec.from_values(
        "app", control.parents[1], {"build-depends": ["dpkg-dev", "libpng-dev (>= 1.0) | dpkg"]}
    )
    require_build_depends(spec, Shell(), os.environ)
    said = capsys.readouterr().err
    assert "dpkg-dev" in said
    assert "--write-control" in said


def test_installing_without_root_says_so() -> None:
    """And prints the line for someone who is."""
    with pytest.raises(VenvpkgError) as caught:
        install(Wanted(relations=("a",), sources=()), Shell(), {"FAKEROOTKEY": "1", "PATH": ""}, sudo=True)
    assert (caught.value.code, caught.value.hint) == ("root-needed", apt_line(["a"]))


@pytest.fixture
def own_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt that knows one source package and no binary one, and that changes nothing."""
    if not shutil.which("apt-get"):
        pytest.skip("there is no apt")
    top = tmp_path / "apt"
    for name in ("parts", "lists/partial", "archive"):
        (top / name).mkdir(parents=True)
    (top / "archive/Sources").write_text(ONE_SOURCE)
    (top / "sources.list").write_text(f"deb-src [trusted=yes] file:{top}/archive ./\n")
    (top / "status").touch()
    (top / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{top}/sources.list";\nDir::Etc::sourceparts "{top}/parts";\n'
        f'Dir::State::lists "{top}/lists";\nDir::State::status "{top}/status";\n'
        f'Dir::Cache::pkgcache "{top}/pkgcache.bin";\nDir::Cache::srcpkgcache "{top}/srcpkgcache.bin";\n'
        'APT::Sandbox::User "root";\nAPT::Get::Simulate "true";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(top / "apt.conf"))
    return top


@pytest.mark.skipif(os.geteuid() != 0, reason="installing takes root")
@pytest.mark.usefixtures("own_apt")
def test_what_apt_says_is_quoted() -> None:
    """Where it cannot install."""
    with pytest.raises(VenvpkgError) as caught:
        install(Wanted(relations=(ABSENT,), sources=()), Shell(), {}, sudo=False)
    assert caught.value.code == "apt-failed"
    assert ABSENT in "\n".join(caught.value.causes)


# --- Source indexes


@pytest.mark.usefixtures("own_apt")
def test_source_package_that_apt_does_not_know_is_named() -> None:
    """One that it knows is what that builds with, without debhelper."""
    Shell()(["apt-get", "-o", "APT::Get::Simulate=false", "update", "-q"])
    assert expand_sources(["wren"], Shell()) == ("libwren-dev",)
    with pytest.raises(VenvpkgError) as caught:
        expand_sources(["wren", ABSENT], Shell())
    assert caught.value.code == "source-not-found"
    assert ABSENT in caught.value.message


def test_each_deb_line_gets_a_deb_src_line() -> None:
    """Options and components stay; comments and other lines go."""
    text = "# x\ndeb [signed-by=/k] http://m/debian bookworm main contrib\n"
    text += "#deb http://no no no\ndeb-src http://old old main\n"
    assert with_sources_line(text).splitlines() == [
        "deb [signed-by=/k] http://m/debian bookworm main contrib",
        "deb-src [signed-by=/k] http://m/debian bookworm main contrib",
    ]


def test_blanks_of_any_kind_separate_words() -> None:
    """sources.list(5) takes tabs."""
    assert with_sources_line("  deb\thttp://m/debian\tsid main\n").splitlines() == [
        "deb\thttp://m/debian\tsid main",
        "deb-src\thttp://m/debian\tsid main",
    ]


def test_an_empty_list_stays_empty() -> None:
    """A machine that has .sources files alone."""
    assert with_sources_line("").strip() == ""


STANZAS = """\
# a comment
Types: deb
URIs: http://m/debian
Suites: trixie trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb-src
URIs: http://only-sources
Suites: x
Components: main

Types: deb deb-src
URIs: http://both
Suites: y
Components: main

Enabled: No
Types: deb
URIs: http://off
Suites: z
Components: main
"""


def test_each_stanza_has_both_types() -> None:
    """One that is switched off stays off; a key inside stays whole."""
    found = list(Deb822.iter_paragraphs(with_sources_stanza(STANZAS), use_apt_pkg=False))
    assert [(s["URIs"], s["Types"]) for s in found] == [
        ("http://m/debian", "deb deb-src"),
        ("http://both", "deb deb-src"),
    ]
    assert "abc" in found[0]["Signed-By"]
    assert " .\n" in with_sources_stanza(STANZAS)


@pytest.mark.parametrize("word", ["no", "No", "false", "off", "0", "disable", "without"])
def test_every_word_for_no_switches_a_stanza_off(word: str) -> None:
    """Those that apt knows."""
    assert with_sources_stanza(f"Types: deb\nEnabled: {word}\nURIs: http://m\nSuites: x\n").strip() == ""
