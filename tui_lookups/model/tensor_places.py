"""Which parameter of a model each tensor of its files is, found without believing what loading reports.

transformers drops a tensor that a model has no place for, in silence where its class says so, and fills a
parameter that no tensor is for with random numbers. So:

1. A tensor's name is looked for among the model's parameters and saved buffers: as it is, with the prefix
   of the model's body added or taken off, and by the renames that transformers does ("gamma" to "weight").
   What it puts together, such as the experts of a layer, is a tensor for a part of its place each.
2. A tensor without a place is refused, unless it is a table that the model makes for itself and has the
   values of that table (rotary frequencies, positions), or is a causal mask.
3. A weight in another number format than a float's, one of another shape than its place, a second tensor
   for one place, and a parameter without a tensor that is not tied to one that has one, are refused.
4. Once the model is loaded, what it holds is compared with the file: of every tensor all values, or
   some thousand evenly spread over it (`require_same_values`).

A head that the configuration ties to the embedding and that lies in the file with other values is a tensor
like any other: transformers gives it its own values, and step 4 holds it to them.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.checkpoint import FLOATS, StoredTensor
from tui_lookups.model.fates import (
    ADAPTER,
    ANOTHER_SHAPE,
    CONVERTED,
    LACKING,
    NO_PLACE,
    QUANTISED,
    TWICE,
    Judged,
    applied,
    harmless,
    refused,
)
from tui_lookups.model.first_import import import_transformers

_OF_A_QUANTISER = re.compile(
    r"[._](SCB|weight_scale(_inv|_2)?|input_scale|output_scale|qweight|qzeros|scales|g_idx|weight_packed|weight_shape"
    r"|weight_zero_point|weight_g_idx|(nested_)?absmax|(nested_)?quant_map|quant_state\..+|weight_format)$|:\w+$"
)
_OF_AN_ADAPTER = re.compile(
    r"\.lora_(A|B|magnitude_vector|embedding_[AB])(\.|$)|\.base_layer\.|\.modules_to_save\.|^base_model\.model\."
)
_FREQUENCIES = re.compile(r"(^|[._])inv_freq$")
_MASK = re.compile(r"(^|\.)(attn|attention)\.(bias|causal_mask)$")
_EXPERT = re.compile(r"\.experts\.(\d+)\.")
_MASKED = re.compile(r"(^|\.)(attn|attention)\.masked_bias$")

_WHOLE = 1 << 16
_SAMPLE = 1 << 12
_HALF_PRECISION = 1e-2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor goes.

    Attributes:
        name: of a parameter or saved buffer.
        converted: not as it is.
        part: where the tensor is not all of it, the number of an expert, that of a part of its rows, and how
            many such parts there are.
    """

    name: str
    converted: bool = False
    part: tuple[int, int, int] | None = None

    def of(self, whole: Tensor) -> Tensor | None:
        """The part of a parameter that the tensor goes to, a view; None where it has none such."""
        if self.part is None:
            return whole
        expert, number, n_parts = self.part
        if whole.dim() != 3 or expert >= whole.shape[0] or whole.shape[1] % n_parts:
            return None
        return whole[expert].chunk(n_parts)[number]

    def n_parts(self, whole: Tensor) -> int:
        """How many tensors fill the parameter."""
        return 1 if self.part is None else whole.shape[0] * self.part[2]


def judge_names(stored: Mapping[str, StoredTensor]) -> Iterator[Judged]:
    """The tensors that are refused whatever the model is: parts of quantised weights and of adapters."""
    for name, tensor in stored.items():
        if reason := _refusal_by_name(tensor):
            yield refused(name, "tensor", reason)


def judge_tensors(stored: Mapping[str, StoredTensor], model: Any) -> Iterator[Judged]:
    """What becomes of every tensor, and of every parameter that has none.

    Args:
        stored: from `checkpoint.read_tensors`.
        model: a transformers causal language model; its parameters may be on meta, its buffers may not.
    """
    held: dict[str, Tensor] = model.state_dict(keep_vars=True)
    places = find_places(stored, model)
    with StoredValues() as values:
        taken: dict[str, set[tuple[int, int, int] | None]] = {}
        for name, tensor in stored.items():
            place = places.get(name)
            if place is None:
                yield _judge_unplaced(tensor, model, values)
            elif tensor.dtype not in FLOATS and held[place.name].is_floating_point():
                yield refused(name, "tensor", QUANTISED, f"stored as {tensor.dtype}")
            elif place.converted:
                yield refused(name, "tensor", CONVERTED)
            elif (own := place.of(held[place.name])) is None or tuple(own.shape) != tensor.shape:
                yield refused(name, "tensor", ANOTHER_SHAPE)
            elif place.name in taken and (place.part is None or taken[place.name] & {place.part, None}):
                yield refused(name, "tensor", TWICE)
            else:
                taken.setdefault(place.name, set()).add(place.part)
                yield applied(name, "tensor", "" if place.name == name else place.name)
    tensors_for = Counter(place.name for place in places.values())
    with_values = {
        id(held[place.name])
        for place in places.values()
        if tensors_for[place.name] >= place.n_parts(held[place.name])
    }
    for name, parameter in held.items():
        if id(parameter) not in with_values:
            yield refused(name, "tensor", LACKING)


def find_places(stored: Mapping[str, StoredTensor], model: Any) -> dict[str, Place]:
    """The place of each tensor that has one (step 1), by the tensor's name."""
    import_transformers()
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    held = model.state_dict(keep_vars=True)
    transforms = get_model_conversion_mapping(model)
    renamings = [transform for transform in transforms if isinstance(transform, WeightRenaming)]
    converters = [transform for transform in transforms if isinstance(transform, WeightConverter)]
    places = {}
    for name in stored:
        renamed, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, held)
        if renamed not in held and name in held:
            renamed, pattern = name, None
        if renamed in held:
            part = None if pattern is None else _part_of_experts(name, pattern, converters)
            places[name] = Place(renamed, pattern is not None and part is None, part)
    return places


def _part_of_experts(name: str, pattern: str, converters: list[Any]) -> tuple[int, int, int] | None:
    """See Place: of a tensor of one expert, where its converter puts experts behind each other, and for each
    its tensors below each other; None where it does anything else."""
    converter = next(converter for converter in converters if pattern in converter.source_patterns)
    steps = [(type(step).__name__, step.__dict__.get("dim")) for step in converter.operations]
    patterns, expert = converter.source_patterns, _EXPERT.search(name)
    joins = [("MergeModulelist", 0), ("Concatenate", 1)]
    if expert is None or steps != joins[: 1 if len(patterns) == 1 else 2]:
        return None
    return int(expert[1]), patterns.index(pattern), len(patterns)


def _refusal_by_name(tensor: StoredTensor) -> Any:
    if _OF_AN_ADAPTER.search(tensor.name):
        return ADAPTER
    if _OF_A_QUANTISER.search(tensor.name) or tensor.dtype.startswith(("F8", "F4", "F6")):
        return QUANTISED
    return None


def _judge_unplaced(tensor: StoredTensor, model: Any, values: StoredValues) -> Judged:
    if reason := _refusal_by_name(tensor):
        return refused(tensor.name, "tensor", reason)
    own = dict(model.named_buffers())
    tables = [own.get(tensor.name), own.get(f"{model.base_model_prefix}.{tensor.name}")]
    if _FREQUENCIES.search(tensor.name):
        tables += [values_ for name, values_ in own.items() if _FREQUENCIES.search(name)]
    if any(table is not None and _are_same(values[tensor], table) for table in tables):
        return harmless(tensor.name, "tensor", "a table that the model makes for itself")
    if _MASK.search(tensor.name) and _is_causal(values, tensor):
        return harmless(tensor.name, "tensor", "a causal mask")
    if _MASKED.search(tensor.name) and tensor.shape in ((), (1,)) and bool((values[tensor] <= -1e4).all()):
        return harmless(tensor.name, "tensor", "what a masked score is set to")
    return refused(tensor.name, "tensor", NO_PLACE)


def _are_same(found: Tensor, table: Tensor) -> bool:
    """Whether a stored table has the values of the model's own, as exactly as its number format allows."""
    if found.shape != table.shape or table.is_meta:
        return False
    exact = found.dtype in (torch.float32, torch.float64) or not found.is_floating_point()
    own = table.cpu().to(found.dtype).double()
    return torch.allclose(found.double(), own, rtol=1e-5 if exact else _HALF_PRECISION, atol=1e-7)


def _is_causal(values: StoredValues, tensor: StoredTensor) -> bool:
    """Whether a mask [1, 1, n, n] lets every position see itself and all before it, and no other."""
    if len(tensor.shape) != 4 or tensor.shape[:2] != (1, 1) or tensor.shape[2] != tensor.shape[3]:
        return False
    mask = values[tensor][0, 0].bool()
    return torch.equal(mask, torch.ones_like(mask).tril())


class StoredValues:
    """Values of stored tensors; a safetensors file stays mapped while this is open."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._files: dict[Path, Any] = {}

    def __enter__(self) -> StoredValues:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.clear()
        self._open.close()

    def __getitem__(self, tensor: StoredTensor) -> Tensor:
        from safetensors import safe_open

        if tensor.file not in self._files:
            if tensor.file.suffix == ".bin":
                self._files[tensor.file] = torch.load(tensor.file, map_location="cpu", weights_only=True)
            else:
                self._files[tensor.file] = self._open.enter_context(safe_open(tensor.file, framework="pt"))
        file = self._files[tensor.file]
        values: Tensor = file[tensor.name] if isinstance(file, dict) else file.get_tensor(tensor.name)
        return values


@torch.no_grad()
def require_same_values(stored: Mapping[str, StoredTensor], model: Any, name: str) -> None:
    """Raise ModelLoadError unless the model's parameters have the values that the files have (step 4)."""
    held = model.state_dict(keep_vars=True)
    with StoredValues() as values:
        for tensor_name, place in find_places(stored, model).items():
            parameter = place.of(held[place.name])
            assert parameter is not None  # judged before
            in_file = values[stored[tensor_name]]
            same = torch.equal(_sample(parameter).cpu(), _sample(in_file).to(parameter.dtype))
            if stored[tensor_name].file.suffix != ".bin":
                let_go(in_file)  # or the file would be in memory beside the model
            if not same:
                raise ModelLoadError(
                    f"{name} was loaded with other values of {tensor_name} than its file holds.",
                    "If nothing writes to the file now, please report the model's name.",
                )


def _sample(values: Tensor) -> Tensor:
    """All values of a small tensor; of a large one some, evenly spread: [at most 2 * _SAMPLE or _WHOLE]."""
    flat = values.detach().reshape(-1)
    if flat.numel() <= _WHOLE:
        return flat
    # An odd step visits every column of a matrix with an even number of them.
    return flat[:: flat.numel() // _SAMPLE | 1]


def let_go(in_file: Tensor) -> None:
    """Drop the pages of a mapped tensor from memory; what is read there again comes from the file."""
    size, start = mmap.PAGESIZE, in_file.data_ptr()
    first, end = -(-start // size) * size, (start + in_file.nbytes) // size * size
    if sys.platform == "linux" and in_file.is_contiguous() and end > first:
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED)
