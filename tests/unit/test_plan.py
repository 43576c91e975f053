"""The plan: every path and every run of the installer, decided before any runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.interpreter import Interpreter
from venvpkg.plan import Install, Move, Plan, make_plan
from venvpkg.spec import Spec

A = "sha256:" + "a" * 64
PYTHON = Interpreter(
    path=Path("/usr/bin/python3.11"),
    version="3.11.2",
    cache_tag="cpython-311",
    stdlib=Path("/usr/lib/python3.11"),
    package="python3.11",
    origin=Path("/usr"),
)


def plan(folder: Path, requirements: str | None = None, known: Any = None, **values: Any) -> Plan:
    """Write requirements, and make a plan from keys with underscores for dashes."""
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    named = {name.replace("_", "-"): value for name, value in values.items()}
    spec = Spec.from_values("app", folder, named, dependency_groups=known)
    return make_plan(spec, PYTHON, folder / "debian" / "app")


def refused(folder: Path, requirements: str | None = None, **values: Any) -> VenvpkgError:
    """The error that such a plan is."""
    with pytest.raises(VenvpkgError) as caught:
        plan(folder, requirements, **values)
    return caught.value


# --- Paths


def test_the_stage_is_the_prefix_inside_the_package(tmp_path: Path) -> None:
    """The rest of the paths lie beside debhelper's own state."""
    made = plan(tmp_path)
    state = tmp_path / "debian/.debhelper/venvpkg/app"
    assert made.prefix == PurePosixPath("/opt/venvs/app")
    assert made.stage == tmp_path / "debian/app/opt/venvs/app"
    assert (made.state, made.aside) == (state, state / "env")
    assert made.workshop.is_relative_to(state)


def test_the_workshop_ends_in_the_prefixs_name(tmp_path: Path) -> None:
    """Activators show it in the prompt."""
    assert plan(tmp_path, env_name="other").workshop.name == "other"


def test_both_moves_lead_to_the_prefix(tmp_path: Path) -> None:
    """From the workshop, and from the stage for what came afterwards."""
    made = plan(tmp_path, install_root="/srv")
    assert made.made == Move(build=PurePosixPath(made.workshop), final=PurePosixPath("/srv/app"))
    assert made.move == Move(build=PurePosixPath(made.stage), final=PurePosixPath("/srv/app"))


# --- Runs of the installer


def test_the_project_and_its_requirements_are_one_run(tmp_path: Path) -> None:
    """One resolution sees both."""
    (install,) = plan(tmp_path, "flask\n").installs
    assert (install.project, install.files) == (True, (tmp_path / "requirements.txt",))
    assert (install.dependencies, install.hashes, install.settings) == (True, False, None)


def test_a_project_without_requirements_is_one_run(tmp_path: Path) -> None:
    """Its own dependencies are all there is."""
    (install,) = plan(tmp_path).installs
    assert (install.project, install.files, install.lines) == (True, (), ())


def test_hashes_hold_for_the_requirements_and_never_for_the_project(tmp_path: Path) -> None:
    """It is built here, and has none; its dependencies are all pinned."""
    requirements, project = plan(tmp_path, f"flask==3 --hash={A}\n").installs
    assert (requirements.hashes, requirements.project, requirements.dependencies) == (True, False, True)
    assert (project.hashes, project.project, project.dependencies) == (False, True, False)


def test_what_has_a_hash_is_held_to_it(tmp_path: Path) -> None:
    """Before the rest is asked for: pip refuses hashes on some lines alone."""
    first, install = plan(tmp_path, f"flask==3 --hash={A}\nlxml==5\n").installs
    assert (first.hashes, first.dependencies, first.lines) == (True, False, (f"flask==3 --hash={A}",))
    assert (install.hashes, install.files, install.lines) == (False, (), ("flask==3", "lxml==5"))


def test_hashes_that_are_asked_for_and_missing_are_an_error(tmp_path: Path) -> None:
    """With the lines that lack one."""
    error = refused(tmp_path, f"flask==3 --hash={A}\nlxml==5\n", require_hashes=True)
    assert (error.code, list(error.causes)) == ("hashes-missing", ["lxml==5"])


def test_hashes_that_are_asked_for_without_requirements_are_an_error(tmp_path: Path) -> None:
    """Nothing would be checked."""
    assert refused(tmp_path, require_hashes=True).code == "hashes-missing"


def test_hashes_can_be_turned_off(tmp_path: Path) -> None:
    """For once."""
    (install,) = plan(tmp_path, f"flask==3 --hash={A}\n", require_hashes=False).installs
    assert not install.hashes


def test_groups_join_the_requirements(tmp_path: Path) -> None:
    """As lines of a file of their own."""
    (install,) = plan(tmp_path, "flask\n", {"web": ["gunicorn"]}, groups=["web"]).installs
    assert (install.lines, install.project) == (("gunicorn",), True)


def test_groups_do_not_turn_hashes_off(tmp_path: Path) -> None:
    """A group has no hashes; the requirements keep theirs, in a run of their own."""
    made = plan(tmp_path, f"flask==3 --hash={A}\n", {"web": ["gunicorn"]}, groups=["web"])
    first, second, project = made.installs
    assert (first.files, first.lines, first.hashes) == ((tmp_path / "requirements.txt",), (), True)
    assert (second.files, second.lines, second.hashes) == ((), ("gunicorn",), False)
    assert project.project


def test_a_named_file_replaces_those_found(tmp_path: Path) -> None:
    """An empty list is none at all."""
    (tmp_path / "other.txt").write_text("lxml\n", encoding="utf-8")
    named = Spec.from_values("app", tmp_path, {"requirements": ["other.txt"]})
    assert make_plan(named, PYTHON, tmp_path).requirements.names == {"lxml"}
    none = Spec.from_values("app", tmp_path, {"requirements": []})
    assert make_plan(none, PYTHON, tmp_path).requirements.files == ()


def test_requirements_alone_are_one_run(tmp_path: Path) -> None:
    """The project is left out."""
    (install,) = plan(tmp_path, "flask\n", project=False).installs
    assert (install.project, install.title) == (False, "the requirements")


def test_hashed_requirements_alone_are_one_run(tmp_path: Path) -> None:
    """There is no project to follow."""
    (install,) = plan(tmp_path, f"flask==3 --hash={A}\n", project=False).installs
    assert (install.project, install.hashes) == (False, True)


def test_nothing_to_install_is_an_error(tmp_path: Path) -> None:
    """Neither project nor requirement; an empty file is none."""
    assert refused(tmp_path, project=False).code == "nothing-to-install"
    assert refused(tmp_path, "# empty\n", project=False).code == "nothing-to-install"


def test_a_group_or_a_preinstall_is_something(tmp_path: Path) -> None:
    """Each alone."""
    assert plan(tmp_path, None, {"g": ["x"]}, project=False, groups=["g"]).installs[-1].lines == ("x",)
    assert plan(tmp_path, project=False, preinstall=["x"]).installs[0].lines == ("x",)


def test_preinstall_comes_first(tmp_path: Path) -> None:
    """Builds without isolation need it."""
    made = plan(tmp_path, "flask\n", preinstall=["setuptools", "cython<4"], build_isolation=False)
    assert [i.title for i in made.installs] == ["preinstall", "the project and its requirements"]
    assert made.installs[0].lines == ("setuptools", "cython<4")


def test_constraints_hold_for_every_run(tmp_path: Path) -> None:
    """By whole paths."""
    made = plan(
        tmp_path,
        f"pillow==11 --hash={A}\n",
        constraints=["c.txt"],
        preinstall=["x"],
        config_settings={"pillow": {"a": "b"}},
    )
    assert len(made.installs) == 4
    assert {i.constraints for i in made.installs} == {(tmp_path / "c.txt",)}


def test_settings_give_a_distribution_a_run_of_its_own(tmp_path: Path) -> None:
    """For pip hands them to every build of a run."""
    made = plan(tmp_path, "Pillow==11\nflask\n", config_settings={"pillow": {"freetype": ["enable", "x"]}})
    first, rest = made.installs
    assert first.lines == ("Pillow==11",)
    assert (first.dependencies, first.settings) == (False, {"freetype": ("enable", "x")})
    assert (rest.settings, rest.project) == (None, True)


def test_a_hashed_distribution_with_settings_keeps_its_hashes(tmp_path: Path) -> None:
    """They are checked in that run too."""
    first, *_ = plan(tmp_path, f"pillow==11 --hash={A}\n", config_settings={"pillow": {"a": "b"}}).installs
    assert (first.hashes, first.lines) == (True, (f"pillow==11 --hash={A}",))


def test_a_distribution_that_is_pinned_twice_keeps_both_pins(tmp_path: Path) -> None:
    """Markers choose between them; taking one of them could take neither."""
    text = "pillow==10; python_version < '3.9'\npillow==11; python_version >= '3.9'\nflask\n"
    first, *_ = plan(tmp_path, text, config_settings={"pillow": {"a": "b"}}).installs
    assert first.lines == tuple(text.splitlines()[:2])


def test_settings_of_the_project_give_it_a_run_of_its_own(tmp_path: Path) -> None:
    """After the requirements."""
    requirements, project = plan(tmp_path, "flask\n", config_settings={"app": {"a": "b"}}).installs
    assert (requirements.project, requirements.settings) == (False, None)
    assert (project.project, project.settings, project.dependencies) == (True, {"a": ("b",)}, True)


def test_every_run_has_a_title(tmp_path: Path) -> None:
    """Messages name it."""
    made = plan(
        tmp_path, f"pillow==11 --hash={A}\n", preinstall=["x"], config_settings={"pillow": {"a": "b"}}
    )
    assert all(install.title for install in made.installs)
    assert len({install.title for install in made.installs}) == len(made.installs)


def test_an_install_asks_for_nothing_by_itself() -> None:
    """Defaults: dependencies, and no hashes."""
    install = Install(title="x")
    assert (install.dependencies, install.hashes, install.project, install.settings) == (
        True,
        False,
        False,
        None,
    )
