"""What a config.toml looks like: one with every setting at its default, and the JSON schema of them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tui_lookups.config_file import config_text
from tui_lookups.settings import NOT_IN_FILE, Settings, plain_value, setting_fields


def default_config_text() -> str:
    """A config.toml with every setting at its default, commented out."""
    lines = [
        "# Settings of lookups-tui. A flag outranks the environment (LOOKUPS_MODEL, ...), which outranks",
        "# this file. Take the # off a line to change it.",
    ]
    defaults = Settings()
    for field in setting_fields().values():
        if field.name not in NOT_IN_FILE:
            lines += [
                "",
                f"# {field.what} Allowed: {field.allowed}.",
                f"# {field.name} = {config_text(plain_value(field, getattr(defaults, field.name)))}",
            ]
    return "\n".join(lines) + "\n"


def schema_text() -> str:
    """`config_schema` as the file that ships with the package."""
    return json.dumps(config_schema(), indent=2) + "\n"


def config_schema() -> dict[str, Any]:
    """The JSON schema of config.toml: for each setting what it is, its default, and what may be written."""
    properties, defaults = {}, Settings()
    for field in setting_fields().values():
        if field.name in NOT_IN_FILE:
            continue
        default = getattr(defaults, field.name)
        own = msgspec.json.schema(field.type, schema_hook=lambda _: {"type": "string", "minLength": 1})
        spellings = [kind for kind in own.get("anyOf", [own]) if kind != {"type": "null"}]
        spellings += field.also
        if field.none is not None:
            spellings.append({"const": field.none})
        written = spellings[0] if len(spellings) == 1 else {"anyOf": spellings}
        properties[field.name] = {**written, "description": f"{field.what} Allowed: {field.allowed}."}
        if not isinstance(default, Path):  # where the cache lies differs from machine to machine
            properties[field.name]["default"] = plain_value(field, default)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.toml of lookups-tui",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
