"""A config.json: read, made a configuration of transformers, and what becomes of every key in it.

transformers puts a key that a configuration class does not know aside, as an attribute that nothing reads.
The rule:

1. Keys of quantisers, and those that make transformers read other files or replace parts of a model, are
   refused.
2. A key that the class declares, under its own name or a standard one, is applied; so is one of `_READ_INTO`
   whose value stands where transformers reads such keys into (Pythia's `rotary_pct`, for example).
3. A key of `_COMPUTES` changes what models compute that know it. Any other class refuses it unless its value
   is neutral: null, false, 0, 1, empty, or full attention in every layer.
4. Any other key is harmless, and listed as unknown to the class.
5. Inside `rope_scaling` and `rope_parameters` every key must be one that the kind of rotary embedding uses.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tui_lookups.errors import ModelLoadError, UnsupportedModelError, is_out_of_memory
from tui_lookups.model.families import SUPPORTED
from tui_lookups.model.fates import NOT_APPLIED, QUANTISED, Judged, applied, harmless, refused
from tui_lookups.model.first_import import import_transformers

LAYER_COUNTS = ("n_layer", "n_layers", "num_layers", "num_hidden_layers")
"""What the families call the number of layers."""
_MOST_LAYERS = 10_000

_QUANTISERS = {"quantization_config", "quantization", "compression_config"}
_ELSEWHERE = {"transformers_weights", "fusion_config"}
"""Other weight files, other modules."""

_TAKEN_UP = {
    "model_type",
    "torch_dtype",
    "num_labels",
    "tie_word_embeddings",
}
"""Read by transformers whatever the class declares."""

_WHOLE = "full_attention"

_ROTARY = {"rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor"}
"""Keys of every class that has `rope_parameters`."""

# fmt: off
_COMPUTES = {
    # attention
    "alibi", "alibi_bias_max", "attention_bias", "attention_chunk_size", "attention_multiplier",
    "attention_scale", "attn_logit_softcapping", "attn_temperature_tuning", "clip_qkv", "layer_types",
    "n_head_kv", "num_kv_shared_layers", "qk_layernorm", "qk_norm", "qkv_bias", "query_pre_attn_scalar",
    "query_rescale_scalar", "scale_attn_by_inverse_layer_idx", "sliding_window", "sliding_window_pattern",
    "ssmax", "use_attention_sinks", "use_qk_norm", "use_qkv_bias", "use_query_key_norm", "window_size",
    # rotary embedding
    "no_rope_layer_interval", "no_rope_layers", "nope_layer_interval", "partial_rotary_factor",
    "rope_interleaved", "rope_local_base_freq", "rope_parameters", "rope_ratio", "rope_scaling", "rope_theta",
    "rotary_dim", "rotary_emb_base", "rotary_pct", "use_rotary_embeddings", "use_scaled_rope",
    # scales and caps of what is embedded, written and unembedded
    "dim_model_base", "embedding_multiplier", "embedding_scale", "final_logit_softcapping", "key_multiplier",
    "lm_head_multiplier", "logit_scale", "logit_scaling", "logits_scaling", "mlp_multipliers",
    "mup_width_scale", "residual_multiplier", "residual_scale", "scale_depth", "scale_emb",
    "scale_embeddings",
    # the block
    "mlp_bias", "new_decoder_architecture", "parallel_attn", "parallel_residual", "use_bias",
    "use_parallel_residual",
}
# fmt: on
"""What families of transformers, or models with code of their own, compute differently by."""

_READ_INTO = {
    "rotary_emb_base": ("rope_theta",),
    "rotary_pct": ("partial_rotary_factor",),
    "rope_local_base_freq": ("sliding_attention", "rope_theta"),
}
"""Where in `rope_parameters` a class looks for the value of a key that it does not declare."""

_ALWAYS = {("hunyuan_v1_dense", "use_qk_norm")}
"""Family and key: what its module computes in any case, where the key says so."""

_SCALES = {
    "dim_model_base", "lm_head_multiplier", "logit_scale", "logit_scaling", "logits_scaling",
    "mlp_multipliers", "mup_width_scale", "residual_multiplier", "residual_scale", "scale_depth",
}  # fmt: skip

_ROTARY_COMMON = {
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "original_max_position_embeddings",
}
_ROTARY_KINDS = {
    "default": {"mrope_section"},
    "linear": {"factor"},
    # HunYuan's files have yarn's keys beside alpha, which nothing reads there.
    "dynamic": {"factor", "alpha", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"},
    "yarn": {
        "factor",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    },
    "longrope": {"factor", "attention_factor", "short_factor", "long_factor", "short_mscale", "long_mscale"},
    "llama3": {"factor", "low_freq_factor", "high_freq_factor"},
    "proportional": {"factor"},
}
"""Keys that transformers applies, by kind."""


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The config.json of a folder. Raises ModelLoadError when missing or not JSON."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelLoadError(
            f"{folder} is not a model folder: it has no config.json.",
            "Point --model at a Hugging Face folder (config.json, weights, tokenizer.json) or a .gguf file.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(
            f"The configuration of {name} cannot be read: {error}.", "Fetch the model again."
        ) from error
    if not isinstance(config, dict):
        raise ModelLoadError(f"The configuration of {name} is not a JSON object.", "Fetch the model again.")
    for key in LAYER_COUNTS:
        count = config.get(key)
        if count is not None and (type(count) is not int or not 0 < count <= _MOST_LAYERS):
            # transformers would make that many modules before it looks at a weight.
            raise ModelLoadError(
                f"The configuration of {name} is damaged: {key} is {str(count)[:40]}.",
                "Fetch the model again.",
            )
    return config


def make_configuration(folder: Path, config: dict[str, Any], name: str, trust_remote_code: bool) -> Any:
    """The configuration object that transformers makes of a folder's config.json.

    Raises UnsupportedModelError where the family has no causal language model; ModelLoadError where it does
    not accept the values, or is code that comes with the model and is not trusted.
    """
    import_transformers()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    family = str(config.get("model_type"))
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if not config.get("auto_map"):
            raise UnsupportedModelError(
                f"{name} is of the family {family[:40]!r}, of which transformers knows no language model.",
                SUPPORTED,
            )
        if not trust_remote_code:
            raise ModelLoadError(
                f"{name} comes with code of its own, and cannot be loaded without running it.",
                "Read that code; if you trust it, give --trust-remote-code.",
            )
    try:
        return AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # its checks raise many kinds
        if is_out_of_memory(error):
            raise
        why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ModelLoadError(
            f"The configuration of {name} is not one of the family {family}: {why}.", "Fetch the model again."
        ) from error


def judge_keys(config: dict[str, Any], made: Any) -> Iterator[Judged]:
    """What becomes of each key of a config.json, of which transformers made the configuration `made`."""
    config_class = type(made)
    declared = _declared(config_class)
    has_rotary = "rope_parameters" in declared
    for key, value in config.items():
        if key in _QUANTISERS and value:
            yield refused(key, "key", QUANTISED)
        elif key in _ELSEWHERE and value:
            yield refused(key, "key", NOT_APPLIED)
        elif key in ("rope_scaling", "rope_parameters") and value and has_rotary:
            # As transformers has read it: an older name of a kind is today's there.
            of_family = set(getattr(made, "ignore_keys_at_rope_validation", None) or ())
            yield _judge_rotary(key, value, made.rope_parameters, of_family)
        elif key in declared or key in _TAKEN_UP or (key in _ROTARY and has_rotary):
            yield applied(key, "key", config_class.__name__)
        elif key not in _COMPUTES:
            yield harmless(key, "key", f"unknown to {config_class.__name__}")
        elif _is_taken_over(key, value, made):
            yield applied(key, "key", config_class.__name__)
        elif _is_neutral(key, value, config):
            yield harmless(key, "key", f"unknown to {config_class.__name__}, and neutral")
        else:
            yield refused(key, "key", NOT_APPLIED)


def left_to_loading(config: dict[str, Any], known: frozenset[str] = frozenset()) -> str | None:
    """A key of the configuration whose part in the model only loading it decides; None where there is none.

    It scales what is written or unembedded, or brings in other files, other code or another number format;
    `known` are keys of which that is known all the same.
    """
    given = sorted((_SCALES | _QUANTISERS | _ELSEWHERE | {"auto_map"}) & config.keys() - known)
    return next((key for key in given if not _is_neutral(key, config[key], config)), None)


def _declared(config_class: type) -> set[str]:
    names = set(getattr(config_class, "attribute_map", {})) | set(inspect.signature(config_class).parameters)
    if dataclasses.is_dataclass(config_class):
        names |= {field.name for field in dataclasses.fields(config_class)}
    return names


def _is_taken_over(key: str, value: Any, made: Any) -> bool:
    """Whether a key that the class does not declare has its value where it counts all the same."""
    if (made.model_type, key) in _ALWAYS:
        return value is True
    if key == "sliding_window_pattern":
        kinds = getattr(made, "layer_types", None) or ()
        return type(value) is int and value > 0 and kinds == _every(value, len(kinds))
    if key not in _READ_INTO:
        return False
    found: Any = getattr(made, "rope_parameters", None)
    for name in _READ_INTO[key]:
        found = found.get(name) if isinstance(found, dict) else None
    return _is_figure(value) and found == value


def _every(pattern: int, layers: int) -> list[str]:
    """Attention to the whole text in every so many layers."""
    return ["sliding_attention" if (i + 1) % pattern else _WHOLE for i in range(layers)]


def _is_neutral(key: str, value: Any, config: dict[str, Any]) -> bool:
    if key.startswith("sliding_window") and config.get("use_sliding_window") is False:
        return True
    if isinstance(value, list):
        return all(factor == _WHOLE for factor in value)
    return value is not True and value in (None, False, 0, 1, {}, "")


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float)


def _judge_rotary(key: str, value: Any, made: Any, of_family: set[str]) -> Judged:
    """`made` is one dictionary, or one for each kind of layer; `of_family`: what it has beside its kind."""
    if not isinstance(value, dict) or not isinstance(made, dict):
        return refused(key, "key", NOT_APPLIED)
    # Where kinds of layers are rotated apart, a key without kinds is of those that attend to the whole text.
    of_key = made if any(isinstance(each, dict) for each in value.values()) else made.get(_WHOLE, made)
    lost = [name for name, each in value.items() if _is_figure(each) and of_key.get(name) != each]
    if lost:  # a configuration with both keys: one takes the place of the other
        return refused(key, "key", NOT_APPLIED, f"{lost[0]} is not taken over")
    nested = [each for each in made.values() if isinstance(each, dict)]
    for parameters in nested or [made]:
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        parameters_of_kind = _ROTARY_KINDS.get(str(kind))
        if parameters_of_kind is None:
            return refused(key, "key", NOT_APPLIED, f"{kind} is no kind of rotary embedding that is known")
        given = {name for name, each in parameters.items() if each is not None}
        strange = sorted(given - parameters_of_kind - _ROTARY_COMMON - of_family)
        if strange:
            return refused(key, "key", NOT_APPLIED, f"{strange[0]} is not used by the kind {kind}")
    return applied(key, "key", "rotary embedding")
