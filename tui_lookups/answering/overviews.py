"""Every head over all the prompts of a neuron, or of several neurons of a layer.

See method.md, sections 4 and 12.

1. The prompts are those of the finished index: their ids, peaks and signs are all that the full windows need.
   Trimmed contexts, and preset "paper", which leaves prompts out by their length, need the prompts list.
2. Texts up to their peaks that begin alike are one row of a forward pass: attention is causal. So neurons of
   a layer that share a prompt share its pass, and each reads it at its own peak.
3. Rows run together by their length, a few of them in a job of the model thread, so that other questions need
   not wait. Which ones run together rests on the neurons alone, not on what is in the cache already: figures
   come out the same, to the last digit, wherever somebody ended the work before.
4. Each neuron's overview is kept in the cache as soon as its last row was run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_attribution, check_firing_sign
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.peak_inputs import PeakInput, input_of_prompt, top_entries, why_silent
from tui_lookups.answering.prompt_service import PARTS, PromptService
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import HeadOverview, NeuronPrompts, Part
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    from tui_lookups.analysis.batches import SharedPass
    from tui_lookups.answering.answers import HeadsSeen
    from tui_lookups.model.lookup_model import LookupModel

_REVISION = 2
"""Part of these answers' cache keys. Of the first, some were of full windows and said "trimmed"."""


class Peaks(NamedTuple):
    """Where a neuron's heads are looked at; `note` says why nowhere, where it never fires."""

    neuron: NeuronId
    places: tuple[PeakInput, ...]
    note: str


class _Peak(NamedTuple):
    """One of the places of several neurons; `number` is the neuron's among them."""

    number: int
    neuron: NeuronId
    place: PeakInput


class HeadOverviews:
    """The overviews of one Explorer's neurons. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession, prompts: PromptService) -> None:
        self._engine = engine
        self._scan = scan
        self._prompts = prompts

    def overview(
        self, neuron: NeuronId, *, trimmed: bool | None, wait: bool = True, part: Part | None = None
    ) -> HeadOverview:
        """Every head over all of the neuron's prompts. See `Explorer.heads_overview`."""
        conventions = self._engine.conventions(trimmed=trimmed)
        self.check(neuron, conventions)
        if not wait and self._scan.index() is None:
            listed = self._prompts.prompts(neuron, sign=conventions.sign, wait=False, part=part)
            return self._work_out([self._of_list(listed, conventions)], conventions, part)[0]
        return self.of_layer([neuron], trimmed=trimmed, part=part)[0]

    def cached(
        self, neuron: NeuronId, *, trimmed: bool | None, part: Part | None = None
    ) -> HeadOverview | None:
        """The overview of a neuron where it is in the cache; never computes."""
        found = self._engine.cached(
            self._key(neuron, self._engine.conventions(trimmed=trimmed), part), HeadOverview
        )
        # One of an earlier version has no mean target.
        return None if found is None or (found.prompts and found.mean_target is None) else found

    def shares_passes(self, *, trimmed: bool | None) -> bool:
        """Whether neurons of a layer are worth asking about together: trimmed contexts seldom begin alike."""
        return not _needs_trims(self._engine.conventions(trimmed=trimmed))

    def of_layer(
        self,
        neurons: Sequence[NeuronId],
        *,
        trimmed: bool | None,
        part: Part | None = None,
        told: Callable[[int, float], None] = lambda finished, share: None,
    ) -> list[HeadOverview]:
        """The overviews of neurons of one layer, in their order.

        Args:
            told: how many of them are there, and which share of the passes for the others was made; never
                called where all are in the cache.
        """
        conventions = self._engine.conventions(trimmed=trimmed)
        for neuron in neurons:
            self.check(neuron, conventions)
        known = [self.cached(neuron, trimmed=trimmed, part=part) for neuron in neurons]
        missing = [number for number, found in enumerate(known) if found is None]
        if missing:
            peaks = [self.peaks(neuron, conventions, part) for neuron in neurons]

            def keep(number: int, found: HeadOverview) -> None:
                known[number] = self._engine.keep(self._key(neurons[number], conventions, part), found)

            def hear(share: float) -> None:
                told(sum(found is not None for found in known), share)

            self._work_out(peaks, conventions, part, missing, keep, hear)
        return [found for found in known if found is not None]

    def check(self, neuron: NeuronId, conventions: Conventions) -> None:
        """Refuse at once what cannot be answered, before minutes of scanning."""
        self._engine.check_neuron(neuron)
        check_attribution(self._engine.basis)
        check_firing_sign(conventions.sign, gated=self._engine.model_info().gated)

    def _key(self, neuron: NeuronId, conventions: Conventions, part: Part | None) -> str:
        return self._engine.key(
            "overview",
            conventions,
            corpus=True,
            neuron=str(neuron),
            index=self._scan.key(),
            revision=_REVISION,
            **_question(part),
        )

    # --- where ---

    def peaks(self, neuron: NeuronId, conventions: Conventions, part: Part | None) -> Peaks:
        """The neuron's peaks by the finished index, which is waited for; where trims count, by its list."""
        self._scan.wait()
        if _needs_trims(conventions):
            return self._of_list(self._prompts.prompts(neuron, sign=conventions.sign, part=part), conventions)
        record, corpus = self._scan.require(neuron), self._engine.corpus(arrays=True)
        if silent := why_silent(record, conventions):
            return Peaks(neuron, (), silent)
        number = None if part is None else PARTS.index(part)
        entries = top_entries(record, self._scan.top, conventions.sign, number)
        windows = (tuple(corpus.window_tokens(entry.prompt_id).tolist()) for entry in entries)
        places = (PeakInput(ids, e.position, e.sign) for ids, e in zip(windows, entries, strict=True))
        return Peaks(neuron, tuple(places), "")

    def _of_list(self, listed: NeuronPrompts, conventions: Conventions) -> Peaks:
        from tui_lookups.answering.answers import counted_prompts

        bos_id, prompts = self._engine.vocabulary().bos_id, listed.prompts
        if _needs_trims(conventions):
            prompts = self._prompts.with_trims(listed.neuron, prompts)
        counted = counted_prompts(prompts, conventions.preset, bos_id)
        places = (input_of_prompt(bos_id, prompt, trimmed=conventions.trimmed) for prompt in counted)
        return Peaks(listed.neuron, tuple(places), listed.note)

    # --- how ---

    def _work_out(
        self,
        peaks: Sequence[Peaks],
        conventions: Conventions,
        part: Part | None,
        wanted: Collection[int] = (0,),
        keep: Callable[[int, HeadOverview], object] = lambda number, found: None,
        told: Callable[[float], None] = lambda share: None,
    ) -> dict[int, HeadOverview]:
        """The overviews of the wanted ones, by their number, each handed to `keep` when it is there."""
        every = [_Peak(n, of.neuron, place) for n, of in enumerate(peaks) for place in of.places]
        mine = {n: [text for text, peak in enumerate(every) if peak.number == n] for n in wanted}
        passes = self._engine.on_model(lambda model, poll: _passes(model, every)) if every else []
        passes = [run for run in passes if any(every[text].number in mine for text, _ in run.read)]
        seen: dict[int, HeadsSeen] = {}
        made: dict[int, HeadOverview] = {}
        for done in range(len(passes) + 1):
            if done:
                seen |= self._run(passes[done - 1], every, conventions)
            for number in [n for n in mine if n not in made and all(text in seen for text in mine[n])]:
                rows = [seen.pop(text) for text in mine[number]]
                made[number] = self._overview(peaks[number], rows, conventions, part)
                keep(number, made[number])
            told(done / max(1, len(passes)))
        return made

    def _run(self, run: SharedPass, every: Sequence[_Peak], conventions: Conventions) -> dict[int, HeadsSeen]:
        """One forward pass: what was seen of the heads at each of the peaks that are in it, by its number."""
        peaks = [every[text] for text, _ in run.read]

        def work(model: LookupModel, poll: Poll) -> dict[int, HeadsSeen]:
            from tui_lookups.analysis.attribution import Place, decompose_places
            from tui_lookups.answering.answers import HeadsSeen

            places = [
                Place(peak.neuron, row, peak.place.position)
                for peak, (_, row) in zip(peaks, run.read, strict=True)
            ]
            found = decompose_places(model, run.rows, places, preset=conventions.preset, poll=poll)
            return {
                text: HeadsSeen(each.heads.ravel() * peak.place.sign, each.target * peak.place.sign)
                for (text, _), peak, each in zip(run.read, peaks, found, strict=True)
            }

        return self._engine.on_model(work)

    def _overview(
        self, of: Peaks, seen: Sequence[HeadsSeen], conventions: Conventions, part: Part | None
    ) -> HeadOverview:
        from tui_lookups.answering.answers import head_overview

        provenance = self._engine.provenance(
            corpus=True, prompts=len(seen), **choices("overview", conventions), **_question(part)
        )
        n_heads = self._engine.model_info().n_heads
        found = head_overview(of.neuron, seen, n_heads, conventions=conventions, provenance=provenance)
        return replace(found, note=of.note)


def _passes(model: LookupModel, every: Sequence[_Peak]) -> list[SharedPass]:
    from tui_lookups.analysis.attribution import most_tokens
    from tui_lookups.analysis.batches import shared_passes

    return shared_passes([p.place.ids[: p.place.position + 1] for p in every], most_tokens(model))


def _needs_trims(conventions: Conventions) -> bool:
    """Preset "paper" leaves prompts out by the length of their trimmed context."""
    return conventions.trimmed or conventions.preset == "paper"


def _question(part: Part | None) -> dict[str, str]:
    return {} if part is None else {"part": part}
