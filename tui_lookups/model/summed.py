"""What every component contributes to readers of one text's residual stream, summed over its positions.

See method.md, sections 9 and 10. A reader here is a vector for each position, so that what reads the stream at
one position (a query, a source token) and what compares several (a key with the other keys) are the same sum.

1. A pass shows what each component writes with, layer by layer, at all the positions asked for.
2. It is multiplied with the vectors there and summed at once: nothing of the size of positions x d_mlp x layers
   is kept.
3. What is written through a norm after attention or after the MLP is read through it, its scale held at each
   position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tui_lookups.errors import Poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Hook, Point
from tui_lookups.model.wiring import NormName


@dataclass(frozen=True, eq=False)
class Summed:
    """What components contribute to n readers, in double precision, on the processor.

    Attributes:
        heads: [n, layers, n_heads].
        mlps: what the neurons of a layer contribute together, [n, layers].
        neurons: [n, layers, d_mlp]; None where they were not asked for.
        embedding, attention_biases, mlp_biases: [n]. Value biases count among those of attention.
    """

    heads: Tensor
    mlps: Tensor
    neurons: Tensor | None
    embedding: Tensor
    attention_biases: Tensor
    mlp_biases: Tensor
