"""Neurons of a layer decomposed together: a family's sweep costs one forward pass a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui_lookups.analysis.attribution import Decomposition, Place, decompose_places
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel


def decompose_neurons(
    model: LookupModel,
    layer: int,
    indices: Iterable[int],
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    *,
    source_head: HeadId | None = None,
) -> list[Decomposition]:
    """Each neuron at one position of each row, neuron by neuron.

    Figures are those of `decompose`, one neuron at a time
    (`test_attribution.test_neurons_that_share_a_pass_are_as_each_alone`).
    """
    texts = [tuple(row[: position + 1]) for row, position in zip(rows, positions, strict=True)]
    places = [
        Place(NeuronId(layer, index), row, position)
        for index in indices
        for row, position in enumerate(positions)
    ]
    return decompose_places(model, texts, places, source_head=source_head)
