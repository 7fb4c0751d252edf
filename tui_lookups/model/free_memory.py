"""How much memory is free for a batch, on the device where a model lies.

1. CUDA: what the driver says is free, and what torch's allocator holds without using it.
2. Apple's GPU: what Metal recommends at most, less what it has given out.
3. CPU: the least of what Linux says is available, what the control groups of this process leave it (a
   container's or a batch job's limit), and what its own address space may still grow by (ulimit -v).

Where none of these says (a CPU without /proc) it is not known: None.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import torch

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int | None:
    """Bytes that could be had on `device` now; None where it is not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    figures = [*_available(), *_left_by_groups(), *_left_of_address_space()]
    return max(0, min(figures)) if figures else None


def _available() -> Iterator[int]:
    for line in _lines(_PROC / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _left_by_groups() -> Iterator[int]:
    """What each control group that this process is in, and those above it, leave it (cgroups 2 and 1)."""
    for line in _lines(_PROC / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage, cache = _CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, usage = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        below = PurePosixPath(path.lstrip("/"))
        for folder in (root / below, *(root / parent for parent in below.parents)):
            most, used = _number(folder / limit), _number(folder / usage)
            if most is not None and used is not None:
                yield most - used + _reclaimable(folder / "memory.stat", cache)


def _reclaimable(path: Path, name: str) -> int:
    """Bytes of cached files that count as used and are given up when memory is asked for."""
    return sum(int(line.split()[1]) for line in _lines(path) if line.split()[0] == name)


def _left_of_address_space() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        for line in _lines(_PROC / "self" / "statm"):
            yield limit - int(line.split()[0]) * resource.getpagesize()


def _number(path: Path) -> int | None:
    """The number in a file; None for "max", and where there is no such file."""
    for line in _lines(path):
        return int(line) if line.strip().isdigit() else None
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux, or a group that is not mounted here
        return []
