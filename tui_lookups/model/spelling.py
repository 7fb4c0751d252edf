"""Which words of a vocabulary a person may have meant by one that is not in it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

_CUTOFF = 0.75
"""Of difflib's ratio, for words that more than a swap tells apart."""


def edits(typed: str, word: str) -> int:
    """Letters put in, left out, replaced, or neighbours swapped, that turn one word into the other.

    No letter is edited twice (the optimal string alignment distance).
    """
    before: list[int] = []
    row = list(range(len(word) + 1))
    for i, letter in enumerate(typed, 1):
        before, last, row = row, before, [i]
        for j, other in enumerate(word, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == word[j - 2] and typed[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def similar(typed: str, words: Mapping[str, Sequence[int]], limit: int) -> list[str]:
    """The words most like `typed`, fewest edits first; of equals, that of the lowest id.

    Args:
        words: with the ids of their tokens.
    """
    if not words:
        return []
    # By difflib's ratio a swap in a short word counts as much as two other letters.
    swapped = (typed[:i] + typed[i + 1] + typed[i] + typed[i + 2 :] for i in range(len(typed) - 1))
    found = set(difflib.get_close_matches(typed, list(words), n=len(words), cutoff=_CUTOFF))
    found.update(word for word in swapped if word in words)
    return sorted(found, key=lambda word: (edits(typed, word), min(words[word])))[:limit]
