"""What is sent to the explainer and to the scorer, word for word (method.md, section 5). Answers: reading.py.

Everything is one user message: several chat templates of small models know no system message. Corpus text
goes out as JSON strings, so that a line break or a quotation mark in it cannot end an example.

Raise `REQUEST_VERSION` with every change of wording or of parameters: it is part of the cache key of every
answer. Answers are kept as they came and read anew each time, so that a change of reading needs no new ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tui_lookups.results import Example

REQUEST_VERSION = 1

EXPLANATION_TOKENS = 200
"""Most tokens of an explanation, as in the paper; of a model that thinks, beside its thoughts."""

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


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request: a user message and its parameters. `logprobs` asks for the alternatives of each token.

    `max_tokens` is of what the model says; dialect.py adds room for its thoughts.
    """

    message: str
    max_tokens: int
    logprobs: bool
    temperature: float = 0.0
    version: int = REQUEST_VERSION

    @property
    def wants_yes_or_no(self) -> bool:
        """Whether it is a scorer's question, the only kind whose probabilities count."""
        return self.logprobs


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What came back for a request; kept in the cache.

    `input_tokens` and `output_tokens` are None where the endpoint did not count. `alternatives` are the
    log-probabilities of what could stand in place of the token that is the answer, itself first: None
    without any, empty where there is no such token. (Earlier versions kept those of the first place where
    Yes or No was among them; `answer_probability` tells.) `notes` say how the request had to be changed for
    this endpoint.
    """

    text: str
    finish_reason: str
    answered_by: str
    created: str
    input_tokens: int | None
    output_tokens: int | None
    alternatives: dict[str, float] | None
    notes: tuple[str, ...]

    def with_tokens_of(self, earlier: ChatAnswer) -> ChatAnswer:
        """This answer with the tokens of an earlier try added, None where either was not counted."""

        def total(one: int | None, other: int | None) -> int | None:
            return None if one is None or other is None else one + other

        return replace(
            self,
            input_tokens=total(earlier.input_tokens, self.input_tokens),
            output_tokens=total(earlier.output_tokens, self.output_tokens),
        )

    def with_words_of(self, earlier: ChatAnswer) -> ChatAnswer:
        """An earlier answer, with the tokens of this one, which was asked for after it."""
        return replace(earlier, input_tokens=self.input_tokens, output_tokens=self.output_tokens)


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
