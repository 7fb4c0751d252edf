"""Peak memory of a scan, each in a process of its own."""

from __future__ import annotations

import json

from benchmarks.analysis_rows import bench_arguments
from benchmarks.measuring import child
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench

TIMES = 10


@row("scan_memory")
def scan_memory(bench: Bench) -> list[Figure]:
    """A scan of a corpus, and of the same corpus ten times over."""
    peaks = [
        float(json.loads(child("scan", "--copies", str(copies), *bench_arguments(bench)))["peak"])
        for copies in (1, TIMES)
    ]
    return [
        Figure(
            f"peak memory of a scan, {TIMES} times the corpus", "the corpus once",
            100 * (peaks[1] / peaks[0] - 1), "%", Bar("at most", 5.0), peaks[1] / 2**20, peaks[0] / 2**20, "MiB",
            note=f"with index and checkpoints written; {bench.batches} batches and {TIMES} times as many",
        )
    ]  # fmt: skip
