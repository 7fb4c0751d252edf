"""transformers' own model in float64 with everything held that is not linear, for autograd to go through.

Nothing here uses the analysis under test: attention patterns, the scales of norms, and what activations are
made of (a / pre of a plain MLP; act(g) / g of a gated one, half to either factor) are detached.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.reference_huggingface import HeldNorm
from tui_lookups.ids import NeuronId
from tui_lookups.model.wiring import Block, Projection, read_wiring


class FrozenModel:
    """One pass over a text, after which `gradients_of` gives the gradients of a number with respect to it.

    Attributes:
        stream: what is given to each block, [pos, d_model]; the last one is what the final norm reads. In a
            Post-LN model all but the first are the sum that a block is given the norm of.
        middle: what each MLP's norm reads (the MLP itself, where there is none), [pos, d_model].
        z, a: what heads and neurons write through, [pos, n_heads * d_head] and [pos, d_mlp].
        g: the gate's output, or the pre-activation of a plain MLP, [pos, d_mlp].
        logits: at the last position, before a soft cap, [d_vocab].
    """

    def __init__(self, folder: Path, tokens: list[int]) -> None:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float64, local_files_only=True, attn_implementation="eager"
        ).eval()
        wiring = read_wiring(model)
        n = len(wiring.blocks)
        self.stream: list[Tensor] = [torch.empty(0)] * (n + 1)
        self.middle, self.z, self.a, self.g, self.u = ([torch.empty(0)] * n for _ in range(5))
        norms = {norm.module for block in wiring.blocks for norm in block.norms.values()}
        for module in {*norms, wiring.ln_final.module}:
            _hold(module)
        for layer, block in enumerate(wiring.blocks):
            before = block.norms["ln1"].module if wiring.post_ln and layer else block.module
            self._see(before, self.stream, layer)
            self._watch(layer, block)
        self._see(wiring.ln_final.module, self.stream, n)
        raw: list[Tensor] = []
        wiring.unembed.register_forward_hook(lambda _, given, gave: raw.append(gave))
        with pytest.MonkeyPatch.context() as patch:
            softmax = nn.functional.softmax
            patch.setattr(nn.functional, "softmax", lambda *a, **k: softmax(*a, **k).detach())
            model(torch.tensor([tokens]), use_cache=False)
        self.logits = raw[0][0, -1] * wiring.logit_factor

    def _watch(self, layer: int, block: Block) -> None:
        self._see(block.norms["ln2"].module if "ln2" in block.norms else block.up.module, self.middle, layer)
        self._see(block.heads_out.module, self.z, layer)
        first = block.up if block.gate is None else block.gate
        first.module.register_forward_hook(_giving(first, self.g, layer))
        block.up.module.register_forward_hook(_giving(block.up, self.u, layer))

        def hold(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            g, u = self.g[layer], self.u[layer]
            act = block.activation(g)
            ratio = torch.where(g == 0, 0.5, act / torch.where(g == 0, 1.0, g)).detach()
            held = ratio * g if block.gate is None else ratio / 2 * (g * u.detach() + g.detach() * u)
            held.retain_grad()
            self.a[layer] = held
            return (held.reshape(arguments[0].shape), *arguments[1:])

        block.down.module.register_forward_pre_hook(hold)

    @staticmethod
    def _see(module: nn.Module, into: list[Tensor], place: int) -> None:
        def given(_: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
            found = arguments[0] if arguments else named["hidden_states"]
            if not into[place].numel():  # a norm that serves twice reads the same
                found.retain_grad()
                into[place] = found

        module.register_forward_pre_hook(given, with_kwargs=True)

    def gradients_of(self, number: Tensor, *places: Tensor) -> list[Tensor]:
        """The gradient with respect to each, [pos, ...]; zero where it does not depend on it."""
        found = torch.autograd.grad(number, places, retain_graph=True, allow_unused=True)
        pos = self.a[0].shape[-2]
        return [
            (torch.zeros_like(place) if grad is None else grad).reshape(pos, -1)
            for place, grad in zip(places, found, strict=True)
        ]

    def root(self, root: int | NeuronId, position: int, *, gated: bool) -> Tensor:
        """A token's centred logit, or what a neuron reads."""
        if isinstance(root, int):
            return self.logits[root] - self.logits.mean()
        values = self.a if gated else self.g
        return values[root.layer].reshape(-1, values[root.layer].shape[-1])[position, root.index]


def _hold(module: nn.Module) -> None:
    original = copy.deepcopy(module).requires_grad_(False)
    module.forward = lambda x, *_: HeldNorm(original, x.detach())(x)  # type: ignore[method-assign]


def _giving(part: Projection, into: list[Tensor], layer: int) -> Any:
    def hook(_: nn.Module, arguments: Any, output: Tensor) -> None:
        into[layer] = part.of_output(output)

    return hook
