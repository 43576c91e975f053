"""Where distributions come from: indexes, links, and what the machine is set to."""

from __future__ import annotations

import contextlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wheels
from builds import Case, fail

MakeCase = Callable[..., Case]
SECRET = "hunter2-is-secret"


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> str:
    """A simple index of the wheelhouse, as a file:// URL."""
    return wheels.write_index(tmp_path_factory.mktemp("index") / "simple", sorted(wheelhouse.iterdir()))


@pytest.fixture
def second_index(tmp_path: Path) -> str:
    """An index that has one distribution more."""
    wheel = wheels.write_wheel(tmp_path / "more", "wren-other")
    return wheels.write_index(tmp_path / "second", [wheel])


@pytest.fixture(scope="session")
def locked_index(index: str) -> Iterator[str]:
    """The host and port of a server on this machine that wants a password."""
    folder = Path(index.removeprefix("file://"))
    files = {p.name: p for page in folder.rglob("*.html") for p in linked(page)}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.headers.get("Authorization", "").startswith("Basic "):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                return
            name = self.path.rstrip("/").rsplit("/", 1)[-1]
            if name in files:
                body, kind = files[name].read_bytes(), "application/octet-stream"
            elif (folder / name / "index.html").exists() and name != "simple":
                links = linked(folder / name / "index.html")
                body = "".join(f'<a href="/files/{p.name}">{p.name}</a>' for p in links).encode()
                kind = "text/html"
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def linked(page: Path) -> list[Path]:
    """The files that a page of a file:// index links to."""
    parts = page.read_text().split('href="file://')[1:]
    return [Path(part.partition('"')[0]) for part in parts]


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


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_machines_extra_index_is_honoured(
    make: MakeCase, installer: str, index: str, second_index: str
) -> None:
    """Indexes that the machine gives to pip are equals: the newest of all counts."""
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


def argv_of_children() -> str:
    """The command lines of all processes."""
    seen = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - Path.glob asks after each entry, which may be gone
        if name.isdigit():
            with contextlib.suppress(OSError):
                seen.append(Path("/proc", name, "cmdline").read_bytes().decode("utf-8", "replace"))
    return "\n".join(seen)


def test_password_of_an_index_is_shown_nowhere(
    make: MakeCase, installer: str, locked_index: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither on a command line, nor in what DH_VERBOSE shows, nor in the tree, nor in debian/."""
    url = f"http://user:{SECRET}@{locked_index}/simple/"
    case = online(
        make(f'index-url = "{url}"', installer=installer, offline=False, dependencies=["wren-pure"])
    )
    case.verbose = True
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(argv_of_children())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        case.finish()
    finally:
        done.set()
        watcher.join()
    assert case.versions()["wren-pure"] == "2.0"
    assert any("wren" in text or "pip" in text for text in seen)
    assert not any(SECRET in text for text in seen)
    out = capfd.readouterr()
    assert "install" in out.err
    assert SECRET not in out.out + out.err
    needle = SECRET.encode()
    assert [name for name, data in case.files().items() if needle in data] == []


def test_password_is_in_no_error(
    make: MakeCase, installer: str, locked_index: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the installer quotes of a URL is cleaned first, in the verbose log as well."""
    url = f"http://user:{SECRET}@{locked_index}/simple/"
    case = online(
        make(f'index-url = "{url}"', installer=installer, offline=False, dependencies=["wren-nonesuch"])
    )
    case.verbose = True
    error = fail(case)
    assert error.code == "requirement-not-found"
    out = capfd.readouterr()
    assert SECRET not in str(error) + out.out + out.err


def test_password_in_an_unreachable_url_is_in_no_error(
    make: MakeCase, installer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that is refused quotes the URL as well."""
    url = f"http://user:{SECRET}@127.0.0.1:9/simple/"
    case = online(
        make(f'index-url = "{url}"', installer=installer, offline=False, dependencies=["wren-pure"])
    )
    case.environ |= {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    case.verbose = True
    error = fail(case)
    assert error.code in ("index-unreachable", "requirement-not-found")
    out = capfd.readouterr()
    assert SECRET not in str(error) + out.out + out.err
