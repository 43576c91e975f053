"""As a reader of the documentation: files are written, commands typed, and what is shown is compared."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from checkout import build_wheel
from documents import DOCS, Block, fits, pages_to_run, read_blocks
from indexes import serve
from roots import CommandFailed, Root, RootFactory, locked
from wheels import write_wheel

pytestmark = [pytest.mark.root, pytest.mark.network]

HOME = "/home/ada"
# What the tutorial would have installed first: it takes a minute, and tests/package/test_front_door.py begins
# without it.
TOOLS = ("build-essential", "debhelper", "devscripts", "python3-venv")
PATH = f"/root/tool/bin:/usr/local/bin:{os.defpath}:/usr/sbin:/sbin"
STATE = "/run/venvpkg-tests/reader"
# A minimal root has no sudo, and apt's questions are for people. What it downloaded is shared between roots,
# and it does not wait for the lock there.
SUDO = '#!/bin/sh\nexec "$@"\n'
APT = 'APT::Get::Assume-Yes "true";\nDpkg::Use-Pty "0";\nDebug::NoLocking "true";\n'


@dataclass(kw_only=True)
class Reader:
    """Somebody at a bare Debian with venvpkg from its wheel, and a server beside it."""

    desk: Root
    server: Root
    folder: str = HOME
    """Where the reader is."""
    hosts: dict[str, str] = field(default_factory=dict)
    """What stands in the place of hosts that a page names."""
    commands: int = 0
    seconds: float = 0.0

    def follow(self, page: Path) -> None:
        """Do what a page says, from its first line to its last."""
        begun = time.monotonic()
        printed = ""
        for block in read_blocks(page):
            if block.name:
                self.write(block)
            elif block.language == "sh" and block.not_run is None:
                printed = self.type(block)
            elif block.language == "sh":
                self.copy_packages()
            elif block.language == "text":
                missing = fits(block.text, printed)
                assert missing is None, f"{block} shows what was not printed: {missing}\n{printed}"
        self.seconds = time.monotonic() - begun

    def write(self, block: Block) -> None:
        """Write a file that a page gives in full."""
        target = self.desk.inside(str(Path(self.folder, block.name)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.put(block.text))
        if target.name == "rules" or target.suffix == ".sh":
            target.chmod(0o755)

    def put(self, text: str) -> str:
        """Put what there is into the place of the hosts that a page names."""
        for name, real in self.hosts.items():
            text = text.replace(name, real)
        return text

    def type(self, block: Block) -> str:
        """Type the commands of a block into one shell, and return what they print."""
        on_server = block.place == "on the server"
        root = self.server if on_server else self.desk
        # What a block exports, and where it goes, holds in the next one.
        script = f"test ! -f {STATE}/env || . {STATE}/env\nset -e\n{self.put(block.text)}\n"
        script += f"set +e\nexport -p >{STATE}/env; pwd >{STATE}/pwd\n"
        script = f"trap 'pwd >{STATE}/pwd' EXIT\n" + script
        root.inside(STATE).mkdir(parents=True, exist_ok=True)
        # Two that download the same file at once would spoil it.
        takes_apt = re.search(r"\bapt\b|--install-build-depends", block.text)
        with locked(root.base.cache / "archives-bookworm.lock") if takes_apt else contextlib.nullcontext():
            done = root.run(
                script,
                cwd="/root" if on_server else self.folder,
                env={"PATH": PATH, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
                network=block.place != "without a network",
                check=False,
            )
        print(f"{block}\n{block.text}{done.stdout}")
        if done.returncode != block.status:
            raise CommandFailed([str(block)], done)
        if not on_server:
            self.folder = root.inside(f"{STATE}/pwd").read_text().strip()
        self.commands += len(block.commands)
        return done.stdout

    def copy_packages(self) -> None:
        """Copy what was built to the server, as scp would."""
        for deb in self.desk.inside(f"{self.folder}/dist").glob("*.deb"):
            shutil.copy(deb, self.server.inside("/root"))


@pytest.fixture(scope="module")
def reader(
    root_factory: RootFactory, dh_venvpkg_deb: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """One for all pages: what is installed for one is there for the next."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    with (
        root_factory.base("bookworm", TOOLS).open() as desk,
        root_factory.base("bookworm").open() as server,
    ):
        for root in (desk, server):
            sudo = root.inside("/usr/local/bin/sudo")
            sudo.write_text(SUDO)
            sudo.chmod(0o755)
            root.inside("/etc/apt/apt.conf.d/90reader").write_text(APT)
        desk.inside(HOME).mkdir(parents=True)
        desk.copy_in(dh_venvpkg_deb, f"/root/{dh_venvpkg_deb.name}")
        desk.copy_in(wheel, f"/root/{wheel.name}")
        desk.run(f"/usr/bin/python3 -m venv tool && tool/bin/pip install -q ./{wheel.name}", cwd="/root")
        yield Reader(desk=desk, server=server)


@pytest.fixture(scope="module")
def tutorial(reader: Reader) -> str:
    """The folder of the tutorial's project when its reader has come to the end."""
    reader.folder = HOME
    reader.follow(DOCS / "tutorial.md")
    return reader.folder


@contextlib.contextmanager
def private_index(reader: Reader, folder: Path) -> Iterator[None]:
    """The index of packages.example.org, which wants a password."""
    wheel = write_wheel(folder, "example-greetings")
    with serve([wheel], user="ci", password="correct horse battery") as index:
        # A netrc knows no ports.
        reader.hosts = {
            "https://${CI_USER}:${CI_TOKEN}@packages.example.org": f"http://${{CI_USER}}:${{CI_TOKEN}}@{index.host}",
            "https://packages.example.org": f"http://{index.host}",
            "packages.example.org": "127.0.0.1",
        }
        yield
        assert index.served > 0


@contextlib.contextmanager
def web_server(reader: Reader, folder: Path) -> Iterator[None]:
    """A web server for the folder /srv of the reader's machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(reader.desk.inside("/srv")))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        reader.hosts = {"https://packages.example.org": f"http://127.0.0.1:{server.server_port}"}
        try:
            yield
        finally:
            server.shutdown()


AROUND: dict[str, Callable[[Reader, Path], contextlib.AbstractContextManager[None]]] = {
    "private-index.md": private_index,
    "apt-repository.md": web_server,
}


def test_tutorial(reader: Reader, tutorial: str) -> None:
    """From nothing to a package that came, was replaced and went; its program answers as the page says."""
    print(f"{reader.commands} commands, {reader.seconds:.0f} s")
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/Ada').read())"
    bin_folder = "/opt/venvs/greeter/bin"
    ask = f'{bin_folder}/greeter & sleep 2; {bin_folder}/python -I -c "{program}"; kill $!'
    with reader.server.base.open() as server:
        server.install(list(reader.desk.inside(f"{tutorial}/dist").glob("greeter_1.1.0_all.deb")))
        unit = server.inside("/lib/systemd/system/greeter.service").read_text()
        assert "ExecStart=/usr/bin/greeter\n" in unit
        assert "Hello, Ada." in server.run(ask, network=False).stdout


# A page that goes on where another one ends; the rest begin where the tutorial does.
AFTER = {"sbuild.md": "offline.md"}


def begin(reader: Reader, tutorial: str, page: Path, folder: Path) -> None:
    """Do what a page says, in a copy of the project as the page before left it."""
    before = tutorial
    if page.name in AFTER:
        earlier = page.with_name(AFTER[page.name])
        before = f"{HOME}/{earlier.stem}/greeter"
        if not reader.desk.inside(before).exists():
            begin(reader, tutorial, earlier, folder)
    reader.folder, reader.hosts, reader.commands = f"{HOME}/{page.stem}/greeter", {}, 0
    shutil.copytree(reader.desk.inside(before), reader.desk.inside(reader.folder))
    # What the page before exported.
    reader.desk.inside(f"{STATE}/env").unlink(missing_ok=True)
    around = AROUND.get(page.name)
    with around(reader, folder) if around else contextlib.nullcontext():
        reader.follow(page)
    print(f"{reader.commands} commands, {reader.seconds:.0f} s")


@pytest.mark.parametrize("page", [p for p in pages_to_run() if p.name != "tutorial.md"], ids=lambda p: p.stem)
def test_how_to(reader: Reader, tutorial: str, page: Path, uv_binary: Path, tmp_path: Path) -> None:
    """Each page begins in the project that an earlier one leaves, in a copy; uv, for its speed."""
    reader.desk.copy_in(uv_binary, "/usr/local/bin/uv")
    if not reader.desk.inside(f"{HOME}/{page.stem}").exists():
        begin(reader, tutorial, page, tmp_path)
