"""Fixed answers about two models, and about a neuron over revisions, for the canned explorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    ActivationDiff,
    ChangedNeuron,
    HeadAtRevision,
    HeadOverview,
    HeadsDiff,
    HeadShift,
    LayerCorrelation,
    ModelInfo,
    MovedHead,
    MovedNeuron,
    MovedTensor,
    MovedVector,
    NeuronAtRevision,
    NeuronDiff,
    NeuronOverRevisions,
    OtherShift,
    PairedPrompt,
    Prompt,
    Provenance,
    Token,
    WeightDiff,
)
from tui_lookups.results.diff import PairedKind

Noise = Callable[..., float]
MOVED = 30
"""Neurons that moved: every third of a layer's first ones, and the one that the walk opens on."""


def _names(layers: int) -> list[NeuronId]:
    return [NeuronId(5, 371), *(NeuronId(n % layers, 3 * n) for n in range(1, MOVED))]


def _other(model: ModelInfo, against: str) -> ModelInfo:
    return replace(model, name=against, source=against, fingerprint="f" * 16)


def weights(
    against: str, top: int, tokens: Sequence[Token], provenance: Provenance, noise: Noise
) -> WeightDiff:
    """Each neuron moved a little less than the one before; every second has another top token."""
    model = provenance.model
    rows = []
    for number, name in enumerate(_names(model.n_layers)[:top]):
        size = 0.9 / (1 + number)
        write = MovedVector(0.8 * size, 1 - 0.4 * noise("write", name) * size, 1.25, 1.25 + 0.2 * size)
        read = MovedVector(
            0.6 * size, None if number == 3 else 1 - 0.2 * noise("read", name) * size, 0.9, 0.9
        )
        gate = read if model.gated else None
        before, after = tokens[number], tokens[number + number % 2]
        rows.append(MovedNeuron(name, name.layer, name.index, size, write, read, gate, before, after))
    heads = tuple(MovedHead(HeadId(3, n), 3, n, 0.3 - 0.1 * n, 0.1, 0.1, 0.1, 0.1) for n in range(3))
    matrices = (MovedTensor("h.5.mlp.c_proj.weight", (768, 192), 0.05, 0.0499, 0.997),)
    vectors = (MovedTensor("h.5.mlp.[bias]", (192,), 0.01, None, None),)
    return WeightDiff(
        _other(model, against), "folded", tuple(rows), MOVED, model.n_layers * model.d_mlp, heads, 3, 36,
        matrices, vectors, 2, 77, (), provenance,
    )  # fmt: skip


def activations(
    against: str, top: int, tokens: Sequence[Token], provenance: Provenance, noise: Noise
) -> ActivationDiff:
    """The last of the neurons that moved changed most."""
    model = provenance.model
    rows = tuple(
        ChangedNeuron(
            name, name.layer, name.index, 2.0 / (1 + number), None if number == 4 else noise("r", name),
            4 * noise("before", name), 4 * noise("after", name), tokens[number], tokens[number + number % 2],
        )
        for number, name in enumerate(reversed(_names(model.n_layers)))
    )  # fmt: skip
    layers = tuple(LayerCorrelation(n, 0.99 - 0.02 * n, 0.1 + 0.05 * n) for n in range(model.n_layers))
    return ActivationDiff(
        _other(model, against), "folded", rows[:top], model.n_layers * model.d_mlp, layers, 54_649, provenance
    )


def neuron(
    against: str, name: NeuronId, prompts: Sequence[Prompt], provenance: Provenance, noise: Noise
) -> NeuronDiff:
    """Two prompts of a kind, on which the other model has something else."""
    kinds: tuple[PairedKind, ...] = ("rose", "fell", "peak before", "peak after")
    paired = tuple(
        PairedPrompt(
            kind, rank, prompt.prompt_id, prompt.tokens, prompt.peak.position, prompt.activations,
            tuple(value * 2 * (noise(kind, rank, p) - 0.3) for p, value in enumerate(prompt.activations)),
        )
        for kind, first in zip(kinds, range(0, 8, 2), strict=True)
        for rank, prompt in enumerate(prompts[first : first + 2], 1)
    )  # fmt: skip
    return NeuronDiff(name, _other(provenance.model, against), "folded", 0.41, 0.83, paired, provenance)


def heads(against: str, name: NeuronId, overview: HeadOverview, provenance: Provenance) -> HeadsDiff:
    """Every head contributes half as much again, two thirds of it by what it writes."""
    shifts = [
        HeadShift(row.head, row.mean_attribution, 1.5 * row.mean_attribution, row.mean_attribution / 3,
                  row.mean_attribution / 6)
        for row in overview.heads
    ]  # fmt: skip
    others = tuple(
        OtherShift(part, 0.2, 0.1, -0.05, -0.05) for part in ("mlps", "embedding", "attention_biases", "bias")
    )
    before, after = (
        sum(each) for each in zip(*((row.before, row.after) for row in (*shifts, *others)), strict=True)
    )
    return HeadsDiff(
        name, _other(provenance.model, against), 9, "pre_activation", before, after,
        tuple(sorted(shifts, key=lambda row: -abs(row.after - row.before))[:20]), others, provenance,
    )  # fmt: skip


def over_revisions(
    name: NeuronId, names: Sequence[str], token: Token, overview: HeadOverview | None, provenance: Provenance
) -> NeuronOverRevisions:
    """It grows towards the last; without an overview how it fires was not asked for."""
    rows = tuple(
        NeuronAtRevision(
            revision, f"{number:016d}", token, 6.0 * number / len(names), 0.7 * number / len(names),
            1 + 9 * (len(names) - number), token, 6.5,
            None if overview is None else 4.3 * number / len(names),
            () if overview is None else tuple(
                HeadAtRevision(row.head, row.mean_attribution * number / len(names)) for row in overview.heads
            ),
        )
        for number, revision in enumerate(names, 1)
    )  # fmt: skip
    firing = None if overview is None else "prompts"
    return NeuronOverRevisions(name, token, "folded", firing, rows, provenance)
