"""Work without the memory for it (a child under RLIMIT_AS): one sentence, or smaller pieces."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.errors import LookupsError
from tui_lookups.model.loading import load_model

pytestmark = processes.needs_fork

MEGABYTE = 1 << 20


def heavy_model(folder: Path, target: Path) -> Path:
    """A tiny model with an embedding of 64 MB, in config and file."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    rows = 64 * MEGABYTE // (4 * config["n_embd"])
    (target / "config.json").write_text(json.dumps({**config, "vocab_size": rows}))
    weights = load_file(target / "model.safetensors")
    embedding = torch.zeros(rows, config["n_embd"])
    embedding[: config["vocab_size"]] = weights["transformer.wte.weight"]
    save_file(
        {**weights, "transformer.wte.weight": embedding}, target / "model.safetensors", {"format": "pt"}
    )
    return target


@pytest.mark.parametrize("megabytes", [8, 80, 120])
def test_a_model_that_does_not_fit(
    tiny_folder: Callable[[str], Path], tmp_path: Path, megabytes: int
) -> None:
    # The file is mapped and its weights are copied once: 128 MB, which no memory freed before can serve.
    folder = heavy_model(tiny_folder("gpt2"), tmp_path / "m")
    load_model(tiny_folder("gpt2"), name="m", source="", fingerprint="", device="cpu")  # libraries in place

    def work() -> list[str]:
        processes.limit_memory(megabytes * MEGABYTE)
        try:
            load_model(folder, name="m", source="", fingerprint="f", device="cpu")
        except LookupsError as error:
            processes.unlimited()
            return [type(error).__name__, error.message]
        return ["loaded", ""]

    with tried(Row.MEMORY):
        kind, sentence = processes.answer_of(work, tmp_path / "child")
        assert (kind, "not enough memory" in sentence) == ("ModelLoadError", True), sentence


def test_batches_that_do_not_fit_are_cut(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """A scan in batches of a size the memory does not hold gives what smaller ones give."""
    corpus = scenes.write_corpus(tmp_path / "texts.txt", 4000)
    small = Scene(scene.model, corpus, tmp_path / "cache", {})

    def prompts(cache: Path, batch: int, memory: int | None) -> Callable[[], list[int]]:
        def work() -> list[int]:
            explorer = small.explorer(cache, batch_tokens=batch)
            explorer.corpus_info()
            explorer.activations(NEURON, "the cat")
            if memory is not None:
                processes.limit_memory(memory)
            try:
                found = explorer.prompts(NEURON, top=scenes.TOP)
            finally:
                processes.unlimited()
                explorer.close()
            return [prompt.prompt_id for prompt in found.prompts]

        return work

    right = processes.answer_of(prompts(tmp_path / "a", 2048, None), tmp_path / "child")
    with tried(Row.MEMORY):
        assert (
            processes.answer_of(prompts(tmp_path / "b", 60_000, 48 * MEGABYTE), tmp_path / "child") == right
        )
