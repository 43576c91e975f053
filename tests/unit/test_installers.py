"""uv and pip: their commands, their environment, and what their failures mean, from the real ones."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from venvpkg.errors import VenvpkgError
from venvpkg.installers import (
    Installer,
    Pip,
    Request,
    Uv,
    find_installer,
    read_pip_settings,
)
from venvpkg.plan import Install
from venvpkg.process import Shell
from venvpkg.spec import Spec

SECRET = "https://me:hunter2@index.example/simple"
UV = shutil.which("uv", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
URLS = {
    "index-url": SECRET,
    "extra-index-url": [SECRET + "/2", "https://b.example"],
    "find-links": [SECRET + "/f", "wheels"],
}


def spec(folder: Path = Path("/src/app"), **values: Any) -> Spec:
    """A spec from keys with underscores for dashes."""
    return Spec.from_values("app", folder, {name.replace("_", "-"): value for name, value in values.items()})


def request(install: Install | None = None, **more: Any) -> Request:
    """A request of an installer."""
    made: dict[str, Any] = {
        "python": Path("/w/bin/python"),
        "files": (),
        "downloads": Path("/w/downloads"),
        **more,
    }
    return Request(install=install or Install(title="x"), **made)


EACH = pytest.mark.parametrize(
    "installer",
    [Uv(program="/usr/bin/uv"), Pip(python=Path("/usr/bin/python3"), version=(25, 0))],
    ids=["uv", "pip"],
)


@EACH
def test_no_url_is_on_the_command_line(installer: Installer) -> None:
    """The program ps shows command lines, and a log does."""
    made = spec(**{k.replace("-", "_"): v for k, v in URLS.items()}, no_binary=["a"], constraints=["c.txt"])
    words = [
        *installer.command(made, request(files=(Path("/r.txt"),), project="/tmp/source")),
        *(installer.fetch(made, request()) or []),
    ]
    assert not any("://" in word or "hunter2" in word for word in words)


@EACH
def test_urls_are_in_the_environment(installer: Installer) -> None:
    """Under the installer's own names; a folder as a whole path."""
    env = installer.environment(
        spec(**{k.replace("-", "_"): v for k, v in URLS.items()}), Install(title="x"), {"PATH": "/bin"}
    )
    values = {k: v for k, v in env.items() if k.startswith(("UV_", "PIP_"))}
    assert sum("hunter2" in v for v in values.values()) == 3
    assert "/src/app/wheels" in "".join(values.values())


@EACH
def test_the_environment_of_the_caller_is_kept_and_not_changed(installer: Installer) -> None:
    """Proxies, certificates, caches; what would redirect the installation goes."""
    environ = {
        "HTTPS_PROXY": "http://p",
        "UV_CACHE_DIR": "/c",
        "PIP_CACHE_DIR": "/d",
        "PYTHONPATH": "x",
        "PIP_TARGET": "/x",
    }
    before = dict(environ)
    env = installer.environment(spec(), Install(title="x"), environ)
    assert environ == before
    assert {k: env.get(k) for k in ("HTTPS_PROXY", "UV_CACHE_DIR", "PIP_CACHE_DIR")} == {
        k: environ[k] for k in ("HTTPS_PROXY", "UV_CACHE_DIR", "PIP_CACHE_DIR")
    }
    assert "PYTHONPATH" not in env
    assert "PIP_TARGET" not in env


@EACH
def test_what_the_install_asks_for_is_on_the_command_line(installer: Installer) -> None:
    """Hashes, dependencies, settings, files, constraints and the project."""
    install = Install(
        title="x", dependencies=False, hashes=True, settings={"a": ("1", "2")}, constraints=(Path("/c.txt"),)
    )
    words = installer.command(
        spec(installer_args=["--pre"]), request(install, files=(Path("/r.txt"),), project="/s[web]")
    )
    assert {"--no-deps", "--require-hashes", "--pre", "a=1", "a=2", "/r.txt", "/c.txt"} <= set(words)
    assert words[-1] == "/s[web]"
    assert words[words.index("-r") + 1] == "/r.txt"


@EACH
def test_choices_of_the_specification_are_on_the_command_line(installer: Installer) -> None:
    """Where they come from, and how they are built."""
    made = spec(no_index=True, no_binary=["a", "b"], only_binary=[":all:"], build_isolation=False)
    words = " ".join(installer.command(made, request()))
    assert "--no-index" in words
    assert "--no-build-isolation" in words
    assert "--only-binary :all:" in words
    assert all(f"--no-binary {name}" in words for name in ("a",))


def test_an_old_pip_refuses_repeated_settings() -> None:
    """It would keep the last alone."""
    install = Install(title="x", settings={"a": ("1", "2")})
    with pytest.raises(VenvpkgError) as caught:
        Pip(python=Path("/usr/bin/python3"), title="pip 23.0.1", version=(23, 0)).command(
            spec(), request(install)
        )
    assert caught.value.code == "pip-too-old"


def uv_environment(environ: Mapping[str, str], **values: Any) -> dict[str, str]:
    """The environment of uv on a machine with such variables."""
    return Uv(program="uv", pip=read_pip_settings(environ)).environment(
        spec(**values), Install(title="x"), environ
    )


def test_what_pip_is_set_to_reaches_uv() -> None:
    """Under its own names."""
    pip = {
        "PIP_INDEX_URL": "https://i",
        "PIP_EXTRA_INDEX_URL": "https://a https://b",
        "PIP_CERT": "/c.pem",
        "PIP_TRUSTED_HOST": "h",
    }
    env = uv_environment({"HOME": "/nonexistent", **pip})
    assert env["UV_DEFAULT_INDEX"] == "https://i"
    assert env["UV_INDEX"] == "https://a https://b"
    assert (env["SSL_CERT_FILE"], env["UV_INSECURE_HOST"]) == ("/c.pem", "h")
    assert "UV_INDEX_STRATEGY" not in env


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ("UV_INDEX_URL", "PIP_INDEX_URL"),
    ],
)
def test_what_uv_is_set_to_beats_what_pip_is_set_to(name: str, setting: str) -> None:
    """The old name of the index counts too."""
    env = uv_environment({"HOME": "/nonexistent", name: "https://uv", setting: "https://pip"})
    assert env[name] == "https://uv"
    assert "https://pip" not in env.get("UV_DEFAULT_INDEX", "") + env.get("UV_INDEX", "")


def test_the_specification_beats_both() -> None:
    """It is the project's own word."""
    environ = {"HOME": "/nonexistent", "UV_INDEX_URL": "https://uv", "PIP_INDEX_URL": "https://pip"}
    env = uv_environment(environ, index_url="https://spec")
    assert env["UV_DEFAULT_INDEX"] == "https://spec"
    assert "UV_INDEX_URL" not in env


# --- pip's settings


def configure(folder: Path) -> dict[str, str]:
    """Write every configuration file of pip's, each with an index of its own and one name for all."""
    places = {
        "XDG_ONE": folder / "one" / "pip", "XDG_TWO": folder / "two" / "pip",
        "LEGACY": folder / "home" / ".pip", "USER": folder / "config" / "pip", "OWN": folder / "own",
    }  # fmt: skip
    for number, (name, place) in enumerate(places.items()):
        place.mkdir(parents=True)
        text = f"[global]\nindex-url = https://{name}\ntimeout = {number}\n[install]\n{name.lower()}_x = 1\n"
        (place / "pip.conf").write_text(text, encoding="utf-8")
    return {
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CONFIG_DIRS": f"{folder / 'one'}:{folder / 'two'}",
        "PIP_CONFIG_FILE": str(folder / "own" / "pip.conf"),
        "PATH": os.environ["PATH"],
    }


def pip_says(environ: Mapping[str, str]) -> dict[str, str]:
    """What the real pip is set to, by option; the section install beats global."""
    words = [sys.executable, "-m", "pip", "config", "list"]
    answer = Shell()(words, env=dict(environ), check=False)
    if answer.returncode != 0:
        pytest.skip("there is no pip")
    found: dict[str, str] = {}
    rows = [line.partition("=") for line in answer.stdout.splitlines()]
    for section in ("global", "install", ":env:"):
        found |= {
            k.removeprefix(section + "."): v.strip("'\"") for k, _, v in rows if k.startswith(section + ".")
        }
    return {k: v for k, v in found.items() if k not in ("config-file", "disable-pip-version-check")}


@pytest.mark.parametrize(
    "without",
    [
        (),
        ("PIP_CONFIG_FILE",),
        ("PIP_CONFIG_FILE", "XDG_CONFIG_HOME"),
        ("HOME", "PIP_CONFIG_FILE", "XDG_CONFIG_HOME"),
    ],
)
def test_files_beat_each_other_as_pip_has_it(without: tuple[str, ...], tmp_path: Path) -> None:
    """The real pip is asked in the same surroundings."""
    environ = configure(tmp_path)
    for name in without:
        environ[name] = str(tmp_path / "nowhere")
    ours = read_pip_settings(environ)
    theirs = pip_says(environ)
    assert {k: ours.get(k) for k in theirs} == theirs
    assert ours["index-url"] == theirs["index-url"]


def test_variables_beat_files(tmp_path: Path) -> None:
    """An empty one says nothing."""
    environ = {**configure(tmp_path), "PIP_INDEX_URL": "https://variable", "PIP_TIMEOUT": ""}
    found = read_pip_settings(environ)
    assert (found["index-url"], found["timeout"]) == ("https://variable", "4")


def test_dev_null_turns_the_files_off(tmp_path: Path) -> None:
    """As pip has it."""
    environ = {**configure(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    assert "index-url" not in read_pip_settings(environ)
    assert "index-url" not in pip_says(environ)


@pytest.mark.parametrize(
    "data", [b"no section\n", b"[global\n", b"\xff\xfe", b"[global]\nindex-url = %(x)s\n"]
)
def test_a_broken_file_is_left_out(data: bytes, tmp_path: Path) -> None:
    """Since pip itself will say what is wrong with it."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_bytes(data)
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PIP_TIMEOUT": "9"}
    assert read_pip_settings(environ)["timeout"] == "9"


# --- Finding one


def test_uv_is_taken_where_it_is(tmp_path: Path) -> None:
    """First of those on PATH."""
    if not UV:
        pytest.skip("there is no uv")
    (tmp_path / "uv").symlink_to(UV)
    found = find_installer(spec(), Shell(), {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert isinstance(found, Uv)
    assert found.title.startswith("uv ")


def test_without_any_installer_both_are_named(tmp_path: Path) -> None:
    """And how to get one."""
    with pytest.raises(VenvpkgError) as caught:
        find_installer(spec(installer="uv"), Shell(), {"PATH": str(tmp_path)})
    assert (caught.value.code, "uv" in caught.value.message) == ("installer-not-found", True)
