"""Turns locks into requirements files for pip and uv, each with its own tool."""

import json
import platform
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from venvpkg.distributions import server_markers
from venvpkg.errors import VenvpkgError
from venvpkg.failures import explain_outside
from venvpkg.flat import (
    PUBLIC,
    flatten,
    index_options,
    index_url,
    names_local_paths,
    tidy,
)
from venvpkg.installers import Installer
from venvpkg.interpreter import Interpreter
from venvpkg.locks import (
    Lock,
    Pin,
    Requirements,
    find_differences,
    is_lock,
    logical_lines,
    parse_pin,
    read_lock,
    read_requirements,
    resolve_groups,
)
from venvpkg.log import warn
from venvpkg.plan import exported_file, requirement_files
from venvpkg.process import Runner, python_environment
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec
from venvpkg.tools import tool_environment

STALE = re.compile(
    r"needs to be updated|changed significantly|not up to date|out of date|hash .*mismatch", re.I
)
# pdm has no hashes for a folder or a repository, and writes none at all where one is missing.
UNHASHED = "export with `--no-hashes`"
UV_INDEXES = re.compile(r"UV_((DEFAULT_|EXTRA_)?INDEX(_URL)?|FIND_LINKS|NO_INDEX)")
NUMBER = re.compile(r"\d+(\.\d+)+")
PYLOCK, PACKAGING = "pylock.py", "packaging==26.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """For what a lock is exported, and with what."""

    spec: Spec
    interpreter: Interpreter
    installer: Installer
    run: Runner
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What reads a kind of lock file."""

    program: str
    wants: tuple[str, ...]
    """What is installed for it, where it is not on PATH: exact versions, so that it stays the same tool."""
    least: str
    """The oldest version on PATH that serves."""
    probe: tuple[str, ...]
    """Arguments with which one on PATH shows that it has the command."""
    check: tuple[str, ...]
    """Arguments that tell whether the lock fits the project; the export itself tells where there are none."""
    files: tuple[str, ...]
    """What it is shown of the project, in a copy; the project itself where it writes nothing there."""
    export: Callable[[Path, Job], list[str]]
    """Returns the arguments that write requirements to standard output."""


def _uv(file: Path, job: Job) -> list[str]:
    words = ["export", "--quiet", "--locked", "--format", "requirements-txt", "--no-header", "--no-annotate"]
    words += ["--no-emit-project", "--no-editable", "--no-default-groups"]
    words += ["--python", str(job.interpreter.path)]
    words += [w for name in job.spec.extras for w in ("--extra", name)]
    words += [w for name in job.spec.groups for w in ("--group", name)]
    project = job.spec.source / (job.spec.project or ".")
    member = read_project(job.spec).get("name") if project.resolve() != file.parent.resolve() else None
    # A member of a workspace, whose lock is at the workspace's top.
    return words + (["--package", str(member)] if member else [])


def _poetry(file: Path, job: Job) -> list[str]:
    words = ["export", "--format", "requirements.txt", "--only", ",".join(("main", *job.spec.groups))]
    return words + [w for name in job.spec.extras for w in ("--extras", name)]


def _pdm(file: Path, job: Job) -> list[str]:
    # --prod leaves all dependency groups out, and may not be beside one.
    words = ["export", "--format", "requirements", *([] if job.spec.groups else ["--prod"])]
    return words + [w for name in (*job.spec.extras, *job.spec.groups) for w in ("--group", name)]


def _pipenv(file: Path, job: Job) -> list[str]:
    return ["requirements", "--hash", f"--categories={' '.join(('packages', *job.spec.groups))}"]


TOOLS: Mapping[str, Tool] = {
    "uv.lock": Tool(
        program="uv",
        wants=("uv==0.13.9",),
        least="0.5.21",
        probe=("export", "--help"),
        check=(),
        files=(),
        export=_uv,
    ),
    "poetry.lock": Tool(
        program="poetry",
        wants=("poetry==2.5.1", "poetry-plugin-export==1.10.1"),
        least="2.1",
        probe=("export", "--help"),
        check=("check", "--lock"),
        files=("pyproject.toml", "poetry.lock", "poetry.toml"),
        export=_poetry,
    ),
    "pdm.lock": Tool(
        program="pdm",
        # Its extra pins what it needs; the newest of that does not always work with it.
        wants=("pdm[locked]==2.26.2",),
        least="2.20",
        probe=("export", "--help"),
        check=("lock", "--check"),
        files=("pyproject.toml", "pdm.lock", "pdm.toml"),
        export=_pdm,
    ),
    "Pipfile.lock": Tool(
        program="pipenv",
        wants=("pipenv==2026.10.3",),
        least="2024",
        probe=("requirements", "--help"),
        check=("verify",),
        files=("Pipfile", "Pipfile.lock"),
        export=_pipenv,
    ),
}


def export_locks(
    spec: Spec, interpreter: Interpreter, installer: Installer, run: Runner, environ: Mapping[str, str]
) -> None:
    """Write a requirements file for every lock of a project, and for requirements with paths of folders.

    An editable install would point at a folder that a server has not: what it names is installed as it is.
    What is not pinned is told.

    Raises:
        VenvpkgError: ``lock-invalid``, ``lock-stale``, ``lock-export-failed``, ``lock-tool-missing``,
            ``lock-unfit``, ``group-invalid``, and what :func:`venvpkg.locks.read_requirements` raises.
    """
    job = Job(spec=spec, interpreter=interpreter, installer=installer, run=run, environ=environ)
    installed = []
    for file in requirement_files(spec):
        text = _requirements_of(file, job)
        installed.append(file if text is None else exported_file(spec, file))
        if text is not None:
            installed[-1].parent.mkdir(parents=True, exist_ok=True)
            installed[-1].write_text(text, encoding="utf-8")
    requirements = read_requirements(tuple(installed))
    files = requirement_files(spec)
    # The project is then installed without its dependencies; a lock's own tool has told already.
    alone = requirements.hashed and spec.require_hashes is not False and not any(map(is_lock, files))
    if alone and not spec.system_site_packages:
        _require_fit(files[0], [(pin.name, pin.version) for pin in requirements.pins], job)
    warn_of_loose(spec, requirements, installer.title)


def _requirements_of(file: Path, job: Job) -> str | None:
    """Return the requirements that a file stands for, or None where it is good as it is."""
    if not file.is_file():
        return None
    if file.name in TOOLS:
        return _export(TOOLS[file.name], file, job)
    if is_lock(file) and file.suffix == ".toml":
        return _export_pylock(file, job)
    if names_local_paths(flatten(file)):
        return tidy(flatten(file), job.spec.source / (job.spec.project or "."))
    return None


def _export(tool: Tool, file: Path, job: Job) -> str:
    lock = read_lock(file)
    _require_groups(tool, file, lock, job.spec)
    with scratch_folder() as scratch:
        program = find_tool(tool, scratch, job)
        folder = file.parent
        if tool.files:
            # Some of them write into the folder that they read.
            folder = scratch / "project"
            folder.mkdir()
            for name in tool.files:
                if (file.parent / name).is_file():
                    shutil.copyfile(file.parent / name, folder / name)
        env = python_environment(job.environ) | {
            "UV_PYTHON_DOWNLOADS": "never",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "POETRY_VIRTUALENVS_CREATE": "false",
            "PIPENV_IGNORE_VIRTUALENVS": "1",
            "PIPENV_PYTHON": str(job.interpreter.path),
            "PDM_CHECK_UPDATE": "0",
            "PDM_PYTHON": str(job.interpreter.path),
            "WORKON_HOME": str(scratch / "environments"),
            "NO_COLOR": "1",
        }
        if tool.program == "uv" and lock.indexes:
            # To uv a lock is stale whose indexes it is not told of, and the machine may be set to others.
            env = {k: v for k, v in env.items() if not UV_INDEXES.fullmatch(k)}
            places = sorted(lock.indexes, key=lambda place: bool(PUBLIC.fullmatch(place)))
            env["UV_INDEX"] = " ".join(index_url(place, folder) for place in places)
        if tool.check:
            answer = job.run([program, *tool.check], env=env, cwd=folder, check=False)
            if answer.returncode != 0:
                said = [*answer.tail, *answer.stdout.splitlines()[-5:]]
                raise _explain(tool.program, file, lock, said, job, stale=True)
        words = tool.export(file, job)
        answer = job.run([program, *words], env=env, cwd=folder, check=False)
        bare = answer.returncode != 0 and UNHASHED in "".join(answer.tail)
        if bare:
            answer = job.run([program, *words, "--no-hashes"], env=env, cwd=folder, check=False)
        if answer.returncode != 0:
            raise _explain(tool.program, file, lock, answer.tail, job, stale=False)
        text = answer.stdout.replace(str(folder), str(file.parent))
    if tool.program == "pipenv":
        # It knows the Pipfile alone.
        _require_fit(file, lock.versions, job)
    text = _with_hashes(text, lock) if bare else text
    return tidy("\n".join([*_indexes(text, lock, file), text]), file.parent)


def _require_groups(tool: Tool, file: Path, lock: Lock, spec: Spec) -> None:
    # pdm and pipenv take a name that they do not know for an empty group.
    wanted = (*spec.groups, *(spec.extras if tool.program == "pdm" else ()))
    unknown = [name for name in wanted if canonicalize_name(name) not in lock.groups]
    if lock.groups and unknown:
        raise VenvpkgError(
            code="group-invalid",
            message=f"{file.name} has no {', '.join(unknown)}.",
            causes=[f"It has {', '.join(sorted(lock.groups))}."],
            hint="Correct the keys extras and groups, or lock again with these; a Pipfile's development\n"
            'packages are its category dev-packages: groups = ["dev-packages"]',
        )


def _require_fit(file: Path, locked: Iterable[tuple[str, str]], job: Job) -> None:
    """Make sure that what is locked holds what pyproject.toml requires.

    Raises:
        VenvpkgError: ``lock-stale``.
    """
    found = _differences(locked, job) if job.spec.project is not None else []
    if found:
        raise VenvpkgError(
            code="lock-stale",
            message=f"{file.name} does not fit the project any more.",
            causes=found,
            hint=f"Lock again, with what wrote {file.name}.",
        )


def _differences(locked: Iterable[tuple[str, str]], job: Job) -> list[str]:
    return find_differences(project_requirements(job.spec), locked, _markers(job.interpreter))


def _markers(interpreter: Interpreter) -> dict[str, str]:
    exact = dict.fromkeys(("python_full_version", "implementation_version"), interpreter.version)
    return server_markers(interpreter.minor, "") | exact | {"platform_machine": platform.machine()}


def _explain(
    program: str, file: Path, lock: Lock, said: Iterable[str], job: Job, *, stale: bool
) -> VenvpkgError:
    lines = [line for line in said if line.strip()]
    differences = _differences(lock.versions, job)
    if stale or differences or STALE.search("\n".join(lines)):
        return VenvpkgError(
            code="lock-stale",
            message=f"{file.name} does not fit the project any more, says {program}.",
            causes=[*differences, *lines],
            hint=f"Lock again: {program} lock",
        )
    return VenvpkgError(
        code="lock-export-failed",
        message=f"{program} could not export {file.name}.",
        causes=lines,
        hint=explain_outside("\n".join(lines))
        or "Are the keys extras and groups right? Else export it by hand, and name that in requirements.",
    )


def _with_hashes(text: str, lock: Lock) -> str:
    hashes = {(one.name, one.version): one.hashes for one in lock.distributions}
    lines = []
    for _, line in logical_lines(text):
        pin = None if line.startswith("-") else parse_pin(line, "the export")
        found = hashes.get((pin.name, pin.version), ()) if pin else ()
        lines.append(" ".join([line, *(f"--hash={value}" for value in found)]))
    return "\n".join(lines)


def _indexes(text: str, lock: Lock, file: Path) -> list[str]:
    """Return options for the indexes of what a text pins: a requirements file can't tie one to a name."""
    pins = [parse_pin(line, file.name) for _, line in logical_lines(text) if not line.startswith("-")]
    wanted = {(pin.name, pin.version) for pin in pins if pin.version}
    there = [one for one in lock.distributions if one.index and (one.name, one.version) in wanted]
    return index_options([one.index for one in there], file.parent)


def find_tool(tool: Tool, scratch: Path, job: Job) -> Path:
    """Return a tool's program: the one on PATH where it serves, or one in an environment of its own.

    Raises:
        VenvpkgError: ``lock-tool-missing``.
    """
    there = shutil.which(tool.program, path=job.environ.get("PATH"))
    if there and _serves(tool, there, job):
        return Path(there)
    place = tool_environment(tool.program, tool.wants, scratch, job.spec, job.installer, job.run, job.environ)
    return place / "bin" / tool.program


def _serves(tool: Tool, program: str, job: Job) -> bool:
    env = python_environment(job.environ)
    told = NUMBER.search(job.run([program, "--version"], env=env, check=False).stdout)
    if not told or Version(told[0]) < Version(tool.least):
        return False
    return job.run([program, *tool.probe], env=env, check=False).returncode == 0


def _export_pylock(file: Path, job: Job) -> str:
    read_lock(file)
    content = _without_times(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    with scratch_folder() as scratch:
        place = tool_environment(
            "packaging", (PACKAGING,), scratch, job.spec, job.installer, job.run, job.environ
        )
        site = next((place / "lib").glob("python3*/site-packages"))
        program = (resources.files("venvpkg") / "inside" / PYLOCK).read_text(encoding="utf-8")
        asked = {
            "site": str(site),
            "lock": content,
            "extras": job.spec.extras,
            "groups": job.spec.groups,
        }
        # The interpreter that is packaged evaluates markers and tags.
        answer = job.run([job.interpreter.path, "-I", "-c", program], stdin=json.dumps(asked), check=False)
    if answer.returncode != 0:
        raise VenvpkgError(
            code="lock-invalid",
            message=f"{file.name} could not be read.",
            causes=answer.tail[-3:],
            hint="Lock again; the format is that of PEP 751.",
        )
    told = json.loads(answer.stdout)
    if told["unfit"]:
        raise VenvpkgError(
            code="lock-unfit",
            message=f"{file.name} is not for Python {job.interpreter.version} on this machine.",
            causes=told["unfit"],
            hint="Lock again for it, or name the Python that it is for with the key python.",
        )
    selected = [(canonicalize_name(name), version) for name, version in told["selected"]]
    _require_fit(file, selected, job)
    options = index_options(told["indexes"], file.parent)
    return tidy("\n".join([*options, *told["lines"]]), file.parent)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(item) for key, item in value.items() if key not in ("upload-time", "tool")
        }
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def read_project(spec: Spec) -> Mapping[str, Any]:
    """Return the table ``[project]`` of the project's pyproject.toml, or an empty one."""
    project: Mapping[str, Any] = _read_pyproject(spec).get("project", {})
    return project


def _read_pyproject(spec: Spec) -> Mapping[str, Any]:
    path = spec.source / (spec.project or ".") / "pyproject.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content.get("project", {}), dict) else {}


def project_requirements(spec: Spec) -> list[str]:
    """Return what pyproject.toml requires directly, with the extras and groups that are asked for."""
    project = read_project(spec)
    try:
        found = list(project.get("dependencies", []))
        optional = {canonicalize_name(k): v for k, v in project.get("optional-dependencies", {}).items()}
        found += [line for name in spec.extras for line in optional.get(canonicalize_name(name), [])]
    except (AttributeError, TypeError):
        return []
    # A lock may have groups that are not of pyproject.toml: poetry's, or categories of a Pipfile.
    known = {canonicalize_name(name) for name in spec.dependency_groups}
    groups = tuple(name for name in spec.groups if canonicalize_name(name) in known)
    found += resolve_groups(spec.dependency_groups, groups)
    valid = []
    for line in found:
        try:
            valid.append(str(Requirement(line)))
        except (InvalidRequirement, TypeError):
            continue
    return valid


def warn_of_loose(spec: Spec, requirements: Requirements, title: str) -> None:
    """Warn where the next build may take other versions than this one.

    What there is without an index is pinned by what is there.

    Args:
        spec: what was asked for.
        requirements: those that are not a lock's own.
        title: name and version of the installer, whose user knows of one tool to pin with.
    """
    with_uv = title.startswith("uv")
    program, whose = ("uv pip compile", "") if with_uv else ("pip-compile", " (of pip-tools)")
    pin = f"{program} --generate-hashes pyproject.toml -o requirements.txt{whose}"
    if spec.no_index:
        return
    named = [Path(o.removeprefix("-c ")) for o in requirements.options if o.startswith("-c ")]
    places = [*(spec.source / name for name in spec.constraints), *named]
    held = {pin.name for place in places for pin in _constraints(place) if pin.version}
    loose = [p.line for p in requirements.pins if not p.is_exact and p.name not in held]
    if loose:
        more = f" and {len(loose) - 5} more" if len(loose) > 5 else ""
        warn(f"not pinned to one version: {', '.join(loose[:5])}{more}. To pin all: {pin}")
    elif not requirements.files and not held and has_dependencies(spec):
        lock = "uv lock, or " if with_uv else ""
        warn(f"nothing is pinned: the next build may install other versions. To pin: {lock}{pin}")


def _constraints(file: Path) -> Sequence[Pin]:
    # A missing one is the installer's to tell.
    return read_requirements((file,)).pins if file.is_file() else ()


def has_dependencies(spec: Spec) -> bool:
    """Tell whether the project requires something, or might: what it computes is not known here."""
    if spec.project is None:
        return False
    project, folder = read_project(spec), spec.source / spec.project
    if project:
        return bool(project_requirements(spec)) or "dependencies" in project.get("dynamic", ())
    poetry = _read_pyproject(spec).get("tool", {}).get("poetry", {}).get("dependencies", {})
    old = [folder / name for name in ("setup.cfg", "setup.py")]
    return bool(set(poetry) - {"python"}) or any(
        "install_requires" in path.read_text("utf-8", "replace") for path in old if path.is_file()
    )
