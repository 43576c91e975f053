"""Finds imports of the parts of the standard library that Debian packages apart."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from venvpkg.control import Dependencies
from venvpkg.distributions import Distribution
from venvpkg.errors import VenvpkgError
from venvpkg.plan import Plan
from venvpkg.process import Runner

# Which package has which module, and the first Python without the module.
SPLIT: Mapping[str, tuple[str, tuple[int, int] | None]] = {
    "tkinter": ("python3-tk", None),
    "_tkinter": ("python3-tk", None),
    "turtle": ("python3-tk", None),
    "_gdbm": ("python3-gdbm", None),
    "dbm.gnu": ("python3-gdbm", None),
    "distutils": ("python3-distutils", (3, 12)),
    "lib2to3": ("python3-lib2to3", (3, 13)),
}
WORDS = (b"tkinter", b"turtle", b"dbm", b"distutils", b"lib2to3")
CATCHES = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import of a module that is packaged apart."""

    path: PurePosixPath
    """The importing file."""
    module: str
    """A key of :data:`SPLIT`."""
    certain: bool
    """Importing the file runs it, and no handler catches its failure."""


def read_imports(path: PurePosixPath, source: bytes) -> Iterator[Import]:
    """Yield the imports of split-off modules in one file; none where it does not parse."""
    if not (any(word in source for word in WORDS) and _may_import(source)):
        return
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node, certain in _walk(body, True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in SPLIT:
            if any(name == module or name.startswith(module + ".") for name in names):
                yield Import(path=path, module=module, certain=certain)


def _may_import(source: bytes) -> bool:
    """Tell whether a line may import one of them; what only speaks of one need not be parsed."""
    lines = source.split(b"\n")
    return any(
        any(word in line for word in WORDS)
        and (b"import" in line or b"from" in line or before.rstrip().endswith(b"\\"))
        for before, line in zip([b"", *lines], lines, strict=False)
    )


def _walk(body: Sequence[ast.AST], certain: bool) -> Iterator[tuple[ast.AST, bool]]:
    waiting = [(node, certain) for node in reversed(body)]
    while waiting:
        node, certain = waiting.pop()
        yield node, certain
        waiting += reversed(list(_inner(node, certain)))


def _inner(node: ast.AST, certain: bool) -> Iterator[tuple[ast.AST, bool]]:
    # An expression holds no import, and may be nested deeper than Python can go.
    blocks = [
        n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt | ast.excepthandler | ast.match_case)
    ]
    if isinstance(node, ast.Try):
        caught = any(_catches(handler.type) for handler in node.handlers)
        yield from ((n, certain and not caught) for n in node.body)
        yield from ((n, certain and not node.handlers) for n in blocks if n not in node.body)
    elif isinstance(node, ast.With):
        yield from (
            (n, certain and not any(_suppresses(item.context_expr) for item in node.items)) for n in blocks
        )
    else:
        # A function's body runs later; whether a branch runs (for a platform, say) nobody can tell.
        always = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If | ast.match_case)
        yield from ((n, certain and always) for n in blocks)


def _catches(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return caught is None or any(isinstance(n, ast.Name) and n.id in CATCHES for n in names)


def _suppresses(context: ast.expr) -> bool:
    if not isinstance(context, ast.Call):
        return False
    name = getattr(context.func, "id", getattr(context.func, "attr", ""))
    return name == "suppress" and any(_catches(argument) for argument in context.args)


def split_dependencies(
    imports: Iterable[Import],
    project_files: frozenset[PurePosixPath],
    loaded_files: frozenset[PurePosixPath],
    distributions: Sequence[Distribution],
    python: str,
) -> tuple[Dependencies, tuple[str, ...]]:
    """Return Depends and Suggests for split-off modules, and the modules that this Python has no more.

    A module is depended on where the project, or anything that the smoke run loaded, imports it
    unconditionally; else it is suggested. The range of versions keeps a distribution upgrade from
    replacing it by the one of another Python.

    Args:
        imports: what the environment's files import.
        project_files: the project's own.
        loaded_files: those that the smoke run loaded.
        distributions: what is installed.
        python: the minor version that the environment is for, ``3.11``.
    """
    major, minor = (int(n) for n in python.split("."))
    # setuptools brings a distutils of its own, and puts it in place of the standard library's.
    own = {"distutils"} if any(d.name == "setuptools" for d in distributions) else set()
    needed: dict[str, bool] = {}
    gone: set[str] = set()
    for found in imports:
        if found.module in own:
            continue
        package, last = SPLIT[found.module]
        required = found.certain and (found.path in project_files or found.path in loaded_files)
        if last and (major, minor) >= last:
            gone |= {found.module} if required else set()
        else:
            needed[package] = needed.get(package, False) or required
    clauses = {p: (f"{p} (>= {major}.{minor}~)", f"{p} (<< {major}.{minor + 1})") for p in needed}
    depends = tuple(c for p, required in sorted(needed.items()) if required for c in clauses[p])
    suggests = tuple(c for p, required in sorted(needed.items()) if not required for c in clauses[p])
    return Dependencies(depends=depends, suggests=suggests), tuple(sorted(gone))


def require_packaged(depends: Sequence[str], plan: Plan, run: Runner) -> None:
    """Make sure that apt has the split-off packages, for this minor version.

    Raises:
        VenvpkgError: ``split-module-not-packaged``.
    """
    for name in dict.fromkeys(clause.split()[0] for clause in depends):
        versions = re.findall(
            r"^ {5}(\S+) \d|^ \*\*\* (\S+) ",
            run(["apt-cache", "policy", name], check=False).stdout,
            re.MULTILINE,
        )
        known = [a or b for a, b in versions]
        # A build environment may have no package lists; then there is nothing to hold against.
        if known and not any(v.split(":")[-1].startswith(plan.interpreter.minor + ".") for v in known):
            raise VenvpkgError(
                code="split-module-not-packaged",
                message=f"apt has no {name} for Python {plan.interpreter.minor}, which the project needs.",
                causes=[f"apt has {name} {', '.join(known)}."],
                hint="Package for the distribution's own Python, or do without the module.",
            )
