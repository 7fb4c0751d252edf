"""Every family, and every key that changes what it computes: as a forward pass from the file itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.model.gguf.conftest import IDS, Opened, require_equal
from tests.model.gguf.files import HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, MLP, Content, tiny
from tests.model.gguf.reference import computed
from tui_lookups.ids import NeuronId
from tui_lookups.model.gguf.families import GGUF_FAMILIES
from tui_lookups.model.loading import load_model


@pytest.mark.parametrize("architecture", GGUF_FAMILIES)
def test_a_family_computes_what_the_file_says(opened: Opened, architecture: str) -> None:
    content = tiny(architecture)
    require_equal(opened(content).folder, content)


def biases(content: Content, **kinds: int) -> None:
    random = np.random.default_rng(1)
    for layer in range(LAYERS):
        for kind, size in kinds.items():
            bias = 0.5 * random.standard_normal(size)
            content.tensors[f"blk.{layer}.{kind}.bias"] = bias.astype(np.float32)


def attention_biases(content: Content) -> None:
    biases(content, attn_q=HEADS * HEAD_DIM, attn_k=KV_HEADS * HEAD_DIM, attn_v=KV_HEADS * HEAD_DIM)


def all_biases(content: Content) -> None:
    attention_biases(content)
    biases(content, attn_output=HIDDEN, ffn_gate=MLP, ffn_up=MLP, ffn_down=HIDDEN)


def frequency_factors(content: Content) -> None:
    content.tensors["rope_freqs.weight"] = np.array([1.0, 1.5, 4.0, 8.0], np.float32)


def tied(content: Content) -> None:
    del content.tensors["output.weight"]


def keys(**changed: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for key, value in changed.items():
            content.keys[f"{content.architecture}.{key.replace('__', '.')}"] = value

    return change


def both(*changes: Callable[[Content], None]) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for one in changes:
            one(content)

    return change


LINEAR = keys(rope__scaling__type="linear", rope__scaling__factor=4.0)
YARN = keys(rope__scaling__type="yarn", rope__scaling__factor=4.0, rope__scaling__original_context_length=16)


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        pytest.param("llama", attention_biases, id="llama: attention biases, none on the output"),
        pytest.param("llama", all_biases, id="llama: biases everywhere"),
        pytest.param("llama", frequency_factors, id="llama: rope_freqs"),
        pytest.param("llama", both(frequency_factors, LINEAR), id="llama: rope_freqs and a factor"),
        pytest.param("llama", LINEAR, id="llama: linear scaling"),
        pytest.param("llama", keys(rope__scale_linear=2.0), id="llama: linear scaling, early key"),
        pytest.param("llama", YARN, id="llama: yarn"),
        pytest.param("llama", tied, id="llama: tied"),
        pytest.param("llama", keys(attention__layer_norm_rms_epsilon=0.3), id="llama: epsilon"),
        pytest.param("qwen2", YARN, id="qwen2: yarn"),
        pytest.param("qwen2", keys(rope__freq_base=7.0), id="qwen2: base"),
        pytest.param("qwen3", tied, id="qwen3: tied"),
        pytest.param("gemma2", keys(attention__sliding_window=2), id="gemma2: window"),
        pytest.param("gemma2", keys(attn_logit_softcapping=0.5), id="gemma2: cap on scores"),
        pytest.param("gemma2", keys(final_logit_softcapping=0.5), id="gemma2: cap on logits"),
        pytest.param("gemma3", keys(rope__freq_base_swa=50.0), id="gemma3: base of windowed layers"),
        pytest.param("gpt2", tied, id="gpt2: tied"),
        pytest.param("gptneox", keys(use_parallel_residual=False), id="gptneox: one after the other"),
        pytest.param("gptneox", keys(rope__dimension_count=6), id="gptneox: partial rotation"),
        pytest.param("phi2", keys(rope__dimension_count=8), id="phi2: whole rotation"),
        pytest.param("starcoder2", tied, id="starcoder2: tied"),
        pytest.param("olmo2", YARN, id="olmo2: yarn"),
    ],
)
def test_what_changes_the_computation_is_applied(
    opened: Opened, architecture: str, change: Callable[[Content], None]
) -> None:
    content = tiny(architecture)
    before = computed(content, IDS).logits
    change(content)
    folder = opened(content).folder
    assert np.abs(computed(content, IDS).logits - before).max() > 0.01, "the change must be one"
    require_equal(folder, content)


def test_gemma_3_has_layers_without_a_window(opened: Opened) -> None:
    """The sixth layer; with three layers there is none."""
    content = tiny("gemma3")
    content.keys["gemma3.block_count"] = 6
    for name, values in list(content.tensors.items()):
        if name.startswith("blk."):
            _, layer, rest = name.split(".", 2)
            content.tensors[f"blk.{int(layer) + 3}.{rest}"] = values
    LINEAR(content)
    require_equal(opened(content).folder, content)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_weights_are_those_of_the_file(opened: Opened, kind: str) -> None:
    content = tiny("llama")
    for name, values in content.tensors.items():
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            content.types[name] = kind
    require_equal(opened(content).folder, content)


@pytest.mark.parametrize(
    ("architecture", "change"),
    [("llama", both(frequency_factors, attention_biases)), ("qwen3", tied), ("gemma3", keys())],
)
def test_the_loaded_model_has_these_activations(
    opened: Opened, architecture: str, change: Callable[[Content], None]
) -> None:
    """As the scan sees them, not only as transformers computes them."""
    content = tiny(architecture)
    change(content)
    model = load_model(opened(content).folder, name="tiny", source="", fingerprint="", device="cpu")
    right = computed(content, IDS).activations
    for layer in range(LAYERS):
        for index in (0, MLP - 1):
            found = model.neuron_activations(model.batch([IDS]), NeuronId(layer, index)).numpy()
            np.testing.assert_allclose(found[0], right[layer, :, index], rtol=1e-3, atol=1e-4)
