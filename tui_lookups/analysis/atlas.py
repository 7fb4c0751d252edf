"""The atlas: a model's next-token neurons, layer by layer (method.md, section 2). NumPy only.

1. `Extremes` is what one pass over a layer leaves (layer_extremes.py): per neuron its largest and
   smallest congruence with their tokens, per token its largest and smallest over the layer's neurons.
   It depends on the model alone, so that other filters, signs and counts need no model.
2. `token_filter` says which tokens count: those the paper counts, less a person's reject list.
3. `next_token_neurons` takes the layer's K neurons of largest s whose top token counts.
4. `home_layers` counts, for every token that counts, the layer of its neuron of largest congruence.

Sign. "+" reads a neuron as W_out, "-" as -W_out, "both" as whichever of the two has the larger s; a neuron
read flipped keeps the sign of its congruence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tui_lookups.model.file_weights import Extremes
from tui_lookups.results import Sign

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


def token_filter(
    texts: Sequence[str], special_ids: Collection[int], rejected: Collection[int], d_vocab: int
) -> Bools:
    """Which tokens count: [d_vocab].

    The paper's filters: the token begins with a space and is longer than one letter after it (spaces after
    the first are no letters); glitch tokens go by hand (`rejected`). Special tokens and rows of the
    unembedding that no token has never count.
    """
    mask = np.zeros(d_vocab, dtype=np.bool_)
    for token_id, text in enumerate(texts[:d_vocab]):
        mask[token_id] = text.startswith(" ") and len(text.strip()) > 1
    excluded = [token_id for token_id in (*special_ids, *rejected) if token_id < d_vocab]
    mask[excluded] = False
    return mask


@dataclass(frozen=True, slots=True)
class TopNeuron:
    """Neuron `index` of a layer; `congruence` is negative where it was read flipped."""

    index: int
    token_id: int
    congruence: float


def next_token_neurons(extremes: Extremes, counts: Bools, sign: Sign, per_layer: int) -> list[TopNeuron]:
    """The `per_layer` neurons of largest s whose top token counts, best first; ties by index."""
    flipped = -extremes.smallest
    if sign == "+":
        read_flipped = np.zeros(len(flipped), dtype=np.bool_)
    elif sign == "-":
        read_flipped = np.ones(len(flipped), dtype=np.bool_)
    else:
        read_flipped = flipped > extremes.largest
    s = np.where(read_flipped, flipped, extremes.largest)
    ids = np.where(read_flipped, extremes.smallest_ids, extremes.largest_ids)
    passing = np.flatnonzero(counts[ids])
    best = passing[np.argsort(-s[passing], kind="stable")][:per_layer]
    return [TopNeuron(int(i), int(ids[i]), float(-s[i] if read_flipped[i] else s[i])) for i in best]


def home_layers(layers: Sequence[Extremes], counts: Bools, sign: Sign) -> list[int]:
    """Per layer, how many tokens that count have their best neuron there; ties go to the earlier layer."""
    best = np.full(len(counts), -np.inf)
    home = np.zeros(len(counts), dtype=np.int64)
    for slot, extremes in enumerate(layers):
        flipped = -extremes.token_smallest
        strength = (
            extremes.token_largest
            if sign == "+"
            else flipped
            if sign == "-"
            else np.maximum(extremes.token_largest, flipped)
        )
        better = strength > best
        home[better] = slot
        best[better] = strength[better]
    return [int(count) for count in np.bincount(home[counts], minlength=len(layers))]
