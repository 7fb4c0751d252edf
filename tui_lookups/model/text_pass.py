"""One forward pass over a text, kept so that any position of any layer can be read afterwards.

See method.md, section 9.

1. Of each layer the pass keeps what its heads write (z), what its attention and its MLP are given, and the
   scales of its norms, at every position: [pos, d_model] a layer, and never what [pos, d_mlp] would take;
   of a mixture of experts what its router gave, too.
2. A layer's neurons at a position are worked out again from what its MLP was given, by the model's own
   modules; the last ones are kept.
3. Patterns of a layer are had by replaying its attention alone (replayed_attention.py).
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from tui_lookups.errors import Poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Hook, Point
from tui_lookups.model.replayed_attention import AttentionOfText
from tui_lookups.progress import counting

_MOST_BYTES = 128 * 2**20
"""Of neurons that are kept, and as many of patterns."""


class Neurons(NamedTuple):
    """Neurons of a layer: g and u of a gated MLP, g alone of a plain one; a; and in a mixture of experts what
    the router multiplies them by, which is in a."""

    g: Tensor
    u: Tensor | None
    a: Tensor
    weight: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Neurons:
        """With every figure changed alike."""
        u = None if self.u is None else change(self.u)
        return Neurons(
            change(self.g), u, change(self.a), None if self.weight is None else change(self.weight)
        )


class TextPass:
    """A text's forward pass. Used on the model's thread.

    Args:
        ids: the text; positions beyond it are not run.
        last: the last block that is run, up to its activations; None runs the whole model.
        poll: called before each block; another question on the same pass sets its own.
    """

    def __init__(self, model: LookupModel, ids: Sequence[int], last: int | None, poll: Poll) -> None:
        self.model = model
        self.poll = poll
        self.tokens = model.batch([ids])
        self.layers = range(model.info.n_layers if last is None else last + 1)
        self.logits: Tensor | None = None
        self.uncapped: Tensor | None = None
        """Logits after the last position as the model gives them, and before a soft cap, [d_vocab]; None
        where the pass ended before them."""
        self._seen: dict[Point, Tensor] = {}
        self._neurons: OrderedDict[tuple[int, int], Neurons] = OrderedDict()
        self._patterns: OrderedDict[int, Tensor] = OrderedDict()
        hooks = {point: self._keeper(point) for point in self._points(last)}
        poll = counting(poll, "running the text", len(self.layers), "blocks")
        if last is None:
            at = torch.tensor([[len(ids) - 1]], device=model.device)
            read_off = model.logits(self.tokens, at, hooks, poll=poll)
            self.logits, self.uncapped = (logits[0, 0] for logits in read_off)
        else:
            model.run(self.tokens, hooks, stop_after=last, poll=poll)

    def _points(self, last: int | None) -> list[Point]:
        points = [Point("resid_pre")] + ([Point("ln_final")] if last is None else [])
        for layer in self.layers:
            points += [Point(role, layer) for role in ("attn_in", "z", "mlp_in")]
            block = self.model.wiring.blocks[layer]
            points += [Point(name, layer) for name in (*block.norms, *block.beside)]
            points += [] if block.experts is None else [Point("router", layer)]
        return points

    def _keeper(self, point: Point) -> Hook:
        def keep(seen: Tensor) -> None:
            self._seen[point] = seen[0].clone()

        return keep

    def at(self, point: Point, positions: Tensor | slice = slice(None)) -> Tensor:
        """What was seen at positions, [n, ...], in compute_dtype."""
        return self._seen[point][positions].to(self.model.compute_dtype)

    @torch.inference_mode()
    def neurons(self, layer: int, positions: Sequence[int]) -> list[Neurons]:
        """A layer's neurons at positions, as the model's own modules give them."""
        missing = sorted({position for position in positions if (layer, position) not in self._neurons})
        if missing:
            neurons = self.run_mlp(layer, torch.tensor(missing, device=self.model.device))
            for row, position in enumerate(missing):
                self._neurons[layer, position] = neurons.each(operator.itemgetter(row))
        rows = [self._neurons[layer, position] for position in positions]
        for position in positions:
            self._neurons.move_to_end((layer, position))
        size = sum(values.nbytes for values in rows[0] if values is not None) if rows else 1
        while len(self._neurons) * size > _MOST_BYTES:
            self._neurons.popitem(last=False)
        return rows

    def run_mlp(self, layer: int, positions: Tensor | slice) -> Neurons:
        """The same at several positions at once, kept nowhere: [n, d_mlp] each, in compute_dtype."""
        block, model = self.model.wiring.blocks[layer], self.model
        given = self._seen[Point("mlp_in", layer)][positions]
        given = given.to(block.up.device, block.up.dtype)
        u = block.up.of_output(block.up.module(given))
        if block.gate is None:
            return Neurons(model.at_home(u), None, model.at_home(block.activation(u)))
        g = block.gate.of_output(block.gate.module(given))
        a = block.activation(g) * u
        if block.experts is None:
            return Neurons(model.at_home(g), model.at_home(u), model.at_home(a))
        weight = block.experts.of_neurons(self.at(Point("router", layer), positions))
        return Neurons(model.at_home(g), model.at_home(u), model.at_home(a) * weight, weight)

    @torch.inference_mode()
    def pattern(self, layer: int) -> Tensor:
        """A layer's patterns, [n_heads, q, k], in compute_dtype; those last asked for are kept."""
        if layer not in self._patterns:
            pattern = self.attention.pattern(layer, self._seen[Point("attn_in", layer)])
            self._patterns[layer] = self.model.at_home(pattern)
            while len(self._patterns) > 1 and len(self._patterns) * pattern.nbytes > _MOST_BYTES:
                self._patterns.popitem(last=False)
        self._patterns.move_to_end(layer)
        return self._patterns[layer]

    @cached_property
    def attention(self) -> AttentionOfText:
        """Opened when a head is first split over tokens; takes a pass of its own."""
        return self.model.replayed_attention.on_text(self.tokens, self.poll)
