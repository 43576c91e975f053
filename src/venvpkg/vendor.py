"""Fetches everything that a source package's environments are built from into its wheelhouse."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from venvpkg.errors import VenvpkgError
from venvpkg.export import VERSION_VARIABLES, export_project, project_in, version_fallback
from venvpkg.failures import explain_failure
from venvpkg.installers import Pip, Request, find_installer
from venvpkg.interpreter import Interpreter
from venvpkg.lockfiles import export_locks
from venvpkg.log import step
from venvpkg.plan import STATE, Install, Plan, choose_interpreter, make_plan
from venvpkg.process import CommandFailedError, Runner
from venvpkg.scratch import scratch_folder
from venvpkg.spec import Spec
from venvpkg.stage import make_environment, make_request
from venvpkg.tools import tool_environment
from venvpkg.wheelhouse import (
    FOLDER,
    Origin,
    find_changes,
    find_stale,
    find_wheelhouse,
    inputs_of,
    is_for_any,
    list_of,
    sum_files,
    write_lists,
)

TOOL, WANTS, VERSION = "vendor", ("pip>=25.3,<27", "build>=1.2.2,<2"), (25, 3)
PROGRAM = "requires.py"
BINARIES = Path("debian/source/include-binaries")
ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
# What uv is set to, and the variable under which pip takes the same; pip is what fetches.
PIP_NAMES = {
    "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
    "UV_INDEX_URL": "PIP_INDEX_URL",
    "UV_INDEX": "PIP_EXTRA_INDEX_URL",
    "UV_EXTRA_INDEX_URL": "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS": "PIP_FIND_LINKS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One distribution that pip chose."""

    name: str
    """Normalized name."""
    version: str
    url: str
    sha256: str
    """Empty where pip did not tell."""
    folder: Path | None
    """Where it is a source tree on this machine."""
    repository: bool
    """It comes out of version control."""
    direct: bool
    """A requirement names its place."""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Choice":
        """Read an item of pip's installation report.

        Its format: https://pip.pypa.io/en/stable/reference/installation-report/
        """
        about = item["download_info"]
        place = urlsplit(about["url"])
        url = about["url"]
        if "vcs_info" in about:
            url = f"{about['vcs_info']['vcs']}+{url}@{about['vcs_info']['commit_id']}"
        if "subdirectory" in about:
            url += f"#subdirectory={about['subdirectory']}"
        return cls(
            name=canonicalize_name(item["metadata"]["name"]),
            version=item["metadata"]["version"],
            url=url,
            sha256=about.get("archive_info", {}).get("hashes", {}).get("sha256", ""),
            folder=Path(unquote(place.path)) if "dir_info" in about else None,
            repository="vcs_info" in about,
            direct=bool(item["is_direct"]),
        )

    @property
    def hash(self) -> str:
        """Return the option of a requirements file, with a blank before it."""
        return f" --hash=sha256:{self.sha256}" if self.sha256 else ""


def vendor(
    source: Path, specs: Sequence[Spec], architecture: str, run: Runner, environ: Mapping[str, str]
) -> list[str]:
    """Make the wheelhouse of a source package anew, and return the names of its archives.

    The old one stays until the new one is whole.

    Raises:
        VenvpkgError: ``vendor-failed``, and what resolving and fetching raise.
    """
    state = source / STATE
    there = [p for p in (source / "debian", state.parent, state) if not p.is_dir()]
    state.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_folder(state) as scratch:
            new, origins = scratch / "wheelhouse", {}
            new.mkdir()
            for number, spec in enumerate(specs):
                work = scratch / str(number)
                work.mkdir()
                fetcher = Fetcher.make(spec, new, work, run, environ)
                origins[spec.package] = fetcher.fetch(architecture)
            write_lists(new, origins)
            target, old = source / FOLDER, scratch / "old"
            if target.is_dir():
                target.rename(old)
            new.rename(target)
    finally:
        for spec in specs:
            shutil.rmtree(state / spec.package / "requirements", ignore_errors=True)
            with suppress(OSError):
                (state / spec.package).rmdir()
        for folder in reversed(there):
            with suppress(OSError):
                folder.rmdir()
    names = [name for name in sum_files(source / FOLDER) if name.endswith(ARCHIVES)]
    include_binaries(source, names)
    return names


def find_outdated(
    source: Path, specs: Sequence[Spec], architecture: str, run: Runner, environ: Mapping[str, str]
) -> list[str]:
    """Return what of a source package's wheelhouse is changed or stale, a line each."""
    folder = find_wheelhouse(source)
    if not folder:
        return ["it is not there"]
    found = find_changes(folder)
    for spec in specs:
        interpreter = choose_interpreter(spec, run, environ)
        found += find_stale(spec, folder, interpreter.minor, architecture)
    return list(dict.fromkeys(found))


def include_binaries(source: Path, names: Iterable[str]) -> None:
    """List the archives for dpkg-source, which refuses binary files that it was not told of.

    Only the format 3.0 (quilt) has such a list; what it says of other files stays.
    """
    kind = source / "debian/source/format"
    if not kind.is_file() or kind.read_text(encoding="utf-8").strip() != "3.0 (quilt)":
        return
    path = source / BINARIES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if not line.startswith(f"{FOLDER}/")]
    path.write_text("".join(f"{line}\n" for line in [*kept, *(f"{FOLDER}/{n}" for n in names)]), "utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches for one environment."""

    spec: Spec
    interpreter: Interpreter
    plan: Plan
    pip: Pip
    target: Path
    """The folder that gets the archives."""
    scratch: Path
    run: Runner
    environ: Mapping[str, str]

    @classmethod
    def make(
        cls, spec: Spec, target: Path, scratch: Path, run: Runner, environ: Mapping[str, str]
    ) -> "Fetcher":
        """Find interpreter and tools, read the project's locks, and make an environment to resolve in."""
        interpreter = choose_interpreter(spec, run, environ)
        installer = find_installer(spec, run, environ)
        export_locks(spec, interpreter, installer, run, environ)
        try:
            tool = tool_environment(
                TOOL, WANTS, scratch, spec, installer, run, environ, python=interpreter.path
            )
        except VenvpkgError as error:
            raise VenvpkgError(
                code="vendor-tool-missing",
                message=f"{' and '.join(WANTS)}, which fetch, could not be installed for themselves.",
                causes=error.causes,
                hint="Can the index be reached from here, and does it have them?",
            ) from error
        # The installer's own arguments are for the one that builds.
        plain = spec if spec.installer == "pip" else replace(spec, installer_args=())
        plan = make_plan(plain, interpreter, spec.source / "debian" / spec.package)
        plan = replace(plan, state=scratch / "state")
        plan.workshop.parent.mkdir(parents=True)
        make_environment(plan, run, environ)
        settings = dict(environ)
        for uv, pip in PIP_NAMES.items():
            if environ.get(uv) and not settings.get(pip):
                separated = environ[uv].replace(",", " ") if uv == "UV_FIND_LINKS" else environ[uv]
                # uv lets an index have a name: name=https://...
                settings[pip] = " ".join(
                    w.partition("=")[2] if "=https" in w else w for w in separated.split()
                )
        if plan.spec.project is not None:
            settings |= version_fallback(plan, environ, export_project(plan, scratch / "source"))
        return cls(
            spec=plan.spec,
            interpreter=interpreter,
            plan=plan,
            pip=Pip(python=tool / "bin" / "python", version=VERSION),
            target=target,
            scratch=scratch,
            run=run,
            environ=settings,
        )

    def fetch(self, architecture: str) -> Origin:
        """Fetch what the environment gets, and what building it from source takes; say where it came from."""
        with step(f"{self.spec.package}: resolved") as details:
            choices = self.resolve()
            details.append(f"{len(choices)} distributions")
        with step(f"{self.spec.package}: fetched") as details:
            lines = self.download(choices)
            text = f"# What the environment of {self.spec.package} gets, chosen by venvpkg vendor.\n"
            list_of(self.target, self.spec.package).write_text(
                text + "".join(f"{x}\n" for x in lines), "utf-8"
            )
            details.append(f"{len(self.archives())} archives")
        if self.spec.build_isolation:
            with step(f"{self.spec.package}: what building takes, fetched") as details:
                self.fetch_build_requirements([c.folder for c in choices if c.folder])
                details.append(f"{len(self.archives())} archives")
        return Origin(
            python=self.interpreter.minor,
            architecture="any" if is_for_any(self.archives()) else architecture,
            inputs=inputs_of(self.spec),
        )

    def archives(self) -> list[str]:
        """Return the names of the archives that are there."""
        return sorted(p.name for p in self.target.iterdir() if p.name.endswith(ARCHIVES))

    def resolve(self) -> list[Choice]:
        """Let pip choose what each install of the plan would bring."""
        chosen: dict[str, Choice] = {}
        for number, install in enumerate(self.plan.installs):
            request = make_request(self.plan, install, self.scratch, number)
            if chosen and install.dependencies:
                before = self.scratch / f"chosen-{number}.txt"
                pins = [f"{c.name}=={c.version}\n" for c in chosen.values() if not c.direct]
                before.write_text("".join(pins), encoding="utf-8")
                constraints = (*install.constraints, before)
                request = replace(request, install=replace(install, constraints=constraints))
            report = self.scratch / f"report-{number}.json"
            words = self.pip.command(self.spec, request)
            self.call([*words, "--dry-run", "--ignore-installed", "--report", str(report)], install)
            items = json.loads(report.read_text(encoding="utf-8"))["install"]
            for choice in map(Choice.of, items):
                if choice.folder != project_in(self.spec, self.scratch / "source"):
                    chosen[choice.name] = choice
            if install.title == "preinstall" and not self.spec.build_isolation:
                # Without isolation, back ends are taken from the environment itself.
                self.call(words, install)
        return sorted(chosen.values(), key=lambda choice: choice.name)

    def call(self, words: Sequence[str], install: Install) -> None:
        """Run pip, and explain its failure."""
        settings = self.pip.environment(self.spec, install, self.environ)
        try:
            self.run(words, env=settings, cwd=self.spec.source)
        except VenvpkgError as error:
            raise explain_failure(
                error, self.pip.title, install, self.spec, self.interpreter.minor
            ) from error

    def download(self, choices: Sequence[Choice]) -> list[str]:
        """Fetch chosen distributions, and return the lines of a requirements file that pins them."""
        lines, wanted = [], []
        for choice in choices:
            if choice.folder and choice.folder.is_relative_to(self.spec.source):
                lines.append(f"./{choice.folder.relative_to(self.spec.source)}")
            elif choice.folder or choice.repository:
                archive = self.make_sdist(choice)
                value = sum_files(archive.parent)[archive.name]
                archive.rename(self.target / archive.name)
                lines.append(f"{choice.name}=={choice.version} --hash=sha256:{value}")
            else:
                place = f" @ {choice.url}" if choice.direct else f"=={choice.version}"
                wanted.append(f"{choice.name}{place}{choice.hash}")
                lines.append(f"{choice.name}=={choice.version}{choice.hash}")
        if wanted:
            hashed = all(" --hash=" in line for line in wanted)
            install = Install(title="the archives", hashes=hashed, dependencies=False)
            self.fetch_lines([*self.options(), *wanted], install)
        return sorted(lines)

    def options(self) -> list[str]:
        """Return what the requirements files say of indexes and formats."""
        return [option for option in self.plan.requirements.options if not option.startswith("-c ")]

    def fetch_lines(self, lines: Sequence[str], install: Install, *, folder: Path | None = None) -> None:
        """Fetch what lines of a requirements file name, with what it requires where ``install`` says so."""
        path = self.scratch / "wanted.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        request = Request(
            install=install,
            python=self.plan.workshop / "bin" / "python",
            files=(path,),
            downloads=folder or self.target,
        )
        self.call(self.pip.download(self.spec, request), install)

    def make_sdist(self, choice: Choice) -> Path:
        """Make an sdist of a source tree that the source package does not hold."""
        work = self.scratch / f"tree-{choice.name}"
        if choice.repository:
            install = Install(title=choice.name, dependencies=False)
            self.fetch_lines([f"{choice.name} @ {choice.url}"], install, folder=work / "fetched")
            (archive,) = (work / "fetched").iterdir()
            shutil.unpack_archive(archive, work / "unpacked")
            (tree,) = (work / "unpacked").iterdir()
        else:
            assert choice.folder
            tree = work / "copy"
            shutil.copytree(choice.folder, tree, symlinks=True)
        settings = self.pip.environment(self.spec, Install(title=choice.name), self.environ)
        settings |= dict.fromkeys(VERSION_VARIABLES, choice.version)
        words: list[str | Path] = [
            self.pip.python,
            "-I",
            "-m",
            "build",
            "--sdist",
            "--outdir",
            work / "made",
            tree,
        ]
        try:
            self.run(words, env=settings)
        except CommandFailedError as error:
            raise _failed(f"an sdist of {choice.name}", error) from error
        (made,) = (work / "made").iterdir()
        return made

    def fetch_build_requirements(self, folders: Sequence[Path]) -> None:
        """Fetch what building the project, the source trees and the sdists takes, and the same of these."""
        exported = project_in(self.spec, self.scratch / "source")
        trees = [exported] if self.spec.project is not None else []
        waiting: list[Path] = [*trees, *(f for f in folders if f.is_relative_to(self.spec.source))]
        asked: set[Path] = set()
        fetched: set[tuple[str, ...]] = set()
        while True:
            waiting += [self.target / name for name in self.archives() if not name.endswith(".whl")]
            waiting = [path for path in dict.fromkeys(waiting) if path not in asked]
            if not waiting:
                return
            for path in waiting:
                asked.add(path)
                requires = self.ask_back_end(path)
                if requires and requires not in fetched:
                    fetched.add(requires)
                    install = Install(
                        title=f"what building {path.name} takes",
                        constraints=tuple(self.spec.source / name for name in self.spec.build_constraints),
                    )
                    self.fetch_lines([*self.options(), *requires], install)

    def ask_back_end(self, path: Path) -> tuple[str, ...]:
        """Return the build requirements of an sdist or a source tree."""
        answer = self.scratch / "requires.json"
        asked = {
            "archive": str(path) if path.is_file() else "",
            "folder": "" if path.is_file() else str(path),
            "settings": {},
            "answer": str(answer),
        }
        settings = self.pip.environment(self.spec, Install(title=path.name), self.environ)
        settings |= {"PIP_NO_INDEX": "1"} if self.spec.no_index else {}
        words = [(self.spec.source / name).as_uri() for name in self.spec.build_constraints]
        settings |= {"PIP_CONSTRAINT": " ".join(words)} if words else {}
        program = (files("venvpkg") / "inside" / PROGRAM).read_text(encoding="utf-8")
        try:
            self.run([self.pip.python, "-I", "-c", program], stdin=json.dumps(asked), env=settings)
        except CommandFailedError as error:
            raise _failed(f"what building {path.name} takes", error) from error
        return tuple(json.loads(answer.read_text(encoding="utf-8")))


def _failed(what: str, error: CommandFailedError) -> VenvpkgError:
    return VenvpkgError(
        code="vendor-failed",
        message=f"Could not get {what}.",
        causes=error.causes,
        hint="It has to be built here once, with the same Debian packages as in a build.",
    )
