"""The scan against a bare forward pass, and against hooking chosen neurons as the authors' script does.

All sides run the same batches in inference mode. The scan starts from an empty state each time, when its
running top k changes most; checkpoints and writing the index come at intervals and are not counted.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import Pairs, Run, interleave, timed
from benchmarks.registry import Bar, Figure, NotHere, row
from benchmarks.workbench import Bench
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.scan import Scan

CHOSEN = 20
TOP = 20
_FEW_PROMPTS = 16
"""Prompts that are run one at a time, for the figure beside."""


def scanning(bench: Bench) -> Run:
    """All neurons of all layers, top 20 texts of both parts, statistics and histogram."""
    copies = find_copies(bench.part, lambda: None)

    def run() -> float:
        folder = bench.cache_dir / "scan"
        shutil.rmtree(folder, ignore_errors=True)
        scan = Scan(
            bench.model,
            bench.part,
            folder,
            layers=range(bench.model.info.n_layers),
            top=TOP,
            batch_tokens=bench.batch_tokens,
            checkpoint_seconds=1e9,
            copies=copies,
        )
        scan.resume()
        try:
            start = time.perf_counter()
            while scan.step():
                pass
            wait_for(bench.model.device)
            return time.perf_counter() - start
        finally:
            scan.close()

    return run


def bare_forward(bench: Bench, batches: Sequence[Tensor], *, logits: bool = True) -> Run:
    """Hugging Face's model with or without logits, and nothing done with what it gives."""
    module = bench.bare if logits else bench.bare.base_model

    @torch.inference_mode()
    def work() -> None:
        for tokens in batches:
            module(tokens, use_cache=False)
        wait_for(bench.model.device)

    return timed(work)


def hooking(bench: Bench, batches: Sequence[Tensor]) -> Run:
    """Maxima of 20 neurons a layer through hooks on the bridge, logits computed; sorted at the end."""
    layers = range(bench.model.info.n_layers)
    step = max(1, bench.model.info.d_mlp // CHOSEN)
    chosen = torch.arange(0, step * CHOSEN, step, device=bench.model.device) % bench.model.info.d_mlp

    @torch.inference_mode()
    def work() -> None:
        found: dict[str, list[Tensor]] = {f"blocks.{layer}.mlp.hook_post": [] for layer in layers}

        def keep(activation: Tensor, hook: Any) -> None:
            found[hook.name].append(activation[:, 1:, chosen].amax(1))

        for tokens in batches:
            bench.bridge.run_with_hooks(
                tokens, return_type="logits", fwd_hooks=[(name, keep) for name in found]
            )
        for maxima in found.values():
            every = torch.cat(maxima)
            every.topk(min(TOP, len(every)), dim=0)
        wait_for(bench.model.device)

    return timed(work)


def wait_for(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed_figure(what: str, against: str, pairs: Pairs, tokens: int, bar: Bar | None, note: str) -> Figure:
    """A line in tokens a second: the ratio is the median of the pairs'."""
    ratios = pairs.ratios
    return Figure(
        what,
        against,
        pairs.speedup,
        "x",
        bar,
        tokens / statistics.median(pairs.ours),
        tokens / statistics.median(pairs.theirs),
        "tokens/s",
        (min(ratios), max(ratios)),
        note,
    )


@row("scan_forward")
def scan_against_forward(bench: Bench) -> list[Figure]:
    """The scan against the bare forward pass."""
    batches = list(bench.token_batches())
    pairs = interleave(scanning(bench), bare_forward(bench, batches), bench.pairs)
    note = (
        f"{bench.model.forward_path} forward; {len(batches)} batches, {bench.tokens:,} tokens; "
        f"attention of the baseline: {bench.bare.config._attn_implementation}"
    )
    name = "bare Hugging Face forward with logits"
    return [speed_figure("scan, all neurons", name, pairs, bench.tokens, Bar("at least", 1.0), note)]


@row("scan_limit")
def scan_against_its_limit(bench: Bench) -> list[Figure]:
    """The scan against the forward pass that it cannot do without: no unembedding, nothing looked at."""
    batches = list(bench.token_batches())
    pairs = interleave(scanning(bench), bare_forward(bench, batches, logits=False), bench.pairs)
    note = "the limit: what is given to the last down-projection is all that a scan leaves out besides"
    name = "forward without unembedding, same batches"
    return [speed_figure("scan, all neurons", name, pairs, bench.tokens, Bar("at least", 0.95), note)]


@row("scan_gpu")
def scan_on_a_gpu(bench: Bench) -> list[Figure]:
    """As `scan_forward`, on the first GPU, where there is one."""
    if not torch.cuda.is_available():
        raise NotHere("there is no CUDA device")
    name = torch.cuda.get_device_name()
    figures = scan_against_forward(replace(bench, device="cuda"))
    return [replace(figure, what=f"{figure.what}, {name}") for figure in figures]


@row("scan_hooks")
def scan_against_hooks(bench: Bench) -> list[Figure]:
    """The scan against hooks on 20 neurons a layer; their batch of one is reported beside."""
    batches = list(bench.token_batches())
    pairs = interleave(scanning(bench), hooking(bench, batches), bench.pairs)
    neurons = bench.model.info.n_layers * CHOSEN
    note = f"{bench.model.info.n_neurons:,} neurons against {neurons:,}; checkpoints and index not counted"
    name = "hooks on 20 neurons a layer, bridge, logits"
    figures = [speed_figure("scan, all neurons", name, pairs, bench.tokens, Bar("at least", 1.2), note)]
    singles = [tokens[place : place + 1] for tokens in batches for place in range(tokens.shape[0])][
        :: max(1, bench.part.info.prompts // _FEW_PROMPTS)
    ]
    alone = hooking(bench, singles)
    alone()
    seconds = statistics.median(alone() for _ in range(bench.pairs))
    tokens = sum(single.numel() for single in singles)
    ours = bench.tokens / statistics.median(pairs.ours)
    theirs = tokens / seconds
    figures.append(
        Figure(
            "scan, all neurons", "the same hooks, batch 1", ours / theirs, "x", None, ours, theirs, "tokens/s"
        )
    )
    return figures
