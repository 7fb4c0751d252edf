"""What is kept of answers and explanations, and how it is found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.explanation.conftest import Bench
from tests.explanation.fake_examples import HEAD, NEURON
from tests.storage.samples import explanation, score
from tui_lookups.explanation.endpoint import Endpoint
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest
from tui_lookups.explanation.store import AnswerStore, ExplainedStore, matches
from tui_lookups.results import Explained
from tui_lookups.storage.cache import ResultCache

REQUEST = ChatRequest("m", 5, logprobs=True)
ANSWER = ChatAnswer("Yes", "stop", "gpt", "2026-01-01T00:00:00+00:00", 1, None, {"Yes": -0.1}, ("note",))


@pytest.fixture
def cache(tmp_path: Path) -> ResultCache:
    return ResultCache(tmp_path / "cache")


def test_answers_add_up_and_the_last_one_counts(cache: ResultCache) -> None:
    store = AnswerStore(cache, Endpoint("http://h/v1", "m"))
    assert store.newest(REQUEST) is None
    store.add(REQUEST, ANSWER)
    second = replace(ANSWER, text="No")
    store.add(REQUEST, second)
    again = AnswerStore(cache, Endpoint("http://h/v1", "m"))
    assert again.history(REQUEST) == (ANSWER, second)
    assert again.newest(REQUEST) == second


def test_everything_in_a_request_is_part_of_its_key(cache: ResultCache) -> None:
    AnswerStore(cache, Endpoint("http://h/v1", "m")).add(REQUEST, ANSWER)
    for other in (
        replace(REQUEST, message="n"),
        replace(REQUEST, max_tokens=6),
        replace(REQUEST, logprobs=False),
        replace(REQUEST, temperature=0.5),
        replace(REQUEST, version=REQUEST.version + 1),
    ):
        assert AnswerStore(cache, Endpoint("http://h/v1", "m")).newest(other) is None
    for endpoint in (Endpoint("http://h/v2", "m"), Endpoint("http://h/v1", "n")):
        assert AnswerStore(cache, endpoint).newest(REQUEST) is None


def test_explanations_are_kept_apart_and_listed_newest_first(cache: ResultCache) -> None:
    store = ExplainedStore(cache)
    first = Explained(explanation(), None)
    later = Explained(replace(explanation(), explanation="B.", created="2027-01-01T00:00:00+00:00"), None)
    store.keep(first)
    store.keep(later)
    assert store.all() == [later, first]
    scored = replace(first, score=score())
    store.keep(scored)
    assert store.all() == [later, scored]
    assert store.get(explanation()) == scored
    assert store.get(replace(explanation(), explanation="C.")) is None


def test_an_entry_that_cannot_be_read_is_left_alone_and_the_others_are_listed(cache: ResultCache) -> None:
    """Another version may have written it, and no model can work it out again."""
    store = ExplainedStore(cache)
    store.keep(Explained(explanation(), None))
    cache.put("explained", "explained:damaged", b"{}")
    assert [entry.score for entry in store.all()] == [None]
    assert any("left alone" in problem for problem in cache.problems)
    assert cache.get("explained", "explained:damaged") == b"{}"


def test_keys_are_of_one_kind(cache: ResultCache) -> None:
    cache.put("explained", "explained:a", b"1")
    cache.put("explained_more", "explained_more:b", b"1")
    assert cache.keys("explained") == ["explained:a"]
    assert cache.keys("nothing") == []


def test_what_a_query_looks_at() -> None:
    entry = Explained(explanation(), score())
    for query in ("", "NOT", "l5.n371 L3.H2", "gpt-4", "demo model", "scored"):
        assert matches(entry, query), query
    assert not matches(entry, "elsewhere")
    assert not matches(replace(entry, score=None), "scored")


def test_two_sessions_keep_both(make_bench: Callable[..., Bench]) -> None:
    one, two = make_bench(), make_bench(explainer_model="gpt-4o")
    one.explaining.explain(NEURON, HEAD)
    two.explaining.explain(NEURON, HEAD)
    for bench in (one, two):
        assert len(bench.explaining.explained(NEURON, HEAD)) == 2
