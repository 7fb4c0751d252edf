"""Families without a reference of their own: each held to the Hugging Face model and to closing.

See method.md, section 4.

A term that is dropped, a head that is taken not to reach a neuron, or a norm held at a wrong scale leaves a
remainder of the size of the components: none of the parameters is neutral.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.analysis.neurons import decompose_neurons
from tests.tiny_models import FURTHER, N_CTX, N_HEADS, VOCABULARY, attention_of
from tui_lookups.model.points import Point

LENGTH, POSITION = 30, 26
"""Longer than any window of these models."""

PARALLEL = {"cohere", "cohere2", "codegen", "falcon", "falcon_new", "stablelm_parallel"}
DOWN = ("down_proj", "c_proj", "dense_4h_to_h", "fc_out", "fc2")
"""What families call the matrix from the neurons to the residual stream."""


def row(seed: int) -> Tensor:
    return torch.randint(3, 290, (1, LENGTH), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def hugging_face(folder: Path, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Log-probabilities, and every layer's activations, of transformers' own module in float64."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float64, local_files_only=True, attn_implementation=attention_of(folder)
    ).eval()
    seen: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append(arguments[0].reshape(*tokens.shape, -1).clone())

    for name, module in model.named_modules():
        *_, parent, own = ["", "", *name.split(".")]
        if own in DOWN and "attn" not in parent and "attention" not in parent:
            module.register_forward_pre_hook(keep)
    return model(tokens, use_cache=False).logits.log_softmax(-1), seen


@pytest.mark.parametrize("name", list(FURTHER))
def test_it_is_the_hugging_face_model_and_closes(
    tiny_model, tiny_folder: Callable[[str], Path], name: str
) -> None:
    model, tokens = tiny_model(name), row(7)
    assert model.architecture.listed
    assert model.architecture.own_layer == (name not in PARALLEL)
    assert (model.info.n_layers, model.info.n_heads) == (3, N_HEADS)
    assert (model.info.d_vocab, model.info.n_ctx) == (VOCABULARY, N_CTX)
    expected, activations = hugging_face(tiny_folder(name), tokens)
    found = model.log_probabilities(tokens, torch.tensor([POSITION]))
    assert torch.allclose(found[0].double(), expected[0, POSITION], atol=1e-3)
    seen: list[Tensor] = []
    model.mlp_activations(tokens, range(3), lambda _, activation: seen.append(activation.double()))
    for ours, theirs in zip(seen, activations, strict=True):
        assert torch.allclose(ours, theirs, atol=2e-4, rtol=1e-3)
    for layer in range(3):
        indices, ids = range(0, model.info.d_mlp, 13), tokens[0].tolist()
        for whole in decompose_neurons(model, layer, indices, [ids], [POSITION]):
            assert abs(whole.remainder) <= 1e-4 * whole.scale
            assert whole.scale > 1e-3


def test_falcon_adds_what_depends_on_distance_once(tiny_model) -> None:
    """softmax((q . k + 2^(-8 (h + 1) / n_heads) k) / sqrt(d_head)), of the pass and of the patterns shown."""
    model, tokens = tiny_model("falcon_alibi", "float64"), torch.tensor([[5, 9, 33, 71, 12, 4, 250]])
    block = model.wiring.blocks[0]
    kept: dict[Point, Tensor] = {}
    streams: list[Tensor] = []
    hooks = model.keeping(kept, torch.tensor([6]), [Point("z", 0)])
    hooks[Point("resid_pre", 0)] = lambda seen: streams.append(seen.clone())
    model.run(tokens, hooks, stop_after=0)
    joint = block.attention.query_key_value(block.norms["ln1"].apply(streams[0]))[0]
    query, key, value = joint.view(7, N_HEADS, 3, -1).permute(2, 1, 0, 3)
    slopes = 2.0 ** (-8 * torch.arange(1, N_HEADS + 1, dtype=torch.float64) / N_HEADS)
    scores = query[:, 6:] @ key.mT + slopes[:, None, None] * torch.arange(7)
    pattern = (scores / query.shape[-1] ** 0.5).softmax(-1)
    shown, _ = model.attention.of_layer(tokens, 0, lambda: None)
    assert torch.allclose(shown[0, :, 6].double(), pattern[:, 0], atol=1e-6)
    biases = model.value_biases[0]
    z = kept[Point("z", 0)][0] + (0 if biases is None else biases)
    assert torch.allclose(z, (pattern @ value)[:, 0], atol=1e-6)
