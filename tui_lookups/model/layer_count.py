"""How many layers a named model has, by its description alone: no weight is read and no network asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tui_lookups.errors import ModelLoadError
from tui_lookups.home import expanded
from tui_lookups.model.configuration import LAYER_COUNTS, read_config
from tui_lookups.model.sources import demo_folder, is_hub_name


def layer_count(spec: str, cache_dir: Path) -> int | None:
    """The layers of what `--model` names; None where its description is not on this machine, or damaged."""
    path = demo_folder() if spec == "demo" else expanded(spec)
    try:
        if spec == "smollm2":
            from tui_lookups.model.smollm2 import fetched_path

            path = fetched_path(cache_dir)
        elif not path.exists() and is_hub_name(spec):
            from tui_lookups.model.hub import hub_folder

            folder = hub_folder(spec, ("config.json",), (), local_only=True)
            return None if folder is None else _of_config(read_config(folder, spec))
        return _of_file(path) if path.is_file() else _of_config(read_config(path, spec))
    except (ModelLoadError, OSError):
        return None


def _of_file(path: Path) -> int | None:
    from tui_lookups.model.gguf.header import read_header

    metadata = read_header(path).metadata
    return _count(metadata.get(f"{metadata.get('general.architecture')}.block_count"))


def _of_config(config: dict[str, Any]) -> int | None:
    """A model of texts and images has the configuration of its language model inside its own."""
    text = config.get("text_config")
    config = text if isinstance(text, dict) else config
    return next((count for key in LAYER_COUNTS if (count := _count(config.get(key)))), None)


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
