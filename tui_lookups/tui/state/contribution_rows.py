"""Components of an exact sum as rows: by size, in groups, by layer (method.md, sections 8 and 9).

1. By size: the neurons that are named, every head, the embedding and the biases; what the neurons that are
   not named come to is one row. Together they are the target but for the remainder.
2. In groups: the same rows by what they are and which way they push; a group leads to its largest row.
3. By layer: what each adds, and what the sum is behind it. What has no layer stands before and behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui_lookups.ids import NeuronId

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import (
        Contributions,
        InputsOverview,
        NeuronInputs,
        OtherContributions,
        Token,
        Why,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One component, or several as one sum.

    Attributes:
        component: what enter opens; None for what has no number.
        activation, congruence: of a neuron; `own`: the token asked about is its own top token.
        active: over all prompts, on which share of them the neuron is active.
        first: of a group, the place of its largest row in the list by size.
    """

    name: str
    value: float
    component: HeadId | NeuronId | None = None
    activation: float | None = None
    congruence: float | None = None
    own: bool = False
    active: float | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one layer adds, and the sum behind it.

    Attributes:
        parts: of heads, neurons and biases; None for what is not known by layer.
        total: the sum up to here; lens, lens_logit: what the stream would predict here (Why only).
        first: the place of its largest component in the list by size.
    """

    name: str
    added: float
    total: float
    heads: float | None = None
    neurons: float | None = None
    biases: float | None = None
    lens: Token | None = None
    lens_logit: float | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class SumRows:
    """The three views of one sum; `target` is what shares are of (0: there are no shares)."""

    rows: tuple[Row, ...] = ()
    groups: tuple[Row, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    target: float = 0.0


def rows_of_why(why: Why) -> SumRows:
    """The logit of a token as rows."""
    contributions, model = why.contributions, why.provenance.model
    own = frozenset(why.next_token_neurons)
    rows = _by_size(contributions, found_of=len(contributions.neurons_by_layer) * model.d_mlp, own=own)
    total = contributions.other.embedding
    layers = [LayerRow("embed", total, total, lens_logit=why.lens_embedding, first=_place(rows, "embedding"))]
    for layer in why.layers:
        added = layer.heads + layer.neurons + layer.biases + (layer.beside or 0.0)
        total += added
        layers.append(
            LayerRow(
                f"L{layer.layer}", added, total, layer.heads, layer.neurons, layer.biases,
                layer.lens_token, layer.lens_logit, _largest_of(rows, layer.layer),
            )
        )  # fmt: skip
    layers += _behind(rows, total, (("bias", contributions.other.bias),))
    return SumRows(rows, _grouped(rows), tuple(layers), contributions.target)


def rows_of_inputs(inputs: NeuronInputs) -> SumRows:
    """What a neuron reads at one position as rows."""
    contributions, model = inputs.contributions, inputs.provenance.model
    rows = _by_size(contributions, found_of=len(contributions.neurons_by_layer) * model.d_mlp)
    heads: defaultdict[int, float] = defaultdict(float)
    for row in contributions.heads:
        heads[row.head.layer] += row.contribution
    total = contributions.other.embedding
    layers = [LayerRow("embed", total, total, first=_place(rows, "embedding"))]
    for layer in range(max([len(contributions.neurons_by_layer), *(number + 1 for number in heads)])):
        neurons = (
            contributions.neurons_by_layer[layer] if layer < len(contributions.neurons_by_layer) else 0.0
        )
        added = heads[layer] + neurons
        total += added
        layers.append(
            LayerRow(f"L{layer}", added, total, heads[layer], neurons, first=_largest_of(rows, layer))
        )
    layers += _behind(rows, total, _biases(contributions.other))
    return SumRows(rows, _grouped(rows), tuple(layers), contributions.target)


def rows_of_overview(overview: InputsOverview) -> SumRows:
    """Earlier neurons over all prompts: means, which have no target to be shares of."""
    rows = tuple(
        Row(str(neuron.neuron), neuron.mean_contribution, neuron.neuron, active=neuron.active_fraction)
        for neuron in overview.neurons
    )
    layers, total = [], 0.0
    for number, mean in enumerate(overview.by_layer):
        total += mean
        layers.append(LayerRow(f"L{number}", mean, total, neurons=mean, first=_largest_of(rows, number)))
    return SumRows(rows, _grouped(rows), tuple(layers))


# --- by size ---


def _biases(rest: OtherContributions) -> tuple[tuple[str, float], ...]:
    constants = ("attn-bias", rest.attention_biases), ("mlp-bias", rest.mlp_biases), ("bias", rest.bias)
    return (*constants, *rest.beside)


def _by_size(
    found: Contributions, *, found_of: int, own: frozenset[NeuronId] = frozenset()
) -> tuple[Row, ...]:
    """`found_of`: how many neurons reach the reader."""
    rows = [
        Row(str(n.neuron), n.contribution, n.neuron, n.activation, n.congruence, n.neuron in own)
        for n in found.neurons
    ]
    rows += [Row(str(h.head), h.contribution, h.head) for h in found.heads]
    rows += [
        Row(name, value)
        for name, value in (("embedding", found.other.embedding), *_biases(found.other))
        if value
    ]
    if (others := found_of - len(found.neurons)) > 0:
        rest = sum(found.neurons_by_layer) - sum(n.contribution for n in found.neurons)
        rows.append(Row(f"{others:,} other {found.kind}", rest))
    return tuple(sorted(rows, key=lambda row: -abs(row.value)))


def _place(rows: Sequence[Row], name: str) -> int | None:
    return next((number for number, row in enumerate(rows) if row.name == name), None)


def _largest_of(rows: Sequence[Row], layer: int) -> int | None:
    """Where the largest named component of a layer stands."""
    of_layer = (n for n, row in enumerate(rows) if row.component is not None and row.component.layer == layer)
    return next(of_layer, None)


def _behind(rows: Sequence[Row], total: float, parts: Iterable[tuple[str, float]]) -> Iterable[LayerRow]:
    """What comes behind the last layer."""
    for name, value in parts:
        if value:
            total += value
            yield LayerRow(name, value, total, first=_place(rows, name))


# --- in groups ---


def _grouped(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Largest first; each row is in one group."""
    members: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        members[_group(row)].append(number)
    groups = [
        Row(
            _group_name(*group, count=len(numbers)),
            sum(rows[number].value for number in numbers),
            first=numbers[0],
        )
        for group, numbers in members.items()
    ]
    return tuple(sorted(groups, key=lambda row: -abs(row.value)))


def _group(row: Row) -> tuple[str, str]:
    """What is counted, and what all of it does; of what stands alone its name."""
    if row.component is None:
        return row.name, ""
    kind = "head" if not isinstance(row.component, NeuronId) else "next-token neuron" if row.own else "neuron"
    return kind, "raise" if row.value > 0 else "lower"


def _group_name(name: str, does: str, count: int) -> str:
    if not does:
        return name if count == 1 else f"{count} {name}"
    return f"{count} {name}s that {does}" if count > 1 else f"1 {name} that {does}s"
