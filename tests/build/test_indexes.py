"""Where distributions come from: indexes, links, and what the machine is set to."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import wheels
from builds import PYTHON, Case, fail
from indexes import Index, Watch, forms, holders, serve
from venvpkg import pipeline
from venvpkg.installers import find_installer, warn_of_mixed_indexes
from venvpkg.interpreter import find_interpreter
from venvpkg.plan import make_plan

MakeCase = Callable[..., Case]
Setting = Callable[[Case, Index], object]
USER, SECRET = "me@work", "hunter2@:/?#% is-secret"
LONG = "hunter2-is-secret"


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> str:
    """A simple index of the wheelhouse, as a file:// URL."""
    return wheels.write_index(tmp_path_factory.mktemp("index") / "simple", sorted(wheelhouse.iterdir()))


@pytest.fixture
def second_index(tmp_path: Path) -> str:
    """An index that has one distribution more."""
    wheel = wheels.write_wheel(tmp_path / "more", "wren-other")
    return wheels.write_index(tmp_path / "second", [wheel])


@pytest.fixture
def locked_index(wheelhouse: Path) -> Iterator[Index]:
    """A server on this machine that wants a password which has every sign that a URL can't hold."""
    with serve(wheelhouse.glob("wren_pure*.whl"), user=USER, password=SECRET) as index:
        yield index


def online(case: Case) -> Case:
    """Let pip and uv find an index; none is reached but what the test gives."""
    case.environ.update(no_proxy="127.0.0.1", NO_PROXY="127.0.0.1")
    return case


def test_index_url_is_where_distributions_come_from(make: MakeCase, installer: str, index: str) -> None:
    """The key takes any URL."""
    case = make(f'index-url = "{index}"', installer=installer, offline=False, dependencies=["wren-needs"])
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-needs": "1.0", "wren-pure": "2.0"}


def test_extra_index_is_asked_too(make: MakeCase, installer: str, index: str, second_index: str) -> None:
    """Beside the first."""
    config = f'index-url = "{index}"\nextra-index-url = ["{second_index}"]'
    case = make(config, installer=installer, offline=False, dependencies=["wren-other", "wren-pure"])
    case.build()
    assert set(case.distributions()) == {"demo", "wren-other", "wren-pure"}


def test_find_links_are_relative_to_the_source(
    make: MakeCase, installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the step is started from; several places are asked."""
    config = 'no-index = true\nfind-links = ["vendor/one", "vendor/two"]'
    case = make(config, installer=installer, offline=False, dependencies=["wren-a1", "wren-b2"])
    wheels.write_wheel(case.source / "vendor/one", "wren-a1")
    wheels.write_wheel(case.source / "vendor/two", "wren-b2")
    monkeypatch.chdir(tmp_path)
    case.build()
    assert set(case.distributions()) == {"demo", "wren-a1", "wren-b2"}


def test_no_index_asks_no_index(make: MakeCase, installer: str, index: str, tmp_path: Path) -> None:
    """Though the machine is set to one that has it."""
    (tmp_path / "empty").mkdir()
    config = f'no-index = true\nfind-links = ["{tmp_path / "empty"}"]'
    case = make(config, installer=installer, offline=False, dependencies=["wren-pure"])
    case.environ["PIP_INDEX_URL"] = case.environ["UV_DEFAULT_INDEX"] = index
    assert fail(case).code == "requirement-not-found"


@pytest.mark.parametrize(
    ("installer", "how"),
    [("uv", "PIP_INDEX_URL"), ("uv", "pip.conf"), ("uv", "legacy pip.conf"), ("pip", "pip.conf")],
)
def test_machines_pip_index_is_honoured(make: MakeCase, installer: str, how: str, index: str) -> None:
    """By uv as well: whoever set a mirror for pip meant every download."""
    case = make(installer=installer, offline=False, dependencies=["wren-pure"])
    if how == "PIP_INDEX_URL":
        case.environ[how] = index
    else:
        write_pip_conf(case, f"[global]\nindex-url = {index}\n", legacy=how.startswith("legacy"))
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


def write_pip_conf(case: Case, text: str, *, legacy: bool = False) -> None:
    """Write the user's pip.conf, and let pip read it."""
    case.environ.pop("PIP_CONFIG_FILE", None)
    path = Path(case.environ["HOME"]) / (".pip/pip.conf" if legacy else ".config/pip/pip.conf")
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize(("installer", "how"), [("uv", "variable"), ("uv", "pip.conf"), ("pip", "variable")])
def test_machines_pip_links_are_honoured(
    make: MakeCase, installer: str, how: str, wheelhouse: Path, tmp_path: Path
) -> None:
    """PIP_FIND_LINKS with several places, and pip.conf with a line for each."""
    wheel = wheels.write_wheel(tmp_path / "more", "wren-other")
    case = make(
        "no-index = true", installer=installer, offline=False, dependencies=["wren-pure", "wren-other"]
    )
    if how == "variable":
        case.environ["PIP_FIND_LINKS"] = f"{wheelhouse} {wheel.parent}"
    else:
        write_pip_conf(case, f"[install]\nfind-links =\n    {wheelhouse}\n    {wheel.parent}\n")
    case.build()
    assert set(case.distributions()) == {"demo", "wren-pure", "wren-other"}


def test_machines_extra_index_is_honoured(
    make: MakeCase, installer: str, index: str, second_index: str
) -> None:
    """Beside the first."""
    case = make(installer=installer, offline=False, dependencies=["wren-other", "wren-pure"])
    case.environ |= {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": second_index}
    case.build()
    assert set(case.distributions()) == {"demo", "wren-other", "wren-pure"}


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_machines_constraint_is_honoured(make: MakeCase, installer: str, tmp_path: Path) -> None:
    """PIP_CONSTRAINT holds for uv too."""
    (tmp_path / "limits.txt").write_text("wren-pure<2\n")
    case = make(installer=installer, dependencies=["wren-pure"])
    case.environ["PIP_CONSTRAINT"] = str(tmp_path / "limits.txt")
    case.build()
    assert case.versions()["wren-pure"] == "1.0"


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"])
def test_uvs_own_variables_are_honoured(make: MakeCase, name: str, index: str, second_index: str) -> None:
    """And beat what pip is set to."""
    case = make(offline=False, dependencies=["wren-pure"])
    case.environ |= {"PIP_INDEX_URL": second_index, name: index}
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


def test_uvs_links_are_honoured(make: MakeCase, wheelhouse: Path) -> None:
    """UV_FIND_LINKS."""
    case = make("no-index = true", offline=False, dependencies=["wren-pure"])
    case.environ["UV_FIND_LINKS"] = str(wheelhouse)
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


def test_uvs_other_settings_do_not_break_the_build(make: MakeCase) -> None:
    """What images for containers set: it is meant for another place than our environment."""
    case = make(dependencies=["wren-pure"])
    case.environ |= {"UV_SYSTEM_PYTHON": "1", "UV_COMPILE_BYTECODE": "1", "UV_MANAGED_PYTHON": "1"}
    case.environ["UV_LINK_MODE"] = "symlink"
    case.finish()
    assert not case.site.joinpath("wren_pure").is_symlink()
    assert case.ask("import wren_pure; print(wren_pure.__version__)") == "2.0"


def test_pips_other_settings_do_not_break_the_build(make: MakeCase) -> None:
    """A user who may install nowhere but in environments, or at home."""
    case = make(installer="pip", dependencies=["wren-pure"])
    case.environ |= {"PIP_REQUIRE_VIRTUALENV": "1", "PIP_USER": "1", "PIP_TARGET": "/nonexistent"}
    case.build()
    assert "wren-pure" in case.distributions()


def test_key_beats_the_machines_setting(
    make: MakeCase, installer: str, index: str, second_index: str
) -> None:
    """The project knows best where its distributions are."""
    case = make(f'index-url = "{index}"', installer=installer, offline=False, dependencies=["wren-pure"])
    case.environ |= {"PIP_INDEX_URL": second_index, "UV_DEFAULT_INDEX": second_index}
    case.build()
    assert case.versions()["wren-pure"] == "2.0"


# --- secrets


def as_variable(name: str) -> Setting:
    """The URL with its password, in a variable."""
    return lambda case, index: case.environ.update({name: index.url_with_password})


def as_netrc(variable: str = "") -> Setting:
    """A netrc(5) at home, or one that a variable names."""

    def write(case: Case, index: Index) -> None:
        home = Path(case.environ["HOME"])
        place = home / ("elsewhere" if variable else ".netrc")
        place.write_text(f'machine 127.0.0.1 login {USER} password "{index.password}"\n')
        place.chmod(0o600)
        case.environ.update({variable: str(place)} if variable else {})
        case.environ["PIP_INDEX_URL"] = index.url

    return write


def as_keyring(case: Case, index: Index) -> None:
    """A program ``keyring`` on PATH, which both installers ask for the password of a user."""
    folder = Path(case.environ["HOME"]) / "bin"
    folder.mkdir()
    (folder / "word").write_text(index.password)
    (folder / "keyring").write_text(
        f'#!/bin/sh\n[ "$1 $3" = "get {USER}" ] || exit 1\ncat "{folder}/word"\necho\n'
    )
    (folder / "keyring").chmod(0o755)
    user = quote(USER, safe="")
    case.environ |= {
        "PATH": f"{folder}:{case.environ['PATH']}",
        "PIP_INDEX_URL": index.url.replace("://", f"://{user}@"),
        "PIP_KEYRING_PROVIDER": "subprocess",
    }


def as_pip_conf(case: Case, index: Index) -> None:
    """The user's configuration of pip."""
    write_pip_conf(case, f"[global]\nindex-url = {index.url_with_password}\n")


def as_key(case: Case, index: Index) -> None:
    """A key that names variables."""
    configure(case, f'index-url = "{index.url.replace("://", "://${OUR_USER}:${OUR_WORD}@")}"')
    case.environ |= {"OUR_USER": USER, "OUR_WORD": index.password}


def as_requirements(case: Case, index: Index) -> None:
    """A line of a requirements file, in which pip and uv know variables."""
    line = f"--index-url {index.url.replace('://', '://${OUR_USER}:${OUR_WORD}@')}"
    (case.source / "requirements.txt").write_text(f"{line}\nwren-pure\n")
    case.environ |= {"OUR_USER": quote(USER, safe=""), "OUR_WORD": quote(index.password, safe="")}


def as_parts(case: Case, index: Index) -> None:
    """A user and a password of their own for an index by name, as uv has them."""
    case.environ |= {
        "UV_INDEX": f"ours={index.url}",
        "UV_INDEX_OURS_USERNAME": USER,
        "UV_INDEX_OURS_PASSWORD": index.password,
    }


def configure(case: Case, line: str) -> None:
    """Add a line to ``[tool.venvpkg]``, which comes last in pyproject.toml."""
    with (case.source / "pyproject.toml").open("a") as stream:
        stream.write(f"{line}\n")


SOURCES: dict[str, Setting] = {
    "PIP_INDEX_URL": as_variable("PIP_INDEX_URL"),
    "DH_VENVPKG_INDEX_URL": as_variable("DH_VENVPKG_INDEX_URL"),
    "pip.conf": as_pip_conf,
    "netrc": as_netrc(),
    "NETRC": as_netrc("NETRC"),
    "keyring": as_keyring,
    "a key with variables": as_key,
    "a requirements file with variables": as_requirements,
}
SOURCES_OF_UV: dict[str, Setting] = {
    "UV_DEFAULT_INDEX": as_variable("UV_DEFAULT_INDEX"),
    "UV_INDEX_OURS_PASSWORD": as_parts,
}


def build_in_the_open(case: Case, index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Build with everything shown, and look for the password wherever it may not be."""
    needles = forms(index.user, index.password)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    case.verbose = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        with Watch(needles, pause=0.05) as watch:
            case.finish()
    assert case.versions()["wren-pure"] == "2.0"
    assert index.refused > 0 or "://" in case.environ.get("PIP_INDEX_URL", "://")
    assert index.served > 0
    assert any("pip" in words and "install" in words for words in watch.programs)
    assert watch.exposed == []
    out = capfd.readouterr()
    assert "install" in out.err
    assert [n for n in needles if n.decode() in out.out + out.err] == []
    assert holders(needles, case.source, temporary) == []


def test_password_on_a_command_line_is_seen() -> None:
    """Or the tests here would show nothing."""
    needles = forms(USER, LONG)
    with Watch(needles) as watch:
        subprocess.run(
            ["sh", "-c", "sleep 0.4", "sh", f"--index-url=https://{USER}:{LONG}@e.org"], check=True
        )
    assert any("sleep 0.4" in words for words in watch.exposed)


@pytest.mark.parametrize("how", SOURCES)
def test_password_reaches_the_index_and_nothing_else(
    make: MakeCase,
    installer: str,
    how: str,
    locked_index: Index,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """From wherever it comes, it is on no command line, in no log, and in no file of the build."""
    case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
    SOURCES[how](case, locked_index)
    build_in_the_open(case, locked_index, tmp_path, capfd)


@pytest.mark.parametrize("how", SOURCES_OF_UV)
def test_password_of_uvs_own_settings_reaches_the_index_and_nothing_else(
    make: MakeCase, how: str, locked_index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They beat pip's."""
    case = online(make(offline=False, dependencies=["wren-pure"]))
    SOURCES_OF_UV[how](case, locked_index)
    build_in_the_open(case, locked_index, tmp_path, capfd)


def wrong_password(case: Case, index: Index) -> None:
    """The one that is sent is not the one that is wanted."""
    index.password = "another one"


def forbidden(case: Case, index: Index) -> None:
    """The server knows the user, and does not let him in."""
    index.password, index.refusal = "another one", 403


def not_there(case: Case, index: Index) -> None:
    """The index has no such name."""
    index.files = {}


def gone(case: Case, index: Index) -> None:
    """It links to a file that is not there."""
    index.beside = index.url_with_password.replace("/simple/", "/gone/")


def mismatch(case: Case, index: Index) -> None:
    """Its files are not what it says."""
    index.wrong_hash = True


def refused(case: Case, index: Index) -> None:
    """Nobody listens there."""
    case.environ["PIP_INDEX_URL"] = case.environ["PIP_INDEX_URL"].replace(index.host, "127.0.0.1:9")


# uv's and pip's: pip says nothing of why it found nothing.
FAILING: tuple[tuple[Setting, tuple[str, ...]], ...] = (
    (wrong_password, ("index-refused", "requirement-not-found")),
    (forbidden, ("index-refused", "requirement-not-found")),
    (not_there, ("requirement-not-found", "requirement-not-found")),
    (gone, ("index-unreachable", "install-failed")),
    (mismatch, ("hash-mismatch", "hash-mismatch")),
    (refused, ("index-unreachable", "requirement-not-found")),
)


@pytest.mark.parametrize(("fails", "codes"), FAILING, ids=[f.__name__ for f, _ in FAILING])
def test_password_is_in_no_error(
    make: MakeCase,
    installer: str,
    fails: Setting,
    codes: tuple[str, ...],
    locked_index: Index,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever goes wrong, and though the installer says all that it can; nor in what is left on the disk."""
    case = online(
        make('installer-args = ["-v"]', installer=installer, offline=False, dependencies=["wren-pure"])
    )
    case.environ |= {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    case.environ["PIP_INDEX_URL"] = locked_index.url_with_password
    needles = forms(locked_index.user, locked_index.password)
    fails(case, locked_index)
    case.verbose = True
    error = fail(case)
    assert error.code == codes[installer == "pip"]
    out = capfd.readouterr()
    shown = str(error) + out.out + out.err
    assert [n for n in needles if n.decode() in shown] == []
    assert holders(needles, case.source) == []


def test_argument_with_a_password_is_refused(
    make: MakeCase, installer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The installer would get it on its command line."""
    case = make(installer=installer)
    configure(case, f'installer-args = ["--index-url", "https://me:{LONG}@e.org/simple"]')
    case.verbose = True
    error = fail(case)
    out = capfd.readouterr()
    assert error.code == "credentials-exposed"
    assert LONG not in str(error) + out.out + out.err and "https://***@e.org" in str(error)


def test_variable_that_is_not_set_is_told(make: MakeCase, installer: str) -> None:
    """Before anything is asked; an empty one is none."""
    case = make(installer=installer, offline=False)
    configure(case, 'extra-index-url = ["https://${OUR_USER}:${OUR_WORD}@e.org/simple"]')
    case.environ["OUR_WORD"] = ""
    error = fail(case)
    assert error.code == "variable-unset"
    assert "OUR_USER, OUR_WORD" in error.message and "export OUR_USER=… OUR_WORD=…" in error.hint


@pytest.mark.parametrize("how", ["key", "PIP_INDEX_URL", "pip.conf"])
def test_password_that_no_url_can_hold_is_told_before_it_is_quoted(
    make: MakeCase, installer: str, how: str
) -> None:
    """An installer would say that "half" is no number of a port."""
    url = "http://me:half/word@127.0.0.1:9/simple/"
    case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
    if how == "key":
        configure(case, f'index-url = "{url}"')
    elif how == "pip.conf":
        write_pip_conf(case, f"[global]\nindex-url = {url}\n")
    else:
        case.environ[how] = url
    error = fail(case)
    assert error.code == "index-invalid"
    assert "half" not in str(error) and "word@" not in str(error)


def test_password_in_the_configuration_is_kept_in_no_file(
    make: MakeCase, installer: str, locked_index: Index
) -> None:
    """Though it stands in pyproject.toml; the gate reads it there again, and finds it in a module."""
    case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
    configure(case, f'index-url = "{locked_index.url_with_password}"')
    leak = case.source / "demo" / "settings.py"
    leak.write_text(f"WORD = {locked_index.password!r}\n")
    case.finish()
    needles = forms(locked_index.user, locked_index.password)
    assert holders(needles, case.source / "debian/.debhelper") == []
    assert case.state.values["index-url"] == locked_index.url_with_password
    told = {f.path.rpartition("/")[2] for f in case.gate() if f.code == "V012"}
    assert "settings.py" in told and all(name.startswith("settings.") for name in told)


def test_url_of_a_requirement_keeps_its_password_to_itself(
    make: MakeCase, installer: str, locked_index: Index, wheelhouse: Path
) -> None:
    """direct_url.json has where a requirement came from, and not with what."""
    url = locked_index.url_with_password.replace("/simple/", "/files/wren_pure-1.0-py3-none-any.whl")
    case = online(make(installer=installer, dependencies=[]))
    (case.source / "requirements.txt").write_text(f"wren-pure @ {url}\n")
    case.finish()
    assert case.versions()["wren-pure"] == "1.0"
    needles = forms(locked_index.user, locked_index.password)
    assert [name for name, data in case.files().items() if any(n in data for n in needles)] == []
    assert holders(needles, case.source / "debian") == []


def test_lock_of_a_private_index_is_exported_without_its_password(
    make: MakeCase, installer: str, locked_index: Index
) -> None:
    """A lock of uv's whose index has a name, and the variables of that name; pip has its own."""
    uv = shutil.which("uv")
    if not uv:
        pytest.skip("uv is not on PATH")
    case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
    configure(case, f'[[tool.uv.index]]\nname = "ours"\nurl = "{locked_index.url}"\ndefault = true')
    pyproject = case.source / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace("[project]\n", '[project]\nrequires-python = ">=3.11"\n')
    )
    case.environ |= {"UV_INDEX_OURS_USERNAME": USER, "UV_INDEX_OURS_PASSWORD": locked_index.password}
    if installer == "pip":
        case.environ["PIP_INDEX_URL"] = locked_index.url_with_password
    subprocess.run([uv, "lock", "-q", "-p", PYTHON], cwd=case.source, env=case.environ, check=True)
    locked_index.seen.clear()
    case.finish()
    assert case.versions()["wren-pure"] == "2.0"
    assert locked_index.served > 0
    (exported,) = case.source.glob("debian/.debhelper/venvpkg/demo/requirements/uv.lock-*.txt")
    assert "wren-pure==2.0" in exported.read_text() and "--hash=" in exported.read_text()
    assert holders(forms(locked_index.user, locked_index.password), case.source) == []


@pytest.mark.parametrize("home", [None, "/nonexistent", "/dev/null/home"])
def test_build_without_a_home(
    make: MakeCase, installer: str, home: str | None, locked_index: Index, tmp_path: Path
) -> None:
    """debhelper, sbuild and pbuilder set HOME to what is not there, or can't be."""
    case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
    for name in ("HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR"):
        case.environ.pop(name, None)
    case.environ |= {"PIP_INDEX_URL": locked_index.url_with_password} | (
        {} if home is None else {"HOME": home}
    )
    if home is None:
        # The user's own cache is none of a test's business.
        case.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    case.finish()
    assert case.versions()["wren-pure"] == "2.0"
    assert not Path("/nonexistent").exists()


# --- dependency confusion


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Index]:
    """The company's own index, which has a distribution of that name, in the right version."""
    with serve([wheels.write_wheel(tmp_path / "ours", "wren-internal", "1.0")]) as index:
        yield index


@pytest.fixture
def public(tmp_path: Path, wheelhouse: Path) -> Iterator[Index]:
    """Where everyone may upload, somebody has: the same name with a higher version."""
    evil = wheels.write_wheel(tmp_path / "public", "wren-internal", "99.0")
    with serve([evil, *wheelhouse.glob("wren_pure*.whl")]) as index:
        yield index


def name_twice(case: Case, how: str, ours: Index, public: Index) -> None:
    """Name the company's index beside the public one."""
    if how == "key":
        configure(case, f'index-url = "{public.url}"\nextra-index-url = ["{ours.url}"]')
        return
    case.environ["PIP_INDEX_URL"] = public.url
    if how == "pip.conf":
        write_pip_conf(case, f"[global]\nextra-index-url = {ours.url}\n")
    elif how == "requirements":
        with (case.source / "more.txt").open("w") as stream:
            stream.write(f"--extra-index-url {ours.url}\n")
        (case.source / "requirements.txt").write_text("-r more.txt\nwren-internal\nwren-pure\n")
    else:
        case.environ[how] = ours.url


def warnings(case: Case, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What is said of several indexes."""
    capfd.readouterr()
    (spec,) = pipeline.read_specs(case.call(), case.world())
    run = case.world().run
    interpreter = find_interpreter(spec.python, "", run, case.environ)
    plan = make_plan(spec, interpreter, case.root)
    warn_of_mixed_indexes(plan, find_installer(spec, run, case.environ), case.environ)
    return [line for line in capfd.readouterr().err.splitlines() if "warning" in line]


NAMED = ["key", "PIP_EXTRA_INDEX_URL", "pip.conf", "requirements"]


@pytest.mark.parametrize("how", [*NAMED, "UV_INDEX", "UV_EXTRA_INDEX_URL"])
def test_uv_takes_a_name_from_the_first_index_that_has_it(
    make: MakeCase, how: str, ours: Index, public: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    """The company's own, and nobody replaces what it has; the order is told."""
    case = online(make(offline=False, dependencies=["wren-internal", "wren-pure"]))
    name_twice(case, how, ours, public)
    (line,) = warnings(case, capfd)
    assert f"{ours.url}, {public.url}" in line and "dependency confusion" in line
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-internal": "1.0", "wren-pure": "2.0"}


@pytest.mark.parametrize("how", NAMED)
def test_pip_takes_the_highest_version_and_a_warning_says_so(
    make: MakeCase, how: str, ours: Index, public: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is no other way with pip; the warning explains, and shows no password."""
    ours.user, ours.password = USER, SECRET
    case = online(make(installer="pip", offline=False, dependencies=["wren-internal", "wren-pure"]))
    name_twice(case, how, ours, public)
    (line,) = warnings(case, capfd)
    assert "highest version" in line and "dependency confusion" in line
    assert ours.url in line and public.url in line


@pytest.mark.parametrize("beside", ["ours", "public"])
def test_hashes_tell_the_indexes_apart(
    make: MakeCase,
    installer: str,
    beside: str,
    ours: Index,
    public: Index,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A pin is found in whichever has it, also behind one that has the name in other versions."""
    pins = {
        "wren-internal==1.0": ours.files["wren_internal-1.0-py3-none-any.whl"],
        "wren-pure==1.0": public.files["wren_pure-1.0-py3-none-any.whl"],
    }
    other = wheels.write_wheel(tmp_path / "ours", "wren-pure", "3.0")
    ours.files = {**ours.files, other.name: other}
    case = online(make(installer=installer, offline=False))
    lines = [f"{pin} --hash={wheels.hash_of(file)}\n" for pin, file in pins.items()]
    (case.source / "requirements.txt").write_text("".join(lines))
    first, second = (public, ours) if beside == "ours" else (ours, public)
    case.environ |= {"PIP_INDEX_URL": first.url, "PIP_EXTRA_INDEX_URL": second.url}
    assert warnings(case, capfd) == []
    case.build()
    assert case.versions() == {"demo": "1.0", "wren-internal": "1.0", "wren-pure": "1.0"}


def test_what_has_no_hash_beside_the_requirements_is_warned_of(
    make: MakeCase, installer: str, ours: Index, public: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may come from the wrong index."""
    case = online(make('preinstall = ["wren-pure"]', installer=installer, offline=False))
    pin = wheels.hash_of(public.files["wren_pure-1.0-py3-none-any.whl"])
    (case.source / "requirements.txt").write_text(f"wren-pure==1.0 --hash={pin}\n")
    name_twice(case, "PIP_EXTRA_INDEX_URL", ours, public)
    assert len(warnings(case, capfd)) == 1


def test_uv_asks_no_later_index_for_a_higher_version(make: MakeCase, ours: Index, public: Index) -> None:
    """Without hashes: what the first one has is all that there is of a name."""
    case = online(make(offline=False, dependencies=["wren-internal>=2"]))
    name_twice(case, "PIP_EXTRA_INDEX_URL", ours, public)
    assert fail(case).code == "requirement-not-found"


def test_one_index_is_not_warned_of(
    make: MakeCase, installer: str, public: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same one twice is one; none at all is fine as well."""
    case = online(make(installer=installer, offline=False))
    case.environ |= {"PIP_INDEX_URL": public.url, "PIP_EXTRA_INDEX_URL": public.url}
    assert warnings(case, capfd) == []
    configure(case, "no-index = true")
    case.environ["PIP_EXTRA_INDEX_URL"] = "https://e.org/simple"
    assert warnings(case, capfd) == []


def test_uv_asks_no_other_index_where_one_refuses(make: MakeCase, ours: Index, public: Index) -> None:
    """A wrong password does not open the door for whoever is next."""
    ours.user, ours.password = USER, SECRET
    case = online(make(offline=False, dependencies=["wren-internal"]))
    case.environ |= {"PIP_INDEX_URL": public.url, "PIP_EXTRA_INDEX_URL": ours.url}
    assert fail(case).code in ("index-refused", "requirement-not-found")
    assert all("wren-internal" not in path for path, _ in public.seen)


# --- kinds of indexes


@pytest.mark.parametrize("as_json", [False, True], ids=["HTML", "JSON"])
def test_files_of_another_host_come_without_the_password(
    make: MakeCase, installer: str, as_json: bool, wheelhouse: Path
) -> None:
    """PEP 503 and PEP 691; it is for the index alone."""
    files = list(wheelhouse.glob("wren_pure*.whl"))
    with serve(files) as beside, serve(files, user=USER, password=SECRET, as_json=as_json) as index:
        # The same machine by another name: netrc and pip tell hosts apart, not ports.
        index.beside = f"http://localhost:{beside.host.partition(':')[2]}/files/"
        case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
        case.environ["PIP_INDEX_URL"] = index.url_with_password
        case.build()
        assert case.versions()["wren-pure"] == "2.0"
        assert index.served > 0 and len(beside.seen) > 0
        assert [header for _, header in beside.seen if header] == []


@pytest.mark.parametrize("as_json", [False, True], ids=["HTML", "JSON"])
def test_relative_links_are_followed(make: MakeCase, installer: str, as_json: bool, wheelhouse: Path) -> None:
    """They are relative to the page."""
    with serve(wheelhouse.glob("wren_pure*.whl"), as_json=as_json) as index:
        case = online(make(f'index-url = "{index.url}"', installer=installer, offline=False))
        (case.source / "requirements.txt").write_text("wren-pure==1.0\n")
        case.build()
        assert case.versions()["wren-pure"] == "1.0"
        assert "/files/wren_pure-1.0-py3-none-any.whl" in [path for path, _ in index.seen]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine with its key; beside it, ``ca.crt`` is that of the authority, our own."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not on PATH")
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "of.cnf").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    new = "openssl req -newkey rsa:2048 -nodes"
    for line in (
        f"{new} -x509 -days 2 -subj /CN=Ours -keyout ca.key -out ca.crt",
        f"{new} -subj /CN=127.0.0.1 -keyout of.key -out of.csr",
        "openssl x509 -req -days 2 -in of.csr -CA ca.crt -CAkey ca.key -CAcreateserial"
        " -extfile of.cnf -out of.crt",
    ):
        subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
    (folder / "of.pem").write_text((folder / "of.key").read_text() + (folder / "of.crt").read_text())
    return folder / "of.pem"


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE", "PIP_TRUSTED_HOST", ""])
def test_companys_own_authority_is_trusted_where_either_installer_is_told_so(
    make: MakeCase, installer: str, variable: str, certificate: Path, wheelhouse: Path
) -> None:
    """And nobody's where none is."""
    with serve(
        wheelhouse.glob("wren_pure*.whl"), user=USER, password=SECRET, certificate=certificate
    ) as index:
        case = online(make(installer=installer, offline=False, dependencies=["wren-pure"]))
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            case.environ.pop(name, None)
        case.environ |= {"PIP_INDEX_URL": index.url_with_password, "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
        if not variable:
            assert fail(case).code in ("index-unreachable", "requirement-not-found")
            return
        authority = str(certificate.with_name("ca.crt"))
        case.environ[variable] = "127.0.0.1" if variable == "PIP_TRUSTED_HOST" else authority
        case.build()
        assert case.versions()["wren-pure"] == "2.0"
        assert index.served > 0
