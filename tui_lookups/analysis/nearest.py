"""The neurons of other layers, or of another model, most like one neuron (method.md, section 2, Nearest).

1. Writes: the cosine of two rows of W_out as congruence takes them: after a norm behind the MLP, and centred
   where the final norm centres. One product of a matrix and a vector a layer, from the files alone.
2. Reads: the cosine of two columns of W_in with the norm before the MLP folded into them. A gated neuron is
   the product of what it reads with W_in and with its gate: so is the cosine of two. From the loaded model, a
   block of columns at a time.
3. Activations: Pearson's correlation over a corpus, the cosine of activations counted from their means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tui_lookups.analysis.congruence import Floats, best_first, own_tokens
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.file_weights import Writes
from tui_lookups.results import NearNeuron

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel

_BLOCK = 1024
"""Neurons whose read vectors are folded at once."""


def cosines_with_write(model: Writes, own: Floats, layer: int) -> Floats:
    """Of what each neuron of a layer writes with what one writes: [d_mlp]; 0 where nothing is.

    Args:
        own: what the one writes, of this model or another: [d_model].
    """
    return _cosines(model.toward(layer, own), model.lengths(layer) * np.linalg.norm(own))


def neuron_read(model: LookupModel, neuron: NeuronId) -> Floats:
    """What a neuron reads with, W_in first and then W_gate where there is one: [1 or 2, d_model]."""
    from tui_lookups.model.components import read_vectors

    return read_vectors(model, neuron.layer, [neuron.index])[:, :, 0]


def cosines_with_read(model: LookupModel, own: Floats, layer: int) -> Floats:
    """Of what each neuron of a layer reads with, with what one reads with: [d_mlp]; 0 where nothing is.

    Args:
        own: what the one reads with, of this model or another: see `neuron_read`.
    """
    from tui_lookups.model.components import read_vectors

    by_neuron = []
    every = range(model.info.d_mlp)
    for start in every[::_BLOCK]:
        block = read_vectors(model, layer, every[start : start + _BLOCK])  # [directions, d_model, n]
        lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(own, axis=1)[:, None]
        cosines = _cosines(np.einsum("rd,rdn->rn", own, block), lengths)
        by_neuron.append(cosines.prod(axis=0))
    return np.concatenate(by_neuron)


def nearest(
    model: Writes,
    neuron: NeuronId | None,
    layers: Sequence[int],
    cosines_of: Callable[[int], Floats],
    top: int,
    *,
    poll: Poll = no_poll,
) -> tuple[NearNeuron, ...]:
    """The `top` neurons of `layers` whose cosine is largest; ties by layer, index.

    Args:
        neuron: its own layer is left out; None where it is one of another model.
        cosines_of: a layer's: of writes, of reads, or of activations (scan/correlating.py).
    """
    others = [layer for layer in layers if neuron is None or layer != neuron.layer]
    rows = []
    for layer in others:
        poll()
        rows.append(cosines_of(layer))
    if not rows:
        return ()
    cosines = np.concatenate(rows)
    best = best_first(cosines, top)
    neurons = model.info.neurons_at(others, best)
    tokens = own_tokens(model, neurons)
    return tuple(
        NearNeuron(name, float(cosine), tokens[name])
        for name, cosine in zip(neurons, cosines[best], strict=True)
    )


def _cosines(products: Floats, lengths: Floats) -> Floats:
    return np.asarray(np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0))
