"""The scan's forward pass: the plain Hugging Face module on the weights of the bridge.

TransformerLens computes every activation anew through its hooks, with attention patterns always formed: a
fifth to a third slower than Hugging Face's own module with fused attention. A scan needs hook_post only,
which is what the MLP's down-projection is given. So:

1. Before TransformerLens wraps and folds a model, `skeleton` copies its tree of modules without the
   weights (they lie on the meta device): a few kilobytes a module, whatever the model's size.
2. After folding, `attach` puts the bridge's own tensors into the skeleton, leaf module by leaf module, by the
   names both kept. Nothing is copied: both compute with one set of weights. Folding can add a bias
   where there was none; it is taken too.
3. Where the original has one joint matrix for query, key and value, TransformerLens folds three new ones
   and keeps the joint matrix, unused and unfolded: the folded ones are written into it, in its layout.
4. transformers spells GPT-2's GELU out in eight passes over memory; torch's fused kernel of the same
   formula takes its place.
5. A pass runs the blocks up to the last layer asked for and ends inside it, before its down-projection:
   no unembedding, and nothing above is run.

What cannot be put together raises NoPlainForward; LookupModel also holds the result to the bridge's own
activations before it is used (`LookupModel.use_plain_forward`), and falls back to the bridge openly.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tui_lookups.errors import Poll
from tui_lookups.model.placement import follow, is_spread, without_hooks


class NoPlainForward(Exception):
    """The plain module cannot stand in for the bridge; the sentence says why. Never reaches a person."""


class _EndOfPass(Exception):
    """Raised inside the last block that is needed, caught by `mlp_activations`."""


@dataclass(frozen=True, eq=False)
class PlainForward:
    """The module without its unembedding.

    Attributes:
        module: takes `input_ids` [batch, pos].
        down: the MLP's down-projection of each layer; its input is hook_post.
        attention: the attention implementation, as transformers names it ("sdpa", "eager").
    """

    module: nn.Module
    down: tuple[nn.Module, ...]
    attention: str

    @torch.inference_mode()
    def mlp_activations(
        self, tokens: Tensor, layers: Iterable[int], consume: Callable[[int, Tensor], None], *, poll: Poll
    ) -> None:
        """As `LookupModel.mlp_activations`; `poll` is called once a layer, before the MLP is reduced."""
        wanted = set(layers)
        last = max(wanted)

        def hook_for(layer: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
                poll()
                if layer in wanted:
                    activation = arguments[0]
                    consume(layer, activation.view(*tokens.shape, activation.shape[-1]))  # OPT's are flat
                if layer == last:
                    raise _EndOfPass

            return hook

        handles = [self.down[layer].register_forward_pre_hook(hook_for(layer)) for layer in range(last + 1)]
        try:
            self.module(input_ids=tokens, use_cache=False)
        except _EndOfPass:
            return
        finally:
            for handle in handles:
                handle.remove()
        raise NoPlainForward(f"the pass ended without reaching the MLP of layer {last}")


def compile_attention(plain: PlainForward) -> None:
    """Let torch compile the attention of every layer, in place, at its next call.

    The MLP is left alone: a pass hands its activations out in the midst, which a compiled one cannot. Shapes
    stay open, so that one compilation serves all batches.
    """
    found = [module for module in plain.module.modules() if type(module).__name__.endswith("Attention")]
    if not found:
        raise NoPlainForward("it has no module called attention")
    for module in found:
        module.compile(dynamic=True)


def skeleton(hf_model: Any) -> nn.Module:
    """A copy of the model's tree of modules, its unembedding left out, with every parameter on meta.

    Args:
        hf_model: a transformers causal language model that nothing has wrapped yet. Not changed.
    """
    base: nn.Module = hf_model.base_model
    # deepcopy takes what its memo holds for a copy: parameters become empty ones, buffers are shared.
    memo: dict[int, Any] = {
        id(values): nn.Parameter(torch.empty_like(values, device="meta"), requires_grad=False)
        for values in base.parameters()
    }
    memo.update({id(values): values for values in base.buffers()})
    # Hooks refer to weights, and the copy has no use for them.
    memo.update({id(part._hf_hook): part._hf_hook for part in base.modules() if hasattr(part, "_hf_hook")})
    return without_hooks(copy.deepcopy(base, memo)).eval()


def attach(module: nn.Module, bridge: Any, family: str) -> PlainForward:
    """Put the bridge's weights, as they are now, into a skeleton.

    Args:
        module: from `skeleton`, of the model that `bridge` wraps.
        family: `model_type` of the configuration.
    Raises:
        NoPlainForward: the layouts do not agree.
    """
    wrapped = bridge.original_model
    prefix = getattr(wrapped, "base_model_prefix", "")
    config: Any = module.config
    if config._attn_implementation == "sdpa" and getattr(config, "attn_logit_softcapping", None):
        config._attn_implementation = "eager"  # sdpa leaves the soft cap out
    for block in bridge.blocks:
        _write_joint(block.attn, family)
    for name, leaf in module.named_modules():
        if leaf._parameters:
            _take_parameters(leaf, _unwrapped(wrapped, f"{prefix}.{name}"), name)
    _fuse_activations(module)
    left = [name for name, values in module.named_parameters() if values.is_meta]
    if left:
        raise NoPlainForward(f"no weights were found for {left[0]}")
    by_weight = {id(leaf._parameters.get("weight")): leaf for leaf in module.modules()}
    down = []
    for layer, block in enumerate(bridge.blocks):
        found = by_weight.get(id(_innermost(block.mlp.out).weight))
        if found is None:
            raise NoPlainForward(f"layer {layer} has no module of its own for the down-projection")
        down.append(found)
    if is_spread(wrapped):
        follow(module, wrapped.hf_device_map, prefix)
    return PlainForward(module, tuple(down), str(config._attn_implementation))


def _innermost(module: Any) -> Any:
    while "_original_component" in module._modules:
        module = module._modules["_original_component"]
    return module


def _unwrapped(wrapped: Any, name: str) -> nn.Module:
    """The module called `name` in the original model, out of the bridge's wrappings."""
    module = wrapped
    for part in name.split("."):
        found = _innermost(module)._modules.get(part)
        if found is None:
            raise NoPlainForward(f"the bridge has no {name}")
        module = found
    unwrapped: nn.Module = _innermost(module)
    return unwrapped


def _take_parameters(leaf: nn.Module, source: nn.Module, name: str) -> None:
    """Let a leaf of the skeleton use the parameters of its counterpart."""
    for key, values in leaf._parameters.items():
        found = source._parameters.get(key)
        if (found is None) != (values is None) and not (values is None and key == "bias"):
            raise NoPlainForward(f"the bridge has no {name}.{key}")
        if found is not None and values is not None and found.shape != values.shape:
            raise NoPlainForward(f"{name}.{key} has another shape in the bridge")
    extra = set(source._parameters) - set(leaf._parameters)
    if extra:
        raise NoPlainForward(f"the bridge has {name}.{min(extra)}, which the model lacks")
    leaf._parameters.update(source._parameters)


def _fuse_activations(module: nn.Module) -> None:
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child).__name__ == "NewGELUActivation":
                setattr(parent, name, nn.GELU(approximate="tanh"))


def _write_joint(attention: Any, family: str) -> None:
    """Write folded query, key and value into the joint matrix they came from, if there is one."""
    if "qkv" not in attention._modules:
        return
    if family not in _JOINTS:
        raise NoPlainForward(f"the layout of the joint query, key and value of {family} is not known")
    joint = _innermost(attention.qkv)
    parts = [_innermost(attention._modules[letter]) for letter in "qkv"]
    heads = attention.config.n_heads
    with torch.no_grad():
        for key in ("weight", "bias"):
            values = _JOINTS[family]([getattr(part, key) for part in parts], heads)
            if values.shape != getattr(joint, key).shape:
                raise NoPlainForward(f"the joint query, key and value have {key}es of another shape")
            getattr(joint, key).copy_(values)


def _join_side_by_side(parts: list[Tensor], _: int) -> Tensor:
    """GPT-2's Conv1D: [d_model, 3 * d_model], the three side by side; its bias likewise."""
    return torch.cat([part.T if part.dim() == 2 else part for part in parts], -1)


def _join_by_head(parts: list[Tensor], heads: int) -> Tensor:
    """GPT-NeoX: [n_heads * 3 * d_head, d_model], the three of a head together; its bias likewise."""
    apart = [part.reshape(heads, -1, *part.shape[1:]) for part in parts]
    return torch.stack(apart, 1).flatten(0, 2)


_JOINTS: dict[str, Callable[[list[Tensor], int], Tensor]] = {
    "gpt2": _join_side_by_side,
    "gpt_neox": _join_by_head,
}
