"""The values of a .gguf file's tensors as float32, a block of rows at a time.

1. The blocks of a quantised type lie along a row and know nothing of each other: rows can be read, put into
   another order and de-quantised in any portion, so that memory is bounded whatever the tensor.
2. The arithmetic is the gguf package's. It works through sixteen rows at a time, however short they are; a
   portion is handed to it as one long row, which it does several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import BinaryIO

import numpy as np

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.gguf.header import TensorInfo

_BLOCK_VALUES = 1 << 18
"""A portion: small enough to stay in the processor's caches, which is three times as fast as 1 << 20."""


def type_name(kind: int) -> str:
    """Of a number that a header has been read with."""
    from gguf import GGMLQuantizationType

    return str(GGMLQuantizationType(kind).name)


@cache
def can_dequantise(kind: int) -> bool:
    """Whether the gguf package turns this type into float32: tried on one block of zeros."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        _values(np.zeros(GGML_QUANT_SIZES[GGMLQuantizationType(kind)][1], np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def dequantised(info: TensorInfo) -> np.ndarray:
    """A whole tensor. Raises ModelLoadError where the file has been cut short, OSError."""
    return np.concatenate(list(dequantised_blocks(info))).reshape(info.shape)


def dequantised_blocks(info: TensorInfo, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Successive portions of a tensor, flat float32; together they are the tensor in the order of `rows`.

    Args:
        rows: for each row of what is given, its number in the file. Such a tensor is read whole, though
            still quantised. Of a vector every value is a row.
    Raises:
        ModelLoadError: the file has been cut short meanwhile.
        OSError: as the system says.
    """
    if rows is not None and len(info.shape) == 1:
        yield dequantised(info)[rows]
        return
    n_rows = math.prod(info.shape[:-1])
    row_bytes = info.n_bytes // n_rows
    step = max(1, _BLOCK_VALUES // info.shape[-1])
    with info.path.open("rb") as file:
        file.seek(info.offset)
        gathered = None if rows is None else _read(file, info, info.n_bytes).reshape(n_rows, row_bytes)[rows]
        for start in range(0, n_rows, step):
            if gathered is None:
                raw = _read(file, info, min(step, n_rows - start) * row_bytes)
            else:
                raw = gathered[start : start + step].ravel()
            yield _values(raw, info.type)


def _read(file: BinaryIO, info: TensorInfo, n_bytes: int) -> np.ndarray:
    raw = np.fromfile(file, np.uint8, n_bytes)
    if raw.size != n_bytes:
        raise ModelLoadError(f"{info.path.name} was cut short while it was read.", "Fetch the file again.")
    return raw


def _values(raw: np.ndarray, kind: int) -> np.ndarray:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    values: np.ndarray = dequantize(raw.reshape(1, -1), GGMLQuantizationType(kind))
    return values.ravel()
