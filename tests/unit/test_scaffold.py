"""A debian/ for a project that has none."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest
from debian.changelog import Changelog
from debian.copyright import Copyright
from debian.deb822 import Deb822

from venvpkg.control import read_control
from venvpkg.errors import VenvpkgError
from venvpkg.metadata import Metadata, Person
from venvpkg.policy import make_synopsis, package_name
from venvpkg.rehearsal import Inside
from venvpkg.scaffold import (
    Background,
    Draft,
    find_unfinished,
    make_draft,
    render_draft,
    write_files,
)
from venvpkg.spec import Spec

ADA = Person(name="Ada Example", email="ada@example.org")
METADATA = Metadata(
    name="my-app",
    version="1.4rc1",
    summary="A tool that does things.",
    people=(ADA,),
    licence="Apache-2.0",
    urls={"source": "https://github.com/example/my-app.git"},
    classifiers=("Topic :: Database",),
    scripts=("my-app", "my-other"),
)
INSIDE = Inside(
    project=METADATA,
    modules=("my_app",),
    distributions=(("click", "BSD-3-Clause"), ("odd", "")),
    machine_code=False,
    compiles=False,
)


def background(folder: Path, **changes: object) -> Background:
    """What is known beside the metadata."""
    spec = Spec.from_values("my-app", folder, {})
    made = Background(
        folder=folder,
        specs=(spec,),
        inside=(INSIDE,),
        build_depends=("libpng-dev (>= 1.6)",),
        configured=False,
        people=(),
        date=datetime(2026, 11, 2, 12, tzinfo=UTC),
        codename="bookworm",
        service=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def draft(folder: Path, metadata: Metadata = METADATA, **changes: object) -> Draft:
    """The draft for them."""
    return make_draft(metadata, background(folder, **changes))


def control_of(made: dict[str, str]) -> list[Deb822]:
    """The stanzas of debian/control."""
    return list(Deb822.iter_paragraphs(io.StringIO(made["debian/control"]), use_apt_pkg=False))


def test_files_are_read_by_debians_own_parsers(tmp_path: Path) -> None:
    """Control, changelog and copyright are what they should be."""
    made = render_draft(draft(tmp_path))
    write_files(made, tmp_path, force=False)
    source, package = control_of(made)
    assert source["Build-Depends"].split(",\n") == [
        "debhelper-compat (= 13)",
        "               dh-sequence-venvpkg",
        "               python3",
        "               libpng-dev (>= 1.6)",
    ]
    assert (source["Section"], source["Homepage"]) == ("database", "https://github.com/example/my-app.git")
    assert (package["Package"], package["Architecture"]) == ("my-app", "all")
    assert package["Description"].splitlines()[0] == "tool that does things"
    assert read_control(tmp_path / "debian/control").source == "my-app"
    changelog = Changelog(made["debian/changelog"], strict=True)
    assert str(changelog.version) == "1.4~rc1" and changelog.author == str(ADA)
    document = Copyright(io.StringIO(made["debian/copyright"]), strict=True)
    (files,) = document.all_files_paragraphs()
    assert files.license and files.license.synopsis == "Apache-2.0"
    assert "/usr/share/common-licenses/Apache-2.0" in files.license.text
    assert "click: BSD-3-Clause" in str(document.header.comment)
    assert "odd: none declared" in str(document.header.comment)
    assert "https://github.com/example/my-app/tags" in made["debian/watch"]
    assert (tmp_path / "debian/rules").stat().st_mode & 0o111


def test_machine_code_decides_the_architecture(tmp_path: Path) -> None:
    """What was compiled here takes Python's headers; what is not known may be machine code."""
    native = replace(INSIDE, machine_code=True, compiles=True)
    source, package = control_of(render_draft(draft(tmp_path, inside=(native,))))
    assert package["Architecture"] == "any" and "python3-dev" in source["Build-Depends"]
    _, unknown = control_of(render_draft(draft(tmp_path, inside=())))
    assert unknown["Architecture"] == "any"


def test_layers_and_several_packages(tmp_path: Path) -> None:
    """A stanza for each binary package, two for a layered one."""
    one = Spec.from_values("one", tmp_path, {"layers": True})
    two = Spec.from_values("two", tmp_path, {})
    made = render_draft(draft(tmp_path, specs=(one, two), inside=(INSIDE, INSIDE)))
    assert [s.get("Package") for s in control_of(made)] == [None, "one", "one-env", "two"]
    assert made["debian/tests/control"].count("Test-Command") == 4
    # Commands of both can't have one name.
    assert "debian/venvpkg.toml" not in made


def test_service_runs_the_projects_program(tmp_path: Path) -> None:
    """Through its launcher, which says what is missing."""
    made = render_draft(draft(tmp_path, service="my-other --port 80"))
    assert "ExecStart=/usr/bin/my-other --port 80\n" in made["debian/my-app.service"]
    made = render_draft(draft(tmp_path, service="", configured=True))
    assert "ExecStart=/opt/venvs/my-app/bin/my-app\n" in made["debian/my-app.service"]
    for scripts, service in ((("a", "b"), ""), (("a",), "c"), ((), "")):
        with pytest.raises(VenvpkgError) as caught:
            draft(tmp_path, replace(METADATA, scripts=scripts), service=service)
        assert caught.value.code == "service-program-unknown"


def test_description_is_taken_word_for_word(tmp_path: Path) -> None:
    """Neither dpkg nor systemd substitutes anything in it."""
    odd = replace(METADATA, summary="Saves ${HOME} of 50%h")
    made = render_draft(draft(tmp_path, odd, service="my-app"))
    assert "Description: Saves ${}{HOME} of 50%h\n" in made["debian/control"]
    assert "Description=Saves ${HOME} of 50%%h\n" in made["debian/my-app.service"]


def test_developers_makefile_is_left_alone(tmp_path: Path) -> None:
    """Debhelper would run it."""
    assert render_draft(draft(tmp_path))["debian/rules"].endswith("dh $@ --with venvpkg\n")
    (tmp_path / "Makefile").write_text("all:\n")
    made = render_draft(draft(tmp_path))["debian/rules"]
    assert "\tdh $@ --with venvpkg --buildsystem=none --without autoreconf\n" in made
    assert made.count("\n\n\n") == 0


def test_what_is_not_known_is_a_fixme(tmp_path: Path) -> None:
    """It is found again, with file and line."""
    nobody = Metadata(name="my-app")
    write_files(render_draft(draft(tmp_path, nobody, inside=())), tmp_path, force=False)
    found = find_unfinished(tmp_path)
    assert [line.split(": ")[0] for line in found] == [
        "debian/control:4",
        "debian/control:15",
        "debian/changelog:1",
        "debian/changelog:5",
    ]
    for name, text in (("control", "# FIXME: later\n"), ("changelog", "\n  * Closes FIXME: in the docs\n")):
        path = tmp_path / "debian" / name
        path.write_text(text + path.read_text().replace("FIXME", "written"))
    assert find_unfinished(tmp_path) == []


def test_own_programs_are_exposed_unless_the_project_says_which(tmp_path: Path) -> None:
    """A file of ours would take the place of the project's table."""
    made = render_draft(draft(tmp_path))
    assert made["debian/venvpkg.toml"].endswith('expose = ["my-app", "my-other"]\n')
    assert "debian/venvpkg.toml" not in render_draft(draft(tmp_path, configured=True))


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    """All that is in the way is told, and nothing is written."""
    made = render_draft(draft(tmp_path))
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/rules").write_text("mine\n")
    with pytest.raises(VenvpkgError) as caught:
        write_files(made, tmp_path, force=False)
    assert caught.value.code == "debian-exists" and list(caught.value.causes) == ["debian/rules"]
    assert [p.name for p in (tmp_path / "debian").iterdir()] == ["rules"]
    write_files(made, tmp_path, force=True)
    assert (tmp_path / "debian/rules").read_text() == made["debian/rules"]


@pytest.mark.parametrize(
    ("summary", "synopsis"),
    [
        ("The best tool.", "best tool"),
        ("Analyses things", "Analyses things"),
        ("A program.", "program my-app"),
        ("word " * 40, "word word word"),
        ("x" * 200, "x" * 78),
        ("My app.", "My app, a Python application"),
        ("A", ""),
        (".", ""),
    ],
)
def test_synopsis_is_short_and_has_no_article(summary: str, synopsis: str) -> None:
    """Neither has it a stop at its end."""
    made = make_synopsis(summary.strip(), "my-app")
    assert made.startswith(synopsis) and len(made) <= 78


def test_name_of_one_letter_gets_longer() -> None:
    """Debian's have two at least; without a name there is nothing to write."""
    assert package_name("x") == "x-app"
    with pytest.raises(VenvpkgError, match="name is not known") as caught:
        package_name("")
    assert caught.value.code == "name-unknown"


def test_prefix_is_the_configured_one(tmp_path: Path) -> None:
    """In the description and in the tests."""
    spec = Spec.from_values("my-app", tmp_path, {"install-root": "/srv/envs", "env-name": "mine"})
    assert spec.prefix == PurePosixPath("/srv/envs/mine")
    made = render_draft(draft(tmp_path, specs=(spec,)))
    assert "/srv/envs/mine/bin/python -I" in made["debian/tests/control"]
