"""Maintainer scripts: rendered, checked by the shell and by shellcheck, and really run in a test's folder."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import venvpkg as about
from venvpkg.interpreter import Interpreter
from venvpkg.maintscripts import EARLY, LATE, render, render_launcher, render_overrides
from venvpkg.plan import Plan, make_plan
from venvpkg.process import Result, Shell
from venvpkg.spec import Spec

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="there is no dpkg")


def plan(package: str = "app", minor: str = "3.11", **values: object) -> Plan:
    """A plan for a package; keys have underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in values.items()}
    interpreter = Interpreter(
        path=Path(f"/usr/bin/python{minor}"),
        version=f"{minor}.2",
        cache_tag="cpython-311",
        stdlib=Path("/usr/lib/python3.11"),
        package=f"python{minor}",
        origin=Path("/usr"),
    )
    return make_plan(
        Spec.from_values(package, Path("/nowhere"), named), interpreter, Path("/nowhere/debian/x")
    )


def scripts(made: Plan, codename: str = "bookworm", layer: str = "whole") -> dict[str, str]:
    """The snippets by script, as debhelper puts them under a shebang and set -e."""
    found = render(made, codename, (*LATE, *EARLY), layer)
    return {s.script: f"#!/bin/sh\nset -e\n{s.text}" for s in found}


AWKWARD = {
    "plain": plan(),
    "a name with regular expression's characters": plan("python3-a+b.c"),
    "a root with every sign": plan(install_root="/opt/a_b.c+d~e@f%g=h,i-j"),
    "a root in /usr/lib": plan(install_root="/usr/lib/venvs", env_name="x"),
    "bytecode on the server": plan(bytecode="install"),
}
EACH = pytest.mark.parametrize("made", AWKWARD.values(), ids=AWKWARD)


@EACH
@pytest.mark.parametrize("codename", ["", "bookworm", "it's"])
def test_every_script_parses(made: Plan, codename: str) -> None:
    """POSIX sh reads it without running it."""
    found = scripts(made, codename)
    assert tuple(found) == (*LATE, *EARLY)
    for text in (*found.values(), render_launcher(made, "run-it")):
        Shell()(["/bin/sh", "-n"], stdin=text)


@EACH
def test_shellcheck_finds_nothing(made: Plan) -> None:
    """With awkward names as with plain ones."""
    if not shutil.which("shellcheck"):
        pytest.skip("there is no shellcheck")
    for text in (*scripts(made).values(), render_launcher(made, "run")):
        # SC2194: with its values filled in, a word that a template compares is constant.
        Shell()(["shellcheck", "--shell=sh", "--exclude=SC2194", "-"], stdin=text)


@EACH
def test_nothing_is_done_under_dpkg_root(made: Plan) -> None:
    """A foreign root is not ours to start things in: no program is found, and none is missed."""
    for text in scripts(made).values():
        for action in ("configure", "triggered", "remove", "purge", "upgrade"):
            result = Shell()(
                ["/bin/sh", "-s", action], stdin=text, env={"DPKG_ROOT": "/x", "PATH": "/nonexistent"}
            )
            assert (result.stdout, result.lines) == ("", ())


@pytest.mark.parametrize("layer", ["upper", "lower"])
@pytest.mark.parametrize("bytecode", ["build", "install", "none"])
def test_scripts_of_both_layers_are_as_sound(layer: str, bytecode: str) -> None:
    """They parse, shellcheck finds nothing, and nothing is done under DPKG_ROOT."""
    found = scripts(plan("python3-a+b.c", layers=True, bytecode=bytecode), layer=layer)
    for text in found.values():
        Shell()(["/bin/sh", "-n"], stdin=text)
        if shutil.which("shellcheck"):
            Shell()(["shellcheck", "--shell=sh", "--exclude=SC2194", "-"], stdin=text)
        for action in ("configure", "triggered", "remove", "purge", "upgrade"):
            settings = {"DPKG_ROOT": "/x", "PATH": "/nonexistent"}
            result = Shell()(["/bin/sh", "-s", action], stdin=text, env=settings)
            assert (result.stdout, result.lines) == ("", ())


def test_layers_do_not_share_what_they_remember() -> None:
    """Each finds its own notes after an interruption, and only the lower one looks after the interpreter."""
    made = plan(layers=True)
    upper, lower = (scripts(made, layer=layer) for layer in ("upper", "lower"))
    assert "/opt/venvs/app/.upgrade-env" not in "".join(upper.values())
    assert "/opt/venvs/app/.upgrade/" not in "".join(lower.values())
    assert ("python3.11" in upper["postinst"], "python3.11" in lower["postinst"]) == (False, True)


def test_a_launcher_begins_with_its_shebang() -> None:
    """The kernel looks at the first two bytes."""
    assert render_launcher(plan(), "app").startswith("#!/bin/sh\n")


@EACH
def test_every_override_has_a_reason(made: Plan) -> None:
    """Each line is a tag of this package, below a comment; what follows a comment is not forgotten."""
    blocks = render_overrides(made, made.spec.package, ("run",), machine_code=True).split("\n#\n")
    for block in blocks[1:]:
        lines = block.strip().splitlines()
        comments = [line for line in lines if line.startswith("# ")]
        assert comments
        assert lines[: len(comments)] == comments
        assert len(lines) > len(comments)
        assert all(line.startswith(f"{made.spec.package}: ") for line in lines[len(comments) :])
    without = render_overrides(made, made.spec.package, ("run",), machine_code=False)
    assert "hardening" not in without and "duplicate-font-file" in without


# --- Run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An environment's folder whose python answers as the running one does, and is the test's to break."""
    prefix = tmp_path / "venvs" / "app"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    return prefix


def run(made: Plan, script: str, *words: str, database: Path | None = None) -> Result:
    """Run a script as dpkg would, with a database of the test's where one is given."""
    env = {**os.environ, **({"DPKG_ADMINDIR": str(database)} if database else {})}
    text = scripts(made, "")[script]
    return Shell()(["/bin/sh", "-s", *words], stdin=text, env=env, check=False)


def running_minor() -> str:
    """The version of python3 on PATH."""
    return Shell()(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()


def test_postinst_is_quiet_where_all_is_well(place: Path) -> None:
    """For both actions, twice."""
    made = plan(minor=running_minor(), install_root=str(place.parent))
    for action in ("configure", "configure", "triggered"):
        result = run(made, "postinst", action)
        assert (result.returncode, result.stdout, result.lines) == (0, "", ())


@pytest.mark.parametrize("broken", ["gone", "other version"])
def test_postinst_says_what_is_missing(place: Path, broken: str) -> None:
    """Configure fails; a trigger warns and never fails."""
    made = plan(
        minor="3.99" if broken == "other version" else running_minor(), install_root=str(place.parent)
    )
    if broken == "gone":
        (place / "bin" / "python").unlink()
    configured, triggered = run(made, "postinst", "configure"), run(made, "postinst", "triggered")
    assert (configured.returncode, triggered.returncode) == (1, 0)
    for result in (configured, triggered):
        assert f"apt-get install {made.interpreter.package}" in "\n".join(result.lines)


def test_postinst_compiles_where_it_is_asked_to(place: Path) -> None:
    """And takes a file that does not compile as it is."""
    (place / "lib").mkdir()
    (place / "lib" / "a.py").write_text("x = 1\n", encoding="utf-8")
    (place / "lib" / "b.py").write_text("def (\n", encoding="utf-8")
    made = plan(minor=running_minor(), install_root=str(place.parent), bytecode="install")
    result = run(made, "postinst", "configure")
    assert (result.returncode, result.lines) == (0, ())
    (compiled,) = place.rglob("*.pyc")
    assert compiled.read_bytes()[4:8] == b"\x01\0\0\0"


def database(folder: Path, prefix: Path, conffile: bool = False) -> Path:
    """A dpkg database in which app owns what is below the prefix now."""
    (folder / "info").mkdir(parents=True)
    (folder / "updates").mkdir()
    files = [str(p) for p in (prefix.parent, prefix, *prefix.rglob("*"))]
    (folder / "info" / "app.list").write_text("\n".join(["/.", *files, ""]), encoding="utf-8")
    status = (
        "Package: app\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.z>\n"
    )
    status += f"Conffiles:\n {prefix}/app.conf {'0' * 32}\n" if conffile else ""
    (folder / "status").write_text(f"{status}Description: x\n", encoding="utf-8")
    (folder / "available").touch()
    return folder


@needs_dpkg
def test_prerm_removes_what_was_written_at_run_time(place: Path, tmp_path: Path) -> None:
    """What dpkg knows is dpkg's to remove; links outside are not followed."""
    admin = database(tmp_path / "db", place)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.pyc").touch()
    for name in ("cache/a b.txt", "lib/__pycache__/x.pyc", "-n", "new'line.pyc"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    (place / "link").symlink_to(outside)
    result = run(plan(install_root=str(place.parent)), "prerm", "remove", database=admin)
    assert (result.returncode, result.stdout, result.lines) == (0, "", ())
    assert [str(p.relative_to(place)) for p in sorted(place.rglob("*"))] == ["bin", "bin/python"]
    assert (outside / "precious.pyc").exists()


@needs_dpkg
def test_prerm_takes_bytecode_alone_at_an_upgrade(place: Path, tmp_path: Path) -> None:
    """Data that the application wrote stays."""
    admin = database(tmp_path / "db", place)
    (place / "data").touch()
    (place / "x.pyc").touch()
    assert run(plan(install_root=str(place.parent)), "prerm", "upgrade", "2", database=admin).returncode == 0
    assert {p.name for p in place.iterdir()} == {"bin", "data"}


@needs_dpkg
@pytest.mark.parametrize("action", ["deconfigure", "failed-upgrade"])
def test_prerm_does_nothing_for_other_actions(action: str, place: Path, tmp_path: Path) -> None:
    """The package stays in use."""
    admin = database(tmp_path / "db", place)
    (place / "x.pyc").touch()
    run(plan(install_root=str(place.parent)), "prerm", action, database=admin)
    assert (place / "x.pyc").exists()


@needs_dpkg
def test_postrm_leaves_nothing_of_ours(place: Path, tmp_path: Path) -> None:
    """The prefix goes, and the root of environments where nobody else has one; twice is once."""
    admin = database(tmp_path / "db", place)
    made = plan(install_root=str(place.parent))
    for action in ("remove", "purge", "purge"):
        result = run(made, "postrm", action, database=admin)
        assert (result.returncode, result.lines) == (0, ())
    assert not place.parent.exists()
    assert tmp_path.exists()


@needs_dpkg
def test_postrm_leaves_a_neighbour_alone(place: Path, tmp_path: Path) -> None:
    """The root of environments stays where something else lies in it."""
    admin = database(tmp_path / "db", place)
    (place.parent / "app2").mkdir()
    assert run(plan(install_root=str(place.parent)), "postrm", "purge", database=admin).returncode == 0
    assert [p.name for p in place.parent.iterdir()] == ["app2"]


@needs_dpkg
def test_postrm_keeps_a_conffile_until_purge(place: Path, tmp_path: Path) -> None:
    """Policy §6.8: configuration goes with purge."""
    (place / "app.conf").touch()
    admin = database(tmp_path / "db", place, conffile=True)
    made = plan(install_root=str(place.parent))
    run(made, "postrm", "remove", database=admin)
    assert (place / "app.conf").exists()
    run(made, "postrm", "purge", database=admin)
    assert not place.exists()


@needs_dpkg
def test_folder_makes_way_for_a_link(place: Path, tmp_path: Path) -> None:
    """An empty folder holds its place until postinst, and data that was in it is kept."""
    admin, root = tmp_path / "db", tmp_path / "root"
    (place / "pyvenv.cfg").touch()
    (place / "share/data").mkdir(parents=True)
    (place / "share/data/shipped").touch()
    database(admin, place)
    (place / "share/data/mine").touch()
    made = replace(plan(minor=running_minor(), install_root=str(place.parent)), package_root=root)
    (made.stage / "share").mkdir(parents=True)
    (made.stage / "share/data").symlink_to("real")
    result = run(made, "preinst", "upgrade", "1", "1", database=admin)
    assert (result.returncode, result.lines) == (0, ())
    assert list((place / "share/data").iterdir()) == []
    result = run(made, "postinst", "configure", "1", database=admin)
    assert "data.venvpkg-old" in "\n".join(result.lines)
    assert (place / "share/data").readlink() == Path("real")
    assert (place / "share/data.venvpkg-old/mine").exists()
    assert not (place / ".upgrade").exists()


@needs_dpkg
@pytest.mark.parametrize("version", ["1", "2"])
def test_aborted_upgrade_and_one_that_never_was_put_everything_back(
    version: str, place: Path, tmp_path: Path
) -> None:
    """By postrm of the version that was not installed, or by postinst of the one that is there still."""
    admin, root = tmp_path / "db", tmp_path / "root"
    (place / "pyvenv.cfg").touch()
    (place / "data").mkdir()
    (place / "data/shipped").touch()
    database(admin, place)
    made = replace(plan(minor=running_minor(), install_root=str(place.parent)), package_root=root)
    made.stage.mkdir(parents=True)
    (made.stage / "data").symlink_to("real")
    assert run(made, "preinst", "upgrade", "1", "2", database=admin).returncode == 0
    assert not (place / "data/shipped").exists()
    script, *words = ("postinst", "configure") if version == "1" else ("postrm", "abort-upgrade", "1", "2")
    result = run(made, script, *words, database=admin)
    assert (result.returncode, result.lines) == (0, ())
    assert (place / "data/shipped").exists()
    assert not (place / ".upgrade").exists()


@needs_dpkg
def test_files_of_an_interrupted_unpacking_go(place: Path, tmp_path: Path) -> None:
    """Those that are as old as packages' files; what was there before, or is younger, stays."""
    admin = tmp_path / "db"
    (place / "pyvenv.cfg").touch()
    database(admin, place)
    (place / "old data").touch()
    os.utime(place / "old data", (0, 0))
    made = plan(minor=running_minor(), install_root=str(place.parent))
    assert run(made, "preinst", "upgrade", "1", "2", database=admin).returncode == 0
    (place / "pkg/sub").mkdir(parents=True)
    for name, moment in (("pkg/sub/module.py", 0), ("young", 2**32), ("x.dpkg-new", 2**32)):
        (place / name).touch()
        os.utime(place / name, (moment, moment))
    assert run(made, "preinst", "upgrade", "1", "1", database=admin).returncode == 0
    assert run(made, "postinst", "configure", "1", database=admin).returncode == 0
    assert {p.name for p in place.iterdir()} == {"bin", "pyvenv.cfg", "old data", "young"}


def test_a_launcher_runs_the_entry_point_with_its_arguments(place: Path) -> None:
    """Words with blanks stay whole."""
    (place / "bin" / "run").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    (place / "bin" / "run").chmod(0o755)
    text = render_launcher(plan(install_root=str(place.parent)), "run")
    assert Shell()(["/bin/sh", "-s", "a b", "", "c"], stdin=text).stdout == "a b\n\nc\n"


def test_a_launcher_says_which_python_is_missing(place: Path) -> None:
    """With 127, as a shell does for what it does not find."""
    (place / "bin" / "python").unlink()
    text = render_launcher(plan(install_root=str(place.parent)), "run")
    result = Shell()(["/bin/sh", "-s"], stdin=text, check=False)
    assert result.returncode == 127
    assert "apt-get install python3.11" in result.lines[0]


def test_templates_want_every_value() -> None:
    """A misspelt name in a template is an error, and none is left in what is rendered."""
    assert all("{{" not in text and "{%" not in text for text in scripts(plan()).values())


def test_installation_without_templates_says_so(tmp_path: Path) -> None:
    """As when the package was copied by hand."""
    package = Path(about.__file__).parent
    shutil.copytree(package, tmp_path / "lib/venvpkg", ignore=shutil.ignore_patterns("debian-templates"))
    program = "from venvpkg.errors import VenvpkgError\nfrom venvpkg.templates import find_templates\n"
    program += "try:\n    find_templates()\nexcept VenvpkgError as error:\n    print(error)\n"
    said = Shell()([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")})
    assert said.stdout.startswith("error[templates-missing]")
    assert str(tmp_path) in said.stdout
