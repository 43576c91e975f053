"""The JSON schema: what editors and validate-pyproject are told, held against what a build takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from builds import run_cli
from fuzzing import campaign
from venvpkg.configuration import read_configuration
from venvpkg.errors import VenvpkgError
from venvpkg.keys import KEYS, Key
from venvpkg.schema import DRAFT, make_schema, tool_schema
from venvpkg.spec import find_deeper_mistakes, find_mistakes

VALIDATOR = Draft7Validator(make_schema())

# What TOML can write, but for dates, which JSON has not.
SCALARS: tuple[Any, ...] = ("", "text", "a\0b", "all", "wheel==1", True, False, 3, 1.5)
VALUES: tuple[Any, ...] = (
    *SCALARS,
    [],
    ["x"],
    ["a\0b"],
    ["x", 1],
    {},
    {"x": 1},
    {"x": "y"},
    {"x": {}},
    {"x": {"y": 1}},
    {"x": {"y": "z"}},
    {"x": {"y": ["z"]}},
    {"x": {"y": [1]}},
    {"x": {"y": "a\0b"}},
    {"x": {"a\0b": "y"}},
    {"x": "Suggests"},
    [{}],
    [[]],
    [{"code": "V003", "path": "*", "reason": "because"}],
    [{"code": "V003", "path": "*", "reason": " "}],
    [{"code": "V003", "path": "*", "reason": 1}],
    [{"code": "V003", "path": "*", "reason": "because", "until": "later"}],
)

# One value that a build takes for each kind of key.
GOOD: Mapping[str, Any] = {
    "string": "/opt",
    "list": [],
    "bool": True,
    "automatic": False,
    "project": False,
    "expose": "all",
    "table": {},
    "records": [{"code": "V003", "path": "*", "reason": "because"}],
}
# Elements of lists that only some keys take.
WORDS = {
    "bundle-keep": ("tests", "test"),
    "seed": ("pip", "pip==24.0", "wheel>1", "poetry", "pip 24"),
    "build-depends-of": ("scipy", "No Such"),
    "prune": ("tests", "*/big.bin"),
    "extras": ("web", ""),
}


def is_valid(values: Mapping[str, Any]) -> bool:
    """Whether the schema takes a table."""
    return bool(VALIDATOR.is_valid(values))


def mistakes(values: Mapping[str, Any]) -> list[str]:
    """What a build says of it."""
    return [*find_mistakes(values), *find_deeper_mistakes("app", values)]


def test_the_schema_is_one_of_draft_7() -> None:
    """With a name, without which validate-pyproject refuses it, and of the draft that it wants."""
    Draft7Validator.check_schema(make_schema())
    assert make_schema()["$schema"] == DRAFT
    assert make_schema()["$id"].startswith("https://")


def test_every_key_is_in_it_with_its_meaning() -> None:
    """In the order of the reference, and `packages` after them."""
    told = make_schema()["properties"]
    assert list(told) == [*(key.name for key in KEYS), "packages"]
    assert [told[key.name]["description"] for key in KEYS] == [key.meaning for key in KEYS]


@pytest.mark.parametrize("key", KEYS, ids=lambda k: k.name)
def test_a_right_value_is_valid_and_a_number_is_not(key: Key) -> None:
    """For every key, also in the table of one package."""
    right = {key.name: key.choices[0] if key.choices else GOOD[key.kind]}
    right |= {"env-name": "app"} if key.name == "env-name" else {}
    assert is_valid(right) and is_valid({"packages": {"app": right}})
    assert mistakes(right) == []
    assert not is_valid({key.name: 1}) and not is_valid({"packages": {"app": {key.name: 1}}})


@pytest.mark.parametrize("key", KEYS, ids=lambda k: k.name)
def test_the_schema_agrees_with_the_build(key: Key) -> None:
    """What has the wrong type is refused by both; what a build takes is valid."""
    words = [[word] for word in WORDS.get(key.name, ())]
    for value in (*VALUES, *key.choices, *words):
        values = {key.name: value}
        if find_mistakes(values):
            assert not is_valid(values), value
        elif not find_deeper_mistakes("app", values):
            assert is_valid(values), value


@pytest.mark.parametrize("name", [*WORDS, "demote", "accept"])
def test_what_only_some_keys_take_is_in_the_schema(name: str) -> None:
    """Where the values are few, the schema is as strict as the build."""
    for value in (*VALUES, *([word] for word in WORDS.get(name, ()))):
        if value not in (["x"], ["text"]) or name != "prune":
            assert is_valid({name: value}) == (not mistakes({name: value})), value


JSON = st.recursive(
    st.sampled_from(SCALARS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


TABLES = st.dictionaries(st.sampled_from([*(key.name for key in KEYS), "extra"]), JSON, max_size=3)


@campaign(TABLES, examples=150)
def test_any_table_is_judged_alike(values: dict[str, Any]) -> None:
    """Unknown keys and wrong types, alone and together."""
    if find_mistakes(values):
        assert not is_valid(values)
    elif not find_deeper_mistakes("app", values):
        assert is_valid(values)


@pytest.mark.parametrize(
    ("packages", "right"),
    [
        ({}, True),
        ({"app": {}}, True),
        ({"app": {"extras": ["web"]}, "app-2": {"layers": True}}, True),
        ({"app": {"extra": ["web"]}}, False),
        ({"app": {"packages": {}}}, False),
        ({"app": 1}, False),
        ([], False),
    ],
)
def test_tables_of_packages_are_judged_as_the_build_does(
    tmp_path: Path, packages: object, right: bool
) -> None:
    """They have the same keys, but no packages of their own."""
    (tmp_path / "pyproject.toml").write_text(f"[tool.venvpkg]\npackages = {to_toml(packages)}\n")
    try:
        read_configuration(tmp_path)
    except VenvpkgError:
        assert not right
    else:
        assert right
    assert is_valid({"packages": packages}) is right


def to_toml(value: object) -> str:
    """A value as TOML writes it, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {to_toml(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value)


def test_command_prints_the_schema_that_validate_pyproject_gets(tmp_path: Path) -> None:
    """One schema, both ways."""
    printed = run_cli(["schema"], tmp_path, {})
    assert printed.returncode == 0 and printed.stderr == ""
    assert json.loads(printed.stdout) == make_schema() == tool_schema("venvpkg")
