"""Explaining heads: what is sent, kept, cached, planned, budgeted and cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.explanation.chat_server import EXPLANATION, ChatServer, hang, status
from tests.explanation.conftest import Bench
from tests.explanation.fake_examples import (
    HEAD,
    NEURON,
    NEVER,
    OTHER,
    PROMPTS,
    SECOND,
    SILENT,
    examples,
)
from tui_lookups.errors import Cancelled, LookupsError
from tui_lookups.explanation.budget import BudgetError
from tui_lookups.explanation.endpoint import ExplainerError
from tui_lookups.explanation.failures import AnswerError
from tui_lookups.ids import HeadId
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken

MakeBench = Callable[..., Bench]


def test_an_explanation(bench: Bench, server: ChatServer) -> None:
    heard: list[str] = []
    found = bench.explaining.explain(NEURON, HEAD, on_text=heard.append)
    assert (found.neuron, found.head, found.explanation) == (NEURON, HEAD, EXPLANATION)
    assert (found.author, found.model, found.answered_by) == ("model", "gpt-4", "tester-0001")
    assert found.endpoint == server.base_url
    assert (found.active, found.inactive, found.cached) == (PROMPTS // 2, PROMPTS // 2, False)
    assert (found.usage.calls, found.usage.input_tokens, found.usage.output_tokens) == (1, 50, 7)
    assert found.usage.cost is None
    assert heard[-1] == EXPLANATION


def test_the_explainer_sees_no_scoring_prompt_and_every_label_is_right(
    bench: Bench, server: ChatServer
) -> None:
    bench.explaining.explain(NEURON, HEAD)
    (message,) = server.messages
    active, inactive = message.split("NOT active on these pieces:")
    for example in examples("explaining"):
        place = active if HEAD in example.active else inactive
        other = inactive if HEAD in example.active else active
        assert f"there at {example.prompt_id}," in place
        assert f"there at {example.prompt_id}," not in other
    for example in examples("scoring"):
        assert f"there at {example.prompt_id}," not in message


def test_asking_again_costs_nothing_and_needs_no_key(
    bench: Bench, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.explaining.explain(NEURON, HEAD)
    monkeypatch.delenv("OPENAI_API_KEY")
    again = bench.again(offline=True)
    second = again.explaining.explain(NEURON, HEAD)
    assert second.cached
    assert (second.usage.calls, second.usage.cached, second.usage.input_tokens) == (0, 1, 0)
    assert second == replace(first, cached=True, usage=second.usage)
    assert len(server.bodies) == 1
    assert again.explaining.plan(NEURON, HEAD).calls == 0


@pytest.mark.parametrize("flags", [{"explainer_model": "gpt-4o"}, {"base_url": "http://localhost:{port}/v1"}])
def test_another_model_or_endpoint_is_asked_for_itself(
    bench: Bench, server: ChatServer, flags: dict[str, str]
) -> None:
    bench.explaining.explain(NEURON, HEAD)
    port = server.server_address[1]
    again = bench.again(**{name: value.format(port=port) for name, value in flags.items()})
    assert not again.explaining.explain(NEURON, HEAD).cached
    assert len(server.bodies) == 2


def test_fresh_keeps_both(bench: Bench, server: ChatServer) -> None:
    bench.explaining.explain(NEURON, HEAD)
    server.reply = lambda message: ("Another one.", None)
    found = bench.explaining.explain(NEURON, HEAD, fresh=True)
    assert (found.explanation, found.cached) == ("Another one.", False)
    assert bench.explaining.explain(NEURON, HEAD).explanation == "Another one."
    kept = bench.explaining.explained(NEURON, HEAD)
    assert {entry.explanation.explanation for entry in kept} == {EXPLANATION, "Another one."}
    assert len(server.bodies) == 2


def test_a_persons_own_words(bench: Bench, server: ChatServer) -> None:
    found = bench.explaining.write(NEURON, HEAD, "  After “not”. ")
    assert (found.explanation, found.author, found.model) == ("After “not”.", "person", None)
    assert bench.explaining.write(NEURON, HEAD, "After “not”.") == found
    assert [entry.explanation for entry in bench.explaining.explained(NEURON, HEAD)] == [found]
    assert not server.bodies
    with pytest.raises(LookupsError, match="empty"):
        bench.explaining.write(NEURON, HEAD, " \n")


def test_heads_that_cannot_be_explained(bench: Bench, server: ChatServer) -> None:
    with pytest.raises(LookupsError, match=r"active on none of the 8 prompts used to explain.*\bW\b"):
        bench.explaining.explain(NEURON, NEVER)
    with pytest.raises(LookupsError, match="does not reach"):
        bench.explaining.explain(NEURON, HeadId(9, 0))
    assert not server.bodies


def test_an_answer_without_words_is_not_kept(bench: Bench, server: ChatServer) -> None:
    server.reply = lambda message: ("<think>hm</think>", None)
    with pytest.raises(AnswerError, match="answered without text"):
        bench.explaining.explain(NEURON, HEAD)
    server.reply = lambda message: ("<think>Okay, the pieces", None)
    with pytest.raises(AnswerError, match="answered without text"):
        bench.explaining.explain(NEURON, HEAD)
    server.reply = lambda message: ("Words.", None)
    assert bench.explaining.explain(NEURON, HEAD).explanation == "Words."


def test_an_answer_that_the_cache_cannot_keep_says_so(
    bench: Bench, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("could not keep" in note for note in bench.explaining.explain(NEURON, HEAD).notes)
    monkeypatch.setattr(bench.cache, "_size_limit", 1)
    assert any("could not keep" in note for note in bench.explaining.explain(OTHER, SECOND).notes)


def test_an_answer_that_was_kept_though_it_never_left_its_thoughts(
    bench: Bench, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions did: it is refused, and costs the other heads nothing."""
    server.reply = lambda message: ("<think>Okay, the pieces", None)
    with monkeypatch.context() as earlier:
        earlier.setattr("tui_lookups.answering.explaining.read_explanation", str.strip)
        bench.explaining.explain(NEURON, HEAD)
    server.reply = lambda message: ("Words.", None)
    with pytest.raises(AnswerError, match="answered without text"):
        bench.explaining.explain(NEURON, HEAD)
    found = bench.explaining.explain_all(NEURON)
    assert HEAD in [left.head for left in found.left_out]
    assert all(each.explanation == "Words." for each in found.explanations)
    assert bench.explaining.explain(NEURON, HEAD, fresh=True).explanation == "Words."


# --- the index of what has been explained ---


def test_what_has_been_explained_is_searched(bench: Bench, server: ChatServer) -> None:
    bench.explaining.explain(NEURON, HEAD)
    server.reply = lambda message: ("After a number.", None)
    bench.explaining.explain(OTHER, SECOND)
    bench.examples.another_corpus()
    bench.explaining.write(NEURON, HEAD, "Mine.")

    def found(query: str) -> list[str]:
        return sorted(e.explanation.explanation for e in bench.explaining.explanations(query).explained)

    assert found("") == ["After a number.", "Mine.", EXPLANATION]
    assert found("NUMBER") == ["After a number."]
    assert found("l5.n371") == ["Mine.", EXPLANATION]
    assert found("gpt-4 not") == [EXPLANATION]
    assert found("person") == ["Mine."]
    assert found("nothing like it") == []
    # of the corpus that is open now
    assert [e.explanation.explanation for e in bench.explaining.explained(NEURON, HEAD)] == ["Mine."]


# --- plans and budgets ---


def test_a_plan_sends_nothing_and_needs_no_key(
    bench: Bench, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    plan = bench.again(price_per_million_input=30.0, price_per_million_output=60.0).explaining.plan(
        NEURON, HEAD
    )
    request, *_ = bench.explaining.request(NEURON, HEAD)
    assert (plan.calls, plan.cached, plan.output_tokens) == (1, 0, 200)
    assert plan.input_tokens == -(-len(request.message.encode()) // 3) + 8
    assert plan.cost == pytest.approx((plan.input_tokens * 30 + 200 * 60) / 1e6)
    assert "estimated" in plan.counting
    assert not server.bodies


def test_a_plan_warns_of_an_open_line(make_bench: MakeBench) -> None:
    plan = make_bench(base_url="http://far.example/v1").explaining.plan(NEURON, HEAD)
    assert "in the clear" in plan.notes[0]
    assert make_bench().explaining.plan(NEURON, HEAD).notes == ()


def test_cost_is_of_the_tokens_the_endpoint_counted(make_bench: MakeBench) -> None:
    bench = make_bench(price_per_million_input=1000.0, price_per_million_output=10000.0)
    assert bench.explaining.explain(NEURON, HEAD).usage.cost == pytest.approx(0.05 + 0.07)


def test_a_budget_stops_before_it_is_crossed(make_bench: MakeBench, server: ChatServer) -> None:
    needed = make_bench().explaining.plan(NEURON, HEAD)
    most = needed.input_tokens + needed.output_tokens
    short = make_bench(token_budget=most - 1)
    assert "more than the session's budget" in short.explaining.plan(NEURON, HEAD).notes[0]
    with pytest.raises(BudgetError, match="takes up to"):
        short.explaining.explain(NEURON, HEAD)
    assert not server.bodies
    just = make_bench(token_budget=most)
    just.explaining.explain(NEURON, HEAD)
    # what was really used counts from then on: 57 tokens
    assert just.explaining.plan(NEURON, HEAD).budget_left == most - 57
    assert just.explaining.explain(NEURON, HEAD).cached


def test_offline_asks_no_endpoint_elsewhere(make_bench: MakeBench) -> None:
    with pytest.raises(ExplainerError, match="offline forbids it"):
        make_bench(base_url="http://far.invalid/v1", offline=True).explaining.explain(NEURON, HEAD)
    assert make_bench(offline=True).explaining.explain(NEURON, HEAD).explanation == EXPLANATION


def test_without_a_key_one_is_asked_for(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    bench = make_bench(base_url=None)
    with pytest.raises(ExplainerError, match="OPENAI_API_KEY is not set"):
        bench.explaining.explain(NEURON, HEAD)


def test_a_key_may_be_given_instead(bench: Bench, server: ChatServer) -> None:
    bench.explaining.explain(NEURON, HEAD, api_key="another-key-123")
    assert server.headers[0]["authorization"] == "Bearer another-key-123"


# --- all heads worth explaining ---


def test_all_heads_worth_explaining(bench: Bench, server: ChatServer) -> None:
    plan = bench.explaining.plan_all(NEURON)
    found = bench.explaining.explain_all(NEURON)
    assert [each.head for each in found.explanations] == [HEAD, SECOND, SILENT]
    assert [(each.head, each.reason[:24]) for each in found.left_out] == [(NEVER, "L0.H0 is active on none ")]
    assert (plan.calls, len(server.bodies), found.usage.calls) == (3, 3, 3)
    again = bench.again().explaining.explain_all(NEURON)
    assert all(each.cached for each in again.explanations)
    assert len(server.bodies) == 3


def test_a_run_that_stopped_goes_on_where_it_was(make_bench: MakeBench, server: ChatServer) -> None:
    bench = make_bench(explainer_concurrency=1)
    server.faults.extend([lambda handler, body: handler.answer(body), status(401)])
    with pytest.raises(ExplainerError, match="API key"):
        bench.explaining.explain_all(NEURON)
    assert len(server.bodies) == 2  # nothing was sent after the refusal
    assert bench.explaining.plan_all(NEURON).calls == 2
    assert len(bench.explaining.explain_all(NEURON).explanations) == 3
    assert len(server.bodies) == 4


def test_one_failure_leaves_one_head_out(bench: Bench, server: ChatServer) -> None:
    server.faults.append(status(500))
    found = bench.explaining.explain_all(NEURON)
    assert len(found.explanations) == 2
    assert sum("status 500" in each.reason for each in found.left_out) == 1
    assert found.usage.failed == 1


# --- cancelling ---


def test_cancelling_ends_a_request_under_way(bench: Bench, server: ChatServer) -> None:
    server.always = hang
    token, outcome = CancelToken(), []

    def ask() -> None:
        CURRENT_TOKEN.set(token)
        try:
            bench.explaining.explain(NEURON, HEAD)
        except Cancelled as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not server.bodies:
        assert asking.is_alive()
    token.cancel()
    asking.join(timeout=5)
    assert not asking.is_alive()
    assert len(outcome) == 1
    server.always = None
    assert not bench.explaining.explain(NEURON, HEAD).cached


def test_a_question_cancelled_before_it_began_sends_nothing(bench: Bench, server: ChatServer) -> None:
    token = CancelToken()
    token.cancel()
    reset = CURRENT_TOKEN.set(token)
    try:
        with pytest.raises(Cancelled):
            bench.explaining.explain(NEURON, HEAD)
    finally:
        CURRENT_TOKEN.reset(reset)
    assert not server.bodies


async def test_from_within_an_event_loop_as_in_a_notebook(bench: Bench) -> None:
    assert bench.explaining.explain(NEURON, HEAD).explanation == EXPLANATION
