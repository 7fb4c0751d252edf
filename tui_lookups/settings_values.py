"""Values of settings as people write them: how each is read, and printed so that it can be read again.

A setting is a field `name: Annotated[TYPE, KIND("what it is", ...)] = default` of `Settings`. TYPE is what
the program sees and holds the limits; KIND, one of the functions below, says in words what is allowed and
how a text from a flag, a variable or config.toml becomes that type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

from msgspec import Meta

from tui_lookups.home import expanded, expanded_text

MOST_LAYERS = 10_000

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(I?)B?", re.ASCII | re.IGNORECASE)
_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_YES, _NO = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")

Plain: TypeAlias = str | int | float | bool
Reader: TypeAlias = Callable[[Any], Any]
Writer: TypeAlias = Callable[[Any], Plain]

# --- types with their limits ---

Text = Annotated[str, Meta(min_length=1)]
DeviceName = Annotated[str, Meta(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$")]
Url = Annotated[str, Meta(pattern=r"^https?://")]
From0 = Annotated[int, Meta(ge=0)]
From1 = Annotated[int, Meta(ge=1)]
From2 = Annotated[int, Meta(ge=2)]
Amount = Annotated[float, Meta(ge=0)]
Above0 = Annotated[float, Meta(gt=0)]
LayerNumbers = Annotated[tuple[int, ...], Meta(min_length=1)]

# --- kinds ---


def _plain(value: Any) -> Plain:
    return value if isinstance(value, bool | int | float) else str(value)


def says(
    what: str,
    allowed: str,
    read: Reader,
    *,
    none: str | None = None,
    write: Writer = _plain,
    also: tuple[dict[str, Any], ...] = (),
) -> Meta:
    """What a setting is (`what`), what may be written (`allowed`), and how that is read and written.

    `read` makes a value of the field's type, or leaves what it does not know for the type to refuse; it
    may raise ValueError. `write` is its way back, to what config.toml would say. `none` is the word for
    None: neither TOML nor the environment has a null. `also` are the JSON schemas of what config.toml may
    say besides the field's own type.
    """
    extra = {"allowed": allowed, "read": read, "write": write, "none": none, "also": also}
    return Meta(description=what, extra=extra)


def text(what: str, allowed: str, *, none: str | None = None) -> Meta:
    """A name; "~" at its beginning is the home folder."""
    return says(what, allowed, _home, none=none)


def choice(what: str, literal: Any) -> Meta:
    """One of the words of a Literal."""
    return says(what, ", ".join(get_args(literal)), _as_is)


def word(what: str, allowed: str) -> Meta:
    """A word without spaces around it."""
    return says(what, allowed, lambda value: value.strip() if isinstance(value, str) else value)


def switch(what: str) -> Meta:
    """True or false."""
    return says(what, "true, false", _read_bool)


def number(what: str, allowed: str, *, none: str | None = None) -> Meta:
    """A whole or decimal number, as the field's type says."""
    return says(what, allowed, _read_number, none=none)


def amount(what: str, allowed: str, *, none: str | None = None) -> Meta:
    """A count with a unit: "20GB", "512MiB", "2M" or a plain number."""
    return says(what, allowed, _read_size, none=none, also=({"type": "string", "pattern": "^[0-9]"},))


def path(what: str, allowed: str, *, none: str | None = None) -> Meta:
    """A file or folder; "~" at its beginning is the home folder."""
    return says(what, allowed, _read_path, none=none)


def layer_list(what: str) -> Meta:
    """Layers as "9-11", 3, [0, 2] or "0,2,5-7"; "all" for None."""
    also: tuple[dict[str, Any], ...] = ({"type": "string", "pattern": "^[0-9, -]+$"}, {"type": "integer"})
    allowed = "all, or layers from 0 like 9-11, 3 or 0,2,5-7"
    return says(what, allowed, _read_layers, none="all", write=format_layers, also=also)


def key_table(what: str) -> Meta:
    """A table of action ids and keys, or both as text: "walk.heads=f5 app.theme=C,f6"."""
    allowed = 'a table of actions and keys, or a text like "walk.heads=f5 app.theme=C,f6"'
    return says(what, allowed, _read_keys, write=format_keys, also=({"type": "string"}, {"type": "object"}))


# --- texts ---


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers of "9-11", "3" or "0,2,5-7": sorted, each once. Raises ValueError on anything else."""
    layers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = _LAYERS.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is neither a layer nor a range of layers")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= MOST_LAYERS:
            raise ValueError(f"{part!r} is not a valid range of layers")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def format_layers(layers: tuple[int, ...] | None) -> str:
    """The shortest text that `parse_layers` reads back as `layers`; "all" for None."""
    if layers is None:
        return "all"
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_keys(text: str) -> dict[str, str]:
    """Keys by action of "walk.heads=f5 app.theme=C,f6". Raises ValueError on anything else."""
    keys: dict[str, str] = {}
    for part in text.split():
        action, equals, key = part.partition("=")
        if not (action and equals and key):
            raise ValueError(f"{part!r} is not a valid action=key")
        keys[action] = key
    return keys


def format_keys(keys: Mapping[str, str]) -> str:
    """The text that `parse_keys` reads back as `keys`."""
    return " ".join(f"{action}={key}" for action, key in keys.items())


def parse_size(text: str) -> int:
    """Bytes in "20GB" (powers of ten), "20GiB" (powers of two) or "1000". Raises ValueError otherwise."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a valid size")
    unit = match[2].upper()
    return int(float(match[1]) * (_BINARY_UNITS[unit] if match[3] else _UNITS[unit]))


def _as_is(value: object) -> object:
    return value


def _home(value: object) -> object:
    """ "~/models" as a shell would read it; also in the file and in the environment."""
    return expanded_text(value) if isinstance(value, str) and value.startswith("~") else value


def _read_path(value: object) -> object:
    if isinstance(value, str | Path) and str(value):
        return expanded(value)
    return value


def _read_bool(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in _YES + _NO:
        return value.strip().lower() in _YES
    return value


def _read_number(value: object) -> object:
    if isinstance(value, str):
        value = int(value) if _WHOLE.fullmatch(value.strip()) else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is meant")
    return value


def _read_size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _read_keys(value: object) -> object:
    if isinstance(value, str):
        return parse_keys(value)
    return dict(_flattened(value)) if isinstance(value, dict) else value


def _flattened(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """TOML reads `walk.heads = "f5"` as a table in a table, and `["C", "f6"]` is "C,f6"."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{before}{name}.")
        elif isinstance(value, list):
            yield before + name, ",".join(map(str, value))
        else:
            yield before + name, value


def _read_layers(value: object) -> object:
    if isinstance(value, str):
        return parse_layers(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_layers(str(value))
    if isinstance(value, list | tuple):
        return parse_layers(",".join(str(layer) for layer in value)) if value else ()
    return value
