"""Runs an environment; failures and mapped libraries as a value."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any, Self

from packaging.utils import canonicalize_name

from venvpkg.distributions import Distribution
from venvpkg.errors import VenvpkgError
from venvpkg.plan import BUNDLE, Plan
from venvpkg.process import SHOWN_LINES, Runner, describe_status, python_environment, redact
from venvpkg.report import Accepted, Finding
from venvpkg.scratch import scratch_folder
from venvpkg.shlibs import name_packages

# Folders that lie beside a distribution's real modules by accident, and want their own requirements.
INCIDENTAL = frozenset(
    {"tests", "test", "testing", "docs", "doc", "examples", "example", "benchmarks", "scripts", "tools"}
)
SPLIT_HINTS = {
    "tkinter": "python3-tk",
    "gdbm": "python3-gdbm",
    "distutils": "python3-distutils",
    "lib2to3": "python3-lib2to3",
}
PROGRAM = "smoke.py"
# What does not end by itself would hold up a build for ever.
SECONDS = 600
LIMIT = ("timeout", "--foreground", "--kill-after=10", str(SECONDS))
MARKER_PROBE = """
import json, os, platform, sys
v = "{0.major}.{0.minor}.{0.micro}".format(sys.implementation.version)
print(json.dumps({
    "implementation_name": sys.implementation.name, "implementation_version": v, "os_name": os.name,
    "platform_machine": platform.machine(), "platform_release": platform.release(),
    "platform_system": platform.system(), "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "platform_python_implementation": platform.python_implementation(),
    "python_version": ".".join(platform.python_version_tuple()[:2]), "sys_platform": sys.platform,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An import or a command that failed."""

    what: str
    """``import NAME`` or the command."""
    message: str
    distribution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """The outcome of the smoke run."""

    imported: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    mapped: tuple[str, ...] = ()
    """Shared libraries that the process had mapped, absolute paths."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Modules that were loaded: name to file, absolute."""
    unused: tuple[str, ...] = ()
    """What could not be imported and need not be, with the reason."""

    def to_json(self) -> str:
        """Return the run as JSON, for the later steps."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read what :meth:`to_json` wrote into a file, if it is there."""
        if not path.is_file():
            return None
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            imported=tuple(values["imported"]),
            commands=tuple(values["commands"]),
            failures=tuple(Failure(**f) for f in values["failures"]),
            mapped=tuple(values["mapped"]),
            modules=values["modules"],
            unused=tuple(values["unused"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried, and where."""

    folder: Path
    """The environment's folder, as a process sees it."""
    prefix: PurePosixPath
    """The prefix that it is for, which the outcome names."""
    modules: Mapping[str, str]
    """Modules to import, each with the distribution that it is of."""
    commands: tuple[str, ...] = ()
    optional: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By distribution, what only its extras bring; a module that wants it is for whoever has the extra."""
    top: Path = Path("/")
    """What a process has for the root of the file system: that of this machine, or of a clean root."""

    def finally_at(self, path: str) -> str:
        """Return where a file of the environment will be; any other path as it is."""
        real = Path(path)
        return str(self.prefix / real.relative_to(self.folder)) if real.is_relative_to(self.folder) else path

    def outside(self, path: str | Path) -> Path:
        """Return the path on this machine of what a process sees at ``path``."""
        return self.top / Path(path).relative_to("/")


def run_smoke(trial: Trial, run: Runner, environ: Mapping[str, str]) -> Smoke:
    """Import modules and run commands in an environment, wherever it is.

    Everything goes through the environment's own ``bin/python``, so that another version at the final
    prefix does not answer, in an empty folder as the home.

    Raises:
        VenvpkgError: ``stage-broken``.
    """
    with workplace(trial, environ, PROGRAM) as (env, place):
        failures, mapped, modules = import_all(trial, run, env, place)
        unused = {name for name, text in failures.items() if is_for_an_extra(trial, name, text, failures)}
        failed = [
            Failure(what=f"import {name}", message=text, distribution=trial.modules[name])
            for name, text in failures.items()
            if name not in unused
        ]
        failed += [f for f in (run_command(trial, text, run, env, place) for text in trial.commands) if f]
    return Smoke(
        imported=tuple(name for name in trial.modules if name not in unused),
        commands=trial.commands,
        failures=tuple(failed),
        mapped=tuple(trial.finally_at(path) for path in mapped),
        modules={name: trial.finally_at(path) for name, path in modules.items()},
        unused=tuple(f"{name} (of {trial.modules[name]}): {failures[name]}" for name in sorted(unused)),
    )


@contextmanager
def workplace(
    trial: Trial, environ: Mapping[str, str], program: str
) -> Iterator[tuple[dict[str, str], Path]]:
    """Give the variables for what runs in an environment, and a folder that holds a program of ours.

    The folder is named as a process sees it; it has an empty home, and goes away.
    """
    within = trial.outside("/tmp") if trial.top != Path("/") else None
    with scratch_folder(within) as folder, at_home(trial):
        (folder / "home").mkdir()
        place = Path("/", folder.relative_to(trial.top))
        home = str(place / "home")
        env = python_environment(environ) | {"HOME": home, "TMPDIR": home}
        # fakeroot preloads a library, which a server has not, and which nothing here needs.
        env = {k: v for k, v in env.items() if not k.startswith(("XDG_", "LD_", "FAKEROOT"))}
        env["PATH"] = f"{trial.folder / 'bin'}:{environ.get('PATH', '')}"
        (folder / program).write_bytes((files("venvpkg") / "inside" / program).read_bytes())
        yield env, place


@contextmanager
def at_home(trial: Trial) -> Iterator[None]:
    """Let an environment that holds its interpreter find that where it is, and not where it will be."""
    home, path = trial.folder / BUNDLE / "bin", trial.outside(trial.folder / "pyvenv.cfg")
    if trial.folder == Path(trial.prefix) or not trial.outside(home).is_dir():
        yield
        return
    kept = path.read_bytes()
    try:
        # Python reads this before it knows anything else, and takes no other word for it.
        path.write_bytes(re.sub(rb"(?m)^home *=.*$", lambda _: b"home = " + os.fsencode(home), kept))
        yield
    finally:
        path.write_bytes(kept)


def is_for_an_extra(trial: Trial, name: str, text: str, failures: Container[str]) -> bool:
    """Tell whether a module wants what an extra brings, while another one of its distribution works."""
    missing = re.match(r"ModuleNotFoundError: No module named '(\w+)", text)
    distribution = trial.modules[name]
    wanted = missing and canonicalize_name(missing[1]) in trial.optional.get(distribution, ())
    others = (n for n, d in trial.modules.items() if d == distribution and n not in failures)
    return bool(wanted) and any(others)


def plan_trial(
    plan: Plan, distributions: Sequence[Distribution], project: str, run: Runner, environ: Mapping[str, str]
) -> Trial:
    """Return what a build tries: the project, its direct requirements, and the commands of the key ``smoke``.

    ``nocheck`` (DEB_BUILD_OPTIONS, Policy §4.9.1) skips the commands; the imports always run, for Depends
    is computed from what they load.
    """
    markers = json.loads(run([plan.interpreter.path, "-I", "-c", MARKER_PROBE]).stdout)
    direct: set[str] = {project} - {""}
    for distribution in distributions:
        if distribution.name == project:
            direct |= distribution.requirements(markers, plan.spec.extras)
    if not project or direct == {project}:
        direct |= {pin.name for pin in plan.requirements.pins if pin.applies(markers)}
    skipped = "nocheck" in environ.get("DEB_BUILD_OPTIONS", "").split()
    return Trial(
        folder=plan.stage,
        prefix=plan.prefix,
        modules=wanted_modules(distributions, direct, project),
        commands=() if skipped else plan.spec.smoke,
        optional={d.name: d.optional for d in distributions if d.name != project},
    )


def wanted_modules(
    distributions: Iterable[Distribution], direct: Iterable[str], project: str
) -> dict[str, str]:
    """Return the top-level modules of the distributions in ``direct``, each with its distribution.

    The project comes last: where a requirement is broken, that is said first.
    """
    wanted: dict[str, str] = {}
    chosen = set(direct)
    for distribution in sorted(distributions, key=lambda d: (d.name == project, d.name)):
        if distribution.name in chosen:
            names = [n for n in distribution.modules() if not n.startswith("_")]
            kept = [n for n in names if n not in INCIDENTAL] or names
            if distribution.name == project:
                kept = [n for n in distribution.packages() if n.partition(".")[0] in kept]
            wanted |= dict.fromkeys(kept, distribution.name)
    return wanted


def smoke_findings(smoke: Smoke) -> Iterator[Finding]:
    """Yield what failed in a smoke run, as check V011 numbers it."""
    for failure in smoke.failures:
        owner = f" (of {failure.distribution})" if failure.distribution else ""
        yield Finding(
            code="V011",
            path=failure.what.removeprefix("import "),
            message=f"{failure.what}{owner}: {failure.message}",
            hint=_hint([failure]),
        )


def require_passed(smoke: Smoke, accepted: Sequence[Accepted], run: Runner) -> None:
    """Make sure that nothing failed but what is accepted; ``run`` asks apt for missing libraries.

    Raises:
        VenvpkgError: ``smoke-failed``.
    """
    pairs = zip(smoke.failures, smoke_findings(smoke), strict=True)
    left = [(f, finding) for f, finding in pairs if not any(a.covers(finding) for a in accepted)]
    if left:
        sonames = dict.fromkeys(name for f, _ in left for name in missing_libraries(f.message))
        packages = dict.fromkeys(name for soname in sonames for name in name_packages(soname, run)[:1])
        raise VenvpkgError(
            code="smoke-failed",
            message="The staged environment does not work.",
            causes=[finding.message for _, finding in left],
            hint=_hint([failure for failure, _ in left], tuple(packages)),
        )


def missing_libraries(message: str) -> list[str]:
    """Return the sonames that the linker, ctypes or cffi said could not be loaded."""
    found = re.findall(r"(\S+?\.so[.\d]*): cannot open shared object file", message)
    # cffi is often given the name that a library has on another system, as in libgobject-2.0-0.
    tried = [name for name in re.findall(r"cannot load library '([^']+)'", message) if ".so" not in name]
    found += [re.sub(r"-(\d+)$", r".so.\1", name) for name in tried]
    return [PurePosixPath(name).name for name in found]


def _hint(failures: Sequence[Failure], packages: tuple[str, ...] = ()) -> str:
    text = " ".join(f.message for f in failures)
    for module, package in SPLIT_HINTS.items():
        if module in text:
            packages = (package,)
    if packages:
        return (
            f"apt-get install {' '.join(packages)}\n"
            f"For every build: build-depends = {json.dumps(list(packages))}, and the same in Build-Depends."
        )
    if missing_libraries(text):
        return "Add the Debian package that has the library to build-depends and to Build-Depends."
    modules = [f.what.removeprefix("import ") for f in failures if f.what.startswith("import ")]
    if not modules:
        return (
            "Mend the command, or what it starts: the key smoke has it (DEB_BUILD_OPTIONS=nocheck skips it)."
        )
    accept = f'accept = [{{ code = "V011", path = {json.dumps(modules[0])}, reason = "…" }}]'
    return f"Is a requirement missing? For what is broken and never used:\n{accept}"


def import_all(
    trial: Trial, run: Runner, env: Mapping[str, str], place: Path
) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Import modules in one process; one that ends it is noted, and the rest goes on in another.

    ``place`` is the folder that holds the program that does it, as a process sees it.
    """
    failures: dict[str, str] = {}
    mapped: list[str] = []
    modules: dict[str, str] = {}
    left = list(trial.modules)
    while True:
        lines, status = _import_some(trial, left, run, env, place)
        ended = {line["end"]: line["error"] for line in lines if "end" in line}
        failures |= {name: text for name, text in ended.items() if text}
        for line in lines:
            if "mapped" in line:
                mapped, modules = line["mapped"], line["files"]
        crashed = [line["start"] for line in lines if "start" in line and line["start"] not in ended]
        if not crashed:
            return failures, mapped, modules
        failures[crashed[0]] = f"the process ended with {status}"
        left = [name for name in left if name not in failures]


def _import_some(
    trial: Trial, names: list[str], run: Runner, env: Mapping[str, str], place: Path
) -> tuple[list[dict[str, Any]], str]:
    python, told = trial.folder / "bin" / "python", place / "told.jsonl"
    # The shell opens descriptor 3, since what is imported may write to any of the usual ones.
    script = 'exec 3>"$1"; shift; exec "$@" 3'
    words = ["sh", "-c", script, "sh", str(told), *LIMIT, str(python), str(place / PROGRAM)]
    asked = json.dumps({"modules": names})
    status, said = run_apart(trial, words, run, env, place, asked)
    path = trial.outside(told)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = list(read_told(text))
    if not any("start" in line or "mapped" in line for line in lines):
        raise VenvpkgError(
            code="stage-broken",
            message="The environment's Python does not start.",
            causes=[*said, _ending(status)],
            hint=f"Try it: {shlex.quote(str(python))} -c 'import sys; print(sys.prefix)'",
        )
    return lines, _ending(status)


def read_told(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects among lines of JSON; other lines are left out."""
    for line in text.splitlines():
        # What is imported may write to any descriptor.
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                yield value


def run_apart(
    trial: Trial, words: Sequence[str], run: Runner, env: Mapping[str, str], place: Path, stdin: str = ""
) -> tuple[int, list[str]]:
    """Run a command whose output goes to a file; returns its status and the last lines that it wrote.

    What it leaves running in the background would hold a pipe of ours open for ever.
    """
    said = place / "said.txt"
    script = 'exec >"$1" 2>&1; shift; exec "$@"'
    answer = run(
        ["sh", "-c", script, "sh", str(said), *words],
        env=env,
        cwd=Path(env["HOME"]),
        stdin=stdin,
        check=False,
    )
    text = trial.outside(said).read_text(encoding="utf-8", errors="replace")
    return answer.returncode, redact(text).splitlines()[-SHOWN_LINES:]


def _ending(status: int) -> str:
    # timeout(1)
    return f"no end within {SECONDS} s" if status == 124 else describe_status(status)


def run_command(trial: Trial, text: str, run: Runner, env: Mapping[str, str], place: Path) -> Failure | None:
    """Run one command of the key ``smoke``; a script of the environment goes through ``bin/python``.

    ``place`` is a folder for its output, as a process sees it.
    """
    try:
        words: list[str] = shlex.split(text)
    except ValueError as error:
        return Failure(what=text, message=f"is no command: {error}")
    if not words:
        return Failure(what=text, message="is no command")
    script = trial.folder / "bin" / words[0].removeprefix("bin/")
    there = trial.outside(script)
    argv = list(words)
    if "/" in words[0].removeprefix("bin/") and not words[0].startswith("/"):
        argv[0] = str(trial.folder / words[0])
    elif there.exists():
        head = there.read_bytes()[:500] if there.is_file() and not there.is_symlink() else b""
        is_script = head.startswith(b"#!") and b"python" in head.split(b"\n\n")[0]
        argv = [str(trial.folder / "bin" / "python")] * is_script + [str(script), *words[1:]]
    elif trial.top == Path("/") and shutil.which(words[0], path=env["PATH"]) is None:
        return Failure(what=text, message=f"there is no {words[0]} in the environment or on PATH")
    status, said = run_apart(trial, [*LIMIT, *argv], run, env, place)
    if status == 0:
        return None
    return Failure(what=text, message=f"{_ending(status)}: {' | '.join(said[-5:])}".rstrip(": "))
