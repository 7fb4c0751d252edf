"""The Explorer: its questions, each answered by the service of its subject (services.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tui_lookups.errors import Cancelled
from tui_lookups.explorer.comparisons import Comparisons
from tui_lookups.explorer.exact_sums import ExactSums
from tui_lookups.explorer.groups import Groups
from tui_lookups.explorer.services import Question, Services
from tui_lookups.explorer.surveys import Surveys
from tui_lookups.explorer.upkeep import Upkeep
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken
from tui_lookups.progress import heard_by

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.head_scores import HeadScores
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.progress import Hear
    from tui_lookups.settings import Settings

T = TypeVar("T")


class Explorer(Comparisons, ExactSums, Groups, Surveys, Upkeep):
    """Answers questions about one model and one corpus. Cheap to make: nothing is opened or imported yet."""

    def __init__(self, settings: Settings, *, results: Path | None = None) -> None:
        """`results`: a folder for everything that is worked out, in place of the cache folder's own."""
        self.settings = settings
        self._services = Services(settings, results)
        self._met: tuple[str, ...] = ()  # problems of the cache

    @property
    def _engine(self) -> Engine:
        return self._services.engine

    @property
    def _scan(self) -> ScanSession:
        return self._services.scan

    @property
    def explaining(self) -> Explaining:
        """Explanations of heads (method.md, section 5)."""
        return self._services.explaining

    @property
    def head_scores(self) -> HeadScores:
        """Scores of explanations (method.md, section 5)."""
        return self._services.head_scores

    # --- not blocking ---

    def status(self) -> answer.Status:
        """What is being done, for a header: never blocks, never computes."""
        return self._services.status(self._met)

    def start(self) -> None:
        """Load the model and scan the corpus in the background; what goes wrong appears in `status`.

        What was stopped goes on.
        """
        self._services.start()

    def stop_scan(self) -> None:
        """Stop the scan after the batch under way, with a checkpoint, until `start`; never waits.

        What it has goes on being answered; a question that waits for the whole scan starts it again.
        """
        self._services.stop_scan()

    def stop_loading(self) -> None:
        """Stop the loading of the model's weights, between two tensors, until `start`; never waits.

        What is cached goes on being answered; what needs the model raises LoadingStoppedError.
        """
        self._services.stop_loading()

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        """Run a blocking question on a thread of its own; one of the callbacks is called on that thread.

        After `Question.cancel()` neither is, model work for it that waits is dropped, and a forward pass
        for it is interrupted between blocks.
        """
        token = CancelToken()
        asked = Question(token)

        def work() -> None:
            CURRENT_TOKEN.set(token)
            try:
                try:
                    with heard_by(asked.hear):
                        answer = question()
                finally:
                    self._met = self.problems
            except Cancelled:
                return
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: handed to the asker
                if not token.cancelled:
                    failed(error)
                return
            if not token.cancelled:
                done(answer)

        threading.Thread(target=work, name="lookups-question", daemon=True).start()
        return asked

    def request_checkpoint(self) -> None:
        """Have the scan, where one runs, write a checkpoint after the batch under way; never waits."""
        self._services.request_checkpoint()

    def close(self) -> str:
        """Checkpoint the scan, stop all work, let go of model and cache, in well under a second.

        Returns:
            What of the scan's work could not be kept, in a sentence; empty where nothing was lost.
        """
        return self._services.close()

    # --- congruence (method.md, section 2) ---

    def first_view(self) -> answer.FirstView:
        """The token and neuron to open with when nothing was asked for (the rule: opening.first_view)."""
        return self._services.congruence.first_view()

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: answer.Sign | None = None,
        next_token_only: bool = False,
    ) -> answer.TokenNeurons:
        """A token's neurons by congruence.

        Args:
            token: the text exactly as in the vocabulary, or an id.
            layers: the layers ranked together; those of the settings by default.
            sign: "+" ranks by congruence, "-" by its negative, "both" by its size; "+" by default.
            next_token_only: only neurons whose own top token is this token.
        Raises:
            UnknownTokenError: not one token of the vocabulary; close ones are named.
        """
        return self._services.congruence.neurons(
            token, top=top, layers=layers, sign=sign, next_token_only=next_token_only
        )

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> answer.NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        return self._services.congruence.tokens(neuron, top)

    def score(self, neuron: NeuronId, token: answer.Token) -> answer.NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        return self._services.congruence.score(neuron, token)

    def scores(self, neurons: Sequence[NeuronId], token: answer.Token) -> tuple[answer.NeuronScore, ...]:
        """The same of several neurons, in their order."""
        return self._services.congruence.scores(neurons, token)

    # --- highest-activating prompts (method.md, section 3) ---

    def scan(self, progress: Callable[[answer.ScanProgress], None] | None = None) -> answer.ScanSummary:
        """Scan the corpus to the end, resuming where an earlier scan stopped."""
        return self._services.scan.summary(progress)

    def prompts(
        self,
        neuron: NeuronId,
        *,
        top: int | None = None,
        sign: answer.Sign | None = None,
        wait: bool = True,
        trim: bool = True,
        so_far: Callable[[answer.NeuronPrompts], None] | None = None,
    ) -> answer.NeuronPrompts:
        """A neuron's highest-activating prompts, with every token's activation and the trimmed context.

        Args:
            top: number of prompts, at most the number the index keeps: the setting `top`, and the default.
            sign: "+" by activation, "-" by its negative, "both" by the larger of the two; "+" for plain and
                "both" for gated MLPs by default (method.md, section 2, Sign).
            wait: scan to the end first; otherwise answer with what the running scan has so far.
            trim: find the trimmed contexts, which takes many times as long; without, they are None.
            so_far: told the beginning of the list as it is worked out, a few prompts at a time, on this
                thread.
        """
        return self._services.prompts.prompts(neuron, top=top, sign=sign, wait=wait, trim=trim, so_far=so_far)

    def cached_prompts(self, neuron: NeuronId) -> answer.NeuronPrompts | None:
        """What `prompts` answers, where the cache has it; None otherwise. Runs no model."""
        return self._services.prompts.cached(neuron)

    def sampled_prompts(
        self, neuron: NeuronId, kind: answer.PromptKind, *, top: int | None = None
    ) -> answer.NeuronPrompts:
        """Prompts that are not the highest: `top` "random" ones, or one of each of the "deciles" of phi."""
        return self._services.prompts.sampled(neuron, kind, top=top)

    def peak_figures(
        self,
        neuron: NeuronId,
        token: answer.Token | None = None,
        *,
        kind: answer.PromptKind = "top",
        top: int | None = None,
        sign: answer.Sign | None = None,
    ) -> answer.PeakFigures:
        """At the peak of each of the neuron's prompts: logit contribution, what follows, probabilities.

        Args:
            token: the token looked at; by default the one the neuron, firing as it does, promotes most.
            kind, top, sign: which prompts; `sign` counts for kind "top" only.
        Raises:
            UnsupportedModelError: the raw basis, in which congruence is not what a logit gets.
        """
        return self._services.prompts.figures(
            self._services.prompts.listed(neuron, kind, top, sign), kind, token
        )

    def prompts_with_figures(
        self,
        neuron: NeuronId,
        *,
        kind: answer.PromptKind = "top",
        top: int | None = None,
        sign: answer.Sign | None = None,
    ) -> answer.PromptsWithFigures:
        """Prompts and their figures in one answer; in the raw basis a note stands in for the figures."""
        return self._services.prompts.with_figures(
            self._services.prompts.listed(neuron, kind, top, sign), kind
        )

    def stats(self, neurons: Sequence[NeuronId]) -> tuple[answer.NeuronStats, ...]:
        """Statistics of each neuron's activation, from the index or as far as the running scan has come.

        Raises:
            LookupsError: nothing is scanned yet.
            BadIdError: a neuron that is not scanned.
        """
        return self._services.prompts.stats(neurons)

    def activations(self, neuron: NeuronId, text: str) -> answer.Activations:
        """The neuron's activation on every token of a text, begin-of-text in front."""
        return self._services.prompts.activations(neuron, text)

    def predictions(
        self,
        prompt_id: int | None = None,
        position: int | None = None,
        *,
        text: str | None = None,
        top: int = 5,
    ) -> answer.PromptPredictions:
        """The most probable next tokens after a position, and after its neighbours.

        Args:
            prompt_id: a prompt by its number in the corpus; or
            text: a text instead of it.
            position: the last one where none is named.
            top: tokens a position.
        Raises:
            LookupsError: there is no such prompt or position, or the text is empty or too long.
        """
        return self._services.predictions.predictions(prompt_id, position, text=text, top=top)

    # --- head attribution and ablation (method.md, sections 4 and 6) ---

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> answer.HeadAttributions:
        """Which heads, directly, made the neuron fire at the peak of one prompt or of a text.

        Args:
            prompt: rank (from 1) among the neuron's prompts; rank 1 by default.
            prompt_id: the prompt by its number in the corpus, for a list that still changes.
            text: a text instead of a prompt; its peak is the position of the largest activation.
            position: of the text, in place of its peak.
            sources: also split this head's attribution over source tokens.
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
        """
        return self._services.heads.heads(
            neuron,
            prompt=prompt,
            prompt_id=prompt_id,
            text=text,
            position=position,
            sources=sources,
            trimmed=trimmed,
        )

    def heads_overview(
        self,
        neuron: NeuronId,
        *,
        trimmed: bool | None = None,
        wait: bool = True,
        part: answer.Part | None = None,
    ) -> answer.HeadOverview:
        """Every head over all of the neuron's prompts: mean attribution and how often it is active.

        Without `wait` over the prompts the running scan has so far; with `part` over the top prompts of that
        part of the corpus. For a neuron that never fires there are none, and the note says so.
        """
        return self._services.overviews.overview(neuron, trimmed=trimmed, wait=wait, part=part)

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: answer.AblationMethod = "zero",
        positions: answer.AblationPositions | None = None,
        trimmed: bool | None = None,
        part: answer.Part | None = None,
        text: str | None = None,
    ) -> answer.HeadAblation:
        """What the neuron and its token do without a head, on each of the neuron's prompts, or on one text.

        Args:
            method: "zero", the head's "mean" over a corpus sample, or "resample" from another prompt.
            positions: at the "peak" (default), or at "all" positions (default of preset paper).
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
            part: only the top prompts of this part of the corpus.
            text: a text instead of the prompts, at its peak. There is nothing to "resample" from then.
        Raises:
            LookupsError: the head does not reach the neuron, or the neuron never fires.
            UnsupportedModelError: the raw basis, in which no attribution says where a head is active.
        """
        return self._services.heads.ablate(
            neuron, head, method=method, positions=positions, trimmed=trimmed, part=part, text=text
        )

    # --- explanations and their scores (method.md, section 5); more in `explaining` and `head_scores` ---

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
        api_key: str | None = None,
    ) -> answer.Explanation:
        """In what contexts a head is active, in words; see `Explaining.explain`."""
        return self.explaining.explain(neuron, head, fresh=fresh, on_text=on_text, api_key=api_key)

    def score_explanation(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> answer.ExplanationScore:
        """How well words predict a head's activity on held-out prompts; see `HeadScores.score`."""
        return self.head_scores.score(
            neuron, head, explanation=explanation, control=control, fresh=fresh, progress=progress,
            api_key=api_key,
        )  # fmt: skip

    def explanations(self, query: str = "") -> answer.ExplainedList:
        """Everything explained so far that every word of `query` is found in, newest first."""
        return self.explaining.explanations(query)

    # --- exports (tui_lookups.exports) ---

    def provenance(self) -> answer.Provenance:
        """What an export is made with: model, corpus and every parameter its answers depend on."""
        from tui_lookups.answering.cache_keys import choices

        conventions = self._engine.conventions()
        return self._engine.provenance(
            corpus=True, top=self.settings.top, seed=conventions.seed, **choices("overview", conventions)
        )
