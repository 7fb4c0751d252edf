"""What the app needs of the explorer, as a protocol: the app works with whatever answers like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        AblationMethod,
        AblationPositions,
        Activations,
        Atlas,
        CorpusInfo,
        Explained,
        ExplainedHeads,
        ExplainedList,
        Explanation,
        ExplanationScore,
        FirstView,
        HeadAblation,
        HeadAttributions,
        HeadOverview,
        ModelInfo,
        NeuronExplanations,
        NeuronPrompts,
        NeuronTokens,
        PeakFigures,
        Plan,
        PromptKind,
        PromptPredictions,
        RequestProgress,
        ScoreReport,
        SessionState,
        Sign,
        Status,
        Token,
        TokenMatch,
        TokenNeurons,
    )

T = TypeVar("T")


class Cancellable(Protocol):
    """A question that was put."""

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards."""


class ExplainingLike(Protocol):
    """Explanations: what is known, what asking would send, and a person's own words. All block."""

    def plan(self, neuron: NeuronId, head: HeadId, *, fresh: bool = False) -> Plan: ...

    def plan_all(self, neuron: NeuronId) -> Plan: ...

    def explain_all(
        self, neuron: NeuronId, *, progress: Callable[[RequestProgress], None] | None = None
    ) -> NeuronExplanations: ...

    def write(self, neuron: NeuronId, head: HeadId, text: str) -> Explanation: ...

    def explained(self, neuron: NeuronId, head: HeadId) -> tuple[Explained, ...]: ...


class ScoringLike(Protocol):
    """What scoring an explanation would send; all heads of a neuron. All block."""

    def plan_all(self, neuron: NeuronId) -> Plan: ...

    def score_all(
        self, neuron: NeuronId, *, progress: Callable[[RequestProgress], None] | None = None
    ) -> ScoreReport: ...

    def so_far(self, neuron: NeuronId) -> ExplainedHeads: ...

    def plan(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
    ) -> Plan: ...


class ExplorerLike(Protocol):
    """The part of `Explorer` the app uses. All but `status`, `start`, `ask`, `request_checkpoint` and
    `close` block."""

    def status(self) -> Status: ...

    def start(self) -> None: ...

    def ask(
        self,
        question: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
    ) -> Cancellable: ...

    def request_checkpoint(self) -> None: ...

    def close(self) -> str: ...

    def model_info(self) -> ModelInfo: ...

    def corpus_info(self) -> CorpusInfo: ...

    def resolve_token(self, text: str) -> TokenMatch: ...

    def complete_token(self, text: str, limit: int = 20) -> tuple[Token, ...]: ...

    def first_view(self) -> FirstView: ...

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: Sign | None = None,
        next_token_only: bool = False,
    ) -> TokenNeurons: ...

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens: ...

    def prompts(
        self,
        neuron: NeuronId,
        *,
        top: int | None = None,
        wait: bool = True,
        so_far: Callable[[NeuronPrompts], None] | None = None,
    ) -> NeuronPrompts: ...

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> HeadAttributions: ...

    def heads_overview(
        self, neuron: NeuronId, *, trimmed: bool | None = None, wait: bool = True
    ) -> HeadOverview: ...

    def atlas(
        self,
        *,
        per_layer: int = 20,
        reject: Sequence[str] = (),
        sign: Sign | None = None,
        read: Callable[[int, int], None] = ...,
    ) -> Atlas: ...

    def sampled_prompts(
        self, neuron: NeuronId, kind: PromptKind, *, top: int | None = None
    ) -> NeuronPrompts: ...

    def peak_figures(
        self,
        neuron: NeuronId,
        token: Token | None = None,
        *,
        kind: PromptKind = "top",
        top: int | None = None,
        sign: Sign | None = None,
    ) -> PeakFigures: ...

    def predictions(self, prompt_id: int, position: int, *, top: int = 5) -> PromptPredictions: ...

    def activations(self, neuron: NeuronId, text: str) -> Activations: ...

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        trimmed: bool | None = None,
    ) -> HeadAblation: ...

    @property
    def explaining(self) -> ExplainingLike: ...

    @property
    def head_scores(self) -> ScoringLike: ...

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> Explanation: ...

    def score_explanation(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
        progress: Callable[[RequestProgress], None] | None = None,
    ) -> ExplanationScore: ...

    def explanations(self, query: str = "") -> ExplainedList: ...

    def offer_tour(self) -> bool: ...

    def save_session(self, session: SessionState) -> bool: ...

    def load_session(self) -> SessionState | None: ...
