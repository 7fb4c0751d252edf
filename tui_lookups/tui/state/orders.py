"""The orders that a list can be put in: one key goes through them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import (
        AtlasLayer,
        AtlasNeuron,
        ChangedNeuron,
        MovedNeuron,
        NeuronScore,
        Prompt,
        SharedHead,
        SurveyedPair,
    )

NeuronOrder = Literal["congruence", "cosine", "rank", "layer", "activity"]
PromptOrder = Literal["peak", "length", "corpus"]
HeadOrder = Literal["size", "layer"]
AtlasLayerOrder = Literal["layer", "tokens"]
AtlasNeuronOrder = Literal["congruence", "neuron", "token"]
PairOrder = Literal["neuron", "attribution", "share", "active", "head", "token"]
SharedOrder = Literal["active", "sum", "neuron", "head"]
MovedOrder = Literal["moved", "write", "read", "neuron"]
ChangedOrder = Literal["change", "correlation", "peak", "neuron"]

NEURONS: tuple[NeuronOrder, ...] = ("congruence", "cosine", "rank", "layer", "activity")
PROMPTS: tuple[PromptOrder, ...] = ("peak", "length", "corpus")
HEADS: tuple[HeadOrder, ...] = ("size", "layer")
ATLAS_LAYERS: tuple[AtlasLayerOrder, ...] = ("layer", "tokens")
ATLAS_NEURONS: tuple[AtlasNeuronOrder, ...] = ("congruence", "neuron", "token")
SHARED_HEADS: tuple[SharedOrder, ...] = ("active", "sum", "neuron", "head")
MOVED: tuple[MovedOrder, ...] = ("moved", "write", "read", "neuron")
CHANGED: tuple[ChangedOrder, ...] = ("change", "correlation", "peak", "neuron")

O = TypeVar("O")  # noqa: E741

_FIRST_ROWS = 5
_LOW_RANK = 10


def following(orders: Sequence[O], now: O) -> O:
    """The order after `now`, round the end."""
    return orders[(orders.index(now) + 1) % len(orders)]


def neurons_in(
    order: NeuronOrder, rows: tuple[NeuronScore, ...], activity: Mapping[NeuronId, float]
) -> tuple[NeuronScore, ...]:
    """A ranking's rows in an order; those whose activity is not known come last. Ties stay as ranked."""
    if order == "cosine":
        return tuple(sorted(rows, key=lambda row: -abs(row.cosine)))
    if order == "rank":
        return tuple(sorted(rows, key=lambda row: row.token_rank))
    if order == "layer":
        return tuple(sorted(rows, key=lambda row: (row.layer, row.index)))
    if order == "activity":
        return tuple(sorted(rows, key=lambda row: -activity.get(row.neuron, -1.0)))
    return rows


def prompts_in(order: PromptOrder, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Prompts by rank, the longest first, or as they stand in the corpus."""
    if order == "length":
        return tuple(sorted(prompts, key=lambda prompt: -len(prompt.tokens)))
    if order == "corpus":
        return tuple(sorted(prompts, key=lambda prompt: prompt.prompt_id))
    return prompts


def atlas_layers_in(order: AtlasLayerOrder, layers: tuple[AtlasLayer, ...]) -> tuple[AtlasLayer, ...]:
    """Layers from the first, or those first in which most tokens have their best neuron."""
    return tuple(sorted(layers, key=lambda layer: -layer.best_of_tokens)) if order == "tokens" else layers


def atlas_neurons_in(order: AtlasNeuronOrder, neurons: tuple[AtlasNeuron, ...]) -> tuple[AtlasNeuron, ...]:
    """A layer's next-token neurons, best first, by index, or by the text of their token."""
    if order == "neuron":
        return tuple(sorted(neurons, key=lambda found: found.neuron.index))
    if order == "token":
        return tuple(sorted(neurons, key=lambda found: found.top_token.text.strip().casefold()))
    return neurons


def pairs_in(order: PairOrder, pairs: Sequence[SurveyedPair]) -> tuple[SurveyedPair, ...]:
    """Pairs of a survey by layer, as given within one; or by another column. Ties stay as given."""
    if order == "attribution":
        return tuple(sorted(pairs, key=lambda pair: -pair.mean_attribution))
    if order == "share":
        return tuple(sorted(pairs, key=lambda pair: -(pair.share or 0.0)))
    if order == "active":
        return tuple(sorted(pairs, key=lambda pair: -pair.active_fraction))
    if order == "head":
        return tuple(sorted(pairs, key=lambda pair: pair.head))
    if order == "token":
        return tuple(sorted(pairs, key=lambda pair: pair.token.text.strip().casefold()))
    return tuple(sorted(pairs, key=lambda pair: pair.neuron.layer))


def low_rank_of_first(rows: Sequence[NeuronScore]) -> tuple[int, bool] | None:
    """The token's rank for the first of the rows, where for most of the first five it is beyond the tenth.

    With it, whether these rows lead by their norm: congruence over cosine, which for one token is the length
    of what a neuron writes, is above the median of all rows. None where the first rows rank the token high.
    """
    first = rows[:_FIRST_ROWS]
    if not first or 2 * sum(row.token_rank > _LOW_RANK for row in first) <= len(first):
        return None
    norms = [abs(row.congruence / row.cosine) for row in rows if row.cosine]
    of_first = [abs(row.congruence / row.cosine) for row in first if row.cosine]
    return first[0].token_rank, bool(of_first) and _middle(of_first) > _middle(norms)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def shared_in(order: SharedOrder, heads: tuple[SharedHead, ...], neuron: NeuronId) -> tuple[SharedHead, ...]:
    """Heads of several neurons: as they are answered, by their sum, by what each is for `neuron`, by name."""
    if order == "sum":
        return tuple(sorted(heads, key=lambda row: -row.attribution))
    if order == "neuron":
        own = {
            row.head: part.mean_attribution for row in heads for part in row.neurons if part.neuron == neuron
        }
        return tuple(sorted(heads, key=lambda row: (row.head not in own, -own.get(row.head, 0.0))))
    if order == "head":
        return tuple(sorted(heads, key=lambda row: row.head))
    return heads


def moved_in(order: MovedOrder, rows: Sequence[MovedNeuron]) -> tuple[MovedNeuron, ...]:
    """Neurons of two models by how far they moved, by how far what they write or read turned, or by name."""
    if order == "write":
        return tuple(sorted(rows, key=lambda row: _cosine(row.write.cosine)))
    if order == "read":
        return tuple(sorted(rows, key=lambda row: _cosine(row.read.cosine)))
    if order == "neuron":
        return tuple(sorted(rows, key=lambda row: row.neuron))
    return tuple(rows)


def changed_in(order: ChangedOrder, rows: Sequence[ChangedNeuron]) -> tuple[ChangedNeuron, ...]:
    """Neurons of two models by how their activations changed, the least correlated first, by how much the
    peak did, or by name."""
    if order == "correlation":
        return tuple(sorted(rows, key=lambda row: _cosine(row.correlation)))
    if order == "peak":
        return tuple(sorted(rows, key=lambda row: -abs(row.peak_after - row.peak_before)))
    if order == "neuron":
        return tuple(sorted(rows, key=lambda row: row.neuron))
    return tuple(rows)


def _cosine(value: float | None) -> float:
    """To sort by: one that is not defined comes last."""
    return 2.0 if value is None else value
