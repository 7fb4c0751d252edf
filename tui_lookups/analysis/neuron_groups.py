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
    found: dict[HeadId, list[HeadForNeuron]] = {}
    for overview in overviews:
        for mean in overview.heads:
            found.setdefault(mean.head, []).append(
                HeadForNeuron(
                    neuron=overview.neuron,
                    mean_attribution=mean.mean_attribution,
                    active_fraction=mean.active_fraction,
                    active=mean.active_fraction >= least_share,
                    worth_explaining=mean.worth_explaining,
                )
            )
    enough = min(2, len(overviews))
    heads = [_shared(head, rows, enough) for head, rows in found.items()]
    first = overviews[0]
    return SharedHeads(
        neurons=tuple(
            MemberNeuron(each.neuron, each.prompts, each.mean_target, each.note) for each in overviews
        ),
        context=first.context,
        activity_rule=first.activity_rule,
        target=sum(each.mean_target or 0.0 for each in overviews),
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


def summed_heads(found: Sequence[HeadAttributions], rule: ActivityRule, sign: int) -> SummedHeads:
    """Attribution to the sum of several neurons, from that to each at the same position of the same text.

    Args:
        found: of one neuron each.
        sign: -1 where the sum fires negatively: a head is active when it drives it that way.
    """
    rows: dict[HeadId, list[tuple[HeadInSum, HeadAttribution]]] = {}
    for each in found:
        for row in each.heads:
            rows.setdefault(row.head, []).append((HeadInSum(each.neuron, row.attribution), row))
    names = sorted(rows)
    values = np.array([sum(part.attribution for part, _ in rows[head]) for head in names])
    active, threshold = active_heads(sign * values, rule)
    heads = [
        SummedHead(
            head=head,
            layer=head.layer,
            index=head.index,
            attribution=float(values[place]),
            active=bool(active[place]),
            gate=_summed(row.gate for _, row in rows[head]),
            up=_summed(row.up for _, row in rows[head]),
            neurons=tuple(part for part, _ in rows[head]),
        )
        for place, head in enumerate(names)
    ]

    def other(part: Callable[[OtherComponents], float]) -> float:
        return sum(part(each.other) for each in found)

    return SummedHeads(
        neurons=tuple(
            NeuronInSum(n.neuron, n.activation, n.pre_activation, n.target.value, n.remainder) for n in found
        ),
        tokens=found[0].tokens,
        position=found[0].position,
        target=Target(found[0].target.name, sum(each.target.value for each in found)),
        heads=tuple(heads),
        other=OtherComponents(
            embedding=other(lambda parts: parts.embedding),
            mlps=other(lambda parts: parts.mlps),
            attention_biases=other(lambda parts: parts.attention_biases),
            bias=other(lambda parts: parts.bias),
        ),
        sum=sum(each.sum for each in found),
        remainder=sum(each.remainder for each in found),
        activity_rule=effective_rule(rule, len(heads)),
        activity_threshold=sign * threshold,
        provenance=found[0].provenance,
    )


def _summed(values: Iterable[float | None]) -> float | None:
    """The sum; None where a part is, as the halves of plain neurons are."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
