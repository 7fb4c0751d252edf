"""The dataclasses of results/ to JSON and back.

1. Writing: msgspec turns a dataclass into plain objects (keys in field order, names as "L9.N1985"), holds
   these to the types of its fields, and the standard library prints them. NaN and infinite values are refused
   with the path to the first one; JSON has no such numbers, and a null in their place would be a silent lie.
2. Reading: the standard library reads, msgspec builds and validates strictly ("1" is no number), then the
   result is turned back into plain objects and compared with what was read. That refuses what msgspec lets
   pass: fields that the class does not have, other spellings, and numbers that are not finite.
"""

from __future__ import annotations

import json
import math
from dataclasses import is_dataclass
from typing import Any, TypeVar

from msgspec import convert, to_builtins

from tui_lookups.errors import BadIdError, LookupsError, NumericalError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SCHEMA_VERSION
from tui_lookups.version import __version__

T = TypeVar("T")

_MOST_TEXT = 200


class DecodeError(LookupsError):
    """Bytes that are not the JSON of the type asked for."""


def generator() -> str:
    """Who writes the documents: "lookups-tui <version>"."""
    return f"lookups-tui {__version__}"


def to_plain(value: object) -> dict[str, Any]:
    """A result as plain JSON objects (dict, list, str, int, float, bool, None), keys in field order.

    Raises NumericalError when a number is NaN or infinite, TypeError when `value` is not a dataclass or
    holds a value of another type than its fields say.
    """
    plain: dict[str, Any] = _listed(_dump(value), type(value).__name__)
    return plain


def to_json_bytes(value: object) -> bytes:
    """A result as compact UTF-8 JSON. Raises as `to_plain` does."""
    plain = _dump(value)
    try:
        return _compact(plain)
    except ValueError:
        _listed(plain, type(value).__name__)  # says where
        raise


def from_json_bytes(type_: type[T], data: bytes, *, ours: bool = False) -> T:
    """The value of `type_` that `data` (JSON) spells. Raises DecodeError when it does not fit exactly.

    `ours` says that a checksum has shown the bytes to be what `to_json_bytes` wrote of this type: no field is
    left out then.
    """
    name = type_.__name__
    try:
        read = json.loads(data.decode("utf-8"))  # of bytes it would also take UTF-16
        value = _build(type_, read)
        plain = _unchecked(value)
        if ours and _compact(plain) == data:
            return value
        plain = _listed(plain, name)
    except NumericalError as error:
        raise DecodeError(f"This is not the JSON of a {name}: {error.message}") from error
    except (ValueError, RecursionError) as error:  # msgspec's ValidationError is a ValueError
        why = str(error)
        why = why if len(why) <= _MOST_TEXT else why[:_MOST_TEXT] + "…"  # it may quote what it read
        raise DecodeError(f"This is not the JSON of a {name}: {why}.") from error
    if ours or not _holds(plain, read):
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
    """The JSON document of a headless answer: schema_version, generator, then the dataclass's fields.

    The parts of an exact sum (`contributions`) stand among the fields of what they are the sum of.
    """
    plain = to_plain(payload)
    parts = plain.pop("contributions", {})
    return {"schema_version": SCHEMA_VERSION, "generator": generator(), **parts, **plain}


def _compact(plain: object) -> bytes:
    return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode("ascii")


def _build(type_: type[T], plain: object) -> T:
    """The value of `type_` that plain objects spell. Raises msgspec.ValidationError."""
    return convert(plain, type_, dec_hook=_parsed)


def _dump(value: object) -> dict[str, Any]:
    """`to_plain` with NaN and infinite numbers still in it, and tuples for lists."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a results dataclass is expected, not {type(value).__name__}")
    try:
        checked = _build(type(value), _unchecked(value))  # also makes 1 the float 1.0 where the field is one
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{type(value).__name__} holds a value that its fields do not allow: {error}"
        ) from error
    return _unchecked(checked)


def _unchecked(value: object) -> dict[str, Any]:
    """`_dump` of a value that is of its type."""
    plain: dict[str, Any] = to_builtins(value, enc_hook=_written)
    return plain


def _written(value: object) -> object:
    """What msgspec does not know: names of neurons and heads, and NumPy's float64, which is a float."""
    if isinstance(value, NeuronId | HeadId):
        return str(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no type of a result")


def _parsed(type_: type[Any], value: object) -> object:
    """A neuron or head by its name."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    try:
        return type_.parse(value)
    except BadIdError as error:
        raise ValueError(str(error)) from error


def _listed(plain: Any, path: str) -> Any:
    """Plain objects with lists for tuples. Raises NumericalError naming the first NaN or infinite number."""
    if isinstance(plain, float) and not math.isfinite(plain):
        raise NumericalError(
            f"{path} is {plain}, which is not a number that can be kept or printed.",
            "Try --dtype float32; half precision overflows in some models.",
        )
    if isinstance(plain, dict):
        return {key: _listed(value, f"{path}.{key}") for key, value in plain.items()}
    if isinstance(plain, tuple | list):
        return [_listed(value, f"{path}[{number}]") for number, value in enumerate(plain)]
    return plain
