"""circuit-tracer's layout: config.yaml beside layer_0.safetensors, layer_1.safetensors ...

1. config.yaml says what is read and written (`feature_input_hook`, `feature_output_hook`), and may say which
   activation it is; else thresholds in the files say that it is JumpReLU, and their absence ReLU.
2. W_enc is [d_sae, d_model], W_skip [d_model to, d_model from]. Thresholds let through what is above them
   even below 0, and so does top-k.
3. Of YAML only top-level `key: value` and lists of plain values are read: no more is needed, and no parser of
   YAML is (SECURITY.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tui_lookups.errors import DictionaryError
from tui_lookups.model.dictionaries.dictionary import Activation
from tui_lookups.model.dictionaries.layout import Described, OfLayer, in_order, read_text, reads, writes

_CONFIG = "config.yaml"
_LAYER_FILE = re.compile(r"layer_(\d+)\.safetensors", re.ASCII)
_KEY = re.compile(r"([A-Za-z_]\w*)\s*:(?:\s+(.*))?", re.ASCII)
_ITEM = re.compile(r"\s*-\s+(.*)")
_RENAMED = {"activation_function.threshold": "threshold"}


def files(folder: Path) -> list[Path]:
    """What of a folder is read."""
    if not (folder / _CONFIG).is_file():
        return []
    return [folder / _CONFIG, *sorted(path for path in folder.iterdir() if _LAYER_FILE.fullmatch(path.name))]


def describe(folder: Path, found: Sequence[Path]) -> Described:
    """What config.yaml says of the files beside it. Raises DictionaryError."""
    config = read_config(read_text(folder / _CONFIG), folder.name)
    kind = config.get("model_kind", "transcoder_set")
    if kind != "transcoder_set":
        raise DictionaryError(
            f"{folder.name} is of the kind {kind}, whose units read one layer and write several.",
            "Transcoders of one layer each can be opened: a transcoder_set.",
        )
    weights = [
        (int(match[1]), path) for path in found if (match := _LAYER_FILE.fullmatch(path.name)) is not None
    ]
    if not weights:
        elsewhere = " beside the list of files in it" if "transcoders" in config else ""
        raise DictionaryError(
            f"{folder.name} has a config.yaml, and no layer_0.safetensors{elsewhere}.",
            "Put the files of all layers there, as circuit-tracer's cache has them.",
        )
    activation = _activation(folder.name, config)
    return Described(
        reads(config.get("feature_input_hook"), folder.name),
        writes(config.get("feature_output_hook"), folder.name),
        tuple(
            OfLayer(path, True, activation, _RENAMED, rectified=False) for path in in_order(weights, folder)
        ),
    )


def _activation(called: str, config: Mapping[str, str]) -> Activation | None:
    named = config.get("activation", "")
    if named == "topk":
        if not config.get("k", "").isdecimal():
            raise DictionaryError(f"{called} does not say its k.", "Its config.yaml is not whole.")
        return Activation("topk", int(config["k"]), rectified=False)
    if named in ("", "relu", "jumprelu", "jump_relu"):
        return Activation("relu") if named == "relu" else None
    raise DictionaryError(f"{called} has the activation {named!r}.", "ReLU, JumpReLU and top-k are read.")


def read_config(text: str, called: str) -> dict[str, str]:
    """The top-level keys of a YAML file; "" where what follows is not plain. Raises DictionaryError."""
    entries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith(("#", "---")) or line[0].isspace() or _ITEM.fullmatch(line):
            continue
        match = _KEY.fullmatch(bare)
        if match is None:
            raise DictionaryError(
                f"Line {number} of config.yaml in {called} is not of the form key: value.",
                "Write its top level as plain keys and values.",
            )
        entries[match[1]] = _plain(match[2] or "")
    return entries


def _plain(value: str) -> str:
    if value[:1] in "\"'" and value[:1]:
        return value[1:].partition(value[0])[0]
    bare = value.partition(" #")[0].strip()
    return "" if bare in ("null", "~") or bare.startswith("#") else bare
