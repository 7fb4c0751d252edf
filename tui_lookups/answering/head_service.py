"""Questions about heads as the Explorer answers them: attribution at one place, and ablation.

Each is answered from the cache where it can be. In the raw basis all of them refuse, before anything is
scanned: no sum closes there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_ablation, check_attribution
from tui_lookups.answering.corpus_means import corpus_means
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.neuron_places import Place, check_reaches, place_of
from tui_lookups.answering.passes import Asked
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    AblationMethod,
    AblationPositions,
    HeadAblation,
    HeadAttributions,
    Part,
    Prompt,
    Provenance,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tui_lookups.answering.answers import Ablated
    from tui_lookups.answering.peak_inputs import PeakInput
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results.conventions import Conventions


@dataclass(frozen=True, slots=True)
class HeadsAtPass:
    """The heads at one place; a worker can be given it."""

    neuron: NeuronId
    place: Place
    sources: HeadId | None
    conventions: Conventions
    provenance: Provenance

    def __call__(self, model: LookupModel, poll: Poll) -> HeadAttributions:
        """The exact decomposition there. Raises as `decompose` does."""
        from tui_lookups.answering.answers import head_attributions

        return head_attributions(
            model,
            self.neuron,
            self.place.input,
            prompt=self.place.prompt,
            context=self.place.context,
            sources=self.sources,
            conventions=self.conventions,
            provenance=self.provenance,
            poll=poll,
        )


@dataclass(frozen=True, slots=True, eq=False)
class AblationPass:
    """One head taken out of a neuron's prompts, or of a text; a worker can be given it.

    `mean` is the head's over the corpus, where that is put in its place: [d_head].
    """

    neuron: NeuronId
    head: HeadId
    given: tuple[Prompt, ...] | PeakInput
    method: AblationMethod
    positions: AblationPositions
    conventions: Conventions
    mean: npt.NDArray[np.float64] | None

    def __call__(self, model: LookupModel, poll: Poll) -> Ablated:
        """What comes of each prompt."""
        from tui_lookups.answering.answers import ablated_head

        return ablated_head(
            model,
            self.neuron,
            self.head,
            self.given,
            method=self.method,
            positions=self.positions,
            conventions=self.conventions,
            mean=self.mean,
            poll=poll,
        )


_REVISION = 2
"""Part of these answers' cache keys. Of the first, some were of full windows and said "trimmed"."""


class HeadService:
    """The heads of one Explorer's neurons. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession, prompts: PromptService) -> None:
        self._engine = engine
        self._scan = scan
        self._prompts = prompts

    def heads(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None,
        prompt_id: int | None,
        text: str | None,
        position: int | None,
        sources: HeadId | None,
        trimmed: bool | None,
    ) -> HeadAttributions:
        """The decomposition at the peak of a prompt of the neuron, or of a text. See `Explorer.heads`."""
        conventions = self._engine.conventions(trimmed=trimmed)
        self._check(neuron, sources)
        peak = place_of(
            self._engine,
            self._prompts,
            neuron,
            conventions,
            prompt=prompt,
            prompt_id=prompt_id,
            text=text,
            position=None if text is None else position,
        )
        attributions = self._asked(neuron, peak, sources, conventions).by(self._engine)
        return self._shown(attributions, peak)

    def asked(
        self, neuron: NeuronId, prompt_id: int, sources: HeadId, *, trimmed: bool
    ) -> Asked[HeadAttributions]:
        """What `heads` answers of a prompt, as a question that is still to be asked of who has the model."""
        conventions = self._engine.conventions(trimmed=trimmed)
        self._check(neuron, sources)
        peak = place_of(self._engine, self._prompts, neuron, conventions, prompt_id=prompt_id)
        return self._asked(neuron, peak, sources, conventions)

    def _asked(
        self, neuron: NeuronId, peak: Place, sources: HeadId | None, conventions: Conventions
    ) -> Asked[HeadAttributions]:
        engine, place, shown = self._engine, peak.input, peak.prompt
        question = {"context": peak.context, "sources": None if sources is None else str(sources)}
        key = engine.key(
            "heads",
            conventions,
            corpus=shown is not None,
            neuron=str(neuron),
            prompt_id=None if shown is None else shown.prompt_id,
            ids=list(place.ids),
            position=place.position,
            sign=place.sign,
            revision=_REVISION,
            **question,
        )
        answer = engine.cached(key, HeadAttributions)
        if answer is not None and any(source.weight is None for source in answer.sources):
            answer = None  # of an earlier version

        def provenance() -> Provenance:
            return engine.provenance(corpus=shown is not None, **question, **choices("heads", conventions))

        def made(found: HeadAttributions) -> HeadAttributions:
            return replace(found, provenance=provenance())  # by now it is known where the model runs

        return Asked(key, answer, HeadsAtPass(neuron, peak, sources, conventions, provenance()), made)

    def _shown(self, attributions: HeadAttributions, peak: Place) -> HeadAttributions:
        at_peak = attributions.tokens[attributions.position].id
        attributions = replace(attributions, special=at_peak in self._engine.vocabulary().special_ids)
        return attributions if peak.prompt is None else replace(attributions, rank=peak.prompt.rank)

    # --- ablation (method.md, section 6) ---

    def ablation(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        method: AblationMethod,
        positions: AblationPositions | None,
        trimmed: bool | None,
        part: Part | None,
        text: str | None = None,
    ) -> Asked[HeadAblation]:
        """One head ablated on each of the neuron's prompts, or on a text. See `Explorer.ablate`.

        Returns a question that is still to be asked of whoever has the model.
        """
        check_ablation(method, positions)
        engine = self._engine
        conventions = engine.conventions(trimmed=trimmed)
        self._check(neuron, head)
        where = positions or ("all" if conventions.preset == "paper" else "peak")
        given: tuple[Prompt, ...] | PeakInput
        if text is not None:
            given = place_of(engine, self._prompts, neuron, conventions, text=text).input
        else:
            listed = self._prompts.prompts(neuron, sign=conventions.sign, part=part)
            if listed.note:
                raise LookupsError(listed.note, "There is nothing to ablate; ask about another neuron.")
            given = listed.prompts
        question = {
            "method": method,
            "positions": where,
            "sample": conventions.mean_sample if method == "mean" else 0,
            **({} if part is None else {"part": part}),
        }
        of_corpus = text is None or method == "mean"  # the mean is over prompts of it
        key = engine.key(
            "ablation",
            conventions,
            corpus=of_corpus,
            neuron=str(neuron),
            head=str(head),
            revision=_REVISION,
            **({"index": self._scan.key()} if text is None else {"text": text}),
            **question,
        )
        answer, mean, drawn = engine.cached(key, HeadAblation), None, 0
        if answer is None and method == "mean":
            means, drawn = corpus_means(engine, engine.on_model, "z", conventions)
            mean = means[head.layer, head.index]

        def made(ablated: Ablated) -> HeadAblation:
            from tui_lookups.analysis.ablation import summarise

            context = conventions.context if text is None else "text"
            provenance = engine.provenance(corpus=of_corpus, **question, **choices("ablation", conventions))
            return HeadAblation(
                neuron, head, method, where, context, ablated.rule, conventions.seed, drawn,
                ablated.prompts, summarise(ablated.prompts), provenance,
            )  # fmt: skip

        return Asked(key, answer, AblationPass(neuron, head, given, method, where, conventions, mean), made)

    def _check(self, neuron: NeuronId, head: HeadId | None) -> None:
        """Refuse at once what cannot be answered, before minutes of scanning."""
        self._engine.check_neuron(neuron)
        if head is not None:
            check_reaches(self._engine, head, neuron)
        check_attribution(self._engine.basis)
