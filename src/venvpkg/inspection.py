"""Opens what a user points at: a .deb, an installed environment, or a folder that holds one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from venvpkg.cleanroot import PATH, CleanRoot, open_root
from venvpkg.deb import read_deb
from venvpkg.distributions import server_markers, text_of
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import Evidence, find_build_paths, find_environments, gather, read_manifest
from venvpkg.host import read_installed_manifest, read_md5sums, read_shipped
from venvpkg.process import Runner
from venvpkg.report import Accepted, Finding, Report
from venvpkg.scratch import scratch_folder
from venvpkg.smoke import Failure, Smoke, Trial, run_smoke, wanted_modules
from venvpkg.system import System, read_owners
from venvpkg.tree import Tree
from venvpkg.verify import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that can be checked."""

    tree: Tree
    """Paths are those on the server, without the leading slash."""
    control: Mapping[str, str] | None
    """The fields of the package that owns it, where the tree has no DEBIAN/control."""


def open_path(path: Path, run: Runner) -> Subject:
    """Open a .deb, the prefix of an environment, or a package build root.

    Raises:
        VenvpkgError: ``path-not-found``, ``deb-invalid``.
    """
    if path.is_dir():
        if not (path / "pyvenv.cfg").is_file():
            return Subject(tree=Tree.from_dir(path), control=None)
        prefix = name_as_dpkg(path)
        tree = Tree.from_dir(prefix, PurePosixPath(prefix).relative_to("/"))
        return Subject(tree=tree, control=read_owner(prefix, run))
    if path.is_file():
        return Subject(tree=read_deb(path), control=None)
    raise VenvpkgError(
        code="path-not-found",
        message=f"There is no {path}.",
        hint="Name a .deb, the prefix of an environment, or a folder that holds one.",
    )


def name_as_dpkg(path: Path) -> Path:
    """Return the name of a prefix under which dpkg knows it, whichever links lead there."""
    real = path.resolve()
    named = Path(str(read_installed_manifest(real).get("prefix") or real))
    return named if named.is_absolute() and named.resolve() == real else real


def read_owner(prefix: Path, run: Runner) -> dict[str, str]:
    """Return the relations of the package that owns an environment; none where no package does."""
    owner = next(iter(read_owners(run, [str(prefix / "pyvenv.cfg")]).values()), None)
    if owner is None:
        return {}
    fields = ("Package", "Version", "Architecture", "Pre-Depends", "Depends", "Recommends", "Suggests")
    form = "\\n".join(f"{name}: ${{{name}}}" for name in fields)
    answer = run(["dpkg-query", "-W", "-f", form, owner], check=False).stdout
    pairs = (line.partition(": ") for line in answer.splitlines())
    return {name: value for name, _, value in pairs if value}


def collect(path: Path, run: Runner) -> list[Evidence]:
    """Return the evidence about every environment that a path has; nothing that is in it runs.

    Raises:
        VenvpkgError: what :func:`open_path` raises; ``no-environment``.
    """
    return _collect(path, open_path(path, run), run)


def _collect(
    path: Path, subject: Subject, run: Runner, shipped: Mapping[PurePosixPath, str] | None = None
) -> list[Evidence]:
    environments = find_environments(subject.tree)
    if not environments:
        raise VenvpkgError(
            code="no-environment",
            message=f"{path} holds no virtual environment.",
            causes=["There is no pyvenv.cfg beside a bin/python in it (PEP 405)."],
            hint="Name the prefix itself, or the package that has it.",
        )
    return [
        gather(
            subject.tree,
            inside,
            find_build_paths(subject.tree, inside),
            partial(System.read, run),
            subject.control,
            shipped=shipped,
        )
        for inside in environments
    ]


def verify_path(
    path: Path,
    run: Runner,
    environ: Mapping[str, str],
    *,
    wants_run: bool = False,
    root: Path | None = None,
) -> Report:
    """Run the checks on every environment that a path has, and leave out what its manifest accepts.

    Args:
        path: a .deb, a prefix, or a package build root.
        run: runs commands on this machine.
        environ: the environment on this machine.
        wants_run: import its modules and run its commands, for V011 and V018.
        root: tarball of a clean root, in which a .deb is installed; the checks then ask that root.

    Raises:
        VenvpkgError: what :func:`collect` and :func:`venvpkg.cleanroot.open_root` raise; ``deb-needed``.
    """
    subject = open_path(path, run)
    if subject.control:
        shipped = read_shipped(name_as_dpkg(path), environ)
    else:
        shipped = read_md5sums(text_of(subject.tree, PurePosixPath("DEBIAN/md5sums")))
    if root is None:
        with scratch_folder() as scratch:
            found = _collect(path, subject, run, shipped)
            if wants_run and path.is_file():
                run(["dpkg-deb", "-x", path, scratch / "x"])
            top = scratch / "x" if path.is_file() else path.resolve()
            return _report(
                [try_out(evidence, top, run, environ) for evidence in found] if wants_run else found
            )
    if not path.is_file():
        raise VenvpkgError(
            code="deb-needed",
            message=f"{path} is no .deb, and only a .deb can be installed in a clean root.",
            hint="Leave --root out, or build the package.",
        )
    with open_root(root, run, environ) as clean:
        clean.install(path)
        found = _collect(path, subject, clean, shipped)
        return _report(
            [try_out(evidence, None, clean, environ) for evidence in found] if wants_run else found
        )


def _report(found: Iterable[Evidence]) -> Report:
    findings: dict[Finding, None] = {}
    checked = 0
    for evidence in found:
        report = verify(evidence).without(read_accepted(evidence.tree, evidence.inside))
        findings |= dict.fromkeys(report.findings)
        checked = report.checked
    return Report(findings=tuple(sorted(findings)), checked=checked)


def try_out(
    evidence: Evidence, top: Path | None, run: Runner | CleanRoot, environ: Mapping[str, str]
) -> Evidence:
    """Return the evidence with what came of running the environment below ``top``, or in a clean root.

    Args:
        evidence: about the environment.
        top: the environment's folder, or the tree that holds it at its prefix; none for a clean root.
        run: runs commands on this machine, or in the clean root where the package is installed.
        environ: the environment on this machine.
    """
    prefix = PurePosixPath("/", evidence.inside)
    folder = Path(prefix)
    if top is not None:
        # A prefix is its own folder; any other folder, and what a .deb holds, is a whole tree.
        folder = top if (top / "pyvenv.cfg").is_file() else top / evidence.inside
    modules, commands = choose_trial(evidence)
    trial = Trial(
        folder=folder,
        prefix=prefix,
        modules=modules,
        commands=commands,
        optional={d.name: d.optional for d in evidence.distributions if d.name != evidence.project},
        top=run.top if isinstance(run, CleanRoot) else Path("/"),
    )
    try:
        smoke = run_smoke(trial, run, {"PATH": PATH} if isinstance(run, CleanRoot) else environ)
    except VenvpkgError as error:
        text = " ".join([error.message, *error.causes])
        smoke = Smoke(failures=(Failure(what=f"{prefix}/bin/python", message=text),))
    return evidence.with_run(smoke, partial(read_owners, run))


def choose_trial(evidence: Evidence) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the modules to import, each with its distribution, and the commands to run.

    They are those of the build, where the manifest has them; else the modules of the project and its direct
    requirements, or without a project those of the distributions that no other one requires.
    """
    manifest = read_manifest(evidence.tree, evidence.inside)
    imported, commands = manifest.get("imported"), manifest.get("smoke", [])
    if isinstance(imported, list) and isinstance(commands, list):
        owners = {name: d.name for d in evidence.distributions for name in d.modules()}
        return {str(n): owners.get(str(n), "") for n in imported}, tuple(map(str, commands))
    markers = server_markers(evidence.minor, evidence.control.get("Architecture", ""))
    project = evidence.project
    needs = {d.name: d.requirements(markers) for d in evidence.distributions}
    needed = {name for names in needs.values() for name in names}
    direct = {project} | needs.get(project, frozenset()) if project else set(needs) - needed
    return wanted_modules(evidence.distributions, direct, project), ()


def read_accepted(tree: Tree, inside: PurePosixPath) -> Iterator[Accepted]:
    """Yield the findings that an environment's manifest accepts."""
    records = read_manifest(tree, inside).get("accepted", [])
    for record in records if isinstance(records, list) else ():
        with suppress(KeyError, TypeError):
            yield Accepted(code=record["code"], path=record["path"], reason=record["reason"])
