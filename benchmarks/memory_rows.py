"""Peak memory of a scan, of a survey and of the atlas, each in a process of its own."""

from __future__ import annotations

import json
import statistics

from benchmarks.analysis_rows import bench_arguments
from benchmarks.measuring import STEADY_ALLOCATOR, child
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench

TIMES = 10
FEW = 2
"""Neurons of a layer."""
MOST_TURNS = 3
"""Each side scans so often, in turn: what an allocator keeps differs by some percent from run to run."""


@row("scan_memory")
def scan_memory(bench: Bench) -> list[Figure]:
    """A scan of a corpus, and of the same corpus ten times over."""
    found: dict[int, list[float]] = {1: [], TIMES: []}
    for _ in range(min(bench.pairs, MOST_TURNS)):
        for copies, peaks in found.items():
            arguments = ["scan", "--copies", str(copies), *bench_arguments(bench)]
            said = json.loads(child(*arguments, environment=STEADY_ALLOCATOR))
            peaks.append(float(said["peak"]))
    growth = [100 * (long / short - 1) for short, long in zip(found[1], found[TIMES], strict=True)]
    once, often = (statistics.median(peaks) for peaks in found.values())
    return [
        Figure(
            f"peak memory of a scan, {TIMES} times the corpus", "the corpus once",
            100 * (often / once - 1), "%", Bar("at most", 5.0),
            often / 2**20, once / 2**20, "MiB", (min(growth), max(growth)),
            note=f"with index and checkpoints written; {bench.batches} batches and {TIMES} times as many",
        )
    ]  # fmt: skip


@row("survey_memory")
def survey_memory(bench: Bench) -> list[Figure]:
    """A survey of some neurons a layer, and of ten times as many."""
    peaks = []
    for per_layer in (FEW, TIMES * FEW):
        arguments = ["survey", "--per-layer", str(per_layer), *bench_arguments(bench)]
        peaks.append(json.loads(child(*arguments, environment=STEADY_ALLOCATOR)))
    few, many = (float(said["peak"]) for said in peaks)
    return [
        Figure(
            f"peak memory of a survey, {peaks[1]['neurons']} neurons", f"{peaks[0]['neurons']} neurons",
            100 * (many / few - 1), "%", Bar("at most", 5.0), many / 2**20, few / 2**20, "MiB",
            note="of the last layers, at most ten; once each",
        )
    ]  # fmt: skip


@row("atlas_memory")
def atlas_memory(bench: Bench) -> list[Figure]:
    """A layer of the atlas over a vocabulary of 262,144, out of the files, in bfloat16."""
    extra = float(json.loads(child("atlas", *bench_arguments(bench)))["extra"])
    return [
        Figure(
            "memory of the atlas, from the files alone", "1 GB",
            100 * extra / 1e9, "%", Bar("at most", 100.0), extra / 2**20, None, "MiB",
            note="vocabulary 262,144, d_model 640, 2,048 neurons a layer; the same for any number of layers",
        )
    ]  # fmt: skip
