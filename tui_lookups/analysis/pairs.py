"""The paper's figure over (neuron, head) pairs: drops where heads are active or not.

See method.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tui_lookups.errors import LookupsError
from tui_lookups.results import AblatedPair, HeadAblation, KolmogorovSmirnov, PairComparison


def ks_distance(first: Sequence[float], second: Sequence[float]) -> KolmogorovSmirnov | None:
    """The two-sample Kolmogorov-Smirnov distance; None where one sample is empty."""
    if not first or not second:
        return None
    from scipy.stats import ks_2samp  # takes half a second to import

    result = ks_2samp(first, second)
    return KolmogorovSmirnov(float(result.statistic), float(result.pvalue))


def compare_pairs(ablations: Sequence[HeadAblation]) -> PairComparison:
    """The set of mean probability drops on active prompts against the set of those on inactive ones.

    Args:
        ablations: one per (neuron, head), done alike. Those without both kinds of prompts are left out.
    Raises LookupsError where none has both kinds.
    """
    pairs = []
    for ablation in ablations:
        active = ablation.summary.active.mean_probability_drop
        inactive = ablation.summary.inactive.mean_probability_drop
        if active is not None and inactive is not None:
            pairs.append(AblatedPair(ablation.neuron, ablation.head, active, inactive))
    drops = [pair.drop_active for pair in pairs], [pair.drop_inactive for pair in pairs]
    distance = ks_distance(*drops)
    if distance is None:
        raise LookupsError(
            "No head is active on some prompts of its neuron and inactive on others.", "Ablate more heads."
        )
    first = ablations[0]
    return PairComparison(
        method=first.method,
        positions=first.positions,
        pairs=tuple(pairs),
        left_out=len(ablations) - len(pairs),
        mean_drop_active=float(np.mean(drops[0])),
        mean_drop_inactive=float(np.mean(drops[1])),
        distance=distance,
        provenance=first.provenance,
    )
