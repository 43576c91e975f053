"""The shape of the house: which module may import which."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "venvpkg"

FLOORS = (
    {"addon", "cache", "credentials", "errors", "licences", "log", "makefile"},
    {
        "control",
        "debversion",
        "display",
        "elf",
        "keys",
        "metadata",
        "missing",
        "policy",
        "process",
        "report",
        "scratch",
        "templates",
        "tree",
    },
    {
        "digests",
        "distributions",
        "elsewhere",
        "guard",
        "locks",
        "spec",
        "system",
        "toolchain",
        "versions",
        "watch",
    },
    {
        "builddeps",
        "cleanroot",
        "configuration",
        "deb",
        "flat",
        "host",
        "indexes",
        "interpreter",
        "schema",
        "virtualenv",
    },
    {"migration", "plan"},
    {
        "bytecode",
        "export",
        "failures",
        "installers",
        "maintscripts",
        "relocate",
        "shlibs",
        "stdlib",
    },
    {"bundle", "contents"},
    {"expose", "pruning", "smoke", "stage", "tools", "weight"},
    {"depends", "evidence", "layers", "lockfiles", "proof", "wheelhouse"},
    {"debhelper", "vendor", "verify"},
    {"inspection", "inventory", "relocation"},
    {"difference", "manifest", "sbom"},
    {"pipeline", "reproducibility"},
    {"products", "rehearsal", "source"},
    {"scaffold"},
    {"drafting"},
    {"order"},
    {"delivery"},
    {"steps"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: number for number, names in enumerate(FLOORS) for name in names}


def imports(path: Path) -> set[str]:
    """The modules of venvpkg that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "venvpkg":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("venvpkg."):
                found.add(node.module.split(".")[1])
    # What runs inside imports nothing of ours.
    return found - {"__version__", "inside"}


def modules() -> list[Path]:
    """Every module but the package itself, and those of the command line."""
    found = [*SOURCE.glob("*.py"), *SOURCE.glob("commands/*.py")]
    return sorted(p for p in found if p != SOURCE / "__init__.py")


def room(path: Path) -> str:
    """What a module is called in :data:`FLOORS`: its own name, or that of its folder."""
    return path.stem if path.parent == SOURCE else path.parent.name


def test_every_module_has_a_floor() -> None:
    """A new room is given a place before it is built."""
    assert {room(p) for p in modules()} == set(LEVEL)


def test_a_module_imports_from_lower_floors_alone() -> None:
    """Neither from above nor from a neighbour."""
    wrong = [
        f"{path.stem} imports {name}"
        for path in modules()
        for name in imports(path)
        if LEVEL[name] >= LEVEL[room(path)]
    ]
    assert wrong == []


def test_programs_that_run_inside_import_nothing_of_ours() -> None:
    """The packaged interpreter has no venvpkg."""
    assert [p.name for p in (SOURCE / "inside").glob("*.py") if imports(p)] == []


def test_one_library_lives_in_one_room() -> None:
    """Each of click, jinja2, pyelftools and subprocess is imported in one module."""
    homes = {
        "click": {"cli", "commands", "guard", "steps"},
        "jinja2": {"templates"},
        "elftools": {"elf"},
        "subprocess": {"process"},
    }
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            wrong += [
                f"{path.stem} imports {n}"
                for n in names
                if n.split(".")[0] in homes and room(path) not in homes[n.split(".")[0]]
            ]
    assert wrong == []
