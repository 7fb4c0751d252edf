"""Surveys, as the Explorer answers them (method.md, section 12).

1. The neurons are the atlas': the next-token neurons of the layers of the settings.
2. Each neuron's heads over all its prompts are an answer of their own (`HeadOverviews`), kept in the cache as
   soon as it is there. A survey that was ended on its way, however it was, goes on there.
3. Neurons of a layer are asked about together, so many at a time, and share the passes over prompts that they
   have in common, those that trim them among them. The passes are run by whoever scans: this process, or
   workers of Ray.
4. The tables are put together from these answers as they come: they are the figures of the single questions,
   and of a neuron no more is kept in memory than its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import tee

from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.overviews import HeadOverviews, needs_trims
from tui_lookups.answering.passes import Passes, passes_of
from tui_lookups.answering.prompt_lists import TOGETHER, ListsAsked, PromptLists
from tui_lookups.answering.survey_tables import SurveyTables
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.progress import heard_by, listener
from tui_lookups.results import (
    Atlas,
    AtlasNeuron,
    HeadOverview,
    Part,
    ServedNeurons,
    Survey,
    SurveyPlan,
    SurveyProgress,
)
from tui_lookups.results.conventions import Conventions, chosen_on
from tui_lookups.settings_values import format_layers

_TELL_SECONDS = 0.5
"""Least time between two tellings of what a survey has so far."""

_TRIMMING = 0.9
"""About the share of the passes of trimmed prompts that trim them."""


class SurveyService:
    """The surveys of one Explorer's model. Thread-safe."""

    def __init__(
        self, engine: Engine, atlas: AtlasService, lists: PromptLists, overviews: HeadOverviews
    ) -> None:
        self._engine = engine
        self._atlas = atlas
        self._lists = lists
        self._overviews = overviews

    def plan(self, per_layer: int, *, layers: Sequence[int] | None, trimmed: bool | None) -> SurveyPlan:
        """See `Explorer.survey_plan`."""
        atlas = self._neurons(per_layer, self._checked(layers))
        listed = [neuron.neuron for neuron in _neurons_of(atlas)]
        info, done, worth, with_pairs = self._engine.model_info(), 0, 0, 0
        missing: set[NeuronId] = set()
        for neuron in listed:
            cached = self._overviews.cached(neuron, trimmed=trimmed, part=self._part)
            mine = 0 if cached is None else sum(head.worth_explaining for head in cached.heads)
            done, worth, with_pairs = done + (cached is not None), worth + mine, with_pairs + (mine > 0)
            missing |= {neuron} if cached is None else set()
        return SurveyPlan(
            layers=tuple(layer.layer for layer in atlas.layers),
            neurons=len(listed),
            done=done,
            prompts=self._engine.settings.top,
            texts=self._texts(atlas, missing, trimmed),
            pairs=sum((info.last_head_layer(neuron.layer) + 1) * info.n_heads for neuron in listed),
            worth_explaining=worth,
            with_pairs=with_pairs,
        )

    def survey(
        self,
        per_layer: int,
        *,
        layers: Sequence[int] | None,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[Survey], None] | None,
    ) -> Survey:
        """See `Explorer.survey`."""
        atlas = self._neurons(per_layer, self._checked(layers))
        return self._grown(atlas, trimmed, progress, so_far)

    def served_by(
        self,
        head: HeadId,
        per_layer: int,
        *,
        layers: Sequence[int] | None,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[ServedNeurons], None] | None,
    ) -> ServedNeurons:
        """See `Explorer.served_by`."""
        self._engine.check_head(head)
        info = self._engine.model_info()
        # The others' neurons count in none of the head's figures.
        reached = [layer for layer in self._checked(layers) if info.last_head_layer(layer) >= head.layer]
        if not reached:
            raise _reaches_none(head)

        def part(survey: Survey) -> None:
            served = _served(survey, head)
            if served is not None and so_far is not None:
                so_far(served)

        atlas = self._neurons(per_layer, reached)
        of_head = _served(self._grown(atlas, trimmed, progress, None if so_far is None else part), head)
        if of_head is None:
            raise _reaches_none(head)
        return of_head

    def _texts(self, atlas: Atlas, missing: set[NeuronId], trimmed: bool | None) -> int:
        """Run at most: each prompt as long as a window, and none shared, while the index is not there."""
        conventions = self._engine.conventions(trimmed=trimmed)
        asked, texts = self._asked(conventions), 0
        for group in _groups(atlas):
            neurons = [neuron.neuron for neuron in group]
            if not missing.isdisjoint(neurons):
                peaks = self._lists.peaks(neurons, asked)
                if peaks is None:
                    peaks = [[self._engine.settings.window - 1]] * (asked.top * len(neurons))
                texts += sum(_most_texts(of_prompt, conventions) for of_prompt in peaks)
        return texts

    def _asked(self, conventions: Conventions) -> ListsAsked:
        return ListsAsked(self._engine.settings.top, conventions, self._part)

    @property
    def _part(self) -> Part | None:
        return chosen_on(self._engine.conventions().preset)

    def _neurons(self, per_layer: int, layers: Sequence[int]) -> Atlas:
        return self._atlas.atlas(per_layer, None, None, lambda done, layers: None, layers)

    def _checked(self, layers: Sequence[int] | None) -> tuple[int, ...]:
        """The layers asked for, those of the settings where None. Raises LookupsError for any other."""
        there = self._engine.layers()
        if layers is None:
            return there
        missing = [layer for layer in layers if layer not in there]
        if missing or not layers:
            about = f"Layer {missing[0]} is not surveyed." if missing else "A survey needs a layer."
            raise LookupsError(about, f"The layers are {format_layers(there)} (--layers).")
        return tuple(sorted(set(layers)))

    def _grown(
        self,
        atlas: Atlas,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[Survey], None] | None,
    ) -> Survey:
        """The survey of these neurons; `so_far` is told it as it grows, now and then."""
        tables = SurveyTables()
        due = time.monotonic() + _TELL_SECONDS
        trims = needs_trims(self._engine.conventions(trimmed=trimmed))
        # Trimming is the most of it, and the heads of a group follow on it: what is ahead is trimming.
        with passes_of(self._engine) as first, passes_of(self._engine, ahead=0) as second:
            trimming, passes = (first, second) if trims else (None, first)
            for neuron, overview in self._rows(atlas, trimmed, trimming, passes, progress):
                tables.add(neuron, overview)
                if so_far is not None and time.monotonic() >= due:
                    so_far(self._survey(atlas, trimmed, tables))
                    due = time.monotonic() + _TELL_SECONDS
        return self._survey(atlas, trimmed, tables)

    def _survey(self, atlas: Atlas, trimmed: bool | None, tables: SurveyTables) -> Survey:
        engine = self._engine
        conventions = engine.conventions(trimmed=trimmed)
        return Survey(
            layers=tuple(layer.layer for layer in atlas.layers),
            per_layer=atlas.per_layer,
            sign=atlas.sign,
            context=conventions.context,
            activity_rule=conventions.activity_rule,
            neurons=tuple(tables.neurons),
            pairs=tuple(tables.pairs),
            heads=tables.heads(),
            by_layer=tables.by_layer(),
            active_shares=tables.active_shares(),
            provenance=replace(
                engine.provenance(
                    corpus=True,
                    per_layer=atlas.per_layer,
                    layers=",".join(str(layer.layer) for layer in atlas.layers),
                    **choices("overview", conventions),
                    **({} if self._part is None else {"part": self._part}),
                ),
                device=tables.device or atlas.provenance.device,
            ),
        )

    def _rows(
        self,
        atlas: Atlas,
        trimmed: bool | None,
        trimming: Passes | None,
        passes: Passes,
        progress: Callable[[SurveyProgress], None],
    ) -> Iterator[tuple[AtlasNeuron, HeadOverview]]:
        """Each neuron's heads, asked a layer's neurons at a time; `trimming` where these rest on trims."""
        groups = _groups(atlas)
        clock = _Clock(sum(len(group) for group in groups), progress)
        before = 0.0 if trimming is None else _TRIMMING
        asked: Iterator[Sequence[NeuronId]] = ([neuron.neuron for neuron in group] for group in groups)
        if trimming is not None:
            asked = self._trimmed(asked, trimmed, trimming, lambda share: clock.told(0, before * share))
        found = self._overviews.of_groups(
            asked,
            passes,
            trimmed=trimmed,
            part=self._part,
            told=lambda finished, share: clock.told(finished, before + (1 - before) * share),
        )
        for group in groups:
            with clock.timing(len(group)), heard_by(None):  # its passes are parts of this
                overviews = next(found)
            yield from zip(group, overviews, strict=True)

    def _trimmed(
        self,
        groups: Iterator[Sequence[NeuronId]],
        trimmed: bool | None,
        passes: Passes,
        told: Callable[[float], None],
    ) -> Iterator[Sequence[NeuronId]]:
        """The groups, each once the trimmed prompts of those neurons that are not known yet are listed."""
        conventions = self._engine.conventions(trimmed=trimmed)

        def unknown(neurons: Sequence[NeuronId]) -> Sequence[NeuronId]:
            for neuron in neurons:
                self._overviews.check(neuron, conventions)
            known = (self._overviews.cached(n, trimmed=trimmed, part=self._part) for n in neurons)
            return () if None not in known else neurons

        first, second = tee(groups)
        made = self._lists.made(map(unknown, first), self._asked(conventions), passes, told)
        return (group for group, _ in zip(second, made, strict=True))


class _Clock:
    """Tells how far a survey is, and how long the rest will take by what was worked out so far."""

    def __init__(self, total: int, progress: Callable[[SurveyProgress], None]) -> None:
        self._total, self._progress, self._hear = total, progress, listener()
        self._began = time.monotonic()
        self._start: float | None = None  # of the first pass: the scan and the loading are before it
        self._done = 0  # neurons
        self._neurons = 0  # those whose turn it is
        self._worked = 0.0  # as many neurons' passes before them, all made since `_start`
        self._share = 0.0  # of their passes
        self._tell(0, total)

    @contextmanager
    def timing(self, neurons: int) -> Iterator[None]:
        """It is the turn of so many neurons."""
        self._neurons, self._share = neurons, 0.0
        yield
        self._worked += self._share * neurons
        self._neurons, self._share = 0, 0.0
        self._done += neurons
        self._tell(self._done, self._total - self._done)

    def told(self, finished: int, share: float) -> None:
        """So many of the neurons whose turn it is are there, and such a share of their passes was made."""
        if self._start is None:
            self._start = time.monotonic()
        self._share = share
        self._tell(self._done + finished, self._total - self._done - share * self._neurons)

    def _tell(self, done: int, to_go: float) -> None:
        now = time.monotonic()
        left = 0.0 if done == self._total else None
        worked = self._worked + self._share * self._neurons
        if left is None and self._start is not None and worked:
            left = (now - self._start) / worked * to_go
        share = 1 - to_go / self._total if self._total else 1.0
        so_far = SurveyProgress(done, self._total, now - self._began, left, share)
        self._progress(so_far)
        self._hear(so_far.under_way)


def _served(survey: Survey, head: HeadId) -> ServedNeurons | None:
    """A head's part of a survey; None where it reaches none of the neurons that have prompts."""
    own = next((row for row in survey.heads if row.head == head), None)
    if own is None:
        return None
    pairs = sorted((p for p in survey.pairs if p.head == head), key=lambda pair: -pair.mean_attribution)
    return ServedNeurons(own, tuple(pairs), survey.provenance)


def _reaches_none(head: HeadId) -> LookupsError:
    return LookupsError(f"{head} reaches none of the surveyed neurons.", "Survey later layers: --layers.")


def _groups(atlas: Atlas) -> list[Sequence[AtlasNeuron]]:
    """Neurons that are asked about together, each of one layer."""
    return [
        layer.neurons[start : start + TOGETHER]
        for layer in atlas.layers
        for start in range(0, len(layer.neurons), TOGETHER)
    ]


def _most_texts(peaks: Sequence[int], conventions: Conventions) -> int:
    """Run at most for peaks at these positions of one prompt.

    The prompt for all of them; where they are trimmed, it and what shortened texts are tried (trimming.py)
    before, and each trimmed context after.
    """
    if not needs_trims(conventions):
        return 1
    bisected = sum(position.bit_length() for position in peaks)
    tried = bisected if conventions.preset == "paper" else max(peaks)
    return 2 + tried + (len(peaks) if conventions.trimmed else 1)


def _neurons_of(atlas: Atlas) -> Iterator[AtlasNeuron]:
    return (neuron for layer in atlas.layers for neuron in layer.neurons)
