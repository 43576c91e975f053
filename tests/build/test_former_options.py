"""dh-virtualenv's options and variables, each with a real build that shows what it still does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import wheels
from builds import Case, fail
from indexes import serve
from projects import BACKEND

MakeCase = Callable[..., Case]
EXTRAS = '\n[project.optional-dependencies]\nweb = ["wren-extra"]'


@dataclass(frozen=True, kw_only=True)
class Former:
    """An option of dh-virtualenv's, what it meant, and what is to be seen of it in a build."""

    meaning: str
    seen: Callable[[Case], bool]
    options: Mapping[str, list[str]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    project: Mapping[str, object] = field(default_factory=dict)


def has(*names: str) -> Callable[[Case], bool]:
    """These distributions are in the environment, or are not with a minus before the name."""
    return lambda case: all((n.lstrip("-") in case.versions()) is not n.startswith("-") for n in names)


def at(place: str) -> Callable[[Case], bool]:
    """The environment is there in the package build root."""
    return lambda case: (case.root / place / "pyvenv.cfg").is_file()


def version(name: str, number: str) -> Callable[[Case], bool]:
    """A distribution has this version."""
    return lambda case: case.versions()[name] == number


def setting(line: str) -> Callable[[Case], bool]:
    """pyvenv.cfg has this line."""
    return lambda case: line in (case.stage / "pyvenv.cfg").read_text().splitlines()


PINS = {"files": {"pins.txt": "wren-pure==1.0\n"}}
INNER = {
    "files": {
        "app/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n\n[project]\nname = "inner"\nversion = "3.0"\n',
        "app/inner/__init__.py": "",
        "app/backend.py": BACKEND,
        "app/requirements.txt": "wren-pure==1.0\n",
    }
}
TABLE = {
    "--python": Former(
        meaning="the interpreter",
        options={"python": ["/usr/bin/python3"]},
        seen=lambda case: str(case.state.interpreter.path).startswith("/usr/bin/python3."),
    ),
    "--builtin-venv": Former(
        meaning="python -m venv makes the environment, without --python too",
        options={"builtin-venv": ["1"]},
        seen=lambda case: (case.stage / "pyvenv.cfg").is_file(),
    ),
    "-S": Former(
        meaning="the environment sees Debian's modules",
        options={"use-system-packages": ["1"]},
        seen=setting("include-system-site-packages = true"),
    ),
    "--setuptools": Former(
        meaning="setuptools is in the environment",
        options={"setuptools": ["1"]},
        seen=has("setuptools"),
    ),
    "--extra-virtualenv-arg": Former(
        meaning="an option for virtualenv",
        options={"extra-virtualenv-arg": ["--system-site-packages", "--no-setuptools"]},
        seen=lambda case: setting("include-system-site-packages = true")(case) and has("-setuptools")(case),
    ),
    "--upgrade-pip": Former(
        meaning="the newest pip is in the environment",
        options={"upgrade-pip": ["1"]},
        seen=version("pip", "99.0"),
    ),
    "--upgrade-pip-to": Former(
        meaning="this pip is in the environment",
        options={"upgrade-pip-to": ["98.0"]},
        seen=version("pip", "98.0"),
    ),
    "--pip-tool": Former(
        meaning="what installs the requirements",
        options={"pip-tool": ["uv"]},
        seen=lambda case: case.state.installer.startswith("uv"),
    ),
    "--preinstall": Former(
        meaning="installed before everything else",
        options={"preinstall": ["wren-pure==1.0", "wren-extra"]},
        seen=has("wren-pure", "wren-extra"),
    ),
    "--requirements": Former(
        meaning="a requirements file",
        options={"requirements": ["pins.txt"]},
        project=PINS,
        seen=version("wren-pure", "1.0"),
    ),
    "requirements.txt": Former(
        meaning="installed from where it is there, whatever locks there are",
        project={"files": {"requirements.txt": "wren-pure==1.0\n", "uv.lock": "no lock\n"}},
        seen=version("wren-pure", "1.0"),
    ),
    "--extras": Former(
        meaning="extras of the project", options={"extras": ["web"]}, seen=has("demo", "wren-extra")
    ),
    "--skip-install": Former(
        meaning="the requirements alone",
        options={"skip-install": ["1"], "requirements": ["pins.txt"]},
        project=PINS,
        seen=has("wren-pure", "-demo"),
    ),
    "-D": Former(
        meaning="the folder of the project and of its requirements",
        options={"sourcedirectory": ["app"]},
        project=INNER,
        seen=has("inner", "wren-pure", "-demo"),
    ),
    "--extra-pip-arg": Former(
        meaning="an option for pip",
        options={"extra-pip-arg": ["--no-deps"], "requirements": ["needs.txt"]},
        project={"files": {"needs.txt": "wren-needs\n"}},
        seen=has("wren-needs", "-wren-pure"),
    ),
    "--install-suffix": Former(
        meaning="the folder below the install root",
        options={"install-suffix": ["other"]},
        seen=at("opt/venvs/other"),
    ),
    "DH_VIRTUALENV_INSTALL_ROOT": Former(
        meaning="the install root",
        environ={"DH_VIRTUALENV_INSTALL_ROOT": "/srv/envs/"},
        seen=at("srv/envs/demo"),
    ),
    "--setuptools-test": Former(
        meaning="setup.py test, which setuptools has no more",
        options={"setuptools-test": ["1"]},
        seen=has("demo"),
    ),
    "--no-test": Former(meaning="nothing", options={"no-test": ["1"]}, seen=has("demo")),
    "DH_VIRTUALENV_INSTALL_SUFFIX": Former(
        meaning="the same in the build system",
        environ={"DH_VIRTUALENV_INSTALL_SUFFIX": "other"},
        seen=at("opt/venvs/other"),
    ),
    "DH_VIRTUALENV_ARGUMENTS": Former(
        meaning="options for virtualenv",
        environ={"DH_VIRTUALENV_ARGUMENTS": "--system-site-packages"},
        seen=setting("include-system-site-packages = true"),
    ),
    "DH_REQUIREMENTS_FILE": Former(
        meaning="a requirements file",
        environ={"DH_REQUIREMENTS_FILE": "pins.txt"},
        project=PINS,
        seen=version("wren-pure", "1.0"),
    ),
    "DH_PIP_EXTRA_ARGS": Former(
        meaning="options for pip",
        environ={"DH_PIP_EXTRA_ARGS": "--no-deps", "DH_REQUIREMENTS_FILE": "needs.txt"},
        project={"files": {"needs.txt": "wren-needs\n"}},
        seen=has("wren-needs", "-wren-pure"),
    ),
    "DH_UPGRADE_PIP": Former(
        meaning="the pip in the environment",
        environ={"DH_UPGRADE_PIP": "98.0"},
        seen=version("pip", "98.0"),
    ),
    "DH_UPGRADE_SETUPTOOLS": Former(
        meaning="the setuptools in the environment",
        environ={"DH_UPGRADE_SETUPTOOLS": "99.0"},
        seen=version("setuptools", "99.0"),
    ),
    "DH_UPGRADE_WHEEL": Former(
        meaning="the wheel in the environment", environ={"DH_UPGRADE_WHEEL": ""}, seen=has("wheel")
    ),
}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of pip, setuptools and wheel in versions that nobody else has."""
    folder = tmp_path_factory.mktemp("tools")
    for name, numbers in (("pip", ("98.0", "99.0")), ("setuptools", ("99.0",)), ("wheel", ("99.0",))):
        for number in numbers:
            wheels.write_wheel(folder, name, number)
    return folder


@pytest.mark.parametrize("name", TABLE)
def test_option_does_what_it_did(make: MakeCase, tools: Path, name: str) -> None:
    """In a build with dh_virtualenv, which the gate finds nothing wrong with."""
    former = TABLE[name]
    case = make(**former.project)
    with (case.source / "pyproject.toml").open("a") as stream:
        stream.write(EXTRAS)
    case.former, case.options = True, {**former.options, "find-links": [str(tools), *find_links(case)]}
    case.environ |= former.environ
    case.build()
    assert former.seen(case), former.meaning
    if case.stage.is_dir() and "no-deps" not in str(former):
        case.settle()
        assert case.gate() == ()


def find_links(case: Case) -> list[str]:
    """The wheelhouse of the tests, which the project's configuration names."""
    (line,) = [
        x for x in (case.source / "pyproject.toml").read_text().splitlines() if x.startswith("find-links")
    ]
    return [line.split('"')[1]]


@pytest.mark.parametrize("option", ["index-url", "extra-index-url", "pypi-url"])
def test_index_is_asked(make: MakeCase, tmp_path: Path, option: str) -> None:
    """Under its old name as well."""
    with serve([wheels.write_wheel(tmp_path / "own", "wren-indexed", "1.0")]) as index:
        case = make(dependencies=["wren-indexed"], offline=False)
        case.former, case.options = True, {option: [index.url]}
        if option == "extra-index-url":
            case.options["index-url"] = [index.url]
        case.environ["UV_NO_CACHE"] = "1"
        case.build()
        assert index.seen
    assert "wren-indexed" in case.versions()


def test_every_package_gets_an_environment(make: MakeCase) -> None:
    """Those that debhelper acts on, python3-… among them; no table names them."""
    stanza = "Package: python3-second\nArchitecture: any\nDescription: second\n A second one.\n"
    case = make(packages=stanza)
    case.former, case.packages = True, ("demo", "python3-second")
    case.finish()
    for name in case.packages:
        assert (case.source / f"debian/{name}/opt/venvs/{name}/bin/demo").is_file()
    assert case.gate() == ()


def test_maintainer_scripts_are_left_out(make: MakeCase) -> None:
    """With --noscripts, by the step that comes last as well."""
    case = make()
    case.former, case.scripts = True, False
    case.finish()
    assert {action["do"] for action in case.actions} == {"substvar"}
    assert case.gate() == ()


def test_note_says_what_replaces_an_option(make: MakeCase) -> None:
    """Once, on standard error."""
    case = make()
    case.former, case.options = True, {"setuptools-test": ["1"], "pip-tool": ["pip-faster"]}
    told = case.step("build").stderr
    assert told.count("no command for tests since version 72") == 1
    assert told.count("--pip-tool pip-faster") == 1


def test_staged_environment_works_until_the_last_step(make: MakeCase, wheelhouse: Path) -> None:
    """Its Python and its pip do; what pip installs then is relocated and recorded like the rest."""
    case = make()
    case.former = True
    case.build()
    pip = case.stage / "bin" / "pip"
    words = ["install", "--no-index", "--find-links", wheelhouse, "wren-scripts"]
    subprocess.run([pip, *words], check=True, env=case.environ)
    assert case.ask("import wren_scripts, sys; print(sys.prefix)") == str(case.stage)
    assert str(case.stage) in (case.stage / "bin/wren-tool").read_text()
    case.settle()
    for name in ("pip", "pip3", "wren-tool", "demo"):
        assert (case.stage / "bin" / name).read_text().startswith("#!/opt/venvs/demo/bin/python\n")
    assert case.gate() == ()


def test_path_with_a_blank(make: MakeCase) -> None:
    """The environment's pip works there too."""
    case = make(at="a folder/src")
    case.former = True
    case.build()
    shown = subprocess.run([case.stage / "bin/pip", "--version"], capture_output=True, text=True, check=True)
    assert str(case.site) in shown.stdout
    case.settle()
    assert (case.stage / "bin/pip").read_text().startswith("#!/opt/venvs/demo/bin/python\n")
    assert case.gate() == ()


def test_pip_may_be_deleted_by_hand(make: MakeCase) -> None:
    """With its metadata, and the project's."""
    case = make(dependencies=["wren-pure"])
    case.former = True
    case.build()
    for glob in ("pip*", "setuptools*", "_distutils_hack", "distutils-precedence.pth", "demo-*.dist-info"):
        subprocess.run(f"rm -rf {glob}", shell=True, cwd=case.site, check=True)
    subprocess.run("rm -f pip* activate*", shell=True, cwd=case.stage / "bin", check=True)
    case.settle()
    assert set(case.versions()) == {"wren-pure"}
    assert case.gate() == ()


def test_dh_venvpkg_takes_the_options_too(make: MakeCase) -> None:
    """Without pip in the environment, which is said."""
    case = make(**PINS)
    case.options = {"install-suffix": ["other"], "requirements": ["pins.txt"], "upgrade-pip": ["1"]}
    answer = case.step("build")
    assert answer.returncode == 0, answer.stderr
    assert (case.root / "opt/venvs/other/bin/demo").is_file()
    assert "The key seed puts them there" in answer.stderr


@pytest.mark.parametrize("seed", ["pipx", "pip==", "setuptools ; x"])
def test_wrong_seed_is_an_error(make: MakeCase, seed: str) -> None:
    """With the names that there are."""
    error = fail(make(f'seed = ["{seed}"]'))
    assert error.code == "config-invalid"
    assert "pip, setuptools, wheel" in error.causes[0]


def test_seed_is_in_the_environment(make: MakeCase, installer: str) -> None:
    """For who wants a pip on the server: Debian's own."""
    case = make('seed = ["pip"]', installer=installer).finish()
    assert set(case.versions()) == {"demo", "pip"}
    assert case.gate() == ()
