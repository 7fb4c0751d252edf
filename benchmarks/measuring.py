"""How figures are taken: interleaved pairs, medians, peak memory, and the machine they were taken on.

1. Two ways of doing a thing run in turn, after one warm-up each: whatever else the machine does hits both.
2. The ratio is the median of the pairs' own ratios, never the ratio of two averages.
3. Peak memory is that of a process of its own, from the system's high-water mark.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

Run = Callable[[], float]
"""Does a thing once; the seconds that counted."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of each turn, in the order they ran."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Their seconds over ours, pair by pair: above 1 is faster."""
        return tuple(b / a for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def speedup(self) -> float:
        return statistics.median(self.ratios)


def interleave(ours: Run, theirs: Run, pairs: int) -> Pairs:
    """Run both in turn, `pairs` times, after a warm-up of each that is not counted."""
    ours(), theirs()
    timed = [(ours(), theirs()) for _ in range(pairs)]
    return Pairs(tuple(a for a, _ in timed), tuple(b for _, b in timed))


def timed(work: Callable[[], object]) -> Run:
    """`work` with a clock around it."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    if not values or not 0 < share <= 1:
        raise ValueError("values must not be empty, and 0 < share <= 1")
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def peak_memory() -> int:
    """Bytes this process has had in memory at most (its high-water mark since start or `reset_peak`)."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: its maximum survives exec, so a child would report its parent's.
        return _kilobytes(status.read_text(encoding="ascii"), "VmHWM") * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> int:
    """Set the high-water mark to what is in memory now; those bytes. Linux only, raises OSError elsewhere.

    Memory that was freed is given back to the system first: reusing it would not show as growth.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _kilobytes(Path("/proc/self/status").read_text(encoding="ascii"), "VmRSS") * 1024


def _kilobytes(status: str, name: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith(name + ":"))
    return int(line.split()[1])


def machine() -> str:
    """Processor, cores this process may use, memory, and GPU where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name, memory = platform.processor() or platform.machine(), ""
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if ":" in line)
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    if meminfo.exists():
        gib = _kilobytes(meminfo.read_text(encoding="ascii"), "MemTotal") / 2**20
        memory = f", {gib:.0f} GiB"
    return f"{name}, {cores} cores{memory}, load {_load()}, {platform.system()}"


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def versions() -> dict[str, str]:
    """Of Python and what the figures depend on."""
    names = ("torch", "transformers", "transformer_lens", "textual", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


STEADY_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""Makes glibc give freed memory back at once: what it keeps otherwise differs by 5 % from run to run."""


def child(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of `python -m benchmarks.children ...`. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.children", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} failed: {done.stderr.strip()[-800:]}")
    return done.stdout
