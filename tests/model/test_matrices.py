"""The matrices of the files are those of the loaded model, for every family whose names are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.model.test_file_weights import opened
from tests.tiny_models import ALIKE, FURTHER, RECIPES
from tui_lookups.model.families import FAMILIES
from tui_lookups.model.loaded_matrices import LoadedMatrices
from tui_lookups.model.matrices import READ_NAMES, FileMatrices, row_blocks
from tui_lookups.model.points import Point
from tui_lookups.model.tensor_files import NotInFilesError

TINY = {**RECIPES, **FURTHER, **{name: ALIKE[name] for name in ("openai-gpt", "opt_post_ln")}}
KNOWN = [name for name in TINY if name in READ_NAMES or name.startswith("gpt_neox")]
"""By the names of the tiny models: there are two of GPT-NeoX."""


def test_every_family_that_is_named_is_supported_and_tried() -> None:
    assert READ_NAMES.keys() <= FAMILIES.keys()
    assert READ_NAMES.keys() - {"gpt_neox"} <= TINY.keys()


def test_another_family_has_to_be_loaded(tiny_folder) -> None:
    with pytest.raises(NotInFilesError, match="once it is loaded"):
        FileMatrices(opened(tiny_folder("bloom")))


@pytest.mark.parametrize("name", KNOWN)
def test_files_and_loaded_model_read_and_write_alike(tiny_folder, tiny_model, name: str) -> None:
    model = tiny_model(name)
    files, loaded = FileMatrices(opened(tiny_folder(name))), LoadedMatrices(model)
    for layer in range(model.info.n_layers):
        for mine, theirs in zip(files.reads(layer), loaded.reads(layer), strict=True):
            assert mine.shape == (model.info.d_mlp, model.info.d_model)
            assert np.abs(mine - theirs).max() < 1e-6
        assert np.array_equal(files.heads(layer)["W_O"], loaded.heads(layer)["W_O"])
    assert len(files.reads(0)) == 1 + model.info.gated


@pytest.mark.parametrize("name", KNOWN)
def test_a_head_reads_its_value_with_W_V(tiny_folder, tiny_model, name: str) -> None:
    """At position 0 a head reads nothing but its own value: z there, of two tokens, differs by W_V alone."""
    folder, model = tiny_folder(name), tiny_model(name)
    rows = model.batch([[7], [66]])
    first, z = Point("resid_pre"), Point("z", 0)
    seen = model.capture(rows, torch.zeros(2, dtype=torch.int64), [first, z], stop_after=0)
    norm = model.wiring.blocks[0].norms.get("ln1")
    stream = seen[first] if norm is None else norm.apply(seen[first])
    values = FileMatrices(opened(folder)).heads(0)["W_V"]
    repeated = torch.from_numpy(np.ascontiguousarray(values)).repeat_interleave(
        model.info.n_heads // len(values), 0
    )
    expected = torch.einsum("hdm,m->hd", repeated, stream[1] - stream[0])
    assert torch.allclose(seen[z][1] - seen[z][0], expected, atol=1e-5)


def test_queries_and_keys_of_one_module_are_told_apart(tiny_folder) -> None:
    """As transformers cuts them: of GPT-2 queries, keys and values of all heads, of GPT-NeoX of each head."""
    from safetensors.torch import load_file

    gpt2, neox = (tiny_folder(name) for name in ("gpt2", "gpt_neox_sequential"))
    fused = load_file(gpt2 / "model.safetensors")["transformer.h.1.attn.c_attn.weight"]
    for name, columns in zip(("W_Q", "W_K", "W_V"), fused.split(16, dim=1), strict=True):
        assert np.array_equal(FileMatrices(opened(gpt2)).heads(1)[name], columns.T.reshape(4, 4, 16).numpy())
    fused = load_file(neox / "model.safetensors")["gpt_neox.layers.1.attention.query_key_value.weight"]
    by_head = fused.view(4, 12, 16)
    for place, name in enumerate(("W_Q", "W_K", "W_V")):
        own = by_head[:, 4 * place : 4 * (place + 1)]
        assert np.array_equal(FileMatrices(opened(neox)).heads(1)[name], own.numpy())


def test_tensors_are_named_and_read_alike(tiny_folder, tiny_model) -> None:
    files, loaded = FileMatrices(opened(tiny_folder("llama"))), LoadedMatrices(tiny_model("llama"))
    assert files.shapes()["layers.1.mlp.up_proj.weight"] == (28, 16)
    assert set(files.shapes()) == {name.removeprefix("model.") for name in loaded.shapes()}
    for name, shape in files.shapes().items():
        whole = np.concatenate(list(files.blocks(name)))
        assert whole.shape == shape
        assert np.array_equal(whole, np.concatenate(list(loaded.blocks(_loaded(loaded, name)))))


def _loaded(loaded: LoadedMatrices, name: str) -> str:
    return name if name in loaded.shapes() else f"model.{name}"


def test_blocks_cover_a_tensor_once() -> None:
    assert list(row_blocks((5, 10), 20)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert list(row_blocks((3,), 2)) == [slice(0, 2), slice(2, 4)]
    assert list(row_blocks((2, 100), 20)) == [slice(0, 1), slice(1, 2)]
    assert list(row_blocks((), 20)) == []
