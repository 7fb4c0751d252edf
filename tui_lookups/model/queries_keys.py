"""What the attention of one layer reads on one text: queries, keys and values, linear in the residual stream.

See method.md, sections 9 and 10.

1. A pass over the text shows the stream before the layer, and what its attention is called with beside it:
   rotary angles, mask, ALiBi.
2. A copy of that attention, on the same weights, is called so again, norms on queries, keys and values held
   at the scales they divide by. What it hands to transformers' attention function - queries, keys and values
   after biases, norms and rotation, the factor on scores, the mask - is caught. Families with attention code
   of their own are read by name (`_OWN_CODE`); any other is refused.
3. Held so, all three are linear in the stream, but for what biases come to; a second call, on nothing but the
   bias of the norm before attention, gives that. So what reads the stream for a product with them is a
   vector-Jacobian product, whatever the layout of heads, rotation and norms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.first_import import import_transformers
from tui_lookups.model.norms import Norm, find_norm
from tui_lookups.model.points import EndOfPass, with_first
from tui_lookups.model.second_tree import second_module

_FUNCTION = "lookups_handed_out"
"""The name of our attention function among transformers' own."""


@dataclass(frozen=True, eq=False)
class Handed:
    """What an attention function is given.

    Attributes:
        queries: [n_heads, pos, d_head], as they meet the keys.
        keys, values: [n_kv_heads, pos, d_head].
        factor: on the product of query and key.
        allowed: the keys that each query may attend to, [1 or n_heads, pos, pos], query before key.
        distance: what is added to scores whatever the text (ALiBi), [n_heads, pos or 1, pos]; None: nothing.
        soft_cap: of the scores: the softmax is given cap * tanh(score / cap); None where there is none.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    factor: float
    allowed: Tensor
    distance: Tensor | None = None
    soft_cap: float | None = None

    def of_head(self, head: int) -> tuple[Tensor, Tensor, Tensor]:
        """A head's query, key and value at each position, [pos, d_head] each."""
        group = head * len(self.keys) // len(self.queries)
        return self.queries[head], self.keys[group], self.values[group]

    def distances(self, head: int, query: int) -> Tensor:
        """What is added to a query's scores whatever the text: [pos]."""
        if self.distance is None:
            return self.keys.new_zeros(self.keys.shape[1])
        return self.distance[head, query if self.distance.shape[1] > 1 else 0]

    def may_attend(self, head: int, query: int) -> Tensor:
        """Which keys a head's query may attend to: [pos]."""
        return self.allowed[head if len(self.allowed) > 1 else 0, query]

    def scores(self, head: int, query: int) -> Tensor:
        """A query's scores before a soft cap and the softmax, ALiBi in them: [pos]."""
        q, k, _ = self.of_head(head)
        return self.factor * (k.detach() @ q[query].detach()) + self.distances(head, query)

    def pattern(self, head: int, query: int) -> Tensor:
        """A row of the head's attention pattern: [pos]."""
        scores, cap = self.scores(head, query), self.soft_cap
        capped = scores if cap is None else cap * torch.tanh(scores / cap)
        return capped.masked_fill(~self.may_attend(head, query), -torch.inf).softmax(0)


@dataclass(frozen=True, eq=False)
class AttentionReading:
    """One layer's queries, keys and values on one text, and the residual stream that they are read from.

    Attributes:
        stream: what the norm before attention is given, [pos, d_model].
        handed: what attention makes of it, differentiable.
        resting: what it makes of biases alone, norms held as in `handed`.
    """

    stream: Tensor
    handed: Handed
    resting: Handed
    _norm: Norm | None
    _read: Tensor

    def readers(self, products: Tensor) -> Tensor:
        """What reads the stream, at each position, for what is linear in queries, keys or values.

        The norm before attention is folded in, and its scale divided by: the product with `stream`, summed,
        and what biases come to are the value.

        Args:
            products: [n], made of what `handed` holds.
        Returns:
            [n, pos, d_model].
        """
        directions = torch.eye(len(products)).to(products)
        (gradients,) = torch.autograd.grad(
            products, self._read, directions, retain_graph=True, is_grads_batched=True
        )
        readers: Tensor = gradients.reshape(len(products), *self.stream.shape)
        if self._norm is None:
            return readers
        folded = self._norm.fold(readers.reshape(-1, readers.shape[-1]).T).T.reshape(readers.shape)
        return folded / self._norm.scale(self.stream)


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with: arguments, and those by name."""


@torch.inference_mode(False)
def read_attention(
    attention: nn.Module, norm: Norm | None, call: Call, stream: Tensor, dtype: torch.dtype, where: str
) -> AttentionReading:
    """What a layer's attention reads on a text.

    Args:
        attention: as it stands in the model that runs; not changed.
        norm: what it reads the stream through.
        call: what it was called with in a pass over the text.
        stream: the residual stream there, [1, pos, d_model].
        dtype: what it is computed in.
        where: the layer and the model, for messages.
    Raises UnsupportedModelError where attention of the family cannot be read.
    """
    import_transformers()
    from transformers import AttentionInterface

    AttentionInterface.register(_FUNCTION, _hand_out)
    device = next(attention.parameters()).device
    with torch.no_grad():
        arguments, named = _copied(call, dtype)
        stream = stream.to(device, dtype, copy=True)
        read = stream if norm is None else norm.apply(stream)
        bias = None if norm is None else norm.bias(stream)
        nothing = torch.zeros_like(read) if bias is None else bias.expand_as(read)
        copied = _copy_of(attention, dtype)
        _hold_norms(copied, where)
    leaf = read.clone().requires_grad_(True)
    with torch.enable_grad():
        handed = _handed(copied, leaf, arguments, named, where)
    with torch.no_grad():
        resting = _handed(copied, nothing, arguments, named, where)
    return AttentionReading(stream[0], handed, resting, norm, leaf)


def _copy_of(attention: nn.Module, dtype: torch.dtype) -> Any:
    """Attention again, in `dtype`, handing out what it computes; on the same weights where they are in it."""
    copied = second_module(attention)
    for part in copied.modules():
        for name, values in part._parameters.items():
            if values is not None and values.dtype != dtype:
                part._parameters[name] = nn.Parameter(values.to(dtype), requires_grad=False)
    if hasattr(copied, "config") and type(copied).__name__ not in _OWN_CODE:  # a copy as well
        copied.config._attn_implementation = _FUNCTION
    return copied


def _hold_norms(attention: nn.Module, where: str) -> None:
    for path, module in attention.named_modules():
        if path and "Norm" in type(module).__name__ and not list(module.children()):
            norm = find_norm(module)
            if norm is None:
                raise UnsupportedModelError(
                    f"{path} in attention of {where} is none of the norms that are known.",
                    "What its heads look for cannot be split; please report the model's name.",
                )
            module.forward = _HeldNorm(norm)


def _handed(
    attention: Any, read: Tensor, arguments: tuple[Any, ...], named: dict[str, Any], where: str
) -> Handed:
    own = _OWN_CODE.get(type(attention).__name__)
    if own is not None:
        return own(attention, read, named)
    given, by_name = with_first(arguments, named, read)
    try:
        with _KeepsDouble():
            attention(*given, **by_name)
    except _Caught as caught:
        return caught.handed
    raise UnsupportedModelError(
        f"Attention of {where} ({type(attention).__name__}) is computed by code of its own.",
        "What its heads look for cannot be split; please report the model's name.",
    )


class _HeldNorm:
    """A norm that divides by the scales of what it was given first."""

    def __init__(self, norm: Norm) -> None:
        self._norm = norm
        self._scale: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._scale is None:
            self._scale = self._norm.scale(x).detach()
        return self._norm.divided(x, self._scale)


class _KeepsDouble(TorchFunctionMode):
    """Leaves double precision as it is where a family rotates in single precision (Cohere, ERNIE)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (*args[1:], *(kwargs or {}).values())
        single = func is Tensor.float or (func is Tensor.to and any(each is torch.float32 for each in given))
        if single and args[0].dtype == torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))


class _Caught(EndOfPass):
    """Raised by our attention function, on its way to who asked."""

    def __init__(self, handed: Handed) -> None:
        self.handed = handed


def _hand_out(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> Any:
    """An attention function as transformers calls it."""
    factor = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    allowed, distance = _causal(query), None
    if attention_mask is not None:
        allowed, distance = _of_mask(attention_mask[0])
    raise _Caught(Handed(query[0], key[0], value[0], factor, allowed, distance, softcap))


def _causal(query: Tensor) -> Tensor:
    n = query.shape[-2]
    return torch.ones(1, n, n, dtype=torch.bool, device=query.device).tril()


def _of_mask(mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """What is added to scores, [n_heads or 1, q, k], as what may be attended to and what is really added."""
    if mask.dtype == torch.bool:
        return mask, None
    # What rules a key out is the lowest number of some precision; half of float16's lowest is -3.3e4.
    allowed = mask > torch.clamp(mask.amin() / 2, max=-3e4)
    distance = mask.masked_fill(~allowed, 0.0)
    return allowed, distance if bool(distance.any()) else None


def _copied(values: Any, dtype: torch.dtype) -> Any:
    """Tensors, wherever they stand in tuples and dictionaries, as copies, numbers in `dtype`.

    Copies, since autograd refuses what an inference pass made.
    """
    if isinstance(values, Tensor):
        return values.to(dtype, copy=True) if values.is_floating_point() else values.clone()
    if isinstance(values, tuple):
        return tuple(_copied(value, dtype) for value in values)
    if isinstance(values, dict):
        return {name: _copied(value, dtype) for name, value in values.items()}
    return values


# --- attention that calls no attention function of transformers ---


def _gpt_neo(attention: Any, read: Tensor, named: Mapping[str, Any]) -> Handed:
    n = read.shape[1]
    heads = (attention.num_heads, attention.head_dim)
    q, k, v = (
        project(read).unflatten(-1, heads)[0].transpose(0, 1)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return Handed(q, k, v, 1.0, attention.bias[0, :, :n, :n])


def _bloom(attention: Any, read: Tensor, named: Mapping[str, Any]) -> Handed:
    q, k, v = (part[0] for part in attention._reshape(attention.query_key_value(read)))
    distance = named["alibi"] * attention.beta
    return Handed(q, k, v, float(attention.inv_norm_factor), _causal(q), distance)


def _mpt(attention: Any, read: Tensor, named: Mapping[str, Any]) -> Handed:
    joint = attention.Wqkv(read)
    if attention.clip_qkv:
        joint = joint.clamp(min=-attention.clip_qkv, max=attention.clip_qkv)
    heads = (attention.n_heads, attention.head_dim)
    q, k, v = (part.unflatten(-1, heads)[0].transpose(0, 1) for part in joint.chunk(3, dim=2))
    n, distance = read.shape[1], named.get("position_bias")
    distance = None if distance is None else distance[:, -n:, -n:]
    return Handed(q, k, v, float(attention.softmax_scale), _causal(q), distance)


def _falcon(attention: Any, read: Tensor, named: Mapping[str, Any]) -> Handed:
    import_transformers()
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

    q, k, v = (part.transpose(1, 2) for part in attention._split_heads(attention.query_key_value(read)))
    allowed, distance = _of_mask(named["attention_mask"][0])
    if named["alibi"] is None:  # else the mask has it
        q, k = apply_rotary_pos_emb(q, k, *named["position_embeddings"])
    return Handed(q[0], k[0], v[0], float(attention.inv_norm_factor), allowed, distance)


def _openai_gpt(attention: Any, read: Tensor, named: Mapping[str, Any]) -> Handed:
    n = read.shape[1]
    q, k, v = (
        attention.split_heads(part)[0] for part in attention.c_attn(read).split(attention.split_size, 2)
    )
    factor = v.shape[-1] ** -0.5 if attention.scale else 1.0
    return Handed(q, k, v, factor, attention.bias[0, :, :n, :n].bool())


_OWN_CODE: dict[str, Callable[[Any, Tensor, Mapping[str, Any]], Handed]] = {
    "GPTNeoSelfAttention": _gpt_neo,
    "BloomAttention": _bloom,
    "MptAttention": _mpt,
    "FalconAttention": _falcon,
    "Attention": _openai_gpt,
}
"""By the class of attention, what its forward does up to the scores."""
