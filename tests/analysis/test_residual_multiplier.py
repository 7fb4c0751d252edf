"""A model that scales everything its blocks write (Granite), against the Hugging Face model.

Everything is found by trying: what a head or a neuron adds is what the residual stream lacks without it, so
that no multiplier enters the expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import reference_huggingface, tiny_models
from tests.reference_huggingface import HeldNorm, HuggingFaceReference
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.congruence import score_neurons
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel

MULTIPLIER, POSITION = 0.3, 13
ROW = torch.randint(3, 290, (16,), generator=torch.Generator().manual_seed(2)).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> Path:
    arguments = {
        **tiny_models.RECIPES["llama"].arguments, "residual_multiplier": MULTIPLIER, "logits_scaling": 1.0,
        "embedding_multiplier": 1.7, "attention_multiplier": 0.6,
    }  # fmt: skip
    path = tmp_path_factory.mktemp("granite")
    tiny_models.save_recipe(tiny_models.Recipe("GraniteConfig", arguments, sentencepiece=True), path)
    return path


@pytest.fixture(scope="module")
def load(folder: Path) -> Callable[[str], LookupModel]:
    return lambda dtype: load_model(
        folder, name="granite", source="s", fingerprint="f", device="cpu", dtype=dtype
    )


@pytest.fixture(scope="module")
def model(load: Callable[[str], LookupModel]) -> LookupModel:
    return load("float64")


@pytest.fixture(scope="module")
def hf(folder: Path) -> HuggingFaceReference:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            reference_huggingface.FAMILY_NAMES, "granite", reference_huggingface.FAMILY_NAMES["llama"]
        )
        return HuggingFaceReference(folder)


def test_every_neuron_closes(load, model) -> None:
    assert model.wiring.residual_multiplier == MULTIPLIER
    for loaded, bound in ((model, 1e-10), (load("float32"), 1e-4)):
        for layer in range(3):
            head = HeadId(layer, 2)
            for index in range(0, loaded.info.d_mlp, 9):
                found = decompose(loaded, NeuronId(layer, index), [ROW], [POSITION], source_head=head)[0]
                assert abs(found.remainder) <= bound * found.scale
                whole = found.heads[layer, 2]
                assert found.sources.sum() == pytest.approx(whole, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_heads_figure_is_what_the_stream_lacks_without_it(model, hf, layer: int) -> None:
    """Own-layer heads: what the MLP's norm reads, with the head's slice of z silenced, and without."""
    norm, out = hf.part(layer, "post_attention_layernorm"), hf.part(layer, "self_attn.o_proj")
    gate, up = hf.part(layer, "mlp.gate_proj"), hf.part(layer, "mlp.up_proj")
    row = torch.tensor([ROW])
    clean = hf.capture(row, {"x": (norm, "in")})[0]["x"][0, POSITION]
    with torch.no_grad():
        held = HeldNorm(norm, clean[None])
    for head in range(4):

        def silence(z: torch.Tensor, head: int = head) -> torch.Tensor:
            by_head = z.clone().reshape(*z.shape[:2], 4, -1)
            by_head[:, POSITION, head] = 0
            return by_head.reshape(z.shape)

        without = hf.capture(row, {"x": (norm, "in")}, ((out, silence),))[0]["x"][0, POSITION]
        added = held.linear((clean - without)[None])[0]
        with torch.no_grad():
            g, u, g_of_head, u_of_head = (
                part(x).numpy() for x in (held(clean[None])[0], added) for part in (gate, up)
            )
        expected = (g_of_head * u + g * u_of_head) / (1 + np.exp(-g)) / 2
        for index in range(0, 28, 6):
            found = decompose(model, NeuronId(layer, index), [ROW], [POSITION])[0]
            assert found.heads[layer, head] == pytest.approx(expected[index], abs=1e-5 * found.scale)
            assert found.activation == pytest.approx(g[index] * u[index] / (1 + np.exp(-g[index])), rel=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_neuron_writes_what_the_stream_gains_from_it(model, hf, layer: int) -> None:
    """W_out, and the congruence that rests on it: the neuron fires by 1 more, the block's output moves."""
    down: Any = hf.part(layer, "mlp.down_proj")
    final = hf.model.model.norm
    reads = final if layer == 2 else hf.part(layer + 1, "input_layernorm")
    row = torch.tensor([ROW])
    clean = hf.capture(row, {"x": (reads, "in")})[0]["x"][0, POSITION]
    for index in (0, 5, 27):

        def fire(activations: torch.Tensor, index: int = index) -> torch.Tensor:
            more = activations.clone()
            more[:, POSITION, index] += 1
            return more

        moved = hf.capture(row, {"x": (reads, "in")}, ((down, fire),))[0]["x"][0, POSITION] - clean
        assert moved.numpy() == pytest.approx(model.W_out(layer)[index].numpy(), abs=1e-8)
        with torch.no_grad():
            logits = hf.model.lm_head(moved * final.weight).numpy()
        for token in (4, 77):
            found = score_neurons(model, [NeuronId(layer, index)], token)[0].congruence
            assert found == pytest.approx(logits[token] - logits.mean(), abs=1e-5)
