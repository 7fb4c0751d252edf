"""What a scan launches on an accelerator, counted where there is none.

A batch goes through the scan's own code on fake tensors, which have shapes and devices but no values:
whatever would read one on the host, and so wait for the device, raises. Operations are counted as torch
dispatches them; views and memory that is only set apart launch nothing and are not counted. Copies between
host and device are counted, and noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench
from tui_lookups.errors import Poll, no_poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.reductions import BatchReducer
from tui_lookups.scan.state import ScanState, TextTable, merge_batch

ROWS, D_MLP, TOP = 120, 64, 20
LAYERS = 4
"""As many as the demo model has. With more, the merge, which is one for all layers, weighs less."""

MIXED = tuple(sorted(20 + number % 94 for number in range(ROWS)))
"""94 lengths, as a batch of real texts has them."""
EQUAL = (MIXED[-1],) * ROWS
MOST = 40

ACCELERATOR = torch.device("lazy", 0)
"""In place of a CUDA device: indexing even a fake tensor of one needs the library of CUDA."""

_LAUNCH_NOTHING = {"empty", "is_pinned", "_pin_memory"}


class Crossing(NamedTuple):
    """A copy between host and device, as it was asked for."""

    source: str
    target: str
    pinned: bool
    non_blocking: bool


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by name what is dispatched inside it, and notes what is copied between host and device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted: Counter[str] = Counter()
        self.crossings: list[Crossing] = []
        self._pinned: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.__name__.partition(".")[0]
        if name == "_pin_memory":  # needs a driver
            self._pinned.append(args[0])
            return args[0]
        if func.namespace != "aten":
            return func(*args, **kwargs)
        with self:  # in inference mode what is made of other operations arrives whole
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        self.counted[name] += not (func.is_view or name in _LAUNCH_NOTHING)
        result = func(*args, **kwargs)
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            if source.device != result.device:
                pinned = any(source is tensor for tensor in self._pinned)
                non_blocking = bool(kwargs.get("non_blocking"))
                self.crossings.append(Crossing(str(source.device), str(result.device), pinned, non_blocking))
        return result


class ModelElsewhere:
    """What a scan uses of a LookupModel, on an accelerator that is not there."""

    device = ACCELERATOR

    def __init__(self, layers: int) -> None:
        self.info = SimpleNamespace(n_layers=layers, d_mlp=D_MLP)

    def mlp_activations(
        self,
        tokens: Tensor,
        layers: Sequence[int],
        consume: Callable[[int, Tensor], None],
        *,
        poll: Poll = no_poll,
    ) -> None:
        for layer in layers:
            consume(layer, torch.empty(*tokens.shape, D_MLP, device=self.device))


def scan_operations(
    lengths: Sequence[int], *, both_signs: bool, layers: int = LAYERS, repeated: bool = False, sample: int = 0
) -> Operations:
    """What a batch is to an accelerator beside the forward pass: copies in, reductions, merge into the state.

    Args:
        repeated: some rows have the text of another one.
        sample: rows that are in the scan's sample.
    """
    model, ids = ModelElsewhere(layers), np.arange(len(lengths))
    windows = [np.zeros(length, np.int64) for length in lengths]
    with FakeTensorMode(allow_non_fake_inputs=True):
        reducer = BatchReducer(
            cast(LookupModel, model), windows.__getitem__, range(layers), both_signs=both_signs
        )
        state = ScanState.empty(
            layers, D_MLP, signs=1 + both_signs, top=TOP, sample=sample, device=model.device
        )
        texts = TextTable.of(Copies(ids // 2 * 2), model.device) if repeated else None
        operations = Operations()
        with operations:
            merge_batch(state, 0, reducer(ids, no_poll), ids[:sample], texts)
    return operations


@row("scan_launches")
def launches(bench: Bench) -> list[Figure]:
    """Operations of a scan's own work on an accelerator, a layer and batch; no device is needed."""
    figures = []
    for mlp, both_signs in (("plain", False), ("gated", True)):
        for texts, repeated in (("no text repeats", False), ("texts repeat", True)):
            ours, theirs = (
                scan_operations(lengths, both_signs=both_signs, repeated=repeated).counted.total() / LAYERS
                for lengths in (MIXED, EQUAL)
            )
            figures.append(
                Figure(
                    f"scan on an accelerator, its own work on a layer and batch, {mlp} MLP, {texts}",
                    "rows of one length",
                    ours,
                    "",
                    Bar("at most", MOST),
                    ours,
                    theirs,
                    "operations",
                    note=f"{ROWS} rows of {len(set(MIXED))} lengths, {LAYERS} layers",
                )
            )
    return figures
