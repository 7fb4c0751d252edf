"""Names of neurons ("L9.N1985") and heads ("L7.H4"): parsing and printing.

Also accepted: "9.1985", "(9, 1985)", "9,1985", in any case and with any spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import BadIdError, LookupsError

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

_NEURON = re.compile(r"L?(\d{1,6})[.,]N?(\d{1,9})", re.IGNORECASE | re.ASCII)
_HEAD = re.compile(r"L?(\d{1,6})[.,]H?(\d{1,6})", re.IGNORECASE | re.ASCII)


def _parse(text: str, pattern: re.Pattern[str], what: str, example: str) -> tuple[int, int]:
    bare = re.sub(r"\s+", "", text)
    if bare.startswith("(") and bare.endswith(")"):
        bare = bare[1:-1]
    match = pattern.fullmatch(bare)
    if match is None:
        raise BadIdError(f"{text!r} is not the name of a {what}.", f"Write it like {example}.")
    return int(match[1]), int(match[2])


def _as_text(name: type[NeuronId] | type[HeadId]) -> CoreSchema:
    """How pydantic reads and writes a name: as the string a person would type.

    pydantic is imported here, when a codec asks for it: this module is loaded at start-up.
    """
    from pydantic_core import core_schema

    def parse(text: str) -> NeuronId | HeadId:
        try:
            return name.parse(text)
        except BadIdError as error:
            raise ValueError(str(error)) from error

    from_text = core_schema.no_info_after_validator_function(parse, core_schema.str_schema(strict=True))
    return core_schema.json_or_python_schema(
        json_schema=from_text,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(name), from_text]),
        serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
    )


@dataclass(frozen=True, order=True, slots=True)
class NeuronId:
    """Neuron `index` of the MLP in block `layer`, both counted from 0."""

    layer: int
    index: int

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Read "L9.N1985", "9.1985" or "(9, 1985)". Raises BadIdError on anything else."""
        return cls(*_parse(text, _NEURON, "neuron", "L9.N1985 or 9.1985"))

    def __str__(self) -> str:
        return f"L{self.layer}.N{self.index}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return _as_text(cls)


@dataclass(frozen=True, order=True, slots=True)
class HeadId:
    """Attention head `index` of block `layer`, both counted from 0."""

    layer: int
    index: int

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Read "L7.H4", "7.4" or "(7, 4)". Raises BadIdError on anything else."""
        return cls(*_parse(text, _HEAD, "head", "L7.H4 or 7.4"))

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.index}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return _as_text(cls)


def left_out_by_paper(head: HeadId, neuron: NeuronId) -> LookupsError:
    """What is said of a head of the neuron's own layer, which the authors leave out."""
    return LookupsError(
        f"Preset paper leaves out the heads of {neuron}'s own layer, {head} among them.",
        "Leave out --preset paper.",
    )


def out_of_reach(head: HeadId, neuron: NeuronId, last_layer: int) -> LookupsError:
    """What is said of a head that writes after a neuron has read.

    `last_layer` is the last one whose heads reach it, -1 where there is none.
    """
    hint = f"Heads reach it up to layer {last_layer}." if last_layer >= 0 else "No head reaches it."
    return LookupsError(f"{head} does not reach {neuron}: it writes after the neuron has read.", hint)
