"""Tiny random models of every supported family, saved as Hugging Face folders.

1. A configuration of the family, a few blocks of a few dozen units, is built through transformers.
2. Every parameter is drawn anew from a seeded generator, so that nothing is a neutral element: norm weights
   lie around 1 (around 0 where the norm adds 1 itself), every bias is of order 1, linear maps keep the
   scale of what they read. A decomposition that drops a term cannot close on such a model by luck.
3. The model goes to disk as float32 safetensors with a small tokenizer of as many entries as rows; families
   whose real tokenizers define no begin-of-text (Qwen, GPT-NeoX in practice) get none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.tiny_tokenizers import byte_level_tokenizer, filled, save_tokenizer, sentencepiece_tokenizer

N_HEADS = 4
N_CTX = 48
VOCABULARY = 320

_GPT = {"vocab_size": VOCABULARY, "tie_word_embeddings": False}
_LLAMA = {
    **_GPT,
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 3,
    "num_attention_heads": N_HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": N_CTX,
}


@dataclass(frozen=True)
class Recipe:
    """How to build one tiny model: the transformers configuration class and its arguments."""

    config_class: str
    arguments: dict[str, Any] = field(default_factory=dict)
    begin_of_text: bool = True
    sentencepiece: bool = False


def _neox(parallel: bool) -> Recipe:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": N_HEADS,
    }
    return Recipe(
        "GPTNeoXConfig",
        {
            **_GPT,
            **sizes,
            "max_position_embeddings": N_CTX,
            "use_parallel_residual": parallel,
            "rotary_pct": 0.5,
        },
        begin_of_text=False,
    )


def _gemma(name: str, **more: Any) -> Recipe:
    return Recipe(
        name,
        {
            **_LLAMA,
            "tie_word_embeddings": True,
            "head_dim": 6,
            "hidden_activation": "gelu_pytorch_tanh",
            **more,
        },
        sentencepiece=True,
    )


_OPT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "ffn_dim": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": N_HEADS,
    "max_position_embeddings": N_CTX,
    "word_embed_proj_dim": 16,
}


RECIPES: dict[str, Recipe] = {
    "gpt2": Recipe(
        "GPT2Config",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 16,
            "n_layer": 3,
            "n_head": N_HEADS,
            "n_inner": 40,
            "n_positions": N_CTX,
        },
    ),
    "gpt_neo": Recipe(
        "GPTNeoConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": N_HEADS,
            "intermediate_size": 40,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 5,
            "max_position_embeddings": N_CTX,
        },
    ),
    "gpt_neox_parallel": _neox(True),
    "gpt_neox_sequential": _neox(False),
    "gptj": Recipe(
        "GPTJConfig",
        {
            **_GPT,
            "n_embd": 16,
            "n_layer": 3,
            "n_head": N_HEADS,
            "n_inner": 40,
            "rotary_dim": 2,
            "n_positions": N_CTX,
        },
    ),
    "opt": Recipe("OPTConfig", _OPT),
    "phi": Recipe(
        "PhiConfig",
        {
            **_GPT,
            "hidden_size": 16,
            "intermediate_size": 40,
            "num_hidden_layers": 3,
            "num_attention_heads": N_HEADS,
            "max_position_embeddings": N_CTX,
            "partial_rotary_factor": 0.5,
        },
    ),
    "llama": Recipe("LlamaConfig", {**_LLAMA}, sentencepiece=True),
    "mistral": Recipe("MistralConfig", {**_LLAMA, "sliding_window": 7}, sentencepiece=True),
    "qwen2": Recipe("Qwen2Config", {**_LLAMA, "tie_word_embeddings": True}, begin_of_text=False),
    "qwen3": Recipe("Qwen3Config", {**_LLAMA, "head_dim": 6, "attention_bias": True}, begin_of_text=False),
    "gemma": _gemma("GemmaConfig"),
    "gemma2": _gemma(
        "Gemma2Config",
        attn_logit_softcapping=20.0,
        final_logit_softcapping=25.0,
        attention_bias=True,
        query_pre_attn_scalar=6,
        sliding_window=7,
    ),
    "gemma3_text": _gemma(
        "Gemma3TextConfig",
        query_pre_attn_scalar=6,
        sliding_window=7,
        layer_types=["sliding_attention"] * 2 + ["full_attention"],
    ),
    "olmo": Recipe("OlmoConfig", {**_LLAMA, "clip_qkv": None}),
    "olmo2": Recipe("Olmo2Config", {**_LLAMA}),
}
"""By family, GPT-NeoX twice: attention beside the MLP (Pythia) and before it."""

_FALCON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": N_HEADS,
    "max_position_embeddings": N_CTX,
}
_WINDOWED = ["sliding_attention"] * 2 + ["full_attention"]

FURTHER: dict[str, Recipe] = {
    "apertus": Recipe("ApertusConfig", {**_LLAMA}),
    "arcee": Recipe("ArceeConfig", {**_LLAMA}),
    "biogpt": Recipe("BioGptConfig", {**_FALCON, "intermediate_size": 40}),
    "bloom": Recipe(
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 3, "n_head": N_HEADS, "seq_length": N_CTX},
    ),
    "cohere": Recipe("CohereConfig", {**_LLAMA, "logit_scale": 0.25}),
    "cohere2": Recipe("Cohere2Config", {**_LLAMA, "sliding_window": 7, "layer_types": _WINDOWED}),
    "ernie4_5": Recipe("Ernie4_5Config", {**_LLAMA, "head_dim": 4}),
    "exaone4": Recipe(
        "Exaone4Config",
        {**_LLAMA, "sliding_window": 7, "sliding_window_pattern": 3, "layer_types": _WINDOWED},
    ),
    "codegen": Recipe("CodeGenConfig", {**RECIPES["gptj"].arguments, "n_ctx": N_CTX}),
    "falcon": Recipe("FalconConfig", _FALCON),
    "falcon_new": Recipe("FalconConfig", {**_FALCON, "num_kv_heads": 2, "new_decoder_architecture": True}),
    "falcon_alibi": Recipe(
        "FalconConfig", {**_FALCON, "alibi": True, "parallel_attn": False, "multi_query": False, "bias": True}
    ),
    "glm": Recipe("GlmConfig", {**_LLAMA, "head_dim": 4, "attention_bias": True, "pad_token_id": None}),
    "glm4": Recipe("Glm4Config", {**_LLAMA, "head_dim": 4, "attention_bias": True, "pad_token_id": None}),
    "gpt_bigcode": Recipe(
        "GPTBigCodeConfig",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 16,
            "n_layer": 3,
            "n_head": N_HEADS,
            "n_inner": 40,
            "n_positions": N_CTX,
        },
    ),
    "granite": Recipe(
        "GraniteConfig",
        {
            **_LLAMA,
            "residual_multiplier": 0.22,
            "logits_scaling": 8.0,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.3,
        },
    ),
    "hunyuan_v1_dense": Recipe("HunYuanDenseV1Config", {**_LLAMA, "head_dim": 4}),
    "jais2": Recipe("Jais2Config", {**_LLAMA}),
    "ministral3": Recipe("Ministral3Config", {**_LLAMA, "head_dim": 6, "sliding_window": 7}),
    "mpt": Recipe(
        "MptConfig",
        {
            "vocab_size": VOCABULARY,
            "d_model": 16,
            "n_heads": N_HEADS,
            "n_layers": 3,
            "expansion_ratio": 2,
            "max_seq_len": N_CTX,
        },
    ),
    "nemotron": Recipe("NemotronConfig", {**_LLAMA}),
    "nanochat": Recipe("NanoChatConfig", {**_LLAMA}),
    "olmo3": Recipe("Olmo3Config", {**_LLAMA, "sliding_window": 7, "layer_types": _WINDOWED}),
    "phi3": Recipe("Phi3Config", {**_LLAMA, "sliding_window": 7, "pad_token_id": None}),
    "seed_oss": Recipe("SeedOssConfig", {**_LLAMA, "head_dim": 6}),
    "smollm3": Recipe("SmolLM3Config", {**_LLAMA, "no_rope_layers": [1, 0, 1], "pad_token_id": None}),
    "stablelm": Recipe("StableLmConfig", {**_LLAMA, "partial_rotary_factor": 0.5}),
    "stablelm_parallel": Recipe(
        "StableLmConfig",
        {**_LLAMA, "partial_rotary_factor": 0.5, "use_parallel_residual": True},
    ),
    "starcoder2": Recipe("Starcoder2Config", {**_LLAMA, "sliding_window": 7}),
}
"""Families that are held to the Hugging Face model and to closing, but not to a reference of their own:
each in a part of the tests (tests/analysis/test_further_families.py), so that these stay quick."""

_CLOVA = {**_LLAMA, "residual_multiplier": 0.3, "logits_scaling": 0.125, "embedding_multiplier": 4.0}

ALIKE: dict[str, Recipe] = {
    "apertus1p5_text": Recipe("Apertus1p5TextConfig", {**_LLAMA}),
    "cwm": Recipe("CwmConfig", {**_LLAMA, "sliding_window": 7, "layer_types": _WINDOWED}),
    "exaone": Recipe("ExaoneConfig", {**_LLAMA}),
    "granitemoehybrid": Recipe(
        "GraniteMoeHybridConfig",
        {
            **FURTHER["granite"].arguments,
            "layer_types": ["attention"] * 3,
            "num_local_experts": 0,
            "shared_intermediate_size": 28,
            "mamba_n_heads": 4,
        },
    ),
    "helium": Recipe("HeliumConfig", {**_LLAMA, "head_dim": 4}),
    "hyperclovax": Recipe("HyperCLOVAXConfig", _CLOVA),
    "hyperclovax_without": Recipe("HyperCLOVAXConfig", {**_CLOVA, "use_post_norm": False}),
    "internlm3": Recipe("InternLM3Config", {**_LLAMA}),
    "iquestcoder": Recipe("IQuestCoderConfig", {**_LLAMA}),
    "ministral": Recipe(
        "MinistralConfig", {**_LLAMA, "head_dim": 6, "sliding_window": 7, "layer_types": _WINDOWED}
    ),
    "openai-gpt": Recipe(
        "OpenAIGPTConfig",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": N_HEADS, "n_positions": N_CTX},
        begin_of_text=False,
    ),
    "opt_post_ln": Recipe("OPTConfig", {**_OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 12}),
    "persimmon": Recipe("PersimmonConfig", {**_LLAMA, "partial_rotary_factor": 0.5}),
    "vaultgemma": _gemma(
        "VaultGemmaConfig",
        attn_logit_softcapping=20.0,
        final_logit_softcapping=25.0,
        query_pre_attn_scalar=6,
        sliding_window=7,
    ),
}
"""Families whose modules are those of one above, by other names: held to the Hugging Face model and to
closing, and their files to the loaded model, without a part in every other test."""

REFUSED: dict[str, dict[str, Any]] = {
    "mixtral": {"model_type": "mixtral", "num_local_experts": 8},
    "qwen3_moe": {"model_type": "qwen3_moe", "num_experts": 128},
    "unheard-of experts": {"model_type": "sparsenet", "n_routed_experts": 16},
    "mamba": {"model_type": "mamba"},
    "rwkv": {"model_type": "rwkv"},
    "jamba": {"model_type": "jamba"},
    "bert": {"model_type": "bert"},
    "t5": {"model_type": "t5", "is_encoder_decoder": True},
    "unheard-of encoder-decoder": {"model_type": "whisperer", "is_encoder_decoder": True},
    "nGPT": {"model_type": "dory"},
    "a hybrid": {"model_type": "qwen3_5_text"},
    "unheard-of hybrid": {"model_type": "weavenet", "layer_types": ["full_attention", "linear_attention"]},
    "rescaled between blocks": {"model_type": "gemma4_text"},
    "several streams": {"model_type": "gemma3n_text"},
    "activations normalised": {"model_type": "bitnet"},
    "attention less attention": {"model_type": "diffllama"},
    "attention sinks": {"model_type": "granite_swa"},
    "multimodal": {"model_type": "llava", "vision_config": {"hidden_size": 8}},
    "attention only": {"model_type": "toy", "attn_only": True},
}
"""Configurations of models without MLP neurons of our kind: nothing but config.json is needed."""


def save_tiny_model(name: str, folder: Path, *, seed: int = 0) -> None:
    """Write the tiny model `name` of the recipes, with its tokenizer, into a folder."""
    save_recipe((RECIPES | FURTHER | ALIKE)[name], folder, seed=seed)


def save_recipe(recipe: Recipe, folder: Path, *, seed: int = 0) -> None:
    """Write the model that a recipe makes, with its tokenizer, into a folder."""
    import transformers

    config = getattr(transformers, recipe.config_class)(**recipe.arguments)
    has_bos = recipe.begin_of_text
    tokenizer = sentencepiece_tokenizer() if recipe.sentencepiece else byte_level_tokenizer(has_bos)
    tokenizer = filled(tokenizer, VOCABULARY)
    config.bos_token_id = tokenizer.token_to_id("<s>") if has_bos else None
    config.eos_token_id = tokenizer.token_to_id("</s>")
    config.pad_token_id = None
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, seed)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, begin_of_text="<s>" if has_bos else None)


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Draw every parameter anew, in place, none of them neutral."""
    generator = torch.Generator().manual_seed(seed)

    def draw(values: torch.Tensor, scale: float, around: float = 0.0) -> None:
        values.copy_(around + scale * torch.randn(values.shape, generator=generator))

    for module in model.modules():
        kind = type(module).__name__
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if "Norm" in kind:
            if weight is not None:
                draw(weight, 0.3, 0.0 if kind.startswith("Gemma") else 1.0)
            if bias is not None:
                draw(bias, 0.3)
        elif isinstance(module, nn.Embedding):
            draw(module.weight, 1.0)
        elif kind == "Conv1D" or isinstance(module, nn.Linear):
            assert isinstance(weight, torch.Tensor)
            fan_in = weight.shape[0] if kind == "Conv1D" else weight.shape[1]
            draw(weight, fan_in**-0.5)
            if isinstance(bias, torch.Tensor):
                draw(bias, 0.3)


def attention_of(folder: Path) -> str:
    """The implementation of attention that a reference runs: eager, but in Falcon with ALiBi, where
    transformers' eager attention adds the distances that its mask has already."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "sdpa" if config["model_type"] == "falcon" and config.get("alibi") else "eager"


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a folder's model.safetensors in place."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    edit(weights)
    save_file(
        {name: values.contiguous() for name, values in weights.items()}, path, metadata={"format": "pt"}
    )


def edit_config(folder: Path, **changes: Any) -> None:
    """Set keys of a folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


def save_config_only(config: dict[str, Any], folder: Path) -> None:
    """A folder that has a configuration and no weights: enough to be refused."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
