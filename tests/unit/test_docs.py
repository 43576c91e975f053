"""The documentation, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

from venvpkg import verify
from venvpkg.keys import KEYS, Key

DOCS = Path(__file__).resolve().parents[2] / "docs"

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
