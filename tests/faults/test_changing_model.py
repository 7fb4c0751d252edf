"""The files of a model change while the app runs: answers stay with what was loaded, under its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tests.model.gguf.huggingface import write_gguf
from tui_lookups.errors import ModelLoadError
from tui_lookups.model import loading
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import find_model
from tui_lookups.storage.files import file_digest


@pytest.fixture
def moving(scene: Scene, tmp_path: Path) -> Scene:
    """A scene whose model folder is a copy that may be changed, with a cache of its own."""
    folder = Path(shutil.copytree(scene.model, tmp_path / "model"))
    return Scene(folder, scene.corpus, tmp_path / "cache", scene.answers)


def other_weights(folder: Path) -> bytes:
    """The bytes of a weight file of the same names and shapes with other numbers."""
    weights = load_file(folder / "model.safetensors")
    changed = {name: values.flip(0).contiguous() * 1.5 for name, values in weights.items()}
    path = folder.parent / "other.safetensors"
    save_file(changed, path, metadata={"format": "pt"})
    return path.read_bytes()


def overwrite(path: Path, data: bytes) -> None:
    """In place: the file, and a mapping of it, change together."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        os.fsync(file.fileno())


@pytest.mark.parametrize("name", ["gpt2", "llama", "olmo"])
@pytest.mark.parametrize("folded", [True, False])
def test_weights_written_over_in_place_do_not_reach_a_loaded_model(
    tiny_folder: Callable[[str], Path], tmp_path: Path, name: str, folded: bool
) -> None:
    """transformers maps the file: without a copy answers would change, and a shorter file would be fatal."""
    folder = Path(shutil.copytree(tiny_folder(name), tmp_path / name))
    model = load_model(folder, name=name, source="", fingerprint="f", device="cpu", folded=folded)
    ids = model.batch([[1, 5, 9, 17]])
    eye = np.eye(model.info.d_model)

    def answers() -> list[torch.Tensor]:
        congruences = torch.from_numpy(model.congruences(eye))
        return [congruences, model.W_out(0), model.neuron_activations(ids, NEURON)]

    before = [values.clone() for values in answers()]
    path = folder / "model.safetensors"
    with tried(Row.CHANGING):
        overwrite(path, b"\0" * path.stat().st_size)
        after = answers()
        assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
        assert str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
        overwrite(path, b"")
        assert torch.equal(model.neuron_activations(ids, NEURON), before[2])


def test_answers_after_a_change_are_of_the_loaded_model_and_later_runs_know_the_new_one(
    moving: Scene, tmp_path: Path
) -> None:
    other = other_weights(moving.model)
    running = moving.explorer(moving.cache)
    try:
        first = running.activations(NEURON, "the cat")
        overwrite(moving.model / "model.safetensors", other)
        with tried(Row.CHANGING):
            late = running.activations(NEURON, "the cat sat because")
            assert np.allclose(late.activations[: len(first.activations)], first.activations, atol=1e-5)
            assert running.model_info().fingerprint == first.provenance.model.fingerprint
    finally:
        running.close()
    fresh = moving.explorer(moving.cache)
    try:
        with tried(Row.CHANGING):
            again = fresh.activations(NEURON, "the cat sat because")
            assert again.provenance.model.fingerprint != late.provenance.model.fingerprint
            assert not np.allclose(again.activations, late.activations)
    finally:
        fresh.close()


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json", "config.json"])
def test_files_that_change_while_they_are_loaded_are_refused(
    moving: Scene, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """What was loaded may be neither the old nor the new; nothing may be kept under either name."""
    real = loading.load_model
    path = moving.model / changed
    content = other_weights(moving.model) if changed == "model.safetensors" else path.read_bytes() + b"\n"

    def swap(folder: Path, **given: object) -> object:
        overwrite(path, content)
        return real(folder, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "load_model", swap)
    explorer = moving.explorer(moving.cache)
    try:
        with tried(Row.CHANGING), pytest.raises(ModelLoadError, match="changed while"):
            explorer.activations(NEURON, "the cat")
        assert explorer.cache_info().entries == 0 or "activations" not in explorer.cache_info().sizes
    finally:
        explorer.close()


@pytest.mark.parametrize("how", ["cut short", "written over"])
def test_an_atlas_ends_in_a_sentence_and_keeps_no_layer_of_a_changed_file(moving: Scene, how: str) -> None:
    """Read from the files alone, block by block: the layers before the change stay, and are right."""
    path = moving.model / "model.safetensors"
    whole, other = path.read_bytes(), other_weights(moving.model)

    def change(done: int, layers: int) -> None:
        if done == 1:
            overwrite(path, whole[:2000] if how == "cut short" else other)

    explorer = moving.explorer(moving.cache)
    try:
        with tried(Row.CHANGING), pytest.raises(ModelLoadError, match=r"cut short|changed while it was read"):
            explorer.atlas(per_layer=2, read=change)
    finally:
        explorer.close()
    overwrite(path, whole)
    again = moving.explorer(moving.cache)
    try:
        with tried(Row.CHANGING):
            atlas = scenes.plain(again.atlas(per_layer=2))
            assert atlas["layers"] == moving.answers["atlas"]["layers"]
    finally:
        again.close()


def test_a_damaged_dequantised_copy_is_made_again(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    """Its fingerprint is that of the .gguf file, which one byte more or less in the copy does not change."""
    write_gguf(tmp_path / "tiny.gguf", tiny_folder("llama"))
    said: list[str] = []

    def find() -> Path:
        where = {"cache_dir": tmp_path / "cache", "digest": file_digest, "say": said.append}
        return find_model(str(tmp_path / "tiny.gguf"), **where).folder  # type: ignore[arg-type]

    folder = find()
    right = {path.name: path.read_bytes() for path in folder.iterdir()}
    for count, name in enumerate(sorted(right), 2):
        data = bytearray(right[name])
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
        with tried(Row.BYTES):
            assert find() == folder
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == right
            assert len(said) == count, name
    (folder / "model.safetensors.index.json").write_text("{}")  # a stranger among the files
    find()
    assert {path.name for path in folder.iterdir()} == set(right)


def test_questions_of_the_scene_stay_answered_without_the_folder(moving: Scene, once_loaded: None) -> None:
    """The folder is removed under the running app."""
    explorer = moving.explorer(moving.cache)
    try:
        explorer.prompts(NEURON, top=2)
        shutil.rmtree(moving.model)
        with tried(Row.CHANGING):
            found = scenes.plain(explorer.prompts(NEURON, top=scenes.TOP))
            right = moving.answers["prompts"]
            assert [p["prompt_id"] for p in found["prompts"]] == [p["prompt_id"] for p in right["prompts"]]
    finally:
        explorer.close()
