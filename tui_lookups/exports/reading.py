"""Reading an export: size -> JSON -> schema version -> schema -> dataclass.

A newer version is named, an older one brought up to this one. Nothing of a file that fails one of these steps
is used.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, NoReturn

from tui_lookups.errors import ExportError
from tui_lookups.exports.document import EXPORT_VERSION, ExportDocument
from tui_lookups.exports.schema import first_problem
from tui_lookups.home import expanded
from tui_lookups.storage import codec
from tui_lookups.storage.files import reason

MOST_BYTES = 256 * 1024 * 1024
"""Largest file that `read_export` opens."""


def read_export(path: Path) -> ExportDocument:
    """Open an exported document. Raises ExportError for a file that is missing, too large or no export."""
    path = expanded(path)
    return parse_export(path, *read_json(path))


def parse_export(path: Path, plain: Any, data: bytes) -> ExportDocument:
    """The document that a file's JSON is. Raises ExportError where it is none."""
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if type(version) is int and version > EXPORT_VERSION:
        raise ExportError(
            f"{path} has schema version {version}; this program knows {EXPORT_VERSION}.",
            "Open it with a newer lookups-tui.",
        )
    older = type(version) is int and 1 <= version < EXPORT_VERSION
    if older:
        _bring_up(plain)
    problem = first_problem(plain)
    if problem is not None:
        _refuse(path, problem)
    if older:
        data = json.dumps(plain).encode("ascii")
    try:
        return codec.from_json_bytes(ExportDocument, data)
    except codec.DecodeError as error:
        _refuse(path, error.message.rstrip("."), error)


def _bring_up(plain: dict[str, Any]) -> None:
    """Give a document of an earlier version what it did not say; what has another shape is left as it is.

    Version 2 did not look for copies. Version 1 knew top prompts only, and a head's texts by its attributions
    or, over all prompts, by the setting.
    """
    prompts, heads = _objects(plain.get("prompts")), _objects(plain.get("heads"))
    bodies = _objects([item.get("prompt") for item in prompts])
    first = plain["schema_version"] == 1
    if any("copies" in body for body in bodies) or (
        first and any("kind" in item or "context" in item for item in (*prompts, *heads))
    ):
        return  # of a later version, whatever it says: the schema refuses it
    plain["schema_version"] = EXPORT_VERSION
    for body in bodies:
        body["copies"] = None
    if not first:
        return
    for prompt in prompts:
        prompt["kind"] = "top"
    trimmed = _at(plain, "provenance", "parameters", "trimmed") is True
    for head in heads:
        head["kind"] = "top"
        head["context"] = _at(head, "attributions", "context") or ("trimmed" if trimmed else "full")


def _objects(part: object) -> list[dict[str, Any]]:
    return [item for item in part if isinstance(item, dict)] if isinstance(part, list) else []


def _at(part: Any, *keys: str) -> Any:
    """What lies under these keys; None where something else does."""
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    return part


def read_json(path: Path) -> tuple[Any, bytes]:
    """A JSON file, and its bytes. Raises ExportError for one that is missing, too large or no JSON."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ExportError(f"{path} is not a regular file.", "Name a file that lookups-tui exported.")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ExportError(
            f"{path} could not be read: {reason(error)}.", "Name a file that lookups-tui exported."
        ) from error
    if len(data) > MOST_BYTES:
        raise ExportError(
            f"{path} is larger than {MOST_BYTES // 2**20} MiB.", "Export fewer prompts into one document."
        )
    try:
        return json.loads(data, parse_constant=_no_constant), data
    except RecursionError as error:
        _refuse(path, "it is nested too deeply", error)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        _refuse(path, f"it is not JSON ({error})", error)


def _refuse(path: Path, problem: str, cause: Exception | None = None) -> NoReturn:
    raise ExportError(
        f"{path} is no export of lookups-tui: {problem}.", "Name a file that lookups-tui exported."
    ) from cause


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
