"""Where tokens hold a text: in prompts that are listed, and in all texts of a corpus."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tui_lookups.results.base import Token


def spans_of(needle: str, pieces: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The first and the last piece of every place of `needle`, in order; a place may begin inside a piece.

    Case counts: fold both where it should not. Places do not overlap; an empty text has none.
    """
    text = "".join(pieces)
    start = text.find(needle) if needle else -1
    if start < 0:
        return ()
    ends = list(accumulate(map(len, pieces)))
    spans: list[tuple[int, int]] = []
    while start >= 0:
        last = start + len(needle) - 1
        spans.append((bisect_right(ends, start), bisect_right(ends, last)))
        start = text.find(needle, last + 1)
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class CorpusHit:
    """A prompt of the corpus that holds a text.

    Attributes:
        tokens: the whole window, begin-of-text included.
        spans: the first and the last position of each place.
    """

    prompt_id: int
    tokens: tuple[Token, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CorpusHits:
    """The prompts of a corpus that hold a text, in its order.

    Attributes:
        looked: prompts that were looked at, of `prompts`: fewer while it goes on, and where it ended with
            `most` hits.
        note: what cannot be found so; empty where there is nothing to say.
    """

    text: str
    hits: tuple[CorpusHit, ...]
    looked: int
    prompts: int
    most: int
    note: str = ""

    @property
    def capped(self) -> bool:
        """Whether further hits may be in the prompts that were not looked at."""
        return len(self.hits) >= self.most and self.looked < self.prompts
