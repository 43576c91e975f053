"""One project, pinned in every way that there is, and not at all: the same package each time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import roots
from builds import clean_environment
from projects import Project
from roots import Root
from venvpkg.installers import find_installer
from venvpkg.interpreter import find_interpreter
from venvpkg.lockfiles import TOOLS, Job, find_tool
from venvpkg.process import Shell
from venvpkg.spec import Spec

# It takes minutes: each tool is installed into the root by the build, as on a packager's machine.
pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.full]

INDEX = "https://pypi.org/simple"
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]

[project]
name = "demo"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["click", "rich", "colorama; sys_platform == 'win32'", "tomli; python_version < '3.11'"]

[project.optional-dependencies]
web = ["itsdangerous"]

[dependency-groups]
base = ["blinker"]
server = ["iniconfig", {include-group = "base"}]
dev = ["toml"]

[[tool.poetry.source]]
name = "simple"
url = "https://pypi.org/simple/"

[tool.venvpkg]
extras = ["web"]
groups = ["server"]
"""
PIPFILE = """\
[[source]]
name = "pypi"
url = "https://pypi.org/simple"
verify_ssl = true

[packages]
click = "*"
rich = "*"
itsdangerous = "*"
colorama = {version = "*", markers = "sys_platform == 'win32'"}
tomli = {version = "*", markers = "python_version < '3.11'"}

[server]
iniconfig = "*"
blinker = "*"
"""
NAMES = {
    "demo", "click", "rich", "markdown-it-py", "mdurl", "pygments", "itsdangerous", "iniconfig", "blinker",
}  # fmt: skip
LOCKED = {
    "uv.lock": ["lock", "--quiet"],
    "poetry.lock": ["lock"],
    "pdm.lock": ["lock", "--group", ":all", "--dev"],
    "Pipfile.lock": ["lock", "--categories", "packages server"],
}
EXPORT = [
    "export",
    "--quiet",
    "--no-emit-project",
    "--extra",
    "web",
    "--no-default-groups",
    "--group",
    "server",
]
EXPORTED = {
    "pylock.toml": ["--format", "pylock.toml"],
    "hashed": ["--format", "requirements-txt"],
    "unhashed": ["--format", "requirements-txt", "--no-hashes"],
}


def project(**files: str) -> Project:
    """The project with some files more."""
    return Project(architecture="all", files={"pyproject.toml": PYPROJECT, **files})


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Project]:
    """The project in eight forms, locked now, by the tools that venvpkg itself takes."""
    top = tmp_path_factory.mktemp("locks")
    settings = roots.find_index_settings()
    environ = clean_environment(HOME=str(top), XDG_CACHE_HOME=str(roots.cache_folder() / "tools"), **settings)
    run, spec = Shell(), Spec(package="demo", source=top)
    interpreter = find_interpreter("", "", run, environ)
    installer = find_installer(spec, run, environ)
    job = Job(spec=spec, interpreter=interpreter, installer=installer, run=run, environ=environ)
    ours = clean_environment(
        HOME=str(top),
        UV_DEFAULT_INDEX=INDEX,
        UV_PYTHON=str(interpreter.path),
        POETRY_VIRTUALENVS_CREATE="false",
        PDM_CHECK_UPDATE="0",
        PDM_USE_VENV="false",
        PDM_PYTHON=str(interpreter.path),
        PIPENV_PYTHON=str(interpreter.path),
        WORKON_HOME=str(top / "pipenv"),
    )

    def call(kind: str, words: list[str]) -> str:
        program = find_tool(TOOLS[kind], top, job)
        done = subprocess.run(
            [program, *words], cwd=top / kind, env=ours, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    found: dict[str, Project] = {"none": project()}
    for kind, words in LOCKED.items():
        more = {"Pipfile": PIPFILE} if kind == "Pipfile.lock" else {}
        project(**more).write(top / kind)
        call(kind, words)
        found[kind] = project(**more, **{kind: (top / kind / kind).read_text()})
    for name, words in EXPORTED.items():
        file = "pylock.toml" if name == "pylock.toml" else "requirements.txt"
        found[name] = project(**{file: call("uv.lock", [*EXPORT, *words])})
    return found


def distributions(root: Root, deb: Path) -> dict[str, str]:
    """What `venvpkg inspect --json` tells of a package."""
    root.copy_in(deb, "/run/inspected.deb")
    answer = json.loads(root.run(["venvpkg", "inspect", "--json", "/run/inspected.deb"]).stdout)
    (environment,) = answer
    return {d["name"]: d["version"] for d in environment["distributions"]}


def test_every_form_gives_the_same_package(
    forms: Mapping[str, Project], builder: Callable[[str], Root]
) -> None:
    """Built on a clean root with pip alone; what is not there, venvpkg fetches into its cache."""
    root = builder("bookworm")
    found, logs = {}, {}
    for form, described in forms.items():
        built = root.build(described, at=f"/build/{form}")
        found[form], logs[form] = distributions(root, built.deb("demo")), built.log
    assert set(found["uv.lock"]) == NAMES
    assert found == dict.fromkeys(forms, found["uv.lock"])
    assert [form for form, log in logs.items() if "nothing is pinned" in log] == ["none"]
    tools = {path.name.rpartition("-")[0] for path in root.inside("/root/.cache/venvpkg/tools").iterdir()}
    assert tools == {"packaging", "pdm", "pipenv", "poetry", "uv"}
