"""Each kind of endpoint by what comes of it: the score, or the sentence; and what learning it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.explanation.chat_server import (
    EXPLANATION,
    ChatServer,
    Fault,
    Handler,
    status,
)
from tests.explanation.conftest import Bench
from tests.explanation.endpoint_kinds import (
    PLACES,
    THOUGHTS,
    everything_kept,
    limit_of,
    reasoning_model,
    refusing,
    said,
    spelled,
    thinking_in,
    whole,
)
from tests.explanation.fake_examples import HEAD, NEURON, OTHER, PROMPTS, SECOND
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.explanation.budget import BudgetError
from tui_lookups.explanation.endpoint import Endpoint, ExplainerError
from tui_lookups.explanation.requests import ChatAnswer, score_request
from tui_lookups.explanation.store import AnswerStore

MakeBench = Callable[..., Bench]
SCORE = 1 + 2 * PROMPTS
"""Requests of a whole score: the explanation, and each prompt for it and for its control."""

MANY = {"explainer_concurrency": 12}


# --- learning costs one call ---


def test_a_score_by_a_reasoning_model_costs_one_learning_call(
    make_bench: MakeBench, server: ChatServer
) -> None:
    server.always = reasoning_model(64)
    bench = make_bench(**MANY)
    found = bench.scores.score(NEURON, HEAD)
    assert (found.score.head_explanation_score, found.score.unanswered) == (1.0, 0)
    assert len(server.bodies) == SCORE + 1
    assert all(body["max_completion_tokens"] > 8000 for body in server.bodies[2:])
    assert not any({"max_tokens", "temperature", "logprobs"} & set(body) for body in server.bodies[1:])
    # a later session knows
    bench.again().scores.score(NEURON, HEAD, explanation="Something else.", control=False)
    assert len(server.bodies) == SCORE + 1 + PROMPTS


def test_a_score_without_an_explanation_before_it_learns_once_too(
    make_bench: MakeBench, server: ChatServer
) -> None:
    server.always = reasoning_model(64)
    make_bench(**MANY).scores.score(NEURON, HEAD, explanation="Mine.", control=False)
    assert len(server.bodies) == PROMPTS + 1


def test_room_for_thoughts_is_learnt_by_one_answer_that_was_cut(
    make_bench: MakeBench, server: ChatServer
) -> None:
    """The explanation leaves room enough; a Yes or No does not, which not all of them are cut to learn."""
    server.always = thinking_in("reasoning_content", needs=100)
    server.faults.append(lambda handler, body: handler.answer(body))  # no thoughts the first time
    found = make_bench(**MANY).scores.score(NEURON, HEAD)
    assert found.score.head_explanation_score == 1.0
    assert len(server.bodies) == SCORE + 1
    assert sum(body["max_tokens"] < 100 for body in server.bodies) == 1


def test_the_tokens_of_an_answer_that_was_cut_are_counted(make_bench: MakeBench, server: ChatServer) -> None:
    server.always = thinking_in("reasoning_content", needs=1000)
    bench = make_bench()
    usage = bench.explaining.explain(NEURON, HEAD).usage
    assert (len(server.bodies), usage.calls) == (2, 1)
    assert (usage.input_tokens, usage.output_tokens) == (2 * 50, 2 * 7)


def test_room_for_thoughts_crosses_no_budget(make_bench: MakeBench, server: ChatServer) -> None:
    plan = make_bench().explaining.plan(NEURON, HEAD)
    for number, model in enumerate((reasoning_model(64), thinking_in("reasoning", needs=1000))):
        server.always = model
        bench = make_bench(
            token_budget=plan.input_tokens + plan.output_tokens + 500, explainer_model=f"m{number}"
        )
        asked = len(server.bodies)
        with pytest.raises(BudgetError, match="could cross"):
            bench.explaining.explain(NEURON, HEAD)
        assert len(server.bodies) == asked + 1


def test_asking_anew_tries_again_what_was_refused(make_bench: MakeBench, server: ChatServer) -> None:
    server.always = refusing("{name} is not supported", "logprobs")
    bench = make_bench()
    assert bench.scores.score(NEURON, HEAD).score.roc_auc is None
    server.always = None
    assert bench.scores.score(NEURON, HEAD, fresh=True).score.roc_auc == 1.0


def test_a_model_that_wants_the_new_limit_and_takes_no_thought_keeps_its_probabilities(
    make_bench: MakeBench, server: ChatServer
) -> None:
    """As those that think only when told to: max_tokens is refused, temperature and logprobs are not."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        if "max_tokens" in body:
            return handler.json(400, {"error": {"message": "Unsupported parameter: 'max_tokens'"}})
        text, yes = handler.server.reply(body["messages"][0]["content"])
        found = whole({"content": text}, thinking=0)
        if "logprobs" in body and yes is not None:
            found["choices"][0]["logprobs"] = spelled([text], [{"Yes": yes, "No": 1 - yes}])
        return handler.json(200, found)

    server.always = fault
    found = make_bench(**MANY).scores.score(NEURON, HEAD)
    assert (found.score.roc_auc, found.notes) == (1.0, ())
    assert len(server.bodies) == SCORE + 2


def test_what_a_failed_try_blames_is_not_remembered(make_bench: MakeBench, server: ChatServer) -> None:
    """A filter that quotes the prompt names words that are parameters too."""
    bench = make_bench()
    server.always = status(400, "Your prompt was flagged: 'the temperature ...'")
    with pytest.raises(ExplainerError, match="flagged"):
        bench.explaining.explain(NEURON, HEAD)
    assert len(server.bodies) == 2
    server.always = None
    bench.again().explaining.explain(NEURON, HEAD)
    assert server.bodies[-1]["temperature"] == 0.0


GEMINI = 'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
PYDANTIC = "Extra inputs are not permitted"
ONE_VALUE = "Only the default (1) value is supported."
REFUSALS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "400": (
        refusing("Unsupported value: '{name}' does not support 0 with this model.", "temperature"),
        ("temperature",),
    ),
    "403": (
        refusing("You are not allowed to request {name} from this model", "logprobs", status=403),
        ("logprobs",),
    ),
    "422 of FastAPI": (refusing(PYDANTIC, "logprobs", status=422, shape="detail"), ("logprobs",)),
    "400 of Gemini, in a list": (refusing(GEMINI, "logprobs", shape="list"), ("logprobs",)),
    "500": (refusing("{name} is not supported with this model", "logprobs", status=500), ("logprobs",)),
    "501 in plain text": (
        refusing("{name}: not implemented", "logprobs", status=501, shape="text"), ("logprobs",),
    ),
    "503, the error a sentence": (
        refusing('json: unknown field "{name}"', "temperature", status=503, shape="string"), ("temperature",),
    ),
    "200": (refusing("This model does not support {name}", "logprobs", status=200), ("logprobs",)),
    "named in a field only": (refusing(ONE_VALUE, "temperature", shape="param"), ("temperature",)),
    "not named, its default is": (refusing(ONE_VALUE, "temperature"), ("temperature",)),
    "not named at all": (refusing("Unsupported parameter.", "temperature"), ("temperature",)),
    "log probabilities": (refusing("Log probabilities are not enabled for it.", "logprobs"), ("logprobs",)),
    "the limit, in a validator's words": (
        refusing(PYDANTIC, "max_tokens", status=422, shape="detail"),
        ("max_tokens", "temperature", "logprobs"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_in_any_words_costs_one_call(make_bench: MakeBench, server: ChatServer, kind: str) -> None:
    server.always, refused = REFUSALS[kind]
    bench = make_bench(explainer_retries=3, **MANY)
    found = bench.scores.score(NEURON, HEAD, control=False)
    assert (found.score.head_explanation_score, found.score.unanswered) == (1.0, 0)
    assert len(server.bodies) == 1 + PROMPTS + 1, "of 5xx too: what is refused is not retried as it is"
    assert not any(set(refused) & set(body) for body in server.bodies[-PROMPTS + 1 :])
    assert (found.score.roc_auc is None) == ("logprobs" in refused)


# --- thoughts ---


@pytest.mark.parametrize("place", PLACES)
def test_thoughts_are_kept_nowhere_and_read_as_no_answer(
    make_bench: MakeBench, server: ChatServer, place: str
) -> None:
    server.always = thinking_in(place)
    bench = make_bench(**MANY)
    found = bench.scores.score(NEURON, HEAD, control=False)
    assert found.explanation == EXPLANATION
    assert (found.score.head_explanation_score, found.score.unanswered) == (1.0, 0)
    assert len(server.bodies) <= 1 + PROMPTS + 1
    assert all(THOUGHTS not in entry.explanation.explanation for entry in bench.store.all())


@pytest.mark.parametrize("place", PLACES)
def test_thoughts_up_to_the_limit_end_a_score_with_the_setting_to_raise(
    make_bench: MakeBench, server: ChatServer, place: str
) -> None:
    server.always = thinking_in(place, needs=10**6)
    bench = make_bench(explainer_thinking_tokens=300, **MANY)
    with pytest.raises(ExplainerError, match="used up its limit of 500 tokens, thoughts included") as caught:
        bench.scores.score(NEURON, HEAD)
    assert "explainer_thinking_tokens" in caught.value.hint
    assert len(server.bodies) == 2
    assert bench.explaining.plan(NEURON, HEAD).calls == 1
    assert THOUGHTS not in everything_kept(bench)


def test_answers_that_are_thought_away_end_a_score_early(make_bench: MakeBench, server: ChatServer) -> None:
    server.always = reasoning_model(400)
    bench = make_bench(explainer_thinking_tokens=300, **MANY)
    with pytest.raises(ExplainerError, match="used up its limit of 305 tokens"):
        bench.scores.score(NEURON, HEAD, explanation="Mine.")
    assert len(server.bodies) == 2
    assert bench.again(explainer_thinking_tokens=500).scores.score(NEURON, HEAD).score.unanswered == 0


def test_a_limit_that_is_an_error_is_thoughts_too(make_bench: MakeBench, server: ChatServer) -> None:
    """OpenAI's words where a reasoning model has no token left for an answer."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        if body["max_tokens"] > 300:
            return handler.answer(body)
        message = "Could not finish the message because max_tokens or model output limit was reached."
        return handler.json(400, {"error": {"message": message}})

    server.always = fault
    assert make_bench().explaining.explain(NEURON, HEAD).explanation == EXPLANATION
    assert len(server.bodies) == 2
    with pytest.raises(ExplainerError, match="used up its limit"):
        make_bench(explainer_thinking_tokens=50, explainer_model="other").explaining.explain(NEURON, HEAD)


def test_an_explanation_that_says_more_than_it_may_is_no_thought(
    make_bench: MakeBench, server: ChatServer
) -> None:
    """It is asked for once more, since what was cut might have been thoughts; then it is known."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        handler.json(
            200, whole({"content": said(handler, body)}, reason="length" if limit_of(body) < 300 else "stop")
        )

    server.always = fault
    bench = make_bench()
    found = bench.explaining.explain(NEURON, HEAD)
    assert found.explanation == EXPLANATION
    assert "It was cut at the limit of its length." in found.notes
    assert len(server.bodies) == 2
    assert found.usage.output_tokens == 2 * 7
    bench.explaining.explain(OTHER, SECOND)
    assert len(server.bodies) == 3


def test_a_stream_of_thoughts_shows_none(make_bench: MakeBench, server: ChatServer) -> None:
    def fault(handler: Handler, body: dict[str, Any]) -> None:
        handler.stream(f"<think>{THOUGHTS}</think> {EXPLANATION}")

    server.always = fault
    heard: list[str] = []
    found = make_bench().explaining.explain(NEURON, HEAD, on_text=heard.append)
    assert (found.explanation, heard[-1]) == (EXPLANATION, EXPLANATION)
    assert not any("no “not”" in text for text in heard)


# --- what is kept ---


@pytest.mark.parametrize("text", ["", "Maybe", "I cannot tell."])
def test_what_is_neither_yes_nor_no_is_asked_again(
    make_bench: MakeBench, server: ChatServer, text: str
) -> None:
    server.reply = lambda message: ("Yes", None) if "201," in message else (text, None)
    bench = make_bench(explainer_concurrency=1)
    if text:
        assert bench.scores.score(NEURON, HEAD, explanation="Mine.", control=False).answered == 1
    else:
        with pytest.raises(ExplainerError, match="5 requests in a row failed: The model answered without"):
            bench.scores.score(NEURON, HEAD, explanation="Mine.", control=False)
    assert bench.scores.plan(NEURON, HEAD, explanation="Mine.", control=False).calls == PROMPTS - 1


def test_a_score_of_nothing_takes_no_earlier_ones_place(make_bench: MakeBench, server: ChatServer) -> None:
    bench = make_bench()
    first = bench.scores.score(NEURON, HEAD)
    server.reply = lambda message: ("Maybe", None)
    assert bench.scores.score(NEURON, HEAD, fresh=True).answered == 0
    (entry,) = bench.explaining.explained(NEURON, HEAD)
    assert entry.score is not None
    assert entry.score.score == first.score


def test_answers_that_earlier_versions_paid_for_are_read(make_bench: MakeBench, server: ChatServer) -> None:
    """Their keys are as they were; a probability is read where it is that of the answer's token."""
    bench = make_bench()
    bench.explaining.write(NEURON, HEAD, "Mine.")
    store = AnswerStore(bench.cache, Endpoint(server.base_url, "gpt-4"))
    held_out, labels, _ = HeadScores.held_out(bench.scores, NEURON, HEAD)
    for example, label in zip(held_out, labels, strict=True):
        shares = {"Yes": -0.2, "No": -1.8} if label else {"No": -0.1, "Yes": -2.5}
        kept = ChatAnswer(next(iter(shares)), "stop", "gpt", "2026-01-01T00:00:00+00:00", 50, 1, shares, ())
        store.add(score_request("Mine.", example), kept)
    store.add(score_request("Other.", held_out[0]), replace(kept, text="Maybe"))
    found = bench.scores.score(NEURON, HEAD, explanation="Mine.", control=False)
    assert (found.score.roc_auc, found.usage.cached, len(server.bodies)) == (1.0, PROMPTS, 0)
    # what is neither, and was kept all the same, is asked again
    assert bench.scores.plan(NEURON, HEAD, explanation="Other.", control=False).calls == PROMPTS
