"""Head attribution and congruence against the straightforward ways to compute them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import Pairs, child, interleave, timed
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.congruence import rank_neurons
from tui_lookups.ids import NeuronId

PROMPTS = 20
Rows = Sequence[Sequence[int]]


def longest_prompts(bench: Bench) -> list[list[int]]:
    """Token ids of 20 windows of the corpus, the longest ones."""
    part = bench.part
    order = sorted(range(part.info.prompts), key=lambda prompt: -int(part.lengths()[prompt]))
    return [part.window_tokens(prompt).tolist() for prompt in order[:PROMPTS]]


def last_neuron(bench: Bench) -> NeuronId:
    return NeuronId(bench.model.info.n_layers - 1, bench.model.info.d_mlp // 2)


def attribute(bench: Bench, rows: Rows) -> None:
    """Ours: forward pass, projections, decomposition."""
    decompose(bench.model, last_neuron(bench), rows, [len(ids) - 1 for ids in rows])


def forward_of_attribution(bench: Bench, rows: Rows) -> None:
    """The forward pass inside `attribute`, keeping what it keeps."""
    from tui_lookups.analysis.attribution import _Capture

    model, neuron = bench.model, last_neuron(bench)
    positions = torch.tensor([len(ids) - 1 for ids in rows], device=model.device)
    model.run(model.batch(rows), _Capture(model, neuron, positions, None).hooks, stop_after=neuron.layer)


@torch.inference_mode()
def caches(bench: Bench, rows: Rows) -> list[Any]:
    """Theirs: one prompt at a time, everything cached."""
    return [bench.bridge.run_with_cache(torch.tensor([ids]), return_type="logits")[1] for ids in rows]


@torch.inference_mode()
def stack_head_results(bench: Bench, cache: Any) -> Tensor:
    """Theirs: every head's result at every position, then a product with the read direction."""
    neuron = last_neuron(bench)
    stacked = cache.stack_head_results(layer=neuron.layer)
    direction = bench.model.W_in(neuron.layer, neuron.index)
    return (stacked @ direction)[:, 0, -1]


def stacking(bench: Bench, rows: Rows) -> None:
    """Theirs as a whole, the cache of a prompt let go before the next."""
    for ids in rows:
        stack_head_results(bench, caches(bench, [ids])[0])


def _ratio_figure(what: str, against: str, pairs: Pairs, bar: Bar, note: str = "") -> Figure:
    return Figure(
        what, against, pairs.speedup, "x", bar,
        1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
        (min(pairs.ratios), max(pairs.ratios)), note,
    )  # fmt: skip


@row("attribution")
def attribution(bench: Bench) -> list[Figure]:
    """A last-layer neuron on 20 prompts: with the forward pass, and after it."""
    rows = longest_prompts(bench)
    what, against = "head attribution, 20 prompts", "stacked head results"
    whole = interleave(
        timed(lambda: attribute(bench, rows)), timed(lambda: stacking(bench, rows)), bench.pairs
    )
    ours, theirs = timed(lambda: attribute(bench, rows)), timed(lambda: forward_of_attribution(bench, rows))
    forward = interleave(ours, theirs, bench.pairs)
    # What comes after the forward pass: the whole less the pass, turn by turn.
    after = [max(a - b, 1e-6) for a, b in zip(forward.ours, forward.theirs, strict=True)]

    def after_theirs() -> float:
        # One cache at a time: twenty of them at once would be a test of memory, not of speed.
        return sum(timed(lambda c=cache: stack_head_results(bench, c))() for cache in _each(bench, rows))

    after_theirs()
    stacked = [after_theirs() for _ in range(bench.pairs)]
    heads = bench.model.info.n_heads * (bench.model.info.n_layers - 1)
    return [
        _ratio_figure(
            f"{what}, with the forward", against, whole, Bar("at least", 2.0),
            f"ours also gives MLPs, embedding and biases, and the own layer's heads; theirs {heads} heads",
        ),
        _ratio_figure(
            f"{what}, after it", against, Pairs(tuple(after), tuple(stacked)), Bar("at least", 10.0)
        ),
    ]  # fmt: skip


def _each(bench: Bench, rows: Rows) -> Any:
    for ids in rows:
        yield caches(bench, [ids])[0]


@row("attribution_memory")
def attribution_memory(bench: Bench) -> list[Figure]:
    """What attribution needs beyond the loaded model, each in a process of its own."""
    extra = {
        way: float(json.loads(child("attribution", "--way", way, *bench_arguments(bench)))["extra"])
        for way in ("ours", "theirs")
    }
    share = 100 * extra["ours"] / extra["theirs"]
    return [
        Figure(
            "head attribution, 20 prompts, extra memory", "stacked head results", share, "%",
            Bar("at most", 10.0), extra["ours"] / 2**20, extra["theirs"] / 2**20, "MiB",
            note="theirs one prompt at a time, as their script; ours all 20 in one batch",
        )
    ]  # fmt: skip


def bench_arguments(bench: Bench) -> list[str]:
    """What makes a child process measure the same."""
    threads = [] if bench.threads is None else ["--threads", str(bench.threads)]
    return [
        "--model", bench.model_name, "--cache-dir", str(bench.cache_dir), "--device", bench.device,
        "--batch-tokens", str(bench.batch_tokens), "--batches", str(bench.batches), *threads,
    ]  # fmt: skip


@row("ranking")
def ranking(bench: Bench) -> list[Figure]:
    """A token's neurons against one matrix-vector product over the same weights."""
    model = bench.model
    layers = range(model.info.n_layers)
    token = model.info.d_vocab // 3
    every = torch.cat([model.W_out(layer) for layer in layers])  # [all neurons, d_model], one block
    direction = model.W_U[:, token].contiguous()

    def ours() -> None:
        rank_neurons(model, token, top=20, layers=layers)

    repeats = max(1, int(0.05 / max(timed(lambda: every @ direction)(), 1e-5)))

    @torch.inference_mode()
    def product() -> None:
        for _ in range(repeats):
            every @ direction  # noqa: B018 - the product is what is timed

    pairs = interleave(timed(ours), lambda: timed(product)() / repeats, bench.pairs)
    longer = [1 / ratio for ratio in pairs.ratios]
    rows = interleave(
        timed(lambda: token_scores_only(bench, token)), lambda: timed(product)() / repeats, bench.pairs
    )
    scores = [1 / ratio for ratio in rows.ratios]

    def figure(what: str, found: Pairs, ratios: list[float], bar: Bar | None, note: str = "") -> Figure:
        return Figure(
            what, "one matrix-vector product", statistics.median(ratios), "x", bar,
            1e3 * statistics.median(found.ours), 1e3 * statistics.median(found.theirs), "ms",
            (min(ratios), max(ratios)), note,
        )  # fmt: skip

    note = "sorted, with the rank of the token and top token of each of the 20 shown"
    return [
        figure("scoring every neuron for a token", rows, scores, Bar("at most", 2.0)),
        figure("ranking a token's neurons, top 20", pairs, longer, Bar("at most", 2.0), note),
    ]


def token_scores_only(bench: Bench, token: int) -> None:
    from tui_lookups.analysis.congruence import token_scores

    token_scores(bench.model, token, range(bench.model.info.n_layers))
