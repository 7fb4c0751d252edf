"""How each family's files name their tensors, and what their configurations call the sizes.

One row a family: where the MLP writes from, the final norm, the embedding and the unembedding, and every
tensor that its files may hold beside them. A family that has no row, and a file with a tensor that its row
does not name, is left to the loaded model. Prefixes that a file may or may not put in front of every name
are `PREFIXES`; which family is gated, post-normed and so on stands in `architecture.FAMILIES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

PREFIXES = ("", "model.", "transformer.", "gpt_neox.", "model.decoder.", "decoder.")
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class FileLayout:
    """Names in a family's files.

    Attributes:
        block: what is in front of a block's modules; "{}" is the layer.
        modules: of a block, and of the model around them: those with a weight, "*" with a bias, too.
        W_out: the MLP's last module in a block.
        neurons_in_rows: its weight is stored [d_mlp, d_model]; else [d_model, d_mlp], as torch's Linear.
        final_norm: the module of the norm before the unembedding.
        embedding, head: modules of the two; `head` never has a prefix.
        post_norm: the module of a block that is the norm after the MLP, where the family has one.
        norm_adds_one: norms multiply by 1 + their weight.
        norms_have_weights: False for OLMo 1.
        tied: the unembedding is the embedding where the configuration does not say.
    """

    block: str
    modules: str
    around: str
    W_out: str
    final_norm: str
    embedding: str
    neurons_in_rows: bool = False
    head: str = "lm_head"
    post_norm: str | None = None
    norm_adds_one: bool = False
    norms_have_weights: bool = True
    tied: bool = False

    def expects(self, name: str, prefix: str, n_layers: int, *, attention_bias: bool) -> bool:
        """Whether a file of the family may hold a tensor of this name.

        `attention_bias`: the configuration gives the projections of attention biases.
        """
        if name == f"{self.head}.weight":
            return True
        module, _, kind = name.removeprefix(prefix).rpartition(".")
        layer = _LAYER.search(f"{module}.")
        if layer is not None:
            block = self.block.format(layer[1])
            if int(layer[1]) >= n_layers or not module.startswith(block):
                return False
            module, known = module.removeprefix(block), self.modules.split()
        else:
            known = self.around.split()
        biased = f"{module}*" in known or (attention_bias and module.startswith("self_attn."))
        return (kind == "bias" and biased) or (kind == "weight" and bool({module, f"{module}*"} & {*known}))


_GATED = (
    "input_layernorm post_attention_layernorm self_attn.q_proj self_attn.k_proj self_attn.v_proj "
    "self_attn.o_proj mlp.gate_proj mlp.up_proj mlp.down_proj"
)
_LLAMA = FileLayout("layers.{}.", _GATED, "embed_tokens norm", "mlp.down_proj", "norm", "embed_tokens")
_QWEN2 = _GATED.replace("q_proj", "q_proj*").replace("k_proj", "k_proj*").replace("v_proj", "v_proj*")
_QK_NORMS = " self_attn.q_norm self_attn.k_norm"
_POST = "post_feedforward_layernorm"
_GEMMA = replace(_LLAMA, norm_adds_one=True, tied=True)
_GEMMA2 = replace(_GEMMA, modules=f"{_GATED} pre_feedforward_layernorm {_POST}", post_norm=_POST)

LAYOUTS: dict[str, FileLayout] = {
    "gpt2": FileLayout(
        "h.{}.",
        "ln_1* attn.c_attn* attn.c_proj* ln_2* mlp.c_fc* mlp.c_proj*",
        "wte wpe ln_f*",
        "mlp.c_proj",
        "ln_f",
        "wte",
        neurons_in_rows=True,
        tied=True,
    ),
    "gpt_neo": FileLayout(
        "h.{}.",
        "ln_1* attn.attention.q_proj attn.attention.k_proj attn.attention.v_proj attn.attention.out_proj* "
        "ln_2* mlp.c_fc* mlp.c_proj*",
        "wte wpe ln_f*",
        "mlp.c_proj",
        "ln_f",
        "wte",
        tied=True,
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
    "gptj": FileLayout(
        "h.{}.",
        "ln_1* attn.q_proj attn.k_proj attn.v_proj attn.out_proj mlp.fc_in* mlp.fc_out*",
        "wte ln_f* lm_head*",
        "mlp.fc_out",
        "ln_f",
        "wte",
    ),
    "opt": FileLayout(
        "layers.{}.",
        "self_attn.q_proj* self_attn.k_proj* self_attn.v_proj* self_attn.out_proj* self_attn_layer_norm* "
        "fc1* fc2* final_layer_norm*",
        "embed_tokens embed_positions final_layer_norm*",
        "fc2",
        "final_layer_norm",
        "embed_tokens",
        tied=True,
    ),
    "phi": FileLayout(
        "layers.{}.",
        "input_layernorm* self_attn.q_proj* self_attn.k_proj* self_attn.v_proj* self_attn.dense* "
        "mlp.fc1* mlp.fc2*",
        "embed_tokens final_layernorm* lm_head*",
        "mlp.fc2",
        "final_layernorm",
        "embed_tokens",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": replace(_LLAMA, modules=_QWEN2),
    "qwen3": replace(_LLAMA, modules=_GATED + _QK_NORMS),
    "olmo": replace(_LLAMA, norms_have_weights=False),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, modules=_GEMMA2.modules + _QK_NORMS),
    "olmo2": replace(_LLAMA, modules=f"{_GATED} {_POST}{_QK_NORMS}", post_norm=_POST),
}
"""By the `model_type` of the configuration."""

SIZE_KEYS = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads"),
    "n_ctx": ("n_positions", "max_position_embeddings"),
}
"""What configurations call the sizes that no tensor's shape gives."""
