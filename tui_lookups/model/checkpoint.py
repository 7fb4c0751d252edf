"""What the weight files of a model folder hold, from their headers: no weight is read.

1. `weight_files` names the files that transformers reads: model.safetensors, else the shards that
   model.safetensors.index.json lists, else the same two of PyTorch's.
2. `read_tensors` gives every tensor's name, dtype and shape. Shards that are not all there, an index that
   names what no shard holds, and a tensor that lies in two files are refused.
3. What else lies in a folder is sorted by its name: adapters, notes of quantisers, further copies of weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.errors import ModelLoadError, first_line, is_out_of_memory
from tui_lookups.storage.files import reason

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Number formats of weights that need no scale beside them, as safetensors names them and as torch does."""

_WHOLE = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In the order in which transformers looks for them."""
_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<count>\d+)(?P<ending>\.safetensors|\.bin)", re.ASCII
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
MERGE_HINT = (
    "Merge it first, with peft: "
    "PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)."
)
QUANTISER_FILES = (
    "hf_quant_config.json",
    "quantize_config.json",
    "quant_config.json",
    "quantization_config.json",
)
_COPIES = re.compile(
    r"consolidated[.\d-]*\.(safetensors|pth)(\.index\.json)?|model\.(fp16|bf16|fp32)[.\d-].*"
    r"|pytorch_model.*\.bin(\.index\.json)?|.*\.(gguf|h5|msgpack|ot|onnx)",
    re.ASCII,
)
"""The same weights once more, for other programs or in another precision; the model folder is complete
without them."""

_NO_MEMORY = "os error 12"
"""ENOMEM, as safetensors says it."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its file's header describes it; `dtype` as safetensors names it ("F32", "BF16", "I8")."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path


def weight_files(folder: Path) -> list[Path]:
    """The files with weights that transformers reads from a folder, an index among them; none: empty."""
    for name in _WHOLE:
        path = folder / name
        if path.is_file():
            return [path, *_shards(path)] if name.endswith(".index.json") else [path]
    return []


def _shards(index: Path) -> list[Path]:
    return [index.parent / name for name in sorted(set(_weight_map(index).values()))]


def _weight_map(index: Path) -> dict[str, str]:
    """Which file each tensor is in, by a shard index. Raises ModelLoadError."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = set(listed.values())
        strange = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadError(f"{index} cannot be read.", "Fetch the model again.") from error
    if strange:
        raise ModelLoadError(
            f"{index.name} names the weight file {sorted(strange)[0]!r}, which is not in {index.parent}.",
            "Fetch the model again.",
        )
    weight_map: dict[str, str] = listed
    return weight_map


def file_names(folder: Path) -> set[str]:
    """What lies in a folder. Raises ModelLoadError when it may not be read."""
    try:
        return {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ModelLoadError(
            f"{folder} cannot be read: {reason(error)}.", "Check its permissions."
        ) from error


def require_no_adapter_alone(folder: Path) -> None:
    """Raise ModelLoadError for the folder of an adapter (LoRA and the like), which lacks the model itself."""
    names = file_names(folder)
    there = [name for name in ADAPTER_FILES if name in names]
    if there and (not weight_files(folder) or "config.json" not in names):
        raise ModelLoadError(
            f"{folder} holds an adapter ({there[0]}) without the model that it adapts.", MERGE_HINT
        )


def is_copy(name: str, read: Iterable[Path]) -> bool:
    """Whether a file is a further copy of the weights, by its name, where the files `read` hold them."""
    of_the_kind_read = name.endswith(".bin") and any(path.suffix == ".bin" for path in read)
    return bool(_COPIES.fullmatch(name)) and not of_the_kind_read


def require_weights(folder: Path) -> None:
    """Raise ModelLoadError unless the folder holds one whole set of weights, by the files' names."""
    read = weight_files(folder)
    others = file_names(folder) - {path.name for path in read}
    shards = _sets_of_shards(others)
    if not read:
        if not shards:
            raise ModelLoadError(
                f"{folder} has no weights.",
                "It should hold *.safetensors files beside config.json; fetch them again.",
            )
        stem, ending, count, there = shards[0]
        absent = sorted(set(range(1, count + 1)) - there)
        if absent:
            lacking = f"{stem}-{absent[0]:05d}-of-{count:05d}{ending}"
            more = f" and {len(absent) - 1} more shards" if len(absent) > 1 else ""
            raise ModelLoadError(f"{folder} lacks {lacking}{more}.", "Fetch the model again.")
        raise ModelLoadError(
            f"{folder} has shards of weights but no {stem}{ending}.index.json, which says what is in them.",
            "Fetch the index, too.",
        )
    for stem, ending, count, _ in shards:
        if not is_copy(f"{stem}-00001-of-{count:05d}{ending}", read):
            raise ModelLoadError(
                f"{folder} has {read[0].name} and, beside it, shards {stem}-*-of-{count:05d}{ending}: "
                "it cannot be told which are the weights.",
                "Move those away that are not.",
            )


def _sets_of_shards(names: Iterable[str]) -> list[tuple[str, str, int, set[int]]]:
    """Stem, ending, count and the numbers that are there, of each set of shards among the names."""
    sets: dict[tuple[str, str, int], set[int]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            key = (match["stem"], match["ending"], int(match["count"]))
            sets.setdefault(key, set()).add(int(match["number"]))
    return [(*key, numbers) for key, numbers in sorted(sets.items())]


def read_tensors(folder: Path, name: str) -> dict[str, StoredTensor]:
    """Every tensor of the files that transformers reads, by name.

    Raises ModelLoadError: a damaged file, a tensor in two files, or one that only the index has.
    """
    tensors: dict[str, StoredTensor] = {}
    for path in weight_files(folder):
        if path.name.endswith(".index.json"):
            continue
        for tensor in _header(path, name):
            if tensor.name in tensors:
                raise ModelLoadError(
                    f"{name} holds {tensor.name} twice: in {tensors[tensor.name].file.name} and {path.name}.",
                    "Fetch the model again.",
                )
            tensors[tensor.name] = tensor
    for path in weight_files(folder):
        absent = (
            sorted(_weight_map(path).keys() - tensors.keys()) if path.name.endswith(".index.json") else []
        )
        if absent:
            more = f" and {len(absent) - 1} more tensors" if len(absent) > 1 else ""
            raise ModelLoadError(
                f"{name} is incomplete: no shard holds {absent[0]}{more}, which {path.name} names.",
                "Fetch the model again.",
            )
    return tensors


def _header(path: Path, name: str) -> list[StoredTensor]:
    try:
        return _torch_header(path) if path.suffix == ".bin" else _safetensors_header(path)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {reason(error)}.", "Check its permissions.") from error
    except Exception as error:  # safetensors and torch raise many kinds, of classes of their own
        if is_out_of_memory(error) or _NO_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise ModelLoadError(
            f"{name} cannot be loaded: {path.name} is damaged ({first_line(error)[:200].rstrip('.')}).",
            "Fetch the model again.",
        ) from error


def _safetensors_header(path: Path) -> list[StoredTensor]:
    from safetensors import safe_open

    with path.open("rb"):
        pass  # safetensors' own errors do not say that a file may not be read
    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
        return [StoredTensor(n, str(s.get_dtype()), tuple(s.get_shape()), path) for n, s in slices.items()]


def _torch_header(path: Path) -> list[StoredTensor]:
    """PyTorch's own format, with its loader for weights alone: no code in a file is run."""
    import torch

    spelled = {getattr(torch, name): stored for stored, name in FLOATS.items()}
    held = torch.load(path, map_location="meta", weights_only=True)
    return [
        StoredTensor(name, spelled.get(values.dtype, str(values.dtype)), tuple(values.shape), path)
        for name, values in held.items()
    ]
