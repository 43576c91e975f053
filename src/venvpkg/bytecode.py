"""Compiles, the same bytes every time."""

import json
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.process import Runner, python_environment
from venvpkg.toolchain import parallel_jobs
from venvpkg.tree import Tree


def compile_tree(plan: Plan, tree: Tree, run: Runner, environ: Mapping[str, str]) -> int:
    """Compile every module of the stage with the target interpreter, and drop stale .pyc files.

    The files are hash-based and unchecked (PEP 552), and name the final prefix. Returns how many were
    compiled; files that do not compile are left without.

    Raises:
        VenvpkgError: ``compile-failed``.
    """
    sources = [entry.path for entry in tree.files() if entry.path.suffix == ".py"]
    drop_stale(plan.stage, tree)
    if plan.spec.bytecode != "build":
        return 0
    asked = {
        "stage": str(plan.stage),
        "final": str(plan.prefix),
        "jobs": parallel_jobs(environ),
        "files": [str(path) for path in sources],
    }
    # Sets of constants are written in the order of their hashes.
    environment = {**python_environment(environ), "PYTHONHASHSEED": "0"}
    with as_file(files("venvpkg") / "inside" / "compile.py") as program:
        answer = run(
            [plan.interpreter.path, "-s", "-S", program],
            env=environment,
            stdin=json.dumps(asked),
            check=False,
        )
    outcome = json.loads(answer.stdout) if answer.returncode == 0 and answer.stdout else None
    if outcome is None or outcome["broken"]:
        raise VenvpkgError(
            code="compile-failed",
            message="Could not write the bytecode.",
            causes=[*answer.tail, *(outcome["broken"][:5] if outcome else ())],
            hint='Look at free disk space; bytecode = "install" compiles on the server instead.',
        )
    return int(outcome["compiled"])


def drop_stale(stage: Path, tree: Tree) -> None:
    """Remove .pyc files that lie in a __pycache__ folder, and folders of that name that end up empty."""
    folders = set()
    for entry in tree.files():
        if entry.path.suffix == ".pyc" and entry.path.parent.name == "__pycache__":
            (stage / entry.path).unlink(missing_ok=True)
            folders.add(stage / entry.path.parent)
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
