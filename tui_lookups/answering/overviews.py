"""Every head over all the prompts of a neuron, or of several neurons of a layer.

See method.md, sections 4 and 12.

1. The prompts are those of the finished index: their ids, peaks and signs are all that the full windows need.
   Trimmed contexts, and preset "paper", which leaves prompts out by their length, need the prompts list;
   those of many neurons are made together (prompt_lists.py).
2. Texts up to their peaks that begin alike are one row of a forward pass: attention is causal. So neurons of
   a layer that share a prompt share its pass, and each reads it at its own peak.
3. Rows run together by their length, a few of them in a pass, so that other questions need not wait. Which
   ones run together rests on the neurons alone, not on what is in the cache already nor on who runs them
   (passes.py): figures come out the same, to the last digit, wherever somebody ended the work before.
4. Each neuron's overview is kept in the cache as soon as its last row was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_attribution, check_firing_sign
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.passes import Passes, PassesHere, ahead_of_turn
from tui_lookups.answering.peak_inputs import PARTS, PeakInput, input_of_prompt, top_entries, why_silent
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import HeadOverview, NeuronPrompts, Part, Preset
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    from tui_lookups.analysis.batches import Ids, Reading
    from tui_lookups.answering.answers import HeadsSeen
    from tui_lookups.model.lookup_model import LookupModel

_REVISION = 2
"""Part of these answers' cache keys. Of the first, some were of full windows and said "trimmed"."""


class Peaks(NamedTuple):
    """Where a neuron's heads are looked at; `note` says why nowhere, where it never fires."""

    neuron: NeuronId
    places: tuple[PeakInput, ...]
    note: str


@dataclass(frozen=True, slots=True)
class HeadsPass:
    """One forward pass, and the heads at each of the peaks in it; a worker can be given it."""

    rows: tuple[Ids, ...]
    readings: tuple[Reading, ...]
    preset: Preset

    def __call__(self, model: LookupModel, poll: Poll) -> list[HeadsSeen]:
        """What is seen at each of the peaks. Raises as `decompose_places` does."""
        from tui_lookups.analysis.attribution import Place, decompose_places
        from tui_lookups.answering.answers import HeadsSeen

        places = [Place(reading.neuron, reading.row, reading.position) for reading in self.readings]
        decompositions = decompose_places(model, self.rows, places, preset=self.preset, poll=poll)
        return [
            HeadsSeen(parts.heads.ravel() * reading.sign, parts.target * reading.sign)
            for parts, reading in zip(decompositions, self.readings, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Group:
    """Neurons of a layer that are asked about together.

    Attributes:
        known: the overviews that were in the cache.
        peaks: of each neuron; of none, where all are known.
        texts: of each neuron that is not known, its peaks by their numbers among those of all.
        read: in each of the passes that it needs, the numbers of the peaks that are read.
    """

    neurons: Sequence[NeuronId]
    known: Sequence[HeadOverview | None]
    peaks: Sequence[Peaks]
    texts: dict[int, list[int]]
    read: Sequence[list[int]]


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
        here = PassesHere(self._engine)
        if not wait and self._scan.index() is None:
            listed = self._prompts.prompts(neuron, sign=conventions.sign, wait=False, part=part)
            group = self._group([neuron], [None], [self._of_list(listed, conventions)], conventions, here)
            return self._work_out(group, conventions, part, here)[0]
        return next(self.of_groups([[neuron]], here, trimmed=trimmed, part=part))[0]

    def cached(
        self, neuron: NeuronId, *, trimmed: bool | None, part: Part | None = None
    ) -> HeadOverview | None:
        """The overview of a neuron where it is in the cache; never computes."""
        return self._cached(neuron, self._engine.conventions(trimmed=trimmed), part)

    def _cached(self, neuron: NeuronId, conventions: Conventions, part: Part | None) -> HeadOverview | None:
        overview = self._engine.cached(self._key(neuron, conventions, part), HeadOverview)
        # One of an earlier version has no mean target.
        return None if overview is None or (overview.prompts and overview.mean_target is None) else overview

    def of_groups(
        self,
        groups: Iterable[Sequence[NeuronId]],
        passes: Passes,
        *,
        trimmed: bool | None,
        part: Part | None = None,
        told: Callable[[int, float], None] = lambda finished, share: None,
    ) -> Iterator[list[HeadOverview]]:
        """The overviews of groups of neurons, each of one layer, in their order.

        Args:
            passes: runs the forward passes; those of some groups are added ahead of their turn.
            told: how many of the group whose turn it is are there, and which share of the passes for its
                others was made; never called for a group that is in the cache.
        """
        conventions = self._engine.conventions(trimmed=trimmed)
        yield from ahead_of_turn(
            passes,
            groups,
            lambda neurons: self._begin(neurons, conventions, part, passes),
            lambda group: self._end(group, conventions, part, passes, told),
        )

    def _begin(
        self, neurons: Sequence[NeuronId], conventions: Conventions, part: Part | None, passes: Passes
    ) -> _Group:
        """Adds the passes of the neurons that are not in the cache."""
        for neuron in neurons:
            self.check(neuron, conventions)
        cached = [self._cached(neuron, conventions, part) for neuron in neurons]
        if None not in cached:
            return _Group(neurons, cached, (), {}, ())
        peaks = [self.peaks(neuron, conventions, part) for neuron in neurons]
        return self._group(neurons, cached, peaks, conventions, passes)

    def _end(
        self,
        group: _Group,
        conventions: Conventions,
        part: Part | None,
        passes: Passes,
        told: Callable[[int, float], None],
    ) -> list[HeadOverview]:
        """The group's overviews, each kept in the cache when its last pass was run."""
        overviews = list(group.known)

        def keep(number: int, found: HeadOverview) -> None:
            overviews[number] = self._engine.keep(self._key(group.neurons[number], conventions, part), found)

        def hear(share: float) -> None:
            told(sum(overview is not None for overview in overviews), share)

        if None in overviews:
            self._work_out(group, conventions, part, passes, keep, hear)
        return [overview for overview in overviews if overview is not None]

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
        if needs_trims(conventions):
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
        if needs_trims(conventions):
            prompts = self._prompts.with_trims(listed.neuron, prompts)
        counted = counted_prompts(prompts, conventions.preset, bos_id)
        places = (input_of_prompt(bos_id, prompt, trimmed=conventions.trimmed) for prompt in counted)
        return Peaks(listed.neuron, tuple(places), listed.note)

    # --- how ---

    def _group(
        self,
        neurons: Sequence[NeuronId],
        known: Sequence[HeadOverview | None],
        peaks: Sequence[Peaks],
        conventions: Conventions,
        passes: Passes,
    ) -> _Group:
        """Adds the passes that the neurons which are not known need."""
        from tui_lookups.analysis.attribution import most_tokens
        from tui_lookups.analysis.batches import Reading, shared_passes

        every = [(number, place) for number, of in enumerate(peaks) for place in of.places]
        texts: dict[int, list[int]] = {n: [] for n, overview in enumerate(known) if overview is None}
        for text, (number, _) in enumerate(every):
            if number in texts:
                texts[number].append(text)
        runs = []
        if every:
            rows = [place.ids[: place.position + 1] for _, place in every]
            runs = shared_passes(rows, most_tokens(passes.device()))
        runs = [run for run in runs if any(every[text][0] in texts for text, _ in run.read)]

        def reading(text: int, row: int) -> Reading:
            number, place = every[text]
            return Reading(peaks[number].neuron, row, place.position, place.sign)

        passes.add(
            HeadsPass(run.rows, tuple(reading(*of) for of in run.read), conventions.preset) for run in runs
        )
        return _Group(neurons, known, peaks, texts, [[text for text, _ in run.read] for run in runs])

    def _work_out(
        self,
        group: _Group,
        conventions: Conventions,
        part: Part | None,
        passes: Passes,
        keep: Callable[[int, HeadOverview], object] = lambda number, found: None,
        told: Callable[[float], None] = lambda share: None,
    ) -> dict[int, HeadOverview]:
        """The overviews that are not known, by their number, each handed to `keep` when it is there."""
        seen: dict[int, HeadsSeen] = {}
        made: dict[int, HeadOverview] = {}
        for done in range(len(group.read) + 1):
            if done:
                seen |= zip(group.read[done - 1], passes.next(), strict=True)
            for number, texts in group.texts.items():
                if number not in made and all(text in seen for text in texts):
                    rows = [seen.pop(text) for text in texts]
                    made[number] = self._overview(group.peaks[number], rows, conventions, part)
                    keep(number, made[number])
            told(done / max(1, len(group.read)))
        return made

    def _overview(
        self, of: Peaks, seen: Sequence[HeadsSeen], conventions: Conventions, part: Part | None
    ) -> HeadOverview:
        from tui_lookups.answering.answers import head_overview

        provenance = self._engine.provenance(
            corpus=True, prompts=len(seen), **choices("overview", conventions), **_question(part)
        )
        n_heads = self._engine.model_info().n_heads
        overview = head_overview(of.neuron, seen, n_heads, conventions=conventions, provenance=provenance)
        return replace(overview, note=of.note)


def needs_trims(conventions: Conventions) -> bool:
    """Whether heads rest on trimmed contexts: preset "paper" leaves prompts out by the length of theirs."""
    return conventions.trimmed or conventions.preset == "paper"


def _question(part: Part | None) -> dict[str, str]:
    return {} if part is None else {"part": part}
