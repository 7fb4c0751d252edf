"""Heads and the sum of several neurons, at one place of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.state.orders import SUMMED_HEADS, summed_in
from tui_lookups.tui.text.groups import in_sum
from tui_lookups.tui.widgets.heads_of_neurons import COUNT, HeadsOfNeurons

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import SummedHead
    from tui_lookups.tui.state.orders import SharedOrder
    from tui_lookups.tui.text.tsv import Table


class SummedRows(HeadsOfNeurons["SummedHead"]):
    """Each head's attribution to the sum, and to each neuron."""

    ORDERS: ClassVar[tuple[SharedOrder, ...]] = SUMMED_HEADS
    COUNTS = 1

    def ordered(self, heads: tuple[SummedHead, ...]) -> tuple[SummedHead, ...]:
        return summed_in(self.order, heads, self.neuron)

    def counts_heading(self) -> str:
        return f"{'':>{COUNT}}"

    def counts(self, head: SummedHead) -> str:
        return f"{'active' if head.active else '':>{COUNT}}"

    def stands_out(self, head: SummedHead) -> bool:
        return head.active

    def part_words(self, head: SummedHead, neuron: NeuronId) -> str:
        value = in_sum(head, neuron)
        return "" if value is None else f"{signed(value)} "

    def table(self) -> Table:
        names = ("head", "attribution", "active", *map(str, self.neurons))
        rows = (
            (str(head.head), head.attribution, head.active, *(in_sum(head, n) for n in self.neurons))
            for head in self.heads
        )
        return (names, *rows) if self.heads else ()

    def plain_row(self, index: int) -> str:
        head = self.heads[index]
        parts = ", ".join(f"{part.neuron} {signed(part.attribution)}" for part in head.neurons)
        active = ", active" if head.active else ""
        return f"{head.head}{active}, sum {signed(head.attribution)}: {parts}"
