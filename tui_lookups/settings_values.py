"""Values of settings as people write them: how each is read, and printed so that it can be read again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

MOST_LAYERS = 10_000

# TOML and the environment have no null, so a word stands for it.
NONE_WORDS = {
    "layers": "all",
    "threads": "auto",
    "batch_tokens": "auto",
    "cache_size_limit": "none",
    "log": "none",
    "atlas_reject": "none",
    "base_url": "auto",
    "token_budget": "none",
    "price_per_million_input": "none",
    "price_per_million_output": "none",
}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(I?)B?", re.ASCII | re.IGNORECASE)
_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers of "9-11", "3" or "0,2,5-7": sorted, each once. Raises ValueError on anything else."""
    layers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = _LAYERS.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is neither a layer nor a range of layers")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= MOST_LAYERS:
            raise ValueError(f"{part!r} is no range of layers")
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


def parse_size(text: str) -> int:
    """Bytes in "20GB" (powers of ten), "20GiB" (powers of two) or "1000". Raises ValueError otherwise."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size")
    unit = match[2].upper()
    return int(float(match[1]) * (_BINARY_UNITS[unit] if match[3] else _UNITS[unit]))


def _read_layers(value: object) -> object:
    if isinstance(value, str):
        return parse_layers(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_layers(str(value))
    if isinstance(value, (list, tuple)):
        return parse_layers(",".join(str(layer) for layer in value)) if value else ()
    return value


def _read_size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _word_for_none(name: str) -> Callable[[object], object]:
    word = NONE_WORDS[name]
    return lambda value: None if isinstance(value, str) and value.strip().lower() == word else value


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is meant")
    return value


def _home(value: Any) -> Any:
    """ "~/models" as a shell would read it; also in the file and in the environment."""
    if isinstance(value, str | Path) and str(value).startswith("~"):
        return Path(value).expanduser() if isinstance(value, Path) else os.path.expanduser(value)
    return value


def _device(value: str) -> str:
    if _DEVICE.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no device")
    return value


Count = Annotated[int, BeforeValidator(_no_bool)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_home)]
Layers = Annotated[
    tuple[int, ...] | None, NoDecode, BeforeValidator(_read_layers), BeforeValidator(_word_for_none("layers"))
]
Size = Annotated[
    Count | None,
    BeforeValidator(_read_size),
    BeforeValidator(_word_for_none("cache_size_limit")),
    BeforeValidator(_no_bool),
]
AutoCount = Annotated[Count | None, BeforeValidator(_word_for_none("threads"))]
Folder = Annotated[Path, AfterValidator(_home)]
OptionalFile = Annotated[Path | None, AfterValidator(_home), BeforeValidator(_word_for_none("log"))]
Device = Annotated[str, AfterValidator(_device)]
Seconds = Annotated[float, BeforeValidator(_no_bool)]
Address = Annotated[
    str | None, Field(min_length=1, pattern=r"^https?://"), BeforeValidator(_word_for_none("base_url"))
]
Budget = Annotated[
    Count | None,
    BeforeValidator(_read_size),
    BeforeValidator(_word_for_none("token_budget")),
    BeforeValidator(_no_bool),
]
Price = Annotated[
    float | None, BeforeValidator(_word_for_none("price_per_million_input")), BeforeValidator(_no_bool)
]
