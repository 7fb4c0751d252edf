"""What the layouts of dictionaries share: what a folder says of its transcoders, and opening them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_lookups.errors import DictionaryError
from tui_lookups.model.dictionaries.dictionary import Activation, Reads, Transcoder, Writes
from tui_lookups.model.tensor_files import NotInFilesError, TensorFiles
from tui_lookups.storage.files import reason

NEEDED = ("W_enc", "b_enc", "W_dec", "b_dec")

_READS: Mapping[str, Reads] = {"mlp.hook_in": "mlp.hook_in", "ln2.hook_normalized": "ln2.hook_normalized"}
_WRITES: Mapping[str, Writes] = {"mlp.hook_out": "mlp.hook_out", "hook_mlp_out": "hook_mlp_out"}
_BEFORE_THE_NORM = ("hook_resid_mid", "hook_resid_pre", "hook_mlp_in")


@dataclass(frozen=True, slots=True)
class OfLayer:
    """What a layout says of one layer's transcoder; its tensors have the names of `Transcoder`'s roles, or
    those in `renamed`."""

    file: Path
    units_in_rows: bool
    activation: Activation | None
    renamed: Mapping[str, str]
    is_shifted: bool = False
    rectified: bool = True
    """Where `activation` is None, the file's thresholds, or their absence, decide."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a layout says of a folder, layer by layer."""

    reads: Reads
    writes: Writes
    layers: tuple[OfLayer, ...]

    def open(self, dtype: str) -> tuple[Transcoder, ...]:
        """The transcoders. Raises DictionaryError."""
        return tuple(_open(layer, dtype) for layer in self.layers)


def _open(said: OfLayer, dtype: str) -> Transcoder:
    called = f"{said.file.parent.name}/{said.file.name}"
    try:
        files = TensorFiles([said.file], dtype)
        roles = {said.renamed.get(name, name): name for name in files.tensors}
        for name in files.tensors:
            files.require_numbers(name)
    except NotInFilesError as error:
        raise DictionaryError(
            f"{called} cannot be read: {error}.", "Write it in float32, float16 or bfloat16."
        ) from error
    missing = [name for name in NEEDED if name not in roles]
    if missing:
        raise DictionaryError(f"{called} has no {missing[0]}.", "Fetch it again.")
    is_logarithmic = "log_threshold" in roles
    if is_logarithmic:
        roles["threshold"] = roles.pop("log_threshold")
    k = roles.pop("k", None)
    activation = said.activation
    if activation is None:
        of_file = Activation("threshold", rectified=said.rectified)
        activation = of_file if "threshold" in roles else Activation("relu")
    if (activation.kind == "threshold") != ("threshold" in roles):
        wrong = "has no thresholds" if activation.kind == "threshold" else "has thresholds"
        raise DictionaryError(
            f"{called} {wrong}, and its configuration says that its activation is {activation.label}.",
            "Its configuration and its weights do not belong together.",
        )
    if k is not None and activation.kind == "topk" and int(files.scalar(k)) != activation.k:
        raise DictionaryError(
            f"{called} was made with k = {int(files.scalar(k))}, and its configuration says {activation.k}.",
            "Its configuration and its weights do not belong together.",
        )
    strange = sorted(set(roles) - {*NEEDED, "threshold", "W_skip"})
    if strange:
        raise DictionaryError(
            f"{called} holds {roles[strange[0]]}, which no transcoder that is read here has.",
            "Linear encoders with ReLU, JumpReLU or top-k, and skips, are read.",
        )
    transcoder = Transcoder(
        called, files, roles, said.units_in_rows, activation, said.is_shifted, is_logarithmic
    )
    transcoder.require_shapes()
    return transcoder


def reads(point: object, called: str) -> Reads:
    """What a transcoder that is said to read at a hook point reads. Raises DictionaryError for another."""
    if point in _READS:
        return _READS[str(point)]
    why = "the residual stream before the norm" if point in _BEFORE_THE_NORM else "another place"
    raise DictionaryError(
        f"{called} reads {point}, {why}; units take the place of neurons only where they read what the MLP "
        "reads.",
        f"Dictionaries that read {' or '.join(_READS)} can be opened.",
    )


def writes(point: object, called: str) -> Writes:
    """What a transcoder that is said to write at a hook point writes. Raises DictionaryError for another."""
    if point in _WRITES:
        return _WRITES[str(point)]
    raise DictionaryError(
        f"{called} writes {point}, and not what the MLP writes.",
        f"Dictionaries that write {' or '.join(_WRITES)} can be opened.",
    )


def read_text(path: Path) -> str:
    """Raises DictionaryError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DictionaryError(f"{path} cannot be read: {reason(error)}.", "Fetch it again.") from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises DictionaryError."""
    try:
        parsed = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DictionaryError(f"{path} is damaged: it is no JSON.", "Fetch it again.") from error
    if not isinstance(parsed, dict):
        raise DictionaryError(f"{path} is damaged: it is no object.", "Fetch it again.")
    return parsed


def in_order(found: Sequence[tuple[int, Path]], folder: Path) -> list[Path]:
    """Files by layer, one for each layer from 0. Raises DictionaryError."""
    by_layer: dict[int, Path] = {}
    for layer, path in found:
        if layer in by_layer:
            both = f"{by_layer[layer].relative_to(folder)} and {path.relative_to(folder)}"
            raise DictionaryError(
                f"{folder.name} has two transcoders for layer {layer}: {both}.",
                "Point --units at a folder with one for each layer.",
            )
        by_layer[layer] = path
    missing = next((layer for layer in range(max(by_layer) + 1) if layer not in by_layer), None)
    if missing is not None:
        raise DictionaryError(
            f"{folder.name} has no transcoder for layer {missing}.", "Every layer of the model needs one."
        )
    return [by_layer[layer] for layer in sorted(by_layer)]
