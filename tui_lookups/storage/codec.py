"""The dataclasses of results/ to JSON and back.

1. Writing: pydantic turns a dataclass into plain objects (keys in field order, names as "L9.N1985"), and
   the standard library prints them. NaN and infinite values are refused with the path to the first one;
   JSON has no such numbers, and a null in their place would be a silent lie.
2. Reading: pydantic validates strictly ("1" is no number), then the result is turned back into plain
   objects and compared with what was read. That refuses what pydantic lets pass: fields that the class
   does not have, and numbers that are not finite.

pydantic is imported when the first value is coded, not with this module: it takes longer than a first paint
has to spare.
"""

from __future__ import annotations

import json
import math
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tui_lookups.errors import LookupsError, NumericalError
from tui_lookups.results import SCHEMA_VERSION
from tui_lookups.version import __version__

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class DecodeError(LookupsError):
    """Bytes that are not the JSON of the type asked for."""


def generator() -> str:
    """Who writes the documents: "lookups-tui <version>"."""
    return f"lookups-tui {__version__}"


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(type_)


def to_plain(value: object) -> dict[str, Any]:
    """A result as plain JSON objects (dict, list, str, int, float, bool, None), keys in field order.

    Raises NumericalError when a number is NaN or infinite, TypeError when `value` is not a dataclass or
    holds a value of another type than its fields say.
    """
    plain = _dump(value)
    _refuse_non_finite(plain, type(value).__name__)
    return plain


def to_json_bytes(value: object) -> bytes:
    """A result as compact UTF-8 JSON. Raises as `to_plain` does."""
    plain = _dump(value)
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode("ascii")
    except ValueError:
        _refuse_non_finite(plain, type(value).__name__)  # says where
        raise


def from_json_bytes(type_: type[T], data: bytes, *, ours: bool = False) -> T:
    """The value of `type_` that `data` (JSON) spells. Raises DecodeError when it does not fit exactly.

    `ours` says that a checksum has shown the bytes to be what `to_json_bytes` wrote; they are then built
    without pydantic (trusted.py).
    """
    name = type_.__name__
    if ours:
        from tui_lookups.storage import trusted

        try:
            return trusted.build(type_, data)
        except (ValueError, TypeError, KeyError, RecursionError, LookupsError) as error:
            raise DecodeError(f"This is not the JSON of a {name}: {error}.") from error
    from pydantic import ValidationError

    try:
        value: T = _adapter(cast(Any, type_)).validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DecodeError(f"This is not the JSON of a {name}: at {where}: {first['msg']}.") from error
    try:
        plain, read = to_plain(value), json.loads(data)
        same = plain == read or _holds(plain, read)  # what this version wrote is equal as it is
    except NumericalError as error:
        raise DecodeError(f"This is not the JSON of a {name}: {error.message}") from error
    if not same:
        raise DecodeError(
            f"This is not the JSON of a {name}: it has fields or spellings that a {name} has not."
        )
    return value


def _holds(plain: object, read: object) -> bool:
    """Whether `plain` is what was read. A key may be left out where the field has a default: an earlier
    version wrote what was read, and did not know the field.
    """
    if isinstance(plain, dict) and isinstance(read, dict):
        return all(key in plain and _holds(plain[key], each) for key, each in read.items())
    if isinstance(plain, list) and isinstance(read, list):
        return len(plain) == len(read) and all(map(_holds, plain, read))
    return plain == read


def document(payload: object) -> dict[str, Any]:
    """The JSON document of a headless answer: schema_version, generator, then the dataclass's fields."""
    return {"schema_version": SCHEMA_VERSION, "generator": generator(), **to_plain(payload)}


def _dump(value: object) -> dict[str, Any]:
    """`to_plain` with NaN and infinite numbers still in it."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a results dataclass is expected, not {type(value).__name__}")
    from pydantic_core import PydanticSerializationError

    try:
        plain: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json", warnings="error")
    except PydanticSerializationError as error:
        raise TypeError(
            f"{type(value).__name__} holds a value that its fields do not allow: {error}"
        ) from error
    return plain


def _refuse_non_finite(plain: object, path: str) -> None:
    """Raise NumericalError naming the first NaN or infinite number below `path`."""
    if isinstance(plain, float):
        if not math.isfinite(plain):
            raise NumericalError(
                f"{path} is {plain}, which is not a number that can be kept or printed.",
                "Try --dtype float32; half precision overflows in some models.",
            )
    elif isinstance(plain, dict):
        for key, value in plain.items():
            _refuse_non_finite(value, f"{path}.{key}")
    elif isinstance(plain, list):
        for number, value in enumerate(plain):
            _refuse_non_finite(value, f"{path}[{number}]")
