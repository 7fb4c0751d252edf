"""Which words of a vocabulary a person may have meant by one that is not in it.

1. What turns one word into the other is counted in edits: letters put in, left out, replaced, or neighbours
   swapped, no letter twice (the optimal string alignment distance).
2. All words of about that length are counted at once, a row of the distance's table after the other: of a
   vocabulary of a quarter of a million entries that takes some hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_AT_ONCE = 1 << 14
"""Words whose rows fit into a processor's cache."""

Words = Mapping[int, Mapping[str, Sequence[int]]]
"""By their length: words with the ids of their tokens."""


def by_length(words: Mapping[str, Sequence[int]]) -> Words:
    """`words` as `similar` reads them."""
    grouped: dict[int, dict[str, Sequence[int]]] = {}
    for word, ids in words.items():
        grouped.setdefault(len(word), {})[word] = ids
    return grouped


def most_edits(typed: str) -> int:
    """How many edits a word may be away from what was typed: one in short words, three in long ones."""
    return min(1 + len(typed) // 5, 3)


def edits(typed: str, words: Sequence[str]) -> npt.NDArray[np.int16]:
    """[words] the edits between `typed` and each of `words`, all of one length."""
    import numpy as np

    one, never = np.int16(1), np.int16(1 << 8)
    width = len(words[0])
    letters = np.array(words, dtype=f"U{width}").view(np.uint32).reshape(len(words), -1).T.copy()
    row = np.repeat(np.arange(width + 1, dtype=np.int16)[:, None], len(words), axis=1)
    before = last = row
    same = np.zeros(letters.shape, dtype=bool)
    for i, letter in enumerate(typed, 1):
        last, before, row = before, row, np.empty_like(row)
        same_before, same = same, letters == ord(letter)
        row[0] = i
        for j in range(1, width + 1):
            cost = np.minimum(before[j], row[j - 1]) + one
            np.minimum(cost, before[j - 1] + ~same[j - 1], out=row[j])
            if i > 1 and j > 1:  # unless the two are swapped, a cost that none has
                swapped = same[j - 2] & same_before[j - 1]
                np.minimum(row[j], last[j - 2] + one + ~swapped * never, out=row[j])
    counted: npt.NDArray[np.int16] = row[width]
    return counted


def similar(typed: str, words: Words, limit: int) -> list[str]:
    """The words most like `typed`, fewest edits first; of equals, that of the lowest id."""
    most = most_edits(typed)
    matches: list[tuple[int, int, str]] = []
    for length in range(max(1, len(typed) - most), len(typed) + most + 1):
        ids = words.get(length, {})
        listed = list(ids)
        for start in range(0, len(listed), _AT_ONCE):
            part = listed[start : start + _AT_ONCE]
            counts = edits(typed, part)
            near = (counts <= most).nonzero()[0]
            matches += [(int(counts[at]), min(ids[part[at]]), part[at]) for at in near]
    return [word for _, _, word in sorted(matches)][:limit]
