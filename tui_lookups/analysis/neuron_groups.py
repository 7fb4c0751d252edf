"""Several neurons as one: the heads that they share, and attribution to their sum (method.md, section 4).

Attribution is linear in what is read, so nothing is computed anew: each neuron's figures, which are held to
their bounds by themselves, are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tui_lookups.analysis.activity import active_heads, effective_rule
from tui_lookups.ids import HeadId
from tui_lookups.results import (
    ActivityRule,
    HeadAttribution,
    HeadAttributions,
    HeadForNeuron,
    HeadInSum,
    HeadOverview,
    MemberNeuron,
    NeuronInSum,
    OtherComponents,
    Provenance,
    SharedHead,
    SharedHeads,
    SummedHead,
    SummedHeads,
    Target,
)


def shared_heads(
    overviews: Sequence[HeadOverview], *, least_share: float, provenance: Provenance
) -> SharedHeads:
    """The heads of several neurons, from those of each over its own prompts.

    Args:
        overviews: of one neuron each.
        least_share: of a neuron's prompts, on which a head has to be active to be active for it.
    """
    by_head: dict[HeadId, list[HeadForNeuron]] = {}
    for overview in overviews:
        for mean in overview.heads:
            by_head.setdefault(mean.head, []).append(
                HeadForNeuron(
                    neuron=overview.neuron,
                    mean_attribution=mean.mean_attribution,
                    active_fraction=mean.active_fraction,
                    active=mean.active_fraction >= least_share,
                    worth_explaining=mean.worth_explaining,
                )
            )
    enough = min(2, len(overviews))
    heads = [_shared(head, rows, enough) for head, rows in by_head.items()]
    first = overviews[0]
    return SharedHeads(
        neurons=tuple(MemberNeuron(own.neuron, own.prompts, own.mean_target, own.note) for own in overviews),
        context=first.context,
        activity_rule=first.activity_rule,
        target=sum(own.mean_target or 0.0 for own in overviews),
        heads=tuple(sorted(heads, key=lambda row: (-row.active_for, -row.attribution, row.head))),
        provenance=provenance,
    )


def _shared(head: HeadId, rows: Sequence[HeadForNeuron], enough: int) -> SharedHead:
    attribution = sum(row.mean_attribution for row in rows)
    active_for = sum(row.active for row in rows)
    return SharedHead(
        head=head,
        layer=head.layer,
        index=head.index,
        reaches=len(rows),
        active_for=active_for,
        serves=sum(row.worth_explaining for row in rows),
        attribution=attribution,
        mean_attribution=attribution / len(rows),
        shared=active_for >= enough,
        neurons=tuple(rows),
    )


def summed_heads(attributions: Sequence[HeadAttributions], rule: ActivityRule, sign: int) -> SummedHeads:
    """Attribution to the sum of several neurons, from that to each at the same position of the same text.

    Args:
        attributions: of one neuron each.
        sign: -1 where the sum fires negatively: a head is active when it drives it that way.
    """
    rows: dict[HeadId, list[tuple[HeadInSum, HeadAttribution]]] = {}
    for own in attributions:
        for row in own.heads:
            rows.setdefault(row.head, []).append((HeadInSum(own.neuron, row.attribution), row))
    names = sorted(rows)
    values = np.array([sum(part.attribution for part, _ in rows[head]) for head in names])
    active, threshold = active_heads(sign * values, rule)
    heads = [
        SummedHead(
            head=head,
            layer=head.layer,
            index=head.index,
            attribution=float(values[number]),
            active=bool(active[number]),
            gate=_summed(row.gate for _, row in rows[head]),
            up=_summed(row.up for _, row in rows[head]),
            neurons=tuple(part for part, _ in rows[head]),
        )
        for number, head in enumerate(names)
    ]

    def other(part: Callable[[OtherComponents], float]) -> float:
        return sum(part(own.other) for own in attributions)

    return SummedHeads(
        neurons=tuple(
            NeuronInSum(n.neuron, n.activation, n.pre_activation, n.target.value, n.remainder)
            for n in attributions
        ),
        tokens=attributions[0].tokens,
        position=attributions[0].position,
        target=Target(attributions[0].target.name, sum(own.target.value for own in attributions)),
        heads=tuple(heads),
        other=OtherComponents(
            embedding=other(lambda parts: parts.embedding),
            mlps=other(lambda parts: parts.mlps),
            attention_biases=other(lambda parts: parts.attention_biases),
            bias=other(lambda parts: parts.bias),
        ),
        sum=sum(own.sum for own in attributions),
        remainder=sum(own.remainder for own in attributions),
        activity_rule=effective_rule(rule, len(heads)),
        activity_threshold=sign * threshold,
        provenance=attributions[0].provenance,
    )


def _summed(values: Iterable[float | None]) -> float | None:
    """The sum; None where a part is, as the halves of plain neurons are."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None
