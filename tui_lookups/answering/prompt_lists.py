"""Prompts lists of many neurons, made together: those of `PromptService.prompts`, under the same keys.

See method.md, sections 3 and 12.

1. Neurons of a layer that have a prompt in common share its passes: that of the full window, in which each
   neuron is read at every token, and those of its shortened texts (analysis/trimming.py).
2. A few windows are one piece of work, for this process or a worker (passes.py). Which ones go together rests
   on the neurons alone: lists come out the same, to the last digit, wherever somebody ended the work before.
3. Each list is kept in the cache as soon as its last window was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui_lookups.answering.cached_prompts import list_of, prompts_key
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.passes import Passes, ahead_of_turn
from tui_lookups.answering.peak_inputs import PARTS, Entry, top_entries, why_silent
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import NeuronPrompts, Part, Preset, TokenCongruence
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    from tui_lookups.analysis.batches import Ids, Reading
    from tui_lookups.answering.answers import PromptSeen
    from tui_lookups.model.lookup_model import LookupModel

TOGETHER = 32
"""Most neurons of a layer that are asked about together: it bounds the memory that they take."""

_AT_ONCE = 4
"""Windows of one piece of work: nobody else is answered meanwhile."""


@dataclass(frozen=True, slots=True)
class PromptsPass:
    """Some windows, and the peaks that neurons of a layer have in them; a worker can be given it."""

    rows: tuple[Ids, ...]
    peaks: tuple[Reading, ...]
    preset: Preset
    trim: bool

    def __call__(self, model: LookupModel, poll: Poll) -> list[PromptSeen]:
        """What is seen of each peak."""
        from tui_lookups.answering.answers import see_prompts

        return see_prompts(model, self.rows, self.peaks, preset=self.preset, poll=poll, trim=self.trim)


@dataclass(frozen=True, slots=True)
class BestTokens:
    """The token that each of these neurons promotes most; a worker can be given it."""

    neurons: tuple[NeuronId, ...]

    def __call__(self, model: LookupModel, poll: Poll) -> list[TokenCongruence]:
        """One for each neuron."""
        from tui_lookups.answering.answers import best_token

        return [best_token(model, neuron) for neuron in self.neurons]


@dataclass(frozen=True, slots=True)
class ListsAsked:
    """Which of a neuron's prompts are asked for, as `PromptService.prompts` has it."""

    top: int
    conventions: Conventions
    part: Part | None = None
    trim: bool = True


@dataclass(frozen=True, slots=True)
class _Group:
    """Neurons of a layer whose lists are made together.

    Attributes:
        missing: those that have no list yet, by their number.
        entries: of each neuron.
        read: in each of the passes that are needed, the peaks: a neuron's number, and that of its entry.
    """

    neurons: Sequence[NeuronId]
    missing: frozenset[int]
    entries: Sequence[Sequence[Entry]]
    read: Sequence[Sequence[tuple[int, int]]]


class PromptLists:
    """The prompts lists of one Explorer's neurons, many at a time. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession) -> None:
        self._engine = engine
        self._scan = scan

    def made(
        self,
        groups: Iterable[Sequence[NeuronId]],
        asked: ListsAsked,
        passes: Passes,
        told: Callable[[float], None] = lambda share: None,
    ) -> Iterator[Sequence[NeuronId]]:
        """The groups, neurons of one layer each, in their order: each once its lists are in the cache.

        Args:
            passes: runs the passes; those of some groups are added ahead of their turn.
            told: which share of the passes was made for the group whose turn it is.
        """
        self._scan.wait()
        yield from ahead_of_turn(
            passes,
            groups,
            lambda neurons: self._begin(neurons, asked, passes),
            lambda group: self._end(group, asked, passes, told),
        )

    def _begin(self, neurons: Sequence[NeuronId], asked: ListsAsked, passes: Passes) -> _Group:
        """Adds the passes of the lists that are not in the cache."""
        from tui_lookups.analysis.batches import Reading

        keys = [self._key(neuron, asked) for neuron in neurons]
        missing = frozenset(
            n for n, key in enumerate(keys) if self._engine.cached(key, NeuronPrompts) is None
        )
        if not missing:
            return _Group(neurons, missing, (), ())
        entries = [self._entries(neuron, asked) for neuron in neurons]
        in_window = self._in_window(entries)
        windows = sorted(in_window, key=lambda window: (len(window), window))
        read: list[list[tuple[int, int]]] = []
        passes.add([BestTokens(tuple(neurons))])
        for start in range(0, len(windows), _AT_ONCE):
            rows = windows[start : start + _AT_ONCE]
            places = [(row, *place) for row, window in enumerate(rows) for place in in_window[window]]
            if missing.isdisjoint(number for _, number, _ in places):
                continue
            peaks = (
                Reading(neurons[number], row, entry.position, entry.sign)
                for row, number, place in places
                for entry in (entries[number][place],)
            )
            preset = asked.conventions.preset
            passes.add([PromptsPass(tuple(rows), tuple(peaks), preset, asked.trim)])
            read.append([(number, place) for _, number, place in places])
        return _Group(neurons, missing, entries, read)

    def peaks(self, neurons: Sequence[NeuronId], asked: ListsAsked) -> list[list[int]] | None:
        """The positions of these neurons' peaks in each of their prompts; None while there is no index."""
        if self._scan.index() is None:
            return None
        entries = [self._entries(neuron, asked) for neuron in neurons]
        return [
            [entries[number][place].position for number, place in places]
            for places in self._in_window(entries).values()
        ]

    def _entries(self, neuron: NeuronId, asked: ListsAsked) -> list[Entry]:
        """The neuron's top prompts by the finished index; none where it never fires."""
        record, part = self._scan.require(neuron), asked.part
        if why_silent(record, asked.conventions):
            return []
        number = None if part is None else PARTS.index(part)
        return top_entries(record, asked.top, asked.conventions.sign, number)

    def _in_window(self, entries: Sequence[Sequence[Entry]]) -> dict[Ids, list[tuple[int, int]]]:
        """By window, its tokens: whose peaks are in it, by a neuron's number and that of its entry."""
        corpus = self._engine.corpus(arrays=True)
        in_window: dict[Ids, list[tuple[int, int]]] = {}
        for number, of_neuron in enumerate(entries):
            for place, entry in enumerate(of_neuron):
                window = tuple(corpus.window_tokens(entry.prompt_id).tolist())
                in_window.setdefault(window, []).append((number, place))
        return in_window

    def _end(
        self, group: _Group, asked: ListsAsked, passes: Passes, told: Callable[[float], None]
    ) -> Sequence[NeuronId]:
        """Keeps the lists that were not known, each when its last pass was run."""
        if not group.missing:
            return group.neurons
        best: list[TokenCongruence] = passes.next()
        seen: dict[int, dict[int, PromptSeen]] = {number: {} for number in group.missing}
        for done in range(len(group.read) + 1):
            if done:
                for (number, place), of_peak in zip(group.read[done - 1], passes.next(), strict=True):
                    if number in group.missing:
                        seen[number][place] = of_peak
            for number in [n for n, of_peaks in seen.items() if len(of_peaks) == len(group.entries[n])]:
                self._keep(
                    group.neurons[number], best[number], group.entries[number], seen.pop(number), asked
                )
            told(done / max(1, len(group.read)))
        return group.neurons

    def _keep(
        self,
        neuron: NeuronId,
        best: TokenCongruence,
        entries: Sequence[Entry],
        seen: dict[int, PromptSeen],
        asked: ListsAsked,
    ) -> None:
        from tui_lookups.answering.answers import prompt_of

        engine, record = self._engine, self._scan.require(neuron)
        corpus, vocabulary = engine.corpus(), engine.vocabulary()
        prompts = [
            prompt_of(
                place + 1,
                entry,
                vocabulary.tokens(corpus.window_tokens(entry.prompt_id).tolist()),
                seen[place],
                vocabulary.special_ids,
            )
            for place, entry in enumerate(entries)
        ]
        made = list_of(
            engine,
            best,
            record,
            prompts,
            asked.conventions,
            top=asked.top,
            part=asked.part,
            note=why_silent(record, asked.conventions),
        )
        engine.keep(self._key(neuron, asked), made)

    def _key(self, neuron: NeuronId, asked: ListsAsked) -> str:
        conventions = asked.conventions
        return prompts_key(self._engine, self._scan, neuron, asked.top, asked.part, conventions, asked.trim)
