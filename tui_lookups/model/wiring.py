"""Which module of a Hugging Face model plays which role, by its name.

`read_wiring` looks every role up under the names that transformers' families use: the blocks, their norms,
attention and its output projection, the MLP's projections and its activation function, the final norm and the
unembedding. A model without a final norm is taken for a Post-LN one (held_norms.py), whose blocks end with a
norm that the next one reads through. Every norm is run on a probe, and the formula that gives its output is
kept (norms.py). That the model computes what its roles say is proven by a pass (proof.py). Nothing here
changes the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tui_lookups.model.norms import Norm, find_norm

NormName = Literal["ln1", "ln1_post", "ln2", "ln2_post"]

Beside = Literal["skip", "error"]
"""What of an MLP's output is neither a unit's of a dictionary nor a bias (method.md, section 14)."""

_NORMS: tuple[dict[NormName, tuple[str, ...]], ...] = (
    {  # Gemma 2 and 3
        "ln1": ("input_layernorm",),
        "ln1_post": ("post_attention_layernorm",),
        "ln2": ("pre_feedforward_layernorm",),
        "ln2_post": ("post_feedforward_layernorm",),
    },
    {  # GLM 4
        "ln1": ("input_layernorm",),
        "ln1_post": ("post_self_attn_layernorm",),
        "ln2": ("post_attention_layernorm",),
        "ln2_post": ("post_mlp_layernorm",),
    },
    {  # HyperCLOVA X, where it has norms after attention and MLP
        "ln1": ("input_layernorm",),
        "ln1_post": ("post_norm1",),
        "ln2": ("post_attention_layernorm",),
        "ln2_post": ("post_norm2",),
    },
    {  # OLMo 2 and 3, EXAONE 4: none before attention and MLP
        "ln1_post": ("post_attention_layernorm",),
        "ln2_post": ("post_feedforward_layernorm",),
    },
    {
        "ln1": (
            "input_layernorm", "ln_1", "self_attn_layer_norm", "norm_1", "ln_attn", "attention_layernorm",
        ),
        "ln2": (
            "post_attention_layernorm", "ln_2", "final_layer_norm", "norm_2", "ln_mlp",
            "feedforward_layernorm", "pre_feedforward_layernorm",
        ),
    },
)  # fmt: skip
"""A block's norms, by what distinguishes the families: the first row whose names are all there."""

_FINAL_NORM = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "layer_norm")
_ATTENTION = ("self_attn", "attn.attention", "attn", "attention", "self_attention")
_ATTENTION_OUT = ("o_proj", "out_proj", "c_proj", "dense")
_MLP = ("mlp", "ffn", "shared_mlp", "")
"""OPT's and BioGPT's projections stand in the block itself."""
_MLP_OUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc_out", "fc2", "output_linear")
_MLP_IN = ("up_proj", "c_fc", "dense_h_to_4h", "fc_in", "fc1")
_MLP_GATE, _GATE_AND_UP = "gate_proj", ("gate_up_proj", "input_linear")
_ACTIVATION = ("act_fn", "act", "activation_fn", "gelu_impl", "activation")


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map, or the outputs of one that are this role's.

    Attributes:
        module: torch's Linear, or GPT-2's Conv1D.
        rows: its outputs that count; all of them where it is None.
    """

    module: nn.Module
    rows: slice | None = None

    @property
    def matrix(self) -> Tensor:
        """[d_in, d_out], a view."""
        weight = of_parameter(self.module, "weight")
        assert weight is not None
        there = weight if type(self.module).__name__ == "Conv1D" else weight.T
        return there if self.rows is None else there[:, self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix: d_in, d_out."""
        d_in, d_out = self.matrix.shape
        return d_in, d_out

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """Where the matrix is."""
        return self.matrix.device

    def inputs(self, which: Sequence[int] | slice) -> Tensor:
        """The matrix' rows of some of its inputs: [n, d_out]."""
        return self.matrix[which if isinstance(which, slice) else list(which)]

    def outputs(self, which: Sequence[int]) -> Tensor:
        """The matrix' columns of some of its outputs: [d_in, n]."""
        return self.matrix[:, list(which)]

    @property
    def bias(self) -> Tensor | None:
        """[d_out], a view; None where it has none."""
        bias = of_parameter(self.module, "bias")
        return bias if bias is None or self.rows is None else bias[self.rows]

    def of_output(self, output: Tensor) -> Tensor:
        """The part of the module's output that is this role's."""
        return output if self.rows is None else output[..., self.rows]


@dataclass(frozen=True, eq=False)
class UnitModules:
    """What hooks see of a block whose neurons are a dictionary's units (units.py).

    Attributes:
        output: it gives what the units stand for: the MLP's output, or that after the norm behind it.
        beside: what is given what is written beside the units: "error", what the dictionary leaves
            unexplained, and "skip", where it has one.
    """

    output: nn.Module
    beside: Mapping[Beside, nn.Module]


@dataclass(frozen=True, eq=False)
class Block:
    """The modules of one block by their roles.

    Attributes:
        module: the block; it is given the residual stream.
        attention: what reads the residual stream through `norms["ln1"]`.
        heads_out: what heads write through; it is given z, flattened to [..., n_heads * d_head].
        gate, up: what the MLP reads through; `gate` is None in a plain MLP.
        down: what neurons write through; it is given their activations.
        activation: the function of the gate, or of the plain MLP.
        norms: those there are. A block with one norm for both has it as "ln1" and as "ln2"; in a Post-LN
            model "ln1" is the last norm of the block before, and the first block has none.
        units: where a dictionary's units are its neurons; `up`, `down` and `activation` are then theirs.
    """

    module: nn.Module
    attention: nn.Module
    heads_out: Projection
    gate: Projection | None
    up: Projection
    down: Projection
    activation: Callable[[Tensor], Tensor]
    norms: dict[NormName, Norm]
    units: UnitModules | None = None

    @property
    def output(self) -> nn.Module:
        """What gives all that the MLP writes, neurons and biases, before a norm it is read through."""
        return self.down.module if self.units is None else self.units.output

    @property
    def beside(self) -> tuple[Beside, ...]:
        """What its MLP writes beside neurons and biases: nothing, unless its neurons are units."""
        return () if self.units is None else tuple(self.units.beside)


@dataclass(frozen=True, eq=False)
class Wiring:
    """A model's modules by their roles.

    Attributes:
        own_layer: the heads of a neuron's own block reach it (attention before the MLP, not beside it).
        residual_multiplier: factor on everything blocks write (Granite); 1 elsewhere.
        logit_factor: what the product with the unembedding is multiplied by (Cohere, Granite,
            HyperCLOVA X); 1 elsewhere.
        logit_cap: the logits are cap * tanh(logit / cap) at the end (Gemma 2); None elsewhere.
        post_ln: norms take the residual sums themselves (held_norms.py); `ln_final` is then that of the last
            block.
        project_out: what the final norm gives goes through it to the unembedding (OPT-350M); None elsewhere.
        centred: what is read has its mean taken off (the final norm is a LayerNorm).
    """

    blocks: tuple[Block, ...]
    ln_final: Norm
    unembed: nn.Module
    own_layer: bool
    residual_multiplier: float
    logit_factor: float
    logit_cap: float | None
    n_heads: int
    post_ln: bool = False
    project_out: nn.Module | None = None

    def read_off(self, normed: Tensor) -> Tensor:
        """What the unembedding gives of what the final norm gave, before any factor or cap."""
        logits: Tensor = self.unembed(normed if self.project_out is None else self.project_out(normed))
        return logits

    @property
    def centred(self) -> bool:
        return self.ln_final.centred

    @property
    def d_head(self) -> int:
        return int(self.blocks[0].heads_out.matrix.shape[0]) // self.n_heads


class RoleNotFound(Exception):
    """No module of the model plays a role; the sentence says which."""


def read_wiring(hf_model: Any) -> Wiring:
    """The roles of the modules by their names alone; `own_layer` is not known yet. Raises RoleNotFound."""
    config = hf_model.config
    n_layers = int(config.num_hidden_layers)
    parent, blocks = _block_list(hf_model.base_model, n_layers)
    unembed = hf_model.get_output_embeddings()
    if unembed is None:
        raise RoleNotFound("it has no unembedding")
    by_role = tuple(_block(module, layer) for layer, module in enumerate(blocks))
    final = next((norm for own in _FINAL_NORM if (norm := at(parent, own)) is not None), None)
    by_role, ln_final = _post_ln(by_role) if final is None else (by_role, _norm(final, "the final norm"))
    return Wiring(
        blocks=by_role,
        ln_final=ln_final,
        unembed=unembed,
        own_layer=True,
        residual_multiplier=_number(config, "residual_multiplier", 1.0),
        logit_factor=_number(config, "logit_scale", 1.0) * _logits_scaling(config),
        logit_cap=_number(config, "final_logit_softcapping", 0.0) or None,
        n_heads=int(config.num_attention_heads),
        post_ln=final is None,
        project_out=at(parent, "project_out"),
    )


def _post_ln(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], Norm]:
    """Blocks whose two norms take the sum after attention and the sum after the MLP, and the last of them."""
    ends: list[Norm] = []
    own: list[Block] = []
    for block in blocks:
        after_attention, after_mlp = block.norms.get("ln1"), block.norms.get("ln2")
        if (
            set(block.norms) != {"ln1", "ln2"}
            or after_attention is None
            or after_mlp in (None, after_attention)
        ):
            raise RoleNotFound("it has no norm before the unembedding")
        norms: dict[NormName, Norm] = {"ln2": after_attention}
        if ends:
            norms["ln1"] = ends[-1]
        own.append(replace(block, norms=norms))
        ends.append(block.norms["ln2"])
    return tuple(own), ends[-1]


def _number(config: Any, key: str, otherwise: float) -> float:
    value = getattr(config, key, None)
    return float(value) if isinstance(value, (int, float)) else otherwise


def _logits_scaling(config: Any) -> float:
    """What logits are multiplied by: HyperCLOVA X multiplies by the key of that name, Granite divides."""
    scaling = _number(config, "logits_scaling", 1.0)
    return scaling if config.model_type == "hyperclovax" else 1.0 / scaling


def _block_list(base: nn.Module, n_layers: int) -> tuple[nn.Module, nn.ModuleList]:
    for parent in base.modules():
        for child in parent.children():
            if isinstance(child, nn.ModuleList) and len(child) == n_layers:
                return parent, child
    raise RoleNotFound(f"it has no list of {n_layers} blocks")


def _block(module: nn.Module, layer: int) -> Block:
    attention = _first(module, _ATTENTION, f"attention in layer {layer}")
    out = _first(attention, _ATTENTION_OUT, f"a projection of what the heads of layer {layer} write")
    mlp, down = next(
        (
            (inside, at(inside, own))
            for place in _MLP
            for inside in [at(module, place)]
            if inside is not None
            for own in _MLP_OUT
            if at(inside, own) is not None
        ),
        (None, None),
    )
    if mlp is None or down is None:
        raise RoleNotFound(f"layer {layer} has no MLP with one down-projection")
    width = int(Projection(down).matrix.shape[0])
    gate = at(mlp, _MLP_GATE)
    up = next((found for own in _GATE_AND_UP if (found := at(mlp, own)) is not None), None)
    halves: tuple[Projection | None, Projection]
    if up is not None:
        halves = Projection(up, slice(0, width)), Projection(up, slice(width, 2 * width))
    else:
        up = _first(mlp, _MLP_IN, f"a projection into the MLP of layer {layer}")
        halves = None if gate is None else Projection(gate), Projection(up)
    activation = next(
        (found for inside in (mlp, module) for own in _ACTIVATION if (found := at(inside, own)) is not None),
        None,
    )
    if activation is None:
        raise RoleNotFound(f"the MLP of layer {layer} has no activation function of its own")
    return Block(
        module, attention, Projection(out), *halves, Projection(down), activation, _norms(module, layer)
    )


def _norms(module: nn.Module, layer: int) -> dict[NormName, Norm]:
    for row in _NORMS:
        by_name = {
            role: next((n for n in names if at(module, n) is not None), None) for role, names in row.items()
        }
        if row is not _NORMS[-1] and None in by_name.values():
            continue
        norms = {
            role: _norm(at(module, own), f"{own} of layer {layer}")
            for role, own in by_name.items()
            if own is not None
        }
        if "ln1" in norms:
            norms.setdefault("ln2", norms["ln1"])
        return norms
    raise AssertionError("the last row leaves nothing out")


def _norm(module: nn.Module | None, called: str) -> Norm:
    assert module is not None
    norm = find_norm(module)
    if norm is None:
        raise RoleNotFound(f"{called} is none of the norms that are known")
    return norm


def at(module: nn.Module, path: str) -> nn.Module | None:
    """The module at a dotted path below another; the other itself at the empty one. One that does nothing
    fills no role."""
    current: nn.Module | None = module
    for name in path.split(".") if path else ():
        current = current._modules.get(name) if current is not None else None
    return None if isinstance(current, nn.Identity) else current


def _first(module: nn.Module, names: Iterable[str], what: str) -> nn.Module:
    for name in names:
        module_found = at(module, name)
        if module_found is not None:
            return module_found
    raise RoleNotFound(f"it has no {what}")


def of_parameter(module: nn.Module, name: str) -> Tensor | None:
    """A parameter of a module, or None where it has none of that name."""
    return module._parameters.get(name)
