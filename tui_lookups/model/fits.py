"""Whether a model's weights fit in the memory there is, told from the headers of its files.

1. Every parameter takes the bytes of the number format asked for, whatever its file stores.
2. Beside them, the largest tensor stands in memory once more while it is read: as stored, or mapped.
3. What the headers do not give, buffers and the batches of a forward pass, is left out: a model is refused
   only where its weights alone are too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.checkpoint import FLOATS, StoredTensor

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


def needed_bytes(tensors: Mapping[str, StoredTensor], dtype: str) -> int:
    """Bytes that loading takes at most at once, in the number format `dtype`."""
    floats = [tensor for tensor in tensors.values() if tensor.dtype in FLOATS]
    largest = max((prod(t.shape) * _BYTES[FLOATS[t.dtype]] for t in floats), default=0)
    return sum(prod(tensor.shape) for tensor in floats) * _BYTES[dtype] + largest


def require_room(
    tensors: Mapping[str, StoredTensor], dtype: str, device: str, free: int | None, name: str
) -> None:
    """Raise ModelLoadError, with the numbers, where the weights need more memory than is free.

    Args:
        tensors: of the files, from `checkpoint.read_tensors`.
        dtype: the setting: "float32", "float64", "float16" or "bfloat16".
        device: where the weights are to lie, as `torch.device` is written.
        free: bytes free there, from `free_memory.free_bytes`; None where not known: nothing is refused.
        name: of the model.
    """
    needed = needed_bytes(tensors, dtype)
    if free is None or needed <= free:
        return
    in_half = needed_bytes(tensors, "bfloat16")
    if in_half <= free and in_half < needed:
        hint = f"Try --dtype bfloat16, which takes {size(in_half)}."
    elif device.startswith("cpu"):
        hint = "Close what else takes memory, or use a machine that has more."
    else:
        hint = "Try --device cpu, or a GPU with more memory."
    raise ModelLoadError(
        f"{name} takes {size(needed)} in {dtype}, and {size(free)} of memory are free on {device}.", hint
    )


def size(n_bytes: int) -> str:
    """Bytes for people: "6.71 GB", "24.0 MB" (powers of ten)."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
