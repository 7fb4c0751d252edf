"""What a walk knows - token, neuron, prompt, head, and the answers about them - and how it queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Direction,
        HeadAttributions,
        HeadOverview,
        NeuronPrompts,
        NeuronTokens,
        PeakFigures,
        Prompt,
        PromptFigures,
        PromptKind,
        PromptPredictions,
        Token,
        TokenNeurons,
    )
    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.state.queries import Queries

T = TypeVar("T")
S = TypeVar("S")
Part = Literal[
    "story",
    "neurons",
    "neuron",
    "promoted",
    "prompts",
    "heads",
    "overview",
    "sources",
    "figures",
    "predictions",
]


class WalkState:
    """Where the person is. Every attribute may be read; only the methods of the walk change them."""

    def __init__(
        self,
        explorer: ExplorerLike,
        queries: Queries,
        changed: Callable[[Part], None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._explorer = explorer
        self._queries = queries
        self._changed = changed
        self._later = later
        """Does something once what changed is painted: it may load the model, which holds up a paint."""
        self.story = ""
        self.tour_offered = False
        self.token: Token | None = None
        self.layer: int | None = None
        self.own_only = False
        self._open_best = False
        self._open_next: NeuronId | None = None
        self.ranking: TokenNeurons | None = None
        self.neuron: NeuronId | None = None
        self.promoted: NeuronTokens | None = None
        self.prompts: NeuronPrompts | None = None
        self._prompts_whole = False  # whether `prompts` is the list, not the first few of one
        self.kind: PromptKind = "top"
        self.figures: PeakFigures | None = None
        self.prompt_id: int | None = None
        self.wanted_prompt: int | None = None
        self.heads: HeadAttributions | None = None
        self.overview: HeadOverview | None = None
        self.over_all = False
        self.trimmed: bool | None = None  # None: as the settings say
        self.direction: Direction = "both"
        self.head: HeadId | None = None
        self.sources: HeadAttributions | None = None
        self._predicted: dict[int, list[PromptPredictions]] = {}
        self.errors: dict[Part, tuple[str, str]] = {}

    @property
    def prompt(self) -> Prompt | None:
        """The open prompt, with the rank it has now."""
        if self.prompts is None:
            return None
        return next((p for p in self.prompts.prompts if p.prompt_id == self.prompt_id), None)

    @property
    def prompt_figures(self) -> PromptFigures | None:
        """What the neuron comes to at the open prompt's peak, where that is known."""
        rows = () if self.figures is None else self.figures.prompts
        return next((row for row in rows if row.prompt_id == self.prompt_id), None)

    def waiting(self, part: Part) -> bool:
        """Whether an answer for this part is under way."""
        return self._queries.waiting(part)

    def _ask(self, part: Part, question: Callable[[], T], done: Callable[[T], None]) -> None:
        self._ask_telling(part, lambda tell: question(), lambda news: None, done)

    def _ask_telling(
        self,
        part: Part,
        question: Callable[[Callable[[S], None]], T],
        heard: Callable[[S], None],
        done: Callable[[T], None],
    ) -> None:
        """As `_ask`; what `question` tells on the way comes to `heard`."""

        def answered(result: T) -> None:
            self.errors.pop(part, None)
            done(result)

        def failed(error: BaseException) -> None:
            self.errors[part] = explain_error(error)
            self._changed(part)

        self.errors.pop(part, None)
        self._queries.ask_telling(part, question, heard, answered, failed)
