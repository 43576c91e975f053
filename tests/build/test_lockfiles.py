"""Locks and editable requirements become what pip and uv install."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import wheels
from builds import PYTHON, Case, clean_environment, fail
from indexes import Index, holders, serve
from roots import find_index_settings
from venvpkg.flat import flatten, tidy
from venvpkg.installers import find_installer
from venvpkg.interpreter import find_interpreter
from venvpkg.lockfiles import TOOLS, Job, find_tool
from venvpkg.process import Shell
from venvpkg.spec import Spec

MakeCase = Callable[..., Case]
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]

[project]
name = "demo"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["wren-needs", "wren-scripts; sys_platform == 'win32'"]

[project.optional-dependencies]
more = ["wren-extra"]

[dependency-groups]
base = ["wren-first"]
docs = ["wren-both", {include-group = "base"}]
dev = ["wren-dev"]

[tool.venvpkg]
extras = ["more"]
groups = ["docs"]
"""
PIPFILE = """\
[[source]]
name = "ours"
url = "{url}"
verify_ssl = true

[packages]
wren-needs = "*"
wren-extra = "*"
wren-scripts = {{version = "*", markers = "sys_platform == 'win32'"}}

[docs]
wren-both = "*"
wren-first = "*"

[dev-packages]
wren-dev = "*"
"""
SOURCES = {
    "uv.lock": '[[tool.uv.index]]\nname = "ours"\nurl = "{url}"\ndefault = true\n',
    "poetry.lock": '[[tool.poetry.source]]\nname = "ours"\nurl = "{url}"\n',
    "pdm.lock": '[[tool.pdm.source]]\nname = "pypi"\nurl = "{url}"\n',
    "Pipfile.lock": "",
}
LOCK = {
    "uv.lock": ["lock", "--quiet"],
    "poetry.lock": ["lock"],
    "pdm.lock": ["lock", "--group", ":all", "--dev"],
    "Pipfile.lock": ["lock", "--categories", "packages docs dev-packages"],
}
WANTED = {
    "demo": "1.0",
    "wren-needs": "1.0",
    "wren-pure": "1.0",
    "wren-extra": "1.0",
    "wren-both": "1.0",
    "wren-first": "1.0",
}


@pytest.mark.parametrize("line", ["-e .", "-e.", "--editable .", "--editable=./"])
def test_editable_project_is_installed_as_it_is(line: str, make: MakeCase) -> None:
    """`uv export` and pip-compile write it; it would point at a folder that a server has not."""
    case = make(files={"requirements.txt": f"wren-pure==1.0\n{line}\n"})
    case.finish()
    assert {k: v for k, v in case.versions().items() if k != "pip"} == {"demo": "1.0", "wren-pure": "1.0"}
    assert case.gate() == ()
    (recorded,) = case.manifest()["requirements"]  # type: ignore[misc]
    assert recorded["file"] == "requirements.txt"


def test_editable_folder_of_an_included_file_is_installed(make: MakeCase, installer: str) -> None:
    """From the project's folder, whoever includes it."""
    sdist = wheels.write_sdist(Path(make().source.parent), "wren-local")
    files = {
        "requirements.txt": "-r more/other.txt\n",
        "more/other.txt": "-e ./libs/wren_local-1.0  # ours\nwren-pure==1.0\n",
    }
    case = make(files=files, installer=installer, at="with")
    shutil.unpack_archive(sdist, case.source / "libs")
    case.finish()
    assert case.versions()["wren-local"] == "1.0"
    assert [f.code for f in case.gate()] == []


def test_requirements_are_tidied() -> None:
    """The project itself and the public index go, local paths become absolute; the rest stays."""
    text = (
        "--index-url https://pypi.org/simple\n-i https://pypi.org/simple/\n--extra-index-url https://e.org/s\n"
        "-e .\n./\n../other ; python_version > '3'\n-e git+https://e.org/x.git#egg=x\n"
        "click==8 \\\n    --hash=sha256:00\n"
    )
    assert tidy(text, Path("/srv/demo")).splitlines() == [
        "--extra-index-url https://e.org/s",
        "/srv/other ; python_version > '3'",
        "git+https://e.org/x.git#egg=x",
        "click==8      --hash=sha256:00",
    ]


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    """Each stands once in its own chain."""
    (tmp_path / "a.txt").write_text("-r b.txt\none\n")
    (tmp_path / "b.txt").write_text("-r a.txt\ntwo\n-c c.txt\n")
    assert flatten(tmp_path / "a.txt").count("two") == 1
    assert f"-c {tmp_path / 'c.txt'}" in flatten(tmp_path / "a.txt")


# --- Requirements files in all their forms


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """The URL of a repository with one project and the tag v1."""
    if not shutil.which("git"):
        pytest.skip("no git")
    sdist = wheels.write_sdist(tmp_path / "repository", "wren-vcs")
    shutil.unpack_archive(sdist, tmp_path / "repository")
    folder = tmp_path / "repository/wren_vcs-1.0"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    # With a host: an older pip takes no URL without one.
    return folder.as_uri().replace("file://", "file://localhost")


def test_requirements_file_of_all_forms_is_installed(
    make: MakeCase, installer: str, wheelhouse: Path, repository: str
) -> None:
    """As Windows wrote it, with files that it includes, and every kind of line that pip takes."""
    extra = wheelhouse / "wren_extra-1.0-py3-none-any.whl"
    lines = [
        "# The head",
        "--find-links ${WREN_HOUSE}",
        "-r nested/other.txt  # more",
        "-c nested/limits.txt",
        "wren-needs \\",
        "    # why",
        '    ; python_version >= "3"',
        'wren-scripts; sys_platform == "win32"',
        f"wren-extra @ {extra.as_uri()}#sha256={wheels.hash_of(extra).removeprefix('sha256:')}",
        f"git+{repository}@v1#egg=wren-vcs",
        "wren-named[x] @ ./libs/wren_named-1.0 ; python_version >= '3'",
    ]
    files: dict[str, str | bytes] = {
        "requirements.txt": b"\xef\xbb\xbf" + "\r\n".join(lines).encode(),
        "nested/other.txt": "-r deeper/third.txt\nlibs/wren_local-1.0\n",
        "nested/deeper/third.txt": "./libs/wren_both-1.0-py3-none-any.whl\n--no-binary wren-none\n",
        "nested/limits.txt": "wren-pure==1.0\n",
    }
    case = make("no-index = true", offline=False, files=files, installer=installer, at="forms")
    case.environ["WREN_HOUSE"] = str(wheelhouse)
    (case.source / "libs").mkdir()
    shutil.copy(wheelhouse / "wren_both-1.0-py3-none-any.whl", case.source / "libs")
    for name in ("wren-local", "wren-named"):
        shutil.unpack_archive(wheels.write_sdist(case.source.parent, name), case.source / "libs")
    case.build()
    names = ["both", "extra", "local", "named", "needs", "pure", "vcs"]
    assert case.versions() == {"demo": "1.0", **{f"wren-{name}": "1.0" for name in names}}


def test_path_counts_from_the_project(make: MakeCase, installer: str) -> None:
    """Whether a file has an editable line or not, and wherever the project is."""
    case = make('requirements = ["inner/requirements.txt"]', installer=installer)
    inner = case.source / "inner"
    inner.mkdir()
    for name in ("demo", "backend"):
        (case.source / name).rename(inner / name)
    pyproject = (case.source / "pyproject.toml").read_text()
    (inner / "pyproject.toml").write_text(pyproject.partition("[tool.venvpkg]")[0])
    (case.source / "debian/venvpkg.toml").write_text(
        pyproject.partition("[tool.venvpkg]")[2] + 'project = "inner"\n'
    )
    (case.source / "pyproject.toml").unlink()
    (inner / "requirements.txt").write_text("./libs/wren_local-1.0\n")
    shutil.unpack_archive(wheels.write_sdist(case.source.parent, "wren-local"), inner / "libs")
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-local": "1.0"}


def test_hashes_in_one_of_two_files_hold_there(make: MakeCase, installer: str, wheelhouse: Path) -> None:
    """What has none is installed beside it, with what it requires."""
    pinned = wheels.hash_of(wheelhouse / "wren_pure-1.0-py3-none-any.whl")
    files = {"a.txt": f"wren-pure==1.0 --hash={pinned}\n", "b.txt": "wren-needs\n"}
    case = make('requirements = ["a.txt", "b.txt"]', files=files, installer=installer)
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-needs": "1.0", "wren-pure": "1.0"}
    (case.source / "a.txt").write_text(f"wren-pure==1.0 --hash=sha256:{'0' * 64}\n")
    assert fail(case).code == "hash-mismatch"


def test_variable_in_a_file_is_written_nowhere(make: MakeCase, installer: str, wheelhouse: Path) -> None:
    """Pip and uv expand it; what is copied of the file still has its name."""
    with serve(sorted(wheelhouse.glob("*.whl")), user="user", password="wren-is-secret") as index:
        url = index.url_with_password.replace("wren-is-secret", "${WREN_TOKEN}")
        files = {"requirements.txt": f"--index-url {url}\n-e .\nwren-pure==1.0\n"}
        case = make(offline=False, files=files, installer=installer)
        case.environ |= {"WREN_TOKEN": "wren-is-secret", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        case.finish()
        assert case.versions()["wren-pure"] == "1.0"
        assert holders([b"wren-is-secret"], case.source) == []
        assert "${WREN_TOKEN}" in exported(case)
        (case.source / "requirements.txt").write_text(f"--index-url {url}\n-e .\nwren-nonesuch==1.0\n")
        assert "wren-is-secret" not in str(fail(case))


def test_hashed_requirements_that_lack_something_are_an_error(make: MakeCase, wheelhouse: Path) -> None:
    """The project is installed without its dependencies then, which nothing else would bring."""
    pinned = wheels.hash_of(wheelhouse / "wren_pure-1.0-py3-none-any.whl")
    files = {"requirements.txt": f"wren-pure==1.0 --hash={pinned}\n"}
    case = make(files=files, dependencies=["wren-pure>1", "wren-extra", "wren-x; sys_platform == 'win32'"])
    error = fail(case)
    assert error.code == "lock-stale"
    assert error.causes == [
        "The project requires wren-pure>1, and 1.0 is locked.",
        "The project requires wren-extra, which is not locked.",
    ]


# --- What is not pinned


@pytest.mark.parametrize(
    ("requirements", "dependencies", "said"),
    [
        (None, ["wren-pure"], "nothing is pinned"),
        (None, [], ""),
        ("wren-pure==1.0\n", ["wren-pure"], ""),
        (
            "wren-pure>=1\nwren-extra\nwren-both==1.0\n",
            [],
            "not pinned to one version: wren-pure>=1, wren-extra.",
        ),
        ("wren-pure==1.*\n", [], "not pinned to one version: wren-pure==1.*."),
        ("wren-pure\n-c limits.txt\n", [], ""),
    ],
)
def test_what_is_not_pinned_is_told(
    requirements: str | None,
    dependencies: list[str],
    said: str,
    make: MakeCase,
    wheelhouse: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Once, with what pins it; the next build may install something else."""
    url = wheels.write_index(tmp_path / "simple", sorted(wheelhouse.glob("*.whl")))
    files = {"requirements.txt": requirements, "limits.txt": "wren-pure==1.0\n"}
    case = make(f'index-url = "{url}"', offline=False, files=files, dependencies=dependencies)
    case.build()
    warnings = [x for x in capfd.readouterr().err.splitlines() if "pinned" in x]
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)
    assert not said or "uv pip compile --generate-hashes pyproject.toml -o requirements.txt" in warnings[0]


def test_tool_that_pins_is_one_that_goes_with_the_installer(
    make: MakeCase, installer: str, wheelhouse: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who has no uv is not sent to it."""
    url = wheels.write_index(tmp_path / "simple", sorted(wheelhouse.glob("*.whl")))
    make(f'index-url = "{url}"', installer=installer, offline=False, dependencies=["wren-pure"]).build()
    (warning,) = [x for x in capfd.readouterr().err.splitlines() if "pinned" in x]
    assert ("uv lock, or uv pip compile" in warning, "pip-compile" in warning) == (
        installer == "uv",
        installer == "pip",
    )


def test_wheelhouse_needs_no_pins(make: MakeCase, capfd: pytest.CaptureFixture[str]) -> None:
    """What is there is what is installed."""
    make(dependencies=["wren-pure"]).build()
    assert "pinned" not in capfd.readouterr().err


# --- With the tools and an index on this machine


@pytest.fixture(scope="session")
def tool_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's cache with the tools in it, which come from the machine's own index."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture
def job(tool_cache: Path, tmp_path: Path) -> Job:
    """A build on this machine, with its own index settings."""
    environ = clean_environment(HOME=str(tmp_path), XDG_CACHE_HOME=str(tool_cache), **find_index_settings())
    environ.pop("PIP_CONFIG_FILE")
    run, spec = Shell(), Spec(package="demo", source=tmp_path)
    interpreter = find_interpreter(str(PYTHON), "", run, environ)
    installer = find_installer(spec, run, environ)
    return Job(spec=spec, interpreter=interpreter, installer=installer, run=run, environ=environ)


@pytest.fixture
def tool(job: Job, tmp_path: Path) -> Callable[[str], str]:
    """`tool("poetry.lock")`: the program, as a build finds it."""
    (tmp_path / "scratch").mkdir()
    return lambda name: str(find_tool(TOOLS[name], tmp_path / "scratch", job))


@pytest.fixture
def index(wheelhouse: Path, tmp_path: Path) -> Iterator[Index]:
    """An index that gets a newer wren-pure as soon as something is locked."""
    more = [wheels.write_wheel(tmp_path / "more", name) for name in ("wren-dev", "wren-first")]
    older = [path for path in wheelhouse.iterdir() if not path.name.startswith("wren_pure-2")]
    with serve([*older, *more]) as served:
        yield served


@pytest.fixture
def locked(
    make: MakeCase, tool: Callable[[str], str], tool_cache: Path, index: Index, wheelhouse: Path
) -> Callable[..., Case]:
    """`locked("poetry.lock")`: the project with a lock of that name, and nothing else that pins."""

    def made(name: str, pyproject: str = PYPROJECT, *, installer: str = "uv", **files: str) -> Case:
        kind = "uv.lock" if name.startswith("pylock") else name
        written = {path.replace("__", "/"): text for path, text in files.items()}
        written["pyproject.toml"] = (
            pyproject + f'installer = "{installer}"\n' + SOURCES[kind].format(url=index.url)
        )
        if name == "Pipfile.lock":
            written["Pipfile"] = PIPFILE.format(url=index.url)
        case = make(offline=False, at=name, files=written)
        case.environ |= {"XDG_CACHE_HOME": str(tool_cache), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        call(case, tool(kind), *LOCK[kind])
        if name.startswith("pylock"):
            words = [
                "export",
                "--quiet",
                "--format",
                "pylock.toml",
                "--no-emit-project",
                "--output-file",
                name,
            ]
            call(case, tool(kind), *words, "--extra", "more", "--no-default-groups", "--group", "docs")
            (case.source / "uv.lock").unlink()
        index.files = {path.name: path for path in [*index.files.values(), *wheelhouse.iterdir()]}
        return case

    return made


def call(case: Case, *words: str) -> None:
    """Run one of the tools in the project, as its developers do."""
    more = {
        "POETRY_VIRTUALENVS_CREATE": "false",
        "PDM_CHECK_UPDATE": "0",
        "PDM_USE_VENV": "false",
        "PDM_PYTHON": str(PYTHON),
        "PIPENV_PYTHON": str(PYTHON),
        "WORKON_HOME": str(case.source.parent / "pipenv"),
    }
    answer = subprocess.run(
        words, cwd=case.source, env={**case.environ, **more}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for name in (".pdm-python", "__pypackages__", ".venv"):
        path = case.source / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def exported(case: Case) -> str:
    """The requirements that the lock was turned into."""
    (found,) = (case.source / "debian/.debhelper/venvpkg/demo/requirements").iterdir()
    return found.read_text()


ALL = ["pylock.toml", "pylock.server.toml", *TOOLS]


@pytest.mark.network
@pytest.mark.parametrize("name", ALL)
def test_lock_is_installed(name: str, locked: Callable[..., Case]) -> None:
    """What it pins for this Python, with extra and group, and with its hashes; neither more nor newer."""
    case = locked(name)
    if name == "pylock.server.toml":
        text = (case.source / "pyproject.toml").read_text()
        changed = text.replace("[tool.venvpkg]\n", f'[tool.venvpkg]\nrequirements = ["{name}"]\n')
        (case.source / "pyproject.toml").write_text(changed)
    case.finish()
    assert case.versions() == WANTED
    assert case.gate() == ()
    (recorded,) = case.manifest()["requirements"]  # type: ignore[misc]
    assert recorded["file"] == name
    assert exported(case).count("--hash=sha256:") >= len(WANTED) - 1
    assert case.state.project == "demo"


@pytest.mark.full
@pytest.mark.network
@pytest.mark.parametrize("name", list(TOOLS))
def test_lock_is_installed_with_pip(name: str, locked: Callable[..., Case]) -> None:
    """All the same."""
    case = locked(name, installer="pip")
    case.build()
    assert case.versions() == WANTED


@pytest.mark.network
@pytest.mark.parametrize("name", ALL[:1] + ALL[2:])
def test_lock_that_does_not_fit_any_more_is_an_error(name: str, locked: Callable[..., Case]) -> None:
    """With what differs, and how to lock again."""
    case = locked(name)
    pyproject = case.source / "pyproject.toml"
    text = pyproject.read_text()
    changed = text.replace('["wren-needs"', '["wren-needs>1", "wren-recorder"')
    assert changed != text
    pyproject.write_text(changed)
    error = fail(case)
    assert error.code == "lock-stale"
    assert "The project requires wren-needs>1, and 1.0 is locked." in error.causes
    assert "The project requires wren-recorder, which is not locked." in error.causes
    assert error.hint.startswith("Lock again")


@pytest.mark.network
def test_pipfile_that_was_changed_is_an_error(locked: Callable[..., Case]) -> None:
    """Though pyproject.toml is the same."""
    case = locked("Pipfile.lock")
    text = (case.source / "Pipfile").read_text()
    (case.source / "Pipfile").write_text(text.replace("[packages]", '[packages]\nwren-recorder = "*"'))
    error = fail(case)
    assert (error.code, error.hint) == ("lock-stale", "Lock again: pipenv lock")


@pytest.mark.network
def test_category_that_a_pipfile_has_not_is_an_error(locked: Callable[..., Case]) -> None:
    """Pipenv itself would install nothing for it."""
    case = locked("Pipfile.lock", PYPROJECT.replace('groups = ["docs"]', 'groups = ["dev"]'))
    error = fail(case)
    assert error.code == "group-invalid"
    assert error.causes == ["It has dev-packages, docs, packages."]
    assert 'groups = ["dev-packages"]' in error.hint


@pytest.mark.network
@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock"])
@pytest.mark.parametrize("change", ['extras = ["less"]', 'groups = ["doc"]'])
def test_extra_or_group_that_a_lock_has_not_is_an_error(
    name: str, change: str, locked: Callable[..., Case]
) -> None:
    """In the tool's own words."""
    key = change.split(" ")[0]
    (line,) = [x for x in PYPROJECT.splitlines() if x.startswith(key)]
    error = fail(locked(name, PYPROJECT.replace(line, change)))
    assert error.code in ("lock-export-failed", "lock-stale", "group-invalid")
    assert change.split('"')[1] in str(error)


@pytest.mark.network
def test_poetrys_own_tables_are_locked(locked: Callable[..., Case]) -> None:
    """A project from before PEP 621, with groups of poetry's."""
    text = (
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["backend"]\n'
        '[tool.poetry]\nname = "demo"\nversion = "1.0"\ndescription = ""\nauthors = []\n'
        '[tool.poetry.dependencies]\npython = "^3.11"\nwren-needs = "^1.0"\n'
        'wren-extra = {version = "*", optional = true}\n'
        '[tool.poetry.extras]\nmore = ["wren-extra"]\n'
        '[tool.poetry.group.docs.dependencies]\nwren-both = "*"\nwren-first = "*"\n'
        '[tool.poetry.group.dev.dependencies]\nwren-dev = "*"\n'
        '[tool.venvpkg]\nproject = false\nextras = ["more"]\ngroups = ["docs"]\n'
    )
    case = locked("poetry.lock", text)
    case.build()
    assert case.versions() == {name: v for name, v in WANTED.items() if name != "demo"}


# --- What has no hash


@pytest.mark.full
@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "installer"),
    # What uv writes of a file:// URL, Debian 12's pip does not read.
    [*((name, "uv") for name in ALL[:1] + ALL[2:5]), ("poetry.lock", "pip"), ("pdm.lock", "pip")],
)
def test_lock_with_a_repository_is_installed(
    name: str, locked: Callable[..., Case], repository: str, installer: str
) -> None:
    """It has no hash; the rest has, and is held to it."""
    changed = PYPROJECT.replace('["wren-needs"', f'["wren-needs", "wren-vcs @ git+{repository}@v1"')
    case = locked(name, changed, installer=installer)
    case.build()
    assert case.versions() == {**WANTED, "wren-vcs": "1.0"}
    assert exported(case).count("--hash=sha256:") >= len(WANTED) - 1


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "required", "tables"),
    [
        ("uv.lock", "wren-local", '[tool.uv.sources]\nwren-local = { path = "libs/wren_local-1.0" }\n'),
        (
            "poetry.lock",
            "wren-local",
            '[tool.poetry.dependencies]\nwren-local = { path = "libs/wren_local-1.0" }\n',
        ),
        ("pdm.lock", "wren-local @ file:///${PROJECT_ROOT}/libs/wren_local-1.0", ""),
    ],
)
def test_lock_with_a_folder_is_installed(
    name: str, required: str, tables: str, locked: Callable[..., Case], tmp_path: Path
) -> None:
    """Of the source package; tools that are shown a copy of two files find it as well."""
    changed = PYPROJECT.replace('["wren-needs"', f'["wren-needs", "{required}"')
    changed = changed.replace("[tool.venvpkg]", f"{tables}[tool.venvpkg]")
    shutil.unpack_archive(wheels.write_sdist(tmp_path, "wren-local"), tmp_path / name / "libs")
    case = locked(name, changed)
    case.build()
    assert case.versions() == {**WANTED, "wren-local": "1.0"}


@pytest.mark.network
def test_wrong_hash_beside_a_repository_stops_the_build(
    locked: Callable[..., Case], repository: str, installer: str
) -> None:
    """A requirement without a hash takes nothing from the others'."""
    changed = PYPROJECT.replace('["wren-needs"', f'["wren-needs", "wren-vcs @ git+{repository}@v1"')
    case = locked("uv.lock", changed, installer=installer)
    lock = case.source / "uv.lock"
    pin = lock.read_text().partition('name = "wren-pure"')
    head, _, tail = pin[2].partition("sha256:")
    lock.write_text(f"{pin[0]}{pin[1]}{head}sha256:{'0' * 64}{tail[64:]}")
    assert fail(case).code == "hash-mismatch"


# --- Several indexes


@pytest.mark.network
@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_index_of_a_name_is_asked(
    name: str, locked: Callable[..., Case], index: Index, installer: str, tmp_path: Path
) -> None:
    """Where the lock ties a name to another index than the default, though that has the name as well."""
    own = wheels.write_wheel(tmp_path / "private", "wren-pure", "1.5")
    with serve([own]) as private:
        tables = (
            f'[[tool.uv.index]]\nname = "private"\nurl = "{private.url}"\nexplicit = true\n'
            '[tool.uv.sources]\nwren-pure = { index = "private" }\n'
        )
        changed = PYPROJECT.replace('["wren-needs"', '["wren-needs", "wren-pure"')
        changed = changed.replace("[tool.venvpkg]", f"{tables}[tool.venvpkg]")
        case = locked(name, changed, installer=installer)
        case.build()
    assert case.versions()["wren-pure"] == "1.5"
    assert f"--extra-index-url {private.url.rstrip('/')}" in exported(case)


@pytest.mark.network
def test_default_index_of_the_machine_does_not_make_a_lock_stale(
    locked: Callable[..., Case], index: Index, tmp_path: Path
) -> None:
    """To uv, a lock is stale whose index it is not told of."""
    case = locked("uv.lock")
    pyproject = case.source / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text.replace(SOURCES["uv.lock"].format(url=index.url), ""))
    case.environ["UV_DEFAULT_INDEX"] = index.url.replace("127.0.0.1", "localhost")
    case.build()
    assert case.versions() == WANTED


@pytest.mark.network
def test_member_of_a_workspace_is_locked_at_its_top(locked: Callable[..., Case], make: MakeCase) -> None:
    """The project is in a folder, and takes another member along."""
    top = '[tool.uv.workspace]\nmembers = ["packages/*"]\n[tool.venvpkg]\nproject = "packages/app"\n'
    member = (
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["backend"]\n'
        '[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = [{needs}]\n'
    )
    sources = "[tool.uv.sources]\nlib = { workspace = true }\n"
    backend = (make(at="other").source / "backend/backend.py").read_text()
    files = {
        "packages__app__pyproject.toml": member.format(name="app", needs='"lib", "wren-needs"') + sources,
        "packages__lib__pyproject.toml": member.format(name="lib", needs=""),
        "packages__more__pyproject.toml": member.format(name="more", needs='"wren-first"'),
    }
    for name in ("app", "lib", "more"):
        files |= {f"packages__{name}__backend__backend.py": backend, f"packages__{name}__{name}__init.py": ""}
    case = locked("uv.lock", top, **files)
    case.build()
    assert case.versions() == {"app": "1.0", "lib": "1.0", "wren-needs": "1.0", "wren-pure": "1.0"}


# --- Tools


@pytest.mark.network
@pytest.mark.parametrize(
    ("version", "status", "expected"), [("1.8.2", 0, False), ("2.3.0", 1, False), ("2.3.0", 0, True)]
)
def test_tool_on_path_comes_first_where_it_serves(
    version: str, status: int, expected: bool, job: Job, tmp_path: Path
) -> None:
    """Not where it is too old, or has no plug-in that exports; then the cache has one."""
    program = tmp_path / "bin/poetry"
    program.parent.mkdir()
    said = f"case $1 in --version) echo 'Poetry (version {version})';; *) exit {status};; esac"
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    job = replace(job, environ={**job.environ, "PATH": f"{program.parent}:{job.environ['PATH']}"})
    found = find_tool(TOOLS["poetry.lock"], tmp_path, job)
    assert (found == program) is expected
    assert "2." in job.run([found, "--version"]).stdout


def test_tool_that_can_not_be_had_is_named(make: MakeCase) -> None:
    """With what to do."""
    files = {"pyproject.toml": PYPROJECT, "poetry.lock": 'package = []\n[metadata]\nlock-version = "2.1"\n'}
    case = make(files=files, offline=False)
    case.environ |= {"DH_VENVPKG_NO_INDEX": "1", "PATH": "/usr/bin:/bin"}
    case.environ["DH_VENVPKG_INSTALLER"] = "pip"
    error = fail(case)
    assert error.code == "lock-tool-missing"
    assert "poetry" in error.message
    assert 'requirements = ["requirements.txt"]' in error.hint


# --- Locks that are none, or for another Python


@pytest.mark.parametrize("name", ["pylock.toml", *TOOLS])
@pytest.mark.parametrize("text", ["no table at all [", "<<<<<<< HEAD\n"])
def test_broken_lock_is_an_error(name: str, text: str, make: MakeCase) -> None:
    """Before anything is fetched."""
    error = fail(make(files={name: text}))
    assert (error.code, name in error.message) == ("lock-invalid", True)


@pytest.mark.network
@pytest.mark.parametrize("text", ["lock-version = 9", ""])
def test_lock_of_another_version_is_an_error(text: str, make: MakeCase, tool_cache: Path) -> None:
    """With a code."""
    case = make(offline=False, files={"pylock.toml": text})
    case.environ |= {**find_index_settings(), "XDG_CACHE_HOME": str(tool_cache)}
    assert fail(case).code == "lock-invalid"


@pytest.mark.network
def test_lock_for_another_platform_is_an_error(make: MakeCase, tool_cache: Path) -> None:
    """PEP 751 lets a lock say for which environments it is."""
    text = 'lock-version = "1.0"\ncreated-by = "hand"\npackages = []\n'
    text += "environments = [\"sys_platform == 'win32'\"]\n"
    case = make(offline=False, files={"pylock.toml": text})
    case.environ |= {**find_index_settings(), "XDG_CACHE_HOME": str(tool_cache)}
    error = fail(case)
    assert error.code == "lock-unfit"
    assert "environments" in "".join(error.causes)
