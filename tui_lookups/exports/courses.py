"""A neuron over the revisions of a model: the course of each figure, and how a course is drawn in a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.results import NeuronAtRevision, NeuronOverRevisions

HEADS_SHOWN = 3
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None]) -> str:
    """A block for each value, from the smallest to the largest; a blank for one that is not there."""
    numbers = [value for value in values if value is not None]
    low, span = min(numbers, default=0.0), max(numbers, default=0.0) - min(numbers, default=0.0)

    def block(value: float | None) -> str:
        if value is None:
            return " "
        return _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1)) if span > 0 else 0]

    return "".join(map(block, values))


def courses_of(result: NeuronOverRevisions, heads: int = HEADS_SHOWN) -> dict[str, list[float | None]]:
    """By name: congruence and, where it was asked how it fires, the peak and the largest `heads`."""
    courses: dict[str, list[float | None]] = {"congruence": [row.congruence for row in result.revisions]}
    if result.firing:
        courses["peak"] = [row.peak for row in result.revisions]
    return courses | largest_heads(result.revisions, heads)


def largest_heads(
    revisions: Sequence[NeuronAtRevision], heads: int = HEADS_SHOWN
) -> dict[str, list[float | None]]:
    """The attributions, over the revisions, of the heads whose largest is largest."""
    by_head = [{str(row.head): row.attribution for row in at.heads} for at in revisions]
    largest: dict[str, float] = {}
    for at_revision in by_head:
        for head, value in at_revision.items():
            largest[head] = max(abs(value), largest.get(head, 0.0))
    shown = sorted(largest, key=lambda head: -largest[head])[:heads]
    return {head: [at_revision.get(head) for at_revision in by_head] for head in shown}
