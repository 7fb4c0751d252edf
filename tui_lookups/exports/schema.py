"""The JSON Schema of export documents, as it ships with the package, and where a document breaks it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of an export document (draft 2020-12), as shipped with the package."""
    text = (files("tui_lookups.exports") / "export.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    # References are resolved once, here: following them for every token takes twice the time.
    return Draft202012Validator(_without_references(schema(), schema()["$defs"]))


def _without_references(part: Any, definitions: dict[str, Any]) -> Any:
    """A schema with every "#/$defs/..." put in its place; no definition of ours refers to itself."""
    if isinstance(part, list):
        return [_without_references(value, definitions) for value in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _without_references(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {key: _without_references(value, definitions) for key, value in part.items() if key != "$defs"}


def first_problem(plain: object) -> str | None:
    """Where and why `plain` breaks the schema, None when it does not."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(plain))
    if error is None:
        return None
    # Told in our own words where the library would print the whole value, which may be megabytes.
    text = error.message if len(error.message) <= 200 else f"does not satisfy {error.validator!r}"
    return f"at {error.json_path[:200]}: {text}"
