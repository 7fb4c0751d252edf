"""The header of a .gguf file: its metadata and where its tensors lie, read once and checked against the file.

1. The file begins with "GGUF", a version, the numbers of tensors and of keys, all little-endian.
2. Each key is a string, a type and a value; arrays give the type and number of their elements first. No
   length or number is believed before it is held against the bytes that are left.
3. Each tensor is named with its dimensions (innermost first), its type and its offset into the data that
   begin after the header, at the next multiple of the alignment. No two of them may overlap.
4. A split model is several such files, `NAME-00001-of-00003.gguf`; the first has the metadata.

Ordinary reads throughout: a file that is cut short while it is read gives an error, not a signal.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tui_lookups.errors import ModelLoadError
from tui_lookups.storage.files import reason

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MOST_DIMENSIONS = 4
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 10: "<Q", 11: "<q", 12: "<d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_SMALLEST_KEY = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8
_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies and what it is.

    Attributes:
        shape: outermost first, as NumPy has it.
        type: a number of `gguf.GGMLQuantizationType`.
        offset: of its first byte in `path`.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    path: Path
    offset: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """A model's metadata (strings, numbers, booleans, lists of strings, NumPy arrays) and tensors."""

    path: Path
    metadata: dict[str, Any]
    tensors: tuple[TensorInfo, ...]
    shards: tuple[Path, ...]


def read_header(path: Path) -> Header:
    """The header of a .gguf file, or of all files of a split model, any one of which may be named.

    Raises ModelLoadError: unreadable, no GGUF file, damaged, or a file of a split model is missing.
    """
    shards = shard_paths(path)
    headers = [_read_one(shard) for shard in shards]
    metadata = headers[0].metadata
    count = _split_number(metadata, "split.count", 1)
    if count != len(shards):
        raise ModelLoadError(
            f"{path.name} is one of several files of a split model, and its name does not say which.",
            "Give the files the names they were published with: NAME-00001-of-00003.gguf.",
        )
    for number, header in enumerate(headers):
        said = tuple(_split_number(header.metadata, f"split.{key}", -1) for key in ("no", "count"))
        if len(shards) > 1 and said != (number, count):
            raise ModelLoadError(
                f"{header.path.name} is not file {number + 1} of {count} of a split model.",
                "Fetch the files of the model again.",
            )
        odd = [key for key in header.metadata if number and not key.startswith(("split.", "general."))]
        if odd:
            raise ModelLoadError(
                f"{header.path.name} has metadata of its own ({odd[0]}), which only the first file may have.",
                "Fetch the files of the model again.",
            )
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    _require_distinct([tensor.name for tensor in tensors], path, "tensor")
    wanted = _split_number(metadata, "split.tensors.count", len(tensors))
    if wanted != len(tensors):
        raise ModelLoadError(
            f"{path.name} should have {wanted} tensors in all its files, and has {len(tensors)}.",
            "Fetch the files of the model again.",
        )
    return Header(path, metadata, tensors, tuple(shards))


def _split_number(metadata: dict[str, Any], key: str, default: int) -> int:
    """A key about splitting; -1 where it is no whole number."""
    value = metadata.get(key, default)
    return value if type(value) is int else -1


def shard_paths(path: Path) -> list[Path]:
    """The files of a split model, by the name of one; `path` itself where the name is of no such file."""
    match = _SHARD.fullmatch(path.name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return [path]
    count = int(match["count"])
    shards = [path.with_name(f"{match['stem']}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    shards[int(match["number"]) - 1] = path
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelLoadError(
            f"{path.name} is one of {count} files of a split model, and {missing[0]}{more} is not beside it.",
            "Fetch all files of the model into one folder.",
        )
    return shards


def _read_one(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            return _Reader(path, file).header()
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {reason(error)}.", "Check its permissions.") from error


class _Reader:
    """Reads one header; `damaged` is every complaint's common form."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = path.stat().st_size

    def header(self) -> Header:
        if self._file.read(4) != _MAGIC:
            raise ModelLoadError(
                f"{self._path.name} is not a GGUF file.",
                "Its first four bytes should be GGUF; fetch it again.",
            )
        version = int(self._number("<I"))
        if version.to_bytes(4, "little")[::-1] in [v.to_bytes(4, "little") for v in (1, *_VERSIONS)]:
            raise ModelLoadError(
                f"{self._path.name} is a big-endian GGUF file.", "Use the little-endian file of the model."
            )
        if version not in _VERSIONS:
            raise ModelLoadError(
                f"{self._path.name} is a GGUF file of version {version}; versions 2 and 3 are read.",
                "Convert the model again with a current llama.cpp.",
            )
        n_tensors, n_keys = int(self._number("<Q")), int(self._number("<Q"))
        self._require(n_keys * _SMALLEST_KEY + n_tensors * _SMALLEST_TENSOR, "its keys and tensors")
        metadata: dict[str, Any] = {}
        for _ in range(n_keys):
            key = self._string("a key")
            if key in metadata:
                raise self._damaged(f"the key {_cut(key)} is there twice")
            metadata[key] = self._value(int(self._number("<I")), key)
        tensors = [self._tensor() for _ in range(n_tensors)]
        return Header(self._path, metadata, self._placed(tensors, metadata), (self._path,))

    def _damaged(self, what: str) -> ModelLoadError:
        return ModelLoadError(
            f"{self._path.name} is a damaged GGUF file: {what}.", "Fetch it again; it may be incomplete."
        )

    def _require(self, n_bytes: int, what: str) -> None:
        if n_bytes > self._size - self._file.tell():
            raise self._damaged(f"it ends before {what}")

    def _take(self, n_bytes: int, what: str) -> bytes:
        if n_bytes > 64:  # small ones are caught by the short read
            self._require(n_bytes, what)
        data = self._file.read(n_bytes)
        if len(data) != n_bytes:
            raise self._damaged(f"it ends before {what}")
        return data

    def _number(self, form: str) -> int | float:
        value: int | float = struct.unpack(form, self._take(struct.calcsize(form), "the end of its header"))[
            0
        ]
        return value

    def _string(self, what: str) -> str:
        length = int.from_bytes(self._take(8, what), "little")
        try:
            return self._take(length, what).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(f"{what} is not UTF-8 text") from error

    def _value(self, kind: int, key: str) -> Any:
        what = f"the value of {_cut(key)}"
        if kind == _STRING:
            return self._string(what)
        if kind == _BOOL:
            return self._take(1, what) != b"\0"
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind != _ARRAY:
            raise self._damaged(f"{what} is of the unknown type {kind}")
        inner, count = int(self._number("<I")), int(self._number("<Q"))
        if inner == _STRING:
            self._require(count * 8, what)
            return self._strings(count, what)
        if inner != _BOOL and inner not in _SCALARS:
            raise self._damaged(f"{what} is an array of the unknown type {inner}")
        dtype = np.dtype("?" if inner == _BOOL else _SCALARS[inner])
        self._require(count * dtype.itemsize, what)
        return np.frombuffer(self._take(count * dtype.itemsize, what), dtype)

    def _strings(self, count: int, what: str) -> list[str]:
        """Vocabularies have hundreds of thousands of entries: bound to locals, nothing called twice."""
        read, from_bytes, left = self._file.read, int.from_bytes, self._size
        strings = []
        try:
            for _ in range(count):
                length = from_bytes(read(8), "little")
                if length > left:
                    raise self._damaged(f"it ends before {what}")
                data = read(length)
                if len(data) != length:
                    raise self._damaged(f"it ends before {what}")
                strings.append(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self._damaged(f"{what} is not UTF-8 text") from error
        return strings

    def _tensor(self) -> TensorInfo:
        name = self._string("a tensor's name")
        n_dimensions = int(self._number("<I"))
        if not 1 <= n_dimensions <= _MOST_DIMENSIONS:
            raise self._damaged(f"the tensor {_cut(name)} has {n_dimensions} dimensions")
        shape = tuple(int(self._number("<Q")) for _ in range(n_dimensions))[::-1]
        kind, offset = int(self._number("<I")), int(self._number("<Q"))
        return TensorInfo(name, shape, kind, self._path, offset, self._n_bytes(name, shape, kind))

    def _n_bytes(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        if kind not in list(GGMLQuantizationType):
            raise self._damaged(f"the tensor {_cut(name)} is of the unknown type {kind}")
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        if 0 in shape or shape[-1] % block:
            raise self._damaged(f"the tensor {_cut(name)} has the impossible shape {list(shape)}")
        return math.prod(shape) // int(block) * int(block_bytes)

    def _placed(self, tensors: list[TensorInfo], metadata: dict[str, Any]) -> tuple[TensorInfo, ...]:
        """The tensors with their offsets in the file. Raises ModelLoadError where they do not fit there."""
        _require_distinct([tensor.name for tensor in tensors], self._path, "tensor")
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._damaged(f"general.alignment is {alignment!r}")
        start = -(-self._file.tell() // alignment) * alignment
        placed, end = [], 0
        for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
            if tensor.offset % alignment or tensor.offset < end:
                raise self._damaged(f"the tensor {_cut(tensor.name)} lies where another tensor is")
            end = tensor.offset + tensor.n_bytes
            if start + end > self._size:
                raise self._damaged(f"it ends before the tensor {_cut(tensor.name)} does")
            where = start + tensor.offset
            placed.append(
                TensorInfo(tensor.name, tensor.shape, tensor.type, self._path, where, tensor.n_bytes)
            )
        after = self._size - start - end
        if placed and after >= alignment:  # as where the alignment is not the one it was written with
            raise self._damaged(f"{after} bytes follow its last tensor")
        return tuple(placed)


def _require_distinct(names: list[str], path: Path, what: str) -> None:
    twice, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ModelLoadError(
            f"{path.name} is a damaged GGUF file: the {what} {_cut(twice)} is there twice.", "Fetch it again."
        )


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"
