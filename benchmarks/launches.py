"""What a scan launches on an accelerator, counted where there is none.

Operations are counted as torch dispatches them, on tensors without values: fake CUDA tensors for the
reductions, meta tensors for the merge into the state. Views launch nothing and are not counted. What would
read a value on the host, and so wait for the device, raises on either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench
from tui_lookups.analysis.reductions import LayerReduction, reduce_activations
from tui_lookups.analysis.scan_state import ScanState

ROWS, D_MLP, TOP, SAMPLE = 120, 64, 20, 40
MIXED = tuple(sorted(20 + number % 94 for number in range(ROWS)))
"""94 lengths, as a batch of real texts has them."""
EQUAL = (MIXED[-1],) * ROWS
MOST = 40


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by name what is dispatched inside it, views and questions about tensors left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "aten" and not func.is_view:
            self.counted[str(func)] += 1
        return func(*args, **(kwargs or {}))


def counted(work: Callable[[], object]) -> int:
    """How many operations `work` dispatches."""
    with Operations() as operations:
        work()
    return sum(operations.counted.values())


def reduced(lengths: Sequence[int], device: str, *, both_signs: bool) -> tuple[LayerReduction, int]:
    """The reductions of a layer on a batch of rows of these lengths, and how many operations they were."""
    batch = (len(lengths), max(lengths))
    activation = torch.empty(*batch, D_MLP, device=device)
    uncounted = torch.empty(*batch, 1, dtype=torch.bool, device=device)
    with Operations() as operations:
        found = reduce_activations(activation, lengths, both_signs=both_signs, uncounted=uncounted)
    return found, sum(operations.counted.values())


def reduction_launches(lengths: Sequence[int], *, both_signs: bool) -> int:
    """Operations of the reductions on CUDA, a layer and batch."""
    with FakeTensorMode():
        return reduced(lengths, "cuda", both_signs=both_signs)[1]


def merge_launches(lengths: Sequence[int], *, both_signs: bool) -> int:
    """Operations that take them into the state, a layer and batch without prompts of the sample."""
    device = torch.device("meta")
    found, _ = reduced(lengths, "meta", both_signs=both_signs)
    state = ScanState.empty(1, D_MLP, signs=1 + both_signs, top=TOP, sample=SAMPLE, device=device)
    prompt_ids: Tensor = torch.arange(len(lengths), device=device)
    state.merge(0, 0, prompt_ids, found, ([], []))  # what is made once and kept
    return counted(lambda: state.merge(0, 0, prompt_ids, found, ([], [])))


@row("scan_launches")
def launches(bench: Bench) -> list[Figure]:
    """Operations of a scan's own work on an accelerator, a layer and batch; no device is needed."""
    figures = []
    for mlp, both_signs in (("plain", False), ("gated", True)):
        ours, theirs = (reduction_launches(lengths, both_signs=both_signs) for lengths in (MIXED, EQUAL))
        merged = merge_launches(MIXED, both_signs=both_signs)
        figures.append(
            Figure(
                f"scan on an accelerator, reductions of a layer and batch, {mlp} MLP",
                "rows of one length",
                ours,
                "",
                Bar("at most", MOST),
                ours,
                theirs,
                "operations",
                note=f"{ROWS} rows of {len(set(MIXED))} lengths; merging what they give is {merged} more",
            )
        )
    return figures
