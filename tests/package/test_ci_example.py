"""examples/ci: from a project in a bare container to `apt install` on a server."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import CHECKOUT, build_wheel
from roots import SUITES, Root, RootFactory

CI = CHECKOUT / "examples" / "ci"
WORKFLOWS = sorted(CI.glob("*.yml"))
FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "greet"
version = "1.2.0"
description = "A program that greets"
dependencies = ["iniconfig>=2"]

[project.scripts]
greet = "greet:main"

[tool.venvpkg]
expose = ["greet"]
""",
    # A package beside dist/, repository/ and the caches, which setuptools would take for others.
    "greet/__init__.py": """\
import iniconfig


def main():
    print("hello from", iniconfig.__name__)
""",
}
PROJECT = "/builds/greet"


@pytest.fixture(scope="module")
def runner(root_factory: RootFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A container with the project checked out, in which the script has run.

    What takes long to install is there before; test_front_door.py lets venvpkg install it.
    """
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    base = root_factory.base("bookworm", ["build-essential", "debhelper", "gnupg", "python3-venv"])
    with base.open() as root:
        for name, text in FILES.items():
            path = root.inside(f"{PROJECT}/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        root.copy_in(CI / "build.sh", f"{PROJECT}/ci/build.sh")
        root.copy_in(wheel, f"/srv/{wheel.name}")
        run(root, "sh ci/build.sh", VENVPKG=f"/srv/{wheel.name}")
        yield root


@pytest.fixture(scope="module")
def server(root_factory: RootFactory) -> Iterator[Root]:
    """A machine that has never heard of venvpkg."""
    with root_factory.base("bookworm", ["python3"]).open() as root:
        yield root


def run(root: Root, command: str, **variables: str) -> str:
    """What a command of the job prints."""
    begun = time.monotonic()
    said = root.run(command, cwd=PROJECT, env=variables).stdout
    print(f"$ {command}   # {time.monotonic() - begun:.1f} s\n{said}")
    return said


def install(server: Root, runner: Root, options: str) -> str:
    """Install the program on a server with apt from the repository, and run it."""
    shutil.rmtree(server.inside("/srv/apt"), ignore_errors=True)
    runner.copy_out(f"{PROJECT}/repository", server.inside("/srv/apt"))
    sources = server.inside("/etc/apt/sources.list.d/greet.list")
    sources.write_text(f"deb [{options}] file:/srv/apt bookworm main\n")
    # Debian's lists stay as they are.
    own = ("Dir::Etc::SourceList=sources.list.d/greet.list", "Dir::Etc::SourceParts=/dev/null")
    words = ["apt-get", "-qq", "update", *(f"-o{each}" for each in (*own, "APT::Get::List-Cleanup=0"))]
    assert server.run(words).stdout == ""
    server.apt("install", "greet")
    return server.run("greet").stdout


@pytest.mark.root
@pytest.mark.network
def test_server_installs_the_program_from_the_repository(runner: Root, server: Root) -> None:
    """With one line of sources.list."""
    built = json.loads(runner.inside(f"{PROJECT}/dist/build.json").read_text())
    assert [p["package"] for p in built["builds"][0]["packages"]] == ["greet"]
    assert install(server, runner, "trusted=yes") == "hello from iniconfig\n"


@pytest.mark.root
@pytest.mark.network
def test_repository_of_several_jobs_is_signed(runner: Root, server: Root) -> None:
    """The second step indexes what all jobs built, and a server asks for nothing but the key."""
    repository = runner.inside(f"{PROJECT}/repository")
    (deb,) = (repository / "pool/bookworm").iterdir()
    (repository / "pool/trixie").mkdir(exist_ok=True)
    (repository / "pool/trixie" / deb.name).write_bytes(deb.read_bytes())
    runner.run("gpg --batch --quiet --passphrase '' --quick-gen-key apt@example.org default default never")
    runner.run("gpg --batch --armor --export-secret-keys >/root/secret.asc")
    secret = runner.inside("/root/secret.asc").read_text()
    run(runner, "sh ci/build.sh index", KEY=secret)
    for suite in SUITES:
        for architecture in ("amd64", "arm64"):
            index = repository / f"dists/{suite}/main/binary-{architecture}/Packages"
            assert f"Filename: pool/{suite}/{deb.name}\n" in index.read_text()
    assert "BEGIN PGP PUBLIC KEY" in (repository / "key.asc").read_text()
    server.purge("greet")
    keyring = server.inside("/etc/apt/keyrings/greet.asc")
    keyring.parent.mkdir(exist_ok=True)
    keyring.write_text((repository / "key.asc").read_text())
    assert install(server, runner, "signed-by=/etc/apt/keyrings/greet.asc") == "hello from iniconfig\n"


@pytest.mark.root
@pytest.mark.network
def test_second_job_starts_from_the_cache(runner: Root) -> None:
    """Results and caches of the first one in the project's folder are in nobody's way."""
    wheel = next(runner.inside("/srv").glob("*.whl"))
    before = runner.inside(f"{PROJECT}/repository/pool/bookworm")
    (deb,) = before.iterdir()
    first = deb.read_bytes()
    run(runner, "sh ci/build.sh", VENVPKG=f"/srv/{wheel.name}")
    assert deb.read_bytes() == first
    assert runner.inside(f"{PROJECT}/.venvpkg-ci/cache/venvpkg").is_dir()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow_calls_the_script_alone(path: Path) -> None:
    """What a forge does can be done at a desk."""
    text = path.read_text()
    lines = re.findall(r"^ *(?:- )?run: *(.*)$|^ *script:\n((?: +- .*\n)+)", text, re.MULTILINE)
    commands = [one or re.sub(r" +- ", "", several).strip() for one, several in lines]
    assert commands == ["sh ci/build.sh", "sh ci/build.sh index"]
    assert len(re.findall(r"\b(?:run|script|before_script|after_script):", text)) == 2


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflow_builds_for_every_suite(path: Path) -> None:
    """On both architectures that the forges have runners for."""
    text = path.read_text()
    assert re.search(rf"suite: \[{', '.join(SUITES)}\]", text, re.IGNORECASE)
    assert re.search(r"architecture: \[amd64, arm64\]", text, re.IGNORECASE)


def test_there_is_a_workflow_for_both_forges() -> None:
    """So that the tests above have something to look at."""
    assert [path.name for path in WORKFLOWS] == ["github.yml", "gitlab.yml"]
