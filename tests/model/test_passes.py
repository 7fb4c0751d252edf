"""What passes of a loaded model hand out, on every family, and what they leave behind."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny_models import FURTHER, RECIPES
from tui_lookups.errors import Cancelled, ModelLoadError, UnsupportedModelError
from tui_lookups.ids import HeadId
from tui_lookups.model.attention import EagerAttention, require_same_z
from tui_lookups.model.lookup_model import LookupModel, hand_out_activations, pad
from tui_lookups.model.points import Point

CAPPED = "gemma2"
"""Fused attention would leave the soft cap on its scores out."""


def random_tokens(rows: int = 3, length: int = 40) -> Tensor:
    return torch.randint(3, 290, (rows, length), generator=torch.Generator().manual_seed(1))


def hooks_left(model: LookupModel) -> int:
    return sum(len(part._forward_pre_hooks) + len(part._forward_hooks) for part in model._hf_model.modules())


@pytest.mark.parametrize("name", RECIPES)
def test_attention_is_fused_where_that_computes_the_same(tiny_model, name: str) -> None:
    model = tiny_model(name)
    fused = model._hf_model._supports_sdpa and model.info.family != CAPPED
    assert model.forms_patterns == (not fused)
    assert model.forward_path == "plain"


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER])
def test_patterns_times_values_are_z_both_ways(tiny_model, name: str) -> None:
    """Rows are longer than the tiny models' sliding windows; z is of the plain, fused pass."""
    model, tokens = tiny_model(name), random_tokens()
    ways = {id(way): way for way in (EagerAttention(model._hf_model), model.attention)}
    for layer, attention in product(range(model.info.n_layers), ways.values()):
        kept: list[Tensor] = []
        model.run(tokens, {Point("z", layer): lambda z, kept=kept: kept.append(z.clone())}, stop_after=layer)
        patterns, values = attention.of_layer(tokens, layer, lambda: None)
        assert patterns.shape == (3, model.info.n_heads, 40, 40)
        assert torch.allclose(patterns.sum(-1), torch.ones(()), atol=1e-5)
        biases = model.value_biases[layer]
        apart = values if biases is None else values - biases
        found = torch.einsum("bhqk,bkhd->bqhd", patterns, apart)
        torch.testing.assert_close(found, kept[0], rtol=1e-4, atol=1e-5)


def test_a_pattern_of_something_else_is_refused(tiny_model) -> None:
    pattern, values = torch.full((1, 4), 0.25), torch.randn(1, 4, 3)
    z = values.mean(1)
    require_same_z(pattern, values, z, torch.float32, str(HeadId(0, 1)))
    with pytest.raises(UnsupportedModelError, match="H1 times its values is not what the head gathers"):
        require_same_z(pattern, values, z * 1.01, torch.float32, str(HeadId(0, 1)))


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "falcon", "phi3"])
def test_questions_change_nothing_about_the_model(tiny_model, name: str) -> None:
    """Not its weights, not what it computes; and no hook is left on it."""
    model, tokens = tiny_model(name), random_tokens()
    before = {key: values.clone() for key, values in model._hf_model.state_dict().items()}
    with torch.no_grad():
        logits = model._hf_model(input_ids=tokens, use_cache=False).logits
    model.attention.of_layer(tokens, 1, lambda: None)
    model.capture(tokens, torch.tensor([3, 4, 5]), [Point("z", 1), Point("ln2", 1)], stop_after=1)
    model.log_probabilities(tokens, torch.tensor([3, 4, 5]), {Point("z", 0): torch.zeros_like})
    with torch.no_grad():
        assert torch.equal(model._hf_model(input_ids=tokens, use_cache=False).logits, logits)
    after = model._hf_model.state_dict()
    assert all(torch.equal(values, after[key]) for key, values in before.items())
    assert hooks_left(model) == 0


def test_padding_and_layers_above_do_not_matter(tiny_model) -> None:
    model, tokens = tiny_model("llama"), random_tokens(1, 12)
    seen: list[int] = []
    alone: list[Tensor] = []

    def keep(layer: int, activation: Tensor) -> None:
        seen.append(layer)
        alone.append(activation.clone())

    model.mlp_activations(tokens, [1], keep)
    assert seen == [1]
    padded: list[Tensor] = []
    rows = torch.cat([torch.nn.functional.pad(tokens, (0, 9)), random_tokens(1, 21)])
    model.mlp_activations(rows, [0, 1, 2], lambda _, a: padded.append(a.clone()))
    torch.testing.assert_close(padded[1][:1, :12], alone[0], rtol=1e-5, atol=1e-6)


def test_layers_above_are_not_run(tiny_model) -> None:
    model, ran = tiny_model("gpt2"), []
    handle = model.wiring.blocks[2].down.module.register_forward_pre_hook(lambda *_: ran.append(2))
    try:
        model.mlp_activations(random_tokens(), [0, 1], lambda *_: None)
        assert ran == []
        model.mlp_activations(random_tokens(), [2], lambda *_: None)
        assert ran == [2]
    finally:
        handle.remove()


@pytest.mark.parametrize("way", ["activations", "run", "log_probabilities"])
def test_an_interrupted_pass_leaves_no_hook(tiny_model, way: str) -> None:
    model, polls = tiny_model("gpt2"), []
    hook = {Point("z", 1): torch.zeros_like, Point("ln_final"): lambda _: None}

    def poll() -> None:
        polls.append(1)
        if len(polls) == 2:
            raise Cancelled

    passes = {
        "activations": lambda: model.mlp_activations(random_tokens(), [0, 1, 2], lambda *_: None, poll=poll),
        "run": lambda: model.run(random_tokens(), hook, stop_after=2, poll=poll),
        "log_probabilities": lambda: model.log_probabilities(
            random_tokens(), torch.tensor([1, 2, 3]), hook, poll=poll
        ),
    }
    with pytest.raises(Cancelled):
        passes[way]()
    assert hooks_left(model) == 0


class _Elsewhere(nn.Module):
    """Runs none of the blocks."""

    def forward(self, **_: object) -> None:
        pass


def test_a_pass_that_never_reaches_the_layer_is_no_pass(tiny_model) -> None:
    model = tiny_model("gpt2")
    with pytest.raises(ModelLoadError, match="without reaching the MLP of layer 2"):
        hand_out_activations(_Elsewhere(), model.wiring, random_tokens(), [2], lambda *_: None)


def test_rows_are_padded_on_the_right() -> None:
    rows = pad([np.array([5, 6]), [7, 8, 9], range(1)])
    assert rows.tolist() == [[5, 6, 0], [7, 8, 9], [0, 0, 0]]
