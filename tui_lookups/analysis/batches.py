"""Rows of different lengths in forward passes: one rule for all of analysis."""

from __future__ import annotations

from collections.abc import Sequence

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
