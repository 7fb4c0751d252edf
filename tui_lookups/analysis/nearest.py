"""The neurons of other layers that write, or read, most like one neuron (method.md, section 2, Nearest).

1. Writes: the cosine of two rows of W_out as congruence takes them: after a norm behind the MLP, and centred
   where the final norm centres. One product of a matrix and a vector a layer, from the files alone.
2. Reads: the cosine of two columns of W_in with the norm before the MLP folded into them. A gated neuron is
   the product of what it reads with W_in and with its gate: so is the cosine of two. From the loaded model, a
   block of columns at a time.
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


def write_cosines(model: Writes, neuron: NeuronId, layer: int) -> Floats:
    """Of what each neuron of a layer writes with what `neuron` writes: [d_mlp]; 0 where nothing is."""
    own = model.directions([neuron])[0]
    return _cosines(model.toward(layer, own), model.lengths(layer) * np.linalg.norm(own))


def read_cosines(model: LookupModel, neuron: NeuronId, layer: int) -> Floats:
    """Of what each neuron of a layer reads with what `neuron` reads: [d_mlp]; 0 where nothing is."""
    from tui_lookups.model.components import read_vectors

    own = read_vectors(model, neuron.layer, [neuron.index])[:, :, 0]
    found = []
    every = range(model.info.d_mlp)
    for start in every[::_BLOCK]:
        block = read_vectors(model, layer, every[start : start + _BLOCK])  # [directions, d_model, n]
        lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(own, axis=1)[:, None]
        cosines = _cosines(np.einsum("rd,rdn->rn", own, block), lengths)
        found.append(cosines.prod(axis=0))
    return np.concatenate(found)


def nearest(
    model: Writes,
    neuron: NeuronId,
    layers: Sequence[int],
    cosines_of: Callable[[int], Floats],
    top: int,
    *,
    poll: Poll = no_poll,
) -> tuple[NearNeuron, ...]:
    """The `top` neurons of `layers`, but for that of `neuron`, whose cosine is largest; ties by layer, index.

    `cosines_of` a layer are one of the two above.
    """
    others = [layer for layer in layers if layer != neuron.layer]
    rows = []
    for layer in others:
        poll()
        rows.append(cosines_of(layer))
    if not rows:
        return ()
    places = best_first(np.concatenate(rows), top)
    found = [model.info.neuron_id(others[int(p) // len(rows[0])], int(p) % len(rows[0])) for p in places]
    tokens = own_tokens(model, found)
    return tuple(
        NearNeuron(name, float(rows[int(p) // len(rows[0])][name.index]), tokens[name])
        for name, p in zip(found, places, strict=True)
    )


def _cosines(products: Floats, lengths: Floats) -> Floats:
    return np.asarray(np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0))
