"""Shards of a scan: however the plan is cut, whoever is first, whatever ties, the index is the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scan.fake_model import D_MLP, N_LAYERS, FakeModel, random_corpus
from tests.scan.helpers import RoughModel
from tui_lookups.scan import plan as batch_plan
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.plan import BLOCK_BATCHES, BatchPlan, plan_batches, sample_ids
from tui_lookups.scan.reductions import BatchReducer
from tui_lookups.scan.shards import make_shard, merge_shard, scan_shard, shard_end
from tui_lookups.scan.state import ScanState, TextTable, merge_batch

TOP, LAYERS = 4, range(N_LAYERS)


def plan_of(corpus, batch_tokens: int = 25) -> tuple[BatchPlan, np.ndarray]:
    plan = plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=batch_tokens, seed=0)
    return plan, sample_ids(np.sort(plan.order), 12, 0)


def empty_state(model: FakeModel, sample: int) -> ScanState:
    signs = 2 if model.architecture.gated else 1
    return ScanState.empty(N_LAYERS, D_MLP, signs=signs, top=TOP, sample=sample, device=torch.device("cpu"))


def in_one_go(model: FakeModel, corpus, end: int | None = None) -> ScanState:
    """The state as `Scan` makes it, batch by batch."""
    plan, sample = plan_of(corpus)
    state = empty_state(model, len(sample))
    texts = TextTable.of(find_copies(corpus, lambda: None), torch.device("cpu"))
    reducer = BatchReducer(model, corpus.window_tokens, LAYERS, both_signs=model.architecture.gated)
    for number in range(len(plan) if end is None else end):
        merge_batch(state, int(plan.parts[number]), reducer(plan.batch(number), lambda: None), sample, texts)
        if plan.ends_block(number + 1):
            state.close_block()
    return state


def same(one: ScanState, other: ScanState, *, but: tuple[str, ...] = ()) -> bool:
    """Bit for bit; positions in empty slots mean nothing."""
    a, b = one.to_arrays(), other.to_arrays()
    for arrays in (a, b):
        arrays["positions"] = np.where(arrays["keys"] == np.iinfo(np.int64).min, 0, arrays["positions"])
    return all(a[name].tobytes() == b[name].tobytes() for name in a if name not in but)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), gated=st.booleans(), seed=st.integers(0, 50), prompts=st.integers(2, 110))
def test_any_cut_into_shards_gives_the_same_state(data, gated: bool, seed: int, prompts: int) -> None:
    model, corpus = RoughModel(gated=gated), random_corpus(prompts, seed=seed)
    plan, sample = plan_of(corpus)
    copies = find_copies(corpus, lambda: None)
    texts = TextTable.of(copies, torch.device("cpu"))
    state, first = empty_state(model, len(sample)), 0
    while first < len(plan):
        end = shard_end(plan, first, data.draw(st.integers(1, 5)))
        shard = make_shard(plan, corpus, sample, first, end, None, copies)
        merge_shard(state, scan_shard(model, shard, layers=LAYERS, top=TOP), sample, shard.sample, texts)
        first = end
    assert same(state, in_one_go(model, corpus))


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 50), prompts=st.integers(2, 110))
def test_any_order_of_merging_gives_the_same_but_for_the_rounding_of_sums(
    data, seed: int, prompts: int
) -> None:
    model, corpus = FakeModel(gated=True), random_corpus(prompts, seed=seed)
    plan, sample = plan_of(corpus)
    copies = find_copies(corpus, lambda: None)
    texts = TextTable.of(copies, torch.device("cpu"))
    cuts = sorted({0, len(plan), *data.draw(st.lists(st.integers(0, len(plan)), max_size=6))})
    # A cut inside a block is legal where sums are exact, as FakeModel's are.
    pieces = [(a, b) for a, b in itertools.pairwise(cuts)]
    state = empty_state(model, len(sample))
    for first, end in data.draw(st.permutations(pieces)):
        shard = make_shard(plan, corpus, sample, first, end, None, copies)
        merge_shard(state, scan_shard(model, shard, layers=LAYERS, top=TOP), sample, shard.sample, texts)
    whole = in_one_go(model, corpus)
    assert same(state, whole, but=("sums", "open_sums"))
    ties = whole.keys[0, 0, 0].sort(1).values >> 32
    assert prompts < 40 or (ties[:, 1:] == ties[:, :-1]).any()


@pytest.mark.parametrize("inside", range(1, BLOCK_BATCHES))
def test_a_shard_goes_on_inside_a_block(inside: int) -> None:
    model, corpus = RoughModel(), random_corpus(150)
    plan, sample = plan_of(corpus)
    copies = find_copies(corpus, lambda: None)
    texts = TextTable.of(copies, torch.device("cpu"))
    start = BLOCK_BATCHES + inside
    assert len(plan) > 2 * BLOCK_BATCHES
    state = in_one_go(model, corpus, end=start)
    head = state.open_sums.numpy().copy()
    for first, end in ((start, shard_end(plan, start, 1)), (2 * BLOCK_BATCHES, len(plan))):
        shard = make_shard(plan, corpus, sample, first, end, head if first == start else None, copies)
        merge_shard(state, scan_shard(model, shard, layers=LAYERS, top=TOP), sample, shard.sample, texts)
    assert same(state, in_one_go(model, corpus))


def test_the_sums_would_show_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would say nothing of it."""
    model, corpus = RoughModel(), random_corpus(150)
    blocks = in_one_go(model, corpus)
    monkeypatch.setattr(batch_plan, "BLOCK_BATCHES", 3)
    others = in_one_go(model, corpus)
    assert not same(blocks, others)
    assert same(blocks, others, but=("sums",))
    torch.testing.assert_close(blocks.sums, others.sums, rtol=1e-12, atol=0)


def test_shards_are_whole_blocks() -> None:
    corpus = random_corpus(150)
    plan, _ = plan_of(corpus)
    assert shard_end(plan, 0, 1) == BLOCK_BATCHES
    assert shard_end(plan, BLOCK_BATCHES + 3, 1) == 2 * BLOCK_BATCHES
    assert shard_end(plan, 0, 10**6) == len(plan)


def test_a_result_is_as_small_as_its_shard() -> None:
    model, corpus = FakeModel(), random_corpus(150)
    plan, sample = plan_of(corpus, batch_tokens=5)
    shard = make_shard(plan, corpus, sample, 0, 2)
    result = scan_shard(model, shard, layers=LAYERS, top=1000)
    assert result.arrays["keys"].shape[-1] == len(shard.prompt_ids) < 10
    assert result.arrays["sample"].shape[-1] == len(shard.sample)
    assert result.blocks.shape == (1, N_LAYERS, 2, D_MLP)


def test_what_did_not_fit_into_memory_is_told(tmp_path: Path) -> None:
    from tests.scan.test_scan import CrampedModel

    corpus = random_corpus(60)
    plan, sample = plan_of(corpus, batch_tokens=40)
    shard = make_shard(plan, corpus, sample, 0, len(plan))
    result = scan_shard(CrampedModel(), shard, layers=LAYERS, top=TOP)
    assert 0 < result.cut_to <= CrampedModel.room
    roomy = scan_shard(FakeModel(), shard, layers=LAYERS, top=TOP)
    assert roomy.cut_to == 0
    assert all(
        (roomy.arrays[name] == result.arrays[name]).all() for name in ("keys", "histogram", "positive")
    )
