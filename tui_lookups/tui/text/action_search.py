"""Which actions a person may mean by what they type, best first. Pure.

1. What is typed is taken in words; an action is found when each of them is found in it.
2. A word counts most where a word of the sentence begins with it, then inside one, then in the description
   and the names; last where its letters stand in a word in their order ("plgr": playground).
3. The key itself, or just the name, counts more than any word.

Textual's own matcher tries every way in which the letters of the whole query can be found in a sentence;
there are too many of these, and among them most sentences there are.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r"\w+")
_KEY = 10.0
_BEGINS, _INSIDE, _LETTERS = 4.0, 2.0, 1.0
_BESIDE = 0.25
"""What a description counts beside the sentence."""


class Match(NamedTuple):
    """How well an action was found, 0 where it was not, and the characters of its sentence that were."""

    score: float = 0.0
    at: tuple[int, ...] = ()


def match_action(typed: str, sentence: str, beside: str, exact: tuple[str, ...]) -> Match:
    """Hold `typed` against an action: its sentence, what stands `beside` it, its key and name."""
    if typed.strip() in exact:
        return Match(_KEY)
    score, at = 0.0, set[int]()
    for word in typed.casefold().split():
        matched = _find(word, sentence)
        other = _find(word, beside)
        if not matched.score and not other.score:
            return Match()
        score += max(matched.score, _BESIDE * other.score)
        at.update(matched.at)
    return Match(score, tuple(sorted(at)))


def _find(word: str, text: str) -> Match:
    """The best place of one word."""
    best = Match()
    for word_found in _WORD.finditer(text.casefold()):
        start, candidate = word_found.start(), word_found.group()
        start_of_word = candidate.find(word)
        if start_of_word >= 0:
            now = Match(
                _INSIDE if start_of_word else _BEGINS,
                tuple(range(start + start_of_word, start + start_of_word + len(word))),
            )
        else:
            letters = _letters(word, candidate)
            now = Match(
                _LETTERS if letters else 0.0, tuple(start + start_of_word for start_of_word in letters)
            )
        best = max(best, now, key=lambda each: each.score)
    if (
        not best.score and (start_of_word := text.casefold().find(word)) >= 0
    ):  # what is no word: "l3.h2", "[keys]"
        best = Match(_INSIDE, tuple(range(start_of_word, start_of_word + len(word))))
    return best


def _letters(word: str, candidate: str) -> tuple[int, ...]:
    """Where the letters of `word` stand in `candidate` in their order, from its first; empty where not."""
    if len(word) < 2 or word[0] != candidate[0]:
        return ()
    positions: list[int] = []
    at = -1
    for letter in word:
        at = candidate.find(letter, at + 1)
        if at < 0:
            return ()
        positions.append(at)
    return tuple(positions)
