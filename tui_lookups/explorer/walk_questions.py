"""Questions of the walk: from a token to neurons, to what fires them, to the heads that look it up.

See method.md, sections 2, 3, 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tui_lookups.explorer.upkeep import Upkeep

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.ids import HeadId, NeuronId


class WalkQuestions(Upkeep):
    """The part of an Explorer that walks, and what it needs of files for that."""

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
        asked = self._services.heads.ablation(
            neuron, head, method=method, positions=positions, trimmed=trimmed, part=part, text=text
        )
        return asked.by(self._services.engine)
