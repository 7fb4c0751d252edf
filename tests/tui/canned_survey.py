"""Fixed answers about surveys, for the canned explorer: the service's own tables, of canned overviews."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Atlas,
    AtlasNeuron,
    HeadOverview,
    HeadReads,
    Provenance,
    ReadToken,
    ServedNeurons,
    Survey,
    Token,
)

TARGET = 2.5
MOST = 6
"""Neurons of a layer: more of them show nothing more."""


def neurons(atlas: Atlas, layers: Collection[int] | None) -> list[AtlasNeuron]:
    """The neurons of these layers, a few of each."""
    return [
        found
        for layer in atlas.layers
        if layers is None or layer.layer in layers
        for found in layer.neurons[:MOST]
    ]


def survey(
    rows: Sequence[tuple[AtlasNeuron, HeadOverview]],
    per_layer: int,
    layers: Sequence[int],
    provenance: Provenance,
) -> Survey:
    """A survey of these."""
    from tui_lookups.answering.survey_tables import SurveyTables  # with NumPy: not before a first paint

    tables = SurveyTables()
    for found, overview in rows:
        tables.add(found, replace(overview, mean_target=TARGET))
    return Survey(
        tuple(layers), per_layer, "+", "full", "2sd", tuple(tables.neurons), tuple(tables.pairs),
        tables.heads(), provenance,
    )  # fmt: skip


def served(found: Survey, head: HeadId) -> ServedNeurons | None:
    """A head's part of a survey, None where it reaches none of its neurons."""
    own = next((row for row in found.heads if row.head == head), None)
    if own is None:
        return None
    pairs = sorted((pair for pair in found.pairs if pair.head == head), key=lambda p: -p.mean_attribution)
    return ServedNeurons(own, tuple(pairs), found.provenance)


def reads(
    neuron: NeuronId, head: HeadId, tokens: Sequence[Token], prompts: int, provenance: Provenance
) -> HeadReads:
    """These tokens, each with half the share of the one before."""
    rows = tuple(
        ReadToken(token, (1.0 + neuron.index / 1000) / 2**n, max(1, prompts - 3 * n))
        for n, token in enumerate(tokens)
    )
    return HeadReads(neuron, head, prompts, "full", rows, -0.1, provenance)
