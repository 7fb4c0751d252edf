"""Which files hold the weights: all of them, each once, or a sentence that names what is amiss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tui_lookups.errors import ModelLoadError
from tui_lookups.model import hub
from tui_lookups.model.checkpoint import read_tensors, require_weights, weight_files
from tui_lookups.model.inventory import folder_inventory
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import find_model, folder_fingerprint
from tui_lookups.storage.files import file_digest

SHARDS = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(copied: Callable[..., Path]) -> Path:
    """The tiny Llama in three shards with an index."""
    folder = copied()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: SHARDS[number % 3] for number, name in enumerate(sorted(weights))}
    for shard in SHARDS:
        held = {name: weights[name] for name in weights if where[name] == shard}
        save_file(held, folder / shard, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def refusal(folder: Path) -> ModelLoadError:
    """Both where a model is looked for and where it is loaded."""
    with pytest.raises(ModelLoadError) as found:
        folder_fingerprint(folder, file_digest)
    with pytest.raises(ModelLoadError) as loaded:
        load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")
    assert found.value.message == loaded.value.message
    assert found.value.hint
    return found.value


def test_the_tensors_of_all_shards(sharded: Path, tiny_folder: Callable[[str], Path]) -> None:
    whole, shards = read_tensors(tiny_folder("llama"), "m"), read_tensors(sharded, "m")
    assert {n: (t.dtype, t.shape) for n, t in whole.items()} == {
        n: (t.dtype, t.shape) for n, t in shards.items()
    }
    assert [path.name for path in weight_files(sharded)] == [INDEX, *SHARDS]
    load_model(sharded, name="tiny", source="", fingerprint="f", device="cpu")


def test_a_shard_that_is_not_there(sharded: Path) -> None:
    (sharded / SHARDS[1]).unlink()
    assert SHARDS[1] in refusal(sharded).message


def test_shards_without_an_index(sharded: Path) -> None:
    (sharded / INDEX).unlink()
    assert f"no {INDEX}" in refusal(sharded).message
    for shard in SHARDS[1:]:
        (sharded / shard).unlink()
    message = refusal(sharded).message
    assert f"lacks {SHARDS[1]} and 1 more shards" in message


def test_a_whole_file_beside_shards(sharded: Path, tiny_folder: Callable[[str], Path]) -> None:
    shutil.copy(tiny_folder("llama") / "model.safetensors", sharded)
    message = refusal(sharded).message
    assert "model.safetensors and, beside it, shards model-*-of-00003.safetensors" in message


def test_a_tensor_in_two_shards(sharded: Path) -> None:
    first = load_file(sharded / SHARDS[0])
    name, values = next(iter(first.items()))
    second = {**load_file(sharded / SHARDS[1]), name: values + 1}
    save_file(second, sharded / SHARDS[1], metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=f"{name} twice: in {SHARDS[0]} and {SHARDS[1]}"):
        read_tensors(sharded, "tiny")


def test_a_tensor_that_only_the_index_has(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.layers.7.mlp.up_proj.weight"] = SHARDS[0]
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match=r"no shard holds model\.layers\.7"):
        load_model(sharded, name="tiny", source="", fingerprint="f", device="cpu")


@pytest.mark.parametrize("name", ["extra.safetensors", "value_head.safetensors", "model2.safetensors"])
def test_further_weights_are_not_ignored(copied: Callable[..., Path], name: str) -> None:
    folder = copied()
    shutil.copy(folder / "model.safetensors", folder / name)
    with pytest.raises(ModelLoadError, match=f"holds {name} beside the weights that are read"):
        load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")


@pytest.mark.parametrize(
    "name", ["consolidated.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "tiny-Q4.gguf"]
)
def test_a_further_copy_of_the_weights_is_listed(copied: Callable[..., Path], name: str) -> None:
    folder = copied()
    before = folder_fingerprint(folder, file_digest)
    (folder / name).write_bytes(b"copy")
    load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")
    (entry,) = (entry for entry in folder_inventory(folder) if entry.name == name)
    assert (entry.fate, entry.note) == ("harmless", "a further copy of the weights, not read")
    assert folder_fingerprint(folder, file_digest) == before, "what is not read is no part of the model"


def test_an_adapter_alone(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelLoadError, match="without the model that it adapts") as caught:
        find_model(str(tmp_path), cache_dir=tmp_path / "cache", digest=file_digest)
    assert "merge_and_unload" in caught.value.hint


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="has no weights"):
        require_weights(tmp_path)


def test_a_hub_cache_that_names_no_current_snapshot(
    tmp_path: Path, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "hub_folder", lambda *_, **__: None)
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "0123abcd"
    shutil.copytree(tiny_folder("llama"), snapshot)
    with pytest.raises(ModelLoadError, match="refs/main") as caught:
        find_model("someone/tiny", cache_dir=tmp_path / "cache", digest=file_digest, offline=True)
    assert str(snapshot) in caught.value.hint
    assert find_model(str(snapshot), cache_dir=tmp_path / "cache", digest=file_digest).folder == snapshot
