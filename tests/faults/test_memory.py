"""Work without the memory for it (a new child under a limit): one sentence, or smaller pieces."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.errors import LookupsError, UnavailableError
from tui_lookups.ids import NeuronId
from tui_lookups.model.loading import load_model
from tui_lookups.storage import arrays

pytestmark = processes.needs_fork

MEGABYTE = 1 << 20
LITTLE = 24 * MEGABYTE
UNASKED = NeuronId(0, 5)


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


def load_within(more: int, folder: Path, tiny: Path) -> list[str]:
    """What becomes of a model where `more` bytes can be mapped: the error and its sentence, or "loaded"."""
    load_model(tiny, name="m", source="", fingerprint="", device="cpu")  # libraries in place
    processes.limit_memory(more)
    try:
        load_model(folder, name="m", source="", fingerprint="f", device="cpu")
    except LookupsError as error:
        processes.unlimited()
        return [type(error).__name__, error.message]
    return ["loaded", ""]


@pytest.mark.parametrize("megabytes", [8, 80, 120])
def test_a_model_that_does_not_fit(
    tiny_folder: Callable[[str], Path], tmp_path: Path, megabytes: int
) -> None:
    # The file is mapped and its weights are copied once: 128 MB, which no memory freed before can serve.
    folder = heavy_model(tiny_folder("gpt2"), tmp_path / "m")
    with tried(Row.MEMORY):
        kind, sentence = processes.answer_anew(load_within, megabytes * MEGABYTE, folder, tiny_folder("gpt2"))
        told = "not enough memory" in sentence or "of memory are free on cpu" in sentence
        assert (kind, told) == ("ModelLoadError", True), sentence


def prompts_within(memory: int | None, scene: Scene, cache: Path, batch: int) -> list[Any]:
    """The top prompts of a scan in batches of this size, and what they were cut to."""
    explorer = scene.explorer(cache, batch_tokens=batch)
    explorer.corpus_info()
    explorer.activations(NEURON, "the cat")
    if memory is not None:
        explorer._engine.on_model(lambda *_: processes.leave_memory(memory))
    try:
        found = explorer.prompts(NEURON, top=scenes.TOP)
    finally:
        processes.unlimited()
        explorer.close()
    index = explorer._scan.index()
    assert index is not None
    return [[prompt.prompt_id for prompt in found.prompts], index.manifest.cut_to]


def test_batches_that_do_not_fit_are_cut(scene: Scene, tmp_path: Path) -> None:
    """A scan in batches of a size the memory does not hold gives what smaller ones give."""
    corpus = scenes.write_corpus(tmp_path / "texts.txt", 4000)
    small = Scene(scene.model, corpus, tmp_path / "cache", {})
    right, cut_to = processes.answer_anew(prompts_within, None, small, tmp_path / "a", 2048)
    assert cut_to == 0
    with tried(Row.MEMORY):
        found, cut_to = processes.answer_anew(prompts_within, LITTLE, small, tmp_path / "b", 60_000)
        assert found == right
        assert 0 < cut_to < 60_000, "the memory was enough"


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.EACCES], ids=errno.errorcode.get)
def test_an_index_that_cannot_be_mapped_now_is_not_dropped(
    scene: Scene, tmp_path: Path, once_loaded: None, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Want of memory, of files or of permission is no damage: hours of scanning stay where they are."""
    cache = scene.copied(tmp_path / "cache")
    before = sorted(cache.glob("indexes/*/*")), sorted(cache.glob("corpora/*/*"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    explorer = scene.explorer(cache)
    try:
        with monkeypatch.context() as patch, tried(Row.MEMORY):
            patch.setattr(arrays.np, "load", refuse)
            with pytest.raises(UnavailableError, match="could not be read"):
                explorer.prompts(UNASKED, top=2)
        assert (sorted(cache.glob("indexes/*/*")), sorted(cache.glob("corpora/*/*"))) == before
        assert len(explorer.prompts(UNASKED, top=2).prompts) == 2
        assert sorted(cache.glob("indexes/*/*")) == before[0], "it was scanned again"
    finally:
        explorer.close()
