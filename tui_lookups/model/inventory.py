"""Everything that a model folder holds and what became of it: its files, the keys of its config.json, its
tensors.

1. Files by their names: what is read, what is a further copy of it, what is not looked at; adapters, notes
   of quantisers and further weights are refused.
2. Keys (config_keys.py) and tensors (tensor_places.py). The model is built for it without weights.

The same judgements decide whether a folder is loaded (loading.py); here they are listed, also where the
model is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tui_lookups.errors import LookupsError
from tui_lookups.model.checkpoint import (
    ADAPTER_FILES,
    QUANTISER_FILES,
    file_names,
    is_copy,
    read_tensors,
    weight_files,
)
from tui_lookups.model.configuration import judge_keys, make_configuration, read_config
from tui_lookups.model.fates import (
    ADAPTER,
    OTHER_WEIGHTS,
    QUANTISED,
    UNKNOWN,
    Judged,
    applied,
    harmless,
    refused,
)
from tui_lookups.model.first_import import import_transformers
from tui_lookups.model.sources import DESCRIPTION
from tui_lookups.results.inventory import FileEntry


def judge_files(folder: Path) -> Iterator[Judged]:
    """What becomes of each file of a model folder."""
    read = weight_files(folder)
    for name in sorted(file_names(folder)):
        if folder / name in read:
            yield applied(name, "file", "weights")
        elif name in DESCRIPTION:
            yield applied(name, "file", "configuration" if name == "config.json" else "tokenizer")
        elif name in ADAPTER_FILES:
            yield refused(name, "file", ADAPTER)
        elif name in QUANTISER_FILES:
            yield refused(name, "file", QUANTISED)
        elif is_copy(name, read):
            yield harmless(name, "file", "a further copy of the weights, not read")
        elif name.endswith((".safetensors", ".safetensors.index.json")):
            yield refused(name, "file", OTHER_WEIGHTS)
        else:
            yield harmless(name, "file", "not read")


def folder_inventory(folder: Path, *, trust_remote_code: bool = False) -> tuple[FileEntry, ...]:
    """Every file, key and tensor of a model folder, and what becomes of it; also where that is a refusal.

    Raises ModelLoadError when config.json or a weight file cannot be read.
    """
    judged = [*judge_files(folder)]
    if (folder / "config.json").is_file():
        judged += _judge_inside(folder, trust_remote_code)
    return tuple(tensor.entry for tensor in judged)


def _judge_inside(folder: Path, trust_remote_code: bool) -> list[Judged]:
    from tui_lookups.model.tensor_places import judge_tensors

    config, stored = read_config(folder, folder.name), read_tensors(folder, folder.name)
    try:
        made = make_configuration(folder, config, folder.name, trust_remote_code)
    except LookupsError:
        return [
            *(refused(key, "key", UNKNOWN) for key in config),
            *(refused(name, "tensor", UNKNOWN) for name in stored),
        ]
    judged = [*judge_keys(config, made)]
    model = _without_weights(made, trust_remote_code)
    if model is None:
        return [*judged, *(refused(name, "tensor", UNKNOWN) for name in stored)]
    return [*judged, *judge_tensors(stored, model)]


def _without_weights(configuration: Any, trust_remote_code: bool) -> Any:
    """The model with its parameters on meta; None where transformers cannot make it."""
    import_transformers()
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    try:
        with init_empty_weights(include_buffers=False):
            model = AutoModelForCausalLM.from_config(configuration, trust_remote_code=trust_remote_code)
        model.tie_weights()  # parameters made within it are each one of their own
        return model
    except Exception:  # noqa: BLE001 - why it cannot is said where it is loaded
        return None
