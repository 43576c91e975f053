"""Builds a source package twice under different conditions, and compares what came of it."""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from venvpkg.addon import with_addon
from venvpkg.deb import read_deb
from venvpkg.difference import DERIVED, Side, compare, describe_side
from venvpkg.errors import VenvpkgError
from venvpkg.log import note, step
from venvpkg.process import Runner
from venvpkg.scratch import scratch_folder

BUILD = ("dpkg-buildpackage", "-d", "-b", "-us", "-uc")
SHOWN_LINES = 25
DIFFOSCOPE_LINES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How one of the builds is run."""

    folder: Path
    """Where the copy of the source package lies."""
    variables: Mapping[str, str]
    umask: str
    words: tuple[str, ...] = ()
    """What the command begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one binary package."""

    name: str
    digests: tuple[str, str]
    """SHA-256 of the two files, hexadecimal; empty where a build has no such file."""
    first: str = ""
    """The first file in it that differs; empty where it is the archive itself."""
    details: str = ""

    @property
    def same(self) -> bool:
        """Tell whether both builds gave the same bytes."""
        return self.digests[0] == self.digests[1]

    def to_text(self) -> str:
        """Return the outcome for people."""
        if self.same:
            return f"{self.name}: the same bytes twice, sha256 {self.digests[0]}"
        if not all(self.digests):
            return f"{self.name}: only one of the builds made it"
        where = f"first in {self.first}" if self.first else "in the archive itself (order, times or owners)"
        return f"{self.name}: differs, {where}\n{self.details}".rstrip()


def check_reproducible(source: Path, run: Runner, environ: Mapping[str, str]) -> list[Outcome]:
    """Build a source package twice, and compare the binary packages.

    The builds differ in folder, umask, time zone, language, number of processors, installer cache and the
    files' times, and where namespaces can be made in user and host name. Neither touches the source folder.

    Args:
        source: the folder that holds debian/.
        run: runs commands.
        environ: the environment of both builds, but for what differs.

    Raises:
        VenvpkgError: ``source-missing``, ``build-failed``.
    """
    if not (source / "debian" / "rules").is_file():
        raise VenvpkgError(
            code="source-missing",
            message=f"{source} holds no debian/rules.",
            hint="Name the folder of a Debian source package.",
        )
    with scratch_folder() as scratch:
        one, other = plan_builds(source, scratch, run, environ)
        # The second copy has times of its own.
        run(["mkdir", "-p", one.folder.parent, other.folder.parent])
        run(["cp", "-a", "--reflink=auto", source, one.folder])
        run(["cp", "-R", "-P", "--reflink=auto", source, other.folder])
        for title, conditions in (("first", one), ("second", other)):
            with step(f"{title} build, in {conditions.folder}"):
                build(conditions, run, environ)
        return compare_builds(one.folder.parent, other.folder.parent, run)


def plan_builds(
    source: Path, scratch: Path, run: Runner, environ: Mapping[str, str]
) -> tuple[Conditions, Conditions]:
    """Decide in what the two builds differ."""
    options = [w for w in environ.get("DEB_BUILD_OPTIONS", "").split() if not w.startswith("parallel=")]
    processors = sorted(os.sched_getaffinity(0))
    known = run(["locale", "-a"], check=False).stdout.split()
    locale = next((name for name in known if not name.startswith(("C", "POSIX"))), "C")
    one = Conditions(
        folder=scratch / "one" / source.name,
        variables={
            "TZ": "UTC0",
            "LC_ALL": "C.UTF-8",
            "DEB_BUILD_OPTIONS": " ".join([*options, f"parallel={len(processors)}"]),
        },
        umask="022",
    )
    other = Conditions(
        folder=scratch / "another" / "place" / f"{source.name}-again",
        variables={
            "TZ": "XST-14",
            "LC_ALL": locale,
            "DEB_BUILD_OPTIONS": " ".join([*options, "parallel=1"]),
            "UV_CACHE_DIR": str(scratch / "cache" / "uv"),
            "PIP_CACHE_DIR": str(scratch / "cache" / "pip"),
        },
        umask="027",
        words=(*_other_machine(source, run, environ), "taskset", "-c", str(processors[-1])),
    )
    return one, other


def _other_machine(source: Path, run: Runner, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the beginning of a command that sees another user and host name, where that can be had."""
    name = ("sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    words: tuple[str, ...]
    if os.geteuid() == 0:
        words = ("unshare", "--uts", *name, "unshare", "--user", "--map-user=1234", "--map-group=1234")
    else:
        words = ("unshare", "--user", "--map-root-user", "--uts", *name)
    rootless = "Rules-Requires-Root: no" in (source / "debian" / "control").read_text(encoding="utf-8")
    works = run([*words, "true"], check=False).returncode == 0
    if works and (rootless or shutil.which("fakeroot", path=environ.get("PATH"))):
        return words
    note("user and host name are the same in both builds: there are no namespaces for others here")
    return ()


def build(conditions: Conditions, run: Runner, environ: Mapping[str, str]) -> None:
    """Build once.

    Raises:
        VenvpkgError: ``build-failed``.
    """
    script = f'umask {conditions.umask} && exec "$@"'
    words = ["sh", "-c", script, "sh", *conditions.words, *BUILD]
    # dpkg-buildpackage takes it from debian/changelog, which both have.
    env = {k: v for k, v in with_addon(environ).items() if k != "SOURCE_DATE_EPOCH"}
    env |= conditions.variables
    answer = run(words, env=env, cwd=conditions.folder, check=False)
    if answer.returncode != 0:
        said = [*answer.stdout.splitlines()[-SHOWN_LINES:], *answer.tail]
        changed = " ".join(shlex.quote(f"{k}={v}") for k, v in conditions.variables.items())
        raise VenvpkgError(
            code="build-failed",
            message=f"The build failed with {changed}, umask {conditions.umask}.",
            causes=said,
            hint="Does it build in the source folder, with dpkg-buildpackage -b?",
        )


def compare_builds(one: Path, other: Path, run: Runner) -> list[Outcome]:
    """Compare the binary packages in two folders, by name."""
    names = sorted({path.name for folder in (one, other) for path in folder.glob("*.*deb")})
    return [_compare(name, one / name, other / name, run) for name in names]


def _compare(name: str, one: Path, other: Path, run: Runner) -> Outcome:
    digests = (_digest(one), _digest(other))
    if digests[0] == digests[1] or not all(digests):
        return Outcome(name=name, digests=digests)
    sides = [describe_side(read_deb(path), None) for path in (one, other)]
    details = compare(*sides).to_text()
    if shutil.which("diffoscope"):
        said = run(["diffoscope", "--text", "-", one, other], check=False).stdout.splitlines()
        details = "\n".join([details, *said[:DIFFOSCOPE_LINES]])
    return Outcome(name=name, digests=digests, first=first_difference(*sides), details=details)


def first_difference(one: Side, other: Side) -> str:
    """Return the first path at which two packages differ, or nothing."""
    paths = sorted(one.prints.keys() | other.prints.keys())
    # RECORD and md5sums differ wherever a file does, and bytecode wherever its module does.
    ordered = sorted(paths, key=lambda path: (bool(DERIVED.fullmatch(path)), path.endswith(".pyc"), path))
    found = next((p for p in ordered if one.prints.get(p) != other.prints.get(p)), "")
    top, _, rest = found.partition("/")
    number = int(top.removeprefix("PREFIX") or 1) if re.fullmatch(r"PREFIX\d*", top) else 0
    return f"{one.prefixes[number - 1].lstrip('/')}/{rest}" if number else found


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
