"""SAELens' layout: a folder for each layer, with cfg.json and sae_weights.safetensors.

1. The layer and what is read are in `hook_name` ("blocks.5.mlp.hook_in"), what is written in `hook_name_out`;
   both stand in cfg.json itself, or in its `metadata`. A folder without the second reconstructs what it
   reads: an autoencoder, and no transcoder.
2. W_enc is [d_in, d_sae]. `architecture` says which activation it is: "transcoder" and "standard" ReLU,
   "jumprelu" a threshold, which batch top-k is saved as, "topk" the k largest, of them those above 0.
3. What else the configuration may say that changes the computation is refused by its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tui_lookups.errors import DictionaryError
from tui_lookups.model.dictionaries.dictionary import Activation
from tui_lookups.model.dictionaries.layout import (
    Described,
    OfLayer,
    in_order,
    read_object,
    reads,
    writes,
)

_CONFIG, _WEIGHTS = "cfg.json", "sae_weights.safetensors"
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)", re.ASCII)
_ARCHITECTURES = {
    "standard": "relu",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu": "threshold",
    "jumprelu_transcoder": "threshold",
    "jumprelu_skip_transcoder": "threshold",
    "batchtopk": "threshold",
    "topk": "topk",
}
_MUST_BE: Mapping[str, tuple[object, ...]] = {
    "normalize_activations": ("none", None),
    "reshape_activations": ("none", None),
    "finetuning_scaling_factor": (False, None),
    "rescale_acts_by_decoder_norm": (False, None),
    "hook_head_index": (None,),
    "hook_head_index_out": (None,),
}
"""What a unit's figures would have to include, and do not, unless it is one of these."""


def files(folder: Path) -> list[Path]:
    """What of a folder is read."""
    configs = sorted(path for path in folder.rglob(_CONFIG) if path.is_file())
    return [path for config in configs for path in (config, config.with_name(_WEIGHTS))]


def describe(folder: Path, found: Sequence[Path]) -> Described:
    """What cfg.json of each layer says. Raises DictionaryError."""
    configs = {path: read_object(path) for path in found if path.name == _CONFIG}
    points = {path: _points(path.parent.name, config) for path, config in configs.items()}
    ordered = in_order([(layer, path) for path, (layer, _, _) in points.items()], folder)
    inputs = {given for _, given, _ in points.values()}
    outputs = {written for _, _, written in points.values()}
    if len(inputs) > 1 or len(outputs) > 1:
        raise DictionaryError(
            f"The transcoders of {folder.name} read, or write, at several points: "
            f"{', '.join(sorted(inputs if len(inputs) > 1 else outputs))}.",
            "Point --units at a folder of one kind of transcoder.",
        )
    return Described(
        reads(inputs.pop(), folder.name),
        writes(outputs.pop(), folder.name),
        tuple(_of_layer(path, configs[path]) for path in ordered),
    )


def _said(config: Mapping[str, Any], key: str) -> Any:
    metadata = config.get("metadata")
    inside = metadata.get(key) if isinstance(metadata, dict) else None
    return config.get(key, inside)


def _points(called: str, config: Mapping[str, Any]) -> tuple[int, str, str]:
    """The layer, and the points read and written within its block."""
    given, written = _said(config, "hook_name"), _said(config, "hook_name_out")
    at = _BLOCK.fullmatch(given) if isinstance(given, str) else None
    if at is None:
        raise DictionaryError(
            f"{called} does not say which layer it is of: its hook_name is {given!r}.",
            "A hook_name like blocks.5.mlp.hook_in is expected.",
        )
    to = _BLOCK.fullmatch(written) if isinstance(written, str) else None
    if to is None:
        raise DictionaryError(
            f"{called} has no hook_name_out: it is an autoencoder of what it reads, and no transcoder.",
            "Units take the place of MLP neurons: transcoders can be opened.",
        )
    if at[1] != to[1]:
        raise DictionaryError(
            f"{called} reads in layer {at[1]} and writes in layer {to[1]}.",
            "Transcoders of one layer each can be opened.",
        )
    return int(at[1]), at[2], to[2]


def _of_layer(path: Path, config: Mapping[str, Any]) -> OfLayer:
    called = path.parent.name
    for key, allowed in _MUST_BE.items():
        value = _said(config, key)
        if value not in allowed:
            raise DictionaryError(
                f"{called} has {key} {value!r}, which figures of its units would not include.",
                "Fold it into the weights first (SAELens has methods for it), or open another dictionary.",
            )
    return OfLayer(
        file=path.with_name(_WEIGHTS),
        units_in_rows=False,
        activation=_activation(called, config),
        renamed={"topk_threshold": "threshold"},
        is_shifted=bool(_said(config, "apply_b_dec_to_input")),
    )


def _activation(called: str, config: Mapping[str, Any]) -> Activation:
    architecture = _said(config, "architecture") or "standard"
    kind = _ARCHITECTURES.get(architecture) if isinstance(architecture, str) else None
    function = _said(config, "activation_fn_str") or _said(config, "activation_fn")
    if kind == "relu" and function in ("topk", "topk-sae"):
        kind = "topk"
    elif function not in (None, "relu", "topk", "jumprelu"):
        raise DictionaryError(
            f"{called} has the activation function {function!r}.", "ReLU, JumpReLU and top-k are read."
        )
    if kind == "topk":
        arguments = _said(config, "activation_fn_kwargs")
        k = _said(config, "k") or (arguments.get("k") if isinstance(arguments, dict) else None)
        if type(k) is not int:
            raise DictionaryError(f"{called} does not say its k.", "Its cfg.json is not whole.")
        return Activation("topk", k)
    if kind == "relu":
        return Activation("relu")
    if kind == "threshold":
        return Activation("threshold")
    raise DictionaryError(
        f"{called} has the architecture {architecture!r}.",
        f"Of SAELens' architectures {', '.join(_ARCHITECTURES)} are read.",
    )
