"""The walk: a token's neurons, their prompts, the heads behind a peak, and what a head's loss does.

1. Congruence (method.md, section 2) is answered by the services for congruence and the atlas.
2. Prompts (method.md, section 3) come from the scan's index; the sign of firing is that of the settings or
   the model's.
3. Heads (method.md, section 4) and ablation (method.md, section 6) are worked out at the peaks of those
   prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.answering import checks
from tui_lookups.answering.atlas_service import read_tokens
from tui_lookups.errors import Poll
from tui_lookups.explorer.opened import Opened
from tui_lookups.ids import HeadId, NeuronId

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results import (
        AblationMethod,
        AblationPositions,
        Activations,
        Atlas,
        HeadAblation,
        HeadAttributions,
        HeadOverview,
        NeuronPrompts,
        NeuronScore,
        NeuronTokens,
        Part,
        PeakFigures,
        PromptKind,
        PromptPredictions,
        PromptsWithFigures,
        ScanProgress,
        ScanSummary,
        Sign,
        Token,
        TokenNeurons,
    )


class Walk(Opened):
    """Questions of the walk, each answered from the cache or on the model thread."""

    # --- congruence (method.md, section 2) ---

    def neurons(
        self,
        token: str | int,
        *,
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: Sign | None = None,
        next_token_only: bool = False,
    ) -> TokenNeurons:
        """A token's neurons by congruence.

        Args:
            token: the text exactly as in the vocabulary, or an id.
            layers: the layers ranked together; those of the settings by default.
            sign: "+" ranks by congruence, "-" by its negative, "both" by its size; "+" by default.
            next_token_only: only neurons whose own top token is this token.
        Raises:
            UnknownTokenError: not one token of the vocabulary; close ones are named.
        """
        checks.check_count("top", top)
        by = self._ranking_sign(sign)
        vocabulary = self._engine.vocabulary()
        found = vocabulary.token(token) if isinstance(token, int) else vocabulary.find(token)
        if layers is None:
            chosen = self._engine.layers()
        else:
            info = self.model_info()
            checks.check_layers(layers, info.n_layers, info.name)
            chosen = tuple(layers)
        return self._congruence.neurons(
            found, top=top, layers=chosen, sign=by, next_token_only=next_token_only
        )

    def tokens(self, neuron: NeuronId, *, top: int = 20) -> NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        checks.check_count("top", top)
        return self._congruence.tokens(neuron, top)

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        return self._congruence.score(neuron, token)

    def atlas(
        self,
        *,
        per_layer: int = 20,
        reject: Sequence[str] | None = None,
        sign: Sign | None = None,
        read: Callable[[int, int], None] = lambda done, layers: None,
    ) -> Atlas:
        """The model's next-token neurons, layer by layer, and where tokens' best neurons live.

        A layer's pass over the vocabulary is kept in the cache: other counts, signs and reject lists are
        answered without the model.

        Args:
            per_layer: neurons a layer.
            reject: tokens left out by hand, exactly as in the vocabulary, or "#id"; by default those of
                the file in the setting `atlas_reject`.
            sign: as in `neurons`; "-" and "both" read neurons flipped.
            read: told, on this thread, how many of how many layers have been read.
        Raises:
            UnknownTokenError: a rejected text is not one token.
        """
        checks.check_count("per_layer", per_layer)
        by = self._ranking_sign(sign)
        if reject is None:
            listed = self.settings.atlas_reject
            reject = () if listed is None else read_tokens(listed)
        return self._atlas.atlas(per_layer, reject, by, read)

    # --- highest-activating prompts (method.md, section 3) ---

    def scan(self, progress: Callable[[ScanProgress], None] | None = None) -> ScanSummary:
        """Scan the corpus to the end, resuming where an earlier scan stopped."""

        engine = self._engine
        info = engine.corpus().info
        known = self._scan.index() is not None
        index = self._scan.wait(progress)
        done = self._scan.progress
        return results.ScanSummary(
            prompts=info.prompts,
            tokens=info.tokens,
            neurons=len(engine.layers()) * engine.model_info().d_mlp,
            seconds=0.0 if known or done is None else done.seconds,
            tokens_per_second=0.0 if known or done is None else done.tokens_per_second,
            resumed_from=info.prompts if known else self._scan.resumed_from,
            index_path=str(index.folder),
            provenance=engine.provenance(corpus=True, top=self._scan.top, layers=_numbers(engine.layers())),
            extended_from=index.manifest.extended_from,
        )

    def prompts(
        self,
        neuron: NeuronId,
        *,
        top: int | None = None,
        sign: Sign | None = None,
        wait: bool = True,
        so_far: Callable[[NeuronPrompts], None] | None = None,
    ) -> NeuronPrompts:
        """A neuron's highest-activating prompts, with every token's activation and the trimmed context.

        Args:
            top: number of prompts, at most the number the index keeps: the setting `top`, and the default.
            sign: "+" by activation, "-" by its negative, "both" by the larger of the two; "+" for plain and
                "both" for gated MLPs by default (method.md, section 2, Sign).
            wait: scan to the end first; otherwise answer with what the running scan has so far.
            so_far: told the beginning of the list as it is worked out, a few prompts at a time, on this
                thread.
        """
        return self._prompts.prompts(
            neuron, top=self._kept(top), sign=self._sign(sign), wait=wait, so_far=so_far
        )

    def sampled_prompts(self, neuron: NeuronId, kind: PromptKind, *, top: int | None = None) -> NeuronPrompts:
        """What the neuron does when it is not at its maximum: "random" prompts, or one of each "deciles".

        `top` of them, by default as many as the setting says.
        """
        checks.check_kind(kind)
        if kind == "top":
            return self.prompts(neuron, top=top)
        return self._prompts.sampled(neuron, kind, top=self._kept(top))

    def peak_figures(
        self,
        neuron: NeuronId,
        token: Token | None = None,
        *,
        kind: PromptKind = "top",
        top: int | None = None,
        sign: Sign | None = None,
    ) -> PeakFigures:
        """At the peak of each of the neuron's prompts: logit contribution, what follows, probabilities.

        Args:
            token: the token looked at; by default the one the neuron, firing as it does, promotes most.
            kind, top, sign: which prompts; `sign` counts for kind "top" only.
        Raises:
            UnsupportedModelError: the raw basis, in which congruence is not what a logit gets.
        """
        return self._prompts.figures(self._listed(neuron, kind, top, sign), kind, token)

    def prompts_with_figures(
        self, neuron: NeuronId, *, kind: PromptKind = "top", top: int | None = None, sign: Sign | None = None
    ) -> PromptsWithFigures:
        """Prompts and their figures in one answer; in the raw basis a note stands in for the figures."""
        return self._prompts.with_figures(self._listed(neuron, kind, top, sign), kind)

    def _listed(
        self, neuron: NeuronId, kind: PromptKind, top: int | None, sign: Sign | None
    ) -> NeuronPrompts:
        checks.check_sign(sign)
        if kind == "top":
            return self.prompts(neuron, top=top, sign=sign)
        return self.sampled_prompts(neuron, kind, top=top)

    def _kept(self, top: int | None) -> int:
        """How many prompts are asked for: all that the index keeps, unless it is said."""
        checks.check_count("top", top)
        return self.settings.top if top is None else top

    def activations(self, neuron: NeuronId, text: str) -> Activations:
        """The neuron's activation on every token of a text, begin-of-text in front."""

        self._engine.check_neuron(neuron)

        def work(model: LookupModel, poll: Poll) -> Activations:
            from tui_lookups.answering import answers

            ids = model.encode_prompt(text)
            values = answers.text_activations(model, neuron, ids, poll)
            provenance = self._engine.provenance(corpus=False)
            return results.Activations(neuron, text, model.vocabulary.tokens(ids), tuple(values), provenance)

        found = self._engine.remembered(
            "activations", results.Activations, work, corpus=False, neuron=str(neuron), text=text
        )
        special = self._engine.vocabulary().special_ids
        return replace(found, special=tuple(i for i, t in enumerate(found.tokens) if t.id in special))

    def predictions(self, prompt_id: int, position: int, *, top: int = 5) -> PromptPredictions:
        """The most probable next tokens after a position of a prompt, and after its neighbours.

        Args:
            prompt_id: the prompt by its number in the corpus.
            top: tokens a position.
        Raises:
            LookupsError: the corpus has no such prompt, or the prompt no such position.
        """
        checks.check_count("top", top)
        return self._predictions.predictions(prompt_id, position, top=top)

    # --- head attribution (method.md, section 4) ---

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        sources: HeadId | None = None,
        trimmed: bool | None = None,
    ) -> HeadAttributions:
        """Which heads, directly, made the neuron fire at the peak of one prompt or of a text.

        Args:
            prompt: rank (from 1) among the neuron's prompts; rank 1 by default.
            prompt_id: the prompt by its number in the corpus, for a list that still changes.
            text: a text instead of a prompt; its peak is the position of the largest activation.
            sources: also split this head's attribution over source tokens.
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
        """
        sign = self._sign(None)
        if text is not None:
            given = self.activations(neuron, text)
            return self._heads.on_text(neuron, given, sources=sources, sign=sign)
        cut = self.settings.trimmed if trimmed is None else trimmed
        return self._heads.on_prompt(neuron, prompt, prompt_id, sources=sources, trimmed=cut, sign=sign)

    def heads_overview(
        self,
        neuron: NeuronId,
        *,
        trimmed: bool | None = None,
        wait: bool = True,
        part: Part | None = None,
    ) -> HeadOverview:
        """Every head over all of the neuron's prompts: mean attribution and how often it is active.

        Without `wait` over the prompts the running scan has so far; with `part` over the top prompts of that
        part of the corpus. For a neuron that never fires there are none, and the note says so.
        """
        cut = self.settings.trimmed if trimmed is None else trimmed
        return self._heads.overview(neuron, trimmed=cut, sign=self._sign(None), wait=wait, part=part)

    # --- ablation (method.md, section 6) ---

    def ablate(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod = "zero",
        positions: AblationPositions | None = None,
        trimmed: bool | None = None,
        part: Part | None = None,
    ) -> HeadAblation:
        """What the neuron and its token do without a head, on each of the neuron's prompts.

        Args:
            method: "zero", the head's "mean" over a corpus sample, or "resample" from another prompt.
            positions: at the "peak" (default), or at "all" positions (default of preset paper).
            trimmed: run the trimmed context instead of the full window; the setting `trimmed` by default.
            part: only the top prompts of this part of the corpus.
        Raises:
            LookupsError: the head does not reach the neuron, or the neuron never fires.
            UnsupportedModelError: the raw basis, in which no attribution says where a head is active.
        """
        checks.check_ablation(method, positions)
        cut = self.settings.trimmed if trimmed is None else trimmed
        sign = self._sign(None)
        return self._heads.ablate(
            neuron, head, method=method, positions=positions, trimmed=cut, sign=sign, part=part
        )


def _numbers(layers: tuple[int, ...]) -> str:
    return ",".join(map(str, layers))
