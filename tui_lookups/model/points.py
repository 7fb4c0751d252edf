"""Points of a forward pass, and hooks on the modules that see them (wiring.py).

1. A `Point` names what is seen, as TransformerLens names it.
2. A hook ends a pass by raising `EndOfPass`, so that nothing above it is run (`ends_early`).
3. `ModuleHooks.hooked` puts a hook for each point onto the module that is given it, or gives it, and takes
   them off again, whatever ends the pass.
4. Hooks see z without the value biases: they pass through every attention pattern unchanged, and count
   as attention biases (method.md, section 1). What they come to is measured once: z on a text of one token,
   whose pattern is 1, when attention is given nothing but the bias of the norm before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from tui_lookups.errors import Poll
from tui_lookups.model.wiring import NormName, Projection, Wiring

Hook = Callable[[Tensor], Tensor | None]
"""Sees an activation; returns None, or a tensor to put in its place."""

Role = (
    Literal[
        "resid_pre", "attn_resid", "attn_in", "z", "resid_mid", "mlp_in", "pre", "pre_linear", "post",
        "mlp_out", "skip", "error", "ln_final",
    ]
    | NormName
)  # fmt: skip


class Point(NamedTuple):
    """Something to see in a forward pass, [batch, pos, ...] each.

    resid_pre: the residual stream before a block, [d_model].
    attn_resid: the stream that its attention reads through a norm, [d_model]: what the block is given, but in
        a Post-LN model the sum that it is given the norm of.
    attn_in, mlp_in: what its attention, and its MLP, are given, through a norm if there is one, [d_model].
    resid_mid: the stream that its MLP reads through a norm, [d_model]: after its attention, or beside it.
    z: what its heads write through W_O, value biases taken off, [n_heads, d_head].
    pre, pre_linear, post: the MLP's g and u ("pre" alone where it is plain), and its activations, [d_mlp].
    mlp_out: what its neurons write together, before a norm after the MLP, [d_model].
    skip, error: where a dictionary's units are its neurons, what its skip writes, and what neither writes,
        [d_model].
    ln1, ln1_post, ln2, ln2_post, ln_final: the scale that a norm divides by, [1]. ln_final has layer 0.
    """

    role: Role
    layer: int = 0


class ModuleHooks:
    """Hooks on a model's modules, seeing everything on one device.

    Args:
        hf_model: a transformers causal language model.
        wiring: its modules by their roles.
        device: where hooks see activations; what they return goes back to where it came from.
        dtype: of the scales of norms, and of `value_biases`.
    """

    def __init__(self, hf_model: Any, wiring: Wiring, device: torch.device, dtype: torch.dtype) -> None:
        self._hf_model = hf_model
        self._wiring = wiring
        self._device = device
        self._dtype = dtype

    def hooked(self, tokens: Tensor, hooks: Mapping[Point, Hook], n_blocks: int, poll: Poll) -> ExitStack:
        """`hooks` on the modules of their points, and `poll` before each of the first `n_blocks` blocks."""
        if any(point.role == "z" for point in hooks):
            _ = self.value_biases  # measured by a pass of its own, before this one is hooked
        stack = ExitStack()
        with ExitStack() as on_error:
            on_error.push(stack)
            for block in self._wiring.blocks[:n_blocks]:
                handle = block.module.register_forward_pre_hook(lambda *_: poll())
                stack.callback(handle.remove)
            for point, hook in hooks.items():
                stack.callback(self._register(point, hook, tokens).remove)
            on_error.pop_all()
        return stack

    def _register(self, point: Point, hook: Hook, tokens: Tensor) -> Any:
        def given(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            hook(apart(first_of(arguments, named), tokens).to(self._device))

        if point.role == "ln_final":
            return self._scale_hook(self._wiring.ln_final.module, self._wiring.ln_final.scale, hook, tokens)
        block = self._wiring.blocks[point.layer]
        if point.role in ("resid_pre", "attn_in", "mlp_in"):
            reading = {"resid_pre": block.module, "attn_in": block.attention, "mlp_in": block.up.module}
            return reading[point.role].register_forward_pre_hook(given, with_kwargs=True)
        if point.role == "attn_resid":
            norm_before = block.norms.get("ln1") if self._wiring.post_ln else None
            reading_sum = block.module if norm_before is None else norm_before.module
            return reading_sum.register_forward_pre_hook(given, with_kwargs=True)
        if point.role == "resid_mid":
            return block.norms["ln2"].module.register_forward_pre_hook(given, with_kwargs=True)
        if point.role in ("post", "z"):
            heads = None if point.role == "post" else (self._wiring.n_heads, self._wiring.d_head)
            bias = None if heads is None else self.value_biases[point.layer]
            part = block.down if heads is None else block.heads_out
            return part.module.register_forward_pre_hook(self._editing(hook, tokens, heads, bias))
        if point.role in ("pre", "pre_linear"):
            gate = block.up if block.gate is None else block.gate
            part = {"pre": gate, "pre_linear": block.up}[point.role]
            return self._output_hook(part.module, hook, tokens, part)
        if point.role == "mlp_out":
            return self._output_hook(block.output, hook, tokens)
        if point.role in ("skip", "error"):
            assert block.units is not None
            return self._output_hook(block.units.beside[point.role], hook, tokens)
        norm = block.norms[cast(NormName, point.role)]
        return self._scale_hook(norm.module, norm.scale, hook, tokens)

    def _output_hook(
        self, module: nn.Module, hook: Hook, tokens: Tensor, part: Projection | None = None
    ) -> Any:
        """Args: `part` takes its role's part of the output."""

        def gave(_: nn.Module, arguments: Any, output: Tensor) -> None:
            whole = apart(output, tokens)
            hook((whole if part is None else part.of_output(whole)).to(self._device))

        return module.register_forward_hook(gave)

    def _scale_hook(
        self, module: nn.Module, scale: Callable[[Tensor], Tensor], hook: Hook, tokens: Tensor
    ) -> Any:
        def given(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            x = apart(first_of(arguments, named), tokens)
            hook(scale(x.to(self._dtype)).to(self._device))

        return module.register_forward_pre_hook(given, with_kwargs=True)

    def _editing(
        self, hook: Hook, tokens: Tensor, heads: tuple[int, int] | None, bias: Tensor | None
    ) -> Callable[..., tuple[Tensor, ...] | None]:
        """A hook on a projection that shows what it is given, and puts what it gets back in its place.

        Args:
            heads: the shape of its last axis, [n_heads, d_head], where it is one of heads.
            bias: what is not shown.
        """

        def given(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            flat = arguments[0]
            whole = apart(flat, tokens).to(self._device)
            shown = whole if heads is None else whole.reshape(*tokens.shape, *heads)
            edited = hook(shown if bias is None else shown - bias)
            if edited is None:
                return None
            return ((edited if bias is None else edited + bias).to(flat).reshape(flat.shape), *arguments[1:])

        return given

    @cached_property
    def value_biases(self) -> tuple[Tensor | None, ...]:
        """What z is when attention reads nothing but its norm's bias, by layer: [n_heads, d_head] or None."""
        return tuple(values if bool(values.any()) else None for values in self._z_of_norm_biases())

    @torch.inference_mode()
    def _z_of_norm_biases(self) -> list[Tensor]:
        values: list[Tensor] = []

        def read_bias_only(norm: Any) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
            def hook(
                _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
            ) -> tuple[tuple[Any, ...], dict[str, Any]]:
                normed = first_of(arguments, named)
                bias = None if norm is None else norm.bias(normed)
                only = torch.zeros_like(normed) if bias is None else bias.expand_as(normed)
                return with_first(arguments, named, only)

            return hook

        def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            values.append(
                arguments[0]
                .detach()
                .to(self._device, self._dtype)
                .reshape(self._wiring.n_heads, self._wiring.d_head)
            )

        with ExitStack() as stack:
            for block in self._wiring.blocks:
                reading = read_bias_only(block.norms.get("ln1"))
                handle = block.attention.register_forward_pre_hook(reading, with_kwargs=True)
                stack.callback(handle.remove)
                stack.callback(block.heads_out.module.register_forward_pre_hook(keep).remove)
            self._hf_model.base_model(
                input_ids=torch.zeros(1, 1, dtype=torch.int64, device=self._device), use_cache=False
            )
        return values


class EndOfPass(Exception):
    """Raised by a hook behind which nothing is needed; `ends_early` catches it."""


def end_of_pass(*_: object) -> None:
    """A hook that ends the pass."""
    raise EndOfPass


def ends_early(module: nn.Module, tokens: Tensor) -> bool:
    """Run a model without its unembedding on tokens [batch, pos]; whether a hook ended the pass."""
    try:
        module(input_ids=tokens, use_cache=False)
    except EndOfPass:
        return True
    return False


def first_of(arguments: Sequence[Any], named: Mapping[str, Any]) -> Tensor:
    """What a module reads, as a hook with keywords is told of it."""
    first: Tensor = arguments[0] if arguments else named["hidden_states"]
    return first


def with_first(
    arguments: tuple[Any, ...], named: dict[str, Any], other: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What such a hook returns to have the module read something else."""
    if arguments:
        return (other, *arguments[1:]), named
    return arguments, {**named, "hidden_states": other}


def apart(activation: Tensor, tokens: Tensor) -> Tensor:
    """[batch, pos, n]: OPT's blocks flatten batch and positions before the MLP's norm."""
    return activation.reshape(*tokens.shape, activation.shape[-1])
