"""What congruence needs of a model whose neurons are a dictionary's units, from files alone (section 14).

What units write is a row of W_dec; how a token reads it is the model's business, as in file_weights.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tui_lookups.model.dictionaries.dictionary import Place, of_units, require_fit
from tui_lookups.model.dictionaries.folders import LocalDictionary, open_dictionary
from tui_lookups.model.file_weights import FileWeights
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tensor_files import Floats
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import Basis


class UnitFileWeights(FileWeights):
    """A dictionary's writes and its model's unembedding. Thread-safe.

    Args:
        units: the dictionary; the others are those of `FileWeights`.
    Raises:
        DictionaryError: it cannot be read, or does not fit the model; and as `FileWeights` does.
    """

    def __init__(
        self,
        local: LocalModel,
        config: dict[str, Any],
        vocabulary: Vocabulary,
        dtype: str,
        basis: Basis,
        units: LocalDictionary,
    ) -> None:
        super().__init__(local, config, vocabulary, dtype, basis)
        family, info = self.tensors.family, self.info
        self._dictionary = open_dictionary(units, "float64" if dtype == "float64" else "float32")
        norm = family.norm if family.pre_norm else None
        require_fit(self._dictionary, Place(info.name, info.n_layers, info.d_model, norm))
        if self._dictionary.writes == "hook_mlp_out":
            self._post_weights = None
        self.info = of_units(info, self._dictionary)
        self._d_mlp = self.info.d_mlp

    def require_unchanged(self) -> None:
        """See FileWeights."""
        super().require_unchanged()
        self._dictionary.require_unchanged()

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def toward(self, layer: int, direction: Floats) -> Floats:
        """See FileWeights."""
        congruences: Floats = self._dictionary.layers[layer].decoder() @ self._carried_down(layer, direction)
        return congruences

    def _writes(self, layer: int, indices: Sequence[int] | None = None) -> Floats:
        transcoder = self._dictionary.layers[layer]
        some: Sequence[int] | slice = slice(None)
        if isinstance(indices, range):
            some = slice(indices.start, indices.stop)
        elif indices is not None:
            some = indices
        return self._as_written(layer, transcoder.decoder(some))
