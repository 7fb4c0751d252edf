"""Roles are found in every family, and a model that computes something else than they say is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tiny_models import FURTHER, RECIPES
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.norms import Norm, find_norm
from tui_lookups.model.proof import find_wiring, random_text

TOKENS = random_text(320, 1, torch.device("cpu"))


@pytest.fixture
def hf_model(tiny_folder: Callable[[str], Path]) -> Callable[[str], Any]:
    """hf_model(name): transformers' own module of a tiny model, to be spoilt."""
    from transformers import AutoModelForCausalLM

    def load(name: str) -> Any:
        loaded = AutoModelForCausalLM.from_pretrained(str(tiny_folder(name)), dtype=torch.float32)
        return loaded.eval().requires_grad_(False)

    return load


def refused(model: Any, match: str) -> None:
    with pytest.raises(UnsupportedModelError, match=match) as caught:
        find_wiring(model, "a-model", TOKENS)
    assert caught.value.message.startswith("a-model (")
    assert "Llama" in caught.value.hint


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER])
def test_every_block_has_its_roles(tiny_model, name: str) -> None:
    wiring, info = tiny_model(name).wiring, tiny_model(name).info
    assert len(wiring.blocks) == info.n_layers
    for block in wiring.blocks:
        assert block.heads_out.matrix.shape == (info.n_heads * info.d_head, info.d_model)
        assert block.up.matrix.shape == (info.d_model, info.d_mlp)
        assert block.down.matrix.shape == (info.d_mlp, info.d_model)
        assert (block.gate is not None) == info.gated


@pytest.mark.parametrize("name", ["gpt2", "llama", "olmo2", "falcon"])
def test_what_a_block_adds_besides_is_seen(hf_model, name: str) -> None:
    model = hf_model(name)
    wiring = find_wiring(model, "a-model", TOKENS)

    def add(_: nn.Module, given: Any, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        changed = stream + 0.1 * stream.flip(-1)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    wiring.blocks[1].module.register_forward_hook(add)
    refused(model, "do not give what block 1 adds")


def test_a_multiplier_that_is_not_known_is_seen(hf_model) -> None:
    model = hf_model("granite")
    model.config.residual_multiplier = 1.0  # its layers hold their own
    refused(model, "do not give what block 0 adds")


@pytest.mark.parametrize("change", [lambda logits: 3 * logits, lambda logits: 5 * torch.tanh(logits / 5)])
def test_what_is_done_to_logits_and_not_known_is_seen(hf_model, change: Callable[[Tensor], Tensor]) -> None:
    model = hf_model("llama")
    plain = model.forward

    def forward(**given: Any) -> Any:
        found = plain(**given)
        found.logits = change(found.logits)
        return found

    model.forward = forward
    refused(model, "do not give the logits")


@pytest.mark.parametrize("name", ["gpt2", "llama", "phi3"])
def test_an_activation_that_is_another_is_seen(hf_model, name: str) -> None:
    model = hf_model(name)
    mlp = find_wiring(model, "a-model", TOKENS).blocks[2].module.mlp
    plain = mlp.forward
    mlp.forward = lambda x: plain(x)
    own = "act" if name == "gpt2" else "act_fn" if name == "llama" else "activation_fn"
    act = getattr(mlp, own)

    class Twice(nn.Module):
        """Called by the MLP it is another function than for whoever asks for it later."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return act(x) if self.calls % 2 else act(2 * x)

    setattr(mlp, own, Twice())
    refused(model, "do not give the activations of layer 2")


def test_halves_the_other_way_round_are_seen(hf_model) -> None:
    model = hf_model("phi3")
    mlp = model.model.layers[1].mlp

    def forward(x: Tensor) -> Tensor:
        up, gate = mlp.gate_up_proj(x).chunk(2, dim=-1)
        return mlp.down_proj(up * mlp.activation_fn(gate))

    mlp.forward = forward
    refused(model, "do not give the activations of layer 1")


def test_a_projection_that_is_not_run_is_seen(hf_model) -> None:
    model = hf_model("llama")
    mlp = model.model.layers[1].mlp
    down = mlp.down_proj.weight
    mlp.forward = lambda x: (mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)) @ down.T
    refused(model, "does not go through its module for the MLP of layer 1")


def test_names_that_are_not_known(hf_model) -> None:
    model = hf_model("llama")
    for layer in model.model.layers:
        layer.mlp._modules["projection"] = layer.mlp._modules.pop("down_proj")
    refused(model, "layer 0 has no MLP with one down-projection")


class TestNorms:
    @staticmethod
    def module(centred: bool, adds_one: bool, eps: float) -> nn.Module:
        class Any_(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(12, generator=torch.Generator().manual_seed(3)))
                self.eps = eps

            def forward(self, x: Tensor) -> Tensor:
                seen = x - x.mean(-1, keepdim=True) if centred else x
                factor = 1 + self.weight if adds_one else self.weight
                return seen * torch.rsqrt(seen.pow(2).mean(-1, keepdim=True) + self.eps) * factor

        return Any_()

    @pytest.mark.parametrize("centred", [False, True])
    @pytest.mark.parametrize("adds_one", [False, True])
    def test_the_formula_is_found(self, centred: bool, adds_one: bool) -> None:
        found = find_norm(self.module(centred, adds_one, 1e-5))
        assert found is not None
        assert (found.centred, found.adds_one, found.eps) == (centred, adds_one, 1e-5)

    def test_another_epsilon_than_it_says_is_none(self) -> None:
        module: Any = self.module(False, False, 1e-3)
        plain = module.forward
        module.forward = lambda x: plain(x)
        module.variance_epsilon = 1e-6
        assert find_norm(module) is None

    def test_another_formula_is_none(self) -> None:
        module = self.module(False, False, 1e-5)
        module.register_forward_hook(lambda _, given, output: output.clamp(-1, 1))
        assert find_norm(module) is None

    @pytest.mark.parametrize("centred", [False, True])
    def test_folding_is_what_the_norm_does_at_its_scale(self, centred: bool) -> None:
        """read . norm(x) = fold(read) . x / scale + constant, for every x."""
        module = nn.LayerNorm(12, dtype=torch.float64)
        with torch.no_grad():
            module.weight.normal_()
            module.bias.normal_()
        norm = Norm(module, centred, False, 1e-5)
        x = torch.randn(5, 12, dtype=torch.float64)
        read = torch.randn(12, 3, dtype=torch.float64)
        expected = norm.apply(x) @ read
        found = x @ norm.fold(read) / norm.scale(x) + norm.constant(read)
        torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-12)
        if centred:
            torch.testing.assert_close(norm.apply(x), module(x), rtol=1e-12, atol=1e-12)
