"""Compile files to hash-based, unchecked bytecode, the same bytes every time.

Reads ``{"stage", "final", "jobs", "files": [...], "advance"}`` as JSON from standard input and writes
``{"compiled": N, "failed": [...], "broken": [...]}``. Where "advance" is a word, lines to standard error that
begin with it tell how many files are done. The files of a folder are compiled in their order, in a
process that is forked from the same state for every folder: what a process compiled before decides which
strings are shared, and so which bytes marshal writes (CPython issue 129724).
"""

from __future__ import annotations

import contextlib
import gc
import importlib._bootstrap_external as external
import importlib.util
import json
import os
import sys


def compile_file(source: str, final: str) -> None:
    with open(source, "rb") as stream:
        text = stream.read()
    code = compile(text, final, "exec", dont_inherit=True)
    digest = importlib.util.source_hash(text)
    data = external._code_to_hash_pyc(code, digest, False)  # type: ignore[attr-defined]
    target = importlib.util.cache_from_source(source)
    temporary = target + ".new"
    with open(temporary, "wb") as stream:
        stream.write(data)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)


def compile_folder(source: str, final: str, names: list[str]) -> int:
    """Compile in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.makedirs(os.path.join(source, "__pycache__"), exist_ok=True)
        for name in names:
            # Templates and deliberately broken test data end in .py too; the interpreter would not compile
            # them on the server either.
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
                compile_file(os.path.join(source, name), os.path.join(final, name))
        status = 0
    except OSError as error:
        sys.stderr.write(f"{source}: {error}\n")
    finally:
        os._exit(status)


def main() -> None:
    asked = json.load(sys.stdin)
    stage, final, jobs = asked["stage"], asked["final"], asked["jobs"]
    folders: dict[str, list[str]] = {}
    for path in sorted(asked["files"]):
        folder, name = os.path.split(path)
        folders.setdefault(folder, []).append(name)
    # The longest first, so that no core waits for one at the end.
    waiting = sorted(folders.items(), key=lambda group: len(group[1]))
    running: dict[int, tuple[str, list[str]]] = {}
    broken: list[str] = []
    # What lives is not looked at again, nor copied for that, in every child.
    gc.disable()
    gc.freeze()
    done = 0
    while waiting or running:
        while waiting and len(running) < jobs:
            folder, names = waiting.pop()
            child = compile_folder(os.path.join(stage, folder), os.path.join(final, folder), names)
            running[child] = (folder, names)
        child, status = os.wait()
        folder, names = running.pop(child)
        done += len(names)
        if asked.get("advance"):
            sys.stderr.write(f"{asked['advance']} {done} {len(asked['files'])} modules\n")
        if os.WIFSIGNALED(status) and len(names) > 1:
            # One of them is nested deeper than this interpreter can bear; the others are not.
            waiting += [(folder, [name]) for name in names]
        elif not os.WIFSIGNALED(status) and status:
            broken += [os.path.join(stage, folder, name) for name in names]
    files = [os.path.join(stage, name) for name in asked["files"]]
    made = {name for name in files if os.path.exists(importlib.util.cache_from_source(name))}
    for folder in folders:
        # Another module of the folder may have compiled.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(stage, folder, "__pycache__"))
    failed = sorted(set(files) - made - set(broken))
    json.dump({"compiled": len(made), "failed": failed, "broken": sorted(broken)}, sys.stdout)


if __name__ == "__main__":
    import warnings

    # A SyntaxWarning is for the author of the distribution, not for whoever packs it.
    warnings.simplefilter("ignore")
    main()
