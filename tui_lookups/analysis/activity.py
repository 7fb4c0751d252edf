"""Which heads are active where a neuron reads them (method.md, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tui_lookups.ids import HeadId
from tui_lookups.results import ActivityRule, HeadAttribution
from tui_lookups.results.conventions import DEFAULTS

if TYPE_CHECKING:  # heads that are in the cache are summed without torch
    from tui_lookups.analysis.attribution import Decomposition


def effective_rule(rule: ActivityRule, n_heads: int) -> ActivityRule:
    """The rule that decides among `n_heads` heads that reach the neuron: "top3" where they are few."""
    return "top3" if n_heads < DEFAULTS.few_heads else rule


def active_heads(attributions: np.ndarray, rule: ActivityRule) -> tuple[np.ndarray, float]:
    """Which heads are active on a prompt (method.md, section 4), and the threshold: (bool [n], value).

    "2sd": so many sample standard deviations above the mean over the heads that reach the neuron. "top3":
    among the largest; used also where few heads reach, since no value can then lie that far out. How many is
    for results/conventions.py to say.
    """
    n = attributions.size
    if n == 0:
        return np.zeros(0, dtype=bool), 0.0
    if effective_rule(rule, n) == "top3":
        order = np.argsort(-attributions, kind="stable")[: DEFAULTS.active_highest]
        mask = np.zeros(n, dtype=bool)
        mask[order] = True
        return mask, float(attributions[order[-1]])
    deviations = DEFAULTS.active_deviations * attributions.std(ddof=1)
    threshold = float(attributions.mean() + deviations)
    return attributions > threshold, threshold


def attributions_of_heads(
    decomposition: Decomposition, rule: ActivityRule, sign: int = 1
) -> tuple[tuple[HeadAttribution, ...], float]:
    """Every head that reaches the neuron, in layer then head order, and the activity threshold.

    `sign` is -1 where the neuron fires negatively: a head is active when it drives it that way.
    """
    heads = decomposition.heads
    mask, threshold = active_heads(sign * heads.ravel(), rule)
    rows = []
    for number, value in enumerate(heads.ravel()):
        head = HeadId(*divmod(number, heads.shape[1]))
        gate = None if decomposition.gate is None else float(decomposition.gate.ravel()[number])
        up = None if decomposition.up is None else float(decomposition.up.ravel()[number])
        rows.append(HeadAttribution(head, head.layer, head.index, float(value), bool(mask[number]), gate, up))
    return tuple(rows), sign * threshold
