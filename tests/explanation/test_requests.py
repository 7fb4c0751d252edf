"""The wording of requests, and how answers are read."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.explanation.chat_server import example_in, is_scoring
from tui_lookups.explanation.reading import read_explanation, read_yes_no, yes_probability
from tui_lookups.explanation.requests import EXPLANATION_TOKENS, explain_request, score_request
from tui_lookups.results import Example

ACTIVE = Example(1, " He went, not alone,\nbut", " because", ())
INACTIVE = Example(2, ' She said "stop" and', None, ())


def test_the_explainer_sees_both_kinds_apart_with_the_token_that_follows() -> None:
    request = explain_request([ACTIVE], [INACTIVE])
    active, inactive = request.message.split("NOT active on these pieces:")
    assert '- "He went, not alone,\\nbut >>> because"\n' in active
    assert '- "She said \\"stop\\" and"\n' in inactive
    assert "two or three" in inactive
    assert (request.max_tokens, request.logprobs, request.temperature) == (EXPLANATION_TOKENS, False, 0.0)
    assert EXPLANATION_TOKENS == 200


def test_nothing_on_one_side_is_said() -> None:
    assert explain_request([ACTIVE], []).message.count("(none)") == 1


def test_the_scorer_sees_the_explanation_and_one_example() -> None:
    request = score_request(" After “not”. ", ACTIVE)
    assert "\n\nAfter “not”.\n\n" in request.message
    assert example_in(request.message) == "He went, not alone,\nbut >>> because"
    assert is_scoring(request.message)
    assert (request.logprobs, request.temperature) == (True, 0.0)


@given(st.text(), st.text())
def test_no_text_ends_its_example(text: str, explanation: str) -> None:
    request = score_request("x", Example(1, text, "y", ()))
    quoted = [line for line in request.message.split("\n") if line.startswith('"')]
    assert len(quoted) == 1
    assert json.loads(quoted[0]) == text.strip() + " >>>y"


def test_braces_in_a_corpus_or_an_explanation_are_text() -> None:
    assert "{example}" in score_request("{example} {0}", ACTIVE).message
    assert "{x}" in explain_request([Example(1, "{x}", None, ())], []).message


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", "yes"),
        (" yes.", "yes"),
        ("NO", "no"),
        ("**No**", "no"),
        ('"Yes"', "yes"),
        ("Answer: no", "no"),
        ("No, there is no yes here", "no"),
        ("<think>No, wait</think>\n\nYes", "yes"),
        ("", None),
        ("Yes or No", None),
        ("yes/no", None),
        ("Maybe", None),
        ("Not at all", None),
        ("Yesterday", None),
        ("<think>Yes", None),
        ("I would say yes", None),
    ],
)
def test_answers(text: str, answer: str | None) -> None:
    assert read_yes_no(text) == answer


def test_thoughts_are_no_explanation() -> None:
    assert read_explanation("<think>hm\nhm</think>\n After not. ") == "After not."
    assert read_explanation("After <think>.") == "After <think>."
    # cut inside its thoughts: it never came to an explanation
    assert read_explanation("<think>Okay, the pieces\nall seem") == ""
    assert read_explanation("\n <think>") == ""
    assert read_yes_no("<think>No") is None


def test_probability_of_yes_adds_spellings_up() -> None:
    found = {"Yes": math.log(0.5), " yes": math.log(0.1), "NO": math.log(0.2), "Well": math.log(0.2)}
    assert yes_probability(found) == pytest.approx(0.6 / 0.8)
    assert yes_probability({"Yes": -0.1}) == 1.0
    assert yes_probability({"Well": -0.1}) is None
    assert yes_probability({}) is None
    assert yes_probability({"Yes": -2000.0}) is None  # underflows to zero: nothing is known
