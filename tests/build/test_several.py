"""Several environments in one source package."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import pytest

from builds import Case, fail
from venvpkg import pipeline
from venvpkg.debhelper import State
from venvpkg.interpreter import installed_pythons

MakeCase = Callable[..., Case]
Several = Callable[..., Case]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]

[project]
name = "demo"
version = "1.0"
optional-dependencies = { web = ["wren-pure"], tools = ["wren-scripts"] }

[project.scripts]
demo = "demo.__main__:main"
"""
WORKER = PYPROJECT.replace('"demo', '"worker').replace('= "worker.__main__:main"', '= "worker:main"')


def paragraph(name: str, more: str = "", architecture: str = "any") -> str:
    """A binary package of debian/control."""
    depends = "Depends: ${misc:Depends}, ${shlibs:Depends}\n"
    return f"Package: {name}\nArchitecture: {architecture}\n{depends}{more}Description: one\n It is one.\n\n"


@pytest.fixture
def several(make: MakeCase, wheelhouse: Path) -> Several:
    """`several(config, *packages, files={…})`: a project with debian/venvpkg.toml and more packages."""

    def made(config: str, *packages: str, files: Mapping[str, str] | None = None) -> Case:
        top = f'installer = "uv"\nno-index = true\nfind-links = ["{wheelhouse}"]\n'
        case = make(
            packages="".join(packages),
            files={"pyproject.toml": PYPROJECT, "debian/venvpkg.toml": top + config, **(files or {})},
        )
        case.packages = ("demo", *(p.split()[1] for p in packages))
        return case

    return made


def at(case: Case, package: str, root: str = "/opt/venvs", name: str = "") -> Path:
    """A package's stage."""
    inside = PurePosixPath(root, name or package).relative_to("/")
    return case.source / "debian" / package / inside


def modules(stage: Path) -> set[str]:
    """The import packages of an environment."""
    (site,) = stage.glob("lib/python3.*/site-packages")
    return {p.name for p in site.iterdir() if (p / "__init__.py").is_file()}


def contents(stage: Path) -> dict[str, bytes]:
    """Every file of a stage."""
    files = (p for p in sorted(stage.rglob("*")) if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(stage)): p.read_bytes() for p in files}


def test_each_environment_has_requirements_extras_project_and_prefix_of_its_own(several: Several) -> None:
    """Five environments, and a package without; every one passes the gate."""
    config = """
    [packages.demo]
    [packages.demo-web]
    extras = ["web"]
    install-root = "/srv/envs"
    [packages.demo-tools]
    project = false
    requirements = ["tools.txt"]
    env-name = "tools"
    [packages.demo-worker]
    project = "worker"
    [packages.python3-demo]
    extras = ["web", "tools"]
    """
    names = ("demo-web", "demo-tools", "demo-worker", "python3-demo", "demo-doc")
    files = {
        "tools.txt": "wren-needs\n",
        "worker/pyproject.toml": WORKER,
        "worker/backend/backend.py": (Path(__file__).parents[1] / "backend.py").read_text(),
        "worker/worker/__init__.py": "def main():\n    print('worker')\n",
    }
    case = several(config, *map(paragraph, names), files=files)
    case.finish()
    stages = {
        "demo": at(case, "demo"),
        "demo-web": at(case, "demo-web", "/srv/envs"),
        "demo-tools": at(case, "demo-tools", name="tools"),
        "demo-worker": at(case, "demo-worker"),
        "python3-demo": at(case, "python3-demo"),
    }
    assert {name: modules(stage) for name, stage in stages.items()} == {
        "demo": {"demo"},
        "demo-web": {"demo", "wren_pure"},
        "demo-tools": {"wren_needs", "wren_pure"},
        "demo-worker": {"worker"},
        "python3-demo": {"demo", "wren_pure", "wren_scripts"},
    }
    assert not (case.source / "debian/demo-doc").exists()
    assert {action["package"] for action in case.actions} == set(stages)
    for name in stages:
        case.package = name
        case.write_control()
    reports = pipeline.gate(case.call(), case.world())
    assert {name: report.findings for name, report in reports.items()} == dict.fromkeys(stages, ())


def test_each_environment_has_a_python_of_its_own(several: Several) -> None:
    """Where Debian has two on this machine."""
    pythons = installed_pythons()
    if len(pythons) < 2:
        pytest.skip("there is only one of Debian's Pythons here")
    tables = [
        f'[packages.{n}]\npython = "{p}"\n' for n, p in zip(("demo", "demo-two"), pythons, strict=False)
    ]
    case = several("".join(tables), paragraph("demo-two")).finish()
    links = [str((at(case, name) / "bin/python").readlink()) for name in ("demo", "demo-two")]
    assert links == pythons[:2]


def test_options_are_for_the_called_packages_alone(several: Several) -> None:
    """`dh_venvpkg -pdemo-web --extras web`, after `dh_venvpkg -pdemo`."""
    case = several("[packages.demo]\n[packages.demo-web]\n", paragraph("demo-web"))
    case.packages = ("demo",)
    case.build()
    case.packages, case.options = ("demo-web",), {"extras": ["web"]}
    case.build()
    case.packages, case.options = ("demo", "demo-web"), {}
    case.settle()
    assert modules(at(case, "demo")) == {"demo"}
    assert modules(at(case, "demo-web")) == {"demo", "wren_pure"}


def test_table_of_a_package_that_is_not_built_this_time_is_in_nobodys_way(several: Several) -> None:
    """`-N`, `-A`, `-B` and build profiles leave packages out, whatever their tables need."""
    config = '[packages.demo]\n[packages.demo-web]\nrequirements = ["not-there.txt"]\npython = "3.99"\n'
    case = several(config, paragraph("demo-web"))
    case.packages = ("demo",)
    case.finish()
    assert modules(at(case, "demo")) == {"demo"}
    case.packages = ("demo", "demo-web")
    assert fail(case).code == "python-not-found"


def test_failure_of_the_second_leaves_the_first_whole_and_the_next_build_works(several: Several) -> None:
    """Built again, both are what they are in a fresh tree."""
    config = '[packages.demo]\n[packages.demo-web]\nproject = false\nrequirements = ["web.txt"]\n'
    case = several(config, paragraph("demo-web"), files={"web.txt": "wren-nothing\n"})
    assert fail(case).code == "requirement-not-found"
    first = contents(at(case, "demo"))
    assert "pyvenv.cfg" in first and State.load(case.source, "demo")
    assert not (case.source / "debian/demo-web").exists()
    assert State.load(case.source, "demo-web") is None
    (case.source / "web.txt").write_text("wren-pure\n")
    case.finish()
    again = {name: contents(at(case, name)) for name in case.packages}
    for name in (*case.packages, ".debhelper"):
        shutil.rmtree(case.source / "debian" / name)
    case.finish()
    assert {name: contents(at(case, name)) for name in case.packages} == again


@pytest.mark.parametrize(
    ("config", "places"),
    [
        ('env-name = "app"\n[packages.demo]\n[packages.demo-web]\n', ("/opt/venvs/app", "/opt/venvs/app")),
        (
            '[packages.demo]\n[packages.demo-web]\ninstall-root = "/opt/venvs/demo/"\nenv-name = "web"\n',
            ("/opt/venvs/demo", "/opt/venvs/demo/web"),
        ),
    ],
)
def test_prefixes_that_collide_are_an_error_that_names_both(
    config: str, places: tuple[str, str], several: Several
) -> None:
    """The same one, and one inside the other; also where only one of the two is built this time."""
    case = several(config, paragraph("demo-web"))
    for packages in (("demo", "demo-web"), ("demo",)):
        case.packages = packages
        error = fail(case)
        assert error.code == "prefixes-collide"
        assert error.causes == [f"demo has {places[0]}, and demo-web has {places[1]}."]
        assert "Conflicts: demo" in error.hint


def test_packages_that_conflict_may_have_one_prefix(several: Several) -> None:
    """Each has the whole of it in its own package."""
    config = 'env-name = "app"\n[packages.demo]\n[packages.demo-web]\nextras = ["web"]\n'
    case = several(config, paragraph("demo-web", "Conflicts: demo\n")).finish()
    assert modules(at(case, "demo", name="app")) == {"demo"}
    assert modules(at(case, "demo-web", name="app")) == {"demo", "wren_pure"}


def test_option_that_makes_prefixes_one_is_an_error(several: Several) -> None:
    """`dh_venvpkg --env-name app`, without -p, is for every package."""
    case = several("[packages.demo]\n[packages.demo-web]\n", paragraph("demo-web"))
    case.options = {"env-name": ["app"]}
    assert fail(case).code == "prefixes-collide"
    case.packages, case.options = ("demo",), {"env-name": ["demo-web"]}
    assert fail(case).code == "prefixes-collide"
    case.options = {"env-name": ["app"]}
    case.build()
    assert modules(at(case, "demo", name="app")) == {"demo"}


def test_command_that_two_packages_expose_is_an_error(several: Several) -> None:
    """They would have one file in /usr/bin, and dpkg would refuse the second, unless they conflict."""
    config = 'expose = ["demo"]\n[packages.demo]\n[packages.demo-web]\n'
    error = fail(several(config, paragraph("demo-web")))
    assert error.code == "commands-collide"
    assert error.causes == ["demo and demo-web expose demo."]
    case = several(config, paragraph("demo-web", "Conflicts: demo\n"))
    case.build()
    assert (case.source / "debian/demo-web/usr/bin/demo").is_file()


def test_package_whose_table_is_gone_has_no_environment_any_more(several: Several) -> None:
    """Built again without a clean: what the first build handed on speaks of nothing any more."""
    case = several("[packages.demo]\n[packages.demo-web]\n", paragraph("demo-web"))
    case.build()
    own = case.source / "debian/venvpkg.toml"
    own.write_text(own.read_text().replace("[packages.demo-web]", ""))
    # dh_prep
    for name in case.packages:
        shutil.rmtree(case.source / "debian" / name)
    case.finish()
    assert not at(case, "demo-web").exists()


@pytest.mark.full
def test_fifty_environments_are_built_by_one_call_of_each_step(several: Several) -> None:
    """Each has its own prefix and its own requirement; a step starts once for all of them."""
    names = [f"app{number}" for number in range(50)]
    tables = "".join(
        f'[packages.{name}]\nextras = ["{("web", "tools")[n % 2]}"]\n' for n, name in enumerate(names)
    )
    case = several(tables, *(paragraph(name) for name in names))
    case.packages = tuple(names)
    case.finish()
    for number, name in enumerate(names):
        case.package = name
        case.write_control()
        wanted = {"demo", "wren_scripts" if number % 2 else "wren_pure"}
        assert modules(at(case, name)) == wanted
    assert {
        name: r.findings for name, r in pipeline.gate(case.call(), case.world()).items()
    } == dict.fromkeys(names, ())
