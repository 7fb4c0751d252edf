"""Which module of a Hugging Face model plays which role, found by name and proven by one pass.

1. `find_wiring` looks every role up under the names that transformers' families use: the blocks, their norms,
   attention and its output projection, the MLP's projections and its activation function, the final norm and
   the unembedding. Every norm is run on a probe, and the formula that gives its output is kept (norms.py).
2. `prove` runs a few tokens through the whole model and holds what each module was given and gave to the
   algebra that figures are worked out by (method.md, section 4), at every layer:
   each block adds what its heads and its MLP write, times the residual multiplier, to the residual stream;
   the MLP reads the stream after its block's attention, or beside it; act(g) * u, or act(pre), is what the
   down-projection is given; the logits are the unembedding of the normed stream, scaled and capped.
3. What cannot be found or does not hold is refused in a sentence: a role filled by the wrong module, a term
   that is left out or a factor that is not known changes the sums by far more than rounding.

Nothing here changes the model, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.architecture import SUPPORTED
from tui_lookups.model.norms import Norm, find_norm

NormName = Literal["ln1", "ln1_post", "ln2", "ln2_post"]

PROOF_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""How far both sides may be apart, in units of the largest number; transformers takes softmax, rotation and
RMS norms in single precision whatever the model is in. A wrong module is off by about one."""

_PROOF_LENGTH = 6

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
            "feedforward_layernorm",
        ),
    },
)  # fmt: skip
"""A block's norms, by what distinguishes the families: the first row whose names are all there."""

_FINAL_NORM = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "layer_norm")
_ATTENTION = ("self_attn", "attn.attention", "attn", "attention", "self_attention")
_ATTENTION_OUT = ("o_proj", "out_proj", "c_proj", "dense")
_MLP = ("mlp", "ffn", "")
"""OPT's and BioGPT's projections stand in the block itself."""
_MLP_OUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc_out", "fc2")
_MLP_IN = ("up_proj", "c_fc", "dense_h_to_4h", "fc_in", "fc1")
_MLP_GATE, _GATE_AND_UP = "gate_proj", "gate_up_proj"
_ACTIVATION = ("act_fn", "act", "activation_fn", "gelu_impl")


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
    def bias(self) -> Tensor | None:
        """[d_out], a view; None where it has none."""
        bias = of_parameter(self.module, "bias")
        return bias if bias is None or self.rows is None else bias[self.rows]

    def of_output(self, output: Tensor) -> Tensor:
        """The part of the module's output that is this role's."""
        return output if self.rows is None else output[..., self.rows]


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
        norms: those there are. A block with one norm for both has it as "ln1" and as "ln2".
    """

    module: nn.Module
    attention: nn.Module
    heads_out: Projection
    gate: Projection | None
    up: Projection
    down: Projection
    activation: Callable[[Tensor], Tensor]
    norms: dict[NormName, Norm]


@dataclass(frozen=True, eq=False)
class Wiring:
    """A model's modules by their roles.

    Attributes:
        own_layer: the heads of a neuron's own block reach it (attention before the MLP, not beside it).
        residual_multiplier: factor on everything blocks write (Granite); 1 elsewhere.
        logit_factor: what the product with the unembedding is multiplied by (Granite, Cohere); 1 elsewhere.
        logit_cap: the logits are cap * tanh(logit / cap) at the end (Gemma 2); None elsewhere.
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

    @property
    def centred(self) -> bool:
        return self.ln_final.centred

    @property
    def d_head(self) -> int:
        return int(self.blocks[0].heads_out.matrix.shape[0]) // self.n_heads


class _NotFound(Exception):
    """No module of the model plays a role; the sentence says which."""


def find_wiring(hf_model: Any, name: str, tokens: Tensor) -> Wiring:
    """The roles of a transformers causal language model's modules, proven on a few tokens.

    Args:
        tokens: [1, pos], on the model's device; see `proof_tokens`.
    Raises UnsupportedModelError where a role is not found, or the model computes something else.
    """
    family = str(getattr(hf_model.config, "model_type", ""))
    try:
        wiring = read_wiring(hf_model)
        own_layer = prove(hf_model, wiring, tokens)
    except _NotFound as error:
        raise UnsupportedModelError(
            f"{name} ({family}) is of a make that cannot be taken apart into heads and neurons: {error}.",
            SUPPORTED,
        ) from error
    return Wiring(**{**vars(wiring), "own_layer": own_layer})


def proof_tokens(d_vocab: int, bos_id: int | None, device: torch.device) -> Tensor:
    """A short text of fixed pseudo-random tokens: [1, pos]."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, d_vocab, (1, _PROOF_LENGTH), generator=generator)
    if bos_id is not None:
        tokens[0, 0] = bos_id
    return tokens.to(device)


# --- finding ---


def read_wiring(hf_model: Any) -> Wiring:
    """The roles of the modules by their names alone; `own_layer` is not known yet. Raises _NotFound."""
    config = hf_model.config
    n_layers = int(config.num_hidden_layers)
    parent, blocks = _block_list(hf_model.base_model, n_layers)
    unembed = hf_model.get_output_embeddings()
    if unembed is None:
        raise _NotFound("it has no unembedding")
    return Wiring(
        blocks=tuple(_block(module, layer) for layer, module in enumerate(blocks)),
        ln_final=_norm(_first(parent, _FINAL_NORM, "a norm before the unembedding"), "the final norm"),
        unembed=unembed,
        own_layer=True,
        residual_multiplier=_number(config, "residual_multiplier", 1.0),
        logit_factor=_number(config, "logit_scale", 1.0) / _number(config, "logits_scaling", 1.0),
        logit_cap=_number(config, "final_logit_softcapping", 0.0) or None,
        n_heads=int(config.num_attention_heads),
    )


def _number(config: Any, key: str, otherwise: float) -> float:
    value = getattr(config, key, None)
    return float(value) if isinstance(value, (int, float)) else otherwise


def _block_list(base: nn.Module, n_layers: int) -> tuple[nn.Module, nn.ModuleList]:
    for parent in base.modules():
        for child in parent.children():
            if isinstance(child, nn.ModuleList) and len(child) == n_layers:
                return parent, child
    raise _NotFound(f"it has no list of {n_layers} blocks")


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
        raise _NotFound(f"layer {layer} has no MLP with one down-projection")
    width = int(Projection(down).matrix.shape[0])
    gate, up = at(mlp, _MLP_GATE), at(mlp, _GATE_AND_UP)
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
        raise _NotFound(f"the MLP of layer {layer} has no activation function of its own")
    return Block(
        module, attention, Projection(out), *halves, Projection(down), activation, _norms(module, layer)
    )


def _norms(module: nn.Module, layer: int) -> dict[NormName, Norm]:
    for row in _NORMS:
        found = {
            role: next((n for n in names if at(module, n) is not None), None) for role, names in row.items()
        }
        if row is not _NORMS[-1] and None in found.values():
            continue
        norms = {
            role: _norm(at(module, own), f"{own} of layer {layer}")
            for role, own in found.items()
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
        raise _NotFound(f"{called} is none of the norms that are known")
    return norm


def at(module: nn.Module, path: str) -> nn.Module | None:
    """The module at a dotted path below another; the other itself at the empty one."""
    found: nn.Module | None = module
    for name in path.split(".") if path else ():
        found = found._modules.get(name) if found is not None else None
    return found


def _first(module: nn.Module, names: Iterable[str], what: str) -> nn.Module:
    for name in names:
        found = at(module, name)
        if found is not None:
            return found
    raise _NotFound(f"it has no {what}")


def of_parameter(module: nn.Module, name: str) -> Tensor | None:
    """A parameter of a module, or None where it has none of that name."""
    return module._parameters.get(name)


# --- proving ---


@torch.inference_mode()
def prove(hf_model: Any, wiring: Wiring, tokens: Tensor) -> bool:
    """Hold one pass to the algebra (step 2), and return whether heads of a block reach its own neurons.

    Raises _NotFound, naming the layer, where both differ.
    """
    given: dict[nn.Module, Tensor] = {}
    gave: dict[nn.Module, Tensor] = {}
    with _watching(wiring, given, gave):
        logits = hf_model(input_ids=tokens, use_cache=False).logits
    same = _Same(PROOF_TOLERANCE[logits.dtype], tokens.shape)
    multiplier = wiring.residual_multiplier
    reaching: set[bool] = set()
    for layer, block in enumerate(wiring.blocks):
        stream = same.taken(given, block.module, f"block {layer}")
        heads = same.taken(gave, block.heads_out.module, f"attention of layer {layer}")
        neurons = same.taken(gave, block.down.module, f"MLP of layer {layer}")
        if (ln1_post := block.norms.get("ln1_post")) is not None:
            heads = same.taken(gave, ln1_post.module, f"norm after attention of layer {layer}")
        if (ln2_post := block.norms.get("ln2_post")) is not None:
            neurons = same.taken(gave, ln2_post.module, f"norm after the MLP of layer {layer}")
        middle = stream + multiplier * heads
        is_last = layer + 1 == len(wiring.blocks)
        after = given[wiring.ln_final.module if is_last else wiring.blocks[layer + 1].module]
        same.require(middle + multiplier * neurons, after, f"what block {layer} adds")
        ln2 = block.norms.get("ln2")
        read = given[block.up.module] if ln2 is None else given[ln2.module]
        own = same.error(read, middle) < same.error(read, stream)
        same.require(read, middle if own else stream, f"what the MLP of layer {layer} reads")
        reaching.add(own)
        if ln2 is not None:
            same.require(
                ln2.apply(read), given[block.up.module], f"what its norm gives the MLP of layer {layer}"
            )
        u = block.up.of_output(gave[block.up.module])
        if block.gate is None:
            a = block.activation(u)
        else:
            a = block.activation(block.gate.of_output(gave[block.gate.module])) * u
        same.require(a, given[block.down.module], f"the activations of layer {layer}")
    normed = wiring.ln_final.apply(given[wiring.ln_final.module])
    expected = wiring.unembed(normed.to(logits.dtype)) * wiring.logit_factor
    if wiring.logit_cap is not None:
        expected = wiring.logit_cap * torch.tanh(expected / wiring.logit_cap)
    same.require(expected, logits, "the logits")
    if len(reaching) != 1:
        raise _NotFound("attention stands beside the MLP in some blocks and before it in others")
    return reaching.pop()


@contextmanager
def _watching(
    wiring: Wiring, given: dict[nn.Module, Tensor], gave: dict[nn.Module, Tensor]
) -> Iterator[None]:
    """Keep what every module that has a role is given and gives. Copies: some add to it in place."""

    def keep_given(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        first = arguments[0] if arguments else named["hidden_states"]
        given[module] = first.detach().clone()

    def keep_what_it_gave(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        gave[module] = output.detach().clone()

    handles = []
    for block in wiring.blocks:
        norms = [norm.module for norm in block.norms.values()]
        linear = [
            part.module for part in (block.heads_out, block.gate, block.up, block.down) if part is not None
        ]
        for module in dict.fromkeys([block.module, *norms, *linear]):
            handles.append(module.register_forward_pre_hook(keep_given, with_kwargs=True))
            if module is not block.module:
                handles.append(module.register_forward_hook(keep_what_it_gave))
    handles.append(wiring.ln_final.module.register_forward_pre_hook(keep_given, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Same:
    """Compares tensors of any of the shapes that families use ([batch, pos, n] or flat)."""

    def __init__(self, tolerance: float, shape: torch.Size) -> None:
        self._tolerance = tolerance
        self._shape = shape

    def taken(self, kept: dict[nn.Module, Tensor], module: nn.Module, what: str) -> Tensor:
        """What was kept of a module, [batch, pos, n]. Raises _NotFound where the pass did not run it."""
        if module not in kept:
            raise _NotFound(f"a pass does not go through its module for the {what}")
        return kept[module].view(*self._shape, -1)

    @staticmethod
    def error(found: Tensor, expected: Tensor) -> float:
        """The largest difference, in units of the largest number expected."""
        there = expected.reshape(-1).double()
        if found.numel() != there.numel():
            return float("inf")
        return float((found.reshape(-1).to(there) - there).abs().max() / there.abs().max().clamp(min=1e-30))

    def require(self, found: Tensor, expected: Tensor, what: str) -> None:
        if not self.error(found, expected) <= self._tolerance:
            raise _NotFound(f"its modules do not give {what}")
