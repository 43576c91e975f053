"""Opens what a user points at: a .deb, an installed environment, or a folder that holds one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from venvpkg.deb import read_deb
from venvpkg.distributions import text_of
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import Evidence, find_build_paths, find_environments, gather
from venvpkg.process import Runner
from venvpkg.report import Accepted, Finding, Report
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
        prefix = path.resolve()
        tree = Tree.from_dir(prefix, PurePosixPath(prefix).relative_to("/"))
        return Subject(tree=tree, control=read_owner(prefix, run))
    if path.is_file():
        return Subject(tree=read_deb(path), control=None)
    raise VenvpkgError(
        code="path-not-found",
        message=f"There is no {path}.",
        hint="Name a .deb, the prefix of an environment, or a folder that holds one.",
    )


def read_owner(prefix: Path, run: Runner) -> dict[str, str]:
    """Return the relations of the package that owns an environment; none where no package does."""
    owner = next(iter(read_owners(run, [str(prefix / "pyvenv.cfg")]).values()), None)
    if owner is None:
        return {}
    fields = ("Architecture", "Pre-Depends", "Depends", "Recommends", "Suggests")
    form = "\\n".join(f"{name}: ${{{name}}}" for name in fields)
    answer = run(["dpkg-query", "-W", "-f", form, owner], check=False).stdout
    pairs = (line.partition(": ") for line in answer.splitlines())
    return {name: value for name, _, value in pairs if value}


def collect(path: Path, run: Runner) -> list[Evidence]:
    """Return the evidence about every environment that a path has.

    Raises:
        VenvpkgError: what :func:`open_path` raises; ``no-environment``.
    """
    subject = open_path(path, run)
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
        )
        for inside in environments
    ]


def verify_path(path: Path, run: Runner) -> Report:
    """Run the checks on every environment that a path has, and leave out what its manifest accepts.

    Raises:
        VenvpkgError: what :func:`collect` raises.
    """
    findings: dict[Finding, None] = {}
    checked = 0
    for evidence in collect(path, run):
        report = verify(evidence).without(read_accepted(evidence.tree, evidence.inside))
        findings |= dict.fromkeys(report.findings)
        checked = report.checked
    return Report(findings=tuple(sorted(findings)), checked=checked)


def read_accepted(tree: Tree, inside: PurePosixPath) -> Iterator[Accepted]:
    """Yield the findings that an environment's manifest accepts."""
    try:
        records = json.loads(text_of(tree, inside / "venvpkg.json") or "{}").get("accepted", [])
        yield from (Accepted(code=r["code"], path=r["path"], reason=r["reason"]) for r in records)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
