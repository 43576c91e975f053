"""Compiles, the same bytes every time."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath

from venvpkg.cache import make_key
from venvpkg.digests import Digests, Memory
from venvpkg.errors import VenvpkgError
from venvpkg.log import ADVANCE, watched
from venvpkg.plan import Plan
from venvpkg.process import Runner, python_environment
from venvpkg.toolchain import parallel_jobs
from venvpkg.tree import Entry, Tree


def compile_tree(plan: Plan, tree: Tree, run: Runner, environ: Mapping[str, str], memory: Memory) -> int:
    """Compile every module of the stage with the target interpreter, and drop stale .pyc files.

    The files are hash-based and unchecked (PEP 552), and name the final prefix. A folder's modules are
    compiled together, and taken from the cache together. Returns how many were compiled or taken; files
    that do not compile are left without.

    Raises:
        VenvpkgError: ``compile-failed``.
    """
    drop_stale(plan.stage, tree)
    if plan.spec.bytecode != "build":
        return 0
    folders: dict[PurePosixPath, list[Entry]] = {}
    for entry in tree.files():
        if entry.path.suffix == ".py":
            folders.setdefault(entry.path.parent, []).append(entry)
    with as_file(files("venvpkg") / "inside" / "compile.py") as program:
        keys = _make_keys(plan, folders, program, memory.digests) if memory.cache.folder else {}
        kept = {folder: data for folder, key in keys.items() if (data := memory.cache.get("bytecode", key))}
        count = sum(_unpack(plan.stage / folder, data) for folder, data in kept.items())
        sources = [
            entry.path for folder, entries in folders.items() if folder not in kept for entry in entries
        ]
        count += _compile(plan, sources, program, run, environ) if sources else 0
    for folder in keys.keys() - kept.keys():
        names = [compiled_name(entry.path.name, plan) for entry in folders[folder]]
        memory.cache.put("bytecode", keys[folder], _pack(plan.stage / folder, names))
    return count


def _make_keys(
    plan: Plan, folders: Mapping[PurePosixPath, Sequence[Entry]], program: Path, digests: Digests
) -> dict[PurePosixPath, str]:
    """Return each folder's key: all that decides which bytes are written."""
    compiler = [plan.interpreter.version, plan.interpreter.cache_tag]
    compiler += [hashlib.sha256(path.read_bytes()).hexdigest() for path in (plan.interpreter.path, program)]
    digests.learn(entry for entries in folders.values() for entry in entries)
    return {
        folder: make_key(
            compiler,
            str(plan.prefix / folder),
            [[entry.path.name, digests.of(entry).hex()] for entry in entries],
        )
        for folder, entries in folders.items()
    }


def compiled_name(name: str, plan: Plan) -> str:
    """Return the name of a module's .pyc file (PEP 3147)."""
    return f"{name.removesuffix('.py')}.{plan.interpreter.cache_tag}.pyc"


def _pack(folder: Path, names: Sequence[str]) -> bytes:
    # What does not compile has no file, and is not there.
    paths = [path for name in names if (path := folder / "__pycache__" / name).is_file()]
    contents = [path.read_bytes() for path in paths]
    index = [[path.name, len(content)] for path, content in zip(paths, contents, strict=True)]
    return json.dumps(index).encode() + b"\n" + b"".join(contents)


def _unpack(folder: Path, data: bytes) -> int:
    index, _, _ = data.partition(b"\n")
    at, listed = len(index) + 1, json.loads(index)
    target = folder / "__pycache__"
    if listed:
        target.mkdir(exist_ok=True)
    for name, size in listed:
        (target / name).write_bytes(data[at : at + size])
        at += size
    return len(listed)


def _compile(
    plan: Plan, sources: Sequence[PurePosixPath], program: Path, run: Runner, environ: Mapping[str, str]
) -> int:
    asked = {
        "stage": str(plan.stage),
        "final": str(plan.prefix),
        "jobs": parallel_jobs(environ),
        "files": [str(path) for path in sources],
        "advance": ADVANCE if watched() else "",
    }
    # Sets of constants are written in the order of their hashes.
    environment = {**python_environment(environ), "PYTHONHASHSEED": "0"}
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
