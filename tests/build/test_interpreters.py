"""Which Python is packaged, and which are refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version

from builds import PYTHON, Case, clean_environment, fail
from venvpkg.configuration import read_configuration
from venvpkg.errors import VenvpkgError
from venvpkg.interpreter import Interpreter, Present, choose
from venvpkg.plan import choose_interpreter
from venvpkg.process import Shell
from venvpkg.versions import Wish

MakeCase = Callable[..., Case]


@pytest.mark.parametrize("wanted", ["", "python3", "3", "{minor}", "python{minor}", "/usr/bin/python3"])
def test_named_python_is_dereferenced(make: MakeCase, minor: str, wanted: str) -> None:
    """Whatever the name, the link, and what later steps are told, hold the minor version."""
    key = f'python = "{wanted.format(minor=minor)}"' if wanted else ""
    case = make(key)
    case.build()
    assert str((case.stage / "bin/python").readlink()) == f"/usr/bin/python{minor}"
    assert str(case.state.interpreter.path) == f"/usr/bin/python{minor}"


def test_debians_python_is_taken_whatever_comes_first_on_path(make: MakeCase, tmp_path: Path) -> None:
    """A shim on PATH is no interpreter that a server can have."""
    shim = tmp_path / "shims/python3"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 1\n")
    shim.chmod(0o755)
    case = make()
    case.environ["PATH"] = f"{shim.parent}:{case.environ['PATH']}"
    case.build()
    assert str(case.python.readlink()).startswith("/usr/bin/python3.")


@pytest.mark.parametrize("wanted", ["3.99", "python3.99", "/usr/bin/python3.99"])
def test_python_that_is_not_there_is_an_error_that_lists_the_others(
    make: MakeCase, minor: str, wanted: str
) -> None:
    """And names what to add to Build-Depends."""
    error = fail(make(f'python = "{wanted}"'))
    assert error.code == "python-not-found"
    assert "python3.99" in error.message
    assert f"/usr/bin/python{minor}" in error.hint
    assert "Build-Depends" in error.hint


def test_python_that_no_package_owns_is_refused(make: MakeCase, tmp_path: Path) -> None:
    """A pyenv or /usr/local Python: the error says why a server would break."""
    own = tmp_path / "pyenv/bin/python3"
    own.parent.mkdir(parents=True)
    shutil.copy2(PYTHON.resolve(), own)
    case = make(f'python = "{own}"')
    error = fail(case)
    assert error.code == "python-not-packaged"
    assert str(own) in error.message
    assert any("server" in cause for cause in error.causes)
    assert "/usr/bin/python3." in error.hint


def test_python_that_does_not_start_is_told(make: MakeCase, tmp_path: Path) -> None:
    """With its own last words."""
    own = tmp_path / "python3"
    own.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    own.chmod(0o755)
    error = fail(make(f'python = "{own}"'))
    assert error.code == "python-broken"
    assert "no such luck" in error.causes


def test_python_that_is_too_old_is_told(make: MakeCase, minor: str, tmp_path: Path) -> None:
    """Here it is Debian's own, which says that it is an older one."""
    own = tmp_path / "python3"
    own.write_text(f'#!/bin/sh\n{PYTHON} "$@" | sed "s/{minor}[.][0-9]*/3.7.16/"\n')
    own.chmod(0o755)
    error = fail(make(f'python = "{own}"'))
    assert error.code == "python-too-old"
    assert "CPython 3.7.16" in error.message
    assert f'python = "{minor}"' in error.hint


def test_half_a_python_is_told(
    make: MakeCase, minor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dpkg knows the minimal package alone."""
    name = f"python{minor}-minimal"
    (tmp_path / "dpkg/info").mkdir(parents=True)
    (tmp_path / "dpkg/info/format").write_text("1\n")
    (tmp_path / f"dpkg/info/{name}.list").write_text(f"/.\n/usr/bin/python{minor}\n")
    (tmp_path / "dpkg/status").write_text(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {minor}.2-1\n"
        "Maintainer: A Developer <developer@example.org>\nDescription: test\n"
    )
    monkeypatch.setenv("DPKG_ADMINDIR", str(tmp_path / "dpkg"))
    error = fail(make())
    assert error.code == "python-incomplete"
    assert f"apt-get install python{minor}" in error.hint


def test_project_that_wants_another_python_is_told(make: MakeCase, minor: str) -> None:
    """Before anything is downloaded; the Pythons that are here are listed."""
    case = make()
    path = case.source / "pyproject.toml"
    changed = path.read_text().replace('version = "1.0"', 'version = "1.0"\nrequires-python = ">=3.99"')
    path.write_text(changed)
    error = fail(case)
    assert error.code == "python-not-admitted"
    assert ">=3.99" in error.message
    assert error.causes[0] == "pyproject.toml requires >=3.99."
    assert f"/usr/bin/python{minor}" in error.causes[1]


def test_project_that_admits_the_python_is_built(make: MakeCase, minor: str) -> None:
    """A range with both ends."""
    case = make()
    path = case.source / "pyproject.toml"
    text = path.read_text()
    wanted = f'version = "1.0"\nrequires-python = ">=3.8,<={minor}.99"'
    path.write_text(text.replace('version = "1.0"', wanted))
    case.build()
    assert "demo" in case.distributions()


def test_wish_that_is_no_range_is_a_mistake(make: MakeCase) -> None:
    """PEP 440 says what one is."""
    case = make()
    path = case.source / "pyproject.toml"
    text = path.read_text()
    path.write_text(text.replace('version = "1.0"', 'version = "1.0"\nrequires-python = "three"'))
    assert fail(case).code == "config-invalid"


def test_installer_that_is_not_there_is_told(make: MakeCase, tmp_path: Path) -> None:
    """With the command that brings it."""
    case = make(installer="uv")
    case.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("uv", path=case.environ["PATH"]):
        pytest.skip("uv is a system package here")
    error = fail(case)
    assert error.code == "installer-not-found"
    assert "uv" in error.message


def test_pip_stands_in_where_there_is_no_uv(make: MakeCase) -> None:
    """The default is auto."""
    case = make(installer="auto")
    case.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("uv", path=case.environ["PATH"]):
        pytest.skip("uv is a system package here")
    case.build()
    assert case.state.installer.startswith("pip ")


# --- Pythons of version managers


def managed(folder: Path, version: str) -> Path:
    """A Python in a version manager's folder, as far as it has to be there."""
    path = folder / "bin" / f"python{'.'.join(version.split('.')[:2])}"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_pythons_of_pyenv_and_uv_are_named_and_refused(make: MakeCase, minor: str, tmp_path: Path) -> None:
    """Each with its place; why, when they can be used, and what can be done now."""
    case = make('python = "3.99"')
    home = Path(case.environ["HOME"])
    case.environ.pop("PYENV_ROOT", None)
    pyenv = managed(home / ".pyenv/versions/3.99.4", "3.99.4")
    managed(home / ".pyenv/versions/3.98.1", "3.98.1")
    uv = managed(home / ".local/share/uv/python/cpython-3.99.5-linux-x86_64-gnu", "3.99.5")
    # A shim runs what is switched on, or nothing: it is no interpreter.
    shims = managed(home / ".pyenv/shims", "3.99").parent
    case.environ["PATH"] = f"{shims}:{case.environ['PATH']}"
    error = fail(case)
    assert error.code == "python-not-packaged"
    assert error.message == "Debian has no python3.99 here."
    assert error.causes[:2] == [f"pyenv has 3.99.4 at {pyenv}.", f"uv has 3.99.5 at {uv}."]
    assert "3.98" not in str(error)
    assert any('interpreter = "bundled"' in cause for cause in error.causes)
    assert f'python = "{minor}"' in error.hint and f"/usr/bin/python{minor}" in error.hint


def test_folders_of_version_managers_are_where_their_variables_say(make: MakeCase, tmp_path: Path) -> None:
    """PYENV_ROOT and UV_PYTHON_INSTALL_DIR."""
    case = make('python = "3.99"')
    case.environ |= {"PYENV_ROOT": str(tmp_path / "p"), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "u")}
    managed(tmp_path / "p/versions/3.99.4", "3.99.4")
    managed(tmp_path / "u/cpython-3.99.5+freethreaded-linux-x86_64-gnu", "3.99.5")
    assert [cause.split()[0] for cause in fail(case).causes[:2]] == ["pyenv", "uv"]


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on PATH")
@pytest.mark.parametrize("variable", ["", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"])
def test_uvs_folder_is_the_one_that_uv_tells(make: MakeCase, variable: str, tmp_path: Path) -> None:
    """`uv python dir` is not asked, for uv may not be there."""
    case = make('python = "3.99"')
    if variable:
        case.environ[variable] = str(tmp_path / "elsewhere")
    told = subprocess.run(
        ["uv", "python", "dir"], env=case.environ, capture_output=True, text=True, check=True
    ).stdout.strip()
    path = managed(Path(told) / "cpython-3.99.5-linux-x86_64-gnu", "3.99.5")
    assert f"uv has 3.99.5 at {path}." in fail(case).causes


def test_pythons_of_version_managers_are_named_where_debians_does_not_fit(make: MakeCase) -> None:
    """Those that fit."""
    case = make()
    case.environ.pop("PYENV_ROOT", None)
    for version in ("3.98.1", "3.99.4"):
        managed(Path(case.environ["HOME"], ".pyenv/versions", version), version)
    declare(case, ">=3.99")
    error = fail(case)
    assert error.code == "python-not-admitted"
    assert [cause[:16] for cause in error.causes if cause.startswith("pyenv")] == ["pyenv has 3.99.4"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An apt.conf of an apt that knows another Python, in folders of its own."""
    top = tmp_path / "apt"
    for name in ("repo", "etc/preferences.d", "lists/partial", "cache/archives/partial"):
        (top / name).mkdir(parents=True)
    (top / "repo/Packages").write_text(
        "".join(
            f"Package: {name}\nVersion: 3.99.4-1\nArchitecture: all\nFilename: ./x.deb\nSize: 1\n"
            f"SHA256: {'0' * 64}\nDescription: x\n\n"
            for name in ("python3.99", "python3.99-dev")
        )
    )
    (top / "etc/sources.list").write_text(f"deb [trusted=yes] file:{top}/repo ./\n")
    conf = top / "apt.conf"
    conf.write_text(
        f'Dir::Etc "{top}/etc";\nDir::State::lists "{top}/lists";\nDir::Cache "{top}/cache";\n'
        'APT::Sandbox::User "root";\n'
    )
    command = ["apt-get", "-qq", "update"]
    subprocess.run(
        command, env={**clean_environment(), "APT_CONFIG": str(conf)}, check=True, capture_output=True
    )
    return conf


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt here")
@pytest.mark.parametrize("way", ["python", "requires-python"])
def test_python_that_apt_knows_is_the_hint(way: str, make: MakeCase, minor: str, archive: Path) -> None:
    """Whether it is named, or none of those that are here fits."""
    case = make('python = "3.99"' if way == "python" else "")
    if way == "requires-python":
        declare(case, ">=3.99.4")
    case.environ["APT_CONFIG"] = str(archive)
    error = fail(case)
    assert error.code == ("python-not-found" if way == "python" else "python-not-admitted")
    assert error.hint.startswith("Add python3.99 to Build-Depends: apt-get install python3.99\n")
    assert f"/usr/bin/python{minor}" in error.hint


# --- What speaks of the version


def declare(case: Case, requires: str) -> None:
    """Give the project a range of versions."""
    path = case.source / "pyproject.toml"
    text = path.read_text()
    path.write_text(text.replace('version = "1.0"', f'version = "1.0"\nrequires-python = "{requires}"'))


def find(case: Case) -> Interpreter:
    """Choose the interpreter as a build does."""
    return choose_interpreter(read_configuration(case.source).spec("demo", {}, {}), Shell(), case.environ)


def refuse(case: Case) -> VenvpkgError:
    """Choose the interpreter where none fits, and return the error."""
    with pytest.raises(VenvpkgError) as caught:
        find(case)
    return caught.value


def test_version_file_that_fits_is_no_news(
    make: MakeCase, minor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The point release is Debian's to choose."""
    case = make()
    (case.source / ".python-version").write_text(f"{minor}.99\n")
    assert find(case).minor == minor
    assert capsys.readouterr().err == ""


def test_version_file_that_no_python_fits_is_a_warning(
    make: MakeCase, minor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A developer's pin may be newer than a server's Python; both are named, and what ends the warning."""
    case = make()
    (case.source / ".python-version").write_text("3.99.1\n")
    assert find(case).minor == minor
    said = capsys.readouterr().err
    assert f"warning: .python-version asks for 3.99.1; /usr/bin/python{minor} is {minor}." in said
    assert f'python = "{minor}"' in said


def test_key_python_beats_the_version_file_with_a_note(
    make: MakeCase, minor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That it is another is told, and is no warning."""
    case = make(f'python = "{minor}"')
    (case.source / ".python-version").write_text("3.99\n")
    assert find(case).minor == minor
    said = capsys.readouterr().err
    assert "note: .python-version asks for 3.99; the key python says" in said
    assert "warning" not in said


def test_version_file_without_a_version_of_cpython_is_a_note(
    make: MakeCase, minor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyPy, or the name of an environment."""
    case = make()
    (case.source / ".python-version").write_text("pypy3.10-7.3.12\n")
    assert find(case).minor == minor
    assert "note: .python-version asks for pypy3.10-7.3.12, which names" in capsys.readouterr().err


def test_conflict_names_everything_that_binds(make: MakeCase, minor: str) -> None:
    """The project, its lock, and Debian's Pythons."""
    case = make()
    declare(case, ">=3.8")
    (case.source / "uv.lock").write_text('version = 1\nrequires-python = ">=3.99"\n')
    error = refuse(case)
    assert error.code == "python-not-admitted"
    assert error.causes[:2] == ["pyproject.toml requires >=3.8.", "uv.lock requires >=3.99."]
    assert error.causes[2].startswith(f"Debian's here: /usr/bin/python{minor} is {minor}.")


def test_key_python_does_not_beat_what_binds(make: MakeCase) -> None:
    """A lock says for which versions it was made."""
    case = make('python = "python3"')
    (case.source / "uv.lock").write_text('version = 1\nrequires-python = ">=3.99"\n')
    assert refuse(case).code == "python-not-admitted"


def test_range_of_a_project_that_is_not_installed_is_only_a_wish(
    make: MakeCase, minor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With project = false the requirements alone are installed."""
    case = make("project = false")
    declare(case, ">=3.99")
    assert find(case).minor == minor
    assert "warning: pyproject.toml asks for >=3.99" in capsys.readouterr().err


def present(version: str) -> Present:
    """A Python of Debian's."""
    minor = ".".join(version.split(".")[:2])
    path = Path(f"/usr/bin/python{minor}")
    return Present(
        path=path,
        version=Version(version),
        implementation="CPython",
        cache_tag="",
        stdlib=Path("/"),
        origin=path,
    )


HERE = [present(version) for version in ("3.11.2", "3.13.0", "3.12.4", "3.9.1", "3.7.3")]


@pytest.mark.parametrize(
    ("binding", "wished", "chosen"),
    [
        ([], [], "3.11.2"),
        ([">=3.8"], [], "3.11.2"),
        ([">=3.12"], [], "3.13.0"),
        ([">=3.12", "<3.13"], [], "3.12.4"),
        (["<3.10"], [], "3.9.1"),
        ([], ["==3.12.*"], "3.12.4"),
        ([">=3.13"], ["==3.12.*"], "3.13.0"),
        ([">=3.8"], ["==3.99.*"], "3.11.2"),
        ([">=3.12"], ["==3.99.*"], "3.13.0"),
        ([], ["==3.99.*", "==3.9.*"], "3.9.1"),
        ([">=3.14"], [], None),
        (["<3.8"], [], None),
    ],
)
def test_choice_among_debians_pythons(binding: list[str], wished: list[str], chosen: str | None) -> None:
    """The default where it fits, else the newest that does; a wish decides among those that are admitted."""
    wishes = [Wish.range("x", text, binding=text in binding) for text in (*binding, *wished)]
    found = choose(HERE, wishes)
    assert (str(found.version) if found else None) == chosen
