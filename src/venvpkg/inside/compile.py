"""Compile files to hash-based, unchecked bytecode, the same bytes every time.

Reads ``{"stage", "final", "jobs", "files": [...]}`` as JSON from standard input and writes
``{"compiled": N, "failed": [...]}``. Every file is compiled in a process forked from the same state: what a
process compiled before decides which strings are shared, and so which bytes marshal writes (CPython
issue 129724).
"""

from __future__ import annotations

import contextlib
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


def work(source: str, final: str) -> int:
    """Compile in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        compile_file(source, final)
        status = 0
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        # Templates and deliberately broken test data end in .py too; the interpreter would not compile
        # them on the server either.
        status = 3
    except OSError as error:
        sys.stderr.write(f"{source}: {error}\n")
    finally:
        os._exit(status)


def main() -> None:
    asked = json.load(sys.stdin)
    stage, final, jobs = asked["stage"], asked["final"], asked["jobs"]
    pairs = [(os.path.join(stage, name), os.path.join(final, name)) for name in asked["files"]]
    for folder in sorted({os.path.dirname(source) for source, _ in pairs}):
        os.makedirs(os.path.join(folder, "__pycache__"), exist_ok=True)
    running: dict[int, str] = {}
    failed: list[str] = []
    broken: list[str] = []
    for pair in pairs:
        if len(running) >= jobs:
            reap(running, failed, broken)
        running[work(*pair)] = pair[0]
    while running:
        reap(running, failed, broken)
    for folder in {os.path.dirname(source) for source in failed}:
        # Another module of the folder may have compiled.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(folder, "__pycache__"))
    json.dump(
        {
            "compiled": len(pairs) - len(failed) - len(broken),
            "failed": sorted(failed),
            "broken": sorted(broken),
        },
        sys.stdout,
    )


def reap(running: dict[int, str], failed: list[str], broken: list[str]) -> None:
    child, status = os.wait()
    name = running.pop(child)
    if status:
        (failed if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 3 else broken).append(name)


if __name__ == "__main__":
    import warnings

    # A SyntaxWarning is for the author of the distribution, not for whoever packs it.
    warnings.simplefilter("ignore")
    main()
