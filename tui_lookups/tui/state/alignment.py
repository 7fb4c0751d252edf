"""Two texts beside each other, token by token. Pure.

1. Runs of tokens that both have stand beside each other (difflib's longest matching blocks).
2. Where one has other tokens than the other, they stand beside each other in order; what is left of the
   longer side stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple


class Pair(NamedTuple):
    """Positions in the two texts; None where only the other one has a token here."""

    first: int | None
    second: int | None


def align(first: Sequence[int], second: Sequence[int]) -> tuple[Pair, ...]:
    """Every position of two lists of token ids, in order."""
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return tuple(
        Pair(one, other)
        for _, start, end, other_start, other_end in matcher.get_opcodes()
        for one, other in zip_longest(range(start, end), range(other_start, other_end))
    )
