"""What becomes of the keys of a config.json: none that changes the computation is put aside in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_models import FURTHER, RECIPES, edit_config
from tui_lookups.errors import LookupsError, ModelLoadError, UnsupportedModelError
from tui_lookups.ids import NeuronId
from tui_lookups.model.configuration import judge_keys, make_configuration, read_config
from tui_lookups.model.loading import load_model
from tui_lookups.results.inventory import FileEntry


def judged(folder: Path, key: str) -> FileEntry:
    config = read_config(folder, "tiny")
    made = make_configuration(folder, config, "tiny", False)
    return next(each.entry for each in judge_keys(config, made) if each.entry.name == key)


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER])
def test_what_a_family_writes_itself_is_never_refused(tiny_folder, name: str) -> None:
    folder = tiny_folder(name)
    config = read_config(folder, "tiny")
    made = make_configuration(folder, config, "tiny", False)
    assert not [each.entry for each in judge_keys(config, made) if each.reason is not None]


@pytest.mark.parametrize(
    ("family", "key", "value", "fate"),
    [
        ("llama", "hidden_size", 16, "applied"),
        ("llama", "torch_dtype", "float32", "applied"),
        ("llama", "rope_theta", 500.0, "applied"),
        ("gpt2", "num_attention_heads", 4, "applied"),
        ("llama", "is_llama_config", True, "harmless"),
        ("llama", "auto_map", {}, "harmless"),
        ("llama", "sliding_window", None, "harmless"),
        ("llama", "rope_interleaved", False, "harmless"),
        ("llama", "logit_scale", 1.0, "harmless"),
        ("llama", "layer_types", ["full_attention"] * 3, "harmless"),
        ("llama", "sliding_window", 4096, "refused"),
        ("llama", "use_qk_norm", True, "refused"),
        ("llama", "logit_scale", 0.0625, "refused"),
        ("llama", "layer_types", ["sliding_attention"] * 3, "refused"),
        ("llama", "final_logit_softcapping", 30.0, "refused"),
        ("gpt2", "rope_theta", 10000.0, "refused"),
        ("gpt2", "rope_scaling", {"type": "linear", "factor": 2.0}, "refused"),
        ("gpt2", "alibi", True, "refused"),
        ("llama", "rope_scaling", None, "applied"),
        ("llama", "rope_scaling", {"type": "linear", "factor": 2.0}, "applied"),
        ("llama", "rope_scaling", {"factor": 2.0}, "refused"),
        ("llama", "rope_scaling", {"rope_type": "linear", "factor": 2.0, "beta_fast": 4}, "refused"),
        ("llama", "rope_scaling", {"rope_type": "of-its-own", "factor": 2.0}, "refused"),
        ("llama", "transformers_weights", "other.safetensors", "refused"),
    ],
)
def test_the_fate_of_a_key(copied, family: str, key: str, value: Any, fate: str) -> None:
    folder = copied(family)
    edit_config(folder, rope_parameters=None, **{key: value})
    assert judged(folder, key).fate == fate
    if fate == "refused":
        with pytest.raises(ModelLoadError, match=key) as caught:
            load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")
        assert "does not apply" in caught.value.message


_WINDOWS = ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    ("family", "changes", "fates"),
    [
        (
            "gpt_neox_parallel",
            {"rotary_pct": 0.5, "rotary_emb_base": 25000},
            {"rotary_pct": "applied", "rotary_emb_base": "applied"},
        ),
        ("llama", {"rotary_pct": 0.5}, {"rotary_pct": "refused"}),
        ("llama", {"rotary_emb_base": 25000}, {"rotary_emb_base": "refused"}),
        (
            "gemma3_text",
            {
                "rope_local_base_freq": 500.0,
                "rope_theta": 1000000,
                "sliding_window_pattern": 2,
                "layer_types": None,
            },
            {"rope_local_base_freq": "applied", "rope_theta": "applied", "sliding_window_pattern": "applied"},
        ),
        (
            "gemma3_text",
            {"sliding_window_pattern": 6, "layer_types": [*_WINDOWS, _WINDOWS[0]]},
            {"sliding_window_pattern": "refused"},
        ),
        (
            "gemma3_text",
            {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
            {"rope_scaling": "applied"},
        ),
        (
            "olmo3",
            {"rope_scaling": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16}},
            {"rope_scaling": "applied"},
        ),
        (
            "cohere2",
            {"sliding_window_pattern": 2, "layer_types": None},
            {"sliding_window_pattern": "applied"},
        ),
        (
            "hunyuan_v1_dense",
            {
                "use_qk_norm": True,
                "rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1000.0, "beta_fast": 32},
            },
            {"use_qk_norm": "applied", "rope_scaling": "applied"},
        ),
        ("hunyuan_v1_dense", {"use_qk_norm": 3}, {"use_qk_norm": "refused"}),
    ],
)
def test_keys_as_they_are_published(
    copied, family: str, changes: dict[str, Any], fates: dict[str, str]
) -> None:
    """Of a name or form of their own, which the class reads into another field (Pythia, Gemma 3)."""
    folder = copied(family)
    edit_config(folder, rope_parameters=None, **changes)
    assert {key: judged(folder, key).fate for key in fates} == fates


def test_a_model_with_the_keys_of_pythia_computes_the_same(copied, tiny_model) -> None:
    folder = copied("gpt_neox_parallel")
    rotary = read_config(folder, "tiny")["rope_parameters"]
    config = read_config(folder, "tiny")
    del config["rope_parameters"]
    published = {
        "rotary_pct": rotary["partial_rotary_factor"],
        "rotary_emb_base": rotary["rope_theta"],
        "rope_scaling": None,
    }
    (folder / "config.json").write_text(json.dumps(config | published))
    model = load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")
    tokens = model.batch([range(20, 40)])
    expected, neuron = tiny_model("gpt_neox_parallel"), NeuronId(2, 3)
    assert torch.equal(model.neuron_activations(tokens, neuron), expected.neuron_activations(tokens, neuron))


def test_two_keys_for_one_thing(copied) -> None:
    """transformers takes rope_scaling, and with it another base than rope_parameters says."""
    folder = copied()
    edit_config(folder, rope_parameters={"rope_theta": 500.0}, rope_scaling={"type": "linear", "factor": 2.0})
    assert judged(folder, "rope_scaling").fate == "applied"
    assert judged(folder, "rope_parameters").fate == "refused"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "sixteen"}, "not one of the family llama"),
        ({"num_attention_heads": 5}, "not one of the family llama"),
        ({"model_type": "zzz"}, "'zzz', of which transformers knows no language model"),
        ({"model_type": "vit"}, "'vit', of which transformers knows no language model"),
        ({"model_type": "zzz", "auto_map": {"AutoConfig": "own.Config"}}, "code of its own"),
    ],
)
def test_what_transformers_does_not_accept(copied, changes: dict[str, Any], said: str) -> None:
    folder = copied()
    edit_config(folder, **changes)
    with pytest.raises(LookupsError, match=said) as caught:
        load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("family", "config"),
    [
        (
            "electra",
            {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "embedding_size": 16},
        ),
    ],
)
def test_a_family_that_cannot_be_taken_apart(tmp_path: Path, family: str, config: dict[str, Any]) -> None:
    """In one sentence of ours that names it, and the families that can."""
    import transformers

    from tests.tiny_models import VOCABULARY, randomise
    from tests.tiny_tokenizers import byte_level_tokenizer, save_tokenizer

    made = transformers.AutoConfig.for_model(family, vocab_size=VOCABULARY, **config)
    made.bos_token_id, made.eos_token_id, made.pad_token_id = 0, 1, None
    model = transformers.AutoModelForCausalLM.from_config(made)
    randomise(model, 0)
    model.save_pretrained(tmp_path)
    save_tokenizer(byte_level_tokenizer(True), tmp_path, begin_of_text="<s>")
    with pytest.raises(UnsupportedModelError) as caught:
        load_model(tmp_path, name="tiny", source="", fingerprint="f", device="cpu")
    assert caught.value.message.startswith(f"tiny ({family}) ")
    assert "Llama" in caught.value.hint
