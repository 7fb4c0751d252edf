"""Which neuron of one model is which of another, by correlation (method.md, section 13, Matching)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Matches(NamedTuple):
    """Of each neuron of a layer, [d_mlp] each.

    Attributes:
        match: the neuron of the other model whose correlation is largest, the smaller index on ties; -1 where
            none correlates.
        correlation: with it.
        mutual: whether this neuron is the other's match as well.
    """

    match: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]
    mutual: npt.NDArray[np.bool_]


def match_neurons(correlations: npt.NDArray[Any], *, either_sign: bool) -> Matches:
    """The best match of each row's neuron.

    Args:
        correlations: [neurons of the first, neurons of the second].
        either_sign: by size: a gated neuron does the same with what it reads and writes both flipped.
    """
    merit = np.abs(correlations) if either_sign else correlations
    every = np.arange(len(merit))
    best, back = merit.argmax(axis=1), merit.argmax(axis=0)
    matched = merit[every, best] > 0
    return Matches(
        np.where(matched, best, -1),
        np.where(matched, correlations[every, best], 0.0),
        matched & (back[best] == every),
    )
