"""What becomes of a debian/ that was written for dh-virtualenv."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from former import PROJECTS
from projects import Project
from venvpkg.errors import VenvpkgError
from venvpkg.migration import MARK, parse_call, plan_migration

RULES = "#!/usr/bin/make -f\n\n%:\n\tdh $@ --with python-virtualenv\n"


def write(
    folder: Path,
    rules: str = RULES,
    *,
    line: str = "",
    files: dict[str, str] | None = None,
    depends: str = "",
) -> Path:
    """A source package with debian/rules and whatever else there is."""
    text = rules.replace("dh $@ --with python-virtualenv", line) if line else rules
    return Project(
        addon="",
        build_depends=["dh-virtualenv (>= 1.1)", "python3-virtualenv"],
        depends=depends or "${misc:Depends}, ${python3:Depends}",
        files={"debian/rules": text, **(files or {})},
    ).write(folder)


def migrate(folder: Path) -> dict[str, str]:
    """Write what becomes of it, and return the files."""
    plan_migration(folder).write()
    names = ("debian/rules", "debian/control", "pyproject.toml", "debian/venvpkg.toml")
    return {
        name.rpartition("/")[2]: (folder / name).read_text() for name in names if (folder / name).is_file()
    }


def keys(files: dict[str, str]) -> dict[str, object]:
    """The configuration."""
    table: dict[str, object] = tomllib.loads(files["pyproject.toml"]).get("tool", {}).get("venvpkg", {})
    return table


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dh $@ --with python-virtualenv", "dh $@ --with venvpkg"),
        ("dh $@ --with=python-virtualenv,systemd", "dh $@ --with=venvpkg,systemd"),
        ("dh $@ --with python2,python-virtualenv --verbose", "dh $@ --with venvpkg --verbose"),
        ("dh $@ --buildsystem=dh_virtualenv", "dh $@ --with venvpkg"),
    ],
)
def test_add_on_is_named(tmp_path: Path, line: str, expected: str) -> None:
    """In the place of the old one."""
    assert f"\t{expected}\n" in migrate(write(tmp_path, line=line))["rules"]


def test_project_with_a_makefile_is_not_built_with_make(tmp_path: Path) -> None:
    """dh-virtualenv's add-on took these steps out."""
    files = migrate(write(tmp_path, files={"Makefile": "all:\n\tfalse\n"}))
    assert "dh $@ --with venvpkg --buildsystem=none" in files["rules"]


def test_simplest_package_has_nothing_left(tmp_path: Path) -> None:
    """Two lines of debian/rules, and no configuration."""
    files = migrate(write(tmp_path))
    assert files["rules"] == "#!/usr/bin/make -f\n\n%:\n\tdh $@ --with venvpkg\n"
    assert "venvpkg" not in files["pyproject.toml"]
    assert "Build-Depends: debhelper-compat (= 13), dh-venvpkg\n" in files["control"]
    assert "Depends: ${misc:Depends}, ${shlibs:Depends}\n" in files["control"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("python3, adduser", "adduser, ${misc:Depends}, ${shlibs:Depends}"),
        ("python3.9 (>= 3.9.1) | python3.8, ${shlibs:Depends}", "${shlibs:Depends}, ${misc:Depends}"),
        ("python3-apt, libpython3.11, python3.11-minimal", "python3-apt, ${misc:Depends}, ${shlibs:Depends}"),
        ("${misc:Depends}, ${shlibs:Depends}", "${misc:Depends}, ${shlibs:Depends}"),
    ],
)
def test_interpreter_is_named_no_more(tmp_path: Path, before: str, after: str) -> None:
    """${misc:Depends} brings it; Debian's modules and all else stay."""
    assert f"\nDepends: {after}\n" in migrate(write(tmp_path, depends=before))["control"]


def test_control_keeps_its_form(tmp_path: Path) -> None:
    """Comments, order and layout of what is not touched."""
    folder = write(tmp_path)
    control = folder / "debian/control"
    text = control.read_text().replace(
        "Build-Depends: debhelper-compat (= 13), dh-virtualenv (>= 1.1), python3-virtualenv\n",
        "Build-Depends:\n debhelper-compat (= 13),\n# the add-on\n dh-virtualenv (>= 1.1),\n gcc,\n",
    )
    control.write_text(f"# first\n{text}")
    told = migrate(folder)["control"]
    assert told.startswith("# first\n")
    assert "Build-Depends:\n debhelper-compat (= 13),\n# the add-on\n dh-venvpkg,\n gcc,\n" in told


def test_options_become_keys(tmp_path: Path) -> None:
    """Of a call whose words are plain, or make's own variables."""
    rules = (
        f"{RULES}\nexport DH_VIRTUALENV_INSTALL_ROOT=/srv\nARGS = --extras web \\\n\t-S\n\n"
        "override_dh_virtualenv:\n"
        "\tdh_virtualenv --python /usr/bin/python3.11 $(ARGS) --install-suffix 'thing' \\\n"
        '\t\t--preinstall "setuptools<60" --extra-pip-arg --no-index --requirements $(CURDIR)/pins.txt\n'
    )
    files = migrate(write(tmp_path, rules, files={"pins.txt": "a==1\n"}))
    assert keys(files) == {
        "python": "/usr/bin/python3.11",
        "extras": ["web"],
        "system-site-packages": True,
        "env-name": "thing",
        "install-root": "/srv",
        "preinstall": ["setuptools<60"],
        "no-index": True,
        "requirements": ["pins.txt"],
    }
    assert files["rules"].startswith("#!/usr/bin/make -f\n\n%:\n\tdh $@ --with venvpkg\n")
    assert "override_dh" not in files["rules"] and "export" not in files["rules"]


def test_commands_around_the_call_have_targets_of_their_own(tmp_path: Path) -> None:
    """In the order in which they ran."""
    rules = f"{RULES}\noverride_dh_virtualenv:\n\ttouch a\n\tdh_virtualenv\n\t# then\n\ttouch b \\\n\t  c\n"
    text = migrate(write(tmp_path, rules))["rules"]
    assert (
        "execute_before_dh_venvpkg:\n\ttouch a\n\nexecute_after_dh_venvpkg:\n\t# then\n\ttouch b \\\n\t  c\n"
        in text
    )


def test_environments_own_pip_is_put_there_where_rules_use_it(tmp_path: Path) -> None:
    """It is not, otherwise."""
    rules = (
        f"{RULES}\noverride_dh_virtualenv:\n\tdh_virtualenv\n\tdebian/demo/opt/venvs/demo/bin/pip install x\n"
    )
    assert keys(migrate(write(tmp_path, rules))) == {"seed": ["pip"]}


@pytest.mark.parametrize(
    "call",
    [
        "dh_virtualenv --python $(shell which python3)",
        "dh_virtualenv && touch x",
        "if true; then dh_virtualenv; fi",
        "dh_virtualenv --python `which python3`",
        "dh_virtualenv --strange",
        "dh_virtualenv $$OPTIONS",
        "dh_virtualenv --python",
        "dh_virtualenv 'x",
    ],
)
def test_call_that_a_shell_has_a_say_in_stays(tmp_path: Path, call: str) -> None:
    """With the new command's name, which takes the same options, and a comment that says why."""
    text = migrate(write(tmp_path, f"{RULES}\noverride_dh_virtualenv:\n\t{call}\n"))["rules"]
    changed = call.replace("dh_virtualenv", "dh_venvpkg")
    assert f"{MARK} the options are not plain words" in text
    assert f"override_dh_venvpkg:\n\t{changed}\n" in text


def test_needless_overrides_go(tmp_path: Path) -> None:
    """What dh-virtualenv never ran, and what kept others out of the environment."""
    rules = (
        f"{RULES}\noverride_dh_auto_test:\n\tfalse\n\noverride_dh_strip:\n\noverride_dh_dwz:\n\t:\n\n"
        "override_dh_shlibdeps:\n\tdh_shlibdeps -X/numpy/ --exclude=scipy -lx\n\n"
        "override_dh_installinit:\n\tdh_installinit --name=x\n"
    )
    head, kept = (
        RULES.replace("python-virtualenv", "venvpkg"),
        "override_dh_installinit:\n\tdh_installinit --name=x\n",
    )
    assert migrate(write(tmp_path, rules))["rules"] == f"{head}\n{kept}"


def test_override_that_does_more_is_marked(tmp_path: Path) -> None:
    """Once, however often it is asked for."""
    recipe = "override_dh_strip:\n\tdh_strip\n\tstrip debian/demo/opt/venvs/demo/lib/x.so\n"
    folder = write(tmp_path, f"{RULES}\n{recipe}")
    migration = plan_migration(folder)
    assert len(migration.marks) == 1
    text = migrate(folder)["rules"]
    assert text.count(MARK) == 1 and recipe in text
    assert migrate(folder)["rules"] == text


def test_triggers_on_the_interpreter_go(tmp_path: Path) -> None:
    """With their file, where nothing else is in it."""
    python = "interest-noawait /usr/bin/python3.11\ninterest dh-virtualenv-interpreter-update\n"
    files = {
        "debian/demo.triggers": f"# why\n{python}",
        "debian/other.triggers": f"{python}activate ldconfig\n",
    }
    folder = write(tmp_path, files=files)
    plan_migration(folder).write()
    assert not (folder / "debian/demo.triggers").exists()
    assert (folder / "debian/other.triggers").read_text() == "activate ldconfig\n"


def test_lock_that_was_passed_over_stays_so(tmp_path: Path) -> None:
    """Where there is a requirements.txt, it is named."""
    folder = write(tmp_path, files={"uv.lock": "version = 1\n", "requirements.txt": "a==1\n"})
    assert keys(migrate(folder)) == {"requirements": ["requirements.txt"]}


def test_project_without_pyproject_has_a_file_of_its_own(tmp_path: Path) -> None:
    """debian/venvpkg.toml."""
    files = {"pyproject.toml": None, "setup.py": "import setuptools\nsetuptools.setup(name='demo')\n"}
    rules = f"{RULES}\noverride_dh_virtualenv:\n\tdh_virtualenv --install-suffix x\n"
    told = migrate(write(tmp_path, rules, files=files))  # type: ignore[arg-type]
    assert tomllib.loads(told["venvpkg.toml"]) == {"env-name": "x"}


def test_several_packages_have_tables(tmp_path: Path) -> None:
    """Each its own, and only those that had an environment."""
    folder = PROJECTS["fleet"].write(tmp_path)
    told = keys(migrate(folder))
    shared = {"python": "python3", "no-index": True, "find-links": ["wheels"]}
    more = {"project": False, "requirements": ["requirements-agent.txt"]}
    packages = {"fleet": shared, "fleet-agent": {**shared, **more}}
    assert told["packages"] == packages


@pytest.mark.parametrize("name", PROJECTS)
def test_nothing_changes_the_second_time(tmp_path: Path, name: str) -> None:
    """And nothing of dh-virtualenv's is left to be found."""
    folder = PROJECTS[name].write(tmp_path)
    first = migrate(folder)
    again = plan_migration(folder)
    assert again.texts == {} and again.diff() == ""
    assert migrate(folder) == first


def test_dry_run_shows_and_writes_nothing(tmp_path: Path) -> None:
    """As a diff that patch(1) takes."""
    folder = PROJECTS["wlanpi"].write(tmp_path / "one")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = [sys.executable, "-m", "venvpkg", "migrate"]
    shown = subprocess.run([*words, "--dry-run", folder], capture_output=True, text=True, check=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    other = PROJECTS["wlanpi"].write(tmp_path / "two")
    subprocess.run(["patch", "-p1", "-s"], cwd=other, input=shown.stdout, text=True, check=True)
    done = subprocess.run([*words, folder], capture_output=True, text=True, check=True)
    assert done.stdout == shown.stdout
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert (other / path.relative_to(folder)).read_bytes() == path.read_bytes()
    last = subprocess.run([*words, folder], capture_output=True, text=True, check=True)
    assert last.stdout == "nothing here is of dh-virtualenv\n"


def test_another_configuration_is_not_overwritten(tmp_path: Path) -> None:
    """The error has what would be written."""
    rules = f"{RULES}\noverride_dh_virtualenv:\n\tdh_virtualenv --install-suffix x\n"
    folder = write(tmp_path, rules, files={"debian/venvpkg.toml": 'expose = "all"\n'})
    with pytest.raises(VenvpkgError) as caught:
        plan_migration(folder)
    assert caught.value.code == "migrate-configured"
    assert 'env-name = "x"' in caught.value.hint


def test_folder_without_a_package_is_an_error(tmp_path: Path) -> None:
    """It says what is missing."""
    with pytest.raises(VenvpkgError) as caught:
        plan_migration(tmp_path)
    assert caught.value.code == "migrate-no-package"
    assert any("debian/control" in cause for cause in caught.value.causes)


def test_options_are_read_as_getopt_does() -> None:
    """Long and short, with their value beside them or in them."""
    call = parse_call("dh_virtualenv -pa -p b -S -D app --extras=x --extras y -O--python=python3 -v -n")
    assert call
    assert call.packages == ("a", "b")
    assert call.options == {
        "use-system-packages": [""],
        "sourcedirectory": ["app"],
        "extras": ["x", "y"],
        "python": ["python3"],
        "noscripts": [""],
    }
