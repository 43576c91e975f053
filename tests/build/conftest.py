"""A folder of small wheels, and cases that build from it without a network."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from builds import PYTHON, Case, clean_environment
from projects import Project

MakeCase = Callable[..., Case]


@pytest.fixture(scope="session", autouse=True)
def _debian_python() -> None:
    if not PYTHON.exists():
        pytest.skip(f"Debian's own {PYTHON} is not here")


@pytest.fixture(scope="session")
def minor() -> str:
    """Debian's Python, as ``3.11``."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small wheels and sdists of every kind that the tests ask for."""
    folder = tmp_path_factory.mktemp("house") / "wheels"
    for version in ("1.0", "2.0"):
        wheels.write_wheel(folder, "wren-pure", version)
    wheels.write_wheel(folder, "wren-needs", requires=["wren-pure"])
    wheels.write_wheel(folder, "wren-extra", extras={"more": ["wren-pure"], "other": ["wren-needs"]})
    wheels.write_wheel(
        folder,
        "wren-scripts",
        files={
            "wren_scripts/__init__.py": "import sys\ndef main():\n    print('tool', sys.flags.isolated)\n",
            "wren_scripts-1.0.data/scripts/wren-old": "#!python\nimport wren_scripts\nprint('old')\n",
            "wren_scripts-1.0.data/scripts/wren-sh": "#!/bin/sh\necho sh\n",
            "wren_scripts-1.0.data/data/share/man/man1/wren-tool.1": ".TH WREN-TOOL 1\n",
            "wren_scripts-1.0.data/data/share/man/man1/wren-tool-sub.1": ".TH WREN-TOOL-SUB 1\n",
            "wren_scripts-1.0.data/data/share/man/man1/other.1": ".TH OTHER 1\n",
            "wren_scripts-1.0.data/data/share/bash-completion/completions/wren-tool": "complete wren-tool\n",
            "wren_scripts-1.0.data/data/share/zsh/site-functions/_wren-tool": "#compdef wren-tool\n",
            "wren_scripts-1.0.data/data/share/fish/vendor_completions.d/wren-tool.fish": "complete\n",
            "wren_scripts-1.0.data/data/etc/wren.conf": "key = value\n",
        },
        scripts={"wren-tool": "wren_scripts:main"},
    )
    # The wheel and the sdist of one name, so that no-binary and only-binary have a choice.
    wheels.write_wheel(folder, "wren-both")
    wheels.write_sdist(folder, "wren-both")
    wheels.write_sdist(folder, "wren-recorder")
    wheels.write_sdist(folder, "wren-second")
    if shutil.which("gcc"):
        wheels.write_extension(folder, "wren-native", PYTHON)
        # What gcc has is there with gcc, and Python does not depend on it.
        wheels.write_extension(
            folder, "wren-omp", PYTHON, header="omp.h", value="omp_get_max_threads()", flags=["-fopenmp"]
        )
    return folder


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installers' caches, one for the whole run."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def environ(tmp_path: Path, caches: Path) -> dict[str, str]:
    """A user's environment with a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return clean_environment(
        HOME=str(home), UV_CACHE_DIR=str(caches / "uv"), PIP_CACHE_DIR=str(caches / "pip")
    )


@pytest.fixture
def make(tmp_path: Path, environ: dict[str, str], wheelhouse: Path) -> MakeCase:
    """`make(config="…", **project)`: a source package that installs from the wheelhouse alone."""

    def made(
        config: str = "", *, installer: str = "uv", offline: bool = True, at: str = "src", **project: object
    ) -> Case:
        lines = [f'installer = "{installer}"', config]
        if offline:
            lines += ["no-index = true", f'find-links = ["{wheelhouse}"]']
        described = Project(config="\n".join(lines), **project)  # type: ignore[arg-type]
        source = described.write((tmp_path / at).resolve())
        return Case(source=source, environ=dict(environ), package=described.name)

    return made


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest) -> str:
    """Each of the two installers."""
    name: str = request.param
    if name == "uv" and not shutil.which("uv"):
        pytest.skip("uv is not on PATH")
    if name == "pip" and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip(f"{PYTHON} has no pip")
    return name
