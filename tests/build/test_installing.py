"""What is installed, from where, and under which conditions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import wheels
from bare import bare
from builds import Case, fail
from projects import Project
from venvpkg.errors import VenvpkgError

MakeCase = Callable[..., Case]


def hashed(wheelhouse: Path, *names: str) -> str:
    """Pins with the right hashes, of files in the wheelhouse."""
    lines = []
    for name in names:
        module, version = name.split("==")
        (file,) = wheelhouse.glob(f"{module.replace('-', '_')}-{version}-*.whl")
        lines.append(f"{name} \\\n    --hash={wheels.hash_of(file)}")
    return "\n".join([*lines, ""])


def with_groups(groups: str) -> str:
    """A [dependency-groups] table, to go after [tool.venvpkg]."""
    return f"\n[dependency-groups]\n{groups}\n"


# --- hashes


def test_hashes_are_enforced_for_requirements_and_not_for_the_project(
    make: MakeCase, installer: str, wheelhouse: Path
) -> None:
    """The project is built here and has no hash; with every pin hashed, enforcement is on by itself."""
    pins = hashed(wheelhouse, "wren-pure==1.0", "wren-needs==1.0")
    case = make(installer=installer, files={"requirements.txt": pins}, dependencies=["wren-needs"])
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-needs": "1.0", "wren-pure": "1.0"}


def test_wrong_hash_stops_the_build(make: MakeCase, installer: str, wheelhouse: Path) -> None:
    """The error has a code of its own, and shows the pinned hash and the file's."""
    pins = f"wren-pure==1.0 --hash=sha256:{'0' * 64}\n"
    case = make(installer=installer, files={"requirements.txt": pins})
    error = fail(case)
    (file,) = wheelhouse.glob("wren_pure-1.0-*.whl")
    assert error.code == "hash-mismatch"
    assert error.causes[0].startswith("wren-pure==1.0")
    assert error.causes[1:] == [f"  expected sha256:{'0' * 64}", f"  got      {wheels.hash_of(file)}"]
    assert not case.stage.exists()


def test_unhashed_requirement_is_refused_where_hashes_are_required(
    make: MakeCase, installer: str, wheelhouse: Path
) -> None:
    """The error names the pins that have none."""
    pins = hashed(wheelhouse, "wren-pure==1.0") + "wren-extra==1.0\n"
    case = make("require-hashes = true", installer=installer, files={"requirements.txt": pins})
    error = fail(case)
    assert error.code == "hashes-missing"
    assert error.causes == ["wren-extra==1.0"]
    assert "--generate-hashes" in error.hint


def test_requirement_that_a_hashed_pin_drags_in_must_be_pinned_too(
    make: MakeCase, installer: str, wheelhouse: Path
) -> None:
    """An unlisted requirement of a requirement would come unchecked."""
    case = make(installer=installer, files={"requirements.txt": hashed(wheelhouse, "wren-needs==1.0")})
    assert "hash" in "\n".join(fail(case).causes).lower()


def test_hashes_can_be_switched_off(make: MakeCase, wheelhouse: Path) -> None:
    """require-hashes = false lets a hashed pin bring unlisted requirements along."""
    pins = hashed(wheelhouse, "wren-needs==1.0")
    case = make("require-hashes = false", files={"requirements.txt": pins})
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


# --- extras, groups, constraints, preinstall


def test_extras_of_the_project_are_installed(make: MakeCase, installer: str) -> None:
    """Only the extras that are named."""
    case = make(
        'extras = ["web"]\n[project.optional-dependencies]\nweb = ["wren-pure"]\nother = ["wren-extra"]',
        installer=installer,
        offline=False,
    )
    offline(case)
    case.finish()
    assert set(case.distributions()) == {"demo", "wren-pure"}
    assert "wren_pure" in case.manifest()["imported"]  # type: ignore[operator]


def offline(case: Case) -> None:
    """Set the wheelhouse by variables, where the test's tables leave no place for keys."""
    case.environ["DH_VENVPKG_NO_INDEX"] = "1"
    case.environ["DH_VENVPKG_FIND_LINKS"] = case.environ["WHEELHOUSE"]


@pytest.fixture(autouse=True)
def _know_the_wheelhouse(environ: dict[str, str], wheelhouse: Path) -> None:
    environ["WHEELHOUSE"] = str(wheelhouse)


def test_extras_of_a_requirement_are_installed(make: MakeCase, installer: str) -> None:
    """As pip defines them."""
    case = make(installer=installer, dependencies=["wren-extra[more]"])
    case.build()
    assert set(case.distributions()) == {"demo", "wren-extra", "wren-pure"}


def test_groups_are_installed_with_those_they_include(make: MakeCase, installer: str) -> None:
    """PEP 735; a group that is not named stays out."""
    groups = (
        'base = ["wren-pure<2"]\nserver = ["wren-extra", {include-group = "base"}]\nunused = ["wren-both"]'
    )
    case = make(f'groups = ["server"]{with_groups(groups)}', installer=installer, offline=False)
    offline(case)
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-pure": "1.0", "wren-extra": "1.0"}


def test_unknown_group_is_an_error_that_lists_the_groups(make: MakeCase) -> None:
    """With the names that there are."""
    case = make(f'groups = ["serve"]{with_groups("server = []")}', offline=False)
    error = fail(case)
    assert error.code == "group-invalid"
    assert "server" in error.causes[0]


def test_constraints_hold_for_what_requirements_drag_in(make: MakeCase, installer: str) -> None:
    """A constraints file installs nothing by itself."""
    files = {"limits.txt": "wren-pure==1.0\nwren-extra==1.0\n"}
    case = make('constraints = ["limits.txt"]', installer=installer, dependencies=["wren-needs"], files=files)
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-needs": "1.0", "wren-pure": "1.0"}


def test_preinstalled_back_end_builds_the_project_without_isolation(
    make: MakeCase, installer: str, tmp_path: Path
) -> None:
    """A real setuptools, a src layout, and not a trace of the build in the source tree."""
    house = tmp_path / "own"
    wheels.wheel_of_installed(house, "setuptools")
    pyproject = (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "demo"\nversion = "1.0"\n[tool.setuptools.packages.find]\nwhere = ["src"]\n'
        f'[tool.venvpkg]\ninstaller = "{installer}"\nbuild-isolation = false\npreinstall = ["setuptools"]\n'
        f'no-index = true\nfind-links = ["{house}"]\n'
    )
    files = {
        "pyproject.toml": pyproject,
        "src/demo/__init__.py": "WHERE = 'src'\n",
        "demo/__init__.py": None,
        "demo/__main__.py": None,
        "backend/backend.py": None,
    }
    case = make(files=files)
    case.build()
    assert case.ask("import demo; print(demo.WHERE)") == "src"
    assert set(case.distributions()) == {"demo", "setuptools"}
    names = {p.name for p in case.source.rglob("*") if not p.is_relative_to(case.source / "debian")}
    assert names == {"src", "demo", "__init__.py", "pyproject.toml"}


def test_vendored_distributions_are_files_of_their_distribution(make: MakeCase, tmp_path: Path) -> None:
    """Setuptools carries others' .dist-info folders; they are not installed, and their RECORD is not ours."""
    wheels.wheel_of_installed(tmp_path / "own", "setuptools")
    config = f'no-index = true\nfind-links = ["{tmp_path / "own"}"]'
    case = make(config, offline=False, dependencies=["setuptools"])
    case.finish()
    if not list(case.site.glob("setuptools/_vendor/*.dist-info")):
        pytest.skip("this setuptools vendors nothing that has a .dist-info")
    assert set(case.distributions()) == {"demo", "setuptools"}
    assert case.gate() == ()


def test_build_requirements_do_not_stay_in_the_environment(make: MakeCase, installer: str) -> None:
    """An isolated build has them in a place of its own."""
    case = make(installer=installer)
    text = (case.source / "pyproject.toml").read_text()
    (case.source / "pyproject.toml").write_text(text.replace("requires = []", 'requires = ["wren-pure"]'))
    case.build()
    assert set(case.distributions()) == {"demo"}


# --- wheels and sdists


def test_no_binary_builds_from_source(make: MakeCase, installer: str) -> None:
    """Though there is a wheel of the same version."""
    case = make('no-binary = ["wren-both"]', installer=installer, dependencies=["wren-both", "wren-pure"])
    case.build()
    assert "FROM_SDIST" in (case.site / "wren_both/__init__.py").read_text()


def test_wheel_is_preferred_to_an_sdist(make: MakeCase, installer: str) -> None:
    """Without no-binary; uv's cache would remember a build of the same version."""
    case = make(installer=installer, dependencies=["wren-both"])
    case.environ["UV_CACHE_DIR"] = str(case.source.parent / "cache")
    case.build()
    assert "FROM_SDIST" not in (case.site / "wren_both/__init__.py").read_text()


def test_only_binary_refuses_an_sdist(make: MakeCase, installer: str) -> None:
    """What has no wheel is not found."""
    case = make('only-binary = ["wren-recorder"]', installer=installer, dependencies=["wren-recorder"])
    assert fail(case).code == "requirement-not-found"


def test_no_binary_for_everything_is_understood(make: MakeCase) -> None:
    """``:all:`` is no name of a distribution."""
    case = make('no-binary = [":all:"]', dependencies=["wren-both"])
    case.build()
    assert "FROM_SDIST" in (case.site / "wren_both/__init__.py").read_text()


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_local_platform_wheel_is_known_as_built_here(make: MakeCase, installer: str) -> None:
    """A plain linux tag comes from no index; its ELF files go through dh_strip."""
    case = make(installer=installer, dependencies=["wren-native", "wren-pure"])
    case.finish()
    assert [Path(p).parent.name for p in case.state.built] == ["wren_native"]
    assert case.ask("import wren_native.native as n; print(n.__name__)") == "wren_native.native"


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_strip_none_hands_nothing_to_dh_strip(make: MakeCase) -> None:
    """The key turns it off."""
    case = make('strip = "none"', dependencies=["wren-native"])
    case.build()
    assert case.state.built == ()


# --- settings of the build


def test_config_settings_reach_the_back_end_of_the_distribution_they_name(
    make: MakeCase, installer: str
) -> None:
    """A pinned requirement gets its own; another one gets none."""
    files = {"requirements.txt": "wren-recorder\nwren-second\n"}
    config = 'config-settings = { wren-recorder = { colour = "green", shape = "round" } }'
    case = make(config, installer=installer, files=files)
    case.build()
    assert case.settings("wren_second") == {}
    assert case.settings("wren_recorder") == {"colour": "green", "shape": "round"}


def test_config_settings_for_what_is_not_installed_by_name_are_an_error(
    make: MakeCase, installer: str
) -> None:
    """A misspelt name would have its settings go to the project, or nowhere."""
    case = make('config-settings = { wren-recoder = { colour = "green" } }', installer=installer)
    with pytest.raises(VenvpkgError) as caught:
        case.build()
    assert caught.value.code == "config-settings-unknown"
    assert "wren-recoder" in caught.value.message


def test_config_settings_reach_the_project(make: MakeCase, installer: str) -> None:
    """The project's own back end has a table under the project's name."""
    files = {"backend/recorder.py": wheels.RECORDER.format(module="demo")}
    case = make('config-settings = { demo = { colour = "blue" } }', installer=installer, files=files)
    text = (case.source / "pyproject.toml").read_text()
    changed = text.replace('build-backend = "backend"', 'build-backend = "recorder"')
    (case.source / "pyproject.toml").write_text(changed)
    case.build()
    assert case.settings("demo") == {"colour": "blue"}
    assert not (case.source / "demo/settings.json").exists()


def test_repeated_setting_reaches_the_back_end_as_a_list(make: MakeCase) -> None:
    """Under uv; an old pip keeps the last one."""
    files = {"requirements.txt": "wren-recorder\n"}
    case = make('config-settings = { wren-recorder = { flag = ["-a", "-b"] } }', files=files)
    case.build()
    assert case.settings("wren_recorder") == {"flag": ["-a", "-b"]}


def test_repeated_setting_is_refused_for_a_pip_that_would_lose_it(make: MakeCase) -> None:
    """Or handed on whole, where Debian's pip is new enough."""
    from venvpkg.installers import Pip, find_installer
    from venvpkg.pipeline import read_specs

    files = {"requirements.txt": "wren-recorder\n"}
    config = 'config-settings = { wren-recorder = { flag = ["-a", "-b"] } }'
    case = make(config, installer="pip", files=files)
    (spec,) = read_specs(case.call(), case.world())
    pip = find_installer(spec, case.world().run, case.environ)
    assert isinstance(pip, Pip)
    if pip.version >= (23, 1):
        case.build()
        assert case.settings("wren_recorder") == {"flag": ["-a", "-b"]}
    else:
        error = fail(case)
        assert error.code == "pip-too-old"
        assert "flag" in error.message


def test_installer_args_are_handed_on(make: MakeCase, installer: str) -> None:
    """Whatever the installer understands."""
    case = make('installer-args = ["--no-deps"]', installer=installer, dependencies=["wren-pure"])
    case.build()
    assert set(case.distributions()) == {"demo"}


# --- projects


def test_project_false_installs_requirements_alone(make: MakeCase, installer: str) -> None:
    """Whatever pyproject.toml says of a project."""
    case = make("project = false", installer=installer, files={"requirements.txt": "wren-needs\n"})
    case.finish()
    assert set(case.distributions()) == {"wren-needs", "wren-pure"}
    assert case.state.project == ""
    assert case.manifest()["imported"] == ["wren_needs"]


def test_nothing_to_install_is_an_error(make: MakeCase) -> None:
    """Neither a project nor requirements."""
    assert fail(make("project = false")).code == "nothing-to-install"


def test_project_in_a_folder_is_installed(make: MakeCase, installer: str) -> None:
    """debian/ is at the top, the project elsewhere; its source stays as it was."""
    case = make(installer=installer)
    pyproject = (case.source / "pyproject.toml").read_text()
    inner = case.source / "sub/folder"
    inner.mkdir(parents=True)
    for name in ("demo", "backend"):
        (case.source / name).rename(inner / name)
    (inner / "pyproject.toml").write_text(pyproject.partition("[tool.venvpkg]")[0])
    config = pyproject.partition("[tool.venvpkg]")[2] + 'project = "sub/folder"\n'
    (case.source / "debian/venvpkg.toml").write_text(config)
    (case.source / "pyproject.toml").unlink()
    case.finish()
    assert case.state.project == "demo"
    assert case.ask("import demo; print(demo.__version__)") == "1.0"
    assert {p.name for p in inner.iterdir()} == {"demo", "backend", "pyproject.toml"}


def test_folder_without_a_project_is_an_error(make: MakeCase) -> None:
    """The error says which folder, and what to write."""
    case = make('project = "nowhere"')
    error = fail(case)
    assert error.code == "project-not-found"
    assert str(case.source / "nowhere") in error.message


def test_environment_of_another_package_is_not_packed(make: MakeCase) -> None:
    """Package build roots and debhelper's folder stay out of what the back end sees."""
    backend = (
        "import json, os\nfrom pathlib import Path\nimport backend\n\n\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    seen = sorted(str(p) for p in Path('.').rglob('*'))\n"
        "    Path('demo/seen.json').write_text(json.dumps(seen))\n"
        "    return backend.build_wheel(folder)\n"
    )
    stanza = "Package: other\nArchitecture: all\nDescription: other\n other"
    config = "[tool.venvpkg.packages.demo]"
    case = make(config, packages=stanza, files={"backend/looker.py": backend}, offline=False)
    text = (case.source / "pyproject.toml").read_text()
    changed = text.replace('build-backend = "backend"', 'build-backend = "looker"')
    (case.source / "pyproject.toml").write_text(changed)
    for name in ("other/DEBIAN/control", "tmp/usr/bin/x", "demo/usr/share/y", "other/big"):
        (case.source / "debian" / name).parent.mkdir(parents=True, exist_ok=True)
        (case.source / "debian" / name).touch()
    (case.source / "debian/files").touch()
    case.build()
    seen = json_of(case.site / "demo/seen.json")
    assert "debian/control" in seen
    assert [s for s in seen if s.startswith(("debian/other", "debian/tmp", "debian/demo", "debian/."))] == []
    assert "debian/files" not in seen


def json_of(path: Path) -> list[str]:
    """A list in a JSON file."""
    import json

    found: list[str] = json.loads(path.read_text())
    return found


def test_system_site_packages_are_visible_where_asked_for(make: MakeCase) -> None:
    """As venv defines it; the project itself is still in the environment."""
    case = make("system-site-packages = true")
    case.finish()
    assert "include-system-site-packages = true" in (case.stage / "pyvenv.cfg").read_text()
    assert "/usr/lib/python3/dist-packages" in case.ask("import sys; print(sys.path)")


# --- what does not resolve


def test_unknown_requirement_is_named(make: MakeCase, installer: str) -> None:
    """One error, with the installer's own words."""
    case = make(installer=installer, dependencies=["wren-nonesuch"])
    error = fail(case)
    assert error.code == "requirement-not-found"
    assert "wren-nonesuch" in "\n".join(error.causes)


def test_conflicting_requirements_are_told(make: MakeCase) -> None:
    """Two pins of one distribution."""
    files = {"requirements.txt": "wren-pure==1.0\n"}
    case = make(dependencies=["wren-pure==2.0"], files=files)
    assert fail(case).code == "requirement-not-found"


def test_build_that_fails_quotes_the_back_end(make: MakeCase, installer: str) -> None:
    """And the next build is not in its way."""
    broken = "def build_wheel(*a, **k):\n    raise RuntimeError('the reason is this')\n"
    case = make(installer=installer)
    good = (case.source / "backend/backend.py").read_text()
    (case.source / "backend/backend.py").write_text(broken)
    error = fail(case)
    assert error.code == "build-failed"
    assert "the reason is this" in "\n".join(error.causes)
    (case.source / "backend/backend.py").write_text(good)
    case.finish()
    assert set(case.distributions()) == {"demo"}


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_missing_header_names_the_debian_package(make: MakeCase, installer: str) -> None:
    """From what the compiler said."""
    backend = (
        "import subprocess\n\n\ndef build_wheel(*a, **k):\n"
        "    if subprocess.run(['gcc', '-c', '-nostdinc', '-I.', 'x.c']).returncode:\n"
        "        raise SystemExit('error: command gcc failed with exit code 1')\n"
    )
    case = make(installer=installer, files={"x.c": "#include <png.h>\n", "backend/backend.py": backend})
    error = fail(case)
    assert error.code == "build-failed"
    assert "libpng-dev" in error.hint


SOURCES = '\n[tool.uv.sources]\nlib = { path = "../lib" }\n'


@pytest.fixture
def neighbours(make: MakeCase) -> Case:
    """A project in a folder that wants the one in the next folder, as uv has it."""
    case = make('project = "api"')
    bare(case.source / "lib", Project(name="lib"))
    pyproject = bare(case.source / "api", Project(name="api", dependencies=["lib"])) / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + SOURCES)
    return case


def test_project_may_name_a_folder_beside_itself(neighbours: Case) -> None:
    """What lies in the source package comes along."""
    neighbours.finish()
    assert neighbours.versions() == {"api": "1.0", "lib": "1.0"} and neighbours.state.project == "api"


def test_folder_outside_of_the_source_package_is_told(neighbours: Case) -> None:
    """With where debian/ has to be."""
    shutil.move(neighbours.source / "lib", neighbours.source.parent)
    error = fail(neighbours)
    assert error.code == "requirement-not-found"
    assert error.hint.startswith("lib lies outside of the source package")


def test_missing_requirements_file_is_named(make: MakeCase) -> None:
    """The key that names it, too."""
    case = make('requirements = ["nowhere.txt"]')
    error = fail(case)
    assert error.code == "requirements-missing"
    assert "nowhere.txt" in error.message


def test_requirements_outside_the_source_are_recorded(make: MakeCase, tmp_path: Path) -> None:
    """A shared list may lie anywhere."""
    shared = tmp_path / "shared.txt"
    shared.write_text("wren-pure==1.0\n")
    case = make(f'requirements = ["{shared}"]')
    case.finish()
    assert case.versions()["wren-pure"] == "1.0"
    (recorded,) = case.manifest()["requirements"]  # type: ignore[misc]
    assert recorded["file"].endswith("shared.txt")
