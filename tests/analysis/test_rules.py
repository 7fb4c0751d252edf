"""Where the rule of activity changes: top 3 where fewer than 12 heads reach the neuron.

See method.md, section 4.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.test_attribution import random_row
from tui_lookups.analysis.activity import active_heads, attributions_of_heads
from tui_lookups.analysis.attribution import decompose
from tui_lookups.ids import NeuronId


def one_far_out(heads: int) -> np.ndarray:
    """One head far above two others, the rest at nothing: alone above mean + 2 deviations from 8 heads on."""
    values = np.zeros(heads)
    values[[2, 5, 6]] = 10.0, 0.2, 0.1
    return values


@pytest.mark.parametrize("heads", [3, 4, 8, 9, 10, 11])
def test_fewer_than_twelve_heads_take_the_three_largest(heads: int) -> None:
    values = one_far_out(max(heads, 7))[-heads:]
    mask, threshold = active_heads(values, "2sd")
    assert mask.sum() == 3
    assert set(np.flatnonzero(mask)) == set(np.argsort(-values, kind="stable")[:3].tolist())
    assert threshold == np.sort(values)[-3]


@pytest.mark.parametrize("heads", [12, 13, 20])
def test_from_twelve_on_deviations_count(heads: int) -> None:
    values = one_far_out(heads)
    mask, threshold = active_heads(values, "2sd")
    assert np.flatnonzero(mask).tolist() == [2]
    mean = 10.3 / heads
    squares = (10 - mean) ** 2 + (0.2 - mean) ** 2 + (0.1 - mean) ** 2 + (heads - 3) * mean**2
    assert threshold == pytest.approx(mean + 2 * (squares / (heads - 1)) ** 0.5)


def test_no_head_of_few_could_lie_two_deviations_out() -> None:
    """The reason: with n heads no value lies more than (n - 1) / sqrt(n) deviations out.

    See method.md, section 4.
    """
    for heads in (3, 4, 5):
        values = np.zeros(heads)
        values[0] = 1.0
        assert (values[0] - values.mean()) / values.std(ddof=1) == pytest.approx((heads - 1) / heads**0.5)
        assert active_heads(values, "2sd")[0].sum() == 3


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rule", ["2sd", "top3"])
def test_the_threshold_is_one_of_attributions(tiny_model, rule, sign: int) -> None:
    """It stands beside attributions, which are not turned: active ones lie beyond it in firing direction."""
    for index in range(4):
        found = decompose(tiny_model("llama"), NeuronId(2, index), [random_row(12, index)], [11])[0]
        rows, threshold = attributions_of_heads(found, rule, sign)
        values = np.array([row.attribution for row in rows])
        assert values.tolist() == found.heads.ravel().tolist()
        if rule == "2sd":
            assert threshold == pytest.approx(values.mean() + sign * 2 * values.std(ddof=1))
            beyond = values > threshold if sign > 0 else values < threshold
        else:
            assert threshold == np.sort(values)[-3 if sign > 0 else 2]
            beyond = values >= threshold if sign > 0 else values <= threshold
        assert [row.active for row in rows] == beyond.tolist()
