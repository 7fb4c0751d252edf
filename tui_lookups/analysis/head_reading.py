"""One head on one text: what it reads, held to the model that runs, and sums of what components contribute.

See method.md, sections 9 and 10; analysis/carries.py and analysis/attends.py ask it.

1. One pass shows the residual stream that the head's layer reads through its norm, and the head's z at its
   position.
2. The layer's attention reads that stream again, differentiably (model/queries_keys.py). The pattern that
   follows from its scores, times its values, must be that z: what is read is then what the model computes.
3. Vectors that read the stream meet what components write (model/summed.py), and every sum is held to the
   bound of its precision before it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tui_lookups.analysis.attribution import require_closure
from tui_lookups.analysis.exact_sum import ExactSum, as_contributions
from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.ids import HeadId, check_position
from tui_lookups.model.attention import require_same_z
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Point
from tui_lookups.model.queries_keys import AttentionReading, Call, read_attention
from tui_lookups.model.summed import Readers, Summed
from tui_lookups.results import Contributions


@dataclass(frozen=True, eq=False)
class HeadOnText:
    """A head, at the position of a text that it writes at.

    Attributes:
        tokens: the text up to that position, [1, pos].
        here: what was seen at that position.
        reading: what the head's layer reads.
        pattern: the head's, at that position, [pos].
    """

    model: LookupModel
    head: HeadId
    tokens: Tensor
    here: Mapping[Point, Tensor]
    reading: AttentionReading
    pattern: Tensor

    @property
    def position(self) -> int:
        return int(self.tokens.shape[1]) - 1

    @property
    def query_key_value(self) -> tuple[Tensor, Tensor, Tensor]:
        """The head's, at every position, differentiable: [pos, d_head] each."""
        return self.reading.handed.of_head(self.head.index)

    @property
    def at_rest(self) -> tuple[Tensor, Tensor, Tensor]:
        """What biases alone make of them, likewise."""
        return self.reading.resting.of_head(self.head.index)

    def readers(self, products: Tensor, told: Sequence[int] = ()) -> Readers:
        """What reads the stream for `products` [n] of these, at the positions where anything is read.

        Args:
            told: a position for each; its neurons are summed one by one, with their activations there.
        """
        vectors = self.reading.readers(products)
        positions = torch.nonzero(vectors.abs().amax((0, 2))).flatten().tolist()
        return Readers(vectors[:, positions].to(self.model.device), positions, told)


def read_head(
    model: LookupModel,
    head: HeadId,
    row: Sequence[int],
    position: int,
    poll: Poll,
    *,
    points: Sequence[Point] = (),
    stop_after: int | None = None,
) -> HeadOnText:
    """A head on a text (steps 1 and 2).

    Args:
        row: token ids; only those up to `position` matter.
        points: what is seen at that position beside z.
        stop_after: the last block that is run; by default that of the head. The number of blocks runs all.
    Raises:
        BadIdError: no such head. LookupsError: no such position.
        UnsupportedModelError: attention of the family cannot be read, or gives something else; the raw basis.
        NumericalError: NaN or infinite values.
    """
    model.check_head(head)
    if model.basis != "folded":
        raise UnsupportedModelError(
            "What a head reads needs folded weights: in the raw basis no sum closes.",
            "Leave out --raw-weights.",
        )
    check_position(position, len(row))
    layer, last = head.layer, head.layer if stop_after is None else stop_after
    tokens, at = model.batch([row[: position + 1]]), torch.tensor([position], device=model.device)
    here: dict[Point, Tensor] = {}
    streams: list[Tensor] = []
    calls: list[Call] = []  # the last is that of the text: value biases may be measured before it
    block = model.wiring.blocks[layer]
    hooks = model.keeping(here, at, [Point("z", layer), *points])
    hooks[Point("attn_resid", layer)] = lambda seen: streams.append(seen.clone())
    handle = block.attention.register_forward_pre_hook(
        lambda _, arguments, named: calls.append((arguments, named)), with_kwargs=True
    )
    try:
        if last < model.info.n_layers:
            model.run(tokens, hooks, stop_after=last, poll=poll)
        else:
            model.log_probabilities(tokens, at, hooks, poll=poll)
    finally:
        handle.remove()
    require_finite(streams[0], layer)
    where = f"layer {layer} of {model.info.name}"
    norm = block.norms.get("ln1")
    reading = read_attention(block.attention, norm, calls[-1], streams[0], model.compute_dtype, where)
    pattern = reading.handed.pattern(head.index, position)
    # Copies: autograd keeps what it multiplies with, and refuses what an inference pass made.
    on_text = HeadOnText(
        model, head, tokens, {point: v[0].clone() for point, v in here.items()}, reading, pattern
    )
    z, biases = on_text.here[Point("z", layer)][head.index], model.value_biases[layer]
    values = on_text.query_key_value[2].detach()
    whole = (z if biases is None else z + biases[head.index]).to(values)
    require_same_z(pattern[None], values[None], whole[None], model.dtype, f"{head} of {model.info.name}")
    return on_text


@dataclass(frozen=True, slots=True)
class Sum:
    """What a reader reads, which its parts have to come to.

    Attributes:
        target: all of it.
        bias: what it reads whatever the stream is.
        what: it is, for people.
        between: the size of what it is a difference of, where it is one: rounding is in units of it too.
    """

    target: float
    bias: float
    what: str
    between: float = 0.0


def as_sums(text: HeadOnText, found: Summed, sums: Sequence[Sum], top: int) -> list[Contributions]:
    """What was summed for readers, as results that close, the `top` largest neurons of each named."""
    return [as_contributions(_sum(text.model, found, n, component), top) for n, component in enumerate(sums)]


def _sum(model: LookupModel, found: Summed, n: int, of: Sum) -> ExactSum:
    """One reader's parts, held to what they are parts of."""
    made = ExactSum(
        heads=found.heads[:, :, n].numpy(),
        neurons=found.neurons[:, :, n].numpy(),
        activations=found.activations[:, :, n].numpy(),
        attention_biases=found.attention_biases[:, n].numpy(),
        mlp_biases=found.mlp_biases[:, n].numpy(),
        embedding=float(found.embedding[n]),
        bias=of.bias,
        target=of.target,
        relative_remainder=0.0,
        neuron_id=model.info.neuron_id,
        beside={role: values[:, n].numpy() for role, values in found.beside.items()},
    )
    of_mlps = made.neurons.sum(1) + made.mlp_biases + sum(made.beside.values())
    every = [made.heads.ravel(), of_mlps, made.attention_biases]
    parts = np.concatenate([*every, [made.embedding, made.bias]])
    off = relative(of.target - float(parts.sum()), parts, of.between)
    require_closure(model, of.what, off)
    return replace(made, relative_remainder=off)


def relative(remainder: float, parts: np.ndarray, between: float) -> float:
    """A remainder in units of the sizes of parts, and of what they are a difference of."""
    return abs(remainder) / max(float(np.abs(parts).sum()) + between, 1e-30)
