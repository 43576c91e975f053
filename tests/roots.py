"""Clean Debian roots for the package tests: made once with mmdebstrap, opened as cheap throw-away copies."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from projects import Project

SUITES = ("bookworm", "trixie")
MAX_AGE = 7 * 24 * 3600
"""Seconds after which a cached root is made anew, so that it follows the archive's updates."""

VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/log", "/var/cache")
"""Folders whose contents no package owns: file lists leave them out."""

DATABASES = ("/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt")
"""What dpkg and apt remember about packages; it changes with every installation, on purpose."""

CA_BUNDLE = "/run/venvpkg-tests/ca-certificates.crt"
CACHES = {name: f"/var/cache/venvpkg-tests/{name}" for name in ("pip", "uv", "pex")}

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)

# In a chroot the kernel lets no user make a namespace.
PIVOT = """\
set -e
mount --make-rprivate /
cd "$1"
/sbin/pivot_root . mnt
umount -l mnt
cd "$2"
shift 2
exec "$@"
"""
# What a container's manager does before systemd begins. It keeps the folder /run, in which a test looks from
# outside, and may not change the settings of the machine's kernel.
BOOT = """\
set -e
mount --make-rprivate /
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --bind run run
/sbin/pivot_root . mnt
umount -l mnt
exec env -i container=test LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def cache_folder() -> Path:
    """Where roots and downloads are kept between runs (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "venvpkg-tests"


def why_not() -> str | None:
    """The reason why roots cannot be made here, or None where they can."""
    if os.geteuid() != 0:
        return "a clean root is made with chroot and mount: run the tests as root"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed: apt-get install mmdebstrap"
    try:
        own_mounts()
    except OSError as error:
        return f"this root may not mount (a container without CAP_SYS_ADMIN?): {error}"
    return None


@cache
def own_mounts() -> None:
    """Give this process a mount table of its own: the kernel clears it however the tests end."""
    _unshare(CLONE_NEWNS)
    # Refused where / is no mount point, in a plain chroot: mounts may then be seen outside until they are
    # undone, which `Root.close` does.
    subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def _join_network(process: int) -> None:
    with Path(f"/proc/{process}/ns/net").open() as namespace:
        _check(_libc.setns(namespace.fileno(), CLONE_NEWNET))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# ---------------------------------------------------------------------------------------------
# The machine's own settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where this machine gets Debian from."""

    main: str
    """The mirror of the Debian archive."""
    security: str | None
    """The mirror of the security archive; None where the machine has apt sources without one."""
    updates: bool
    """Whether the machine follows stable updates."""
    options: tuple[str, ...]
    """apt.conf lines that a root needs to reach the mirror: proxies, clock checks."""

    def sources(self, suite: str) -> list[str]:
        """The sources.list lines of one suite, so that a root's versions agree with the machine's."""
        lines = [f"deb {self.main} {suite} main"]
        if self.updates:
            lines.append(f"deb {self.main} {suite}-updates main")
        if self.security:
            lines.append(f"deb {self.security} {suite}-security main")
        return lines


DEFAULT_MAIN = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"


@cache
def find_archive() -> Archive:
    """Read apt's own settings; a machine that is not Debian gets the public mirrors."""
    rows = _index_targets()
    # An archive says in its Release file what it is; before the first apt-get update only its address does.
    main = [r for r in rows if (r["origin"], r["label"]) == ("Debian", "Debian")] or [
        r for r in rows if r["site"].rstrip("/").endswith("/debian") and "-security" not in r["release"]
    ]
    security = [r for r in rows if (r["origin"], r["label"]) == ("Debian", "Debian-Security")] or [
        r for r in rows if r["release"].endswith("-security") and "debian" in r["site"]
    ]
    if not main:
        return Archive(main=DEFAULT_MAIN, security=DEFAULT_SECURITY, updates=True, options=_apt_options())
    return Archive(
        main=main[0]["site"].rstrip("/"),
        security=security[0]["site"].rstrip("/") if security else None,
        updates=any(r["release"].endswith("-updates") for r in main),
        options=_apt_options(),
    )


def _index_targets() -> list[dict[str, str]]:
    names = ("site", "release", "origin", "label")
    form = "\t".join(f"$({name.upper()})" for name in names)
    answer = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode != 0:
        return []
    rows = [dict(zip(names, line.split("\t"), strict=False)) for line in answer.stdout.splitlines()]
    return [row for row in rows if len(row) == len(names)]


def _apt_options() -> tuple[str, ...]:
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False)
    wanted = re.compile(
        r"Acquire::(https?::Proxy\S*|https::(Verify-Peer|Verify-Host)|Check-Valid-Until|Check-Date|"
        r"Max-ValidTime|Retries|ForceIPv[46]) \"[^\"]+\";$"
    )
    return (*(line for line in dump.stdout.splitlines() if wanted.match(line)), 'Acquire::Languages "none";')


def find_ca_bundle() -> Path | None:
    """The bundle that this machine's own clients trust, a company's authority included."""
    named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")]
    usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
    return next((Path(p) for p in (*named, *usual) if p and Path(p).is_file()), None)


@cache
def find_index_settings() -> dict[str, str]:
    """The index settings of this machine's pip and uv, from variables and pip.conf, as variables."""
    found = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    dump = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for line in dump.stdout.splitlines():
        match = re.match(r"global\.([a-z-]+)='(.*)'$", line)
        if match and match[1] in {"index-url", "extra-index-url", "trusted-host", "timeout", "find-links"}:
            found["PIP_" + match[1].upper().replace("-", "_")] = match[2]
    found |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    found |= {
        name: value for name, value in os.environ.items() if re.match(r"UV_(.*INDEX|HTTP|NATIVE|INSE)", name)
    }
    if "PIP_INDEX_URL" in found and not {"UV_INDEX_URL", "UV_DEFAULT_INDEX"} & found.keys():
        found["UV_DEFAULT_INDEX"] = found["PIP_INDEX_URL"]
    return {name: value for name, value in found.items() if name not in {"PIP_CERT", "PIP_CACHE_DIR"}}


# ---------------------------------------------------------------------------------------------
# Bases: frozen trees


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A tree that nobody changes any more; `open` gives a copy that may be spoilt."""

    suite: str
    layers: tuple[Path, ...]
    """The folders that make it up, the uppermost first (as overlayfs has it)."""
    cache: Path
    """Where downloads are shared between roots."""
    archive: Archive

    def open(self) -> Root:
        """A new root with these files, to be closed by the caller (or used with `with`)."""
        return Root(self)


class RootFactory:
    """Makes each base once for each suite and set of packages, and keeps it for a week."""

    def __init__(self, cache: Path | None = None, archive: Archive | None = None) -> None:
        self.cache = cache or cache_folder()
        self.archive = archive or find_archive()
        self._made: dict[str, Base] = {}

    def base(self, suite: str, include: Iterable[str] = ()) -> Base:
        """A minimal root of the suite with these packages and what they depend on (no Recommends)."""
        packages = sorted(set(include))
        if any(source.startswith("deb https:") for source in self.archive.sources(suite)):
            packages = sorted({*packages, "ca-certificates"})
        key = self._key(suite, packages)
        if key not in self._made:
            tree = self.cache / "roots" / key
            with locked(self.cache / "roots" / f"{key}.lock"):
                if not _is_fresh(tree):
                    self._make(suite, packages, tree)
            self._made[key] = Base(
                suite=suite, layers=(tree / "tree",), cache=self.cache, archive=self.archive
            )
        return self._made[key]

    def _key(self, suite: str, packages: Sequence[str]) -> str:
        asked = json.dumps([self.archive.sources(suite), self.archive.options, packages])
        return f"{suite}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"

    def _make(self, suite: str, packages: Sequence[str], folder: Path) -> None:
        own_mounts()
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        archives = _archives(self.cache, suite)
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
        command += [
            "--skip=check/empty",
            "--skip=download/empty",
            "--skip=essential/unlink",
            "--skip=cleanup/apt/lists",
        ]
        # Downloads are shared between roots. They are hard-linked or copied, not mounted: mmdebstrap
        # empties the root's folder when it has done.
        command += [f'--setup-hook=mkdir -p "$1/var/cache/apt/archives"; cp -lf {archives}/*.deb '
                    f'"$1/var/cache/apt/archives/" 2>/dev/null || cp -f {archives}/*.deb '
                    '"$1/var/cache/apt/archives/" 2>/dev/null || true']  # fmt: skip
        command += [f'--customize-hook=cp -lf "$1"/var/cache/apt/archives/*.deb {archives}/ 2>/dev/null || '
                    f'cp -f "$1"/var/cache/apt/archives/*.deb {archives}/ 2>/dev/null || true']  # fmt: skip
        # A root that is lost is made again: no need to wait for the disk.
        command += ["--dpkgopt=force-unsafe-io"]
        command += [f"--aptopt={option}" for option in self.archive.options]
        command += [f"--include={','.join(packages)}"] if packages else []
        command += [suite, str(folder / "tree"), *self.archive.sources(suite)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            shutil.rmtree(folder)
            raise RuntimeError(f"mmdebstrap failed: {' '.join(command)}\n{made.stdout}{made.stderr}")
        (folder / "made").write_text(json.dumps({"suite": suite, "include": list(packages)}) + "\n")


def _is_fresh(folder: Path) -> bool:
    made = folder / "made"
    return made.is_file() and time.time() - made.stat().st_mtime < MAX_AGE


def _archives(cache: Path, suite: str) -> Path:
    folder = cache / "archives" / suite
    # apt downloads as its user _apt, whose number differs from root to root.
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, so that two test runs do not write the same cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------------------------------------
# Roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a snapshot says of one path."""

    kind: str
    """file, dir, link, or other."""
    mode: int
    owner: tuple[int, int]
    size: int
    """Bytes, for a file; 0 otherwise, as a folder's size is the file system's business."""
    content: str
    """SHA-256 of a file's bytes, or a link's target."""


@dataclass(slots=True)
class Build:
    """What a package build in a root left behind."""

    process: subprocess.CompletedProcess[str]
    folder: str
    """The project's folder inside the root."""
    debs: list[Path]
    """The .deb and .ddeb files, as paths of the machine, gone when the root closes."""

    @property
    def log(self) -> str:
        """All that the build printed."""
        return self.process.stdout

    def deb(self, package: str) -> Path:
        """The .deb of one binary package."""
        return next(path for path in self.debs if path.name.startswith(f"{package}_"))


class Root:
    """A running copy of a base: mounted, with this machine's name service, certificates and caches."""

    def __init__(self, base: Base) -> None:
        own_mounts()
        self.base = base
        self.suite = base.suite
        self._work = Path(tempfile.mkdtemp(prefix="venvpkg-root-"))
        self._work.chmod(0o755)
        self.path = self._work / "root"
        self.path.mkdir()
        self._mounts: list[Path] = []
        self._keep = False
        self._init: int | None = None
        self._started: subprocess.Popen[bytes] | None = None
        try:
            self._fill()
            self._mount_all()
            self._give_settings()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Root:
        """Return itself: the constructor has opened it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, whatever happened."""
        self.close()

    # -- the life of a root

    def _fill(self) -> None:
        upper, scratch = self._work / "upper", self._work / "scratch"
        upper.mkdir()
        scratch.mkdir()
        # The folder becomes the root's own /, and apt's user must be able to walk through it.
        upper.chmod(0o755)
        lower = ":".join(str(layer) for layer in self.base.layers)
        options = f"lowerdir={lower},upperdir={upper},workdir={scratch}"
        # volatile: nothing is synced to disk, which dpkg asks for with every file (Linux 5.10 and later).
        for extra in (",volatile", ""):
            command = ["mount", "-t", "overlay", "overlay", "-o", options + extra, str(self.path)]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self._mounts.append(self.path)
                self._layers = (upper, *self.base.layers)
                return
        # Not over another overlay (some containers) or an odd file system: then a real copy. It has one
        # layer only, as a base that was frozen here is a copy too.
        (layer,) = self.base.layers
        subprocess.run(["cp", "-a", "--reflink=auto", f"{layer}/.", str(self.path)], check=True)
        self._layers = (self.path,)

    def _mount(self, *arguments: str, on: str) -> None:
        target = self.path / on.lstrip("/")
        subprocess.run(["mount", *arguments, str(target)], check=True, capture_output=True)
        self._mounts.append(target)

    def _mount_all(self) -> None:
        self._mount("-t", "proc", "proc", on="/proc")
        # No udev and no sockets of the machine: only the devices that a program may count on.
        self._mount("-t", "tmpfs", "-o", "mode=755,size=1m", "tmpfs", on="/dev")
        dev = self.path / "dev"
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (dev / name).touch()
            self._mount("--bind", f"/dev/{name}", on=f"/dev/{name}")
        for name, target in (
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
        ):
            (dev / name).symlink_to(target)
        (dev / "pts").mkdir()
        self._mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", on="/dev/pts")
        (dev / "ptmx").symlink_to("pts/ptmx")
        (dev / "shm").mkdir()
        self._mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", on="/dev/shm")
        archives = self.path / "var/cache/apt/archives"
        archives.mkdir(parents=True, exist_ok=True)
        self._mount("--bind", str(_archives(self.base.cache, self.suite)), on="/var/cache/apt/archives")
        for name, inside in CACHES.items():
            folder = self.base.cache / name
            folder.mkdir(parents=True, exist_ok=True)
            (self.path / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
            self._mount("--bind", str(folder), on=inside)

    def _give_settings(self) -> None:
        for name in ("/etc/resolv.conf", "/etc/hosts"):
            target = self.path / name.lstrip("/")
            target.unlink(missing_ok=True)
            if Path(name).is_file():
                target.write_bytes(Path(name).read_bytes())
        bundle = find_ca_bundle()
        if bundle:
            # Not in /etc/ssl: the package ca-certificates writes that itself.
            target = self.path / CA_BUNDLE.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.read_bytes())
            if any(source.startswith("deb https:") for source in self.base.archive.sources(self.suite)):
                trust = self.path / "etc/apt/apt.conf.d/98-tests-ca"
                trust.write_text(f'Acquire::https::CAInfo "{CA_BUNDLE}";\n')

    def use_memory(self, folder: str) -> None:
        """Keep a folder of the root in memory, away from the disk; it is made where it is missing."""
        self.inside(folder).mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", on=folder)

    def boot(self) -> None:
        """Start systemd in it, as on a machine of its own; the base has to have the package systemd.

        From then on `run` enters that machine, with its processes and mounts.
        """
        # systemd makes a control group for each unit, and would leave them all beside the tests' own.
        groups = self._work / "groups"
        groups.mkdir()
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", groups], check=True, capture_output=True)
        self._mounts.append(groups)
        own = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        self._group = groups / own / self._work.name
        self._group.mkdir()
        joined = self._group / "cgroup.procs"
        namespaces = ("mount", "pid", "net", "ipc", "uts", "cgroup")
        self._started = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "unshare", *(f"--{name}" for name in namespaces), "--fork",
             "--kill-child", "sh", "-c", BOOT, "sh", str(self.path)],
            preexec_fn=lambda: joined.write_text("0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self._work / "boot.log").open("w"),
        )  # fmt: skip
        children = Path(f"/proc/{self._started.pid}/task/{self._started.pid}/children")
        end = time.monotonic() + 60
        while not self.inside("/run/systemd/private").exists():
            assert self._started.poll() is None, (self._work / "boot.log").read_text()
            assert time.monotonic() < end, "systemd does not answer"
            time.sleep(0.05)
        self._init = int(children.read_text())
        self.run(["systemctl", "is-system-running", "--wait"], check=False)

    def _shut_down(self) -> None:
        if self._started is None:
            return
        if self._init is None:
            # It did not come that far.
            self._started.kill()
        else:
            # The kernel ends the others with it, and waits for them.
            os.kill(self._init, signal.SIGKILL)
        self._started.wait()
        self._started = self._init = None
        for folder, _, _ in os.walk(self._group, topdown=False):
            Path(folder).rmdir()

    def close(self) -> None:
        """End what still runs in it, unmount and remove it. Closing twice does nothing."""
        self._shut_down()
        self._kill_all()
        while self._mounts:
            target = self._mounts.pop()
            subprocess.run(["umount", "--lazy", str(target)], check=False, capture_output=True)
        # Caches and devices of this machine were mounted in there: never delete through a mount that stayed.
        if not self._keep and f" {self._work}/" not in Path("/proc/self/mounts").read_text():
            shutil.rmtree(self._work, ignore_errors=True)

    def freeze(self) -> Base:
        """Close it, but keep its files as a base for others. `discard` removes them at the end."""
        (self.path / CA_BUNDLE.lstrip("/")).unlink(missing_ok=True)
        self._keep = True
        self.close()
        return Base(suite=self.suite, layers=self._layers, cache=self.base.cache, archive=self.base.archive)

    def discard(self) -> None:
        """Remove what `freeze` kept."""
        self._keep = False
        self.close()

    def _kill_all(self) -> None:
        # Only a process whose own root is this folder: one that a test started here and left running. With
        # mounts of its own it has another name for it.
        if not self.path.exists():
            return
        here = self.path.stat()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.path.samestat((entry / "root").stat(), here):
                        os.kill(int(entry.name), signal.SIGKILL)

    # -- commands

    def environment(self, user: str | None = None) -> dict[str, str]:
        """The variables that a command in the root gets: a bare login and the way to the indexes."""
        base = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self._account(user).home if user else "/root",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        for name, value in find_index_settings().items():
            parts = [part for part in value.split() if self._is_reachable(part)]
            if parts:
                base[name] = " ".join(parts)
        if (self.path / CA_BUNDLE.lstrip("/")).exists():
            for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                base[name] = CA_BUNDLE
        if user is None:
            # pip refuses a cache that belongs to somebody else.
            base |= {"PIP_CACHE_DIR": CACHES["pip"], "UV_CACHE_DIR": CACHES["uv"]}
        return base

    def _is_reachable(self, value: str) -> bool:
        path = value.removeprefix("file://")
        return not path.startswith("/") or (self.path / path.lstrip("/")).exists()

    def run(
        self,
        command: str | Sequence[str | Path],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str = "/",
        check: bool = True,
        network: bool | Root = True,
        user: str | None = None,
        pivot: bool = False,
        stdin: str | None = None,
        timeout: float | None = 1800,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command (a string goes to /bin/sh) in the root; both outputs come back in `stdout`.

        `env` adds to `environment`, and None as a value takes a variable away. Without `network` the
        command sees a loopback interface and nothing else; a root that runs systemd as `network` is that
        root's loopback, on which its services listen. With `pivot` a user may make namespaces of his own.
        With `check` a failure raises `CommandFailed`, whose text holds the output.
        """
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(part) for part in command]
        merged = {**self.environment(user), **(env or {})}
        account = self._account(user) if user else None
        if self._init is not None:
            inside = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--ipc", "--uts", "--cgroup"]
            inside += [f"--setuid={account.uid}", f"--setgid={account.gid}"] if account else []
            argv = [*inside, "--root", f"--wdns={cwd}", "--", *argv]
        elif pivot:
            become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
            argv = ["unshare", "--mount", "sh", "-c", PIVOT, "sh", str(self.path), cwd, *become, *argv]

        def enter() -> None:
            if isinstance(network, Root):
                assert network._init is not None, "nothing listens there: it was not booted"
                _join_network(network._init)
            elif not network:
                _unshare(CLONE_NEWNET)
                _raise_loopback()
            os.umask(0o022)
            if self._init is not None or pivot:
                return
            os.chroot(self.path)
            os.chdir(cwd)
            if account:
                os.setgroups([account.gid])
                os.setgid(account.gid)
                os.setuid(account.uid)

        source: dict[str, object] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        try:
            done = subprocess.run(
                argv,
                env={name: value for name, value in merged.items() if value is not None},
                preexec_fn=enter,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                **source,
            )
        except FileNotFoundError as error:
            # What a shell would say; an exception would not be seen by check=False.
            done = subprocess.CompletedProcess(argv, 127, f"{error}\n")
        if check and done.returncode != 0:
            raise CommandFailed(argv, done)
        return done

    def _account(self, user: str) -> Account:
        for line in (self.path / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if name == user:
                return Account(uid=int(uid), gid=int(gid), home=home)
        raise LookupError(f"no user {user} in this root")

    def add_user(self, name: str = "builder") -> str:
        """Make a plain user with a home folder, and return its name."""
        self.run(["useradd", "--create-home", "--shell", "/bin/sh", name])
        return name

    def apt(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run apt-get without questions; an index that has gone stale is brought up to date once."""
        command = ["apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends", *arguments]
        with locked(self.base.cache / f"archives-{self.suite}.lock"):
            done = self.run(command, check=False)
            if done.returncode != 0 and re.search(r"404|Unable to fetch|Hash Sum", done.stdout):
                self.run(["apt-get", "-qq", "update"])
                done = self.run(command, check=False)
        if check and done.returncode != 0:
            raise CommandFailed(command, done)
        return done

    def install(self, debs: Iterable[Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Install .deb files of this machine with apt, and so with their dependencies."""
        # /run and not /tmp: a package's own traces in /tmp stay visible to a test that looks there.
        folder = self.path / "run/venvpkg-tests/debs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        names = []
        for deb in debs:
            shutil.copy(deb, folder)
            names.append(f"/run/venvpkg-tests/debs/{deb.name}")
        return self.apt("install", "--allow-downgrades", "--reinstall", *names, check=check)

    def purge(self, *packages: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Purge packages, and leave their dependencies where they are."""
        return self.run(["dpkg", "--purge", *packages], check=check)

    def build(
        self,
        project: Project | Path,
        *,
        at: str = "/build",
        options: Sequence[str] = ("-us", "-uc", "-b"),
        env: Mapping[str, str | None] | None = None,
        check: bool = True,
        network: bool = True,
        user: str | None = None,
    ) -> Build:
        """Copy a project into the root, below `at`, and build it there with dpkg-buildpackage."""
        name = project.name
        folder = f"{at}/{name}"
        inside = self.path / folder.lstrip("/")
        if inside.exists():
            shutil.rmtree(inside)
        if isinstance(project, Project):
            project.write(inside)
        else:
            self.copy_in(project, folder)
        if user:
            self.run(["chown", "-R", f"{user}:", at])
        process = self.run(
            ["dpkg-buildpackage", *options], cwd=folder, env=env, check=check, network=network, user=user
        )
        debs = sorted(path for path in inside.parent.iterdir() if path.suffix in {".deb", ".ddeb"})
        return Build(process=process, folder=folder, debs=debs)

    # -- files

    def inside(self, path: str) -> Path:
        """The machine's path of a path of the root; symbolic links are not looked at."""
        return self.path / path.lstrip("/")

    def copy_in(self, source: Path, target: str) -> Path:
        """Copy a file or a folder of this machine to a path of the root; it belongs to root there."""
        to = self.inside(target)
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            return Path(shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True))
        return Path(shutil.copy2(source, to))

    def copy_out(self, source: str, target: Path) -> Path:
        """Copy a file or a folder of the root to a path of this machine."""
        came = self.inside(source)
        if came.is_dir():
            return Path(shutil.copytree(came, target, symlinks=True, dirs_exist_ok=True))
        return Path(shutil.copy2(came, target))

    def files(self, ignore: Iterable[str] = ()) -> list[str]:
        """Every path of the root, sorted, but for what is inside `VOLATILE` and inside `ignore`."""
        return sorted(path for path, _ in self._walk((*VOLATILE, *ignore)))

    def snapshot(self, ignore: Iterable[str] = (), *, contents: bool = True) -> dict[str, Entry]:
        """What is at every path that `files` lists; times are left out, as reading changes them."""
        return {path: _describe(Path(item.path), contents) for path, item in self._walk((*VOLATILE, *ignore))}

    def _walk(self, ignore: Sequence[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        cut = {path.rstrip("/") for path in ignore}
        stack = [("", str(self.path))]
        while stack:
            prefix, folder = stack.pop()
            with os.scandir(folder) as items:
                for item in items:
                    path = f"{prefix}/{item.name}"
                    yield path, item
                    if item.is_dir(follow_symlinks=False) and path not in cut:
                        stack.append((path, item.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A line of the root's /etc/passwd."""

    uid: int
    gid: int
    home: str


class CommandFailed(AssertionError):
    """A command in a root failed; the text holds the last of its output."""

    def __init__(self, argv: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
        self.done = done
        tail = "\n".join(done.stdout.splitlines()[-80:])
        super().__init__(f"exit code {done.returncode} from {' '.join(argv)}\n{tail}")


def _describe(path: Path, contents: bool) -> Entry:
    info = path.lstat()
    kind, content, size = "other", "", 0
    if stat.S_ISDIR(info.st_mode):
        kind = "dir"
    elif stat.S_ISLNK(info.st_mode):
        kind, content = "link", str(path.readlink())
    elif stat.S_ISREG(info.st_mode):
        kind, size = "file", info.st_size
        content = hashlib.sha256(path.read_bytes()).hexdigest() if contents else ""
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(info.st_mode),
        owner=(info.st_uid, info.st_gid),
        size=size,
        content=content,
    )


def snapshot(folder: Path) -> dict[str, Entry]:
    """What is at every path below a folder, by path relative to it."""
    return {str(path.relative_to(folder)): _describe(path, contents=True) for path in folder.rglob("*")}


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, str]:
    """Paths that two snapshots do not agree on, with what happened to each."""
    found = dict.fromkeys(before.keys() - after.keys(), "gone")
    found |= dict.fromkeys(after.keys() - before.keys(), "new")
    found |= {path: "changed" for path in before.keys() & after.keys() if before[path] != after[path]}
    return dict(sorted(found.items()))


def _raise_loopback() -> None:
    # A new network namespace has lo, but down: without this a program cannot even talk to itself.
    get, set_, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        name, flags = struct.unpack("16sH14x", fcntl.ioctl(control, get, request))
        fcntl.ioctl(control, set_, struct.pack("16sH14x", name, flags | up))
