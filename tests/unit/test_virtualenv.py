"""What dh-virtualenv's options and variables become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from venvpkg.configuration import read_options
from venvpkg.errors import VenvpkgError
from venvpkg.virtualenv import OPTIONS, translate

Values = dict[str, object]


def values(
    folder: Path, given: Mapping[str, Sequence[str]], *, former: bool = False, **environ: str
) -> tuple[Values, tuple[str, ...]]:
    """The keys that are set, and the notes."""
    told = translate(given, environ, folder, former=former)
    return {**told.defaults, **read_options(told.values)}, told.notes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"python": ["python3.12"]}, {"python": "python3.12"}),
        ({"builtin-venv": ["1"]}, {}),
        ({"use-system-packages": ["1"]}, {"system-site-packages": True}),
        ({"extra-virtualenv-arg": ["--system-site-packages"]}, {"system-site-packages": True}),
        ({"extra-virtualenv-arg": ["--python=/usr/bin/python3"]}, {"python": "/usr/bin/python3"}),
        ({"extra-virtualenv-arg": ["-p", "python3.11"]}, {"python": "python3.11"}),
        ({"extra-virtualenv-arg": ["--no-site-packages", "--never-download", "--prompt", "x"]}, {}),
        ({"extra-virtualenv-arg": ["--extra-search-dir=wheels"]}, {"find-links": ["wheels"]}),
        ({"pip-tool": ["uv"]}, {"installer": "uv"}),
        ({"preinstall": ["setuptools<60", "wheel"]}, {"preinstall": ["setuptools<60", "wheel"]}),
        ({"extras": ["web", "db"]}, {"extras": ["web", "db"]}),
        ({"skip-install": ["1"]}, {"project": False}),
        ({"sourcedirectory": ["src/app"]}, {"project": "src/app"}),
        ({"sourcedirectory": ["src/app"], "skip-install": ["1"]}, {"project": False}),
        ({"index-url": ["https://a/simple"]}, {"index-url": "https://a/simple"}),
        ({"extra-index-url": ["https://a", "https://b"]}, {"extra-index-url": ["https://a", "https://b"]}),
        ({"install-suffix": ["thing"]}, {"env-name": "thing"}),
        ({"install-suffix": ["a/b"]}, {"env-name": "b", "install-root": "/opt/venvs/a"}),
        ({"no-test": ["1"]}, {}),
        (
            {"extra-pip-arg": ["--no-index", "--find-links=wheels"]},
            {"no-index": True, "find-links": ["wheels"]},
        ),
        ({"extra-pip-arg": ["--find-links", "wheels"]}, {"find-links": ["wheels"]}),
        ({"extra-pip-arg": ["-f", "a", "-fb"]}, {"find-links": ["a", "b"]}),
        ({"extra-pip-arg": ["--no-binary", "a,b"]}, {"no-binary": ["a", "b"]}),
        ({"extra-pip-arg": ["--no-binary=:all:"]}, {"no-binary": [":all:"]}),
        ({"extra-pip-arg": ["-c constraints.txt"]}, {"constraints": ["constraints.txt"]}),
        ({"extra-pip-arg": ["--require-hashes"]}, {"require-hashes": True}),
        ({"extra-pip-arg": ["--no-build-isolation"]}, {"build-isolation": False}),
        ({"extra-pip-arg": ["--no-cache-dir", "--use-pep517", "-v", "--log", "x"]}, {}),
        ({"extra-pip-arg": ["--pre"]}, {"installer-args": ["--pre"], "installer": "pip"}),
        (
            {"extra-pip-arg": ["--trusted-host=a"], "installer": ["uv"]},
            {"installer-args": ["--trusted-host=a"], "installer": "uv"},
        ),
    ],
)
def test_option_becomes_a_key(tmp_path: Path, given: Mapping[str, list[str]], expected: Values) -> None:
    """Or nothing, where it is how things are anyway; nothing is said of it then."""
    assert values(tmp_path, given) == (expected, ())


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"setuptools": ["1"]}, "seed"),
        ({"setuptools-test": ["1"]}, "smoke"),
        ({"upgrade-pip": ["1"]}, "seed"),
        ({"upgrade-pip-to": ["9.0"]}, "seed"),
        ({"pip-tool": ["pip-faster"]}, "installer"),
        ({"pypi-url": ["https://a"]}, "--index-url"),
        ({"extra-virtualenv-arg": ["--always-copy"]}, "bundled"),
        ({"extra-virtualenv-arg": ["--strange"]}, "--strange"),
        ({"requirements": ["gone.txt"]}, "gone.txt"),
    ],
)
def test_what_is_not_as_it_was_is_said(tmp_path: Path, given: Mapping[str, list[str]], word: str) -> None:
    """With what replaces it."""
    (note,) = values(tmp_path, given)[1]
    assert word in note


def test_every_option_is_tried_here() -> None:
    """One that is added to the table comes with its meaning."""
    marks = [test_option_becomes_a_key, test_what_is_not_as_it_was_is_said]
    tried = {name for test in marks for case in test.pytestmark[0].args[1] for name in case[0]}  # type: ignore[attr-defined]
    assert {option.split("=")[0].split("|")[0] for option in OPTIONS} <= tried


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DH_VIRTUALENV_INSTALL_ROOT": "/srv/"}, {"install-root": "/srv"}),
        ({"DH_VIRTUALENV_INSTALL_ROOT": "usr/share/python"}, {"install-root": "/usr/share/python"}),
        ({"DH_VIRTUALENV_INSTALL_ROOT": "/srv", "DH_VENVPKG_INSTALL_ROOT": "/x"}, {"install-root": "/srv"}),
        ({"DH_VIRTUALENV_INSTALL_SUFFIX": "thing"}, {"env-name": "thing"}),
        ({"DH_VIRTUALENV_ARGUMENTS": "--system-site-packages -q"}, {"system-site-packages": True}),
        ({"DH_PIP_EXTRA_ARGS": "--no-index -f wheels"}, {"no-index": True, "find-links": ["wheels"]}),
        ({"DH_REQUIREMENTS_FILE": "pins.txt"}, {"requirements": ["pins.txt"]}),
    ],
)
def test_variable_becomes_a_key(tmp_path: Path, environ: dict[str, str], expected: Values) -> None:
    """Those of the build system among them."""
    (tmp_path / "pins.txt").touch()
    found, notes = values(tmp_path, {}, **environ)
    if "DH_VENVPKG_INSTALL_ROOT" in environ:
        assert found == {}
    else:
        assert (found, notes) == (expected, ())


def test_option_beats_variable(tmp_path: Path) -> None:
    """As everywhere."""
    given = {"install-suffix": ["a"], "install-root": ["/x"]}
    environ = {"DH_VIRTUALENV_INSTALL_SUFFIX": "b", "DH_VIRTUALENV_INSTALL_ROOT": "/y"}
    assert values(tmp_path, given, **environ)[0] == {"env-name": "a", "install-root": "/x"}


def test_requirements_are_below_the_source_directory(tmp_path: Path) -> None:
    """As dh-virtualenv looks for them; a path from the top does as well."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/pins.txt").touch()
    (tmp_path / "top.txt").touch()
    given = {"sourcedirectory": ["app"], "requirements": ["pins.txt"]}
    assert values(tmp_path, given)[0]["requirements"] == ["app/pins.txt"]
    given["requirements"] = ["top.txt"]
    assert values(tmp_path, given)[0]["requirements"] == ["top.txt"]


def test_former_command_installs_as_it_did(tmp_path: Path) -> None:
    """From requirements.txt beside the project if there is one, whatever locks there are, and with pip."""
    (tmp_path / "uv.lock").touch()
    assert values(tmp_path, {}, former=True)[0] == {"requirements": [], "seed": ["pip", "setuptools"]}
    (tmp_path / "app").mkdir()
    (tmp_path / "app/requirements.txt").touch()
    found = values(tmp_path, {"sourcedirectory": ["app"]}, former=True)[0]
    assert found["requirements"] == ["app/requirements.txt"]
    assert "requirements" not in values(tmp_path, {})[0]


@pytest.mark.parametrize(
    ("given", "environ", "seed"),
    [
        ({"upgrade-pip": ["1"]}, {}, ["pip>=0", "setuptools"]),
        ({"upgrade-pip-to": ["24.0"]}, {}, ["pip==24.0", "setuptools"]),
        ({"upgrade-pip-to": ["latest"]}, {}, ["pip>=0", "setuptools"]),
        ({"extra-virtualenv-arg": ["--no-setuptools"]}, {}, ["pip"]),
        ({"extra-virtualenv-arg": ["--no-seed"]}, {}, []),
        (
            {"extra-virtualenv-arg": ["--setuptools=60.0", "--wheel", "bundle"]},
            {},
            ["pip", "setuptools==60.0", "wheel"],
        ),
        ({}, {"DH_UPGRADE_PIP": "", "DH_UPGRADE_WHEEL": "0.40"}, ["pip>=0", "setuptools", "wheel==0.40"]),
    ],
)
def test_former_command_puts_pip_into_the_environment(
    tmp_path: Path, given: Mapping[str, list[str]], environ: dict[str, str], seed: list[str]
) -> None:
    """In the version that is asked for."""
    assert values(tmp_path, given, former=True, **environ)[0]["seed"] == seed


def test_two_names_of_the_index_exclude_each_other(tmp_path: Path) -> None:
    """As they did."""
    with pytest.raises(VenvpkgError, match="pypi-url") as caught:
        translate({"index-url": ["a"], "pypi-url": ["b"]}, {}, tmp_path, former=True)
    assert caught.value.code == "config-invalid"
