"""Turns a lock file into a requirements file for pip and uv, with the lock's own tool."""

import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from venvpkg.errors import VenvpkgError
from venvpkg.installers import Installer, Request
from venvpkg.interpreter import Interpreter
from venvpkg.locks import is_lock, logical_lines, resolve_groups
from venvpkg.plan import Install, exported_file, requirement_files
from venvpkg.process import Runner, python_environment
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec

# The default index is the machine's to choose; an exporter writes down the public one.
PUBLIC_INDEX = re.compile(r"(-i|--index-url)[= ]https://pypi\.org/simple/?\s*")
STALE = re.compile(
    r"needs to be updated|changed significantly|not up to date|out of date|hash .*mismatch", re.I
)
LOCAL = re.compile(r"(\.{1,2}(?:/[^\s;#]*)?)(?=\s|;|#|$)")
EDITABLE = re.compile(r"^(-e|--editable)([= ]+|(?=\.))", re.MULTILINE)
INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[= ]?\s*(\S.*)")
PROGRAM, PYLOCK = "pylock.py", "packaging"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What reads a kind of lock file."""

    program: str
    wants: tuple[str, ...]
    """What has to be installed for it, where it is not on PATH."""
    probe: tuple[str, ...]
    """Arguments with which a program on PATH shows that it can do what is wanted."""
    check: tuple[str, ...]
    """Arguments that tell whether the lock fits the project, if there are such."""
    files: tuple[str, ...]
    """What of the project it reads."""
    export: Callable[[Spec, Interpreter], list[str]]
    """Returns the arguments that write requirements to standard output."""


def _uv(spec: Spec, interpreter: Interpreter) -> list[str]:
    words = ["export", "--quiet", "--locked", "--no-emit-project", "--no-editable", "--no-default-groups"]
    words += [
        "--format",
        "requirements-txt",
        "--no-header",
        "--no-annotate",
        "--python",
        str(interpreter.path),
    ]
    words += [w for name in spec.extras for w in ("--extra", name)]
    return words + [w for name in spec.groups for w in ("--group", name)]


def _poetry(spec: Spec, interpreter: Interpreter) -> list[str]:
    words = ["export", "--format", "requirements.txt", "--only", ",".join(("main", *spec.groups))]
    return words + [w for name in spec.extras for w in ("--extras", name)]


def _pdm(spec: Spec, interpreter: Interpreter) -> list[str]:
    words = ["export", "--format", "requirements", "--prod"]
    return words + [w for name in (*spec.extras, *spec.groups) for w in ("--group", name)]


def _pipenv(spec: Spec, interpreter: Interpreter) -> list[str]:
    return ["requirements", "--hash", f"--categories={' '.join(('packages', *spec.groups))}"]


TOOLS: Mapping[str, Tool] = {
    "uv.lock": Tool(
        program="uv",
        wants=("uv>=0.5.21",),
        probe=("export", "--help"),
        check=(),
        files=(),
        export=_uv,
    ),
    "poetry.lock": Tool(
        program="poetry",
        wants=("poetry>=2.1,<3", "poetry-plugin-export>=1.9,<2"),
        probe=("export", "--help"),
        check=("check", "--lock"),
        files=("pyproject.toml", "poetry.lock", "poetry.toml"),
        export=_poetry,
    ),
    "pdm.lock": Tool(
        program="pdm",
        wants=("pdm>=2.20,<3",),
        probe=("export", "--help"),
        check=("lock", "--check"),
        files=("pyproject.toml", "pdm.lock", "pdm.toml"),
        export=_pdm,
    ),
    "Pipfile.lock": Tool(
        program="pipenv",
        wants=("pipenv>=2024",),
        probe=("requirements", "--help"),
        check=("verify",),
        files=("Pipfile", "Pipfile.lock"),
        export=_pipenv,
    ),
}


def export_locks(
    spec: Spec, interpreter: Interpreter, installer: Installer, run: Runner, environ: Mapping[str, str]
) -> None:
    """Write a requirements file for every lock of a project, and for requirements with editable ones.

    An editable install would point at a folder that a server has not: what it names is installed as it is.

    Raises:
        VenvpkgError: ``lock-invalid``, ``lock-stale``, ``lock-export-failed``, ``lock-tool-missing``.
    """
    for file in requirement_files(spec):
        if not file.is_file():
            continue
        if file.name in TOOLS:
            text = _export(TOOLS[file.name], file, spec, interpreter, installer, run, environ)
        elif is_lock(file) and file.suffix == ".toml":
            text = _export_pylock(file, spec, interpreter, installer, run, environ)
        elif has_editable(file):
            text = tidy(flatten(file), spec.source / (spec.project or "."))
        else:
            continue
        target = exported_file(spec, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _export(
    tool: Tool,
    file: Path,
    spec: Spec,
    interpreter: Interpreter,
    installer: Installer,
    run: Runner,
    environ: Mapping[str, str],
) -> str:
    with scratch_folder() as scratch:
        program = find_tool(tool, scratch, spec, installer, run, environ)
        folder = file.parent
        if tool.files:
            # Some of them write into the folder that they read.
            folder = scratch / "project"
            folder.mkdir()
            for name in tool.files:
                if (file.parent / name).is_file():
                    shutil.copyfile(file.parent / name, folder / name)
        env = python_environment(environ) | {
            "UV_PYTHON_DOWNLOADS": "never",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "POETRY_VIRTUALENVS_CREATE": "false",
            "PIPENV_IGNORE_VIRTUALENVS": "1",
            "PDM_CHECK_UPDATE": "0",
            "WORKON_HOME": str(scratch / "environments"),
            "NO_COLOR": "1",
        }
        env |= {"PDM_PYTHON": str(interpreter.path), "PIPENV_PYTHON": str(interpreter.path)}
        for number, words in enumerate((tool.check, tool.export(spec, interpreter))):
            if not words:
                continue
            answer = run([program, *words], env=env, cwd=folder, check=False)
            said = [*answer.tail, *(answer.stdout.splitlines()[-5:] if number == 0 else ())]
            if answer.returncode != 0:
                raise _explain(tool.program, file, said, stale=number == 0)
        text = answer.stdout.replace(str(folder), str(file.parent))
    return tidy(text, file.parent)


def _explain(program: str, file: Path, said: Iterable[str], *, stale: bool) -> VenvpkgError:
    lines = [line for line in said if line.strip()]
    if stale or STALE.search("\n".join(lines)):
        return VenvpkgError(
            code="lock-stale",
            message=f"{file.name} does not fit the project any more, says {program}.",
            causes=lines,
            hint=f"Lock again: {program} lock" if program != PYLOCK else "Lock again, with what wrote it.",
        )
    return VenvpkgError(
        code="lock-export-failed",
        message=f"{program} could not export {file.name}.",
        causes=lines,
        hint="Are the keys extras and groups right? Else export it by hand, and name that in requirements.",
    )


def has_editable(file: Path) -> bool:
    """Tell whether a requirements file, or one that it includes, asks for an editable install."""
    return bool(EDITABLE.search(flatten(file)))


def flatten(file: Path, within: tuple[Path, ...] = ()) -> str:
    """Return the lines of a requirements file with those of the files that it includes in place.

    What cannot be read is left as it is, for :func:`venvpkg.locks.read_requirements` to tell.
    """
    try:
        lines = logical_lines(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return f"-r {file}\n"
    text = ""
    for _, line in lines:
        included = INCLUDE.fullmatch(line)
        place = file.parent / included[2].strip("\"'") if included else file
        if included and included[1] in ("-r", "--requirement") and place not in (file, *within):
            text += flatten(place, (file, *within))
        else:
            text += f"{included[1]} {place}\n" if included else f"{line}\n"
    return text


def tidy(text: str, folder: Path) -> str:
    """Return requirements without what is the project's own or the machine's to say.

    The project itself goes, the public index too; local paths become absolute, editable ones plain.

    Args:
        text: what an exporter wrote.
        folder: the project's folder, from which paths count.
    """
    lines = []
    for _, line in logical_lines(text):
        if PUBLIC_INDEX.fullmatch(line):
            continue
        line = EDITABLE.sub("", line)
        found = LOCAL.match(line)
        if found:
            place = (folder / found[1]).resolve()
            if place == folder.resolve():
                continue
            line = f"{place}{line[found.end() :]}"
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def find_tool(
    tool: Tool, scratch: Path, spec: Spec, installer: Installer, run: Runner, environ: Mapping[str, str]
) -> Path:
    """Return a tool's program: the one on PATH, or one in an environment of its own.

    Raises:
        VenvpkgError: ``lock-tool-missing``.
    """
    there = shutil.which(tool.program, path=environ.get("PATH"))
    if there and run([there, *tool.probe], env=python_environment(environ), check=False).returncode == 0:
        return Path(there)
    return (
        tool_environment(tool.program, tool.wants, scratch, spec, installer, run, environ)
        / "bin"
        / tool.program
    )


def tool_environment(
    name: str,
    wants: tuple[str, ...],
    scratch: Path,
    spec: Spec,
    installer: Installer,
    run: Runner,
    environ: Mapping[str, str],
) -> Path:
    """Return an environment with a tool, from the user's cache or made now; no package ever holds it.

    Raises:
        VenvpkgError: ``lock-tool-missing``.
    """
    key = hashlib.sha256("\n".join((*wants, sys.version)).encode()).hexdigest()[:12]
    home = environ.get("HOME") or "/nonexistent"
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(home, ".cache")) / "venvpkg" / "tools"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        place = (cache if os.access(cache, os.W_OK) else scratch) / f"{name}-{key}"
    except OSError:
        place = scratch / f"{name}-{key}"
    if (place / "complete").is_file():
        return place
    # An environment can't be moved, so it is made where it stays; the last file says that it is whole.
    shutil.rmtree(place, ignore_errors=True)
    request = Request(
        install=Install(title=name, lines=wants),
        python=place / "bin" / "python",
        files=(scratch / f"{name}.txt",),
        downloads=scratch / "downloads",
    )
    request.files[0].write_text("".join(f"{line}\n" for line in wants), encoding="utf-8")
    # The project's choices of wheels and sdists are not for the tool.
    plain = replace(
        spec, no_binary=(), only_binary=(), config_settings={}, installer_args=(), build_isolation=True
    )
    try:
        run([sys.executable, "-I", "-m", "venv", "--without-pip", place], env=python_environment(environ))
        settings = installer.environment(plain, request.install, environ)
        run(installer.command(plain, request), env=settings, cwd=spec.source)
    except VenvpkgError as error:
        raise VenvpkgError(
            code="lock-tool-missing",
            message=f"The lock takes {name} to read it, which is not on PATH and could not be installed.",
            causes=error.causes,
            hint="Build once where the index can be reached, which keeps the tool; or export the lock where\n"
            'the tool is, and name the result: requirements = ["requirements.txt"]',
        ) from error
    (place / "complete").touch()
    return place


def _export_pylock(
    file: Path,
    spec: Spec,
    interpreter: Interpreter,
    installer: Installer,
    run: Runner,
    environ: Mapping[str, str],
) -> str:
    try:
        content = _without_times(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise VenvpkgError(
            code="lock-invalid",
            message=f"{file.name} is no lock file (PEP 751).",
            causes=[str(error)],
            hint="Lock again.",
        ) from error
    with scratch_folder() as scratch:
        place = tool_environment(PYLOCK, ("packaging>=26.1",), scratch, spec, installer, run, environ)
        site = next((place / "lib").glob("python3*/site-packages"))
        program = (files("venvpkg") / "inside" / PROGRAM).read_text(encoding="utf-8")
        asked = {
            "site": str(site),
            "lock": content,
            "extras": spec.extras,
            "groups": spec.groups,
            "project": project_requirements(spec),
        }
        # The interpreter that is packaged evaluates markers and tags.
        answer = run([interpreter.path, "-I", "-c", program], stdin=json.dumps(asked), check=False)
    if answer.returncode != 0:
        raise VenvpkgError(
            code="lock-invalid",
            message=f"{file.name} could not be read.",
            causes=answer.tail[-3:],
            hint="Lock again; the format is that of PEP 751.",
        )
    told = json.loads(answer.stdout)
    if told["stale"]:
        raise _explain(PYLOCK, file, told["stale"], stale=True)
    return tidy("\n".join(told["lines"]), file.parent)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(item) for key, item in value.items() if key not in ("upload-time", "tool")
        }
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def project_requirements(spec: Spec) -> list[str]:
    """Return what pyproject.toml requires directly, with the extras and groups that are asked for."""
    path = spec.source / (spec.project or ".") / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        found = list(project.get("dependencies", []))
        optional = {canonicalize_name(k): v for k, v in project.get("optional-dependencies", {}).items()}
        found += [line for name in spec.extras for line in optional.get(canonicalize_name(name), [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return []
    found += resolve_groups(spec.dependency_groups, spec.groups)
    valid = []
    for line in found:
        try:
            valid.append(str(Requirement(line)))
        except InvalidRequirement:
            continue
    return valid
