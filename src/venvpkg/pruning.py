"""Leaves out what no program needs while it runs, as far as it can be seen without running it."""

import ast
import fnmatch
import re
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from venvpkg.distributions import Distribution
from venvpkg.plan import BUNDLE, Plan
from venvpkg.spec import PRUNE_PRESETS, Spec
from venvpkg.tree import Tree

TEST_FOLDERS = frozenset({"tests", "test", "SelfTest"})
DOC_FOLDERS = frozenset({"doc", "docs"})
SHARED_DOCS = frozenset({"doc", "man", "info", "gtk-doc"})
LANGUAGE_FOLDERS = frozenset({"LC_MESSAGES", "locale", "locales", "translations", "i18n"})
HEADERS = frozenset({".h", ".hh", ".hpp", ".hxx", ".cuh", ".pxd", ".pxi"})
SOURCES = frozenset({".c", ".cc", ".cpp", ".pyx"})
# What a module that a preset names has in its name.
MODULE_WORDS = TEST_FOLDERS | DOC_FOLDERS | {"conftest"}
# What a module that reads files of a preset has in its source.
READERS = {"stubs": re.compile(rb"\.pyi\b|attach_stub"), "docs": re.compile(rb"[\"'/]docs?[\"'/]")}
# They compile for themselves or for others while they run, and take headers and static libraries for that.
COMPILERS = frozenset(
    {
        *(
            "Cython",
            "cffi",
            "cppyy",
            "cppyy_backend",
            "cupy",
            "cupyx",
            "mypyc",
            "nanobind",
            "numba",
            "numba_cuda",
        ),
        *("nvidia", "pybind11", "pycuda", "pyopencl", "pythran", "taichi", "torch", "triton", "tvm", "warp"),
        *("xonsh", "ziglang"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What the presets leave out, aside until it is proven that nothing needs it."""

    left_out: Mapping[PurePosixPath, str]
    """Paths relative to the prefix, each with its preset."""
    kept: Mapping[PurePosixPath, str]
    """What a preset has and something needs, with the reason."""


def leave_out(spec: Spec, folder: Path) -> int:
    """Remove what the globs of the key ``prune`` name; returns the number of files."""
    globs, kept = _globs(spec)
    removed = 0
    for entry in reversed(list(Tree.from_dir(folder)) if globs else ()):
        if _matches(entry.path, globs) and not _matches(entry.path, kept):
            path = folder / entry.path
            if entry.kind == "folder":
                # One with something in it that is kept stays.
                with suppress(OSError):
                    path.rmdir()
            else:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _globs(spec: Spec) -> tuple[list[str], list[str]]:
    globs = [glob.rstrip("/") for glob in spec.prune if glob not in PRUNE_PRESETS]
    return [g for g in globs if g[0] != "!"], [g[1:] for g in globs if g[0] == "!"]


def _matches(path: PurePosixPath, globs: Iterable[str]) -> bool:
    names = [str(p) for p in (path, *path.parents)]
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


def set_aside(plan: Plan, tree: Tree, distributions: Sequence[Distribution], project: str) -> Pruning:
    """Move what the presets of the key ``prune`` name out of the stage, but for what is seen to be needed."""
    # What an earlier run of this step that did not end had moved.
    before = [e.path for e in Tree.from_dir(plan.pruned) if e.kind != "folder"]
    if before:
        move(plan.pruned, plan.stage, before)
        tree = Tree.from_dir(plan.stage)
    candidates = find_candidates(tree, plan.spec.presets, distributions, project)
    _, spared = _globs(plan.spec)
    candidates = {path: preset for path, preset in candidates.items() if not _matches(path, spared)}
    kept = find_needed(tree, candidates)
    left_out = {path: preset for path, preset in candidates.items() if path not in kept}
    move(plan.stage, plan.pruned, left_out)
    return Pruning(left_out=left_out, kept=kept)


def describe(pruning: Pruning, tree: Tree) -> list[str]:
    """Return what was left out of a tree, for the log: a number of files, then the size of each preset's."""
    sizes: dict[str, int] = {}
    for path, preset in pruning.left_out.items():
        entry = tree.get(path)
        sizes[preset] = sizes.get(preset, 0) + (entry.size if entry else 0)
    parts = [f"{preset} {size / 1e6:.1f} MB" for preset, size in sorted(sizes.items(), key=lambda s: -s[1])]
    return [f"{len(pruning.left_out)} files", *parts]


def explain(pruning: Pruning) -> list[str]:
    """Return a note for each reason for which something is kept."""
    groups: dict[str, list[PurePosixPath]] = {}
    for path, reason in pruning.kept.items():
        groups.setdefault(reason, []).append(path)
    return [
        f"prune keeps {shorten(paths[0])}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
        for reason, paths in groups.items()
    ]


def move(source: Path, target: Path, paths: Iterable[PurePosixPath]) -> None:
    """Move files from one folder to another; folders that are empty then go."""
    moved = list(paths)
    for path in moved:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).rename(target / path)
    remove_empty(source, moved)


def remove_empty(top: Path, paths: Iterable[PurePosixPath]) -> None:
    """Remove the folders in which files were, where they are empty."""
    for folder in sorted({folder for path in paths for folder in path.parents[:-1]}, reverse=True):
        with suppress(OSError):
            (top / folder).rmdir()


def find_candidates(
    tree: Tree, presets: Container[str], distributions: Iterable[Distribution] = (), project: str = ""
) -> dict[PurePosixPath, str]:
    """Return the files that presets name, each with the first preset that names it.

    Args:
        tree: the environment, with paths relative to its prefix.
        presets: some of :data:`venvpkg.spec.PRUNE_PRESETS`.
        distributions: those that it has.
        project: the distribution whose translations are used.
    """
    own = {path for d in distributions if d.name == project for path in d.files}
    # A distribution may be called "test", and be nothing else.
    alone = {name for d in distributions for name in d.modules() if len(d.modules()) == 1}
    compiled = {(e.path.parent, e.path.name.split(".")[0]) for e in tree.files() if e.path.suffix == ".so"}
    found = {}
    for entry in tree.files():
        preset = _preset_of(entry.path, own, alone, compiled)
        # Bytecode goes when the rest is compiled.
        if preset in presets and entry.path.parent.name != "__pycache__":
            found[entry.path] = preset
    return found


def _preset_of(
    path: PurePosixPath,
    own: Container[PurePosixPath],
    alone: Container[str],
    compiled: Container[tuple[PurePosixPath, str]],
) -> str:
    folders, suffix = path.parts[:-1], path.suffix
    if folders[:1] == (BUNDLE,):
        return ""
    inside = folders[folders.index("site-packages") + 1 :] if "site-packages" in folders else None
    if inside and inside[0].endswith(".dist-info"):
        # Licences and metadata.
        return ""
    named = (
        {*inside[1:], *(name for name in inside[:1] if name not in alone)} if inside is not None else set()
    )
    if named & TEST_FOLDERS or (inside and path.name == "conftest.py"):
        return "tests"
    if suffix == ".pyi":
        return "stubs"
    if suffix in HEADERS or (suffix in SOURCES and (path.parent, path.name.split(".")[0]) in compiled):
        return "headers"
    if suffix in (".a", ".la"):
        return "static"
    if named & DOC_FOLDERS or (
        inside is None and len(folders) > 1 and folders[0] == "share" and folders[1] in SHARED_DOCS
    ):
        return "docs"
    if suffix in (".mo", ".po", ".pot", ".qm") and LANGUAGE_FOLDERS & set(folders) and path not in own:
        return "" if re.match(r"(en|C)([_@.-]|$)", _language(path)) else "locales"
    return ""


def _language(path: PurePosixPath) -> str:
    parts = path.parts
    if "LC_MESSAGES" in parts:
        return parts[parts.index("LC_MESSAGES") - 1]
    found = re.search(r"_([a-z]{2,3}(?:_[A-Za-z]+)?)$", path.stem)
    return found[1] if found else path.stem


def find_needed(tree: Tree, candidates: Mapping[PurePosixPath, str]) -> dict[PurePosixPath, str]:
    """Return the candidates that the other files are seen to need, each with the reason."""
    modules = {module_of(path): path for path in candidates if module_of(path)}
    readings = _Readings(tree, candidates, modules)
    kept: dict[PurePosixPath, str] = {}
    for name, reason in readings.imports.items():
        kept |= dict.fromkeys(with_imports(tree, [name], modules), reason)
    for path, preset in candidates.items():
        reason = readings.reason(top_of(path), preset)
        if reason and path not in kept:
            kept[path] = reason
    return kept


class _Readings:
    """What the files that stay say of the candidates, found in one pass over them."""

    def __init__(
        self, tree: Tree, candidates: Mapping[PurePosixPath, str], modules: Mapping[str, PurePosixPath]
    ) -> None:
        self.imports: dict[str, str] = {}
        """Modules that are named, with the reason."""
        self._reasons: dict[tuple[str, str], str] = {}
        """By preset and package of the first level."""
        named = naming_patterns(modules)
        tops = {(preset, top_of(path)) for path, preset in candidates.items()}
        for entry in tree.files():
            if entry.path in candidates or entry.path.parts[0] == BUNDLE:
                continue
            if entry.path.name == "entry_points.txt":
                text = entry.load().decode("utf-8", "replace")
                self._see(entry.path, re.findall(r"=\s*([\w.]+)", text), modules)
            elif entry.path.suffix == ".py":
                data, top = entry.load(), top_of(entry.path)
                imports = any(pattern.search(data) for pattern in named)
                read = {p for p, pattern in READERS.items() if (p, top) in tops and pattern.search(data)}
                compiled = b"get_include" in data and any(p in ("headers", "static") for p, _ in tops)
                body = parse(data) if imports or read or compiled else None
                if body and imports:
                    self._see(entry.path, imported_names(entry.path, body), modules)
                if body and read:
                    self._read(entry.path, body, read)
                if body and compiled:
                    self._compile(entry.path, body)

    def _see(self, path: PurePosixPath, names: Iterable[str], modules: Container[str]) -> None:
        for name in names:
            if name in modules:
                self.imports.setdefault(name, f"{shorten(path)} names {name}")

    def _read(self, path: PurePosixPath, body: ast.AST, presets: Container[str]) -> None:
        said = set()
        for node in ast.walk(body):
            match node:
                # A docstring; walk comes to it before it comes to the string.
                case ast.Expr(value=ast.Constant() as text):
                    said.add(id(text))
                case ast.Constant(value=str(text)) if id(node) not in said:
                    if "stubs" in presets and text.endswith(".pyi"):
                        self._reasons.setdefault(("stubs", top_of(path)), f"{shorten(path)} names such")
                    if "docs" in presets and re.search(r"(?:^|/)docs?(?:/|$)", text) and "\n" not in text:
                        self._reasons.setdefault(("docs", top_of(path)), f"{shorten(path)} names the folder")
                case ast.Attribute(attr="attach_stub") | ast.Name(id="attach_stub"):
                    self._reasons.setdefault(("stubs", top_of(path)), f"{shorten(path)} reads them")

    def _compile(self, path: PurePosixPath, body: ast.AST) -> None:
        called: dict[str, str] = {}
        for node in ast.walk(body):
            asked = ""
            match node:
                case ast.Import(names=names):
                    called |= {n.asname or n.name: n.name.split(".")[0] for n in names}
                case ast.ImportFrom(module=str(name), level=0, names=names):
                    asked = name.split(".")[0] if any(n.name == "get_include" for n in names) else ""
                case ast.Attribute(value=ast.Name(id=name), attr="get_include"):
                    asked = called.get(name, name)
            if asked not in ("", top_of(path)):
                self._reasons.setdefault(("headers", asked), f"{shorten(path)} asks where they are")

    def reason(self, top: str, preset: str) -> str:
        """Return why the files of a preset stay that a package of the first level has, or nothing."""
        if preset in ("headers", "static") and top in COMPILERS:
            return f"{top} compiles while it runs"
        return self._reasons.get(("headers" if preset == "static" else preset, top), "")


def naming_patterns(modules: Iterable[str]) -> list[re.Pattern[bytes]]:
    """Return patterns of which one fits where a module may name another one.

    Each begins with plain letters, which makes a search ten times as fast.
    """
    words = {part for name in modules for part in name.split(".")} & MODULE_WORDS
    either = b"|".join(word.encode() for word in sorted(words)) or rb"(?!)"
    patterns = (
        rb"import[ \t][^\n]*\b(?:%b)\b",
        rb"from[ \t][^\n]*\b(?:%b)\b",
        rb"import\b[^\n(]*\([^)]{0,4000}\b(?:%b)\b",
        rb"import\b[^\n(]*\\\n[^\n]*\b(?:%b)\b",
        rb"\.(?:%b)\b[\w.:]*[\"']",
    )
    return [re.compile(pattern % either) for pattern in patterns]


def shorten(path: PurePosixPath) -> str:
    """Return a path from site-packages on, where it lies there."""
    parts = path.parts
    return "/".join(parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else parts)


def parse(source: bytes) -> ast.Module | None:
    """Return what Python makes of a module's source, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def top_of(path: PurePosixPath) -> str:
    """Return the first folder below site-packages that a file is in, or its module; else an empty name."""
    parts = path.parts
    inside = parts[parts.index("site-packages") + 1 :] if "site-packages" in parts else ()
    return inside[0].split(".")[0] if inside else ""


def module_of(path: PurePosixPath) -> str:
    """Return the name of the module that a file below site-packages is, or nothing."""
    if path.suffix not in (".py", ".so") or "site-packages" not in path.parts:
        return ""
    folders = path.parts[path.parts.index("site-packages") + 1 : -1]
    stem = path.name.split(".")[0]
    parts = folders if stem == "__init__" and folders else (*folders, stem)
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def imported_names(path: PurePosixPath, top: ast.AST) -> Iterator[str]:
    """Yield the modules that a module names, wherever in it; some of them are names in modules."""
    package = module_of(path).split(".")
    package = package if path.name.startswith("__init__.") else package[:-1]
    for node in ast.walk(top):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names)
            case ast.ImportFrom(module=name, level=level, names=names):
                start = package[: len(package) - level + 1] if level else []
                base = ".".join([*start, *([name] if name else [])])
                yield base
                yield from (f"{base}.{n.name}" for n in names)
            case ast.Constant(value=str(text)) if re.fullmatch(r"(?:\w+\.)+\w+(?::[\w.]+)?", text):
                yield text.partition(":")[0]


def with_imports(
    tree: Tree, names: Iterable[str], modules: Mapping[str, PurePosixPath]
) -> dict[PurePosixPath, None]:
    """Return the files of some modules, of the packages that they are in, and of what all these import.

    Args:
        tree: the environment; what is aside counts as there.
        names: modules to begin with.
        modules: all that are considered, each with its file.
    """
    waiting, found = list(names), dict[PurePosixPath, None]()
    while waiting:
        name = waiting.pop()
        above = [name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)]
        for place in (modules[n] for n in (name, *above) if n in modules):
            if place not in found:
                found[place] = None
                entry = tree.get(place)
                top = parse(entry.load()) if entry and place.suffix == ".py" else None
                waiting += imported_names(place, top) if top else ()
    return found
