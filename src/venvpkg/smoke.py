"""Runs the staged environment; failures and mapped libraries as a value."""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

from venvpkg.distributions import Distribution
from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.process import Runner, describe_status, python_environment
from venvpkg.report import Accepted, Finding
from venvpkg.scratch import scratch_folder

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

    def to_json(self) -> str:
        """Return the run as JSON, for the later steps."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            imported=tuple(values["imported"]),
            commands=tuple(values["commands"]),
            failures=tuple(Failure(**f) for f in values["failures"]),
            mapped=tuple(values["mapped"]),
            modules=values["modules"],
        )


def run_smoke(
    plan: Plan, distributions: Sequence[Distribution], project: str, run: Runner, environ: Mapping[str, str]
) -> Smoke:
    """Import the project and its direct requirements, and run the commands of the key ``smoke``.

    Everything goes through the staged ``bin/python``, so that an older version at the final prefix does
    not answer, in an empty folder as the home. ``nocheck`` (DEB_BUILD_OPTIONS, Policy §4.9.1) skips the
    commands; the imports always run, for Depends is computed from what they load.
    """
    markers = json.loads(run([plan.interpreter.path, "-I", "-c", MARKER_PROBE]).stdout)
    wanted = wanted_modules(plan, distributions, project, markers)
    commands = () if "nocheck" in environ.get("DEB_BUILD_OPTIONS", "").split() else plan.spec.smoke
    with scratch_folder() as home:
        env = python_environment(environ) | {"HOME": str(home), "TMPDIR": str(home)}
        # fakeroot preloads a library, which a server has not, and which nothing here needs.
        env = {k: v for k, v in env.items() if not k.startswith(("XDG_", "LD_", "FAKEROOT"))}
        env["PATH"] = f"{plan.stage / 'bin'}:{environ.get('PATH', '')}"
        failures, mapped, modules = import_all(plan, list(wanted), run, env, home)
        failed = [
            Failure(what=f"import {name}", message=text, distribution=wanted[name])
            for name, text in failures.items()
        ]
        failed += [f for f in (run_command(plan, text, run, env, home) for text in commands) if f]
    return Smoke(
        imported=tuple(wanted),
        commands=commands,
        failures=tuple(failed),
        mapped=tuple(mapped),
        modules=modules,
    )


def require_passed(smoke: Smoke, accepted: Sequence[Accepted]) -> None:
    """Make sure that nothing failed but what is accepted.

    Raises:
        VenvpkgError: ``smoke-failed``.
    """
    findings = [
        Finding(code="V011", path=f.what.removeprefix("import "), message=f.message) for f in smoke.failures
    ]
    left = [
        f
        for f, finding in zip(smoke.failures, findings, strict=True)
        if not any(a.covers(finding) for a in accepted)
    ]
    if left:
        raise VenvpkgError(
            code="smoke-failed",
            message="The staged environment does not work.",
            causes=[
                f"{f.what}{f' (of {f.distribution})' if f.distribution else ''}: {f.message}" for f in left
            ],
            hint=_hint(left),
        )


def _hint(failures: Sequence[Failure]) -> str:
    text = " ".join(f.message for f in failures)
    for module, package in SPLIT_HINTS.items():
        if module in text:
            return f'{module} is in {package}: build-depends = ["{package}"], and {package} in Build-Depends.'
    if "cannot open shared object file" in text:
        return "Add the Debian package that has the library to build-depends and to Build-Depends."
    return (
        "Is a requirement missing? For what is broken and never used:\n"
        'accept = [{ code = "V011", path = "MODULE", reason = "…" }]'
    )


def wanted_modules(
    plan: Plan, distributions: Sequence[Distribution], project: str, markers: Mapping[str, str]
) -> dict[str, str]:
    """Return the top-level modules of the project and its direct requirements, each with its distribution."""
    direct: set[str] = {project} - {""}
    for distribution in distributions:
        if distribution.name == project:
            direct |= distribution.requirements(markers, plan.spec.extras)
    if not project or direct == {project}:
        direct |= {pin.name for pin in plan.requirements.pins if pin.applies(markers)}
    wanted: dict[str, str] = {}
    # The project last: where a requirement is broken, that is said first.
    for distribution in sorted(distributions, key=lambda d: (d.name == project, d.name)):
        if distribution.name in direct:
            names = [n for n in distribution.modules() if not n.startswith("_")]
            kept = [n for n in names if n not in INCIDENTAL] or names
            wanted |= dict.fromkeys(kept, distribution.name)
    return wanted


def import_all(
    plan: Plan, names: list[str], run: Runner, env: Mapping[str, str], home: Path
) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Import modules in one process; one that ends it is noted, and the rest goes on in another."""
    failures: dict[str, str] = {}
    mapped: list[str] = []
    modules: dict[str, str] = {}
    left = names
    while True:
        lines, status = _import_some(plan, left, run, env, home)
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
    plan: Plan, names: list[str], run: Runner, env: Mapping[str, str], home: Path
) -> tuple[list[dict[str, Any]], str]:
    told = home / "told.jsonl"
    with as_file(files("venvpkg") / "inside" / "smoke.py") as program:
        # The shell opens descriptor 3, since what is imported may write to any of the usual ones.
        script = 'exec 3>"$1"; shift; exec "$@" 3'
        words = ["sh", "-c", script, "sh", str(told), str(plan.stage / "bin" / "python"), str(program)]
        answer = run(words, env=env, cwd=home, stdin=json.dumps({"modules": names}), check=False)
    lines = (
        [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()] if told.exists() else []
    )
    if not lines and answer.returncode != 0:
        raise VenvpkgError(
            code="stage-broken",
            message="The staged Python does not start.",
            causes=[*answer.tail, describe_status(answer.returncode)],
            hint=f"Try it: {plan.stage / 'bin' / 'python'} -c 'import sys; print(sys.prefix)'",
        )
    return lines, describe_status(answer.returncode)


def run_command(plan: Plan, text: str, run: Runner, env: Mapping[str, str], home: Path) -> Failure | None:
    """Run one command of the key ``smoke``; a script of the environment goes through ``bin/python``."""
    words: list[str] = shlex.split(text)
    script = plan.stage / "bin" / words[0].removeprefix("bin/")
    argv = list(words)
    if "/" in words[0].removeprefix("bin/") and not words[0].startswith("/"):
        argv[0] = str(plan.stage / words[0])
    elif script.exists():
        python = (
            script.is_file()
            and not script.is_symlink()
            and b"python" in script.read_bytes()[:500].split(b"\n\n")[0]
        )
        is_script = python and script.read_bytes()[:2] == b"#!"
        argv = [str(plan.stage / "bin" / "python")] * is_script + [str(script), *words[1:]]
    elif shutil.which(words[0], path=env["PATH"]) is None:
        return Failure(what=text, message=f"there is no {words[0]} in the environment or on PATH")
    answer = run(argv, env=env, cwd=home, check=False)
    if answer.returncode == 0:
        return None
    last = " | ".join([*answer.tail, *answer.stdout.splitlines()[-5:]][-5:])
    return Failure(what=text, message=f"{describe_status(answer.returncode)}: {last}".rstrip(": "))
