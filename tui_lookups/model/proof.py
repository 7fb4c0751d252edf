"""A model's wiring, proven: one short pass is held to the algebra that figures are worked out by.

1. `wiring.py` looks every role up by the names that transformers' families use.
2. `prove` runs a few tokens through the whole model and holds what each module was given and gave to the
   algebra (method.md, section 4), at every layer: each block adds what its heads and its MLP write, times the
   residual multiplier, to the residual stream (the MLP of a Post-LN model to what a norm makes of it, and the
   next block is given what a norm makes of the sum); the MLP reads the stream after its block's attention, or
   beside it; act(g) * u, or act(pre), is what the down-projection is given; the logits are the unembedding of
   the normed stream, scaled and capped.
3. What cannot be found or does not hold is refused in a sentence: a role filled by the wrong module, a term
   that is left out or a factor that is not known changes the sums by far more than rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.families import SUPPORTED
from tui_lookups.model.points import first_of
from tui_lookups.model.wiring import RoleNotFound, Wiring, read_wiring

PROOF_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""How far both sides may be apart, in units of the largest number; transformers takes softmax, rotation and
RMS norms in single precision whatever the model is in. A wrong module is off by about one."""

_PROOF_LENGTH = 6


def find_wiring(hf_model: Any, name: str, tokens: Tensor) -> Wiring:
    """The roles of a transformers causal language model's modules, proven on a few tokens.

    Args:
        tokens: [1, pos], on the model's device; see `random_text`.
    Raises UnsupportedModelError where a role is not found, or the model computes something else.
    """
    family = str(getattr(hf_model.config, "model_type", ""))
    try:
        wiring = read_wiring(hf_model)
        own_layer = prove(hf_model, wiring, tokens)
    except RoleNotFound as error:
        raise UnsupportedModelError(
            f"{name} ({family}) cannot be taken apart into heads and neurons: {error}.",
            SUPPORTED,
        ) from error
    return replace(wiring, own_layer=own_layer)


def random_text(
    d_vocab: int, bos_id: int | None, device: torch.device, *, length: int = _PROOF_LENGTH
) -> Tensor:
    """A short text of fixed pseudo-random tokens, begin-of-text first where there is one: [1, length]."""
    tokens = torch.randint(0, d_vocab, (1, length), generator=torch.Generator().manual_seed(0))
    if bos_id is not None:
        tokens[0, 0] = bos_id
    return tokens.to(device)


@torch.inference_mode()
def prove(hf_model: Any, wiring: Wiring, tokens: Tensor) -> bool:
    """Hold one pass to the algebra (step 2), and return whether heads of a block reach its own neurons.

    Raises RoleNotFound, naming the layer, where both differ.
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
        ln2 = block.norms.get("ln2")
        if wiring.post_ln and ln2 is not None:
            end = wiring.ln_final if is_last else wiring.blocks[layer + 1].norms["ln1"]
            after, carried_on = given[end.module], ln2.apply(middle)
            if not is_last:
                goes_on = given[wiring.blocks[layer + 1].module]
                same.require(end.apply(after), goes_on, f"what its norm makes of block {layer}")
        else:
            after = given[wiring.ln_final.module if is_last else wiring.blocks[layer + 1].module]
            carried_on = middle
        same.require(carried_on + multiplier * neurons, after, f"what block {layer} adds")
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
    expected = wiring.read_off(normed.to(logits.dtype)) * wiring.logit_factor
    if wiring.logit_cap is not None:
        expected = wiring.logit_cap * torch.tanh(expected / wiring.logit_cap)
    same.require(expected, logits, "the logits")
    if len(reaching) != 1:
        raise RoleNotFound("attention stands beside the MLP in some blocks and before it in others")
    return reaching.pop()


@contextmanager
def _watching(
    wiring: Wiring, given: dict[nn.Module, Tensor], gave: dict[nn.Module, Tensor]
) -> Iterator[None]:
    """Keep what every module that has a role is given and gives. Copies: some add to it in place."""

    def keep_given(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        given[module] = first_of(arguments, named).detach().clone()

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
        """What was kept of a module, [batch, pos, n]. Raises RoleNotFound where the pass did not run it."""
        if module not in kept:
            raise RoleNotFound(f"a pass does not go through its module for the {what}")
        return kept[module].view(*self._shape, -1)

    @staticmethod
    def error(found: Tensor, expected: Tensor) -> float:
        """The largest difference, in units of the largest number expected."""
        there = expected.reshape(-1).cpu().double()  # Apple's GPU has none
        if found.numel() != there.numel():
            return float("inf")
        return float((found.reshape(-1).to(there) - there).abs().max() / there.abs().max().clamp(min=1e-30))

    def require(self, found: Tensor, expected: Tensor, what: str) -> None:
        if not self.error(found, expected) <= self._tolerance:
            raise RoleNotFound(f"its modules do not give {what}")
