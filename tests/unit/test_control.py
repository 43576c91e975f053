"""debian/control and debian/changelog, as they are written and as they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from venvpkg.control import format_relations, read_control, read_upstream_version, relation_names
from venvpkg.errors import VenvpkgError
from venvpkg.process import Shell

CONTROL = """\
# A comment before everything.
Source: app
Maintainer: A Developer <a@example.org>
Build-Depends: debhelper-compat (= 13),
# a comment inside a field
               libpng-dev (>= 1.6) | libpng-old,
               python3:any,
Build-Depends-Indep: python3-sphinx

Package: app
Architecture: any
Depends: ${misc:Depends}, ${shlibs:Depends}
Description: an application
 With a long text.
 .
 And another part.

# A comment between stanzas.
Package: app-doc
Architecture: all
Description: its documentation
"""


def write(folder: Path, text: str | bytes, name: str = "control") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(folder: Path, text: str | bytes) -> VenvpkgError:
    """The error that such a control file is."""
    with pytest.raises(VenvpkgError) as caught:
        read_control(write(folder, text))
    return caught.value


def test_source_and_packages_are_read(tmp_path: Path) -> None:
    """Names, architectures and fields, in order."""
    control = read_control(write(tmp_path, CONTROL))
    assert control.source == "app"
    assert [(p.name, p.architecture, p.is_arch_all) for p in control.packages] == [
        ("app", "any", False),
        ("app-doc", "all", True),
    ]
    assert control.packages[0].fields["Depends"] == "${misc:Depends}, ${shlibs:Depends}"


def test_build_dependencies_of_all_kinds_are_joined(tmp_path: Path) -> None:
    """Comments and a comma at the end are no clauses."""
    found = relation_names(read_control(write(tmp_path, CONTROL)).build_depends)
    assert found == [["debhelper-compat"], ["libpng-dev", "libpng-old"], ["python3"], ["python3-sphinx"]]


def test_a_package_with_a_list_of_architectures_is_not_all(tmp_path: Path) -> None:
    """Only the word itself."""
    text = "Source: x\n\nPackage: x\nArchitecture: amd64 arm64\n"
    (package,) = read_control(write(tmp_path, text)).packages
    assert (package.architecture, package.is_arch_all) == ("amd64 arm64", False)


def test_names_of_fields_may_have_any_case(tmp_path: Path) -> None:
    """Policy §5.1; Build-depends is a common one."""
    text = "source: x\nBuild-depends: a\n\npackage: x\narchitecture: all\nrecommends: ${misc:Recommends}\n"
    control = read_control(write(tmp_path, text))
    assert (control.source, control.build_depends) == ("x", "a")
    assert control.packages[0].fields["Recommends"] == "${misc:Recommends}"


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    """As dpkg does."""
    control = read_control(write(tmp_path, CONTROL.replace("\n", "\r\n")))
    assert [p.name for p in control.packages] == ["app", "app-doc"]


def test_a_missing_control_file_is_told_with_its_path(tmp_path: Path) -> None:
    """From the wrong folder, mostly."""
    with pytest.raises(VenvpkgError) as caught:
        read_control(tmp_path / "control")
    assert (caught.value.code, str(tmp_path) in caught.value.message) == ("control-missing", True)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "Package: x\n", "no field at all\n", "Maintainer: x\n"]
)
def test_a_file_without_source_is_invalid(text: str, tmp_path: Path) -> None:
    """Whatever else is in it."""
    assert refused(tmp_path, text).code == "control-invalid"


def test_a_file_that_is_no_utf8_is_invalid(tmp_path: Path) -> None:
    """Policy §5.1 wants it; the line of the hint makes it so."""
    error = refused(tmp_path, b"Source: x\nMaintainer: Caf\xe9 <a@b.c>\n")
    assert error.code == "control-invalid"
    Shell()(["sh", "-c", error.hint.partition(": ")[2]])
    (path,) = tmp_path.iterdir()
    assert "Café" in path.read_text(encoding="utf-8")


def test_a_source_alone_has_no_packages(tmp_path: Path) -> None:
    """Odd, and readable."""
    control = read_control(write(tmp_path, "Source: x\n"))
    assert (control.packages, control.build_depends) == ((), "")


# --- Changelog


@pytest.mark.parametrize(
    ("written", "upstream"),
    [
        ("1.2.3-1", "1.2.3"),
        ("1:2.0-3~bpo12+1", "2.0"),
        ("2024.1", "2024.1"),
        ("1.0~rc1-1", "1.0~rc1"),
        ("1-2-3", "1-2"),
    ],
)
def test_the_upstream_version_has_neither_epoch_nor_revision(
    written: str, upstream: str, tmp_path: Path
) -> None:
    """Of the newest entry."""
    entry = "app ({}) unstable; urgency=medium\n\n  * X.\n\n -- A <a@b.c>  Thu, 02 Jan 2025 03:04:05 +0000\n"
    text = entry.format(written) + "\n" + entry.format("0.1-1")
    assert read_upstream_version(write(tmp_path, text, "changelog")) == upstream


@pytest.mark.parametrize("text", [b"", b"nothing\n", b"app (1.0\n", b"\xff\xfe\n"])
def test_a_changelog_without_version_is_told(text: bytes, tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(VenvpkgError) as caught:
        read_upstream_version(write(tmp_path, text, "changelog"))
    assert caught.value.code == "changelog-invalid"


def test_a_missing_changelog_is_told(tmp_path: Path) -> None:
    """The same way."""
    with pytest.raises(VenvpkgError) as caught:
        read_upstream_version(tmp_path / "changelog")
    assert caught.value.code == "changelog-invalid"


# --- Relations


@pytest.mark.parametrize(
    ("relations", "names"),
    [
        ("", []),
        (" , ", []),
        ("a", [["a"]]),
        ("a (>= 1), b | c (<< 2) [amd64] <!nocheck>, d:any", [["a"], ["b", "c"], ["d"]]),
        ("python3.11, libc6 (>= 2.36)", [["python3.11"], ["libc6"]]),
        ("a,\n b,", [["a"], ["b"]]),
    ],
)
def test_names_of_a_relationship_field(relations: str, names: list[list[str]]) -> None:
    """A list of alternatives for each clause."""
    assert relation_names(relations) == names


def test_clauses_are_joined_once_each() -> None:
    """Blanks inside them are one blank."""
    assert format_relations(["a (>=  1)", "b", "a (>= 1)"]) == "a (>= 1), b"
    assert format_relations([]) == ""
