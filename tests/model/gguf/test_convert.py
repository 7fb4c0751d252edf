"""The folder made of a .gguf file: once, whole or not at all, in bounded memory."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.model.gguf.conftest import Opened
from tests.model.gguf.files import Content, tiny
from tests.model.gguf.huggingface import write_gguf
from tui_lookups.errors import Cancelled, ModelLoadError
from tui_lookups.ids import NeuronId
from tui_lookups.model.gguf import convert
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import LocalModel, find_model
from tui_lookups.progress import Progress
from tui_lookups.storage.files import file_digest


def find(path: Path, cache: Path, **more: object) -> LocalModel:
    return find_model(str(path), cache_dir=cache, digest=file_digest, **more)  # type: ignore[arg-type]


def test_a_gguf_file_is_dequantised_once_and_is_the_same_model(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tiny_folder("llama"))
    said: list[str] = []
    found = find(path, tmp_path, say=said.append)
    assert said == ["de-quantising tiny.gguf (once): 0.1 MB in the cache, about 1 s"]
    again = find(path, tmp_path, say=said.append)
    assert again == found
    assert len(said) == 1

    ours = load_model(found.folder, name="gguf", source="", fingerprint="", device="cpu")
    theirs = load_model(tiny_folder("llama"), name="folder", source="", fingerprint="", device="cpu")
    ids = theirs.batch([[0, 5, 9, 17, 3, 44]])
    for layer in range(theirs.info.n_layers):
        for index in (0, theirs.info.d_mlp - 1):
            neuron = NeuronId(layer, index)
            first, second = (model.neuron_activations(ids, neuron).numpy() for model in (ours, theirs))
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_weights_are_those_of_the_folder_it_was_made_from(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    write_gguf(tmp_path / "tiny.gguf", tiny_folder("llama"))
    ours = load_file(find(tmp_path / "tiny.gguf", tmp_path).folder / "model.safetensors")
    theirs = load_file(tiny_folder("llama") / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_half_written_dequantised_copy_is_made_again(opened: Opened) -> None:
    content = tiny("llama")
    found = opened(content)
    (found.folder / "model.safetensors").write_bytes(b"short")
    assert opened(content) == found
    assert (found.folder / "model.safetensors").stat().st_size > 5


def test_a_copy_of_an_earlier_version_goes_when_ours_is_there(tmp_path: Path) -> None:
    """It may have been wrong in silence: tensors dropped, what the file lacked drawn at random."""
    path = tiny("llama").write(tmp_path / "tiny.gguf")
    old = convert._folder(tmp_path / "cache", convert._fingerprint(1, file_digest(path)))
    old.mkdir(parents=True)
    (old / "model.safetensors").write_bytes(b"whatever")
    said: list[str] = []
    for _ in range(2):
        assert find(path, tmp_path / "cache", say=said.append).folder != old
    assert not old.exists()
    assert [line for line in said if "earlier version" in line] == said[1:]


def test_a_disk_without_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny("llama").write(tmp_path / "tiny.gguf")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ModelLoadError, match=r"takes 0\.2 MB below .*, and 0\.0 MB are free"):
        find(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_progress_is_told_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_TOLD_FROM", 0)
    path = tiny("llama").write(tmp_path / "tiny.gguf")
    said: list[Progress | str] = []

    def stop() -> None:
        if len(said) > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        find(path, tmp_path / "cache", say=said.append, poll=stop)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    find(path, tmp_path / "cache", say=said.append)
    second = [each for each in said[4:] if isinstance(each, Progress)]
    assert second[-1].share == 1
    assert [each.done for each in second] == sorted({each.done for each in second})
    last = int(second[-1].note.split()[-1])
    assert [each.note for each in second][:: len(second) - 1] == [
        f"tensor 1 of {last}",
        f"tensor {last} of {last}",
    ]


def test_memory_is_for_a_few_portions_not_for_the_model(tmp_path: Path) -> None:
    content = tiny("llama")
    rows = 40_000
    for name in ("token_embd.weight", "output.weight"):
        content.tensors[name] = np.ones((rows, 32), np.float32)
        content.types[name] = "Q8_0"
    tokens = content.keys["tokenizer.ggml.tokens"]
    content.keys["tokenizer.ggml.tokens"] = tokens + [f"<more{i}>" for i in range(rows - len(tokens))]
    content.keys["tokenizer.ggml.token_type"] += [5] * (rows - len(tokens))
    path = content.write(tmp_path / "tiny.gguf")
    plan = convert.make_plan(path)
    tracemalloc.start()
    try:
        convert._write_weights(tmp_path / "weights", plan.weights, lambda *_: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "weights").stat().st_size > 10e6
    assert peak < 5e6, "one portion of 2^18 values, a few times over"


def test_nothing_is_left_to_defaults_that_the_file_gives(opened: Opened) -> None:
    config = json.loads((opened(tiny("llama")).folder / "config.json").read_text())
    assert (config["rms_norm_eps"], config["max_position_embeddings"]) == (np.float32(1e-5), 64)
    assert config["tie_word_embeddings"] is False


# --- split models ---


def write_split(content: Content, folder: Path, count: int = 3) -> list[Path]:
    """The files of a split model: metadata in the first, tensors in turn."""
    paths = []
    for number in range(count):
        names = list(content.tensors)[number::count]
        keys = content.keys if number == 0 else {"general.architecture": content.architecture}
        split = {"split.no": number, "split.count": count, "split.tensors.count": len(content.tensors)}
        part = Content({**keys, **split}, {name: content.tensors[name] for name in names})
        paths.append(part.write(folder / f"tiny-{number + 1:05}-of-{count:05}.gguf"))
    return paths


def test_all_files_of_a_split_model_are_read_whichever_is_named(tmp_path: Path) -> None:
    content = tiny("llama")
    paths = write_split(content, tmp_path)
    whole = find(content.write(tmp_path / "whole.gguf"), tmp_path / "cache")
    for path in paths[::2]:
        found = find(path, tmp_path / "cache")
        assert (found.folder / "model.safetensors").read_bytes() == (
            whole.folder / "model.safetensors"
        ).read_bytes()


def test_split_models_that_are_not_whole(tmp_path: Path) -> None:
    content = tiny("llama")
    first, second, third = write_split(content, tmp_path)
    third.rename(tmp_path / "hidden")
    with pytest.raises(ModelLoadError, match=r"tiny-00003-of-00003\.gguf is not beside it"):
        find(first, tmp_path / "cache")
    second.rename(third)
    (tmp_path / "hidden").rename(second)
    with pytest.raises(ModelLoadError, match=r"tiny-00002-of-00003\.gguf is not file 2 of 3"):
        find(first, tmp_path / "cache")
    with pytest.raises(
        ModelLoadError, match="one of several files of a split model, and its name does not say"
    ):
        find(first.rename(tmp_path / "alone.gguf"), tmp_path / "cache")
