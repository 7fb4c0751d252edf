"""Which model families are known, and which models have no MLP neuron of our kind.

1. Before any weight is loaded, `refuse_unsupported` reads the configuration and refuses, by name, models
   whose MLP neurons are not what this tool means by one (mixtures of experts, state-space models, ...).
2. For the families in `FAMILIES` a loaded model must be wired as the table says (architecture.py), and its
   files name their tensors as file_layouts.py says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tui_lookups.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table; what is None in it the configuration decides.

    `norm` is the norm kind; `post_norms` says that a norm follows attention and MLP; `pre_norm` is False
    where the MLP reads the residual stream without a norm (OLMo 2: sigma = 1); `post_ln` that norms take the
    residual sums themselves (method.md, section 4, "Post-LN").
    """

    label: str
    gated: bool | None
    own_layer: bool | None
    norm: Literal["LayerNorm", "RMSNorm"]
    post_norms: bool | None = False
    pre_norm: bool = True
    post_ln: bool | None = False


FAMILIES: dict[str, Family] = {
    "gpt2": Family("GPT-2", False, True, "LayerNorm"),
    "gpt_neo": Family("GPT-Neo", False, True, "LayerNorm"),
    "gpt_neox": Family("GPT-NeoX / Pythia", False, None, "LayerNorm"),
    "gptj": Family("GPT-J", False, False, "LayerNorm"),
    "opt": Family("OPT", False, True, "LayerNorm", post_ln=None),
    "phi": Family("Phi", False, False, "LayerNorm"),
    "llama": Family("Llama", True, True, "RMSNorm"),
    "mistral": Family("Mistral", True, True, "RMSNorm"),
    "qwen2": Family("Qwen 2", True, True, "RMSNorm"),
    "qwen3": Family("Qwen 3", True, True, "RMSNorm"),
    "gemma": Family("Gemma 1", True, True, "RMSNorm"),
    "gemma2": Family("Gemma 2", True, True, "RMSNorm", post_norms=True),
    "gemma3_text": Family("Gemma 3", True, True, "RMSNorm", post_norms=True),
    "olmo": Family("OLMo 1", True, True, "LayerNorm"),
    "olmo2": Family("OLMo 2", True, True, "RMSNorm", post_norms=True, pre_norm=False),
    "apertus": Family("Apertus", False, True, "RMSNorm"),
    "apertus1p5_text": Family("Apertus 1.5", False, True, "RMSNorm"),
    "arcee": Family("Arcee", False, True, "RMSNorm"),
    "bloom": Family("BLOOM", False, True, "LayerNorm"),
    "cohere": Family("Cohere (Command R)", True, False, "LayerNorm"),
    "cohere2": Family("Cohere 2", True, False, "LayerNorm"),
    "cwm": Family("CWM", True, True, "RMSNorm"),
    "ernie4_5": Family("ERNIE 4.5", True, True, "RMSNorm"),
    "exaone": Family("EXAONE 3", True, True, "RMSNorm"),
    "exaone4": Family("EXAONE 4", True, True, "RMSNorm", post_norms=True, pre_norm=False),
    "biogpt": Family("BioGPT", False, True, "LayerNorm"),
    "codegen": Family("CodeGen", False, False, "LayerNorm"),
    "falcon": Family("Falcon", False, None, "LayerNorm"),
    "glm": Family("GLM", True, True, "RMSNorm"),
    "glm4": Family("GLM 4", True, True, "RMSNorm", post_norms=True),
    "gpt_bigcode": Family("GPT-BigCode (SantaCoder, StarCoder)", False, True, "LayerNorm"),
    "granite": Family("Granite", True, True, "RMSNorm"),
    "granitemoehybrid": Family("Granite 4 (dense)", True, True, "RMSNorm"),
    "helium": Family("Helium", True, True, "RMSNorm"),
    "hunyuan_v1_dense": Family("Hunyuan (dense)", True, True, "RMSNorm"),
    "hyperclovax": Family("HyperCLOVA X", True, True, "RMSNorm", post_norms=None),
    "internlm3": Family("InternLM 3", True, True, "RMSNorm"),
    "iquestcoder": Family("IQuest Coder", True, True, "RMSNorm"),
    "jais2": Family("Jais 2", False, True, "LayerNorm"),
    "ministral": Family("Ministral", True, True, "RMSNorm"),
    "ministral3": Family("Ministral 3", True, True, "RMSNorm"),
    "mpt": Family("MPT", False, True, "LayerNorm"),
    "nanochat": Family("NanoChat", False, True, "RMSNorm"),
    "nemotron": Family("Nemotron", False, True, "LayerNorm"),
    "olmo3": Family("OLMo 3", True, True, "RMSNorm", post_norms=True, pre_norm=False),
    "openai-gpt": Family("OpenAI-GPT", False, True, "LayerNorm", post_ln=True),
    "persimmon": Family("Persimmon", False, True, "LayerNorm"),
    "phi3": Family("Phi 3", True, True, "RMSNorm"),
    "seed_oss": Family("Seed-OSS", True, True, "RMSNorm"),
    "smollm3": Family("SmolLM3", True, True, "RMSNorm"),
    "stablelm": Family("StableLM", True, None, "LayerNorm"),
    "starcoder2": Family("StarCoder 2", False, True, "LayerNorm"),
    "vaultgemma": Family("VaultGemma", True, True, "RMSNorm"),
}
"""Families whose decomposition is tested to close, by the `model_type` of their configuration."""

_EXPERTS = "is a mixture of experts: which neurons a token reaches changes from token to token"
_STATE_SPACE = "is a state-space model: it has no attention heads to attribute to"
_HYBRID = "mixes attention with layers of another kind: its neurons' inputs are no sum over heads"
_ENCODER = "is an encoder: it does not predict next tokens"
_ENCODER_DECODER = "is an encoder-decoder: a neuron there also receives encoder input"
_RESCALED = "rescales the stream after each block: a neuron's input is no sum of what was written"
_NORMED_ACTIVATIONS = "normalises activations before they are written: what one writes rests on all others"
_SINKS = "has attention sinks: the weights with which a head reads tokens do not sum to one"

_NO_NEURON: dict[str, str] = {
    **dict.fromkeys(
        (
            "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "granitemoeshared", "deepseek_v2",
            "deepseek_v3", "gpt_oss", "dbrx", "dots1", "hunyuan_v1_moe", "phimoe", "jetmoe", "glm4_moe",
            "ernie4_5_moe", "flex_olmo", "llama4_text", "minimax_m2",
        ),
        _EXPERTS,
    ),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "xlstm"), _STATE_SPACE),
    "rwkv": "is a recurrent model: it has no attention heads to attribute to",
    **dict.fromkeys(
        (
            "jamba", "recurrent_gemma", "bamba", "falcon_h1", "kimi_linear", "lfm2",
            "lfm2_moe", "lfm3", "minimax", "nemotron_h", "olmo_hybrid", "qwen3_5_text", "qwen3_5_moe_text",
            "qwen3_next", "zamba", "zamba2",
        ),
        _HYBRID,
    ),
    **dict.fromkeys(
        (
            "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "distilbert", "electra",
            "ernie", "megatron-bert", "modernbert", "rembert", "roberta", "roberta-prelayernorm", "roc_bert",
            "roformer", "xlm", "xlm-roberta", "xlm-roberta-xl", "xmod",
        ),
        _ENCODER,
    ),
    **dict.fromkeys(("t5", "bart"), _ENCODER_DECODER),
    **dict.fromkeys(("gemma4_text", "gemma4_unified_text"), _RESCALED),
    "gemma3n_text": "mixes several residual streams: a neuron's input there is no sum over components",
    **dict.fromkeys(("granite_swa", "granitemoe_swa"), _SINKS),
    **dict.fromkeys(("bitnet", "dory"), _NORMED_ACTIVATIONS),
    "diffllama": "subtracts attention from attention and normalises it: a head is no sum over what it reads",
}  # fmt: skip
"""By the `model_type` of the configuration: why figures of it would not be exact, or what it lacks."""

_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")

SUPPORTED = "Supported families: " + ", ".join(family.label for family in FAMILIES.values()) + "."


def _is_attention(kind: object) -> bool:
    """Whether a kind of layer, as configurations name them, is attention whose softmax weighs values."""
    return isinstance(kind, str) and kind.endswith("attention") and not kind.startswith("linear")


def refuse_unsupported(config: dict[str, Any], name: str) -> None:
    """Raise UnsupportedModelError when the configuration is of a model without MLP neurons of our kind."""
    model_type = str(config.get("model_type", ""))
    if not model_type:
        raise UnsupportedModelError(f"{name} does not say what kind of model it is.", SUPPORTED)
    reason = _NO_NEURON.get(model_type)
    if reason is None:
        experts = next((config[key] for key in _EXPERT_COUNTS if config.get(key)), 0)
        if isinstance(experts, int) and experts > 1:
            reason = _EXPERTS
        elif any(not _is_attention(kind) for kind in config.get("layer_types") or ()):
            reason = _HYBRID
        elif config.get("is_encoder_decoder"):
            reason = _ENCODER_DECODER
        elif "vision_config" in config or "audio_config" in config:
            reason = "reads more than text: only text models are supported"
        elif config.get("attn_only"):
            reason = "has attention only: there is no MLP neuron in it"
    if reason is not None:
        raise UnsupportedModelError(f"{name} ({model_type}) {reason}.", SUPPORTED)
