"""What is open on a walk - token, neuron, prompt, head - and what is known of it.

One model for the whole walk, without a question in it: panes and texts read it, the steps (token_steps,
neuron_steps, head_steps) change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tui_lookups.recent import Recent
from tui_lookups.results import SelectedHead
from tui_lookups.tui.state.given_text import GIVEN

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Direction,
        HeadAttribution,
        HeadAttributions,
        HeadOverview,
        ModelInfo,
        NeuronInputs,
        NeuronPrompts,
        NeuronScore,
        NeuronTokens,
        PeakFigures,
        PositionPredictions,
        Prompt,
        PromptFigures,
        PromptKind,
        PromptPredictions,
        SourceToken,
        Status,
        Token,
        TokenNeurons,
    )
    from tui_lookups.tui.state.given_text import GivenText
    from tui_lookups.tui.state.queries import Queries

Part = Literal[
    "story",
    "neurons",
    "activity",
    "neuron",
    "promoted",
    "preview",
    "prompts",
    "heads",
    "overview",
    "sources",
    "inputs",
    "figures",
    "predictions",
    "given",
]

_KEPT_ACTIVITY = 2_000
"""Neurons: those of some rankings."""


def raises_most(heads: HeadAttributions) -> HeadId | None:
    """The head that makes the neuron fire most: where it fires below zero, the one that lowers it most."""
    sign = -1 if heads.target.name == "activation" and heads.target.value < 0 else 1
    best = max(heads.heads, key=lambda row: sign * row.attribution, default=None)
    return None if best is None else best.head


def _place_of(found: HeadAttributions | NeuronInputs) -> tuple[object, ...]:
    return found.neuron, found.prompt_id, found.context, found.position, found.tokens


class Walk:
    """Where the person is, the answers so far, and what went wrong. Every attribute may be read."""

    def __init__(self, explorer: Explorer, queries: Queries) -> None:
        self._explorer = explorer
        self._queries = queries
        queries.subject = lambda: "" if self.neuron is None else str(self.neuron)
        self.status: Status | None = None  # the last snapshot that was taken
        self.errors = queries.errors
        """What went wrong with a part, as a sentence and a hint."""
        self.story = ""
        self.tour_offered = False
        self.given_token: str | None = None
        """A token of the command line, until it has been looked up."""
        self.token: Token | None = None
        self.layer: int | None = None
        self.own_only = False
        self.ranking: TokenNeurons | None = None
        self.activity: Recent[NeuronId, float] = Recent(_KEPT_ACTIVITY)
        """The share of scanned tokens on which neurons are above zero, of those asked for last."""
        self.opening_best = False
        """Whether the best neuron of a new token is on its way, while another one is still shown."""
        self.open_next: NeuronId | None = None
        """The neuron that is to be opened once the ranking is painted."""
        self.neuron: NeuronId | None = None
        self.promoted: NeuronTokens | None = None
        self.kind: PromptKind = "top"
        self.preview: NeuronPrompts | None = None
        """The prompts of a neuron that is under the cursor and not open, where they are cached."""
        self.prompts: NeuronPrompts | None = None
        self.prompts_whole = False
        """Whether `prompts` is the list, not the first few of one."""
        self.given: GivenText | None = None
        """The text that the neuron was met on, where that is no prompt of its own."""
        self.given_prompt: Prompt | None = None
        """The same as it is listed, once the neuron has read it."""
        self.figures: PeakFigures | None = None
        self.prompt_id: int | None = None
        self.wanted_prompt: int | None = None
        """The prompt a place was left at, until it is in the list."""
        self.wanted_position: int | None = None
        """The token of it."""
        self.predicted: dict[int, list[PromptPredictions]] = {}
        self.over_all = False
        self.trimmed: bool | None = None  # None: as the settings say
        self.direction: Direction = "both"
        self.heads: HeadAttributions | None = None
        self.overview: HeadOverview | None = None
        self.head: HeadId | None = None
        self.sources: HeadAttributions | None = None
        self.attended: dict[HeadId, SourceToken] = {}
        """Of each head that was looked at on the open prompt, the token it attends to most."""
        self.inputs: NeuronInputs | None = None
        """What fired the neuron where that was asked last, which need not be what is open."""

    def waiting(self, part: Part) -> bool:
        """Whether an answer for this part is under way."""
        return self._queries.waiting(part)

    def waited(self, part: Part) -> int:
        """Whole seconds that an answer for this part has been under way; 0 where none is."""
        return self._queries.seconds(part)

    def how_far(self, part: Part, *, counts: bool) -> str:
        """How far an answer for this part is, in words; `counts`: with the seconds so far."""
        return self._queries.how_far(part, counts=counts)

    @property
    def model(self) -> ModelInfo | None:
        """The model, once it is known."""
        return self._explorer.status().model

    @property
    def neuron_id(self) -> type[NeuronId]:
        """What is listed, and what a name without a letter is of: units where a dictionary is open."""
        return self._explorer.settings.neuron_id

    @property
    def ranked(self) -> NeuronScore | None:
        """The open neuron's row in the token's ranking; None where it is not in it."""
        rows = () if self.ranking is None else self.ranking.neurons
        return next((row for row in rows if row.neuron == self.neuron), None)

    @property
    def prompt(self) -> Prompt | None:
        """The open prompt, with the rank it has now."""
        return next((p for p in self.listed if p.prompt_id == self.prompt_id), None)

    @property
    def listed(self) -> tuple[Prompt, ...]:
        """The prompts on screen: before the neuron's own the text that was given."""
        given = () if self.given_prompt is None else (self.given_prompt,)
        return given if self.prompts is None else (*given, *self.prompts.prompts)

    @property
    def on_given_text(self) -> bool:
        """Whether what is open is a text that no basket can name."""
        return self.prompt_id == GIVEN

    @property
    def prompt_figures(self) -> PromptFigures | None:
        """What the neuron comes to at the open prompt's peak, where that is known."""
        rows = () if self.figures is None else self.figures.prompts
        return next((row for row in rows if row.prompt_id == self.prompt_id), None)

    def predictions(self, position: int) -> PositionPredictions | None:
        """What the model expects after a token of the open prompt, where that was asked for."""
        parts = () if self.prompt_id is None else self.predicted.get(self.prompt_id, ())
        return next((prediction for part in parts if (prediction := part.at(position)) is not None), None)

    @property
    def shown_heads(self) -> HeadAttributions | HeadOverview | None:
        """The heads that are on screen: of the open prompt, or over all prompts."""
        return self.overview if self.over_all else self.heads

    @property
    def shown_inputs(self) -> NeuronInputs | None:
        """What fires the neuron at the very place the heads on screen are about; None where not known."""
        if self.inputs is None or self.heads is None:
            return None
        return self.inputs if _place_of(self.inputs) == _place_of(self.heads) else None

    @property
    def gated(self) -> bool | None:
        """Whether head attributions come with their gate and up shares; None until the model is known."""
        if self.heads is not None:
            return self.heads.provenance.model.gated
        model = self.model  # no prompt's heads need to have been open
        return None if model is None else model.gated

    @property
    def shown_direction(self) -> Direction:
        """The read direction whose share of a head is on screen; over all prompts there is only their sum."""
        return self.direction if self.gated and not self.over_all else "both"

    def score(self, head: HeadAttribution) -> float:
        """A head's attribution through the read direction that is chosen."""
        if self.direction == "gate" and head.gate is not None:
            return head.gate
        if self.direction == "up" and head.up is not None:
            return head.up
        return head.attribution

    def strongest_head(self) -> HeadId | None:
        """The largest of the heads on screen, whichever its sign; None where none is."""
        sizes: dict[HeadId, float] = {}
        if self.over_all and self.overview is not None:
            sizes = {mean.head: abs(mean.mean_attribution) for mean in self.overview.heads}
        elif not self.over_all and self.heads is not None:
            sizes = {row.head: abs(row.attribution) for row in self.heads.heads}
        return max(sizes, key=lambda head: sizes[head], default=None)

    def raising_head(self) -> HeadId | None:
        """Of the heads on screen the one that makes the neuron fire most; None where there are none."""
        if not self.over_all:
            return None if self.heads is None else raises_most(self.heads)
        means = () if self.overview is None else self.overview.heads
        best = max(means, key=lambda mean: mean.mean_attribution, default=None)
        return None if best is None else best.head

    def reaches(self, head: HeadId) -> bool:
        """Whether a head is among those that are on screen."""
        shown = self.shown_heads
        return shown is not None and any(row.head == head for row in shown.heads)

    def selected_head(self) -> SelectedHead | None:
        """The chosen head as it is marked: on the texts that are on screen, not on others."""
        if self.neuron is None or self.head is None or not self.reaches(self.head):
            return None
        trimmed = self.shown_heads is not None and self.shown_heads.context == "trimmed"
        if self.on_given_text and not self.over_all:
            return None
        prompt_id = None if self.over_all else self.prompt_id
        return SelectedHead(self.neuron, self.head, prompt_id, "trimmed" if trimmed else "full")

    def position_in_prompt(self, position: int) -> int:
        """A position of the attributed text as a position of the open prompt's full window."""
        prompt, heads = self.prompt, self.sources or self.heads
        if prompt is None or heads is None or heads.context != "trimmed" or position == 0:
            return position
        return position + prompt.peak.position - heads.position
