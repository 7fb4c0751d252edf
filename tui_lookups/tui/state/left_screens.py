"""Where a screen over the walk was left: what it is about, what it found, and its cursors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import CorpusHits, InputsOverview, NeuronInputs, Removed, Token, Why
    from tui_lookups.tui.state.given_text import GivenText

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
class SearchPlace:
    """A search through the corpus: its text, what it found, and the row under the cursor."""

    text: str = ""
    found: CorpusHits | None = None
    row: int = 0


class Door(NamedTuple):
    """What was opened on such a screen: a neuron, or a head of one, on the text they were met on.

    Without a text it is a head of the neuron that is open, on what is open; without a token the walk keeps
    its own.
    """

    neuron: NeuronId
    head: HeadId | None
    text: GivenText | None
    token: Token | None = None


LeftScreen: TypeAlias = WhyPlace | InputsPlace | SearchPlace
"""A screen over the walk as it was left."""
