"""The batch plan: every prompt once, one part a batch, within the budget, the same every time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.scan.plan import hash_ids, plan_batches, sample_ids

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 5), st.randoms(use_true_random=False))
def test_every_prompt_once_within_budget_and_part(lengths, budget, seed, random) -> None:
    parts = [random.randrange(2) for _ in lengths]
    plan = plan_batches(lengths, parts, batch_tokens=budget, seed=seed)
    expected = [prompt for prompt, length in enumerate(lengths) if length >= 2]
    assert sorted(plan.order.tolist()) == expected
    assert plan.prompts == len(expected)
    seen = 0
    for number in range(len(plan)):
        ids = plan.batch(number).tolist()
        assert plan.tokens[number] == seen
        seen += sum(lengths[prompt] for prompt in ids)
        assert [(lengths[prompt], prompt) for prompt in ids] == sorted((lengths[p], p) for p in ids)
        assert {parts[prompt] for prompt in ids} == {plan.parts[number]}
        assert len(ids) == 1 or len(ids) * max(lengths[prompt] for prompt in ids) <= budget
    assert plan.tokens[-1] == seen


def test_batches_are_as_full_as_the_budget_allows() -> None:
    plan = plan_batches([4] * 10, [0] * 10, batch_tokens=12, seed=0)
    assert sorted(len(plan.batch(n)) for n in range(len(plan))) == [1, 3, 3, 3]


def test_short_prompts_do_not_all_come_first() -> None:
    lengths = np.repeat(np.arange(2, 42), 10)
    plan = plan_batches(lengths, np.zeros(400), batch_tokens=100, seed=0)
    longest = [lengths[plan.batch(number)].max() for number in range(len(plan))]
    half = len(longest) // 2
    assert longest != sorted(longest)
    assert abs(np.mean(longest[:half]) - np.mean(longest[half:])) < 8


def test_the_order_is_part_of_the_format() -> None:
    """A resumed scan, of whatever version, must find this plan again."""
    assert hash_ids(np.array([0, 1, 2]), 0).tolist() == HASHES
    plan = plan_batches([3, 2, 5, 4, 2, 3], [0, 1, 0, 1, 0, 1], batch_tokens=6, seed=1)
    assert [plan.batch(number).tolist() for number in range(len(plan))] == BATCHES
    assert plan.digest() != plan_batches([3, 2, 5, 4, 2, 3], [0] * 6, batch_tokens=6, seed=1).digest()


def test_the_sample_is_uniform_and_seeded() -> None:
    ids = np.arange(1000)
    sample = sample_ids(ids, 100, 4)
    assert len(set(sample.tolist())) == 100
    assert sample.tolist() == sorted(sample.tolist()) == sample_ids(ids, 100, 4).tolist()
    assert sample.tolist() != sample_ids(ids, 100, 5).tolist()
    counts = np.histogram(sample, bins=5, range=(0, 1000))[0]
    assert counts.min() >= 8  # 20 expected in each fifth
    assert sample_ids(ids, 5000, 0).tolist() == list(range(1000))


HASHES = [4442667547861771982, 11517140950751948802, 7014469897623101019]
BATCHES = [[3], [4, 0], [1, 5], [2]]
