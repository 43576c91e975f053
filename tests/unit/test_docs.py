"""The documentation, held against the code."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from documents import broken_links, pages_to_run, read_blocks
from venvpkg import verify
from venvpkg.cli import venvpkg
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


# The man pages, and the pages that a reader follows.


def section(text: str, title: str) -> str:
    """What stands under a heading of the first level of a POD."""
    return re.split(r"^=head1 ", text.split(f"=head1 {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def options_in(text: str) -> set[str]:
    """The long options that a text of a POD names as its own."""
    return set(re.findall(r"B<(?:-\w>, B<)?(--[a-z][\w-]*)>", text))


def options_of(command: click.Command) -> set[str]:
    """The long options that a command of click declares."""
    return {o for p in command.params if isinstance(p, click.Option) for o in p.opts if o.startswith("--")}


COMMANDS = {name: made for name, made in venvpkg.commands.items() if not made.hidden}
PAGE = (DOCS / "venvpkg.pod").read_text()


def test_manual_has_every_command() -> None:
    """And no other, in the synopsis and in the list."""
    assert set(re.findall(r"^B<venvpkg ([\w-]+)>", section(PAGE, "SYNOPSIS"), re.M)) == set(COMMANDS)
    assert set(re.findall(r"^=item B<([\w-]+)>$", section(PAGE, "COMMANDS"), re.M)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_manual_has_every_option_of_a_command(name: str) -> None:
    """And no other: in its line of the synopsis, and where it is described."""
    lines = [p for p in section(PAGE, "SYNOPSIS").split("\n\n") if p.strip().startswith(f"B<venvpkg {name}>")]
    item = re.split(rf"^=item B<{name}>$", section(PAGE, "COMMANDS"), flags=re.M)[1]
    told = options_in(re.split(r"^=(?:item|back)", item, flags=re.M)[0])
    assert options_in("\n".join(lines)) == options_of(COMMANDS[name])
    assert told == options_of(COMMANDS[name])


def test_manual_has_the_options_before_a_command() -> None:
    """Those of the group, with --help, which click adds."""
    assert options_in(section(PAGE, "OPTIONS")) == options_of(venvpkg) | {"--help"}


def test_page_of_the_configuration_has_every_key_as_the_code_has_it() -> None:
    """venvpkg.toml(5): name, kind and meaning of each key, and no other key."""
    text = (DOCS / "venvpkg.toml.pod").read_text()
    told = re.findall(r"^=item B<([\w-]+)> \((.*)\)\n\n(.*)$", text, re.M)
    wanted = [(key.name, row(key).split(" | ")[1], key.meaning) for key in KEYS]
    assert sorted(told) == sorted(wanted)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.pod")), ids=lambda p: p.name)
def test_manual_is_sound(page: Path) -> None:
    """podchecker(1) has nothing to say."""
    done = subprocess.run(["podchecker", "-warnings", page], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr


def test_manuals_are_installed() -> None:
    """Each POD in docs/ becomes a man page of the package dh-venvpkg."""
    listed = (DOCS.parent / "debian/dh-venvpkg.manpages").read_text().split()
    for page in DOCS.glob("*.pod"):
        number = 5 if page.stem.endswith(".toml") else 1
        assert f"debian/man/{page.stem}.{number}" in listed


PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS.parent)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the checkout, and to a heading in it."""
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    """A missing file, and a heading that is not there; what is in a block of code is no link."""
    text = "# A title\n[a](#a-title) [b](#b) [c](c.md) [d](https://example.org)\n```sh\n[e](e.md)\n```\n"
    (tmp_path / "page.md").write_text(text)
    assert broken_links(tmp_path / "page.md") == ["#b", "c.md"]


def test_every_command_is_run_or_says_why_not() -> None:
    """A sh block is in a page that tests/package/test_documentation.py follows, or has a reason."""
    followed = set(pages_to_run())
    every = [(p, b) for p in DOCS.rglob("*.md") for b in read_blocks(p) if b.language == "sh"]
    silent = [str(b) for page, b in every if page not in followed and not (b.not_run or b.run_by)]
    assert silent == []
    for block in (b for _, b in every if b.run_by):
        test = (TOP / block.run_by).read_text()
        # What is around them, apt and echo and wget, a test may do in another way.
        for words in (line.split() for line in block.commands if line.startswith("venvpkg ")):
            assert re.search(rf"\b{words[1]}\b", test), f"{block}: {words}"
    assert [str(b) for _, b in every if b.not_run is not None and len(b.not_run.split()) < 4] == []
    # Few, or the rest proves little.
    left_out = [b for page, b in every if page in followed and b.not_run is not None]
    run = [b for page, b in every if page in followed and b.not_run is None]
    assert len(left_out) <= 1 and len(run) > 4 * len(left_out), (len(left_out), len(run))


def test_index_has_every_page() -> None:
    """docs/index.md links each page once, in one of four groups."""
    text = (DOCS / "index.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == ["Tutorial", "How to", "Reference", "Explanation"]
    linked = re.findall(r"^- \[.*?\]\(([^)#]+)\)", text, re.M)
    pages = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md")} - {"index.md"}
    assert len(linked) == len(set(linked)) and pages <= set(linked)


def said_commands() -> list[tuple[str, str]]:
    """Every call of venvpkg that a page shows: the page, and the words behind "venvpkg"."""
    found = []
    for page in (TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))):
        text = page.read_text()
        spans = re.findall(r"`venvpkg ([^`\n]+)`", text)
        fenced = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        lines = re.findall(r"^    (?:\$ )?venvpkg ([^`\n]+)$", text, re.MULTILINE)
        lines += re.findall(r"^(?:sudo )?venvpkg ([^`\n]+)$", fenced, re.MULTILINE)
        found += [(page.name, words) for words in (*spans, *lines)]
    return found


@pytest.mark.parametrize(("page", "words"), sorted(set(said_commands())))
def test_a_command_that_a_page_shows_is_one(page: str, words: str) -> None:
    """With options that it has; what stands for something else is written in capitals."""
    plain = re.split(r" [|>#;&]|…", words)[0]
    name, *rest = shlex.split(plain.replace("[", "").replace("]", ""))
    if name.startswith("-"):
        assert name in {option for each in venvpkg.params for option in each.opts} | {"--help"}
        return
    if name.isupper():
        return
    command = venvpkg.commands[name]
    # An option that is named by itself has no value.
    value = ["x"] if rest and rest[-1].startswith("--") else []
    command.make_parser(click.Context(command)).parse_args([*rest, *value])


def test_pages_show_commands() -> None:
    """Or the test above would hold of nothing."""
    assert len(said_commands()) > 80
