"""Where a screen over the walk was left: what it is about, what it found, and its cursors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        HeadReads,
        InputsOverview,
        NeuronInputs,
        Removed,
        ServedNeurons,
        SurveyedPair,
        Token,
        Why,
    )
    from tui_lookups.tui.state.given_text import GivenText
    from tui_lookups.tui.state.orders import PairOrder

View = Literal["list", "layers", "groups"]


class ViewPlace(NamedTuple):
    """Which view of a sum is shown, and the rows under its cursors."""

    view: View = "list"
    row: int = 0
    layer: int = 0


_BEGINNING = ViewPlace()


@dataclass(frozen=True, slots=True)
class WhyPlace:
    """A text, or a prompt of the corpus, and the token that is asked about.

    Attributes:
        position: of the token that is read last; None is the last there is.
        token, foil: None is the most probable one, and the mean over the vocabulary.
        focus: the id of what had the keys.
    """

    text: str = ""
    prompt_id: int | None = None
    position: int | None = None
    token: Token | None = None
    foil: Token | None = None
    why: Why | None = None
    removed: tuple[Removed, ...] = ()
    views: ViewPlace = _BEGINNING
    focus: str = ""

    def asks_as(self, other: WhyPlace) -> bool:
        """Whether both are about the same token of the same text."""
        mine, theirs = ((p.text, p.prompt_id, p.position) for p in (self, other))
        return mine == theirs or (self.prompt_id is other.prompt_id is None and self.text == other.text)


@dataclass(frozen=True, slots=True)
class InputsPlace:
    """A neuron on a prompt of its own, or on a text given by hand (`prompt_id` is None).

    Attributes:
        text: the prompt up to its peak, or the given text: what is opened goes on with it.
        position: in the given text; None is the peak of the prompt.
    """

    neuron: NeuronId
    prompt_id: int | None
    text: GivenText
    position: int | None
    trimmed: bool | None = None
    over_all: bool = False
    inputs: NeuronInputs | None = None
    overview: InputsOverview | None = None
    views: ViewPlace = _BEGINNING
    focus: str = ""

    def asks_as(self, other: InputsPlace) -> bool:
        """Whether both are about the same neuron on the same text."""
        mine, theirs = ((p.neuron, p.prompt_id, p.text, p.trimmed) for p in (self, other))
        return mine == theirs


@dataclass(frozen=True, slots=True)
class ServedByPlace:
    """A head, and which neurons are asked for what it is to them.

    Attributes:
        served: those that it serves, once all are worked out. reads: what it reads, where that was asked.
        from_survey: escape leads back to the survey.
    """

    head: HeadId
    per_layer: int
    layers: tuple[int, ...] | None
    served: ServedNeurons | None = None
    reads: tuple[HeadReads, ...] = ()
    order: PairOrder = "attribution"
    pair: SurveyedPair | None = None
    from_survey: bool = False

    def asks_as(self, other: ServedByPlace) -> bool:
        """Whether both are about the same head and the same neurons."""
        mine, theirs = ((p.head, p.per_layer, p.layers) for p in (self, other))
        return mine == theirs


SurveyView = Literal["pairs", "heads"]
Measure = Literal["serves", "carries"]


@dataclass(frozen=True, slots=True)
class SurveyPlace:
    """How the survey was looked at: which of its tables, in which order, and where the cursors stood."""

    view: SurveyView = "pairs"
    measure: Measure = "serves"
    order: PairOrder = "neuron"
    row: int = 0
    head: HeadId | None = None


LeftScreen: TypeAlias = "WhyPlace | InputsPlace | ServedByPlace | SurveyPlace"
"""What a walk can have gone on from."""


class Door(NamedTuple):
    """What was opened on such a screen: a neuron, or a head of one, on the text they were met on.

    Without a text it is a head of the neuron that is open, on what is open; without a token the walk keeps
    its own.
    """

    neuron: NeuronId
    head: HeadId | None
    text: GivenText | None
    token: Token | None = None
