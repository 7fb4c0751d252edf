"""Attention of one text, a layer at a time, without another pass: for traces, which open many layers' heads.

See method.md, section 9.

1. A second tree of modules with eager attention, which forms patterns, is run once over a text (and once, for
   all texts, over one token). What each layer's attention is called with is kept: rotary angles, mask, ALiBi.
2. A layer's pattern is had by calling that attention alone again, on what the model's own attention read.
3. On a text of one token the pattern is 1, so z is the values, whatever the layout of heads; they are linear
   in what attention reads, and what reads it on behalf of a reader of z is a vector-Jacobian product.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.model.points import EndOfPass, first_of, with_first
from tui_lookups.model.second_tree import second_tree
from tui_lookups.model.wiring import Block, read_wiring
from tui_lookups.progress import counting

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with."""


class ReplayedAttention:
    """The second tree of one model (step 1).

    Args:
        hf_model: a transformers causal language model. Not changed.
    """

    def __init__(self, hf_model: Any) -> None:
        self._tree = second_tree(hf_model, attention="eager")
        self._wiring = read_wiring(self._tree)

    def on_text(self, tokens: Tensor, poll: Poll) -> AttentionOfText:
        """Attention on a text, [1, pos]."""
        blocks, n_heads = self._wiring.blocks, self._wiring.n_heads
        return AttentionOfText(blocks, n_heads, self._calls(tokens, poll), self._alone)

    @cached_property
    def _alone(self) -> list[Call]:
        device = self._wiring.blocks[0].heads_out.matrix.device
        return self._calls(torch.zeros(1, 1, dtype=torch.int64, device=device), lambda: None)

    def _calls(self, tokens: Tensor, poll: Poll) -> list[Call]:
        """What each layer's attention is called with on a text."""
        calls: list[Call] = []
        poll = counting(poll, "replaying attention", len(self._wiring.blocks), "blocks")

        def keep(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            poll()
            # What it reads is another's to give: only its place is kept.
            device_of = first_of(arguments, named).new_empty(0)
            calls.append(with_first(arguments, named, device_of))

        handles = [
            block.attention.register_forward_pre_hook(keep, with_kwargs=True) for block in self._wiring.blocks
        ]
        try:
            # Not in inference mode: step 3 takes a derivative of what is computed from these.
            with torch.inference_mode(False), torch.no_grad():
                self._tree.base_model(input_ids=tokens.clone(), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return calls


class AttentionOfText:
    """Patterns of one text, and what reads attention's input on behalf of a reader of z, layer by layer."""

    def __init__(self, blocks: tuple[Block, ...], n_heads: int, calls: list[Call], alone: list[Call]) -> None:
        self._blocks = blocks
        self._n_heads = n_heads
        self._calls = calls
        self._alone = alone

    @torch.inference_mode()
    def pattern(self, layer: int, read: Tensor) -> Tensor:
        """A layer's patterns, [n_heads, q, k].

        Args:
            read: what its attention reads on the text, [pos, d_model].
        Raises UnsupportedModelError where attention gives no pattern out.
        """
        block, square = self._blocks[layer], (1, self._n_heads, len(read), len(read))
        there = read.unsqueeze(0).to(block.heads_out.matrix.device)
        arguments, named = with_first(*self._calls[layer], there)
        for part in block.attention(*arguments, **named):
            if isinstance(part, Tensor) and part.shape == square:
                return part[0]
        raise UnsupportedModelError(
            f"Attention of layer {layer} gives no pattern out: heads cannot be split over tokens.",
            "Heads themselves can be asked for.",
        )

    def read_back(self, layer: int, readers: Tensor) -> Tensor:
        """What reads attention's input at any position where `readers` read its values there.

        Args:
            readers: [n, n_heads, d_head].
        Returns: [n, d_model], in the dtype of `readers`.
        """
        flat = readers.flatten(1)
        if len(flat) > flat.shape[1]:  # more than the map has rows: the map itself is less
            return flat @ self.read_back(
                layer, torch.eye(flat.shape[1]).to(flat).view(-1, *readers.shape[1:])
            )
        block = self._blocks[layer]
        weight = block.heads_out.matrix
        gathered: list[Tensor] = []

        def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            gathered.append(arguments[0])
            raise EndOfPass

        handle = block.heads_out.module.register_forward_pre_hook(keep)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                read = torch.zeros(1, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)
                read.requires_grad_(True)
                arguments, named = with_first(*self._alone[layer], read)
                block.attention(*arguments, **named)
        except EndOfPass:
            pass
        finally:
            handle.remove()
        with torch.inference_mode(False):
            z = gathered[0]
            along = flat.clone().to(z).view(-1, *z.shape)
            (gradient,) = torch.autograd.grad(z, read, along, is_grads_batched=True)
        return gradient.view(len(flat), -1).to(flat)
