"""A bridge or compatibility mode that changes the model, or leaves a norm alone, is refused.

See method.md, section 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_models import RECIPES, save_recipe
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel

Fold = Callable[[Any], None]


@pytest.fixture
def load_folding_by(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., LookupModel]:
    """load_folding_by(name, fold): a model loaded with fold(bridge, plain) in place of TransformerLens'."""
    from transformer_lens.model_bridge import TransformerBridge

    plain = TransformerBridge.enable_compatibility_mode

    def load(name: str, fold: Callable[[Any, Fold], None], **named: Any) -> LookupModel:
        monkeypatch.setattr(
            TransformerBridge, "enable_compatibility_mode", lambda bridge, *_, **__: fold(bridge, plain)
        )
        path = tiny_folder(name)
        return load_model(path, name="a-model", source="s", fingerprint="f", device="cpu", **named)

    return load


def another(name: str, tmp_path: Path, config_class: str, **changed: Any) -> LookupModel:
    """A tiny model like `name`, of another configuration."""
    like = RECIPES[name]
    recipe = replace(like, config_class=config_class, arguments={**like.arguments, **changed})
    save_recipe(recipe, tmp_path)
    return load_model(tmp_path, name="a-model", source="s", fingerprint="f", device="cpu")


def test_a_bridge_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    """TransformerLens does not rotate a single dimension as transformers does; the sum would still close."""
    rotating = {"config_class": "StableLmConfig", "num_key_value_heads": 4}
    assert another("llama", tmp_path / "two", partial_rotary_factor=0.5, **rotating).basis == "folded"
    with pytest.raises(UnsupportedModelError, match="Wrapping a-model changed its log-probabilities by"):
        another("llama", tmp_path / "one", partial_rotary_factor=0.25, **rotating)


def test_what_the_library_stumbles_over_is_refused_in_our_words(tmp_path: Path) -> None:
    """TransformerLens asserts that GPT-NeoX has attention biases; --debug shows it."""
    with pytest.raises(UnsupportedModelError, match=r"a-model \(gpt_neox\) is of a make that") as caught:
        another("gpt_neox_parallel", tmp_path, "GPTNeoXConfig", attention_bias=False)
    assert "Llama" in caught.value.hint
    assert isinstance(caught.value.__cause__, AssertionError)


def folding_with_an_error(size: float) -> Callable[[Any, Fold], None]:
    """Folds, and leaves what the MLP of block 1 writes too large by a share of `size`."""

    def fold(bridge: Any, plain: Fold) -> None:
        plain(bridge)
        with torch.no_grad():
            bridge.blocks[1].mlp.out.original_component.weight.mul_(1 + size)

    return fold


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_folding_that_changes_the_model_is_refused(load_folding_by, name: str) -> None:
    with pytest.raises(UnsupportedModelError, match="a-model changed its log-probabilities by"):
        load_folding_by(name, folding_with_an_error(0.05))
    assert load_folding_by(name, folding_with_an_error(1e-5)).basis == "folded"


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma"])
def test_a_norm_that_stays_as_it_was_is_refused(load_folding_by, name: str) -> None:
    """The model still says the same; its W_in would be read without the norm's weight."""
    with pytest.raises(UnsupportedModelError, match=r"before the MLP of layer 0 of a-model could not be"):
        load_folding_by(name, lambda bridge, plain: None)


def test_in_every_layer(load_folding_by) -> None:
    def all_but_one(bridge: Any, plain: Fold) -> None:
        plain(bridge)
        with torch.no_grad():  # the same function, with the weight back in the norm
            bridge.blocks[2].ln2.original_component.weight.mul_(2)
            for part in (bridge.blocks[2].mlp.gate, getattr(bridge.blocks[2].mlp, "in")):
                part.original_component.weight.div_(2)

    with pytest.raises(UnsupportedModelError, match="before the MLP of layer 2 "):
        load_folding_by("llama", all_but_one)


def test_the_raw_basis_folds_nothing(load_folding_by) -> None:
    def never(bridge: Any, plain: Fold) -> None:
        raise AssertionError("raw weights are not folded")

    assert load_folding_by("gpt2", never, folded=False).basis == "raw"
