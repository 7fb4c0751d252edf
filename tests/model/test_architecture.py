"""The wiring read off a loaded model, against what its Hugging Face configuration and module tree say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.tiny_models import FURTHER, RECIPES, REFUSED
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.architecture import FAMILIES, Architecture, describe, refuse_unsupported

PARALLEL = {"gpt_neox_parallel", "gptj", "phi"}
ACTIVATIONS = {"gelu_new", "gelu", "relu", "silu", "gelu_pytorch_tanh"}


def test_every_family_of_the_table_has_a_tiny_model() -> None:
    covered = {name.removesuffix("_parallel").removesuffix("_sequential") for name in (*RECIPES, *FURTHER)}
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
    assert wiring.residual_multiplier == 1.0
    assert wiring.activation in ACTIVATIONS


def test_last_head_layer(tiny_model) -> None:
    assert tiny_model("gpt2").architecture.last_head_layer(2) == 2
    assert tiny_model("gptj").architecture.last_head_layer(2) == 1
    assert tiny_model("gptj").architecture.last_head_layer(0) == -1


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


def bridge(parts: list[set[str]], **cfg: Any) -> Any:
    """What `describe` looks at, without a model."""
    defaults: dict[str, Any] = {
        "gated_mlp": False,
        "parallel_attn_mlp": False,
        "uses_rms_norm": False,
        "act_fn": "gelu_new",
    }
    blocks = [SimpleNamespace(submodules=dict.fromkeys(part)) for part in parts]
    given = {**defaults, **cfg}
    original = SimpleNamespace(config=SimpleNamespace(logits_scaling=given.pop("logits_scaling", None)))
    return SimpleNamespace(
        cfg=SimpleNamespace(**given), blocks=blocks, ln_final=object(), original_model=original
    )


PLAIN = {"ln1", "attn", "ln2", "mlp"}


class TestRefusedByWiring:
    def test_the_plain_block_is_taken(self) -> None:
        assert describe(bridge([PLAIN, PLAIN]), "gpt2", "m").listed
        assert not describe(bridge([PLAIN]), "unheard-of", "m").listed

    @pytest.mark.parametrize(
        ("cfg", "reason"),
        [
            ({"num_experts": 4}, "experts"),
            ({"is_stateful": True}, "state-space"),
            ({"attn_only": True}, "attention only"),
        ],
    )
    def test_by_the_configuration_of_the_bridge(self, cfg: dict[str, Any], reason: str) -> None:
        with pytest.raises(UnsupportedModelError, match=reason):
            describe(bridge([PLAIN], **cfg), "unheard-of", "m")

    def test_blocks_that_differ(self) -> None:
        with pytest.raises(UnsupportedModelError, match="not all attention and MLP"):
            describe(bridge([PLAIN, {"ln1", "ssm"}]), "unheard-of", "m")

    def test_no_final_norm(self) -> None:
        model = bridge([PLAIN])
        del model.ln_final
        with pytest.raises(UnsupportedModelError, match="normalises after"):
            describe(model, "unheard-of", "m")

    @pytest.mark.parametrize(
        ("parts", "cfg", "what"),
        [
            (PLAIN, {"gated_mlp": True}, "gated MLP"),
            (PLAIN, {"parallel_attn_mlp": True}, "own layer"),
            (PLAIN | {"ln1_post", "ln2_post"}, {}, "norms after"),
            ({"attn", "mlp"}, {}, "norm before the MLP"),
        ],
    )
    def test_a_listed_family_wired_otherwise(self, parts: set[str], cfg: dict[str, Any], what: str) -> None:
        with pytest.raises(UnsupportedModelError, match=what):
            describe(bridge([parts], **cfg), "gpt2", "m")

    def test_a_multiplier_on_what_blocks_write(self) -> None:
        assert describe(bridge([PLAIN], residual_multiplier=0.22), "own", "m").residual_multiplier == 0.22

    def test_what_logits_are_divided_by(self) -> None:
        assert describe(bridge([PLAIN], logits_scaling=8.0), "own", "m").logits_scaling == 8.0
        assert describe(bridge([PLAIN]), "own", "m").logits_scaling == 1.0
