"""Everything the weight files hold is in the model, and nothing in the model is made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.tiny_models import edit_config, edit_weights
from tui_lookups.errors import LookupsError, ModelLoadError
from tui_lookups.model.inventory import folder_inventory
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel

Weights = dict[str, Tensor]
ROW = torch.randint(3, 290, (1, 12), generator=torch.Generator().manual_seed(9))
DOWN = "model.layers.0.mlp.down_proj"


def load(folder: Path) -> LookupModel:
    return load_model(folder, name="tiny", source="", fingerprint="f", device="cpu")


def refusal(folder: Path) -> ModelLoadError:
    """Why a folder is refused: one sentence and a hint; what is refused is in its inventory too."""
    with pytest.raises(ModelLoadError) as caught:
        load(folder)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert any(entry.fate == "refused" for entry in folder_inventory(folder))
    return caught.value


def log_probabilities(model: LookupModel) -> Tensor:
    return model.log_probabilities(ROW, torch.tensor([11]))


def add(name: str, values: Tensor) -> Callable[[Weights], object]:
    return lambda weights: weights.update({name: values})


def eight_bits(dtype: torch.dtype, scale: str | None) -> Callable[[Weights], object]:
    """Every matrix of the blocks in eight bits, with a scale beside it or without one."""

    def edit(weights: Weights) -> None:
        for name in [name for name in weights if name.endswith("_proj.weight")]:
            largest = weights[name].abs().max()
            full = 127 if dtype == torch.int8 else 448
            weights[name] = (weights[name] / largest * full).to(dtype)
            if scale is not None:
                weights[name.replace("weight", scale)] = largest / full

    return edit


class TestQuantised:
    @pytest.mark.parametrize(
        "edit",
        [
            eight_bits(torch.float8_e4m3fn, "weight_scale"),
            eight_bits(torch.float8_e5m2, "weight_scale_inv"),
            eight_bits(torch.float8_e4m3fn, None),
            eight_bits(torch.int8, "SCB"),
            eight_bits(torch.int8, None),
            *(
                add(f"{DOWN}.{name}", torch.ones(4))
                for name in (
                    "qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_zero_point", "absmax",
                    "quant_map", "weight.quant_state.bitsandbytes__nf4", "input_scale",
                )
            ),
        ],
    )  # fmt: skip
    def test_weights_that_need_what_is_beside_them(self, copied, edit: Callable[[Weights], object]) -> None:
        folder = copied()
        edit_weights(folder, edit)
        refused = refusal(folder)
        assert "tiny is quantised (model.layers.0." in refused.message
        assert "unquantised" in refused.hint

    @pytest.mark.parametrize("file", ["hf_quant_config.json", "quantize_config.json", "quant_config.json"])
    def test_the_note_of_a_quantiser(self, copied, file: str) -> None:
        folder = copied()
        (folder / file).write_text("{}")
        assert f"quantised ({file})" in refusal(folder).message

    @pytest.mark.parametrize("key", ["quantization_config", "quantization", "compression_config"])
    def test_a_key_of_a_quantiser(self, copied, key: str) -> None:
        folder = copied()
        edit_config(folder, **{key: {"quant_method": "fp8", "bits": 4}})
        assert f"quantised ({key})" in refusal(folder).message


class TestAdapters:
    @pytest.mark.parametrize(
        "file", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"]
    )
    def test_beside_weights(self, copied, file: str) -> None:
        folder = copied()
        (folder / file).write_bytes(b"{}")
        refused = refusal(folder)
        assert f"holds an adapter ({file})" in refused.message
        assert "merge_and_unload" in refused.hint

    @pytest.mark.parametrize(
        "name", ["lora_A.weight", "lora_B.default.weight", "lora_magnitude_vector", "base_layer.weight"]
    )
    def test_inside_the_weights(self, copied, name: str) -> None:
        folder = copied()
        edit_weights(folder, add(f"{DOWN}.{name}", torch.ones(2, 2)))
        assert f"holds an adapter ({DOWN}.{name})" in refusal(folder).message


class TestNoPlace:
    @pytest.mark.parametrize(
        ("family", "tensor", "shape"),
        [
            ("llama", "model.layers.1.self_attn.q_norm.weight", (4,)),
            ("llama", "model.layers.1.self_attn.q_proj.bias", (16,)),
            ("llama", "model.layers.2.mlp.down_proj.bias", (16,)),
            ("llama", "model.layers.3.input_layernorm.weight", (16,)),
            ("llama", "model.layers.0.mlp.experts.0.gate_proj.weight", (28, 16)),
            ("llama", "model.norm.bias", (16,)),
            ("llama", "score.weight", (2, 16)),
            ("llama", "something", ()),
            ("gpt2", "transformer.h.1.attn.c_attn.scale", (48,)),
            ("gpt2", "transformer.h.1.attn.bias", (16,)),
            ("gpt_neox_parallel", "gpt_neox.layers.0.attention.bias", (16,)),
            ("qwen2", "model.layers.0.self_attn.o_proj.bias", (16,)),
        ],
    )
    def test_a_tensor_too_many(self, copied, family: str, tensor: str, shape: tuple[int, ...]) -> None:
        """Also where the class of transformers says that it is to be ignored (attn.bias)."""
        folder = copied(family)
        edit_weights(folder, add(tensor, torch.full(shape, 0.5)))
        refused = refusal(folder)
        assert f"holds {tensor}, for which" in refused.message
        entries = {entry.name: entry.fate for entry in folder_inventory(folder)}
        assert entries[tensor] == "refused"

    @pytest.mark.parametrize(("family", "key"), [("llama", "num_hidden_layers"), ("gpt2", "n_layer")])
    def test_more_layers_than_the_configuration_says(self, copied, family: str, key: str) -> None:
        folder = copied(family)
        edit_config(folder, **{key: 2})
        message = refusal(folder).message
        assert ".2." in message
        assert "more, for which" in message

    def test_a_tensor_under_two_names(self, copied) -> None:
        folder, name = copied(), "model.layers.1.mlp.up_proj.weight"
        edit_weights(folder, lambda w: w.update({name.removeprefix("model."): w[name] * 2}))
        assert f"holds {name} under two names" in refusal(folder).message


class TestHarmless:
    def kept(self, copied, tiny_model, family: str, edit: Callable[[Weights], object]) -> list[str]:
        """Load with `edit` done; the model must be the same. Returns the names of what is harmless."""
        folder = copied(family)
        edit_weights(folder, edit)
        assert torch.equal(log_probabilities(load(folder)), log_probabilities(tiny_model(family)))
        return [entry.name for entry in folder_inventory(folder) if entry.fate == "harmless"]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
    def test_rotary_frequencies(self, copied, tiny_model, dtype: torch.dtype) -> None:
        table, name = torch.tensor([1.0, 0.01]).to(dtype), "model.layers.1.self_attn.rotary_emb.inv_freq"
        assert name in self.kept(copied, tiny_model, "llama", add(name, table))

    @pytest.mark.parametrize("values", [[1.0, 0.02], [1.0], [1.0, 0.01, 0.001]])
    def test_other_frequencies_than_the_models_own(self, copied, values: list[float]) -> None:
        folder, name = copied(), "model.layers.1.self_attn.rotary_emb.inv_freq"
        edit_weights(folder, add(name, torch.tensor(values)))
        assert f"holds {name}" in refusal(folder).message

    def test_causal_masks(self, copied, tiny_model) -> None:
        mask = torch.ones(1, 1, 48, 48, dtype=torch.uint8).tril()

        def edit(weights: Weights) -> None:
            weights["transformer.h.0.attn.bias"] = mask
            weights["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)

        harmless = self.kept(copied, tiny_model, "gpt2", edit)
        assert "transformer.h.0.attn.bias" in harmless
        assert "transformer.h.0.attn.masked_bias" in harmless

    def test_a_mask_that_is_not_causal(self, copied) -> None:
        folder = copied("gpt2")
        edit_weights(folder, add("transformer.h.0.attn.bias", torch.ones(1, 1, 48, 48, dtype=torch.uint8)))
        assert "attn.bias" in refusal(folder).message

    def test_names_without_the_prefix_of_the_body(self, copied, tiny_model) -> None:
        """As a checkpoint of the bare body has them."""

        def edit(weights: Weights) -> None:
            for name in list(weights):
                weights[name.removeprefix("transformer.")] = weights.pop(name)

        self.kept(copied, tiny_model, "gpt2", edit)


class TestHeads:
    def test_a_head_of_its_own_wins_over_a_tie_in_the_configuration(self, copied, tiny_model) -> None:
        folder = copied("llama")
        edit_config(folder, tie_word_embeddings=True)
        assert torch.equal(log_probabilities(load(folder)), log_probabilities(tiny_model("llama")))

    def test_a_head_with_the_embeddings_values_is_tied(self, copied, tiny_model) -> None:
        folder = copied("qwen2")
        edit_weights(folder, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}))
        assert torch.equal(log_probabilities(load(folder)), log_probabilities(tiny_model("qwen2")))

    def test_no_head_and_no_tie(self, copied, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where the class of transformers says that a missing head is nothing to speak of."""
        from transformers import LlamaForCausalLM

        folder = copied("llama")
        edit_weights(folder, lambda w: w.pop("lm_head.weight"))
        assert "lack lm_head.weight" in refusal(folder).message
        monkeypatch.setattr(LlamaForCausalLM, "_keys_to_ignore_on_load_missing", ["lm_head"])
        assert "lack lm_head.weight" in refusal(folder).message


@pytest.mark.parametrize("tensor", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_values_that_loading_changed(copied, monkeypatch: pytest.MonkeyPatch, tensor: str) -> None:
    """The embedding is large enough here for a sample to stand for it."""
    from transformers import AutoModelForCausalLM

    from tui_lookups.model import tensor_places

    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(tensor_places, "_WHOLE", 1024)
    monkeypatch.setattr(tensor_places, "_SAMPLE", 256)

    def permuted(*given: Any, **named: Any) -> Any:
        model, report = real(*given, **named)
        held = model.get_parameter(tensor)
        held.data = held.data.flip(1).contiguous()
        return model, report

    folder = copied()
    load(folder)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", permuted)
    with pytest.raises(ModelLoadError, match="other values") as caught:
        load(folder)
    assert tensor in caught.value.message


def test_pytorchs_own_format_is_held_to_the_same(copied, tiny_model) -> None:
    folder = copied()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert torch.equal(log_probabilities(load(folder)), log_probabilities(tiny_model("llama")))
    torch.save({**weights, f"{DOWN}.bias": torch.ones(16)}, folder / "pytorch_model.bin")
    assert f"holds {DOWN}.bias" in refusal(folder).message


# --- one random change ---

KEYS: dict[str, Any] = {
    "sliding_window": 4,
    "qk_norm": True,
    "logit_scale": 0.5,
    "final_logit_softcapping": 30.0,
    "layer_types": ["sliding_attention"] * 3,
    "alibi": True,
    "something_new": 3,
    "use_qk_norm": False,
    "transformers_weights": "model.safetensors",
}
"""None is known to GPT-2 or Llama: each is refused, or changes nothing."""


def change(folder: Path, generator: torch.Generator) -> str:
    """Do one random change to a folder; returns what it was."""

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[draw(len(weights))]
    what = ("drop", "add", "rename", "type", "shape", "key")[draw(6)]
    other = sorted(weights)[draw(len(weights))]
    if what == "key":
        key = sorted(KEYS)[draw(len(KEYS))]
        edit_config(folder, **{key: KEYS[key]})
        return f"{what} {key}"
    if what == "drop":
        del weights[name]
    elif what == "add":
        name = (f"{name}_scale", f"extra.{name}", name.replace("weight", "bias2"), f"{name}.0")[draw(4)]
        weights[name] = torch.ones(3)
    elif what == "rename":
        new = (name.replace("0", "9"), name.upper(), name.partition(".")[2], f"model.{name}", other)[draw(5)]
        weights[new or "none"] = weights.pop(name)
    elif what == "type":
        kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.float8_e4m3fn)
        weights[name] = weights[name].to(kinds[draw(len(kinds))])
    else:
        shapes = (weights[name][:-1], weights[name][None], weights[name].flatten()[:-1], weights[name].T)
        weights[name] = shapes[draw(4)].contiguous()
    save_file({k: v.clone() for k, v in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return f"{what} {name}"


def outcome(folder: Path) -> tuple[LookupModel | None, LookupsError | None]:
    try:
        return load(folder), None
    except LookupsError as error:
        return None, error


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("seed", range(6))
def test_one_change_gives_the_same_model_or_a_sentence(
    copied, reference, tmp_path: Path, family: str, seed: int
) -> None:
    """Against the float64 activations of transformers on the files as they were."""
    of, generator = reference(family), torch.Generator().manual_seed(seed)
    wanted = {str(layer): (of.part(layer, of.names.down), "in") for layer in range(3)}
    expected, _ = of.capture(ROW, wanted)
    unchanged = copied(family)
    for number in range(4):
        folder = Path(shutil.copytree(unchanged, tmp_path / str(number)))
        what = change(folder, generator)
        model, error = outcome(folder)
        if error is not None:
            assert "\n" not in error.message
            assert error.message.startswith(("tiny ", "The configuration of tiny ")), what
            assert "cannot be loaded" not in error.message, f"{what}: a library's own words"
            assert error.hint
            continue
        assert model is not None
        found: dict[str, Tensor] = {}
        model.mlp_activations(
            ROW, range(3), lambda layer, values, found=found: found.update({str(layer): values.double()})
        )
        for layer, values in expected.items():
            assert torch.allclose(found[layer], values, atol=0.05), f"{what}: {layer}"
        fates = {entry.fate for entry in folder_inventory(folder)}
        assert "refused" not in fates, what


def test_a_folder_as_it_is_holds_nothing_refused(tiny_folder) -> None:
    entries = folder_inventory(tiny_folder("llama"))
    by_kind = {kind: [e for e in entries if e.kind == kind] for kind in ("file", "key", "tensor")}
    held = load_file(tiny_folder("llama") / "model.safetensors")
    keys = json.loads((tiny_folder("llama") / "config.json").read_text())
    assert {e.name for e in by_kind["tensor"]} == set(held)
    assert {e.name for e in by_kind["key"]} == set(keys)
    assert {e.name for e in by_kind["file"]} == {path.name for path in tiny_folder("llama").iterdir()}
    assert {e.fate for e in by_kind["tensor"]} == {"applied"}
    assert not [e for e in entries if e.fate == "refused"]
