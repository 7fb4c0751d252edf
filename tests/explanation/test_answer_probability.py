"""The AUC of a whole score, by the endpoint's log-probabilities, against one worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.explanation.chat_server import ChatServer, Fault, Handler, example_in
from tests.explanation.conftest import Bench
from tests.explanation.endpoint_kinds import spelled, whole
from tests.explanation.fake_examples import HEAD, NEURON, PROMPTS
from tui_lookups.explanation.scoring import roc_auc

MakeBench = Callable[..., Bench]

Spelling = Callable[[str], tuple[list[str], int]]
SPELLINGS: dict[str, Spelling] = {
    "plain": lambda word: ([word], 0),
    "in bold": lambda word: (["**", word, "**"], 1),
    "in quotes": lambda word: (['"', word, '"'], 1),
    "after a newline": lambda word: (["\n", word], 1),
    "in lower case": lambda word: ([word.lower()], 0),
    "after a space, with a full stop": lambda word: ([f" {word}", "."], 0),
    "after a word": lambda word: (["Answer", ":", f" {word}"], 2),
    "after thoughts": lambda word: (["<think>", "Yes", " no", "</think>", "\n\n", word], 5),
}
CHANCES = (0.55, 0.3, 0.2, 0.9, 0.45, 0.7, 0.1, 0.6)
"""P(yes) of the eight scoring prompts, of which every second one is active."""


def spelling_server(spelling: Spelling) -> Fault:
    """Answers by CHANCES; Yes and No are among the alternatives of every token, elsewhere turned round."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        yes = CHANCES[int(example_in(body["messages"][0]["content"]).split(" at ")[1][:3]) - 200]
        tokens, at = spelling("Yes" if yes > 0.5 else "No")
        chances = []
        for place, token in enumerate(tokens):
            word = token.strip().lower()
            share = yes if place == at else 1 - yes
            if word in ("yes", "no"):
                other = token.replace(token.strip(), "no" if word == "yes" else "yes")
                own = share if word == "yes" else 1 - share
                chances.append({token: own * 0.9, other: (1 - own) * 0.9, "Well": 0.1})
            else:
                chances.append({token: 0.9, "Yes": share * 0.1, "No": (1 - share) * 0.1})
        found = whole({"content": "".join(tokens)})
        found["choices"][0]["logprobs"] = spelled(tokens, chances)
        handler.json(200, found)

    return fault


@pytest.mark.parametrize("kind", SPELLINGS)
def test_auc_is_that_worked_out_by_hand(make_bench: MakeBench, server: ChatServer, kind: str) -> None:
    # active .3 .9 .7 .6 against inactive .55 .2 .45 .1: 2 + 4 + 4 + 4 of 16 pairs are won
    assert roc_auc([place % 2 == 1 for place in range(PROMPTS)], CHANCES) == 14 / 16
    server.always = spelling_server(SPELLINGS[kind])
    found = make_bench().scores.score(NEURON, HEAD, explanation="Mine.", control=False)
    assert [each.probability for each in found.answers] == [pytest.approx(chance) for chance in CHANCES]
    assert (found.score.roc_auc, found.notes) == (14 / 16, ())


def test_a_word_in_two_tokens_gives_no_probability_and_is_counted(
    make_bench: MakeBench, server: ChatServer
) -> None:
    right = spelling_server(SPELLINGS["plain"])

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        if not any(f" at {number}," in body["messages"][0]["content"] for number in (203, 205)):
            return right(handler, body)
        found = whole({"content": "Yes"})
        found["choices"][0]["logprobs"] = spelled(
            ["Y", "es"], [{"Y": 0.5, "Yes": 0.3, "No": 0.2}, {"es": 1.0}]
        )
        return handler.json(200, found)

    server.always = fault
    found = make_bench().scores.score(NEURON, HEAD, explanation="Mine.", control=False)
    assert [each.prompt_id for each in found.answers if each.probability is None] == [203, 205]
    assert (found.score.roc_auc, found.score.unanswered) == (None, 0)
    assert found.notes == (
        "The probability of Yes cannot be read from 2 of 8 answers, and there is no AUC over them.",
    )
