"""Head attribution and congruence against the straightforward ways to compute them."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.measuring import Pairs, child, interleave, timed
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench
from tui_lookups.analysis.attribution import Place, decompose, decompose_places, most_tokens
from tui_lookups.analysis.batches import SharedPass, shared_passes
from tui_lookups.analysis.congruence import best_first, rank_neurons, token_scores
from tui_lookups.analysis.exact_sum import exact_sums
from tui_lookups.ids import NeuronId
from tui_lookups.model.components import (
    neuron_contributions,
    neuron_reader,
    points_read,
    token_reader,
)
from tui_lookups.model.points import Point

PROMPTS = 20
SURVEYED = 20
"""As many neurons as a survey looks at of a layer, by default."""
_LARGE_SECONDS = 1e-3
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


def after_forward(bench: Bench, rows: Rows) -> float:
    """Seconds that `attribute` takes outside its forward pass, both clocked in one run."""
    model, inside = bench.model, 0.0
    forward = model.run

    def clocked(*arguments: Any, **options: Any) -> None:
        nonlocal inside
        inside += timed(lambda: forward(*arguments, **options))()

    with mock.patch.object(model, "run", clocked):
        whole = timed(lambda: attribute(bench, rows))()
    return whole - inside


@torch.inference_mode()
def everything_cached(bench: Bench, rows: Rows) -> Any:
    """Theirs: a forward pass that keeps every activation."""
    return bench.bridge.run_with_cache(bench.model.batch(rows), return_type="logits")[1]


@torch.inference_mode()
def stack_head_results(bench: Bench, cache: Any) -> Tensor:
    """Theirs: every head's result at every position, then a product with the read direction."""
    neuron = last_neuron(bench)
    stacked = cache.stack_head_results(layer=neuron.layer)  # [heads, batch, pos, d_model]
    read = neuron_reader(bench.model, neuron).directions
    found: Tensor = stacked @ read
    return found


def stacking(bench: Bench, rows: Rows) -> None:
    """Theirs as a whole, all rows in one batch."""
    stack_head_results(bench, everything_cached(bench, rows))


def stacking_one_by_one(bench: Bench, rows: Rows) -> None:
    """Theirs as their script runs it: a prompt at a time, its cache let go before the next."""
    for ids in rows:
        stacking(bench, [ids])


def _ratio_figure(what: str, against: str, pairs: Pairs, bar: Bar | None, note: str = "") -> Figure:
    return Figure(
        what, against, pairs.speedup, "x", bar,
        1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
        (min(pairs.ratios), max(pairs.ratios)), note,
    )  # fmt: skip


@row("attribution")
def attribution(bench: Bench) -> list[Figure]:
    """A last-layer neuron on 20 prompts: with the forward pass, and after it."""
    rows = longest_prompts(bench)
    what, against = "head attribution, 20 prompts", "stacked head results, same batch"
    script = "stacked head results, one by one (their script)"
    ours = timed(lambda: attribute(bench, rows))
    whole = interleave(ours, timed(lambda: stacking(bench, rows)), bench.pairs)
    single = interleave(ours, timed(lambda: stacking_one_by_one(bench, rows)), bench.pairs)
    # Stacking may add head results to the cache: each turn has a cache of its own, which is not timed.
    after = interleave(
        lambda: after_forward(bench, rows),
        lambda: timed(partial(stack_head_results, bench, everything_cached(bench, rows)))(),
        bench.pairs,
    )
    heads = bench.model.info.n_heads * (bench.model.info.n_layers - 1)
    note = f"ours also has MLPs, embedding, biases and the own layer's heads; theirs {heads} heads"
    return [
        _ratio_figure(f"{what}, with the forward", script, single, Bar("at least", 2.0), note),
        _ratio_figure(f"{what}, with the forward", against, whole, None),
        _ratio_figure(f"{what}, after it", against, after, Bar("at least", 10.0)),
    ]


@row("survey")
def survey(bench: Bench) -> list[Figure]:
    """Heads of many neurons of the last layers, on prompts they partly share, against the passes alone."""
    model, rows, drawn = bench.model, longest_prompts(bench), random.Random(0)
    peaks = [
        (NeuronId(model.info.n_layers - 1 - number // SURVEYED, number % SURVEYED), row)
        for number in range(min(bench.neurons, SURVEYED * model.info.n_layers))
        for row in (row[: drawn.randint(2, len(row))] for row in drawn.sample(rows, PROMPTS // 2))
    ]
    passes: list[tuple[SharedPass, list[Place]]] = []
    for _, group in groupby(peaks, lambda peak: peak[0].layer):
        mine = list(group)
        for each in shared_passes([tuple(text) for _, text in mine], most_tokens(model.device.type)):
            places = [Place(mine[text][0], row, len(mine[text][1]) - 1) for text, row in each.read]
            passes.append((each, places))

    def ours() -> None:
        for each, places in passes:
            decompose_places(model, each.rows, places)

    def forward() -> None:
        for each, places in passes:
            model.mlp_activations(model.batch(each.rows), [places[0].neuron.layer], lambda *_: None)

    pairs = interleave(timed(ours), timed(forward), bench.pairs)
    ratios = [1 / ratio for ratio in pairs.ratios]
    layers, run = len({neuron.layer for neuron, _ in peaks}), sum(len(each.rows) for each, _ in passes)
    neurons = len({neuron for neuron, _ in peaks})
    return [
        Figure(
            f"survey, {neurons} neurons of {layers} layer{'s' * (layers > 1)}", "its forward passes",
            statistics.median(ratios), "x", Bar("at most", 1.5),
            1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs),
            "ms", (min(ratios), max(ratios)), f"{len(peaks)} peaks in {run} rows",
        )
    ]  # fmt: skip


@row("attribution_memory")
def attribution_memory(bench: Bench) -> list[Figure]:
    """What attribution needs beyond the loaded model, each in a process of its own."""
    extra = {
        way: float(json.loads(child("attribution", "--way", way, *bench_arguments(bench)))["extra"])
        for way in ("ours", "batch", "single")
    }

    def figure(against: str, way: str, bar: Bar | None) -> Figure:
        share = 100 * extra["ours"] / extra[way]
        what = "head attribution, 20 prompts, extra memory"
        return Figure(what, against, share, "%", bar, extra["ours"] / 2**20, extra[way] / 2**20, "MiB")

    return [
        figure("stacked head results, same batch", "batch", Bar("at most", 10.0)),
        figure("stacked head results, one by one (their script)", "single", None),
    ]


def bench_arguments(bench: Bench) -> list[str]:
    """What makes a child process measure the same."""
    threads = [] if bench.threads is None else ["--threads", str(bench.threads)]
    return [
        "--model", bench.model_name, "--cache-dir", str(bench.cache_dir), "--device", bench.device,
        "--batch-tokens", str(bench.batch_tokens), "--batches", str(bench.batches), *threads,
    ]  # fmt: skip


@row("why")
def why(bench: Bench) -> list[Figure]:
    """All neurons of a token's logit after the forward, against one product a layer over the same weights."""
    model, ids = bench.model, longest_prompts(bench)[0]
    layers, token = range(model.info.n_layers), model.info.d_vocab // 3
    reader, at = token_reader(model, token), torch.tensor([len(ids) - 1], device=model.device)
    seen: dict[Point, Tensor] = {}
    hooks = model.keeping(seen, at, points_read(model, reader, neurons=True))
    logits = model.logits(model.batch([ids]), at.unsqueeze(1), hooks)[1][0, 0].cpu().double()
    target = (logits[token] - logits.mean()).reshape(1, 1)
    downs = [block.down.matrix for block in model.wiring.blocks]
    vector = reader.directions[:, 0].to(downs[0].dtype)

    @torch.inference_mode()
    def neurons() -> None:
        torch.cat([neuron_contributions(model, reader, seen, layer)[0, :, 0] for layer in layers]).cpu()

    @torch.inference_mode()
    def products() -> None:
        torch.cat([down @ vector for down in downs]).cpu()

    def whole() -> None:
        exact_sums(model, reader, seen, target, torch.ones_like(target), [float(target)])

    def figure(what: str, work: Callable[[], object], bar: Bar | None) -> Figure:
        pairs = interleave(timed(work), timed(products), bench.pairs)
        ratios = [1 / ratio for ratio in pairs.ratios]
        return Figure(
            what, "one matrix-vector product a layer", statistics.median(ratios), "x", bar,
            1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
            (min(ratios), max(ratios)), "",
        )  # fmt: skip

    large = timed(products)() >= _LARGE_SECONDS
    return [
        figure(
            "why a token: all neurons, after the forward", neurons, Bar("at most", 2.0) if large else None
        ),
        figure("the whole sum, with heads and biases, held to the logit", whole, None),
    ]


@row("ranking")
def ranking(bench: Bench) -> list[Figure]:
    """A token's neurons against one matrix-vector product over the same weights."""
    model = bench.model
    layers = range(model.info.n_layers)
    token = model.info.d_vocab // 3
    every = torch.cat([model.W_out(layer) for layer in layers])  # [all neurons, d_model], one block
    direction = torch.from_numpy(model.unembedding(token))
    repeats = max(1, int(0.05 / max(timed(lambda: every @ direction)(), 1e-5)))

    @torch.inference_mode()
    def products() -> None:
        for _ in range(repeats):
            every @ direction

    def product() -> float:
        return timed(products)() / repeats

    def order() -> None:
        best_first(token_scores(model, token, layers).ravel(), 20)

    def figure(what: str, work: Callable[[], object], bar: Bar | None, note: str) -> Figure:
        pairs = interleave(timed(work), product, bench.pairs)
        ratios = [1 / ratio for ratio in pairs.ratios]
        return Figure(
            what, "one matrix-vector product", statistics.median(ratios), "x", bar,
            1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
            (min(ratios), max(ratios)), note,
        )  # fmt: skip

    large = product() >= _LARGE_SECONDS
    return [
        figure(
            "ranking all neurons for a token",
            order,
            Bar("at most", 2.0) if large else None,
            "" if large else "the bar is for models whose product takes a millisecond or more",
        ),
        figure(
            "the same as it is shown, top 20",
            lambda: rank_neurons(model, token, top=20, layers=layers),
            None,
            "with each one's rank of the token and own top token: 20 more products, with the vocabulary",
        ),
    ]
