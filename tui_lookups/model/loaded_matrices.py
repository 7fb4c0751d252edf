"""The matrices of a loaded model, where its files alone do not give them (matrices.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from tui_lookups.model.components import W_O
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.matrices import HeadMatrix, row_blocks
from tui_lookups.model.tensor_files import Floats

_BLOCK_NUMBERS = 16_000_000


class LoadedMatrices:
    """Of heads only what they write with is known apart. Used on the model's thread."""

    def __init__(self, model: LookupModel) -> None:
        self.writes = model
        self._parameters = model.parameters()

    def reads(self, layer: int) -> list[Floats]:
        model, block = self.writes, self.writes.wiring.blocks[layer]
        norm = block.norms.get("ln2") if model.basis == "folded" else None
        matrices = []
        for part in filter(None, (block.up, block.gate)):
            read = model.at_home(part.matrix)  # [d_model, d_mlp]
            matrices.append(_to_numpy((read if norm is None else norm.fold(read)).T))
        return matrices

    def heads(self, layer: int) -> Mapping[HeadMatrix, Floats]:
        return {"W_O": _to_numpy(W_O(self.writes, layer))}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self._parameters.items()}

    def blocks(self, name: str) -> Iterator[Floats]:
        tensor = self._parameters[name]
        for rows in row_blocks(tuple(tensor.shape), _BLOCK_NUMBERS):
            yield _to_numpy(self.writes.at_home(tensor[rows]))


def _to_numpy(values: Tensor) -> Floats:
    array: Floats = values.detach().cpu().numpy()
    return array
