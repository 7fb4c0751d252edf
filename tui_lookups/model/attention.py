"""Attention patterns and values, for source tokens: opened with the first question about them.

Two ways give the same:

1. TransformerLens' bridge around a second tree of the modules, raw (bridge.py).
2. Where it does not know the family, would copy weights, or computes something else: transformers' own
   modules, a second tree of them with eager attention, which returns its patterns. The values at position k
   are z on a text of one token, where the pattern is 1, when attention reads there what it reads at k.

Either is held to the pass it is asked about: pattern times values must be z (`require_same_z`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.model.bridge import Bridge, NoBridge, open_bridge
from tui_lookups.model.library_output import quiet_libraries
from tui_lookups.model.points import EndOfPass, ends_early, first_of, with_first
from tui_lookups.model.second_tree import second_tree
from tui_lookups.model.wiring import read_wiring

_log = logging.getLogger(__name__)

SAME_Z = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""How far pattern times values may be from z, in units of the largest z."""


class Attention(Protocol):
    """A source of patterns and values."""

    def of_layer(self, tokens: Tensor, layer: int, poll: Poll) -> tuple[Tensor, Tensor]:
        """A layer's patterns [batch, n_heads, q, k] and values [batch, pos, n_heads, d_head], as they are:
        value biases in them, grouped key/value heads repeated."""


def open_attention(hf_model: Any, *, family: str, name: str, bos_id: int | None) -> Attention:
    """The first of the two ways that serves a transformers causal language model.

    Args:
        family: `model_type` of the configuration.
        name: the model's, as the user gave it.
        bos_id: begin-of-text, if texts start with it.
    """
    try:
        with quiet_libraries():
            return BridgeAttention(open_bridge(hf_model, family=family, name=name, bos_id=bos_id))
    except NoBridge as reason:
        _log.info("%s: patterns are transformers' own: %s", name, reason)
        return EagerAttention(hf_model)


class BridgeAttention:
    """Patterns and values of TransformerLens' bridge (way 1)."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def of_layer(self, tokens: Tensor, layer: int, poll: Poll) -> tuple[Tensor, Tensor]:
        """See `Attention`."""
        kept: dict[str, Tensor] = {}
        hooks = {f"blocks.{layer}.attn.hook_{role}": _keeper(kept, role) for role in ("pattern", "v")}
        self._bridge.run(tokens, hooks, stop_after=layer, poll=poll)
        pattern, values = kept["pattern"], kept["v"]
        return pattern, values.repeat_interleave(pattern.shape[1] // values.shape[2], 2)


def _keeper(kept: dict[str, Tensor], role: str) -> Callable[[Tensor], None]:
    def keep(activation: Tensor) -> None:
        kept[role] = activation.clone()

    return keep


class EagerAttention:
    """Patterns and values of transformers' own modules (way 2)."""

    def __init__(self, hf_model: Any) -> None:
        self._tree = second_tree(hf_model, attention="eager")
        self._wiring = read_wiring(self._tree)
        self._n_heads = self._wiring.n_heads

    @torch.inference_mode()
    def of_layer(self, tokens: Tensor, layer: int, poll: Poll) -> tuple[Tensor, Tensor]:
        """See `Attention`. Raises UnsupportedModelError where the modules return no pattern."""
        block = self._wiring.blocks[layer]
        square = (*tokens.shape[:1], self._n_heads, tokens.shape[1], tokens.shape[1])
        patterns: list[Tensor] = []
        read: list[Tensor] = []
        gathered: list[Tensor] = []

        def keep_read(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            read.append(first_of(arguments, named))

        def keep_pattern(_: nn.Module, arguments: Any, output: Any) -> None:
            patterns.extend(part for part in output if isinstance(part, Tensor) and part.shape == square)
            raise EndOfPass

        def read_alone(
            _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return with_first(arguments, named, read[0].reshape(-1, 1, read[0].shape[-1]))

        def keep_gathered(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            gathered.append(arguments[0].reshape(*tokens.shape, self._n_heads, -1))
            raise EndOfPass

        attention, heads_out = block.attention, block.heads_out.module
        with ExitStack() as stack:
            for below in self._wiring.blocks[: layer + 1]:
                stack.callback(below.module.register_forward_pre_hook(lambda *_: poll()).remove)
            with ExitStack() as first:
                first.callback(attention.register_forward_pre_hook(keep_read, with_kwargs=True).remove)
                first.callback(attention.register_forward_hook(keep_pattern).remove)
                ends_early(self._tree.base_model, tokens)
            if not patterns:
                raise UnsupportedModelError(
                    f"Attention of layer {layer} gives no pattern out: heads cannot be split over tokens.",
                    "Heads themselves can be asked for.",
                )
            stack.callback(attention.register_forward_pre_hook(read_alone, with_kwargs=True).remove)
            stack.callback(heads_out.register_forward_pre_hook(keep_gathered).remove)
            ends_early(self._tree.base_model, tokens.reshape(-1, 1))  # every position a text of its own
        return patterns[0], gathered[0]


def require_same_z(pattern: Tensor, values: Tensor, z: Tensor, dtype: torch.dtype, where: str) -> None:
    """Raise UnsupportedModelError unless a row of a head's pattern, times its values, is its z.

    Args:
        pattern: [batch, k]; values: [batch, k, d_head]; z: [batch, d_head].
        dtype: of the model's weights.
        where: the head and the model, for the message.
    """
    error = (torch.einsum("bk,bkd->bd", pattern, values) - z).abs().max()
    if not float(error) <= SAME_Z[dtype] * float(z.abs().max().clamp(min=1e-30)):
        raise UnsupportedModelError(
            f"The pattern of {where} times its values is not what the head gathers.",
            "Its source tokens would be wrong, so they are refused; please report the model's name.",
        )
