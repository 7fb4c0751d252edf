"""The wiring read off a loaded model, against what its Hugging Face configuration and module tree say."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import pytest

from tests.tiny_models import ALIKE, FURTHER, RECIPES, REFUSED
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.architecture import Architecture, describe
from tui_lookups.model.families import FAMILIES, refuse_unsupported

PARALLEL = {"gpt_neox_parallel", "gptj", "phi"}
ACTIVATIONS = {"GELU", "GELUActivation", "GELUTanh", "ReLU", "SiLUActivation"}


def test_every_family_of_the_table_has_a_tiny_model() -> None:
    variants = ("_parallel", "_sequential", "_new", "_alibi", "_without", "_post_ln")
    covered = {reduce(str.removesuffix, variants, name) for name in (*RECIPES, *FURTHER, *ALIKE)}
    assert covered == set(FAMILIES)


@pytest.mark.parametrize("name", list(RECIPES))
def test_wiring(tiny_model, reference, name: str) -> None:
    wiring: Architecture = tiny_model(name).architecture
    names = reference(name).names
    modules = {module for module, _ in reference(name).blocks[0].named_modules()}
    assert wiring.listed
    assert wiring.label == FAMILIES[wiring.family].label
    assert wiring.gated == ("mlp.gate_proj" in modules)
    assert wiring.own_layer == (name not in PARALLEL)
    assert wiring.attn_post_norm == wiring.mlp_post_norm == (names.mlp_post_norm is not None)
    assert (wiring.mlp_norm is None) == (names.mlp_norm is None)
    if wiring.mlp_norm is not None:
        shared = names.mlp_norm == names.attention_norm
        assert wiring.mlp_norm == ("ln1" if shared else "ln2")
    kind = type(reference(name).model.get_submodule(names.final_norm)).__name__
    assert wiring.centred == ("RMS" not in kind)
    assert wiring.activation in ACTIVATIONS


def test_last_head_layer(tiny_model) -> None:
    assert tiny_model("gpt2").info.last_head_layer(2) == 2
    assert tiny_model("gptj").info.last_head_layer(2) == 1
    assert tiny_model("gptj").info.last_head_layer(0) == -1


class TestRefusedByConfiguration:
    @pytest.mark.parametrize("name", list(REFUSED))
    def test_one_sentence_with_the_reason(self, name: str) -> None:
        with pytest.raises(UnsupportedModelError) as caught:
            refuse_unsupported(REFUSED[name], "some/model")
        assert caught.value.message.startswith(f"some/model ({REFUSED[name]['model_type']}) ")
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_listed_families_pass(self, family: str) -> None:
        refuse_unsupported({"model_type": family}, "some/model")

    def test_one_expert_is_no_mixture(self) -> None:
        refuse_unsupported({"model_type": "llama", "num_local_experts": 1}, "some/model")

    def test_no_kind_at_all(self) -> None:
        with pytest.raises(UnsupportedModelError, match="what kind of model"):
            refuse_unsupported({}, "some/model")


def changed(model, **edits: Any) -> Any:
    """The wiring of a model with something else about it, or about its blocks."""
    of_block = edits.pop("block", {})
    blocks = tuple(replace(block, **of_block) for block in model.wiring.blocks)
    return replace(model.wiring, blocks=edits.pop("blocks", blocks), **edits)


class TestRefusedByWiring:
    def test_the_plain_block_is_taken(self, tiny_model) -> None:
        wiring = tiny_model("gpt2").wiring
        assert describe(wiring, "gpt2", "GELU", "m").listed
        assert not describe(wiring, "unheard-of", "GELU", "m").listed

    def test_blocks_that_differ(self, tiny_model) -> None:
        model = tiny_model("gpt2")
        first, *others = model.wiring.blocks
        wiring = changed(model, blocks=(replace(first, norms={}), *others))
        with pytest.raises(UnsupportedModelError, match="blocks of several kinds"):
            describe(wiring, "unheard-of", "GELU", "m")

    @pytest.mark.parametrize(
        ("edit", "what"),
        [
            (lambda model, block: {"block": {"gate": block.up}}, "gated MLP"),
            (lambda model, block: {"own_layer": False}, "own layer"),
            (
                lambda model, block: {
                    "block": {
                        "norms": {
                            **block.norms,
                            "ln1_post": block.norms["ln1"],
                            "ln2_post": block.norms["ln1"],
                        }
                    }
                },
                "norms after",
            ),
            (lambda model, block: {"block": {"norms": {}}}, "norm before the MLP"),
        ],
    )
    def test_a_listed_family_wired_otherwise(self, tiny_model, edit: Any, what: str) -> None:
        model = tiny_model("gpt2")
        wiring = changed(model, **edit(model, model.wiring.blocks[0]))
        with pytest.raises(UnsupportedModelError, match=what):
            describe(wiring, "gpt2", "GELU", "m")
