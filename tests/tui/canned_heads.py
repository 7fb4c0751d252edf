"""Fixed answers about the atlas and ablations, for the canned explorer."""

from __future__ import annotations

from collections.abc import Sequence

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    AblatedPrompt,
    AblationMean,
    AblationMethod,
    AblationPositions,
    AblationSummary,
    Atlas,
    AtlasLayer,
    AtlasNeuron,
    HeadAblation,
    KolmogorovSmirnov,
    Prompt,
    Provenance,
    Token,
)


def atlas(vocabulary: Sequence[Token], layers: int, per_layer: int, provenance: Provenance) -> Atlas:
    """Every token of the vocabulary in turn, hostile ones included."""
    found = tuple(
        AtlasLayer(
            layer,
            tuple(
                AtlasNeuron(NeuronId(layer, 7 * n), vocabulary[-1 - n % len(vocabulary)], 9.0 / (1 + 0.1 * n))
                for n in range(min(per_layer, 10 + 10 * layer))
            ),
            100 * layer * layer + 1,
        )
        for layer in range(layers)
    )
    return Atlas(
        "folded", "+", per_layer, sum(layer.best_of_tokens for layer in found), (), found, provenance
    )


def ablation(
    neuron: NeuronId,
    head: HeadId,
    method: AblationMethod,
    positions: AblationPositions,
    prompts: Sequence[Prompt],
    provenance: Provenance,
) -> HeadAblation:
    """The first half of the prompts lose half of their activation, the others nearly nothing."""
    rows = tuple(
        AblatedPrompt(
            p.rank,
            p.prompt_id,
            1,
            p.peak.position,
            n < len(prompts) // 2,
            1.9 if n < len(prompts) // 2 else 0.1,
            p.peak.token,
            p.peak.activation,
            p.peak.activation * (0.5 if n < len(prompts) // 2 else 0.98),
            0.41,
            0.12 if n < len(prompts) // 2 else 0.40,
            None,
        )
        for n, p in enumerate(prompts)
    )
    active, inactive = [r for r in rows if r.active], [r for r in rows if not r.active]
    distance = KolmogorovSmirnov(1.0, 1.1e-5) if active and inactive else None
    summary = AblationSummary(_mean(active), _mean(inactive), _mean(rows), distance, distance)
    return HeadAblation(
        neuron, head, method, positions, "full", "2sd", 0, 64 * (method == "mean"), rows, summary, provenance
    )


def _mean(rows: Sequence[AblatedPrompt]) -> AblationMean:
    if not rows:
        return AblationMean(0, None, None)
    return AblationMean(
        len(rows),
        sum(r.activation_change for r in rows) / len(rows),
        sum(r.probability_drop for r in rows) / len(rows),
    )
