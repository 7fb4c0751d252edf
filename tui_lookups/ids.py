"""Names of neurons ("L9.N1985"), units of a dictionary ("L9.F1985") and heads ("L7.H4"): parsing, printing.

Also accepted: "9.1985", "(9, 1985)", "9,1985", in any case and with any spaces. Such a bare name is of what
is open, a neuron or a unit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Self

from tui_lookups.errors import BadIdError, LookupsError

_NEURON = re.compile(r"L?(\d{1,6})[.,]N?(\d{1,9})", re.IGNORECASE | re.ASCII)
_FEATURE = re.compile(r"L?(\d{1,6})[.,]F(\d{1,9})", re.IGNORECASE | re.ASCII)
_HEAD = re.compile(r"L?(\d{1,6})[.,]H?(\d{1,6})", re.IGNORECASE | re.ASCII)


def _bare(text: str) -> str:
    """Without spaces, and without parentheses around it."""
    packed = re.sub(r"\s+", "", text)
    return packed[1:-1] if packed.startswith("(") and packed.endswith(")") else packed


def _parse(text: str, pattern: re.Pattern[str], what: str, example: str) -> tuple[int, int]:
    match = pattern.fullmatch(_bare(text))
    if match is None:
        raise BadIdError(f"{text!r} is not the name of a {what}.", f"Write it like {example}.")
    return int(match[1]), int(match[2])


class _Component:
    """`index` in block `layer`, both counted from 0. Immutable; ordered, and equal, among its own kind.

    No dataclass: msgspec would write one as an object, and this is written as its name (storage/codec.py).
    """

    __slots__ = ("index", "layer")
    layer: int
    index: int

    def __init__(self, layer: int, index: int) -> None:
        object.__setattr__(self, "layer", layer)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the {name} of {self} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.layer == other.layer and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.layer, self.index))

    def __lt__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.layer, self.index) < (other.layer, other.index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layer={self.layer}, index={self.index})"

    def __reduce__(self) -> tuple[type[Self], tuple[int, int]]:
        return type(self), (self.layer, self.index)

    @classmethod
    def parse(cls, text: str) -> _Component:
        """Read a name that says of which kind it is: "L9.N1985", "L7.H4". Raises BadIdError."""
        for kind, letter in ((NeuronId, "N"), (FeatureId, "F"), (HeadId, "H")):
            if letter in text.upper():
                return kind.parse(text)
        raise BadIdError(
            f"{text!r} is not the name of a neuron or a head.", "Write it like L9.N1985 or L7.H4."
        )


class NeuronId(_Component):
    """Neuron `index` of the MLP in block `layer`."""

    __slots__ = ()
    kind: ClassVar[str] = "neuron"
    """What it is called in sentences."""

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Read "L9.N1985", "9.1985" or "(9, 1985)"; or "L9.F1985", a FeatureId. Raises BadIdError."""
        feature = _FEATURE.fullmatch(_bare(text))
        if feature is not None:
            return FeatureId(int(feature[1]), int(feature[2]))
        return NeuronId(*_parse(text, _NEURON, "neuron", "L9.N1985 or 9.1985"))

    def __str__(self) -> str:
        return f"L{self.layer}.N{self.index}"


class FeatureId(NeuronId):
    """Unit `index` of a dictionary's transcoder of layer `layer`, in the place of a neuron."""

    __slots__ = ()
    kind: ClassVar[str] = "unit"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """As `NeuronId.parse`, where units are open: "9.1985" is a unit, "L9.N1985" still a neuron."""
        name = NeuronId.parse(text)
        return name if "N" in text.upper() else cls(name.layer, name.index)

    def __str__(self) -> str:
        return f"L{self.layer}.F{self.index}"


class HeadId(_Component):
    """Attention head `index` of block `layer`."""

    __slots__ = ()
    kind: ClassVar[str] = "head"

    @classmethod
    def parse(cls, text: str) -> HeadId:
        """Read "L7.H4", "7.4" or "(7, 4)". Raises BadIdError on anything else."""
        return cls(*_parse(text, _HEAD, "head", "L7.H4 or 7.4"))

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.index}"


if TYPE_CHECKING:
    ComponentId = HeadId | NeuronId
else:
    ComponentId = _Component
    """As the type of a field: msgspec reads no union of two classes of ours."""


def parse_component(text: str) -> HeadId | NeuronId:
    """Read "L9.N1985" or "L7.H4". Raises BadIdError on anything that does not say which it is."""
    component = _Component.parse(text)
    assert isinstance(component, HeadId | NeuronId)
    return component


def check_position(position: int, n_tokens: int) -> None:
    """Raise LookupsError unless a text of so many tokens has this position."""
    if not isinstance(position, int) or not 0 <= position < n_tokens:
        raise LookupsError(f"The text has no position {position}.", f"It has positions 0 to {n_tokens - 1}.")


def left_out_by_paper(head: HeadId, neuron: NeuronId) -> LookupsError:
    """What is said of a head of the neuron's own layer, which the authors leave out."""
    return LookupsError(
        f"Preset paper leaves out the heads of {neuron}'s own layer, {head} among them.",
        "Leave out --preset paper.",
    )


def out_of_reach(component: HeadId | NeuronId, neuron: NeuronId, last_layer: int) -> LookupsError:
    """What is said of a head, or a neuron, that writes after a neuron has read.

    `last_layer` is the last one whose heads, or neurons, reach it, -1 where there is none.
    """
    kind = "head" if isinstance(component, HeadId) else "neuron"
    hint = f"No {kind} reaches it."
    if last_layer >= 0:
        hint = f"{kind.capitalize()}s reach it up to layer {last_layer}."
    return LookupsError(f"{component} does not reach {neuron}: it writes after the neuron has read.", hint)
