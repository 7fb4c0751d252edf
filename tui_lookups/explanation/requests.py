"""What is sent to the explainer and to the scorer, word for word, and how their answers are read (METHOD 5).

Everything is one user message: several chat templates of small models know no system message. Corpus text
goes out as JSON strings, so that a line break or a quotation mark in it cannot end an example.

Raise `REQUEST_VERSION` with every change of wording, of parameters or of how an answer is read: it is part
of the cache key of every answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tui_lookups.results import Example

REQUEST_VERSION = 1

EXPLANATION_TOKENS = 200
"""Most tokens of an explanation, as in the paper."""

ANSWER_TOKENS = 5
"""Most tokens of a Yes or No: one is enough for most models, some begin with a space or a quotation mark."""

TOP_LOGPROBS = 5

GENERIC_EXPLANATION = (
    "The head is active at the end of ordinary running text, whatever that text is about and whichever word "
    "comes next."
)
"""The control where nothing else has been explained yet."""

_EXPLAIN = """\
Inside a language model, attention heads collect information from earlier words of a text. One head is \
being studied. Below are pieces of text, each written as a JSON string. The last word of each piece, after \
the mark >>>, is the word that follows at the moment the head was measured.

The head was ACTIVE on these pieces:
{active}

The head was NOT active on these pieces:
{inactive}

What do the contexts on which the head is active have in common that the others lack? Answer in two or \
three plain sentences. Describe the context itself (topic, grammar, particular words and where they stand), \
precisely enough that somebody could tell from a new piece of text whether the head will be active. Do not \
repeat the pieces, and do not mention this task."""

_SCORE = """\
Inside a language model, attention heads collect information from earlier words of a text. Somebody \
describes when one head is active:

{explanation}

Here is a new piece of text, written as a JSON string. Its last word, after the mark >>>, is the word that \
follows at the moment the head was measured.

{example}

Judging by the description alone, is the head active on this piece? Answer with one word, Yes or No."""

_NONE = "(none)"
_MARK = " >>>"
_THOUGHT = re.compile(r"\s*<think>.*?</think>|\A\s*<think>.*", re.DOTALL)
"""A reasoning model's thoughts: closed ones, or all of an answer that was cut inside them."""

_YES_OR_NO = re.compile(r"\W*(?:answer\W+)?(yes|no)\b(?!\s*(?:or|/)\s*(?:yes|no)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request: a user message and its parameters. `logprobs` asks for the first token's alternatives."""

    message: str
    max_tokens: int
    logprobs: bool
    temperature: float = 0.0
    version: int = REQUEST_VERSION


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What came back for a request; kept in the cache.

    `input_tokens` and `output_tokens` are None where the endpoint did not count. `alternatives` are the
    log-probabilities of tokens at the first place where Yes or No is among them, None without any.
    `notes` say how the request had to be changed for this endpoint.
    """

    text: str
    finish_reason: str
    answered_by: str
    created: str
    input_tokens: int | None
    output_tokens: int | None
    alternatives: dict[str, float] | None
    notes: tuple[str, ...]


def example_text(example: Example) -> str:
    """An example as it is sent: the trimmed prompt, the mark, and the token that follows where one does."""
    following = "" if example.next_token is None else _MARK + example.next_token
    return json.dumps(example.text.strip() + following, ensure_ascii=False)


def explain_request(active: Sequence[Example], inactive: Sequence[Example]) -> ChatRequest:
    """The question in what contexts a head is active."""
    message = _EXPLAIN.format(active=_listed(active), inactive=_listed(inactive))
    return ChatRequest(message, EXPLANATION_TOKENS, logprobs=False)


def _listed(examples: Sequence[Example]) -> str:
    return "\n".join(f"- {example_text(example)}" for example in examples) or _NONE


def score_request(explanation: str, example: Example) -> ChatRequest:
    """The question whether a head so explained is active on one new example."""
    message = _SCORE.format(explanation=explanation.strip(), example=example_text(example))
    return ChatRequest(message, ANSWER_TOKENS, logprobs=True)


def read_explanation(text: str) -> str:
    """The explanation in an answer: a reasoning model's thoughts and outer spaces taken off.

    Empty where the answer was cut inside its thoughts.
    """
    return _THOUGHT.sub("", text, count=1).strip()


def read_yes_no(text: str) -> Literal["yes", "no"] | None:
    """The Yes or No an answer begins with; None for any other answer, "Yes or No" included."""
    match = _YES_OR_NO.match(_THOUGHT.sub("", text, count=1))
    if match is None:
        return None
    return "yes" if match[1].lower() == "yes" else "no"


def yes_probability(alternatives: Mapping[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)) from a token's alternatives and their log-probabilities.

    Spellings ("Yes", " yes", "YES") are added up. None when neither word is among them.
    """
    yes = no = 0.0
    for token, logprob in alternatives.items():
        word = token.strip().strip("\"'*").lower()
        if word == "yes":
            yes += math.exp(min(logprob, 0.0))
        elif word == "no":
            no += math.exp(min(logprob, 0.0))
    return yes / (yes + no) if yes + no > 0 else None
