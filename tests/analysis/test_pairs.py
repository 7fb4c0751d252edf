"""The paper's comparison over (neuron, head) pairs, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.fake_answers import PROVENANCE
from tui_lookups.analysis.ablation import summarise
from tui_lookups.analysis.pairs import compare_pairs, ks_distance
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import AblatedPrompt, HeadAblation, Token


def ablation(head: int, *prompts: tuple[bool, float, float]) -> HeadAblation:
    """Of (whether the head is active, probability before and after)."""
    rows = tuple(
        AblatedPrompt(1, 1, 1, 3, active, 0.5, Token(1, " a"), 1.0, 1.0, before, after, donor=None)
        for active, before, after in prompts
    )
    found = summarise(rows)
    return HeadAblation(
        NeuronId(2, 7), HeadId(1, head), "zero", "all", "full", "2sd", 0, 0, rows, found, PROVENANCE
    )


STRONG = ablation(0, (True, 0.5, 0.1), (True, 0.5, 0.3), (False, 0.5, 0.5))
WEAK = ablation(1, (True, 0.5, 0.4), (False, 0.5, 0.45))
NEVER_INACTIVE = ablation(2, (True, 0.9, 0.1))


def test_distance_by_hand_and_by_scipy() -> None:
    first, second = [0.0, 1.0, 2.0, 3.0], [1.5, 2.5, 3.5]
    found = ks_distance(first, second)
    grid = sorted(first + second)
    by_hand = max(abs(np.mean([v <= x for v in first]) - np.mean([v <= x for v in second])) for x in grid)
    assert found is not None
    assert found.statistic == pytest.approx(by_hand) == pytest.approx(0.5)
    assert found.p_value == pytest.approx(stats.ks_2samp(first, second).pvalue)
    same = ks_distance([1.0, 2.0], [1.0, 2.0])
    assert same is not None
    assert same.statistic == 0.0
    assert ks_distance([], [1.0]) is None


def test_pairs_compare_the_two_sets_of_means() -> None:
    found = compare_pairs([STRONG, WEAK, NEVER_INACTIVE])
    assert [str(pair.head) for pair in found.pairs] == ["L1.H0", "L1.H1"]
    assert [pair.drop_active for pair in found.pairs] == pytest.approx([0.3, 0.1])
    assert [pair.drop_inactive for pair in found.pairs] == pytest.approx([0.0, 0.05])
    assert (found.left_out, found.method, found.positions) == (1, "zero", "all")
    assert found.mean_drop_active == pytest.approx((0.3 + 0.1) / 2)
    assert found.mean_drop_inactive == pytest.approx((0.0 + 0.05) / 2)
    assert found.distance.statistic == 1.0


@pytest.mark.parametrize("ablations", [[], [NEVER_INACTIVE]])
def test_without_a_pair_to_compare_there_is_a_sentence(ablations: list[HeadAblation]) -> None:
    with pytest.raises(LookupsError, match="No head"):
        compare_pairs(ablations)
