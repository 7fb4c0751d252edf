"""How each family's files name their tensors, and what their configurations call the sizes.

One row a family: where the MLP writes from, the final norm, the embedding and the unembedding, and every
tensor that its files may hold beside them. A family that has no row, and a file with a tensor that its row
does not name, is left to the loaded model. Prefixes that a file may or may not put in front of every name
are `PREFIXES`; which family is gated, post-normed and so on is in `families.FAMILIES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PREFIXES = ("", "model.", "transformer.", "gpt_neox.", "model.decoder.", "decoder.", "biogpt.")
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class FileLayout:
    """Names in a family's files.

    Attributes:
        block: what is in front of a block's modules; "{}" is the layer.
        modules: of a block, and of the model around them: those with a weight, "*" with a bias, too; "="
            ends the name of a tensor that is neither.
        W_out: the MLP's last module in a block.
        final_norm: the module of the norm before the unembedding.
        embedding, head: modules of the two; `head` never has a prefix.
        where_set: modules that a block has where a key of the configuration is set.
        neurons_in_rows: W_out's weight is stored [d_mlp, d_model]; else [d_model, d_mlp], as torch's Linear.
        post_norm: the module of a block that is the norm after the MLP, where the family has one.
        sum_norms: of a Post-LN model, the modules of a block that are the norm after attention and that after
            the MLP; the last of them is the norm before the unembedding.
        project_out: the module that what the final norm gives goes through to the unembedding, where the
            files hold it.
        norm_adds_one: norms multiply by 1 + their weight.
        norms_have_weights: False for OLMo 1 and NanoChat.
        tied: the unembedding is the embedding where the configuration does not say.
        write_scale, logit_scale, logit_divisor: the configuration's keys for what everything that blocks
            write is multiplied by, and for what logits are multiplied or divided by.
        soft_cap: the model caps its logits where `final_logit_softcapping` is set, by default to this; None
            where no family of that name knows the key, 0 where it has no default.
    """

    block: str
    modules: str
    around: str
    W_out: str
    final_norm: str
    embedding: str
    head: str = "lm_head"
    where_set: Mapping[str, str] = field(default_factory=dict)
    neurons_in_rows: bool = False
    post_norm: str | None = None
    sum_norms: tuple[str, str] | None = None
    project_out: str | None = None
    norm_adds_one: bool = False
    norms_have_weights: bool = True
    tied: bool = False
    write_scale: str | None = None
    logit_scale: str | None = None
    logit_divisor: str | None = None
    soft_cap: float | None = None

    @property
    def scales(self) -> frozenset[str]:
        """The configuration's keys of the scales."""
        return frozenset(filter(None, (self.write_scale, self.logit_scale, self.logit_divisor)))

    def strange(self, names: Iterable[str], prefix: str, config: Mapping[str, Any], n_layers: int) -> str:
        """The first of a file's tensors that the row does not name; empty where there is none."""
        added = " ".join(modules for key, modules in self.where_set.items() if config.get(key))
        of_block, around = _tensors(f"{self.modules} {added}"), _tensors(self.around)
        for name in names:
            own = name.removeprefix(prefix)
            layer = _LAYER.search(own)
            if layer is not None and int(layer[1]) < n_layers:
                block = self.block.format(layer[1])
                expected = own.startswith(block) and own.removeprefix(block) in of_block
            else:
                expected = own in around or name == f"{self.head}.weight"
            if not expected:
                return name
        return ""


def _tensors(modules: str) -> frozenset[str]:
    """The names of the tensors of some modules, as a `FileLayout` writes them."""
    names = set()
    for module in modules.split():
        plain = module.rstrip("*=")
        names.add(plain if module.endswith("=") else f"{plain}.weight")
        if module.endswith("*"):
            names.add(f"{plain}.bias")
    return frozenset(names)


def _biased(modules: str) -> str:
    return " ".join(f"{module}*" for module in modules.split())


_QKV = "self_attn.q_proj self_attn.k_proj self_attn.v_proj"
_O = "self_attn.o_proj"
_NORMS = "input_layernorm post_attention_layernorm"
_QK_NORMS = "self_attn.q_norm self_attn.k_norm"
_GATES = "mlp.gate_proj mlp.up_proj mlp.down_proj"
_TWO = "mlp.up_proj mlp.down_proj"
_GATED = f"{_NORMS} {_QKV} {_O} {_GATES}"
_BIASES = {"attention_bias": _biased(f"{_QKV} {_O}"), "mlp_bias": _biased(_GATES)}
_LLAMA = FileLayout(
    "layers.{}.", _GATED, "embed_tokens norm", "mlp.down_proj", "norm", "embed_tokens", where_set=_BIASES
)
_QWEN2 = f"{_NORMS} {_biased(_QKV)} {_O} {_GATES}"
_POST = "post_feedforward_layernorm"
_GEMMA = replace(_LLAMA, norm_adds_one=True, tied=True)
_GEMMA2 = replace(
    _GEMMA, modules=f"{_GATED} pre_feedforward_layernorm {_POST}", post_norm=_POST, soft_cap=30.0
)
_OLMO2 = replace(
    _LLAMA, modules=f"post_attention_layernorm {_POST} {_QKV} {_O} {_QK_NORMS} {_GATES}", post_norm=_POST
)
_COHERE = replace(
    _LLAMA,
    modules=f"input_layernorm {_QKV} {_O} {_GATES}",
    where_set={**_BIASES, "use_qk_norm": _QK_NORMS},
    tied=True,
    logit_scale="logit_scale",
)
_LAYER_NORMS = "embed_tokens norm*"
_GLM = replace(
    _LLAMA,
    modules=f"{_NORMS} {_QKV} {_O} mlp.gate_up_proj mlp.down_proj",
    where_set={"attention_bias": _biased(_QKV)},
)
_GPT2 = FileLayout(
    "h.{}.",
    "ln_1* attn.c_attn* attn.c_proj* ln_2* mlp.c_fc* mlp.c_proj*",
    "wte wpe ln_f*",
    "mlp.c_proj",
    "ln_f",
    "wte",
    tied=True,
)
_GPTJ = FileLayout(
    "h.{}.",
    "ln_1* attn.q_proj attn.k_proj attn.v_proj attn.out_proj mlp.fc_in* mlp.fc_out*",
    "wte ln_f* lm_head*",
    "mlp.fc_out",
    "ln_f",
    "wte",
)
_BLOOM = "self_attention.query_key_value self_attention.dense mlp.dense_h_to_4h mlp.dense_4h_to_h"
_OPT = "self_attn.q_proj* self_attn.k_proj* self_attn.v_proj* self_attn.out_proj* self_attn_layer_norm*"

_GRANITE = replace(_LLAMA, write_scale="residual_multiplier", logit_divisor="logits_scaling")
_EXAONE = "attn.attention.q_proj attn.attention.k_proj attn.attention.v_proj attn.attention.out_proj"
_EXAONE_GATES = "mlp.c_fc_0 mlp.c_fc_1 mlp.c_proj"
_APERTUS = replace(
    _LLAMA,
    modules=f"attention_layernorm feedforward_layernorm {_QKV} {_O} {_QK_NORMS} {_TWO} "
    "mlp.act_fn.alpha_n= mlp.act_fn.alpha_p=",
)

LAYOUTS: dict[str, FileLayout] = {
    "gpt2": replace(_GPT2, neurons_in_rows=True),
    "gpt_neo": replace(
        _GPT2,
        modules="ln_1* attn.attention.q_proj attn.attention.k_proj attn.attention.v_proj "
        "attn.attention.out_proj* ln_2* mlp.c_fc* mlp.c_proj*",
    ),
    "gpt_neox": FileLayout(
        "layers.{}.",
        "input_layernorm* post_attention_layernorm* attention.query_key_value* attention.dense* "
        "mlp.dense_h_to_4h* mlp.dense_4h_to_h*",
        "embed_in final_layer_norm*",
        "mlp.dense_4h_to_h",
        "final_layer_norm",
        "embed_in",
        head="embed_out",
    ),
    "gptj": _GPTJ,
    "opt": FileLayout(
        "layers.{}.",
        f"{_OPT} fc1* fc2* final_layer_norm*",
        "embed_tokens embed_positions final_layer_norm* project_in project_out",
        "fc2",
        "final_layer_norm",
        "embed_tokens",
        project_out="project_out",
        tied=True,
    ),
    "openai-gpt": replace(
        _GPT2,
        around="tokens_embed positions_embed",
        embedding="tokens_embed",
        neurons_in_rows=True,
        sum_norms=("ln_1", "ln_2"),
    ),
    "phi": FileLayout(
        "layers.{}.",
        f"input_layernorm* {_biased(_QKV)} self_attn.dense* mlp.fc1* mlp.fc2*",
        "embed_tokens final_layernorm* lm_head*",
        "mlp.fc2",
        "final_layernorm",
        "embed_tokens",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": replace(_LLAMA, modules=_QWEN2),
    "qwen3": replace(_LLAMA, modules=f"{_GATED} {_QK_NORMS}"),
    "olmo": replace(_LLAMA, modules=f"{_QKV} {_O} {_GATES}", around="embed_tokens", norms_have_weights=False),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, modules=f"{_GEMMA2.modules} {_QK_NORMS}", soft_cap=0.0),
    "olmo2": _OLMO2,
    "apertus": _APERTUS,
    "apertus1p5_text": _APERTUS,
    "arcee": replace(
        _LLAMA, modules=f"{_NORMS} {_QKV} {_O} {_TWO}", where_set={**_BIASES, "mlp_bias": _biased(_TWO)}
    ),
    "bloom": FileLayout(
        "h.{}.",
        _biased(f"{_NORMS} {_BLOOM}"),
        "word_embeddings word_embeddings_layernorm* ln_f*",
        "mlp.dense_4h_to_h",
        "ln_f",
        "word_embeddings",
        tied=True,
    ),
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "cwm": _LLAMA,
    "ernie4_5": replace(_LLAMA, where_set={"use_bias": _biased(f"{_QKV} {_O} {_GATES}")}, tied=True),
    "exaone": FileLayout(
        "h.{}.",
        f"ln_1 {_EXAONE} ln_2 {_EXAONE_GATES}",
        "wte ln_f",
        "mlp.c_proj",
        "ln_f",
        "wte",
        where_set={
            "attention_bias": _biased(_EXAONE),
            "mlp_bias": _biased(_EXAONE_GATES),
        },
    ),
    "exaone4": _OLMO2,
    "falcon": FileLayout(
        "h.{}.",
        f"{_biased(_NORMS)} {_BLOOM}",
        "word_embeddings ln_f*",
        "mlp.dense_4h_to_h",
        "ln_f",
        "word_embeddings",
        where_set={"bias": _biased(_BLOOM), "new_decoder_architecture": "ln_attn* ln_mlp*"},
        tied=True,
    ),
    "gpt_bigcode": _GPT2,
    "granite": _GRANITE,
    "granitemoehybrid": replace(
        _GRANITE,
        modules=f"{_NORMS} {_QKV} {_O} shared_mlp.input_linear shared_mlp.output_linear",
        W_out="shared_mlp.output_linear",
    ),
    "helium": _LLAMA,
    "hunyuan_v1_dense": replace(
        _LLAMA, modules=f"{_GATED} self_attn.query_layernorm self_attn.key_layernorm"
    ),
    "hyperclovax": replace(
        _LLAMA,
        where_set={**_BIASES, "use_post_norm": "post_norm1 post_norm2"},
        post_norm="post_norm2",
        write_scale="residual_multiplier",
        logit_scale="logits_scaling",
    ),
    "internlm3": replace(_LLAMA, where_set={"qkv_bias": _biased(_QKV), "bias": _biased(f"{_O} {_GATES}")}),
    "iquestcoder": _LLAMA,
    "jais2": replace(
        _LLAMA,
        modules=f"{_biased(_NORMS)} {_QKV} {_O} {_TWO}",
        around=_LAYER_NORMS,
        where_set={**_BIASES, "mlp_bias": _biased(_TWO)},
    ),
    "ministral": _LLAMA,
    "ministral3": _LLAMA,
    "mpt": FileLayout(
        "blocks.{}.",
        "norm_1 attn.Wqkv attn.out_proj norm_2 ffn.up_proj ffn.down_proj",
        "wte norm_f",
        "ffn.down_proj",
        "norm_f",
        "wte",
        tied=True,
    ),
    "nanochat": replace(
        _LLAMA,
        modules=f"{_QKV} {_O} mlp.fc1 mlp.fc2",
        around="embed_tokens",
        W_out="mlp.fc2",
        norms_have_weights=False,
        soft_cap=15.0,
    ),
    "olmo3": _OLMO2,
    "persimmon": replace(
        _LLAMA,
        modules=_biased(
            f"{_NORMS} self_attn.query_key_value self_attn.dense mlp.dense_h_to_4h mlp.dense_4h_to_h"
        ),
        around="embed_tokens final_layernorm*",
        W_out="mlp.dense_4h_to_h",
        final_norm="final_layernorm",
        where_set={"qk_layernorm": "self_attn.q_layernorm* self_attn.k_layernorm*"},
    ),
    "phi3": replace(
        _LLAMA, modules=f"{_NORMS} self_attn.qkv_proj {_O} mlp.gate_up_proj mlp.down_proj", where_set={}
    ),
    "seed_oss": replace(
        _LLAMA,
        where_set={**_BIASES, "attention_bias": _biased(_QKV), "attention_out_bias": _biased(_O)},
    ),
    "smollm3": replace(_LLAMA, tied=True),
    "stablelm": replace(
        _LLAMA,
        modules=f"{_biased(_NORMS)} {_QKV} {_O} {_GATES}",
        around=_LAYER_NORMS,
        where_set={"use_qkv_bias": _biased(_QKV)},
    ),
    "starcoder2": replace(
        _LLAMA,
        modules=f"{_biased(_NORMS)} {_QKV} {_O} mlp.c_fc mlp.c_proj",
        around=_LAYER_NORMS,
        W_out="mlp.c_proj",
        where_set={"use_bias": _biased(f"{_QKV} {_O} mlp.c_fc mlp.c_proj")},
        tied=True,
    ),
    "vaultgemma": replace(
        _GEMMA, modules=f"input_layernorm pre_feedforward_layernorm {_QKV} {_O} {_GATES}", soft_cap=30.0
    ),
    "glm": _GLM,
    "glm4": replace(
        _GLM,
        modules=f"{_GLM.modules} post_self_attn_layernorm post_mlp_layernorm",
        post_norm="post_mlp_layernorm",
    ),
    "nemotron": replace(
        _LLAMA,
        modules=f"{_biased(_NORMS)} {_QKV} {_O} {_TWO}",
        around=_LAYER_NORMS,
        where_set={**_BIASES, "mlp_bias": _biased(_TWO)},
        norm_adds_one=True,
    ),
    "codegen": replace(_GPTJ, modules="ln_1* attn.qkv_proj attn.out_proj mlp.fc_in* mlp.fc_out*"),
    "biogpt": FileLayout(
        "layers.{}.",
        f"{_OPT} fc1* fc2* final_layer_norm*",
        "embed_tokens embed_positions layer_norm*",
        "fc2",
        "layer_norm",
        "embed_tokens",
        head="output_projection",
        tied=True,
    ),
}
"""By the `model_type` of the configuration."""


def layout_of(config: Mapping[str, Any]) -> FileLayout | None:
    """The row of a configuration's family; None where it has none."""
    row = LAYOUTS.get(str(config.get("model_type", "")))
    if row is not None and config.get("do_layer_norm_before") is False:  # OPT-350M
        return replace(row, sum_norms=("self_attn_layer_norm", "final_layer_norm"))
    return row


SIZE_KEYS = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "n_ctx": ("n_positions", "max_position_embeddings", "seq_length", "max_seq_len"),
}
"""What configurations call the sizes that no tensor's shape gives."""
