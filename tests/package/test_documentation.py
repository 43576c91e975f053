"""As a reader of the documentation: files are written, commands typed, and what is shown is compared."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from checkout import build_wheel
from documents import DOCS, Block, fits, pages_to_run, read_blocks
from indexes import serve
from roots import CA_BUNDLE, CommandFailed, Root, RootFactory, locked
from wheels import write_wheel

pytestmark = [pytest.mark.root, pytest.mark.network]

USER = "ada"
HOME = f"/home/{USER}"
# What the tutorial would have installed first: it takes a minute, and tests/package/test_front_door.py begins
# without it. The rest is on any Debian that its installer made, and on a server that somebody logs in to.
TOOLS = ("build-essential", "debhelper", "devscripts", "openssh-client", "python3-venv", "sudo")
SERVER = ("ca-certificates", "curl", "dbus", "openssh-server", "sudo", "systemd-sysv")
PATH = "/usr/local/bin:/usr/bin:/bin"
STATE = "/run/venvpkg-tests/reader"
# No password is asked for, and nothing else. What apt downloaded is shared between roots, and it does not
# wait for the lock there.
SUDO = f'{USER} ALL = (ALL) NOPASSWD: ALL\nDefaults env_keep += "DEBIAN_FRONTEND"\n'
LIVE = "/etc/letsencrypt/live/packages.example.org"
CERTIFICATE = f"""\
mkdir -p {LIVE}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=packages.example.org \\
    -addext subjectAltName=DNS:packages.example.org -keyout {LIVE}/privkey.pem -out {LIVE}/fullchain.pem
"""
APT = 'APT::Get::Assume-Yes "true";\nDpkg::Use-Pty "0";\nDebug::NoLocking "true";\n'


@dataclass(kw_only=True)
class Reader:
    """Somebody at a bare Debian, a plain user, and a server beside it."""

    desk: Root
    server: Root
    wheel: str
    """venvpkg's, in the place of the one that PyPI has."""
    path: str = PATH
    folder: str = HOME
    """Where the reader is."""
    hosts: dict[str, str] = field(default_factory=dict)
    """What stands in the place of hosts that a page names."""
    commands: int = 0
    seconds: float = 0.0

    def follow(self, page: Path, *, long: bool = False) -> None:
        """Do what a page says, from its first line to its last; what takes long, at another time."""
        begun = time.monotonic()
        printed: str | None = ""
        for block in read_blocks(page):
            if block.name:
                if not long:
                    self.write(block)
            elif block.language == "sh":
                wanted = block.not_run is None and long == (block.place == "in a long test")
                printed = self.type(block) if wanted else None
            elif block.language == "text" and printed is not None:
                missing = fits(block.text, printed)
                assert missing is None, f"{block} shows what was not printed: {missing}\n{printed}"
        self.seconds = time.monotonic() - begun

    def write(self, block: Block) -> None:
        """Write a file that a page gives in full."""
        target = Path(self.folder, block.name)
        self.desk.run(["mkdir", "-p", target.parent], user=USER)
        self.desk.run(["tee", target], user=USER, stdin=self.put(block.text))
        if target.name == "rules" or target.suffix == ".sh":
            self.desk.run(["chmod", "+x", target], user=USER)

    def put(self, text: str) -> str:
        """Put what there is into the place of the hosts that a page names."""
        for name, real in self.hosts.items():
            text = text.replace(name, real)
        return text

    def type(self, block: Block) -> str:
        """Type the commands of a block into one shell, and return what they print."""
        on_server = block.place == "on the server"
        root = self.server if on_server else self.desk
        network: bool | Root = block.place != "without a network"
        if re.search(r"\b(scp|ssh) |127\.0\.0\.1|https://packages\.", block.text):
            network = self.server
        env = {"PATH": self.path, "USER": USER, "SHELL": "/bin/bash"}
        env |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        if re.search(r"\bpipx ", block.text):
            env["PIP_CONSTRAINT"] = self.wheel
        # What a block exports, and where it goes, holds in the next one.
        script = f"test ! -f {STATE}/env || . {STATE}/env\nset -e\n{self.put(block.text)}\n"
        script += f"set +e\nexport -p >{STATE}/env; pwd >{STATE}/pwd\n"
        script = f"trap 'pwd >{STATE}/pwd' EXIT\n" + script
        for address in re.findall(r"http://127\.0\.0\.1\S*", block.text):
            # A person types no faster than a program starts.
            wait = f"for n in $(seq 300); do curl -s {address} >/dev/null && break; sleep 0.1; done"
            root.run(wait, network=network)
        # Two that download the same file at once would spoil it.
        takes_apt = re.search(r"\bapt\b|--install-build-depends", block.text)
        with locked(root.base.cache / "archives-bookworm.lock") if takes_apt else contextlib.nullcontext():
            done = root.run(
                script,
                cwd=HOME if on_server else self.folder,
                env=env,
                network=network,
                user=USER,
                pivot=True,
                check=False,
            )
        print(f"{block}\n{block.text}{done.stdout}")
        if done.returncode != block.status:
            raise CommandFailed([str(block)], done)
        if not on_server:
            self.folder = root.inside(f"{STATE}/pwd").read_text().strip()
        self.commands += len(block.commands)
        if "ensurepath" in block.text:
            self.open_terminal()
        return done.stdout

    def open_terminal(self) -> None:
        """Begin anew, with what files of the home folder say."""
        self.desk.inside(f"{STATE}/env").unlink()
        said = self.desk.run(["bash", "-l", "-i", "-c", 'echo "PATH=$PATH"'], env={"PATH": PATH}, user=USER)
        self.path = said.stdout.rpartition("PATH=")[2].strip()


@pytest.fixture(scope="module")
def reader(
    root_factory: RootFactory, dh_venvpkg_deb: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """One for all pages: what is installed for one is there for the next."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    with (
        root_factory.base("bookworm", TOOLS).open() as desk,
        root_factory.base("bookworm", SERVER).open() as server,
    ):
        for root in (desk, server):
            root.run(["useradd", "--create-home", "--shell", "/bin/bash", USER])
            root.inside("/etc/sudoers.d/reader").write_text(SUDO)
            root.inside("/etc/apt/apt.conf.d/90reader").write_text(APT)
            root.run(["mkdir", "-p", STATE])
            root.run(["chown", USER, STATE])
        desk.copy_in(dh_venvpkg_deb, f"{HOME}/{dh_venvpkg_deb.name}")
        desk.copy_in(wheel, f"/srv/{wheel.name}")
        desk.inside("/srv/constraints.txt").write_text(f"venvpkg @ file:///srv/{wheel.name}\n")
        server.boot()
        exchange_keys(desk, server)
        yield Reader(desk=desk, server=server, wheel="/srv/constraints.txt")


def exchange_keys(desk: Root, server: Root) -> None:
    """Let the reader in at server.example.org, and let him know it."""
    with desk.inside("/etc/hosts").open("a") as hosts:
        hosts.write("127.0.0.1 server.example.org\n")
    desk.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{HOME}/.ssh/id_ed25519"], user=USER)
    host_key = server.inside("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    desk.run(["tee", f"{HOME}/.ssh/known_hosts"], user=USER, stdin=f"server.example.org {host_key}")
    key = desk.inside(f"{HOME}/.ssh/id_ed25519.pub").read_text()
    server.run(["mkdir", f"{HOME}/.ssh"], user=USER)
    server.run(["tee", f"{HOME}/.ssh/authorized_keys"], user=USER, stdin=key)


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
    """The page's nginx on the reader's machine, with a certificate that the server trusts."""
    (nginx,) = (b for b in read_blocks(DOCS / "how-to/apt-repository.md") if b.language == "nginx")
    desk, server = reader.desk, reader.server
    desk.apt("install", "nginx-light", "openssl")
    desk.inside("/etc/nginx/sites-enabled/default").unlink()
    desk.inside("/etc/nginx/sites-enabled/packages").write_text(nginx.text)
    desk.run(CERTIFICATE)
    certificate = desk.inside(f"{LIVE}/fullchain.pem")
    server.copy_in(certificate, "/usr/local/share/ca-certificates/example.crt")
    server.run(["update-ca-certificates"])
    if server.inside(CA_BUNDLE).exists():
        with server.inside(CA_BUNDLE).open("a") as bundle:
            bundle.write(certificate.read_text())
    with server.inside("/etc/hosts").open("a") as hosts:
        hosts.write("127.0.0.1 packages.example.org\n")
    # Debian's mirror is not where nginx is. What the package needs of it, the tutorial has installed.
    server.inside("/etc/apt/apt.conf.d/91near").write_text('Acquire::Retries "0";\n')
    desk.run(["nginx"], network=server)
    try:
        yield
        ask = "curl -s -o /dev/null -w '%{http_code} ' https://packages.example.org/debian/"
        told = server.run(f"for f in dists/bookworm/Release conf/distributions db/version; do {ask}$f; done",
                          network=server)  # fmt: skip
        assert told.stdout.split() == ["200", "403", "403"]
    finally:
        desk.run(["nginx", "-s", "stop"])


AROUND: dict[str, Callable[[Reader, Path], contextlib.AbstractContextManager[None]]] = {
    "private-index.md": private_index,
    "apt-repository.md": web_server,
}


def test_tutorial(reader: Reader, tutorial: str) -> None:
    """From nothing to a service that came, was replaced, went back and was gone, and never failed."""
    print(f"{reader.commands} commands, {reader.seconds:.0f} s")
    journal = reader.server.run(["journalctl", "--unit", "greeter", "--output", "cat"]).stdout
    assert journal.count("Started greeter.service") == 3, journal
    assert "Fail" not in journal, journal
    assert "could not be found" in reader.server.run(["systemctl", "status", "greeter"], check=False).stdout


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
    reader.desk.run(["mkdir", Path(reader.folder).parent], user=USER)
    reader.desk.run(["cp", "-a", before, reader.folder], user=USER)
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


def test_validate_pyproject(reader: Reader, tutorial: str) -> None:
    """It finds venvpkg's schema by itself, passes what a build takes, and names a key that is none."""
    (block,) = (b for b in read_blocks(DOCS / "configuration.md") if "validate-pyproject" in b.text)
    reader.folder = f"{HOME}/validated"
    reader.desk.run(["cp", "-a", tutorial, reader.folder], user=USER)
    pyproject = reader.desk.inside(f"{reader.folder}/pyproject.toml")
    pyproject.write_text(pyproject.read_text() + '\n[tool.venvpkg]\nexpose = ["greeter"]\n')
    assert "Valid file: pyproject.toml" in reader.type(block).splitlines()
    pyproject.write_text(pyproject.read_text() + 'expoze = ["greeter"]\n')
    with pytest.raises(CommandFailed, match=r"`tool\.venvpkg` .*expoze"):
        reader.type(block)


PACKAGE = """\
{
  "name": "greeter",
  "version": "1.1.0",
  "private": true,
  "scripts": {"build": "install -D node_modules/ms/index.js src/greeter/static/page.js"},
  "devDependencies": {"ms": "2.1.3"}
}
"""


@pytest.mark.full
def test_front_end_with_npm(reader: Reader, tutorial: str, tmp_path: Path) -> None:
    """The page's other step, for which hundreds of packages are installed first."""
    page = DOCS / "how-to/front-end.md"
    if not reader.desk.inside(f"{HOME}/{page.stem}").exists():
        begin(reader, tutorial, page, tmp_path)
    reader.folder = f"{HOME}/{page.stem}/greeter"
    *_, step = (block for block in read_blocks(page) if block.language == "make")
    (build,) = (block for block in read_blocks(page) if block.language == "sh")
    rules = reader.desk.inside(f"{reader.folder}/debian/rules")
    head, _, _ = rules.read_text().partition("override_dh_auto_build:")
    rules.write_text(head + step.text)
    reader.desk.inside(f"{reader.folder}/package.json").write_text(PACKAGE)
    make = "sed -i 's/^Build-Depends:/& nodejs, npm,/' debian/control; npm install --package-lock-only"
    reader.desk.apt("install", "nodejs", "npm")
    reader.desk.run(make, cwd=reader.folder, user=USER)
    assert "module.exports = function (val, options)" in reader.type(build)


@pytest.mark.full
def test_sbuild(reader: Reader, tutorial: str, tmp_path: Path) -> None:
    """What takes minutes of its page: a system for builds is made, and the package is built there."""
    page = DOCS / "how-to/sbuild.md"
    if not reader.desk.inside(f"{HOME}/{page.stem}").exists():
        begin(reader, tutorial, page, tmp_path)
    reader.folder, reader.commands = f"{HOME}/{page.stem}/greeter", 0
    reader.follow(page, long=True)
    assert reader.commands == 6
