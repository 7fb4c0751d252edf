"""Results from bytes that a checksum has shown to be what `codec.to_json_bytes` wrote: built, not validated.

1. The standard library reads the JSON; each class's fields say what to build of each value, worked out
   once a class.
2. What has not the shape is a defect or a forgery that carries a checksum: it raises ValueError, TypeError
   or KeyError, which the codec reports as it does every other misfit.

pydantic would take ten times as long to import as this takes to answer from the cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from tui_lookups.ids import HeadId, NeuronId

T = TypeVar("T")
Build = Callable[[Any], Any]


def build(type_: type[T], data: bytes) -> T:
    """The value of `type_` that `data` spells. Raises ValueError, TypeError or KeyError."""
    value: T = _builder(cast(Any, type_))(json.loads(data))
    return value


@cache
def _builder(type_: Any) -> Build:
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in (NeuronId, HeadId):
        parse: Build = type_.parse
        return parse
    if is_dataclass(type_):
        return _dataclass_builder(type_)
    if type_ is float:
        return float  # 1.0 may be written 1
    if origin in (Union, UnionType):
        return _union_builder(arguments)
    if origin is tuple:
        return _tuple_builder(arguments)
    if origin is dict and arguments[0] is str:
        value = _builder(arguments[1])
        return lambda found: {key: value(each) for key, each in found.items()}
    if origin is Literal or type_ in (str, int, bool, NoneType):
        return _as_it_is
    raise TypeError(f"no result has a field of type {type_}")


def _as_it_is(value: Any) -> Any:
    return value


def _dataclass_builder(type_: Any) -> Build:
    hints = get_type_hints(type_)
    parts = tuple((field.name, _builder(hints[field.name])) for field in fields(type_))

    def make(found: Any) -> Any:
        if len(found) != len(parts):
            raise ValueError(f"the fields of {type_.__name__} are not these")
        return type_(*[part(found[name]) for name, part in parts])

    return make


def _union_builder(arguments: tuple[Any, ...]) -> Build:
    """X | None, or several plain types that JSON tells apart."""
    others = [each for each in arguments if each is not NoneType]
    builders = {_builder(each) for each in others} if len(others) > 1 else {_builder(others[0])}
    if builders <= {_as_it_is, float}:
        return _as_it_is if len(others) > 1 else _none_or(_builder(others[0]))
    if len(others) > 1:
        raise TypeError(f"no result has a field of type {arguments}")
    return _none_or(_builder(others[0]))


def _none_or(other: Build) -> Build:
    return lambda value: None if value is None else other(value)


def _tuple_builder(arguments: tuple[Any, ...]) -> Build:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        each = _builder(arguments[0])
        if each is _as_it_is:
            return tuple
        return lambda found: tuple([each(value) for value in found])
    parts = tuple(_builder(each) for each in arguments)
    return lambda found: tuple([part(value) for part, value in zip(parts, found, strict=True)])
