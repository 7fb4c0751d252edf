"""Free memory as the system, its control groups and limits tell it."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.faults import processes
from tui_lookups.model import free_memory
from tui_lookups.model.free_memory import free_bytes

GB = 1 << 30
CPU = torch.device("cpu")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GB available, in no group and under no limit."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * GB // 1024} kB\n")
    (proc / "self" / "statm").write_text("1000 500 100 1 0 300 0\n")
    monkeypatch.setattr(free_memory, "_PROC", proc)
    monkeypatch.setattr(free_memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_what_the_system_has_available(system: Path) -> None:
    assert free_bytes(CPU) == 8 * GB


def test_the_limit_of_a_group_and_of_the_groups_above_it(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("0::/jobs/one\n")
    group(system / "cgroup" / "jobs" / "one", memory__max="max", memory__current=5)
    group(system / "cgroup" / "jobs", memory__max=3 * GB, memory__current=2 * GB)
    assert free_bytes(CPU) == 1 * GB
    group(system / "cgroup" / "jobs", memory__stat=f"anon 7\ninactive_file {GB // 2}")
    assert free_bytes(CPU) == 1 * GB + GB // 2  # cached files are given up
    group(system / "cgroup" / "jobs" / "one", memory__max=GB, memory__current=2 * GB)
    assert free_bytes(CPU) == 0


def test_the_limit_of_a_group_of_the_first_kind(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("7:cpu:/x\n4:memory:/job\n")
    group(
        system / "cgroup" / "memory" / "job",
        memory__limit_in_bytes=4 * GB,
        memory__usage_in_bytes=GB,
        memory__stat=f"total_inactive_file {GB}",
    )
    assert free_bytes(CPU) == 4 * GB


def test_the_limit_of_the_address_space(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (GB, GB))
    assert free_bytes(CPU) == GB - 1000 * resource.getpagesize()


def free_within(more: int) -> int | None:
    processes.limit_memory(more)
    return free_bytes(CPU)


@processes.needs_fork
def test_a_real_limit_of_the_address_space_is_seen() -> None:
    assert 0 < processes.answer_anew(free_within, 64 << 20) <= 64 << 20


def test_nothing_is_made_up_where_nobody_says(system: Path) -> None:
    (system / "proc" / "meminfo").unlink()
    assert free_bytes(CPU) is None


def test_a_gpu_counts_what_torch_holds_and_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(
        mem_get_info=lambda device: asked.append(device) or (5 * GB, 80 * GB),
        memory_reserved=lambda device: 3 * GB,
        memory_allocated=lambda device: 1 * GB,
    ))  # fmt: skip
    assert free_bytes(torch.device("cuda:1")) == 7 * GB
    assert asked == [torch.device("cuda:1")]
