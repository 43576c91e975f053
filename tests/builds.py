"""A source package in a folder, and the three steps over it in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from venvpkg import pipeline
from venvpkg.cache import Cache
from venvpkg.debhelper import Answer, Call, State
from venvpkg.distributions import Distribution, read_distributions
from venvpkg.errors import VenvpkgError
from venvpkg.process import Shell
from venvpkg.report import Finding
from venvpkg.tree import Tree

PYTHON = Path("/usr/bin/python3")
# What the machine or the tests' runner sets must not reach the installers.
UNWANTED = ("PIP_", "UV_", "DH_", "DEB_", "PYTHON", "COVERAGE", "XDG_", "VIRTUAL_ENV", "GIT_")


def clean_environment(**changes: str) -> dict[str, str]:
    """The process's environment without settings for pip, uv, debhelper and Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(UNWANTED)}
    # pip reads no configuration file then, the machine's own included.
    kept["PIP_CONFIG_FILE"] = os.devnull
    kept["LC_ALL"] = "C.UTF-8"
    return {**kept, **changes}


@dataclass(kw_only=True)
class Case:
    """One source package that is being built."""

    source: Path
    environ: dict[str, str]
    package: str = "demo"
    packages: tuple[str, ...] = ()
    """Binary packages of the call; the one alone by default."""
    options: dict[str, list[str]] = field(default_factory=dict)
    """Keys on the command line, and options of dh-virtualenv's."""
    former: bool = False
    """The command is dh_virtualenv."""
    scripts: bool = True
    """Maintainer scripts are wanted."""
    verbose: bool = False
    cache: Cache = field(default_factory=Cache)
    """What is kept between builds: nothing, unless a test says so."""
    actions: list[dict[str, str]] = field(default_factory=list)
    """What the steps asked debhelper for, so far."""

    @property
    def root(self) -> Path:
        """The package build root."""
        return self.source / "debian" / self.package

    @property
    def prefix(self) -> PurePosixPath:
        """The final prefix, with the default install root."""
        return PurePosixPath("/opt/venvs", self.package)

    @property
    def stage(self) -> Path:
        """The prefix inside the package build root."""
        return self.root / self.prefix.relative_to("/")

    @property
    def workshop(self) -> Path:
        """Where the installers work."""
        return self.source / "debian/.debhelper/venvpkg" / self.package / "build" / self.package

    @property
    def site(self) -> Path:
        """The stage's site-packages."""
        (found,) = self.stage.glob("lib/python3.*/site-packages")
        return found

    @property
    def python(self) -> Path:
        """The staged interpreter."""
        return self.stage / "bin" / "python"

    @property
    def state(self) -> State:
        """What the build handed on."""
        state = State.load(self.source, self.package)
        assert state is not None
        return state

    def world(self) -> pipeline.World:
        """What cli.step makes of the process's environment."""
        return pipeline.World(
            source=self.source,
            run=Shell(verbose=self.verbose),
            environ=self.environ,
            codename="testing",
            cache=self.cache,
        )

    def call(self) -> Call:
        """What the front writes to standard input, read back."""
        return Call.from_json(self.call_json(), self.source)

    def call_json(self) -> str:
        """What the front writes to standard input."""
        names = self.packages or (self.package,)
        roots = {name: f"debian/{name}" for name in names}
        asked = {"options": self.options, "former": self.former, "scripts": self.scripts}
        return json.dumps({"packages": names, "roots": roots, **asked})

    def build(self) -> Answer:
        """Run dh_venvpkg's step."""
        answer = pipeline.build(self.call(), self.world())
        self.actions += answer.actions
        return answer

    def settle(self) -> Answer:
        """Run dh_venvpkg_settle's step."""
        answer = pipeline.settle(self.call(), self.world())
        self.actions += answer.actions
        return answer

    def finish(self) -> Case:
        """Build and settle."""
        self.build()
        self.settle()
        return self

    def gate(self) -> tuple[Finding, ...]:
        """Write the final control files with dpkg-gencontrol, and run dh_venvpkg_verify's step."""
        for name in self.packages or (self.package,):
            self.write_control(name)
        return self.verify()

    def verify(self) -> tuple[Finding, ...]:
        """Run dh_venvpkg_verify's step."""
        return pipeline.gate(self.call(), self.world())[self.package].findings

    def write_control(self, package: str = "") -> str:
        """Do what the front and dh_gencontrol do with the substvars, and return the control file."""
        name = package or self.package
        root = self.source / "debian" / name
        values: dict[str, list[str]] = {}
        for action in self.actions:
            if action["do"] == "substvar" and action["package"] == name:
                values.setdefault(action["name"], []).append(action["value"])
        substvars = self.source / "debian" / f"{name}.substvars"
        defaults: dict[str, list[str]] = {"misc:Depends": [], "shlibs:Depends": []}
        lines = [f"{k}={', '.join(dict.fromkeys(v))}" for k, v in {**defaults, **values}.items()]
        substvars.write_text("\n".join([*lines, ""]))
        (root / "DEBIAN").mkdir(parents=True, exist_ok=True)
        words = ["dpkg-gencontrol", f"-p{name}", f"-Pdebian/{name}", "-fdebian/files"]
        subprocess.run([*words, f"-T{substvars}"], cwd=self.source, capture_output=True, check=True)
        return (root / "DEBIAN/control").read_text()

    def depends(self) -> list[str]:
        """The clauses of Depends in the final control file."""
        line = next(x for x in self.write_control().splitlines() if x.startswith("Depends: "))
        return line.removeprefix("Depends: ").split(", ")

    def tree(self) -> Tree:
        """The stage."""
        return Tree.from_dir(self.stage)

    def files(self) -> dict[str, bytes]:
        """The stage's files, and its links with an arrow before their target."""
        found = {}
        for entry in self.tree():
            if entry.kind == "symlink":
                found[str(entry.path)] = b"-> " + entry.target.encode()
            elif entry.kind == "file":
                found[str(entry.path)] = entry.load()
        return found

    def distributions(self) -> dict[str, Distribution]:
        """What is installed, by normalized name."""
        return {d.name: d for d in read_distributions(self.tree())}

    def versions(self) -> dict[str, str]:
        """Which version of each distribution is installed."""
        return {name: d.version for name, d in self.distributions().items()}

    def settings(self, module: str) -> object:
        """What the recording backend of a distribution was given."""
        return json.loads((self.site / module / "settings.json").read_text())

    def manifest(self) -> dict[str, object]:
        """venvpkg.json."""
        return json.loads((self.stage / "venvpkg.json").read_text())  # type: ignore[no-any-return]

    def ask(self, program: str) -> str:
        """Run a line of Python in the stage and return what it printed."""
        answer = subprocess.run(
            [self.python, "-I", "-c", program], capture_output=True, text=True, check=True
        )
        return answer.stdout.strip()

    def step(self, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a step through the command line, as the Perl front does."""
        return run_cli(["dh", "step", name], self.source, {**self.environ, **environ}, self.call_json())


def fail(case: Case, step: str = "build") -> VenvpkgError:
    """Run a step that must fail, and return its error."""
    try:
        getattr(case, step)()
    except VenvpkgError as error:
        return error
    raise AssertionError(f"{step} went through")


def run_cli(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m venvpkg`` of the checkout in a process of its own."""
    ours = {
        k: v for k, v in os.environ.items() if k in ("PYTHONPATH", "PERL5LIB") or k.startswith("COVERAGE")
    }
    checkout = Path(__file__).resolve().parents[1]
    ours.setdefault("PYTHONPATH", str(checkout / "src"))
    return subprocess.run(
        [sys.executable, "-m", "venvpkg", *words],
        cwd=folder,
        env={**environ, **ours},
        input=stdin,
        capture_output=True,
        text=True,
    )
