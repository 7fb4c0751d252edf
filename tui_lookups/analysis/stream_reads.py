"""What reads each layer's writes on behalf of several readings, norms in between held (method.md, section 9).

1. In most families a reading reads what attention or the MLP of any layer below it writes with one vector,
   but for a norm that follows them.
2. In a Post-LN model the vector changes at every norm between the write and the read. All of them are gone
   through once, from the highest layer down.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tui_lookups.analysis.readings import Reading, through
from tui_lookups.model.held_norms import norm_at, norms_above_embedding
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model.wiring import NormName


class StreamReads:
    """The vectors of some readings, as they meet what each layer writes.

    Args:
        readings: one or more, each at a position of its own.
    """

    def __init__(self, text: TextPass, readings: Sequence[Reading]) -> None:
        self._text = text
        self._positions = [reading.position for reading in readings]
        self._reads = torch.stack([reading.vector for reading in readings], 1)
        self._constants = self._reads.new_zeros(len(readings))
        self._stages = [reading.stage for reading in readings]
        self._by_norm: dict[Point, tuple[Tensor, Tensor]] = {}
        if text.model.wiring.post_ln:
            self._go_down()

    def of(self, layer: int, writer: NormName, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What meets what attention ("ln1_post") or the MLP ("ln2_post") of a layer writes, of some readings
        that it reaches, [d_model, n]; and what the bias of the norm next to it adds, [n]."""
        some = list(columns)
        if not self._text.model.wiring.post_ln:
            at = [self._positions[column] for column in some]
            return through(self._text, self._reads[:, some], layer, writer, at, self._stages[some[0]])
        point = Point("ln2", layer) if writer == "ln1_post" else Point("ln1", layer + 1)
        reads, constants = self._by_norm.get(point, (self._reads, self._constants))
        return reads[:, some], constants[some]

    @property
    def of_embedding(self) -> Tensor:
        """What meets the embedding: [d_model, n]."""
        return self._by_norm.get(Point("ln2", 0), (self._reads, self._constants))[0]

    def _go_down(self) -> None:
        """Each norm's own vectors and constants; a reading that does not read through it keeps its vector."""
        model, reads = self._text.model, self._reads
        passed = [norms_above_embedding(model.wiring, stage) for stage in self._stages]
        highest = max(passed, key=len)
        for point in highest:
            some = [column for column, norms in enumerate(passed) if point in norms]
            norm = norm_at(model.wiring, point)
            at = torch.tensor([self._positions[column] for column in some], device=reads.device)
            reads, constants = reads.clone(), self._constants.clone()
            constants[some] = norm.constant(reads[:, some])
            reads[:, some] = norm.fold(reads[:, some]) / self._text.at(point, at).T
            self._by_norm[point] = reads, constants
