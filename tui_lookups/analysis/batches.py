"""Rows of different lengths in forward passes: one rule for all of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tui_lookups.ids import NeuronId

MOST_TOKENS = 8192
"""Padded tokens of a forward pass, where nothing else bounds its memory."""


def consecutive(lengths: Sequence[int], most_tokens: int, most_rows: int | None = None) -> list[range]:
    """Consecutive rows that run together, in their order: at least one each.

    Args:
        lengths: tokens of each row.
        most_tokens: padded tokens of a batch (rows times the longest); a longer row is alone.
        most_rows: rows of a batch; None for as many as `most_tokens` allows.
    """
    batches: list[range] = []
    start = longest = 0
    for end, length in enumerate(lengths):
        rows, longest = end + 1 - start, max(longest, length)
        if rows > 1 and (rows * longest > most_tokens or rows - 1 == most_rows):
            batches.append(range(start, end))
            start, longest = end, length
    if lengths:
        batches.append(range(start, len(lengths)))
    return batches


Ids = tuple[int, ...]
"""Token ids of a text."""


class Reading(NamedTuple):
    """A neuron's peak in one of several texts; `sign` is -1 where it fires negatively."""

    neuron: NeuronId
    row: int
    position: int
    sign: int


@dataclass(frozen=True, slots=True)
class SharedPass:
    """One forward pass that serves many texts.

    Attributes:
        rows: what is run, token ids of each.
        read: which of the texts, by their number, ends in which row.
    """

    rows: tuple[Ids, ...]
    read: tuple[tuple[int, int], ...]


def shared_passes(texts: Sequence[Ids], most_tokens: int) -> list[SharedPass]:
    """Texts that are each read at their last token, in as few rows as serve them all.

    Attention is causal, so that a text which another one begins with needs no row of its own. Rows run
    together by their length; see `consecutive` for `most_tokens`.
    """
    within: dict[Ids, Ids] = {}
    row: Ids = ()
    for text in sorted(set(texts), reverse=True):  # just before a text come those that begin with it
        row = row if row[: len(text)] == text else text
        within[text] = row
    rows = sorted(set(within.values()), key=lambda row: (len(row), row))
    readers: dict[Ids, list[int]] = {row: [] for row in rows}
    for number, text in enumerate(texts):
        readers[within[text]].append(number)
    return [
        SharedPass(
            tuple(rows[index] for index in batch),
            tuple((number, row) for row, index in enumerate(batch) for number in readers[rows[index]]),
        )
        for batch in consecutive([len(row) for row in rows], most_tokens)
    ]
