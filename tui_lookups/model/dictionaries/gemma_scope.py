"""Gemma Scope's layout: layer_N/.../params.npz, without a word of configuration.

1. Arrays W_enc [d_model, d_sae], W_dec, b_enc, b_dec and threshold (JumpReLU).
2. What is read is what the norm before the MLP gives before its weight (that was folded into the model that
   they were trained on), what is written is the MLP's output after the norm behind it, as Gemma 2 has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tui_lookups.errors import DictionaryError
from tui_lookups.model.dictionaries.dictionary import Activation
from tui_lookups.model.dictionaries.layout import Described, OfLayer, in_order

_LAYER = re.compile(r"layer_(\d+)", re.ASCII)


def files(folder: Path) -> list[Path]:
    """What of a folder is read."""
    return sorted(path for path in folder.rglob("params.npz") if path.is_file())


def describe(folder: Path, found: Sequence[Path]) -> Described:
    """What the names of the folders say. Raises DictionaryError."""
    weights = []
    for path in found:
        layer = next((match for part in path.parts[::-1] if (match := _LAYER.fullmatch(part))), None)
        if layer is None:
            raise DictionaryError(
                f"{path.relative_to(folder)} does not say which layer it is of.",
                "A folder like layer_5 is expected above it.",
            )
        weights.append((int(layer[1]), path))
    return Described(
        "ln2.hook_normalized",
        "hook_mlp_out",
        tuple(
            OfLayer(path, False, Activation("threshold", rectified=False), {})
            for path in in_order(weights, folder)
        ),
    )
