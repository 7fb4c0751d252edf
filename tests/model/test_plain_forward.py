"""The plain module against the bridge, on every family, and what happens where it cannot be used."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.tiny_models import RECIPES
from tui_lookups.errors import Cancelled, no_poll
from tui_lookups.model import loading
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import PLAIN_TOLERANCE, LookupModel
from tui_lookups.model.plain_forward import _JOINTS, NoPlainForward, PlainForward


def fused(model: LookupModel) -> str:
    """The attention it should run: fused where transformers has it, but for a soft cap, which that drops."""
    module = model._plain.module
    capped = model.info.family == "gemma2"
    return "sdpa" if module._supports_sdpa and not capped else "eager"


def random_tokens(rows: int = 3, length: int = 40) -> Tensor:
    return torch.randint(0, 290, (rows, length), generator=torch.Generator().manual_seed(1))


def both_paths(model: LookupModel, tokens: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Every layer's activations from the plain module and from the bridge."""
    assert model._plain is not None
    plain: list[Tensor] = []
    bridge: list[Tensor] = []
    layers = range(model.info.n_layers)
    model._plain.mlp_activations(tokens, layers, lambda _, a: plain.append(a.clone()), poll=no_poll)
    model._bridge_activations(tokens, layers, lambda _, a: bridge.append(a.clone()))
    return plain, bridge


@pytest.mark.parametrize("name", RECIPES)
def test_equals_the_bridge_on_every_family(tiny_model, name: str) -> None:
    """Rows are longer than the tiny models' sliding windows, and than the text of the check at load."""
    model = tiny_model(name)
    assert (model.forward_path, model.forward_note) == ("plain", "")
    assert model._plain.attention == fused(model)
    for plain, bridge in zip(*both_paths(model, random_tokens()), strict=True):
        assert plain.shape == bridge.shape == (3, 40, model.info.d_mlp)
        torch.testing.assert_close(plain, bridge, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox_parallel", "gemma"])
def test_equals_the_bridge_in_the_raw_basis_and_in_double_precision(tiny_model, name: str) -> None:
    for model in (tiny_model(name, folded=False), tiny_model(name, "float64")):
        assert model.forward_path == "plain"
        for plain, bridge in zip(*both_paths(model, random_tokens()), strict=True):
            torch.testing.assert_close(plain, bridge, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_bfloat16_is_used_and_close(tiny_model, name: str) -> None:
    model = tiny_model(name, "bfloat16")
    assert model.forward_path == "plain"
    for plain, bridge in zip(*both_paths(model, random_tokens()), strict=True):
        scale = float(bridge.abs().max())
        assert float((plain.float() - bridge.float()).abs().max()) < PLAIN_TOLERANCE[torch.bfloat16] * scale


@pytest.mark.parametrize("name", RECIPES)
def test_no_weight_is_held_twice(tiny_model, name: str) -> None:
    model = tiny_model(name)
    theirs = {values.data_ptr() for values in model._bridge.original_model.state_dict().values()}
    for parameter, values in model._plain.module.named_parameters():
        assert values.data_ptr() in theirs, parameter


def test_the_bridge_still_says_the_same(tiny_folder, tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attaching writes into the unused joint matrix of GPT-2 and NeoX: nothing the bridge computes moves."""
    for name in ("gpt2", "gpt_neox_sequential"):
        attached = tiny_model(name)
        with monkeypatch.context() as patch:
            patch.setattr(loading, "_choose_forward", lambda *_: None)
            untouched = load_model(tiny_folder(name), name=name, source="", fingerprint=name, device="cpu")
        assert untouched.forward_path == "bridge"
        positions = torch.tensor([39, 12, 5])
        assert torch.equal(
            attached.log_probabilities(random_tokens(), positions),
            untouched.log_probabilities(random_tokens(), positions),
        )


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
    handle = model._plain.down[2].register_forward_pre_hook(lambda *_: ran.append(2))
    try:
        model.mlp_activations(random_tokens(), [0, 1], lambda *_: None)
        assert ran == []
        model.mlp_activations(random_tokens(), [2], lambda *_: None)
        assert ran == [2]
    finally:
        handle.remove()


def test_an_interrupted_pass_leaves_no_hook(tiny_model) -> None:
    model, polls = tiny_model("gpt2"), []

    def poll() -> None:
        polls.append(1)
        if len(polls) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.mlp_activations(random_tokens(), [0, 1, 2], lambda *_: None, poll=poll)
    assert not any(leaf._forward_pre_hooks for leaf in model._plain.down)


def test_one_that_differs_is_not_used(tiny_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain module with a wrong joint matrix: found at load, said, and the bridge's figures stay."""
    monkeypatch.setitem(
        _JOINTS, "gpt2", lambda parts, _: torch.cat([p.T if p.dim() == 2 else p for p in parts[::-1]], -1)
    )
    model = load_model(tiny_folder("gpt2"), name="gpt2", source="", fingerprint="gpt2", device="cpu")
    assert model.forward_path == "bridge"
    assert "differ from the bridge's" in model.forward_note
    found: list[Tensor] = []
    model.mlp_activations(random_tokens(), [1], lambda _, a: found.append(a.clone()))
    assert found[0].shape == (3, 40, 40)


def test_a_joint_matrix_of_unknown_layout_is_said(tiny_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_JOINTS, "gpt_neox")
    folder = tiny_folder("gpt_neox_parallel")
    model = load_model(folder, name="n", source="", fingerprint="n", device="cpu")
    assert model.forward_path == "bridge"
    assert "layout of the joint query, key and value of gpt_neox" in model.forward_note


@pytest.mark.parametrize("stage", ["skeleton", "attach"])
def test_a_module_of_another_make_is_no_reason_to_refuse_a_model(
    tiny_folder, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def broken(*_: object) -> nn.Module:
        raise TypeError("not that way")

    monkeypatch.setattr(loading, stage, broken)
    model = load_model(tiny_folder("gpt2"), name="gpt2", source="", fingerprint="gpt2", device="cpu")
    assert model.forward_path == "bridge"
    assert "TypeError: not that way" in model.forward_note


def test_a_pass_that_never_reaches_the_layer_is_no_pass(tiny_model) -> None:
    model = tiny_model("gpt2")
    lost = PlainForward(model._plain.module, (nn.Identity(),) * 3, "sdpa")
    with pytest.raises(NoPlainForward, match="without reaching"):
        lost.mlp_activations(random_tokens(), [0], lambda *_: None, poll=no_poll)
