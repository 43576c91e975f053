"""Unpacks a clean root from a tarball, and runs commands in it."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from venvpkg.errors import VenvpkgError
from venvpkg.process import Result, Runner
from venvpkg.scratch import scratch_folder

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the root needs of this machine to reach a mirror.
NETWORK = ("etc/resolv.conf", "etc/hosts")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# A mount namespace of its own: whatever happens, nothing stays mounted.
MOUNTS = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'


@dataclass(frozen=True, slots=True)
class CleanRoot:
    """A runner whose commands see an unpacked root as the whole file system."""

    top: Path
    run: Runner
    environ: Mapping[str, str]
    """The environment on this machine; only proxies are handed on."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        check: bool = True,
    ) -> Result:
        """Run ``argv`` as :class:`venvpkg.process.Runner` says; ``cwd`` is a path inside the root."""
        proxies = {name: self.environ[name] for name in PROXIES if name in self.environ}
        inside = {"HOME": "/root", "LC_ALL": "C.UTF-8", "PATH": PATH, **proxies, **(env or {})}
        variables = [f"{name}={value}" for name, value in inside.items()]
        words: list[str | Path] = [*namespaces(), "sh", "-c", MOUNTS, "sh", self.top]
        words += ["env", "-i", f"--chdir={cwd or '/'}", *variables, *argv]
        return self.run(words, stdin=stdin, check=check)

    def install(self, debs: Sequence[Path]) -> None:
        """Install packages with their dependencies, from the archive that the root is set to.

        Raises:
            VenvpkgError: ``root-install-failed``.
        """
        places = [Path("/tmp") / deb.name for deb in debs]
        for deb, place in zip(debs, places, strict=True):
            shutil.copyfile(deb, self.top / place.relative_to("/"))
        settings = {"DEBIAN_FRONTEND": "noninteractive"}
        # apt tells on standard output why it can't.
        words = ["sh", "-c", 'exec "$@" >&2', "sh", "apt-get", "-qq", "-y", "-o", "Dpkg::Use-Pty=0"]
        try:
            if not any((self.top / "var/lib/apt/lists").glob("*Packages*")):
                self([*words, "update"], env=settings)
            self([*words, "install", "--no-install-recommends", *places], env=settings)
        except VenvpkgError as error:
            raise VenvpkgError(
                code="root-install-failed",
                message=f"{' and '.join(deb.name for deb in debs)} could not be installed in the clean root.",
                causes=error.causes,
                hint="Is the root of the suite that the package is for, and can it reach its mirror?",
            ) from error


def namespaces() -> list[str]:
    """Return the beginning of a command that may mount and change its root, as root or as anyone."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-auto", "--map-root-user"]
    return ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]


@contextmanager
def open_root(tarball: Path, run: Runner, environ: Mapping[str, str]) -> Iterator[CleanRoot]:
    """Unpack a root that mmdebstrap or debootstrap made; it is removed in the end.

    Args:
        tarball: compressed in any way that tar knows.
        run: runs commands on this machine.
        environ: the environment on this machine.

    Raises:
        VenvpkgError: ``root-unusable``.
    """
    if not tarball.is_file():
        raise _unusable(tarball, ["There is no such file."])
    with scratch_folder() as folder:
        top = folder / "root"
        top.mkdir()
        # Device nodes cannot be made by everyone, and /dev is this machine's.
        words = ["tar", "-xf", tarball.absolute(), "-C", top, "--numeric-owner", "--exclude=./dev/*"]
        # The mount namespaces are of one user namespace, in which all of a root's users are.
        script = shlex.join([str(word) for word in words])
        try:
            run([*namespaces(), "sh", "-c", script])
            for name in NETWORK:
                if Path("/", name).is_file() and (top / "etc").is_dir():
                    (top / name).unlink(missing_ok=True)
                    shutil.copyfile(Path("/", name), top / name)
            root = CleanRoot(top, run, environ)
            root(["dpkg", "--version"])
        except (VenvpkgError, OSError) as error:
            raise _unusable(
                tarball, error.causes if isinstance(error, VenvpkgError) else [str(error)]
            ) from error
        try:
            yield root
        finally:
            # Files of the root's other users can be removed by its root alone.
            run([*namespaces(), "rm", "-rf", top], check=False)


def _unusable(tarball: Path, causes: Sequence[str]) -> VenvpkgError:
    return VenvpkgError(
        code="root-unusable",
        message=f"{tarball} is no clean root that could be used.",
        causes=causes,
        hint=f"mmdebstrap --variant=minbase stable {shlex.quote(str(tarball))}\n"
        "As another user than root this takes subordinate ids: see newuidmap(1) in the package uidmap.",
    )
