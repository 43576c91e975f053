"""Moves or copies an existing virtual environment to another prefix, and proves it there."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from venvpkg.contents import Search
from venvpkg.digests import Digests
from venvpkg.errors import VenvpkgError
from venvpkg.evidence import find_build_paths, gather
from venvpkg.plan import Move
from venvpkg.process import Runner, python_environment
from venvpkg.relocate import Edit, reconcile_records, relocate
from venvpkg.stage import apply
from venvpkg.system import System
from venvpkg.tree import Tree
from venvpkg.verify import check_v001, check_v002, check_v003, check_v006, check_v013

PROBE = "import json, sys; print(json.dumps([sys.prefix, sys.prefix != sys.base_prefix]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Where an environment is, where it goes, and where it will be used."""

    source: Path
    """The environment's folder, absolute and resolved."""
    target: Path
    """The folder to make, absolute."""
    final: PurePosixPath
    """The prefix that it will have; ``target`` itself, unless it is staged for another place or machine."""
    moves: tuple[Move, ...]
    """From the folder, and from every other prefix that the environment still speaks of."""


def plan_relocation(source: Path, target: Path, final: PurePosixPath | None) -> Relocation:
    """Decide what has to be rewritten.

    Raises:
        VenvpkgError: ``no-environment``, ``environment-unfit``, ``target-exists``, ``target-inside``,
            ``target-unfit``.
    """
    real = source.resolve()
    if not (real / "pyvenv.cfg").is_file():
        raise VenvpkgError(
            code="no-environment",
            message=f"{source} is no virtual environment.",
            causes=["There is no pyvenv.cfg in it (PEP 405)."],
            hint="Name the folder that holds bin/ and pyvenv.cfg.",
        )
    place = target.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise VenvpkgError(
            code="target-exists",
            message=f"{target} is there already.",
            hint="Name a folder that is not, or remove it first.",
        )
    if place.resolve().is_relative_to(real):
        raise VenvpkgError(
            code="target-inside",
            message=f"{target} lies inside the environment that is to be copied.",
            hint="Name a folder outside of it.",
        )
    goal = final or PurePosixPath(place)
    if not re.fullmatch(r"/[A-Za-z0-9/_.+~@%=,-]+", str(goal)):
        raise VenvpkgError(
            code="target-unfit",
            message=f"{goal} is no path that a script's first line can name.",
            causes=["The kernel takes a blank for the end of the interpreter's path."],
            hint="Choose one of letters, digits and the signs /_.+~@%=,- alone.",
        )
    odd = [str(entry.path) for entry in Tree.from_dir(real) if entry.kind == "special"]
    if odd:
        raise VenvpkgError(
            code="environment-unfit",
            message="The environment holds what cannot be copied.",
            causes=[f"{name!a} is a device, a socket or a pipe" for name in odd[:10]],
            hint="Stop what made it, and remove it.",
        )
    spoken = find_build_paths(Tree.from_dir(real, PurePosixPath("x")), PurePosixPath("x"))
    names = dict.fromkeys(
        (str(real), str(source.absolute()), *(p.decode(errors="surrogateescape") for p in spoken))
    )
    moves = tuple(Move(build=PurePosixPath(n), final=goal) for n in names if PurePosixPath(n) != goal)
    return Relocation(source=real, target=place, final=goal, moves=moves)


def list_edits(relocation: Relocation) -> tuple[Edit, ...]:
    """Return every edit that the relocation would make, without making any."""
    tree = Tree.from_dir(relocation.source)
    return tuple(sorted(relocate(tree, *relocation.moves), key=lambda edit: edit.path))


def carry_out(
    relocation: Relocation, run: Runner, environ: Mapping[str, str], *, remove: bool = False
) -> int:
    """Copy the environment, rewrite the copy, prove it and name it; returns the number of edits.

    The old one is untouched until the new one is proven, and removed then where ``remove`` says so.

    Raises:
        VenvpkgError: ``relocation-unproven``.
    """
    unfinished = relocation.target.with_name(f".{relocation.target.name}.venvpkg-new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        shutil.copytree(relocation.source, unfinished, symlinks=True)
        count += apply(relocate(Tree.from_dir(unfinished), *relocation.moves), unfinished)
        count += apply(reconcile_records(Tree.from_dir(unfinished), Digests()), unfinished)
        require_proof(relocation, unfinished)
        if relocation.target.is_dir():
            relocation.target.rmdir()
        unfinished.rename(relocation.target)
        require_start(relocation, run, environ)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if remove:
        shutil.rmtree(relocation.source)
    return count


def require_proof(relocation: Relocation, folder: Path) -> None:
    """Make sure that no file of the copy names an old place, and that RECORD is right."""
    inside = relocation.final.relative_to("/")
    old = tuple(str(move.build).encode(errors="surrogateescape") for move in relocation.moves)
    tree = Tree.from_dir(folder, inside)
    evidence = gather(tree, inside, Search(build_paths=old), lambda _: System(), {})
    checks = [check_v001, check_v002, check_v003, check_v006]
    # On the same machine an editable install still finds its project's folder.
    checks += [check_v013] if str(relocation.final) != str(relocation.target) else []
    findings = [finding for check in checks for finding in check(evidence)]
    if findings:
        raise VenvpkgError(
            code="relocation-unproven",
            message=f"{len(findings)} files could not be made right for {relocation.final}.",
            causes=[f"{f.code} {f.path}: {f.message}" for f in findings[:10]],
            hint="docs/checks.md tells what the codes mean.",
        )


def require_start(relocation: Relocation, run: Runner, environ: Mapping[str, str]) -> None:
    """Make sure that the environment's Python starts at its new place and knows its prefix."""
    if str(relocation.final) != str(relocation.target):
        return
    try:
        answer = run([relocation.target / "bin" / "python", "-c", PROBE], env=python_environment(environ))
        prefix, is_environment = json.loads(answer.stdout)
        works = is_environment and Path(prefix).resolve() == relocation.target.resolve()
        causes = [f"sys.prefix is {prefix}."]
    except (VenvpkgError, ValueError) as error:
        works, causes = False, [str(error)]
    if not works:
        shutil.rmtree(relocation.target, ignore_errors=True)
        raise VenvpkgError(
            code="relocation-unproven",
            message=f"Python does not start at {relocation.target}; the old environment is as it was.",
            causes=causes,
            hint="Is the interpreter that it was made with on this machine? For another one, use --final.",
        )
