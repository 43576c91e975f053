"""dpkg killed at random moments, a full disk, a power cut: what it takes to heal, and that it does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend import pack
from projects import Project
from roots import Entry, Root, RootFactory, difference, snapshot
from workbench import Bench, Built, Recipe

pytestmark = [pytest.mark.root, pytest.mark.full]

SEED = 5
KILLS = {"build": 70, "install": 70, "bundled build": 30, "bundled install": 30}
POWER_CUTS = 40
ACTIONS = (("install", "1"), ("upgrade", "2"), ("downgrade", "1"))
PREFIX = "/opt/venvs/demo"
MAIN = "import sys\n\n\ndef main():\n    from demo import turn, kind\n    print(turn.V, kind.V, sys.prefix)\n"
LINKS = """\
execute_after_dh_install:
	mkdir -p debian/demo/opt/venvs/demo/share
	cd debian/demo/opt/venvs/demo/share && mkdir real {folder} && touch real/a {folder}/a && ln -s real {link}
"""


def versioned(number: str, config: str) -> Project:
    """Some hundred files, of which a third is in one version alone, and some change their kind."""
    first = number == "1"
    code = f"V = {number}\n"
    wheel = {f"many/part{n % 20}/module{n}.py": (code * (n % 50 + 1)).encode() for n in range(200)}
    wheel |= {f"many/only{number}_{n % 10}/module{n}.py": code.encode() for n in range(100)}
    files: dict[str, str | bytes | None] = {
        "demo/__main__.py": MAIN,
        "demo/turn/__init__.py" if first else "demo/turn.py": code,
        "demo/kind.py" if first else "demo/kind/__init__.py": code,
    }
    folder, link = ("data", "turn") if first else ("turn", "data")
    return Project(
        version=f"{number}.0",
        files=files,
        config=config,
        wheels=[pack("many", number, {**wheel, "many/__init__.py": b""})],
        dependencies=["many"],
        rules=LINKS.format(folder=folder, link=link),
    )


def config(which: str) -> str:
    """The configuration of one kind of package."""
    *bundled, mode = which.split()
    return f'bytecode = "{mode}"\n' + ('interpreter = "bundled"\n' if bundled else "")


@pytest.fixture(scope="module")
def built(bench: Callable[[str], Bench]) -> dict[tuple[str, str], Built]:
    """Both versions of each kind of package."""
    recipes = {
        f"{which}/{number}": Recipe(project=versioned(number, config(which)))
        for which in KILLS
        for number in ("1", "2")
    }
    made = bench("bookworm").build_all(recipes)
    return {(name.split("/")[0], name.split("/")[1]): each for name, each in made.items()}


@dataclass
class Server:
    """A server on which one package is installed over and over."""

    root: Root
    debs: Mapping[tuple[str, str], str]
    """The packages' paths in the root, by kind and version."""
    clean: dict[tuple[str, str], dict[str, Entry]] = field(default_factory=dict)
    """What each leaves on a server that has never had another."""
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    """How long an undisturbed action takes, by kind and action."""
    healed: Counter[str] = field(default_factory=Counter)
    """How many cases needed what."""

    def dpkg(self, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run dpkg."""
        return self.root.run(["dpkg", *words], check=check)

    def apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run apt-get with an archive of the package alone."""
        archive = ["-o", "Dir::Etc::sourcelist=/srv/debs/sources.list", "-o", "Dir::Etc::sourceparts=-"]
        return self.root.run(["apt-get", "-qq", "-y", *archive, *words], check=False)

    def offer(self, which: str) -> None:
        """Make an archive of both versions of one kind."""
        paragraphs = []
        for number in ("1", "2"):
            deb = self.root.inside(self.debs[which, number])
            control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True)
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            more = f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
            paragraphs.append(control.stdout + more)
        self.root.inside("/srv/debs/Packages").write_text("\n".join(paragraphs))
        self.root.inside("/srv/debs/sources.list").write_text("deb [trusted=yes] file:/srv/debs ./\n")
        done = self.apt("update")
        assert done.returncode == 0, done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start dpkg with a process group of its own."""
        return subprocess.Popen(
            ["chroot", str(self.root.path), "dpkg", *words],
            env=self.root.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def status(self) -> tuple[str, str]:
        """The state that dpkg has noted, and the version."""
        form = "${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}|${Version}"
        said = self.root.run(["dpkg-query", "-W", "-f", form, "demo"], check=False).stdout.strip()
        state, _, version = said.partition("|")
        return (state, version[:1]) if version else ("none", "")

    def is_whole(self) -> bool:
        """Whether dpkg has nothing to complain of, and no work left."""
        state, _ = self.status()
        return state in ("install ok installed", "none") and self.dpkg("--audit").stdout == ""

    def files(self) -> dict[str, Entry]:
        """All that is in /opt."""
        return snapshot(self.root.inside("/opt"))

    def learn(self, which: str) -> None:
        """Note what undisturbed actions leave, and how long they take."""
        for action, number in ACTIONS:
            begin = time.monotonic()
            self.dpkg("-i", self.debs[which, number], check=True)
            self.seconds[which, action] = time.monotonic() - begin
        for number in ("2", "1"):
            self.dpkg("--purge", "demo", check=True)
            self.dpkg("-i", self.debs[which, number], check=True)
            self.clean[which, number] = self.files()
        self.dpkg("--purge", "demo", check=True)
        assert self.files() == {}

    def heal(self, which: str, number: str, other: str) -> None:
        """Do what an operator does, in that order, until dpkg is content, and count what that took.

        Args:
            which: the kind of package.
            number: the version that the interrupted command was to install.
            other: the version that is installed where a repeated command is needed.
        """
        if self.is_whole():
            before = "nothing (done or not begun)"
        elif self.dpkg("--configure", "-a") and self.is_whole():
            before = "dpkg --configure -a"
        elif self.apt("-f", "install") and self.is_whole():
            before = "apt-get -f install"
        else:
            back = "the other version's" if other != number else "the same"
            done = self.dpkg("-i", self.debs[which, other])
            assert self.is_whole(), done.stdout
            before = f"dpkg -i of {back} .deb"
        self.healed[before] += 1

    def faults(self, which: str) -> list[object]:
        """In what the server differs from one to which nothing has ever happened."""
        state, number = self.status()
        if state == "none":
            return list(self.files())
        said = self.root.run([f"{PREFIX}/bin/demo"], check=False).stdout
        wrong = [said] if said != f"{number} {number} {PREFIX}\n" else []
        return [*wrong, *difference(self.clean[which, number], self.files()).items()]

    def settle(self, which: str, number: str, case: object) -> list[object]:
        """Look at what is there, install the version if it is another one, and look again."""
        wrong = [(case, fault) for fault in self.faults(which)]
        if self.status()[1] != number:
            self.dpkg("-i", self.debs[which, number])
            wrong += [(case, "after a further installation", fault) for fault in self.faults(which)]
        if wrong:
            # The next case is not to suffer.
            self.root.run("dpkg --purge demo; rm -rf /opt/*")
            self.dpkg("-i", self.debs[which, number], check=True)
        return [*wrong]


@pytest.fixture(scope="module")
def server(root_factory: RootFactory, built: Mapping[tuple[str, str], Built]) -> Iterator[Server]:
    """One root for all."""
    with root_factory.base("bookworm", ["python3", "ca-certificates", "tzdata"]).open() as root:
        debs = {}
        for (which, number), each in built.items():
            path = f"/srv/debs/{which.replace(' ', '-')}-{number}.deb"
            root.copy_in(each.deb(), path)
            debs[which, number] = path
        yield Server(root=root, debs=debs)


@pytest.mark.parametrize("which", KILLS)
def test_killed_dpkg_heals(which: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """At moments that are spread over the whole time of an installation, an upgrade and a downgrade."""
    server.learn(which)
    server.offer(which)
    server.healed.clear()
    chance = random.Random(f"{SEED} {which}")
    count = KILLS[which]
    killed, wrong = 0, list[object]()
    for number in range(count):
        action, target = ACTIONS[number % 3]
        if action == "install":
            server.dpkg("--purge", "demo", check=True)
        # Every stratum of the time gets its share; some come after the end.
        moment = server.seconds[which, action] * 1.1 * (number + chance.random()) / count
        process = server.start("-i", server.debs[which, target])
        time.sleep(moment)
        killed += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        other = target if chance.random() < 0.5 else "12".replace(target, "")
        server.heal(which, target, other)
        case = (which, action, round(moment, 3), other)
        wrong += server.settle(which, target, case)
    server.dpkg("--purge", "demo", check=True)
    with capsys.disabled():
        print(f"\n{which}: {killed} of {count} killed in time; needed: {dict(server.healed)}")
    assert wrong == []
    assert server.files() == {}
    assert sum(server.healed.values()) == count


@pytest.mark.parametrize("which", ["build", "install"])
def test_full_disk_heals(which: str, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """With room for the old version and for a part of the new one: dpkg goes back, and the old one works."""
    if (which, "1") not in server.clean:
        server.learn(which)
    server.offer(which)
    server.healed.clear()
    root = server.root
    for kilobytes in range(200, 3000, 140):
        root.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", "/opt"])
        try:
            server.dpkg("-i", server.debs[which, "1"], check=True)
            # The rest of the disk is somebody's.
            free = shutil.disk_usage(root.inside("/opt")).free // 1024
            root.run(f"head -c {free - kilobytes}K /dev/zero >/opt/filler")
            done = server.dpkg("-i", server.debs[which, "2"])
            root.run(["rm", "/opt/filler"])
            if done.returncode and server.status() == ("install ok installed", "1"):
                server.healed["dpkg went back by itself"] += 1
                assert root.run([f"{PREFIX}/bin/demo"]).stdout.startswith("1 1"), kilobytes
            elif done.returncode == 0:
                server.healed["there was room"] += 1
            server.heal(which, "2", "2")
            assert server.settle(which, "2", kilobytes) == []
            server.dpkg("--purge", "demo", check=True)
            assert server.files() == {}, kilobytes
        finally:
            root.run(["umount", "/opt"])
    with capsys.disabled():
        print(f"\n{which}, disk full: {dict(server.healed)}")
    # Bytecode of the old version that nobody owns makes room for the new one before that is unpacked.
    assert server.healed["dpkg went back by itself"] or which == "install"


def test_power_cut_heals(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an ext4 disk holds at a random moment, without what was in memory alone, heals.

    /opt and dpkg's own folder are on a disk image. It is copied while dpkg works, and the copy is what the
    machine would find when it starts again.
    """
    which = "build"
    if (which, "1") not in server.clean:
        server.learn(which)
    server.offer(which)
    server.healed.clear()
    root, chance = server.root, random.Random(f"{SEED} power")
    admin = "/var/lib/dpkg"
    for number in range(POWER_CUTS):
        action, target = ACTIONS[number % 3]
        before, after = tmp_path / "before", tmp_path / "after"
        before.unlink(missing_ok=True)
        subprocess.run(["truncate", "-s", "96M", before], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", before], check=True)
        with disk(root, before):
            root.run(f"cp -a {admin}/. /mnt/dpkg")
            with places(root):
                if action != "install":
                    server.dpkg("-i", server.debs[which, "12".replace(target, "")], check=True)
                root.run("sync -f /opt")
                process = server.start("-i", server.debs[which, target])
                # Every sync makes it slower than it was in the root.
                time.sleep(server.seconds[which, action] * 1.5 * (number + chance.random()) / POWER_CUTS)
                os.killpg(process.pid, signal.SIGSTOP) if process.poll() is None else None
                subprocess.run(["cp", "--sparse=always", before, after], check=True)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with disk(root, after), places(root):
            server.heal(which, target, target)
            case = ("power", action, number)
            assert server.settle(which, target, case) == []
            server.dpkg("--purge", "demo", check=True)
            assert server.files() == {}, case
    with capsys.disabled():
        print(f"\n{which}, power cut: {POWER_CUTS} times; needed: {dict(server.healed)}")


@contextlib.contextmanager
def disk(root: Root, image: Path) -> Iterator[None]:
    """Mount an image at /mnt, with a folder for each place."""
    subprocess.run(["mount", "-o", "loop", image, root.inside("/mnt")], check=True)
    try:
        root.run("mkdir -p /mnt/opt /mnt/dpkg && rmdir /mnt/lost+found || true")
        yield
    finally:
        subprocess.run(["umount", root.inside("/mnt")], check=True)


@contextlib.contextmanager
def places(root: Root) -> Iterator[None]:
    """Let /opt and dpkg's folder be on the mounted image."""
    with contextlib.ExitStack() as stack:
        for name, place in (("opt", "/opt"), ("dpkg", "/var/lib/dpkg")):
            root.run(["mount", "--bind", f"/mnt/{name}", place])
            stack.callback(root.run, ["umount", place])
        yield
