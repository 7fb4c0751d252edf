"""Scoring explanations: labels, answers, failures, controls, batches and the report."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from tests.explanation.chat_server import (
    EXPLANATION,
    ChatServer,
    Handler,
    body_of,
    example_in,
    is_scoring,
    refuse,
    status,
)
from tests.explanation.conftest import Bench
from tests.explanation.fake_examples import HEAD, NEURON, NEVER, OTHER, PROMPTS, SECOND, SILENT, examples
from tui_lookups.errors import LookupsError
from tui_lookups.explanation.budget import BudgetError
from tui_lookups.explanation.endpoint import ExplainerError
from tui_lookups.explanation.request_runner import MOST_FAILURES
from tui_lookups.explanation.requests import GENERIC_EXPLANATION
from tui_lookups.progress import Progress
from tui_lookups.results import Figures

MakeBench = Callable[..., Bench]


def test_a_right_explanation_scores_one_and_its_control_a_half(bench: Bench, server: ChatServer) -> None:
    found = bench.scores.score(NEURON, HEAD)
    half = PROMPTS // 2
    assert found.score == Figures(1.0, 1.0, 1.0, 1.0, half, 0, half, 0, 0, 1.0)
    assert (found.explanation, found.author, found.model) == (EXPLANATION, "model", "gpt-4")
    assert (found.active, found.inactive, found.single_class) == (half, half, False)
    assert found.control is not None
    assert (found.control.explanation, found.control.origin) == (GENERIC_EXPLANATION, "generic")
    assert found.control.score == Figures(0.5, 0.0, None, 0.0, 0, 0, half, half, 0, 0.5)
    assert found.shuffled is not None
    assert (found.shuffled.seed, found.shuffled.at_least) == (0, pytest.approx(1 / 70, abs=0.03))
    assert found.notes == ()
    assert [each.prompt_id for each in found.answers] == [e.prompt_id for e in examples("scoring")]


def test_only_scoring_prompts_are_asked_one_a_call(bench: Bench, server: ChatServer) -> None:
    bench.scores.score(NEURON, HEAD)
    asked = [message for message in server.messages if is_scoring(message)]
    assert len(asked) == 2 * PROMPTS
    for example in examples("scoring"):
        assert sum(f"there at {example.prompt_id}," in example_in(message) for message in asked) == 2
    for example in examples("explaining"):
        assert not any(f"there at {example.prompt_id}," in message for message in asked)
    assert all(body["temperature"] == 0 for body in server.bodies)


def test_prompts_that_read_like_one_the_explainer_saw_are_left_out(bench: Bench, server: ChatServer) -> None:
    bench.examples.shown_too = 3
    found = bench.scores.score(NEURON, HEAD)
    assert [each.prompt_id for each in found.answers] == [e.prompt_id for e in examples("scoring")[3:]]
    assert found.notes == ("Left out were 3 prompts that, trimmed, read like one the explainer saw.",)
    assert sum(map(is_scoring, server.messages)) == 2 * (PROMPTS - 3)
    bench.examples.shown_too = PROMPTS
    with pytest.raises(LookupsError, match=r"Every scoring prompt of L5\.N371"):
        bench.scores.score(NEURON, HEAD)
    report = bench.scores.score_all(NEURON)
    assert report.scores == ()
    assert len(report.left_out) == 4
    assert report.head_explanation_score.mean is None


def test_unanswered_is_neither_no_nor_zero(make_bench: MakeBench, server: ChatServer) -> None:
    bench = make_bench(explainer_concurrency=1)
    bench.explaining.explain(NEURON, HEAD)
    # prompts 200 (inactive), 201 (active), 202 (inactive) get no usable answer
    server.faults.extend([status(500), body_of(b"nonsense"), lambda h, b: reply_with(h, "Maybe")])
    found = bench.scores.score(NEURON, HEAD, control=False)
    assert found.score == Figures(1.0, 1.0, 1.0, 1.0, 3, 0, 2, 0, 3, 1.0)
    problems = [each.problem for each in found.answers]
    assert [each.answer for each in found.answers[:4]] == [None, None, None, "yes"]
    assert problems[0] is not None
    assert "status 500" in problems[0]
    assert problems[1] is not None
    assert "not a chat completion" in problems[1]
    assert problems[2] == "It is neither Yes nor No: 'Maybe'."
    assert (found.usage.calls, found.usage.failed) == (PROMPTS - 2, 2)
    # what failed is asked again, and so is what was answered neither Yes nor No: it was not kept
    before = len(server.bodies)
    again = bench.scores.score(NEURON, HEAD, control=False)
    assert len(server.bodies) == before + 3
    assert (again.score.unanswered, again.usage.cached) == (0, PROMPTS - 3)


def reply_with(handler: Handler, text: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    handler.json(
        200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def test_one_class_is_left_out_and_asks_nothing(bench: Bench, server: ChatServer) -> None:
    found = bench.scores.score(NEURON, SILENT)
    assert found.single_class
    assert found.score == Figures(None, None, None, None, 0, 0, 0, 0, 0, None)
    assert (found.active, found.inactive, found.control, found.shuffled) == (0, PROMPTS, None, None)
    assert not any(map(is_scoring, server.messages))
    assert bench.scores.plan(NEURON, SILENT).calls == 0


def test_asking_again_costs_nothing(bench: Bench, server: ChatServer) -> None:
    first = bench.scores.score(NEURON, HEAD)
    asked = len(server.bodies)
    again = bench.again()
    assert again.scores.plan(NEURON, HEAD).calls == 0
    second = again.scores.score(NEURON, HEAD)
    assert second.cached
    assert (second.score, second.control) == (first.score, first.control)
    assert (second.usage.calls, second.usage.cached) == (0, 2 * PROMPTS)
    assert len(server.bodies) == asked
    assert not again.scores.score(NEURON, HEAD, fresh=True).cached
    assert len(server.bodies) == asked + 2 * PROMPTS


def test_a_persons_words_are_scored_and_kept(bench: Bench, server: ChatServer) -> None:
    found = bench.scores.score(NEURON, HEAD, explanation=" Always. ")
    assert (found.explanation, found.author, found.explanation_model) == ("Always.", "person", None)
    assert found.score.head_explanation_score == 0.5
    (entry,) = bench.explaining.explained(NEURON, HEAD)
    assert entry.explanation.author == "person"
    assert entry.score is not None
    assert entry.score.score == found.score
    # the explainer's own words, typed in again, are the explainer's
    bench.explaining.explain(NEURON, HEAD)
    assert bench.scores.score(NEURON, HEAD, explanation=EXPLANATION).author == "model"


def test_the_control_is_an_explanation_of_another_head_and_stays_it(bench: Bench, server: ChatServer) -> None:
    server.reply = lambda message: ("Of another neuron.", None) if not is_scoring(message) else ("No", 0.1)
    bench.explaining.explain(OTHER, SECOND)
    server.reply = lambda message: ("Of its head.", None) if not is_scoring(message) else ("No", 0.1)
    found = bench.scores.score(NEURON, HEAD)
    assert found.control is not None
    assert (found.control.explanation, found.control.origin) == ("Of another neuron.", f"{SECOND} of {OTHER}")
    for number in range(5):  # more to draw from does not change what was drawn
        bench.explaining.write(OTHER, HEAD, f"Words {number}.")
        server.reply = lambda message, n=number: (f"Text {n}.", None)
        bench.explaining.explain(OTHER, SECOND, fresh=True)
    assert bench.scores.plan(NEURON, HEAD).calls == 0
    assert bench.scores.score(NEURON, HEAD).control == found.control


def test_an_endpoint_without_log_probabilities(make_bench: MakeBench, server: ChatServer) -> None:
    server.always = refuse("logprobs")
    found = make_bench().scores.score(NEURON, HEAD)
    assert (found.score.head_explanation_score, found.score.roc_auc) == (1.0, None)
    assert found.notes == ("The endpoint refuses log-probabilities.",)
    server.always = None
    server.reply = lambda message: ("Yes", None)
    found = make_bench(explainer_model="other").scores.score(NEURON, HEAD, explanation="x")
    assert found.score.roc_auc is None
    assert found.notes == ("The endpoint gave no log-probabilities.",)


# --- batches ---


def test_no_more_requests_at_once_than_allowed(make_bench: MakeBench, server: ChatServer) -> None:
    import threading
    import time

    full = threading.Event()

    def slowly(handler: Handler, body: dict[str, object]) -> None:
        if server.most_under_way >= 3:
            full.set()
        if len(server.bodies) > 2:  # the explanation, and the first question, go alone
            full.wait(30)  # until three are there, however busy the machine is
        time.sleep(0.02)  # for a fourth, if there is one
        handler.answer(body)

    server.always = slowly
    make_bench(explainer_concurrency=3).scores.score(NEURON, HEAD)
    assert server.most_under_way == 3


def test_progress_counts_every_answer(bench: Bench, server: ChatServer) -> None:
    heard: list[Progress] = []
    bench.scores.score(NEURON, HEAD, control=False, progress=heard.append)
    assert [each.done for each in heard] == list(range(PROMPTS + 1))
    assert {each.total for each in heard} == {PROMPTS}
    assert heard[0].seconds_left is None
    assert heard[-1].seconds_left == 0
    heard.clear()
    bench.scores.score(NEURON, HEAD, control=False, progress=heard.append)
    assert [each.done for each in heard] == [PROMPTS], "all of them were cached"


def test_failures_in_a_row_end_the_batch(make_bench: MakeBench, server: ChatServer) -> None:
    bench = make_bench(explainer_concurrency=1)
    bench.explaining.explain(NEURON, HEAD)
    server.always = status(500)
    with pytest.raises(ExplainerError, match=f"{MOST_FAILURES} requests in a row failed: .*status 500"):
        bench.scores.score(NEURON, HEAD)
    assert len(server.bodies) == 1 + MOST_FAILURES


def test_a_refusal_ends_the_batch_and_what_was_answered_is_kept(
    make_bench: MakeBench, server: ChatServer
) -> None:
    bench = make_bench(explainer_concurrency=1)
    bench.explaining.explain(NEURON, HEAD)
    server.faults.extend([lambda h, b: h.answer(b)] * 3 + [status(429)])
    with pytest.raises(ExplainerError, match="no more requests"):
        bench.scores.score(NEURON, HEAD)
    assert len(server.bodies) == 1 + 4
    assert bench.scores.plan(NEURON, HEAD).calls == 2 * PROMPTS - 3
    assert bench.scores.score(NEURON, HEAD).usage.cached == 3


def test_a_batch_over_the_budget_sends_nothing(make_bench: MakeBench, server: ChatServer) -> None:
    make_bench().explaining.explain(NEURON, HEAD)
    plan = make_bench().scores.plan(NEURON, HEAD)
    short = make_bench(token_budget=plan.input_tokens + plan.output_tokens - 1)
    with pytest.raises(BudgetError):
        short.scores.score(NEURON, HEAD)
    assert len(server.bodies) == 1
    make_bench(token_budget=plan.input_tokens + plan.output_tokens).scores.score(NEURON, HEAD)


def test_a_budget_holds_when_the_endpoint_uses_more_than_estimated(
    make_bench: MakeBench, server: ChatServer
) -> None:
    plan = make_bench().scores.plan(NEURON, HEAD, explanation="x", control=False)
    bench = make_bench(token_budget=plan.input_tokens + plan.output_tokens, explainer_concurrency=1)
    whole = plan.input_tokens + plan.output_tokens

    def greedy(handler: Handler, body: dict[str, object]) -> None:
        choice = {"index": 0, "message": {"content": "Yes"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": whole - 10, "completion_tokens": 0, "total_tokens": whole - 10}
        handler.json(200, {"choices": [choice], "usage": usage})

    server.always = greedy
    with pytest.raises(BudgetError, match="could cross"):
        bench.scores.score(NEURON, HEAD, explanation="x", control=False)
    assert len(server.bodies) == 1


def test_a_plan_of_a_score_counts_the_explanation_too(bench: Bench, server: ChatServer) -> None:
    before = bench.scores.plan(NEURON, HEAD)
    assert before.calls == 1 + 2 * PROMPTS
    bench.explaining.explain(NEURON, HEAD)
    after = bench.scores.plan(NEURON, HEAD)
    assert after.calls == 2 * PROMPTS
    assert after.input_tokens < before.input_tokens
    bench.scores.score(NEURON, HEAD)
    assert (bench.scores.plan(NEURON, HEAD).calls, bench.scores.plan(NEURON, HEAD).input_tokens) == (0, 0)
    assert bench.scores.plan(NEURON, HEAD, fresh=True).calls == 2 * PROMPTS


# --- all heads, and the report ---


def test_all_heads_and_the_report(bench: Bench, server: ChatServer) -> None:
    with pytest.raises(LookupsError, match="Nothing of this model and corpus is scored by gpt-4 yet"):
        bench.scores.report()
    planned = bench.scores.plan_all(NEURON)
    made = bench.scores.score_all(NEURON)
    # SECOND is active on two of eight, none of them with a "not": Yes on 4 wrong ones, No on 2 right ones
    wrong = (0 + 2 / 6) / 2
    assert {each.head: each.score.head_explanation_score for each in made.scores} == {
        HEAD: 1.0,
        SECOND: pytest.approx(wrong),
    }
    assert [each.head for each in made.left_out] == [NEVER, SILENT]
    assert made.left_out[1].reason == "It is inactive on all 8 scoring prompts."
    assert made.head_explanation_score.count == 2
    assert made.head_explanation_score.mean == pytest.approx((1 + wrong) / 2)
    assert made.head_explanation_score.standard_deviation == pytest.approx(statistics.stdev([1, wrong]))
    assert made.usage.calls == len(server.bodies)
    assert planned.calls >= len(server.bodies)
    bench.scores.score(NEURON, HEAD, explanation="Mine.")  # a person's is not in the report
    found = bench.again().scores.report()
    assert [each.head for each in found.scores] == [SECOND, HEAD]
    assert found.head_explanation_score == made.head_explanation_score
    assert [each.head for each in found.left_out] == [SILENT]
    # explanation, score and control of two heads, and the explanation of the one with a single class
    assert found.usage.calls == 2 * (1 + 2 * PROMPTS) + 1
    assert bench.again().scores.report([NEURON]).head_explanation_score.count == 2
    with pytest.raises(LookupsError, match="Nothing of this"):
        bench.again().scores.report([OTHER])


def test_a_report_is_of_one_explainer_and_one_corpus(bench: Bench) -> None:
    bench.scores.score(NEURON, HEAD)
    other = bench.again(explainer_model="gpt-4o")
    with pytest.raises(LookupsError, match=r"scored by gpt-4o yet\. Scored so far: by gpt-4 at http"):
        other.scores.report()
    other.scores.score(NEURON, HEAD)
    assert other.scores.report().scores[0].model == "gpt-4o"
    again = other.again()
    again.examples.another_corpus()
    with pytest.raises(LookupsError, match="yet"):
        again.scores.report()


def test_a_whole_run_again_asks_nothing(bench: Bench, server: ChatServer) -> None:
    bench.scores.score_all(NEURON)
    asked = len(server.bodies)
    again = bench.again()
    assert again.scores.plan_all(NEURON).calls == 0
    assert again.scores.score_all(NEURON).usage.calls == 0
    assert len(server.bodies) == asked


def test_what_is_known_so_far_asks_nobody(bench: Bench, server: ChatServer) -> None:
    before = bench.scores.so_far(NEURON)
    assert [(row.head, row.explained) for row in before.heads] == [
        (HEAD, None), (SECOND, None), (NEVER, None), (SILENT, None),
    ]  # fmt: skip
    assert (before.report.scores, before.report.head_explanation_score.mean) == ((), None)
    bench.explaining.explain(NEURON, HEAD)
    bench.explaining.write(NEURON, SECOND, "Mine.")  # a person's is not the explainer's
    asked = len(server.bodies)
    between = bench.scores.so_far(NEURON)
    assert between.heads[0].explained is not None
    assert between.heads[0].explained.score is None
    assert between.heads[1].explained is None
    assert len(server.bodies) == asked
    made = bench.scores.score_all(NEURON)
    bench.explaining.explain(NEURON, HEAD, fresh=True)  # newer, and without a score
    after = bench.again().scores.so_far(NEURON)
    assert after.report.head_explanation_score == made.head_explanation_score
    assert [row.explained is not None and row.explained.score is not None for row in after.heads] == [
        True, True, False, True,
    ]  # fmt: skip
    assert [each.head for each in after.report.left_out] == [SILENT]
    assert bench.again(explainer_model="gpt-4o").scores.so_far(NEURON).heads[0].explained is None


def test_a_run_over_all_heads_tells_of_both_its_stages(bench: Bench) -> None:
    heard: list[Progress] = []
    bench.scores.score_all(NEURON, progress=heard.append)
    totals = list(dict.fromkeys(each.total for each in heard))
    # three explanations; then words and control, the same of both heads here, on the same prompts
    assert totals == [3, 2 * PROMPTS]
    assert [each.done for each in heard if each.total == 3] == [0, 1, 2, 3]


def test_a_plan_without_a_key_says_what_to_set(
    make_bench: MakeBench, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_bench().scores.plan(NEURON, HEAD).problem == ""
    monkeypatch.delenv("OPENAI_API_KEY")
    assert make_bench().scores.plan(NEURON, HEAD).problem == "", "a server of one's own needs no key"
    plan = make_bench(base_url="https://api.openai.com/v1").scores.plan(NEURON, HEAD)
    assert plan.calls == 1 + 2 * PROMPTS
    assert "OPENAI_API_KEY is not set" in plan.problem
    assert "--base-url" in plan.hint
    away = make_bench(base_url="https://api.openai.com/v1", offline=True).explaining.plan(NEURON, HEAD)
    assert "the setting offline forbids it" in away.problem
    bench = make_bench()
    bench.explaining.explain(NEURON, HEAD)
    assert not server.faults
    known = make_bench(offline=True).explaining.plan(NEURON, HEAD)
    assert (known.calls, known.problem) == (0, ""), "what is known needs neither"
