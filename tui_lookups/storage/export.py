"""Export documents: one JSON file, valid against export.schema.json when it is written and when it is opened.

1. Writing: dataclass -> plain JSON -> schema -> a temporary file beside the target -> rename. Without
   `overwrite` a file that exists is never replaced.
2. Reading: size -> JSON -> schema_version (a newer one is named, an older one brought up) -> schema ->
   dataclass. Nothing of a file that fails one of these is used.
"""

from __future__ import annotations

import json
import stat
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tui_lookups.errors import ExportError
from tui_lookups.home import expanded
from tui_lookups.results import EXPORT_VERSION, ExportDocument
from tui_lookups.storage import codec
from tui_lookups.storage.files import reason, write_atomically
from tui_lookups.storage.leftovers import sweep

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

MOST_BYTES = 256 * 1024 * 1024
"""Largest file that `read_export` opens."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of an export document (draft 2020-12), as shipped with the package."""
    text = (files("tui_lookups.storage") / "export.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    # References are resolved once, here: following them for every token takes twice the time.
    return Draft202012Validator(_without_references(schema(), schema()["$defs"]))


def _without_references(part: Any, definitions: dict[str, Any]) -> Any:
    """A schema with every "#/$defs/..." put in its place; ours refers to no definition from within itself."""
    if isinstance(part, list):
        return [_without_references(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _without_references(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {key: _without_references(each, definitions) for key, each in part.items() if key != "$defs"}


def check_name(path: Path) -> None:
    """Raise ExportError for a name that promises another format than JSON, such as out.csv."""
    if path.suffix.casefold() not in ("", ".json"):
        raise ExportError(
            f"An export is a JSON document, but {path.name} names another format.",
            "Name a file that ends in .json: other formats come later.",
        )


def write_export(document: ExportDocument, path: Path, overwrite: bool = False) -> Path:
    """Write `document` to `path` as indented JSON, all of it or nothing; answers the path written.

    Raises ExportError when the name is another format's, the document does not fit the schema, the place
    cannot be written, or the file exists and `overwrite` is False; NumericalError for a NaN or infinity.
    """
    path = expanded(path)
    check_name(path)
    plain = codec.to_plain(document)
    if not document.ablations:
        del plain["ablations"]
    problem = _first_problem(plain)
    if problem is not None:
        raise ExportError(
            f"The selection cannot be exported: {problem}.", "Please report this: it is a defect."
        )
    data = json.dumps(plain, allow_nan=False, ensure_ascii=True, indent=1).encode("ascii") + b"\n"
    try:
        _check_place(path)
        # Of a link, the file it names is replaced, not the link.
        target = path.resolve() if path.is_symlink() else path
        write_atomically(target, data, overwrite=overwrite)
        sweep(target.parent)  # what an export that was killed has left there
    except FileExistsError as error:
        raise ExportError(f"{path} exists already.", "Name another file, or ask to overwrite it.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ExportError(
            f"{path} could not be written: {reason(error)}.", "Name a file elsewhere, or make room."
        ) from error
    return path


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"{path} is a folder.", "Name a file in it, such as lookups.json.")
    if not path.parent.is_dir():
        raise ExportError(f"There is no folder {path.parent}.", "Make it first, or name another file.")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ExportError(f"{path} is not a regular file.", "Name another file.")


def read_export(path: Path) -> ExportDocument:
    """Open an exported document. Raises ExportError for a file that is missing, too large or no export."""
    path = expanded(path)
    plain, data = _read_json(path)
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if type(version) is int and version > EXPORT_VERSION:
        raise ExportError(
            f"{path} has schema version {version}; this program knows {EXPORT_VERSION}.",
            "Open it with a newer lookups-tui.",
        )
    older = type(version) is int and 1 <= version < EXPORT_VERSION
    if older:
        _bring_up(plain)
    problem = _first_problem(plain)
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
    bodies = _objects([each.get("prompt") for each in prompts])
    first = plain["schema_version"] == 1
    if any("copies" in body for body in bodies) or (
        first and any("kind" in each or "context" in each for each in (*prompts, *heads))
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
    return [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []


def _at(part: Any, *keys: str) -> Any:
    """What lies under these keys; None where something else does."""
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    return part


def _read_json(path: Path) -> tuple[Any, bytes]:
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


def _first_problem(plain: object) -> str | None:
    """Where and why `plain` breaks the schema, None when it does not."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(plain))
    if error is None:
        return None
    # Told in our own words where the library would print the whole value, which may be megabytes.
    text = error.message if len(error.message) <= 200 else f"does not satisfy {error.validator!r}"
    return f"at {error.json_path[:200]}: {text}"
