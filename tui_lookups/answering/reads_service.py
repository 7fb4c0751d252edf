"""What a head reads over all of a neuron's prompts, as the Explorer answers it (method.md, section 12).

1. Its attribution is split over the source tokens at the peak of each prompt (section 4), counted in the
   direction in which the prompt fires the neuron.
2. Token by token these parts are summed, and averaged over the prompts: together they are the head's mean
   attribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_count
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.neuron_places import check_reaches
from tui_lookups.answering.overviews import HeadOverviews
from tui_lookups.answering.peak_inputs import PeakInput
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import HeadReads, ReadToken
from tui_lookups.results.conventions import chosen_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results.conventions import Conventions


class ReadsService:
    """What the heads of one Explorer's model read. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession, overviews: HeadOverviews) -> None:
        self._engine = engine
        self._scan = scan
        self._overviews = overviews

    def reads(self, neuron: NeuronId, head: HeadId, *, top: int, trimmed: bool | None) -> HeadReads:
        """The tokens that a head reads most for a neuron. See `Explorer.head_reads`."""
        check_count("top", top)
        engine = self._engine
        conventions = engine.conventions(trimmed=trimmed)
        self._overviews.check(neuron, conventions)
        check_reaches(engine, head, neuron)
        key = engine.key(
            "head_reads", conventions, corpus=True, neuron=str(neuron), head=str(head),
            index=self._scan.key(), top=top, part=chosen_on(conventions.preset),
        )  # fmt: skip
        return engine.cached(key, HeadReads) or engine.keep(
            key, self._work_out(neuron, head, top, conventions)
        )

    def _work_out(self, neuron: NeuronId, head: HeadId, top: int, conventions: Conventions) -> HeadReads:
        engine = self._engine
        places = self._overviews.peaks(neuron, conventions, chosen_on(conventions.preset)).places

        def work(model: LookupModel, poll: Poll) -> HeadReads:
            from tui_lookups.analysis.attribution import decompose

            decompositions = decompose(
                model, neuron, [p.ids for p in places], [p.position for p in places],
                source_head=head, preset=conventions.preset, poll=poll,
            )  # fmt: skip
            sources = [
                [] if decomposition.sources is None else decomposition.sources.tolist()
                for decomposition in decompositions
            ]
            means, on = means_by_token(places, sources)
            first = sorted(means, key=lambda token: (-means[token], token))[:top]
            return HeadReads(
                neuron,
                head,
                len(places),
                conventions.context,
                tuple(
                    ReadToken(token, means[token.id], on[token.id])
                    for token in model.vocabulary.tokens(first)
                ),
                sum(value for token, value in means.items() if token not in first),
                engine.provenance(corpus=True, prompts=len(places), **choices("head_reads", conventions)),
            )

        return engine.on_model(work)


def means_by_token(
    places: Sequence[PeakInput], sources: Sequence[Sequence[float]]
) -> tuple[dict[int, float], dict[int, int]]:
    """By token id: what is read from it, its mean over the places, and on how many of these it stands.

    `sources` are a head's attributions from each position up to the peak of each place.
    """
    means: dict[int, float] = {}
    on: dict[int, int] = {}
    for peak, values in zip(places, sources, strict=True):
        ids = peak.ids[: peak.position + 1]
        for token, value in zip(ids, values, strict=True):
            means[token] = means.get(token, 0.0) + peak.sign * value / len(places)
        for token in set(ids):
            on[token] = on.get(token, 0) + 1
    return means, on
