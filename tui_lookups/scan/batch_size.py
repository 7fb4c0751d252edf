"""How many padded tokens a batch of a scan may have, where the setting says "auto".

1. What one more padded token costs follows from the model's shapes (`token_bytes`): a pass keeps the tensors
   of one block at a time.
2. A batch may take half of the memory that is free once the model is loaded and the scan's state has its
   room (`state_bytes`); the other half is for what cannot be foreseen: fragments, a second process, a
   question asked meanwhile. A batch that does not fit all the same is cut in two (reductions.py).
3. More than so many tokens make a batch no faster, and a question would wait for it: the size is at most
   `MOST_TOKENS`, on a CPU also what takes about a second, and a power of two where memory decides, so that
   memory which is a little more or less free gives the same plan.

The size is chosen once, by whoever drives the scan, and recorded in its manifest with the plan that follows
from it; a scan that is resumed keeps it whatever is free by then (ledger.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tui_lookups.model.free_memory import free_bytes
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import ModelInfo
from tui_lookups.scan.reductions import state_device
from tui_lookups.scan.state import ScanState
from tui_lookups.scan.subject import ScannedModel

MOST_TOKENS = {"cpu": 4096, "mps": 4096, "cuda": 16384}
_FEWEST_TOKENS = 256

_CPU_WORK = 1.4e11
"""Parameters times tokens of a batch on a CPU: seconds, which a question may have to wait for."""

_SHARE_OF_FREE = 0.5


@dataclass(frozen=True, slots=True)
class Room:
    """What a process that holds the model can say of its memory.

    Attributes:
        free: bytes, on the device that has least; None where it is not known.
        forms_patterns: whether its forward pass writes attention patterns out.
    """

    free: int | None
    forms_patterns: bool

    @classmethod
    def of(cls, model: LookupModel, sharing: int = 1) -> Room:
        """That of a loaded model, when `sharing` processes have the memory of a CPU to themselves."""
        limits = []
        for device in model.devices:
            free = free_bytes(device)
            if free is not None:
                limits.append(free // sharing if device.type == "cpu" else free)
        return cls(min(limits, default=None), model.forms_patterns)


def token_bytes(info: ModelInfo, itemsize: int, window: int, *, forms_patterns: bool) -> int:
    """What one padded token costs at the peak of a pass, which lies inside one block.

    With e bytes an activation: e (6 d_model + 3 d_mlp) for the residual, its norm, queries, keys, values and
    what attention writes, and for gate, pre-activation and activation; 2 max(4, e) d_mlp for the copy in
    single precision and the scratch of the reductions; where patterns are formed, 5 e n_heads window for
    scores, mask and softmax.

    Args:
        itemsize: bytes of an activation, e.
        window: the longest row, in tokens.
        forms_patterns: `LookupModel.forms_patterns`.
    """
    elements = 6 * info.d_model + 3 * info.d_mlp
    if forms_patterns:
        elements += 5 * info.n_heads * window
    return itemsize * elements + 2 * max(4, itemsize) * info.d_mlp


def state_bytes(info: ModelInfo, layers: Sequence[int], top: int, sample: int) -> int:
    """What the state of a scan takes."""
    state = ScanState.empty(
        len(layers),
        info.d_mlp,
        signs=2 if info.gated else 1,
        top=top,
        sample=sample,
        device=torch.device("meta"),
    )
    return state.nbytes


def automatic_batch_tokens(
    scanned: ScannedModel, room: Room, *, layers: Sequence[int], top: int, window: int, sample: int = 40
) -> int:
    """Padded tokens in a batch.

    Args:
        scanned: the model, here or in a worker.
        room: of the process that scans, once it has loaded the model.
        layers, top, sample: what the scan keeps.
        window: the longest prompt, in tokens.
    """
    info = scanned.info
    most = MOST_TOKENS.get(scanned.device, min(MOST_TOKENS.values()))
    if scanned.device == "cpu":
        most = min(most, int(_CPU_WORK / info.parameters))
    if room.free is not None:
        itemsize = int(getattr(torch, scanned.dtype).itemsize)
        cost = token_bytes(info, itemsize, window, forms_patterns=room.forms_patterns)
        free = room.free
        if state_device(torch.device(scanned.device)).type == scanned.device:
            free -= state_bytes(info, layers, top, sample)
        fits = int(max(0, free) * _SHARE_OF_FREE) // cost
        if fits < most:
            most = 1 << max(0, fits.bit_length() - 1)
    return max(_FEWEST_TOKENS, most)
