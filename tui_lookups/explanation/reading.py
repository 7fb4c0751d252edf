"""How an answer is read: what a model said after its thoughts, its Yes or No, and how probable Yes was.

1. Thoughts are cut out wherever a server leaves them in the text: between marks (`<think>...</think>` and
   its kin), before a closing mark whose opening one was part of the prompt, after an opening one that never
   closes, and in every channel but the final one (`<|channel|>analysis<|message|>...`).
2. `find_answer` alone decides whether what is left is a Yes or a No, and where that word stands.
3. The probability of Yes is read at the token that is that word, from its alternatives, and nowhere else.
   Where the word is more than one token there is no such place, and no probability.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Word = Literal["yes", "no"]

_TAGS = "think|thinking|thoughts?|reasoning|seed:think"
_MARKS = (
    (f"<(?:{_TAGS})>", f"</(?:{_TAGS})>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("◁think▷", "◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel>", r"<channel\|>"),
)
"""How models mark their thoughts in the text: the opening and the closing mark, as regular expressions."""

_UNQUOTED = r"(?<![\"'`“‘])"  # a mark that is quoted is talked about
_OPENING = re.compile(_UNQUOTED + f"(?:{'|'.join(opening for opening, _ in _MARKS)})", re.IGNORECASE)
_CLOSING = re.compile(_UNQUOTED + f"(?:{'|'.join(closing for _, closing in _MARKS)})", re.IGNORECASE)

_CHANNEL = re.compile(r"(?:<\|start\|>\w*)?<\|channel\|>(\w*)[^<]*(?:<\|constrain\|>[^<]*)?(<\|message\|>)?")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z")
_BARE_CHANNELS = re.compile(r"\A\s*analysis(?=[A-Z\"“]).*?(?:assistantfinal|\Z)", re.DOTALL)
"""Channels whose marks a server has dropped while it kept their names."""

_YES_OR_NO = re.compile(
    r"[\W_]*(?:(?:the\s+)?(?:final\s+)?(?:answer(?:\s+is)?|boxed)[\W_]+)?"
    r"(?P<word>yes|no)(?![^\W_])(?![\W_]*(?:or\b|/)[\W_]*(?:yes|no)(?![^\W_]))",
    re.IGNORECASE,
)
_ONE_WORD = re.compile(r"[\W_ĠĊ]*(yes|no)[\W_]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """A Yes or No, and the place of that word in the text: `text[start:end]`."""

    word: Word
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TokenAlternatives:
    """A token of an answer as UTF-8, and log-probabilities of what could have stood there, itself first."""

    token: bytes
    alternatives: dict[str, float]


def _channel_thoughts(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    while (header := _CHANNEL.search(text, at)) is not None:
        end = _CHANNEL_END.search(text, header.end())
        assert end is not None  # at the latest the end of the text
        if header[1] == "final" and header[2] is not None:
            spans += [header.span(), end.span()]
        else:
            spans.append((header.start(), end.end()))
        at = max(end.end(), header.end())
    return spans


def _marked_thoughts(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    while (closing := _CLOSING.search(text, at)) is not None:
        opening = _OPENING.search(text, at, closing.start())
        spans.append((0 if opening is None else opening.start(), closing.end()))
        at = closing.end()
    unclosed = _OPENING.match(text, at + len(text[at:]) - len(text[at:].lstrip()))
    if unclosed is not None:
        spans.append((unclosed.start(), len(text)))
    return spans


def thoughts(text: str) -> tuple[tuple[int, int], ...]:
    """Where a text holds thoughts and their marks: pairs of start and end."""
    if "<|channel|>" in text:
        return tuple(_channel_thoughts(text))
    bare = _BARE_CHANNELS.match(text)
    return tuple([bare.span()] if bare is not None else _marked_thoughts(text))


def begins_in_thoughts(text: str) -> bool:
    """Whether a text closes thoughts that it does not open: the prompt's template has opened them."""
    closing = _CLOSING.search(text)
    return closing is not None and _OPENING.search(text, 0, closing.start()) is None


def _without_thoughts(text: str) -> str:
    """The text with a space in place of each character of its thoughts, so that all else keeps its place."""
    for start, end in thoughts(text):
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def read_explanation(text: str) -> str:
    """The explanation in an answer: a model's thoughts and outer spaces taken off.

    Empty where the answer was cut inside its thoughts.
    """
    for start, end in reversed(thoughts(text)):
        text = text[:start].rstrip() + text[end:] if text[:start].strip() else text[end:]
    return text.strip()


def find_answer(text: str) -> FoundAnswer | None:
    """The Yes or No an answer begins with, and its place; None for any other, "Yes or No" included."""
    match = _YES_OR_NO.match(_without_thoughts(text))
    if match is None:
        return None
    word: Word = "yes" if match["word"].lower() == "yes" else "no"
    return FoundAnswer(word, match.start("word"), match.end("word"))


def read_yes_no(text: str) -> Word | None:
    """The Yes or No an answer begins with; None for any other answer."""
    answer = find_answer(text)
    return None if answer is None else answer.word


def _word_of(token: str) -> str | None:
    """The Yes or No that a token is, whatever stands around it; None for every other token."""
    match = _ONE_WORD.fullmatch(token)
    return None if match is None else match[1].lower()


def answer_alternatives(text: str, tokens: Sequence[TokenAlternatives]) -> dict[str, float]:
    """What could have stood in place of the token that is the answer, that token first.

    Args: text: an answer as it came; tokens: all tokens it was sent with, which may begin with thoughts
        and end with marks that the text lacks.
    Empty where there is no such token: no Yes or No, one that is split, or tokens that do not spell `text`.
    """
    answer, whole = find_answer(text), b"".join(token.token for token in tokens)
    at = whole.rfind(text.encode())
    if answer is None or at < 0:
        return {}
    start = at + len(text[: answer.start].encode())
    end = at + len(text[: answer.end].encode())
    begins = 0
    for token in tokens:
        ends = begins + len(token.token)
        if begins <= start and end <= ends:
            return token.alternatives
        begins = ends
    return {}


def answer_probability(text: str, alternatives: Mapping[str, float] | None) -> float | None:
    """The probability of Yes of an answer from the alternatives of its token, the token itself first.

    None where they are not those of the answer's token, or only it is among them.
    """
    if not alternatives or len(alternatives) < 2:
        return None
    if _word_of(next(iter(alternatives))) != read_yes_no(text):
        return None
    return yes_probability(alternatives)


def yes_probability(alternatives: Mapping[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)) from a token's alternatives and their log-probabilities.

    Spellings ("Yes", " yes", "YES") are added up. None when neither word is among them.
    """
    yes = no = 0.0
    for token, logprob in alternatives.items():
        word = _word_of(token)
        if word == "yes":
            yes += math.exp(min(logprob, 0.0))
        elif word == "no":
            no += math.exp(min(logprob, 0.0))
    return yes / (yes + no) if yes + no > 0 else None
