"""Figures of a joint pass of two models (scan/joint.py): see method.md, section 13."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.results import Sign

Doubles = npt.NDArray[np.float64]


def correlations(moments: Doubles) -> Doubles:
    """Pearson's, from the moments [3, 2, d_mlp] of before, after and their difference: [d_mlp].

    NaN where one of the two is constant.
    """
    before, after, difference = moments[:, 1]
    both = np.sqrt(before * after)
    quotients = (before + after - difference) / np.where(both > 0, 2 * both, np.nan)
    return np.asarray(quotients.clip(-1, 1))


def activation_changes(moments: Doubles) -> Doubles:
    """The root mean square of the difference over that of the activation before, [d_mlp]; or, where that is
    less, over that of the layer."""
    squares = moments[:, 0] ** 2 + moments[:, 1]
    before, after, difference = squares
    typical = before.mean() or after.mean() or 1
    return np.asarray(np.sqrt(difference / np.maximum(before, typical)))


def peak_of(values: npt.NDArray[Any], sign: Sign) -> tuple[int, float]:
    """Which of both signs a neuron's peak is of, and the activation there.

    Args:
        values: [2], the largest a and the largest -a.
    """
    which = 1 if sign == "-" or (sign == "both" and values[1] > values[0]) else 0
    return which, float(values[which]) * (1, -1)[which]
