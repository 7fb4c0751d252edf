"""Counting tokens without a network, prices, and the budget's arithmetic."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.explanation.budget import (
    BYTES_PER_TOKEN,
    BudgetError,
    Prices,
    TokenBudget,
    estimate_tokens,
    token_counter,
)
from tui_lookups.explanation.requests import ChatRequest


@given(st.text())
def test_the_estimate_is_a_third_of_the_bytes_rounded_up(text: str) -> None:
    size = len(text.encode("utf-8", "replace"))
    assert 0 <= estimate_tokens(text) * BYTES_PER_TOKEN - size < BYTES_PER_TOKEN


def test_without_tokenizer_data_at_hand_tokens_are_estimated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))  # empty: tiktoken would fetch
    for model in ("gpt-4", "a-local-model"):
        counter = token_counter(model)
        assert "estimated" in counter.how
        assert counter.input_tokens(ChatRequest("x" * 30, 5, logprobs=False)) == 10 + 8


@pytest.mark.skipif(importlib.util.find_spec("tiktoken") is None, reason="tiktoken is not installed")
def test_with_tokenizer_data_at_hand_tokens_are_counted() -> None:
    counter = token_counter("gpt-4")
    if "estimated" in counter.how:
        pytest.skip("tiktoken's data is not in its cache")
    assert counter.count("hello world") == 2


def test_prices() -> None:
    assert Prices(30.0, 60.0).cost(1_000_000, 500_000) == 60.0
    assert Prices(0.0, 0.0).cost(5, 5) == 0.0
    assert Prices(30.0, None).cost(5, 5) is None


def test_a_budget_counts_what_is_under_way() -> None:
    budget = TokenBudget(100)
    budget.reserve(60)
    with pytest.raises(BudgetError):
        budget.reserve(41)
    budget.reserve(40)
    assert budget.left == 0
    budget.settle(60, 10)
    assert budget.left == 50
    budget.settle(40, 0)
    assert budget.left == 90
    budget.require(90)
    with pytest.raises(BudgetError, match=r"up to 91 tokens; 90 of this session's 100 are left"):
        budget.require(91)


def test_no_limit() -> None:
    budget = TokenBudget(None)
    budget.reserve(10**12)
    budget.require(10**12)
    assert budget.left is None
