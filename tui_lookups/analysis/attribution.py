"""Head attribution: which heads, directly, made a neuron fire at one position (method.md, section 4).

1. The neuron is a reader of the residual stream, heads, MLPs, embedding and biases are what writes into it
   (model/components.py). One forward pass up to the neuron's block keeps what each of them contributes with,
   at the asked positions of each row only. Neurons of a layer read the same pass.
2. Plain MLP: heads + MLPs + embedding + attention biases + b_in sum to the pre-activation.
   Gated MLP: g and u are read apart; with rho = act(g) / g held, component c gets
   rho/2 * (g_c * u + g * u_c), and these sum to a.
3. The attribution of one head splits over key positions k as pattern[q, k] * (v_k . w) / sigma.
4. Every decomposition is held to the bound of its precision before it is given: each of g and u, or the
   pre-activation, to the sum of its components, and act(g) * u to a.

Preset "paper" reproduces the authors: the neuron's own layer left out, no division by sigma. Its components
do not close; the remainder says by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tui_lookups.analysis.batches import MOST_TOKENS, consecutive
from tui_lookups.errors import Poll, UnsupportedModelError, no_poll
from tui_lookups.ids import HeadId, NeuronId, left_out_by_paper, out_of_reach
from tui_lookups.model.attention import require_same_z
from tui_lookups.model.components import (
    Contributions,
    Reader,
    contributions,
    neurons_reader,
    points_read,
    source_contributions,
)
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Point, Role
from tui_lookups.model.wiring import Block
from tui_lookups.progress import batches
from tui_lookups.results import OtherComponents, Preset

BOUNDS = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest |remainder| / sum of |components| by weight dtype (method.md, section 4)."""

_SLOPE = 1e-6
"""Half the width of the interval that a slope at 0 is taken over."""

_BATCH_TOKENS = {"cpu": 768}
"""Most padded tokens of one forward pass, by device (elsewhere `MOST_TOKENS`): it bounds the memory beyond
the weights."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a neuron is looked at: a position of a text, which is a row of a forward pass."""

    neuron: NeuronId
    row: int
    position: int


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The exact decomposition of one neuron at one position of one text.

    Attributes:
        heads: direct attribution [n_reaching_layers, n_heads] (float64).
        gate, up: for gated MLPs its two halves, same shape, summing to `heads`; None for plain ones.
        mlps: attribution of each earlier MLP [n_earlier_layers].
        target: pre-activation (plain) or activation (gated).
        sources: attribution of `source_head` by key position [positions], or None.
        weights: its attention there, likewise.
        relative_remainder: the largest |remainder| of what the neuron reads (pre-activation, or g and u) in
            units of the sum of its |components|; of act(g) * u against a, in units of |g * u|. A saturated
            gate makes the product's own components vanish, and no bound relative to them means anything.
    """

    neuron: NeuronId
    position: int
    activation: float
    pre_activation: float
    target: float
    heads: np.ndarray
    gate: np.ndarray | None
    up: np.ndarray | None
    mlps: np.ndarray
    embedding: float
    attention_biases: float
    bias: float
    sources: np.ndarray | None
    weights: np.ndarray | None
    relative_remainder: float

    @property
    def other(self) -> OtherComponents:
        return OtherComponents(self.embedding, float(self.mlps.sum()), self.attention_biases, self.bias)

    @property
    def sum(self) -> float:
        """Heads and everything else."""
        other = self.other
        rest = other.embedding + other.mlps + other.attention_biases + other.bias
        return float(self.heads.sum()) + rest

    @property
    def remainder(self) -> float:
        return self.target - self.sum

    @property
    def scale(self) -> float:
        """Sum of |components|: what the remainder is measured against (method.md, section 4)."""
        parts = np.abs(self.heads).sum() + np.abs(self.mlps).sum()
        return float(parts) + abs(self.embedding) + abs(self.attention_biases) + abs(self.bias)


def decompose(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    *,
    source_head: HeadId | None = None,
    preset: Preset = "default",
    hold: bool = True,
    poll: Poll = no_poll,
) -> list[Decomposition]:
    """Decompose a neuron at one position of each row of token ids.

    Args:
        rows: token ids, begin-of-text included where the text was run with it.
        positions: per row, the position q; only tokens up to it matter.
        source_head: also split this head's attribution over key positions.
        preset: "paper" leaves out the own layer and the norm scale; nothing closes then.
        hold: refuse what does not close (step 4).
    Raises:
        BadIdError: no such neuron or head.
        UnsupportedModelError: the model was loaded in the raw basis, in which nothing closes; a decomposition
            does not close within the bound of its precision.
        LookupsError: the source head does not reach the neuron.
        NumericalError: NaN or infinite values.
    """
    model.check_neuron(neuron)
    if model.basis != "folded":
        raise UnsupportedModelError(
            "Head attribution needs folded weights: in the raw basis no sum closes.",
            "Leave out --raw-weights.",
        )
    if source_head is not None:
        check_reaches(model, neuron, source_head, preset)
    texts = [tuple(row[: q + 1]) for row, q in zip(rows, positions, strict=True)]
    results: list[Decomposition] = []
    cut = consecutive([len(text) for text in texts], most_tokens(model.device.type))
    for batch in batches(cut, "attributing to the heads"):
        poll()
        places = [Place(neuron, row, positions[index]) for row, index in enumerate(batch)]
        results += decompose_places(
            model,
            texts[batch.start : batch.stop],
            places,
            source_head=source_head,
            preset=preset,
            hold=hold,
            poll=poll,
        )
    return results


def most_tokens(device: str) -> int:
    """Most padded tokens of one of this module's forward passes on a kind of device, such as "cuda"."""
    return _BATCH_TOKENS.get(device, MOST_TOKENS)


@torch.inference_mode()
def decompose_places(
    model: LookupModel,
    texts: Sequence[Sequence[int]],
    places: Sequence[Place],
    *,
    source_head: HeadId | None = None,
    preset: Preset = "default",
    hold: bool = True,
    poll: Poll = no_poll,
) -> list[Decomposition]:
    """Decompose neurons of one layer at places of texts that are run in one forward pass.

    See `decompose`, which gives the same of one neuron on a text of its own for each position.

    Args:
        texts: token ids, each at least up to the last of its places; run as they are.
        places: of neurons of one layer, one or more.
    """
    if preset == "paper" and model.wiring.post_ln:
        raise UnsupportedModelError(
            f"Preset paper leaves the division by norms out, and every residual sum of {model.info.name} is "
            "divided by one.",
            "Leave out --preset paper.",
        )
    layer, gated = places[0].neuron.layer, model.architecture.gated
    neurons = list(dict.fromkeys(place.neuron for place in places))
    reader = neurons_reader(model, layer, [neuron.index for neuron in neurons])
    if preset == "paper":
        reader = replace(reader, head_layers=range(min(layer, len(reader.head_layers))))
    tokens = model.batch(texts)
    rows = torch.tensor([place.row for place in places], device=model.device)
    at = torch.tensor([place.position for place in places], device=model.device)
    roles: tuple[Role, ...] = ("pre", "post", "pre_linear") if gated else ("pre", "post")
    own = [Point(role, layer) for role in roles]
    points = [*points_read(model, reader), *own]
    seen = model.capture(tokens, at, points, rows=rows, stop_after=layer, poll=poll)
    which = torch.tensor([neurons.index(place.neuron) for place in places], device=model.device)
    parts = _of_own(contributions(model, reader, seen, hold_scale=preset != "paper"), which, len(neurons))
    index = torch.tensor([place.neuron.index for place in places], device=model.device)
    g, a, *u = (seen[point].gather(1, index[:, None])[:, 0] for point in own)
    for values in (g, a, parts.heads, parts.mlps):
        require_finite(values, layer)
    sources = weights = None
    if source_head is not None:
        sources, weights = _sources(model, reader, seen, source_head, tokens, rows, at, preset, poll)
        sources = _own_columns(sources, which, len(neurons))
    # To the processor at once, not row by row: a GPU is waited for each time, and Apple's has no doubles.
    parts = Contributions(**{name: values.cpu().double() for name, values in vars(parts).items()})
    if sources is not None and weights is not None:
        sources, weights = sources.cpu().double(), weights.cpu().double()
    gates, a, *u = (values.cpu().double() for values in (g, a, *u))
    rho = held_ratio(model.wiring.blocks[layer].activation, gates) if gated else torch.ones_like(gates)
    decompositions = []
    for n, place in enumerate(places):
        mine = _Own(float(gates[n]), float(u[0][n]) if gated else None, float(a[n]), float(rho[n]))
        row = Contributions(**{name: values[n] for name, values in vars(parts).items()})
        row = replace(row, attention_biases=row.attention_biases.sum(0))
        by_key = None if sources is None else sources[n, : place.position + 1]
        attention = None if weights is None else weights[n, : place.position + 1]
        made = _decomposition(place.neuron, place.position, row, by_key, attention, mine)
        if hold and preset != "paper":
            require_closure(model, str(place.neuron), made.relative_remainder)
        decompositions.append(made)
    return decompositions


def _own_columns(values: Tensor, which: Tensor, n_neurons: int) -> Tensor:
    """Of values [places, ..., neurons times what each reads] those of each place's own neuron."""
    apart = values.reshape(*values.shape[:-1], n_neurons, values.shape[-1] // n_neurons)
    own: Tensor = apart[torch.arange(len(which), device=which.device), ..., which, :]
    return own


def _of_own(parts: Contributions, which: Tensor, n_neurons: int) -> Contributions:
    """Contributions to each place's own neuron, the bias a row a place as well."""
    expanded = {**vars(parts), "bias": parts.bias.expand(len(which), -1)}
    return Contributions(
        **{name: _own_columns(values, which, n_neurons) for name, values in expanded.items()}
    )


def held_ratio(act: Callable[[Tensor], Tensor], pre: Tensor) -> Tensor:
    """act(pre) / pre, held at its value (method.md, sections 4 and 9).

    At 0 it is its limit, the slope of `act` there: 1/2 for SiLU and GELU.
    """
    safe = torch.where(pre == 0, torch.ones_like(pre), pre)
    width = torch.full_like(pre, _SLOPE)
    return torch.where(pre == 0, (act(width) - act(-width)) / (2 * _SLOPE), act(safe) / safe)


def ratio_of(block: Block, pre: Tensor, fired: Tensor) -> Tensor:
    """What a plain neuron's activation is its pre-activation times, held (method.md, sections 9 and 14).

    A unit of a dictionary lets its pre-activation through or not, which may rest on a threshold of its own or
    on all other units: it is read off what it did.
    """
    if block.units is None:
        return held_ratio(block.activation, pre)
    safe = torch.where(pre == 0, torch.ones_like(pre), pre)
    return torch.where(pre == 0, torch.zeros_like(pre), fired / safe)


@dataclass(frozen=True, slots=True)
class _Own:
    """A neuron's own figures at one position: g and u of a gated MLP, g alone (the pre-activation) of a plain
    one, its activation, and rho = act(g) / g."""

    g: float
    u: float | None
    a: float
    rho: float


def _sources(
    model: LookupModel,
    reader: Reader,
    seen: Mapping[Point, Tensor],
    head: HeadId,
    tokens: Tensor,
    rows: Tensor,
    at: Tensor,
    preset: Preset,
    poll: Poll,
) -> tuple[Tensor, Tensor]:
    """A head's contribution by source position, [places, k, n], and its attention there, [places, k]."""
    patterns, values = model.attention.of_layer(tokens, head.layer, poll)
    pattern = model.at_home(patterns)[rows, head.index, at]
    of_head = model.at_home(values)[rows, :, head.index]
    z = seen[Point("z", head.layer)][:, head.index]
    biases = model.value_biases[head.layer]
    whole = z if biases is None else z + biases[head.index]
    require_same_z(
        pattern, of_head, whole.to(model.compute_dtype), model.dtype, f"{head} of {model.info.name}"
    )
    by_key = source_contributions(
        model, reader, seen, head.layer, head.index, pattern, of_head, hold_scale=preset != "paper"
    )
    return by_key, pattern


def _decomposition(
    neuron: NeuronId,
    position: int,
    parts: Contributions,
    sources: Tensor | None,
    weights: Tensor | None,
    own: _Own,
) -> Decomposition:
    """One row's contributions (in double precision, on the processor), as those to the pre-activation (plain)
    or to the activation (gated)."""
    g, u, a = own.g, own.u, own.a

    def both(values: np.ndarray) -> np.ndarray:
        return values[..., 0] if u is None else own.rho / 2 * (values[..., 1] * u + values[..., 0] * g)

    heads, mlps = parts.heads.numpy(), parts.mlps.numpy()
    embedding, biases, bias = (v.numpy() for v in (parts.embedding, parts.attention_biases, parts.bias))
    single = np.stack([embedding, biases, bias])
    every = np.concatenate([heads.reshape(-1, heads.shape[-1]), mlps, single])
    read = np.array([g] if u is None else [u, g])
    relative = np.abs(read - every.sum(0)) / np.maximum(np.abs(every).sum(0), 1e-30)
    product = 0.0 if u is None else abs(own.rho * g * u - a) / max(abs(g * u), 1e-30)
    return Decomposition(
        neuron=neuron,
        position=position,
        activation=a,
        pre_activation=g,
        target=g if u is None else a,
        heads=both(heads),
        gate=None if u is None else own.rho / 2 * heads[..., 1] * u,
        up=None if u is None else own.rho / 2 * heads[..., 0] * g,
        mlps=both(mlps),
        embedding=float(both(embedding)),
        attention_biases=float(both(biases)),
        bias=float(both(bias)),
        sources=None if sources is None else both(sources.numpy()),
        weights=None if weights is None else weights.numpy(),
        relative_remainder=float(max(relative.max(), product)),
    )


def require_closure(model: LookupModel, of: str, relative_remainder: float) -> None:
    """Raise UnsupportedModelError where components do not sum to what was read (step 4)."""
    if not relative_remainder <= BOUNDS[model.dtype]:
        raise UnsupportedModelError(
            f"The decomposition of {of} of {model.info.name} ({model.architecture.label}) does not "
            f"close: it is off by {relative_remainder:.1e} of its components.",
            "Its figures would be wrong, so they are refused; please report the model's name."
            if model.dtype == model.compute_dtype
            else "Half precision is too coarse for it: try --dtype float32.",
        )


def check_reaches(model: LookupModel, neuron: NeuronId, head: HeadId, preset: Preset) -> None:
    """Raise LookupsError where the head's output does not reach the neuron, or the preset leaves it out."""
    model.check_neuron(neuron)
    model.check_head(head)
    last = model.info.last_head_layer(neuron.layer)
    if head.layer > last:
        raise out_of_reach(head, neuron, last)
    if preset == "paper" and head.layer == neuron.layer:
        raise left_out_by_paper(head, neuron)


def count_reaching(model: LookupModel, neuron: NeuronId, preset: Preset) -> int:
    """How many heads reach the neuron; preset "paper" leaves out its own layer's (method.md, section 4)."""
    n_layers = model.info.last_head_layer(neuron.layer) + 1
    return (min(n_layers, neuron.layer) if preset == "paper" else n_layers) * model.info.n_heads
