"""What a project says of itself."""

from __future__ import annotations

from email.parser import HeaderParser
from pathlib import Path

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.metadata import Metadata, Person, find_licence_files

WHOLE = {
    "project": {
        "name": "My.App",
        "version": "1.4",
        "description": "Does\n  things",
        "authors": [{"name": "Ada", "email": "ada@example.org"}],
        "maintainers": [{"email": "team@example.org"}],
        "license": {"text": "MIT"},
        "urls": {"Source Code": "https://github.com/example/my-app"},
        "scripts": {"my-app": "my_app:main"},
        "gui-scripts": {"my-window": "my_app:show"},
        "classifiers": ["Topic :: Database"],
    }
}
HEADERS = """\
Metadata-Version: 2.4
Name: My.App
Version: 1.4
Summary: Does things
Author: Ada Example
Author-email: ada@example.org
Maintainer-email: Team <team@example.org>
Home-page: https://my-app.example.org
Project-URL: Source, https://github.com/example/my-app
License-File: LICENSE
Classifier: Topic :: Database
"""


def test_table_is_read() -> None:
    """Names are normalized, maintainers come before authors."""
    found = Metadata.from_pyproject(WHOLE)
    assert (found.name, found.version, found.summary) == ("my-app", "1.4", "Does things")
    assert [str(person) for person in found.people] == ["team <team@example.org>", "Ada <ada@example.org>"]
    assert found.homepage == "https://github.com/example/my-app"
    assert found.scripts == ("my-app", "my-window")
    assert found.licence == "MIT"


@pytest.mark.parametrize(
    ("told", "licence"),
    [
        ({"license": "Apache-2.0 OR MIT"}, "Apache-2.0 OR MIT"),
        ({"license": {"file": "COPYING"}}, ""),
        ({"license": {"text": "Permission is\nhereby granted"}}, ""),
        ({"classifiers": ["License :: OSI Approved :: MIT License"]}, "MIT License"),
    ],
)
def test_licence_is_told_in_several_places(told: dict[str, object], licence: str) -> None:
    """A whole text is none."""
    assert Metadata.from_pyproject({"project": told}).licence == licence


def test_poetrys_own_table_is_read() -> None:
    """As far as it means the same."""
    table = {
        "name": "Old_App",
        "version": "1.2",
        "description": "An old one",
        "authors": ["A <a@example.org>"],
    }
    told = Metadata.from_pyproject({"tool": {"poetry": table}})
    assert (told.name, told.version, told.summary) == ("old-app", "1.2", "An old one")


def test_every_mistake_is_told_at_once() -> None:
    """None of them is a traceback."""
    wrong = {
        "name": "-x",
        "version": 1,
        "authors": ["Ada"],
        "urls": [],
        "classifiers": "x",
        "license": 3,
        "scripts": {"a": 1},
    }
    with pytest.raises(VenvpkgError) as caught:
        Metadata.from_pyproject({"project": wrong})
    assert caught.value.code == "project-invalid"
    assert len(caught.value.causes) == len(wrong)
    with pytest.raises(VenvpkgError, match=r"\[project\]"):
        Metadata.from_pyproject({"project": []})


def test_headers_are_read() -> None:
    """Those of older back ends too, which have a name and an address in fields of their own."""
    found = Metadata.from_headers(HeaderParser().parsestr(HEADERS), "MIT", ["my-app"])
    assert found.people == (
        Person(name="Team", email="team@example.org"),
        Person(name="Ada Example", email="ada@example.org"),
    )
    assert found.homepage == "https://my-app.example.org"
    assert found.urls["source"] == "https://github.com/example/my-app"
    assert Metadata.from_headers(HeaderParser().parsestr(""), "UNKNOWN", []) == Metadata()


def test_what_is_missing_comes_from_the_other() -> None:
    """What is there stays."""
    one = Metadata(name="a", summary="")
    assert one.completed(Metadata(name="b", summary="s", version="1")) == Metadata(
        name="a", summary="s", version="1"
    )


def test_maintainer_has_no_comma() -> None:
    """It would begin another address."""
    assert str(Person(name="Example, Inc.", email="x@example.org")) == "Example Inc. <x@example.org>"


def test_licence_files_stay_inside_the_project(tmp_path: Path) -> None:
    """Those that it names, or those of the usual names."""
    (tmp_path / "LICENSE.txt").write_text("x")
    (tmp_path / "own").write_text("x")
    assert find_licence_files(tmp_path, Metadata()) == [tmp_path / "LICENSE.txt"]
    (tmp_path / "LICENSES/more").mkdir(parents=True)
    (tmp_path / "LICENSES/more/MIT.txt").touch()
    assert find_licence_files(tmp_path, Metadata(licence_files=("LICENSES/**", "**LICENSE", ""))) == [
        tmp_path / "LICENSES/more/MIT.txt"
    ]
    assert find_licence_files(tmp_path, Metadata(licence_files=("own", "/etc/passwd", "../x"))) == [
        tmp_path / "own"
    ]
