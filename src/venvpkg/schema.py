"""Says in a JSON schema what ``[tool.venvpkg]`` may hold, for editors and validate-pyproject."""

import json
from typing import Any

from venvpkg.keys import KEYS, Key
from venvpkg.spec import BUNDLE_PARTS, DEBIAN_PACKAGE, PRUNE_PRESETS, SEEDS, Spec

DRAFT = "http://json-schema.org/draft-07/schema#"
# validate-pyproject refuses a schema without a name; nothing is fetched from there (RFC 2606).
IDENTIFIER = "https://venvpkg.invalid/schema.json"
DESCRIPTION = (
    "The table [tool.venvpkg] of pyproject.toml. debian/venvpkg.toml has the same keys at top level, "
    "so this fits that file as a whole."
)

Schema = dict[str, Any]


def make_schema() -> Schema:
    """Return the schema of the configuration (JSON Schema, draft 7).

    It refuses nothing that a build takes, and every unknown key and wrong type. What no schema can say,
    such as whether a relation is one of Debian's, is left to :mod:`venvpkg.spec`.
    """
    keys = {key.name: describe_key(key) for key in KEYS}
    overrides = {
        "description": "Keys that differ for one binary package; empty where none does.",
        "type": "object",
        "properties": {name: {"$ref": f"#/properties/{name}"} for name in keys},
        "additionalProperties": False,
    }
    packages = {
        "description": "The binary packages that get an environment, by name, where there are several.",
        "type": "object",
        "patternProperties": {_whole(DEBIAN_PACKAGE.pattern): overrides},
        "additionalProperties": False,
    }
    return {
        "$schema": DRAFT,
        "$id": IDENTIFIER,
        "title": "venvpkg's configuration",
        "description": DESCRIPTION,
        "type": "object",
        "properties": {**keys, "packages": packages},
        "additionalProperties": False,
    }


def tool_schema(tool_name: str) -> Schema:
    """Every key of ``tool.${tool}``, as ``venvpkg schema`` prints it."""
    # validate-pyproject shows the line above in its help.
    return make_schema()


def to_json(schema: Schema) -> str:
    """Return it as text."""
    return json.dumps(schema, indent=2)


def describe_key(key: Key) -> Schema:
    """Return the schema of one key's value, with its meaning."""
    made = {"description": key.meaning, **_value(key)}
    if key.kind in ("bool", "choice"):
        made["default"] = Spec.__dataclass_fields__[key.name.replace("-", "_")].default
    return made


def _value(key: Key) -> Schema:
    match key.kind:
        case "string":
            return _text()
        case "list":
            return _list(_item(key))
        case "bool" | "automatic":
            return {"type": "boolean"}
        case "project":
            return {"anyOf": [_text(), {"const": False}]}
        case "choice":
            return {"enum": list(key.choices)}
        case "expose":
            return {"anyOf": [{"const": "all"}, _list(_text())]}
        case "records":
            return _list(_finding())
        case "table" if key.name == "demote":
            return _table({"enum": ["Recommends", "Suggests"]})
        case "table":
            setting = {"anyOf": [_text(), _list(_text())]}
            return _table({**_table(setting), "propertyNames": _text()})


def _item(key: Key) -> Schema:
    match key.name:
        case "bundle-keep":
            return {"enum": list(BUNDLE_PARTS)}
        case "prune":
            # Editors offer the presets; any glob is right.
            return {"anyOf": [{"enum": list(PRUNE_PRESETS)}, _text()]}
        case "seed":
            return {"type": "string", "pattern": _whole(rf"({'|'.join(SEEDS)})([=<>~!].+)?")}
        case "build-depends-of":
            return {"type": "string", "pattern": _whole(DEBIAN_PACKAGE.pattern)}
    return _text()


def _text() -> Schema:
    # Neither a path nor an argument of a command may hold a zero byte, which TOML can write.
    return {"type": "string", "pattern": _whole(r"[^\u0000]*")}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _table(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _finding() -> Schema:
    parts = {
        "code": "The check's, such as V003.",
        "path": "Where it was found; a glob.",
        "reason": "Why it is right as it is.",
    }
    return {
        "type": "object",
        "properties": {
            name: {"description": meaning, "type": "string", "pattern": r"\S"}
            for name, meaning in parts.items()
        },
        "required": list(parts),
        "additionalProperties": False,
    }


def _whole(pattern: str) -> str:
    # A schema's pattern may match anywhere; this dialect is understood by Python, JavaScript and Rust alike.
    return f"^{pattern}$"
