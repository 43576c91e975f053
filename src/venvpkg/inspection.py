"""Opens what a user points at: a .deb, an installed environment, or a folder that holds one."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from venvpkg.cleanroot import PATH, CleanRoot, open_root
from venvpkg.contents import Search
from venvpkg.deb import read_deb
from venvpkg.distributions import server_markers, text_of
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import Evidence, find_build_paths, find_environments, gather, read_manifest
from venvpkg.host import read_installed_manifest, read_md5sums, read_shipped
from venvpkg.layers import names_in, read_fields, unite, unite_fields
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

    paths: tuple[Path, ...]
    """Where it is: one .deb or folder, or those of the two packages of one environment."""
    tree: Tree
    """Paths are those on the server, without the leading slash."""
    control: Mapping[str, str] | None
    """The fields of the package that owns it, where the tree has no DEBIAN/control, or has two of them."""
    installed: bool = False
    """It is on this machine, at its prefix."""

    def __str__(self) -> str:
        """Return the paths as a title."""
        return " + ".join(map(str, self.paths))


def open_path(path: Path, run: Runner) -> Subject:
    """Open a .deb, the prefix of an environment, or a package build root.

    Raises:
        VenvpkgError: ``path-not-found``, ``deb-invalid``.
    """
    if path.is_dir():
        if not (path / "pyvenv.cfg").is_file():
            return Subject(paths=(path,), tree=Tree.from_dir(path), control=None)
        prefix = name_as_dpkg(path)
        tree = Tree.from_dir(prefix, PurePosixPath(prefix).relative_to("/"))
        owner = read_owner(prefix, run)
        return Subject(paths=(path,), tree=tree, control=owner, installed=bool(owner))
    if path.is_file():
        return Subject(paths=(path,), tree=read_deb(path), control=None)
    raise VenvpkgError(
        code="path-not-found",
        message=f"There is no {path}.",
        hint="Name a .deb, the prefix of an environment, or a folder that holds one.",
    )


def open_paths(paths: Sequence[Path], run: Runner) -> list[Subject]:
    """Open several paths; the two packages of a layered environment become one subject.

    Raises:
        VenvpkgError: what :func:`open_path` raises; ``layers-apart``.
    """
    subjects = [open_path(path, run) for path in paths]
    found, used = [], set()
    for subject in subjects:
        upper = find_upper(subject.tree)
        lowers = [s for s in subjects if upper and upper.inside / "pyvenv.cfg" in s.tree]
        fields = [read_fields(lower.tree) for lower in lowers]
        fits = [n for n, f in enumerate(fields) if upper and upper.layer in names_in(f, "Provides")]
        if not (upper and lowers):
            found.append(subject)
            continue
        if not fits:
            provided = [name for f in fields for name in sorted(names_in(f, "Provides"))]
            raise VenvpkgError(
                code="layers-apart",
                message=f"{subject} and {lowers[0]} are not of one build.",
                causes=[f"The first depends on {upper.layer}, the second provides {', '.join(provided)}."],
                hint=f"Name the package that provides {upper.layer}.",
            )
        lower = lowers[fits[0]]
        used.add(lower.paths)
        both = unite_fields(read_fields(subject.tree), fields[fits[0]])
        found.append(
            Subject(paths=subject.paths + lower.paths, tree=unite(subject.tree, lower.tree), control=both)
        )
    return [subject for subject in found if subject.paths not in used]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """The project's part of an environment, in a tree that has not the other one."""

    inside: PurePosixPath
    """The prefix without the leading slash."""
    layer: str
    """What the package under it provides."""


def find_upper(tree: Tree) -> Upper | None:
    """Return what a tree has of a layered environment, where it has the project's part alone."""
    for entry in tree.files():
        inside = entry.path.parent
        if entry.path.name == "venvpkg.json" and inside / "pyvenv.cfg" not in tree:
            layer = read_manifest(tree, inside).get("layer")
            if isinstance(layer, str) and layer:
                return Upper(inside=inside, layer=layer)
    return None


def name_as_dpkg(path: Path) -> Path:
    """Return the name of a prefix under which dpkg knows it, whichever links lead there."""
    real = path.resolve()
    named = Path(str(read_installed_manifest(real).get("prefix") or real))
    return named if named.is_absolute() and named.resolve() == real else real


def read_owner(prefix: Path, run: Runner) -> dict[str, str]:
    """Return the relations of the package that owns an environment, or of both; none without an owner."""
    owners = read_owners(run, [str(prefix / name) for name in ("pyvenv.cfg", "venvpkg.json")])
    lower = owners.get(str(prefix / "pyvenv.cfg"))
    upper = owners.get(str(prefix / "venvpkg.json"), lower)
    if lower is None or upper is None:
        return {}
    told = read_relations(upper, run)
    return told if upper == lower else unite_fields(told, read_relations(lower, run))


def read_relations(package: str, run: Runner) -> dict[str, str]:
    """Return the relations of an installed package, with what names it."""
    fields = ("Package", "Version", "Architecture", "Pre-Depends", "Depends", "Recommends", "Suggests")
    form = "\\n".join(f"{name}: ${{{name}}}" for name in fields)
    answer = run(["dpkg-query", "-W", "-f", form, package], check=False).stdout
    pairs = (line.partition(": ") for line in answer.splitlines())
    return {name: value for name, _, value in pairs if value}


def collect(
    subject: Subject, run: Runner, shipped: Mapping[PurePosixPath, str] | None = None
) -> list[Evidence]:
    """Return the evidence about every environment that a subject has; nothing that is in it runs.

    Raises:
        VenvpkgError: ``no-environment``, ``layer-alone``.
    """
    environments = find_environments(subject.tree)
    upper = find_upper(subject.tree)
    if upper and not environments:
        package = upper.layer.rpartition("-")[0]
        raise VenvpkgError(
            code="layer-alone",
            message=f"{subject} holds one of the two packages of the environment /{upper.inside}.",
            causes=[f"The Python and the rest are in the package that provides {upper.layer}."],
            hint=f"Name that as well: {shlex.join(map(str, subject.paths))} {package}_….deb",
        )
    if not environments:
        raise VenvpkgError(
            code="no-environment",
            message=f"{subject} holds no virtual environment.",
            causes=["There is no pyvenv.cfg beside a bin/python in it (PEP 405)."],
            hint="Name the prefix itself, or the package that has it.",
        )
    return [
        gather(
            subject.tree,
            inside,
            Search(build_paths=find_build_paths(subject.tree, inside)),
            partial(System.read, run),
            subject.control,
            shipped=shipped,
        )
        for inside in environments
    ]


def verify_subject(
    subject: Subject,
    run: Runner,
    environ: Mapping[str, str],
    *,
    wants_run: bool = False,
    root: Path | None = None,
) -> Report:
    """Run the checks on every environment that a subject has, and leave out what its manifest accepts.

    Args:
        subject: a .deb, a prefix, a package build root, or two that are one environment.
        run: runs commands on this machine.
        environ: the environment on this machine.
        wants_run: import its modules and run its commands, for V011 and V018.
        root: tarball of a clean root, in which a .deb is installed; the checks then ask that root.

    Raises:
        VenvpkgError: what :func:`collect` and :func:`venvpkg.cleanroot.open_root` raise; ``deb-needed``.
    """
    path = subject.paths[0]
    packed = all(p.is_file() for p in subject.paths)
    if subject.installed:
        shipped = read_shipped(name_as_dpkg(path), environ)
    else:
        lists = [e.path for e in subject.tree.files() if e.path.parts[0] == "DEBIAN"]
        texts = [text_of(subject.tree, place) for place in lists if place.name == "md5sums"]
        shipped = read_md5sums("".join(texts))
    if root is None:
        with scratch_folder() as scratch:
            found = collect(subject, run, shipped)
            for place in subject.paths if wants_run else ():
                # Of a layered environment neither part runs without the other.
                if packed:
                    run(["dpkg-deb", "-x", place, scratch / "x"])
                elif len(subject.paths) > 1:
                    run(["cp", "-aT", place, scratch / "x"])
            top = scratch / "x" if packed or len(subject.paths) > 1 else path.resolve()
            return _report(
                [try_out(evidence, top, run, environ) for evidence in found] if wants_run else found
            )
    if not packed:
        raise VenvpkgError(
            code="deb-needed",
            message=f"{subject} is no .deb, and only a .deb can be installed in a clean root.",
            hint="Leave --root out, or build the package.",
        )
    with open_root(root, run, environ) as clean:
        clean.install(subject.paths)
        found = collect(subject, clean, shipped)
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
