"""The documentation, held against the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from venvpkg import verify
from venvpkg.keys import KEYS, Key

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"

KINDS = {
    "string": "string",
    "list": "list",
    "bool": "true or false",
    "automatic": "true or false",
    "project": "path or false",
    "expose": 'list or "all"',
    "table": "table",
    "records": "list of tables",
}


def row(key: Key) -> str:
    """A key's row of the table in docs/configuration.md."""
    kind = ", ".join(f'"{c}"' for c in key.choices) if key.choices else KINDS[key.kind]
    return f"| `{key.name}` | {kind} | {key.meaning} |"


def test_configuration_page_has_every_key_as_the_code_has_it() -> None:
    """Name, kind and meaning, in the same order, and no other key."""
    text = (DOCS / "configuration.md").read_text()
    assert re.findall(r"^\| `.*\|$", text, re.MULTILINE) == [row(key) for key in KEYS]


def test_checks_page_has_a_section_for_every_check() -> None:
    """What a finding's code means can be looked up."""
    text = (DOCS / "checks.md").read_text()
    codes = {name.removeprefix("check_").upper() for name in dir(verify) if name.startswith("check_v")}
    assert codes <= set(re.findall(r"^## (V\d{3}):", text, re.MULTILINE))


# --- Errors


def raised_codes() -> set[str]:
    """The codes of all errors that the source makes."""
    found = set()
    for path in sorted((TOP / "src/venvpkg").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                wanted = [k.value for k in node.keywords if k.arg == "code"]
                if node.func.id.endswith("Error") and wanted:
                    found |= set(constants(wanted[0], tree, f"{path.name}:{node.lineno}"))
    return found


def constants(value: ast.expr, tree: ast.Module, where: str) -> Iterator[str]:
    """The strings that an expression can be; one that is taken out of a log is another error's code."""
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from constants(one, tree, where)
            yield from constants(other, tree, where)
        case ast.Name(id=name):
            bound = list(bindings(name, innermost(value, tree)))
            assert bound, f"{where}: nothing says what {name} can be"
            for each in bound:
                yield from constants(each, tree, where)
        case ast.Subscript():
            pass
        case _:
            raise AssertionError(f"{where}: {ast.unparse(value)} is not looked into")


def innermost(node: ast.AST, tree: ast.Module) -> ast.FunctionDef:
    """The function that a node stands in."""
    around = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and node in ast.walk(f)]
    return max(around, key=lambda function: function.lineno)


def bindings(name: str, function: ast.FunctionDef) -> Iterator[ast.expr]:
    """What is assigned to a name, by itself, as one of several, or in a loop over a written table."""
    for node in ast.walk(function):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            pairs = [(node.target, row) for row in node.iter.elts]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from (v for t, v in zip(target.elts, value.elts, strict=True) if ast.unparse(t) == name)
            elif ast.unparse(target) == name:
                yield value


def told_in_tests() -> set[str]:
    """The codes that tests hold an error against: a string by itself, or one with ``error[code]``.

    A key, as in ``report["findings"]``, is none.
    """
    found = set()
    for path in sorted((TOP / "tests").rglob("test_*.py")):
        keys = set()
        for node in ast.walk(ast.parse(path.read_text())):
            # The nodes above come first.
            if isinstance(node, ast.Subscript):
                keys.add(node.slice)
            elif isinstance(node, ast.Dict):
                keys |= {key for key in node.keys if key}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in keys:
                found |= {node.value, *re.findall(r"error\[([a-z-]+)\]", node.value)}
    return found


def test_errors_page_has_a_section_for_every_code() -> None:
    """In alphabetical order, and none for what no program says."""
    assert re.findall(r"^## (.*)$", (DOCS / "errors.md").read_text(), re.MULTILINE) == sorted(raised_codes())


def test_every_error_is_provoked_by_a_test() -> None:
    """An error that no test has seen may name what is not there, or be a crash itself."""
    assert sorted(raised_codes() - told_in_tests()) == []
