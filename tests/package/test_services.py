"""examples/hello-web on a server: what debhelper's own commands make of a service around an environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debs import contents, maintainer_files, read
from examples import EXAMPLES, build_example
from roots import DATABASES, Base, Root, RootFactory, difference

pytestmark = [pytest.mark.root, pytest.mark.network]

UNIT = "lib/systemd/system/hello-web.service"
LOG = "/var/log/hello-web"
# Does MemoryDenyWriteExecute and SystemCallFilter of a unit, then starts the program.
CONFINE = """\
import ctypes, os, subprocess, sys

def members(name):
    said = subprocess.check_output(["systemd-analyze", "syscall-filter", name], text=True)
    found = [line.strip() for line in said.splitlines()[1:] if not line.strip().startswith("#")]
    return {n for f in found if f for n in (members(f) if f.startswith("@") else {f})}

filters = [word for word in sys.argv[1].split(" ")]
allowed = members(filters[0])
for word in filters[1:]:
    allowed -= members(word.removeprefix("~"))
# PR_SET_MDWE, from Linux 6.3 on.
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(0x00050000 | 1))  # SCMP_ACT_ERRNO(EPERM)
for name in allowed:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert library.seccomp_rule_add(context, 0x7FFF0000, number, 0) == 0, name
assert library.seccomp_load(context) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""
# Does the rest: the user, no capabilities, and the socket on which the service says that it is ready.
DRIVER = """\
import grp, os, pwd, signal, socket, subprocess, sys, time, urllib.request

LOG = "/var/log/hello-web/access.log"

def fetch(path):
    with urllib.request.urlopen("http://127.0.0.1:8000" + path, timeout=10) as answer:
        return answer.read().decode()

def wait_until(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)

def workers():
    children = "/proc/%d/task/%d/children" % (server.pid, server.pid)
    return set(open(children).read().split())

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("/run/notify")
os.chmod("/run/notify", 0o666)
notify.settimeout(60)
os.umask(0o027)
server = subprocess.Popen(
    ["setpriv", "--reuid=hello-web", "--regid=hello-web", "--clear-groups", "--no-new-privs",
     "--bounding-set=-all", "--inh-caps=-all", "python3", "/srv/confine.py", *sys.argv[1:]],
    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "NOTIFY_SOCKET": "/run/notify"},
)
try:
    while b"READY=1" not in notify.recv(4096):
        pass
    print(fetch("/"), fetch("/health"))
    before = workers()
    server.send_signal(signal.SIGHUP)
    wait_until(lambda: workers() and not workers() & before)
    print("reloaded", fetch("/health"))
    subprocess.run(["logrotate", "--force", "/etc/logrotate.d/hello-web"], check=True)
    assert os.path.getsize(LOG + ".1") and not os.path.getsize(LOG)
    server.send_signal(signal.SIGUSR1)
    wait_until(lambda: fetch("/health") and os.path.getsize(LOG))
    for name in (LOG, LOG + ".1"):
        about = os.stat(name)
        print(name, oct(about.st_mode), pwd.getpwuid(about.st_uid)[0], grp.getgrgid(about.st_gid)[0])
finally:
    server.terminate()
    print("ended with", server.wait(30))
"""


@pytest.fixture(scope="module")
def deb(builder_base: Callable[[str], Base], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    with builder_base("bookworm").open() as root:
        return build_example(root, "hello-web", tmp_path_factory.mktemp("services"))


@pytest.fixture(scope="module")
def equipped(root_factory: RootFactory) -> Base:
    """A server as most are: with systemd, Python and logrotate."""
    return root_factory.base("bookworm", ["logrotate", "python3", "systemd"])


@pytest.fixture(scope="module")
def installed(equipped: Base, deb: Path) -> Iterator[Root]:
    """One with the package, of which tests change nothing that others look at."""
    with equipped.open() as root:
        root.install([deb])
        yield root


def setting(deb: Path, key: str) -> str:
    """What the unit sets a key to; further lines of it are added."""
    lines = [x.partition("=") for x in read(deb, UNIT).decode().splitlines()]
    return " ".join(value for name, _, value in lines if name == key)


def test_debhelper_puts_everything_in_its_place(deb: Path) -> None:
    """None of it is venvpkg's work but the launcher, and the man page and completions beside that."""
    shipped = set(contents(deb))
    assert {
        UNIT, "usr/lib/sysusers.d/hello-web.conf", "usr/lib/tmpfiles.d/hello-web.conf", "usr/bin/hello-web",
        "usr/share/man/man1/hello-web.1.gz", "usr/share/bash-completion/completions/hello-web",
        "usr/share/zsh/vendor-completions/_hello-web",
        "usr/share/fish/vendor_completions.d/hello-web.fish",
    } <= shipped  # fmt: skip
    files = maintainer_files(deb)
    assert files["conffiles"].decode().split() == [
        "/etc/hello-web/hello-web.toml", "/etc/logrotate.d/hello-web",
    ]  # fmt: skip
    # The interpreter is asked for before anything is started with it.
    added = re.findall(r"^# Automatically added by (\w+)", files["postinst"].decode(), re.MULTILINE)
    assert added[:3] == ["dh_venvpkg", "dh_installsysusers", "dh_installtmpfiles"]
    assert set(added[3:]) == {"dh_installsystemd"}
    assert "_dh_action=restart" in files["postinst"].decode()


def test_unit_is_sound_and_hardened(installed: Root) -> None:
    """Its verifier finds no fault with it, and an exposure below 2 (of 10)."""
    assert installed.run(["systemd-analyze", "verify", "--man=no", f"/{UNIT}"]).stdout == ""
    said = installed.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f"/{UNIT}"])
    figure = re.search(r"Overall exposure level for hello-web.service: ([\d.]+)", said.stdout)
    assert figure and float(figure[1]) < 2.0, said.stdout


def test_user_and_folder_are_there_after_installing(installed: Root) -> None:
    """dh_installsysusers and dh_installtmpfiles saw to it; so did dh_installsystemd to the start at boot."""
    assert re.search(r"^hello-web:x:\d+:\d+:", installed.inside("/etc/passwd").read_text(), re.MULTILINE)
    assert installed.run(["stat", "-c", "%a %U %G", LOG]).stdout == "2750 hello-web adm\n"
    assert installed.inside("/etc/systemd/system/multi-user.target.wants/hello-web.service").is_symlink()


def test_service_starts_reloads_and_rotates_its_log(installed: Root, deb: Path) -> None:
    """As its user, without capabilities, with the filter of system calls and no memory to write and run."""
    installed.inside("/srv/confine.py").write_text(CONFINE)
    installed.inside("/srv/driver.py").write_text(DRIVER)
    words = setting(deb, "ExecStart").split()
    done = installed.run(
        ["python3", "/srv/driver.py", setting(deb, "SystemCallFilter"), *words], network=False
    )
    assert "<h1>Hello, web!</h1>" in done.stdout
    assert "<code>/opt/venvs/hello-web</code>" in done.stdout
    assert 'reloaded {"status":"ok"}' in done.stdout
    for name in ("access.log", "access.log.1"):
        assert f"{LOG}/{name} 0o100640 hello-web adm\n" in done.stdout
    assert "ended with 0" in done.stdout


def test_command_is_completed(installed: Root) -> None:
    """By bash, for which the project ships a file; the one for fish parses."""
    script = (
        ". /usr/share/bash-completion/completions/hello-web; COMP_WORDS=(hello-web --c); COMP_CWORD=1; "
        '_hello_web; echo "${COMPREPLY[@]}"'
    )
    assert installed.run(["bash", "-c", script]).stdout == "--config\n"


def test_unit_without_its_python_says_so(equipped: Base, deb: Path) -> None:
    """With the status that a shell has for a missing program, after which systemd starts it no more."""
    with equipped.open() as root:
        root.install([deb])
        root.run(["dpkg", "--force-depends", "--remove", "python3.11", "python3.11-minimal"])
        done = root.run(setting(deb, "ExecStart"), check=False)
        assert (done.returncode, setting(deb, "RestartPreventExitStatus")) == (127, "127")
        assert "/usr/bin/python3.11 is missing, and hello-web needs it." in done.stdout


def test_configuration_stays_and_purge_takes_all(equipped: Base, deb: Path) -> None:
    """What the administrator wrote outlives a new installation and a removal; no file outlives a purge."""
    conffile = "/etc/hello-web/hello-web.toml"
    with equipped.open() as root:
        before = root.snapshot(DATABASES)
        root.install([deb])
        root.inside(conffile).write_text('greeting = "changed"\n')
        root.inside(f"{LOG}/access.log").write_text("a line\n")
        root.install([deb])
        root.run(["dpkg", "--remove", "hello-web"])
        assert root.inside(conffile).read_text() == 'greeting = "changed"\n'
        assert root.inside(f"{LOG}/access.log").exists()
        root.purge("hello-web")
        left = difference(before, root.snapshot(DATABASES))
        # Debian keeps the users of packages, whose numbers files elsewhere may have.
        accounts = re.compile(r"/etc/(passwd|group|shadow|gshadow)-?|/etc/\.pwd\.lock")
        assert [path for path in left if not accounts.fullmatch(path)] == []
        assert not root.inside(LOG).exists()


def test_example_has_nothing_but_debhelpers_files() -> None:
    """No override in debian/rules, and no maintainer script but for the logs."""
    assert (EXAMPLES / "hello-web/debian/rules").read_text().splitlines()[1:] == [
        "%:", "\tdh $@ --with venvpkg",
    ]  # fmt: skip
    scripts = [
        p.name for p in (EXAMPLES / "hello-web/debian").glob("*.p*") if re.search(r"inst$|rm$", p.name)
    ]
    assert scripts == ["hello-web.postrm"]
