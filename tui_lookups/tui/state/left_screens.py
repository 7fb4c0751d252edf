"""Where a screen over the walk was left: what it is about, what it found, and its cursors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from tui_lookups.results.trace import ROOT

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        ActivationDiff,
        CorpusHits,
        HeadReads,
        InputsOverview,
        NeuronInputs,
        NeuronOverRevisions,
        Removed,
        SelectedNeuron,
        ServedNeurons,
        SharedHeads,
        SurveyedPair,
        Token,
        WeightDiff,
        Why,
    )
    from tui_lookups.tui.state.given_text import GivenText
    from tui_lookups.tui.state.orders import ChangedOrder, MovedOrder, PairOrder, SharedOrder
    from tui_lookups.tui.state.trace_tree import TraceTree

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

    def trace(self, component: HeadId | NeuronId | None) -> TracePlace:
        """The trace of the token, where a component is opened and gone to."""
        text = self.text if self.prompt_id is None else None
        return TracePlace(
            None, text, self.prompt_id, self.position, self.token, self.foil, wanted=_part_of_root(component)
        )


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

    def trace(self, component: HeadId | NeuronId | None) -> TracePlace:
        """The trace of the neuron there, where a component is opened and gone to."""
        text = self.text.text if self.prompt_id is None else None
        return TracePlace(
            self.neuron, text, self.prompt_id, self.position, trimmed=self.trimmed,
            wanted=_part_of_root(component),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TracePlace:
    """What a trace begins from: a neuron at a position of a text or of a prompt; or a token after one.

    Attributes:
        position: None is the peak of the neuron, or the last token.
        token, foil: as those of `WhyPlace`; None where it begins from a neuron.
        wanted: the name of a node to open and to go to.
        tree: as far as it was opened; cursor: the name of the node that it was on.
        below: the screen that it was opened from, as that was left; None is the walk.
    """

    neuron: NeuronId | None
    text: str | None
    prompt_id: int | None
    position: int | None
    token: Token | None = None
    foil: Token | None = None
    trimmed: bool | None = None
    wanted: str | None = None
    tree: TraceTree | None = None
    cursor: str | None = None
    below: WhyPlace | InputsPlace | None = None

    def asks_as(self, other: TracePlace) -> bool:
        """Whether both begin from the same."""
        return (self.text, self.asked) == (other.text, other.asked)

    @property
    def asked(self) -> dict[str, Any]:
        """What `Explorer.trace` and `trace_graph` are asked with, beside the text."""
        return {
            "neuron": self.neuron,
            "prompt_id": self.prompt_id,
            "position": self.position,
            "token": None if self.token is None else self.token.id,
            "foil": None if self.foil is None else self.foil.id,
            "trimmed": self.trimmed,
        }


def _part_of_root(component: HeadId | NeuronId | None) -> str | None:
    return None if component is None else f"{ROOT}/{component}"


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


@dataclass(frozen=True, slots=True)
class SharedHeadsPlace:
    """Marked neurons, their heads once all are worked out, and where the cursors stood."""

    neurons: tuple[SelectedNeuron, ...]
    heads: SharedHeads | None = None
    order: SharedOrder = "active"
    column: int = 0
    head: HeadId | None = None


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


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """A search through the corpus: its text, what it found, and the row under the cursor."""

    text: str = ""
    found: CorpusHits | None = None
    row: int = 0


DiffView = Literal["weights", "activations"]


@dataclass(frozen=True, slots=True)
class DiffPlace:
    """The open model against another: what was found of both, and how it was looked at.

    Attributes:
        against: the other model, as the setting `model` names one; empty until it is chosen.
        neuron: under the cursor. opened: that neuron was being looked at in both models.
    """

    against: str = ""
    view: DiffView = "weights"
    weights: WeightDiff | None = None
    activations: ActivationDiff | None = None
    moved_by: MovedOrder = "moved"
    changed_by: ChangedOrder = "change"
    neuron: NeuronId | None = None
    opened: bool = False


@dataclass(frozen=True, slots=True)
class RevisionsPlace:
    """A neuron over revisions of the model: which, the token that is followed, and what was found.

    Without a token it is the one that the neuron promotes most at the last revision.
    """

    neuron: NeuronId
    token: Token | None
    names: tuple[str, ...] = ()
    found: NeuronOverRevisions | None = None
    row: int = 0

    @property
    def asked_token(self) -> str | None:
        """The token as it is asked for: by its text, which another vocabulary may have at another id."""
        if self.token is None:
            return None
        return f"#{self.token.id}" if self.token.text.startswith("#") else self.token.text

    def asks_as(self, other: RevisionsPlace) -> bool:
        """Whether both are about the same neuron and token."""
        return (self.neuron, self.token) == (other.neuron, other.token)


LeftScreen: TypeAlias = (
    WhyPlace
    | InputsPlace
    | TracePlace
    | ServedByPlace
    | SurveyPlace
    | SearchPlace
    | SharedHeadsPlace
    | DiffPlace
    | RevisionsPlace
)
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
