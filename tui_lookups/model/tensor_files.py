"""Tensors of .safetensors and .npz files, read with NumPy a block at a time; no tensor library is imported.

1. A .safetensors file begins with the length of a JSON header that gives each tensor's type, shape and place.
2. Values are read by ordinary reads, never mapped: a mapped file that is cut short under a running program
   ends it. Descriptors stay open, so that a file replaced meanwhile is still the one that was opened; one
   that was written over is found out by `require_unchanged`.
3. A .npz file, as numpy.savez writes it, is read likewise (npz_header.py).
4. float32, float64, float16 and bfloat16 become float32 (float64 stays): bfloat16 is the upper half of a
   float32. A number format asked for that is narrower rounds the values first, as loading the model would.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.npz_header import read_npz_header
from tui_lookups.storage.files import reason

Floats = npt.NDArray[np.floating[Any]]

_LONGEST_HEADER = 100_000_000
_STORED: dict[str, type[np.generic]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
}
_OF_NPZ = {"f8": "F64", "f4": "F32", "f2": "F16"}


class NotInFilesError(Exception):
    """The files alone do not answer: another kind of file, or a layout that no row describes."""


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """Where a tensor lies: `stored` is the format's name of its type, `begin` is its offset in the file."""

    path: Path
    stored: str
    shape: tuple[int, ...]
    begin: int

    @property
    def numbers(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class TensorFiles:
    """Every tensor of the .safetensors and .npz files among `files`, by its name there.

    Args:
        files: of one model; an index of shards is passed over, and a file of PyTorch's is not read here.
        dtype: what the values are rounded to: "float32", "float64", "float16" or "bfloat16".
    Raises:
        NotInFilesError: no such files, or one of another kind.
        ModelLoadError: a header that cannot be read, or is damaged.
    """

    def __init__(self, files: Sequence[Path], dtype: str) -> None:
        self._dtype = dtype
        self.number_type: type[np.floating[Any]] = np.float64 if dtype == "float64" else np.float32
        self._files: dict[Path, tuple[io.FileIO, tuple[int, ...]]] = {}  # closed with this object
        self.tensors: dict[str, PlacedTensor] = {}
        try:
            for path in files:
                if path.suffix in _HEADERS:
                    self._open(path)
        except OSError as error:
            raise ModelLoadError(
                f"The weights cannot be read: {reason(error)}.", "Check their permissions."
            ) from error
        if not self.tensors:
            raise NotInFilesError("there are no .safetensors files")

    def _open(self, path: Path) -> None:
        file = io.FileIO(path)
        self._files[path] = file, _state(file)
        for name, tensor in _HEADERS[path.suffix](path, file).items():
            if name in self.tensors:
                raise NotInFilesError(f"two files hold a tensor {name}")
            self.tensors[name] = tensor

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Floats:
        """Rows `start` to `stop` of a tensor, as `number_type`. Raises NotInFilesError, ModelLoadError."""
        tensor = self.tensors[name]
        rows = (tensor.shape[0] if stop is None else min(stop, tensor.shape[0])) - start
        width = int(np.prod(tensor.shape[1:], dtype=np.int64))
        raw = np.empty(rows * width, dtype=self._stored_type(name))
        self._fill(tensor, raw, start * width * raw.itemsize)
        return self._as_numbers(tensor.stored, raw).reshape(rows, *tensor.shape[1:])

    def scalar(self, name: str) -> Floats:
        """A tensor without axes, as `number_type`: []. Raises as `rows` does."""
        raw = np.empty(1, dtype=self._stored_type(name))
        self._fill(self.tensors[name], raw, 0)
        return self._as_numbers(self.tensors[name].stored, raw).reshape(())

    def columns(self, name: str, start: int, stop: int) -> Floats:
        """Columns `start` to `stop` of a matrix: [its rows, stop - start]. Raises as `rows` does."""
        height, width = self.matrix(name)
        if (start, stop) == (0, width):
            return self.rows(name)
        tensor = self.tensors[name]
        raw = np.empty((height, stop - start), dtype=self._stored_type(name))
        for row, values in enumerate(raw):
            self._fill(tensor, values, (row * width + start) * raw.itemsize)
        return self._as_numbers(tensor.stored, raw)

    def require_numbers(self, name: str) -> None:
        """Raise NotInFilesError unless a tensor is stored in a format that is read here."""
        self._stored_type(name)

    def _stored_type(self, name: str) -> type[np.generic]:
        stored = _STORED.get(self.tensors[name].stored)
        if stored is None:
            raise NotInFilesError(f"{name} is stored as {self.tensors[name].stored}")
        return stored

    def matrix(self, name: str) -> tuple[int, int]:
        """The shape of a matrix. Raises NotInFilesError where the tensor is none."""
        shape = self.tensors[name].shape
        if len(shape) != 2:
            raise NotInFilesError(f"{name} is no matrix")
        return shape[0], shape[1]

    def blocks(self, name: str, numbers: int) -> Iterator[tuple[slice, Floats]]:
        """A matrix in blocks of rows of about so many numbers, first rows first."""
        count, width = self.tensors[name].shape
        size = max(1, numbers // max(1, width))
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield slice(start, stop), self.rows(name, start, stop)

    def require_unchanged(self) -> None:
        """Raise ModelLoadError when a file was written to, or cut short, since it was opened."""
        for path, (file, opened) in self._files.items():
            if _state(file) != opened:
                raise ModelLoadError(f"{path} changed while it was read.", "Start again once it is in place.")

    def _fill(self, tensor: PlacedTensor, raw: npt.NDArray[Any], offset: int) -> None:
        file, _ = self._files[tensor.path]
        view = raw.view(np.uint8).data
        at, done = tensor.begin + offset, 0
        while done < len(view):
            try:
                count = os.preadv(file.fileno(), [view[done:]], at + done)
            except OSError as error:
                raise ModelLoadError(
                    f"{tensor.path} cannot be read: {reason(error)}.", "Check the disk."
                ) from error
            if count == 0:
                raise ModelLoadError(f"{tensor.path} was cut short.", "Fetch the model again.")
            done += count

    def _as_numbers(self, stored: str, raw: npt.NDArray[Any]) -> Floats:
        values: Floats
        if stored == "BF16":
            bits = raw.astype(np.uint32)
            bits <<= 16
            values = bits.view(np.float32)
        else:
            values = raw
        if self._dtype == "float16" and stored != "F16":
            with np.errstate(over="ignore"):  # infinite values are refused where they are used
                values = values.astype(np.float16)
        elif self._dtype == "bfloat16" and stored != "BF16":
            values = _rounded_to_bfloat16(values.astype(np.float32, copy=False))
        return values.astype(self.number_type, copy=False)


def _rounded_to_bfloat16(values: Floats) -> Floats:
    """To nearest, ties to even, still as float32."""
    bits = values.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), values, rounded.view(np.float32))


def _state(file: io.FileIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _read_header(path: Path, file: io.FileIO) -> dict[str, PlacedTensor]:
    size = os.fstat(file.fileno()).st_size
    try:
        (length,) = struct.unpack("<Q", os.pread(file.fileno(), 8, 0))
        if length > min(_LONGEST_HEADER, size - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(os.pread(file.fileno(), length, 8))
        return {
            name: _placed(path, entry, 8 + length, size)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadError(
            f"{path} is damaged: its header cannot be read.", "Fetch the model again."
        ) from error


def _placed(path: Path, entry: dict[str, Any], base: int, size: int) -> PlacedTensor:
    begin, end = entry["data_offsets"]
    shape = tuple(int(n) for n in entry["shape"])
    tensor = PlacedTensor(path, str(entry["dtype"]), shape, base + int(begin))
    stored = _STORED.get(tensor.stored)
    if begin < 0 or end < begin or base + end > size or min(shape, default=0) < 0:
        raise ValueError("a tensor lies outside the file")
    if stored is not None and tensor.numbers * np.dtype(stored).itemsize != end - begin:
        raise ValueError("a tensor has another size than its shape says")
    return tensor


def _read_npz(path: Path, file: io.FileIO) -> dict[str, PlacedTensor]:
    return {
        name: PlacedTensor(path, _OF_NPZ.get(dtype.newbyteorder("=").str[1:], str(dtype)), shape, begin)
        for name, (dtype, shape, begin) in read_npz_header(path, file).items()
    }


_HEADERS: dict[str, Callable[[Path, io.FileIO], dict[str, PlacedTensor]]] = {
    ".safetensors": _read_header,
    ".npz": _read_npz,
}
