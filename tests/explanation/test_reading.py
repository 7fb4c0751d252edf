"""What a model said after its thoughts, its Yes or No, and the token at which its probability is read."""

from __future__ import annotations

import math

import pytest

from tui_lookups.explanation.reading import (
    TokenAlternatives,
    answer_alternatives,
    answer_probability,
    find_answer,
    read_explanation,
    read_yes_no,
)

THINKING = [
    "<think>No.</think>\n{}",
    "No, wait.\n</think>\n\n{}",
    "<THINKING>No</THINKING>{}",
    "<thought>No</thought> {}",
    "[THINK]No[/THINK]{}",
    "◁think▷No◁/think▷{}",
    "<|begin_of_thought|>No<|end_of_thought|>{}",
    "<|channel>thought\nNo<channel|>{}",
    "<|channel|>analysis<|message|>No<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "<|start|>assistant<|channel|>analysis<|message|>No<|end|>{}",
    "<|channel|>commentary to=x <|constrain|>json<|message|>No<|call|><|channel|>final<|message|>{}",
    "analysisNo.assistantfinal{}",
    "<think>No</think><think>No</think>{}",
]


@pytest.mark.parametrize("frame", THINKING)
def test_thoughts_are_neither_the_explanation_nor_the_answer(frame: str) -> None:
    assert read_explanation(frame.format("After “not”.")) == "After “not”."
    assert read_yes_no(frame.format("Yes")) == "yes"


@pytest.mark.parametrize(
    "cut",
    [
        "<think>Yes",
        "[THINK]Yes",
        "<|channel|>analysis<|message|>Yes",
        "<|channel|>analysis",
        "analysisYes",
        "<|channel|>analysis<|message|>Yes<|end|><|start|>assistant<|channel|>final",
        "<think>a</think> <think>Yes",
    ],
)
def test_what_was_cut_inside_its_thoughts_says_nothing(cut: str) -> None:
    assert read_explanation(cut) == ""
    assert read_yes_no(cut) is None


@pytest.mark.parametrize(
    "text", ["After <think>.", "After “</think>”, as in `</think>`.", "analysis of a text"]
)
def test_a_mark_that_is_talked_about_is_none(text: str) -> None:
    assert read_explanation(text) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("**Yes**", "Yes"),
        ('"Yes"', "Yes"),
        ("\nYes", "Yes"),
        ("yes", "yes"),
        (" Yes.", "Yes"),
        ("_no_", "no"),
        ("Answer: Yes", "Yes"),
        ("**Answer:** no", "no"),
        ("The answer is no.", "no"),
        ("<answer>Yes</answer>", "Yes"),
        (r"\boxed{No}", "No"),
        ("<think>yes no</think>**No**", "No"),
        ("Yes. No other word.", "Yes"),
        ("No, yes would be wrong", "No"),
    ],
)
def test_the_answer_and_its_place(text: str, word: str) -> None:
    found = find_answer(text)
    assert found is not None
    assert (text[found.start : found.end], found.word) == (word, word.lower())


@pytest.mark.parametrize("text", ["**Yes** or **No**", "Yes/No", "Yes or no?", "Nothing", "noon", ""])
def test_what_is_neither(text: str) -> None:
    assert find_answer(text) is None


def tokens(*spelled: str, at: int, yes: float) -> list[TokenAlternatives]:
    """Tokens with Yes and No among the alternatives of each; all but that at `at` turn them round."""
    found = []
    for place, token in enumerate(spelled):
        share = yes if place == at else 1 - yes
        lead = token[: len(token) - len(token.lstrip())]
        words = {f"{lead}Yes": math.log(share), f"{lead}No": math.log(1 - share)}
        found.append(TokenAlternatives(token.encode(), {token: words.get(token, -0.01)} | words))
    return found


@pytest.mark.parametrize(
    ("spelled", "at"),
    [
        (["Yes"], 0),
        (["**", "Yes", "**"], 1),
        (['"', "Yes", '"'], 1),
        (["\n", "Yes"], 1),
        (["Answer", ":", " Yes", "."], 2),
        (["<think>", "Yes", "</think>", "\n\n", "Yes"], 4),
        (["“", "Yes", "”"], 1),
    ],
)
def test_the_probability_is_read_at_the_token_that_is_the_answer(spelled: list[str], at: int) -> None:
    text = "".join(spelled)
    found = answer_alternatives(text, tokens(*spelled, at=at, yes=0.9))
    assert answer_probability(text, found) == pytest.approx(0.9)


def test_tokens_of_thoughts_before_and_marks_after_the_text_do_not_move_its_place() -> None:
    spelled = tokens("Yes", "</think>", "Yes", "<|im_end|>", at=2, yes=0.8)
    assert answer_probability("Yes", answer_alternatives("Yes", spelled)) == pytest.approx(0.8)


def test_a_letter_that_is_split_over_tokens_keeps_the_place() -> None:
    quote, end = "“".encode(), TokenAlternatives("”".encode(), {})
    spelled = [
        TokenAlternatives(quote[:1], {}),
        TokenAlternatives(quote[1:], {}),
        *tokens("No", at=0, yes=0.3),
        end,
    ]
    assert answer_probability("“No”", answer_alternatives("“No”", spelled)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("Yes", ["Y", "es"]),
        ("Yes", ["No"]),
        ("Maybe", ["Maybe"]),
        ("Yes", ["token_id:9", "token_id:2"]),
        ("Yes", []),
    ],
)
def test_where_there_is_no_such_token_there_is_no_probability(text: str, spelled: list[str]) -> None:
    assert answer_alternatives(text, tokens(*spelled, at=0, yes=0.9)) == {}
    assert answer_probability(text, {}) is None


def test_alternatives_of_another_token_are_not_read() -> None:
    """As earlier versions kept them: of the first place where Yes or No is among them."""
    assert answer_probability("**Yes**", {"**": -0.1, "Yes": -3.0, "No": -2.5}) is None
    assert answer_probability("Yes", {"Y": -0.1, "Yes": -3.0, "No": -2.5}) is None
    assert answer_probability("Yes", {"Yes": math.log(0.6), "No": math.log(0.2)}) == pytest.approx(0.75)


def test_a_token_alone_says_nothing_of_the_other_word() -> None:
    assert answer_probability("Yes", {"Yes": -0.2}) is None
    assert answer_probability("Yes", None) is None
    assert answer_probability("Yes", {"Yes": -0.2, "Well": -9.0}) == 1.0
