"""Decide every path and command before any runs."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from venvpkg.errors import VenvpkgError
from venvpkg.interpreter import Interpreter, find_interpreter
from venvpkg.locks import (
    Requirements,
    find_requirements,
    is_lock,
    quote_hashes,
    read_requirements,
    resolve_groups,
)
from venvpkg.process import Runner
from venvpkg.spec import Spec
from venvpkg.versions import read_wishes

STATE = PurePosixPath("debian/.debhelper/venvpkg")
BUNDLE = "python"
WHEELHOUSE = PurePosixPath("debian/wheelhouse")
# Of python3-pip-whl, python3-setuptools-whl and python3-wheel-whl.
WHEELS = Path("/usr/share/python-wheels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From where an environment is built to where it will live."""

    build: PurePosixPath
    """Absolute path of the environment's folder on the build machine."""
    final: PurePosixPath
    """Absolute path of the prefix on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One run of the installer."""

    title: str
    """What it does, for the log."""
    files: tuple[Path, ...] = ()
    """Requirements files."""
    lines: tuple[str, ...] = ()
    """Lines of one more requirements file."""
    constraints: tuple[Path, ...] = ()
    project: bool = False
    """Install the exported project."""
    dependencies: bool = True
    """Install what the requirements require."""
    hashes: bool = False
    """Refuse what has no matching hash."""
    settings: Mapping[str, tuple[str, ...]] | None = None
    """Settings for the build back end (PEP 517)."""
    again: bool = False
    """Install what the environment sees elsewhere, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything is, and what the installer is asked for."""

    spec: Spec
    interpreter: Interpreter
    package_root: Path
    """What becomes the package's content: ``…/debian/myapp``."""
    state: Path
    """What the steps hand on to one another: ``…/debian/.debhelper/venvpkg/myapp``."""
    requirements: Requirements
    installs: tuple[Install, ...]

    @property
    def prefix(self) -> PurePosixPath:
        """Return the final prefix."""
        return self.spec.prefix

    @property
    def inside(self) -> PurePosixPath:
        """Return the prefix relative to the package's root."""
        return self.prefix.relative_to("/")

    @property
    def stage(self) -> Path:
        """Return the prefix inside the package build root."""
        return self.package_root / self.inside

    @property
    def workshop(self) -> Path:
        """Return where the environment is made, before one rename puts it into the stage.

        Its last part is the prefix's: ``activate`` shows it in the prompt.
        """
        return self.state / "build" / self.prefix.name

    @property
    def env_root(self) -> Path:
        """Return what becomes the content of the package that has what the project stands on."""
        return self.package_root.with_name(self.spec.env_package) if self.spec.layers else self.package_root

    @property
    def env_stage(self) -> Path:
        """Return the prefix inside that."""
        return self.env_root / self.inside

    @property
    def bundled(self) -> bool:
        """Tell whether the package holds its interpreter."""
        return self.spec.interpreter == "bundled"

    @property
    def program(self) -> PurePosixPath:
        """Return the interpreter's path on the server."""
        if self.bundled:
            return self.prefix / BUNDLE / "bin" / f"python{self.interpreter.minor}"
        return PurePosixPath(self.interpreter.path)

    @property
    def aside(self) -> Path:
        """Return where the environment waits while debhelper's commands pass."""
        return self.state / "env"

    @property
    def pruned(self) -> Path:
        """Return where files that may be left out wait for the proof that nothing needs them."""
        return self.state / "pruned"

    @property
    def before(self) -> Path:
        """Return where the names of what was under the prefix before the environment are noted."""
        return self.state.with_name(f"{self.spec.package}.before.json")

    @property
    def made(self) -> Move:
        """Return the move of what the installers wrote."""
        return Move(build=PurePosixPath(self.workshop), final=self.prefix)

    @property
    def move(self) -> Move:
        """Return the move of what was written into the stage afterwards."""
        return Move(build=PurePosixPath(self.stage), final=self.prefix)


def requirement_files(spec: Spec) -> tuple[Path, ...]:
    """Return the requirements files or the lock that the specification names, or that the project has."""
    if spec.requirements is not None:
        return tuple(spec.source / name for name in spec.requirements)
    places = dict.fromkeys((spec.source / (spec.project or "."), spec.source))
    return next((f for f in map(find_requirements, places) if f), ())


def choose_interpreter(spec: Spec, run: Runner, environ: Mapping[str, str]) -> Interpreter:
    """Return the Python for an environment, after every file of the project that has a say in it.

    Raises:
        VenvpkgError: what :func:`venvpkg.interpreter.find_interpreter` raises.
    """
    wishes = read_wishes(spec.source, spec.project, requirement_files(spec))
    bundled = spec.interpreter == "bundled"
    return find_interpreter(spec.python, spec.requires_python, run, environ, wishes, bundled=bundled)


def exported_file(spec: Spec, file: Path) -> Path:
    """Return where the requirements are that a lock was turned into."""
    # Files in different folders may have the same name.
    key = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    return spec.source / STATE / spec.package / "requirements" / f"{file.name}-{key}.txt"


def make_plan(spec: Spec, interpreter: Interpreter, package_root: Path) -> Plan:
    """Decide what is installed, in which order, and where.

    Raises:
        VenvpkgError: what :func:`venvpkg.locks.read_requirements` and ``resolve_groups`` raise;
            ``hashes-missing``, ``nothing-to-install``.
    """
    files = requirement_files(spec)
    exported = tuple(exported_file(spec, file) for file in files)
    requirements = read_requirements(
        tuple(new if new.is_file() else file for file, new in zip(files, exported, strict=True))
    )
    # A lock has the groups, pinned.
    locked = any(is_lock(file) or file.parent == spec.source / WHEELHOUSE for file in files)
    groups = () if locked else resolve_groups(spec.dependency_groups, spec.groups)
    hashes = requirements.hashed if spec.require_hashes is None else spec.require_hashes
    if hashes and not requirements.hashed:
        raise VenvpkgError(
            code="hashes-missing",
            message="require-hashes is on, and not every requirement has a hash.",
            causes=[pin.line for pin in requirements.pins if not pin.hashes][:10]
            or ["There is no requirement."],
            hint="Write them with: uv pip compile --generate-hashes pyproject.toml -o requirements.txt",
        )
    if spec.project is None and not (requirements.pins or groups or spec.preinstall or spec.seed):
        raise VenvpkgError(
            code="nothing-to-install",
            message="project is false, and there are no requirements.",
            hint="Name a requirements file with the key requirements.",
        )
    return Plan(
        spec=spec,
        interpreter=interpreter,
        package_root=package_root,
        state=spec.source / STATE / spec.package,
        requirements=requirements,
        installs=tuple(_installs(spec, requirements, groups, hashes, locked)),
    )


def _debian_wheel(name: str) -> str:
    """Return the wheel of a distribution that virtualenv and venv take on Debian, if there is one."""
    # python3-pip-whl and its like have one version each.
    return next((str(path) for path in sorted(WHEELS.glob(f"{name}-*.whl"), reverse=True)), "")


def _installs(
    spec: Spec, requirements: Requirements, groups: tuple[str, ...], hashes: bool, locked: bool
) -> list[Install]:
    constraints = tuple(spec.source / name for name in spec.constraints)
    steps = []
    if spec.seed:
        lines = tuple(_debian_wheel(text) or text for text in spec.seed)
        steps.append(Install(title="the seed", lines=lines, dependencies=False, again=True))
    if spec.preinstall:
        steps.append(Install(title="preinstall", lines=spec.preinstall, constraints=constraints))
    pins = {name: [pin for pin in requirements.pins if pin.name == name] for name in requirements.names}
    for name, settings in spec.config_settings.items():
        # pip hands its --config-settings to every build of a run, so each such build gets a run of its own.
        if name in pins:
            steps.append(
                Install(
                    title=f"{name}, with its own build settings",
                    lines=tuple(quote_hashes(pin) for pin in pins[name]),
                    constraints=constraints,
                    dependencies=False,
                    hashes=hashes,
                    settings=settings,
                )
            )
    project_settings = {
        k: v for name, table in spec.config_settings.items() if name not in pins for k, v in table.items()
    }
    project = Install(
        title="the project",
        project=True,
        constraints=constraints,
        dependencies=not (hashes or locked),
        settings=project_settings or None,
    )
    # A lock has everything that is wanted, overrides of what others require among it.
    apart = hashes or locked or bool(project_settings)
    files, lines = requirements.files, tuple[str, ...]()
    if requirements.mixed and spec.require_hashes is None:
        # pip refuses hashes on some lines alone, so what has one is there before the rest is asked for.
        options = [o for o in requirements.options if not o.startswith("-c ")]
        hashed = [quote_hashes(pin) for pin in requirements.pins if pin.hashes]
        steps.append(
            Install(
                title="the requirements with hashes",
                lines=(*options, *hashed),
                dependencies=False,
                hashes=True,
            )
        )
        files, lines = (), (*requirements.options, *(pin.line for pin in requirements.pins))
    # A group has no hashes, and must not take them from the requirements.
    grouped = hashes and bool(groups)
    if requirements.files or groups or not apart:
        steps.append(
            Install(
                title="the requirements"
                if apart or spec.project is None
                else "the project and its requirements",
                files=files,
                lines=lines if grouped else (*lines, *groups),
                constraints=constraints,
                project=spec.project is not None and not apart,
                dependencies=not locked,
                hashes=hashes,
            )
        )
    if grouped:
        steps.append(Install(title="the dependency groups", lines=groups, constraints=constraints))
    if spec.project is not None and apart:
        steps.append(project)
    return steps
