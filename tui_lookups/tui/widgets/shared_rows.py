"""Heads that several neurons share, each over its own prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.state.orders import SHARED_HEADS, shared_in
from tui_lookups.tui.text.groups import part_of, part_words
from tui_lookups.tui.widgets.heads_of_neurons import COUNT, HeadsOfNeurons

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadForNeuron, SharedHead
    from tui_lookups.tui.state.orders import SharedOrder
    from tui_lookups.tui.text.tsv import Table


class SharedRows(HeadsOfNeurons["SharedHead"]):
    """For how many each head is active and worth explaining, and its mean attributions."""

    ORDERS: ClassVar[tuple[SharedOrder, ...]] = SHARED_HEADS
    COUNTS = 2

    def ordered(self, heads: tuple[SharedHead, ...]) -> tuple[SharedHead, ...]:
        return shared_in(self.order, heads, self.neuron)

    def counts_heading(self) -> str:
        return f"{self.titled('active', 'active'):>{COUNT}}{'serves':>{COUNT}}"

    def counts(self, head: SharedHead) -> str:
        active = f"{head.active_for}/{head.reaches}"
        return f"{active:>{COUNT}}{head.serves:>{COUNT}}"

    def stands_out(self, head: SharedHead) -> bool:
        return head.shared

    def part_words(self, head: SharedHead, neuron: NeuronId) -> str:
        return part_words(part_of(head, neuron))

    def table(self) -> Table:
        names = (
            "head", "reaches", "active_for", "serves", "attribution", "mean_attribution",
            *map(str, self.neurons),
        )  # fmt: skip
        rows = (
            (
                str(head.head), head.reaches, head.active_for, head.serves, head.attribution,
                head.mean_attribution,
                *(None if part is None else part.mean_attribution for part in self._parts(head)),
            )
            for head in self.heads
        )  # fmt: skip
        return (names, *rows) if self.heads else ()

    def _parts(self, head: SharedHead) -> list[HeadForNeuron | None]:
        return [part_of(head, neuron) for neuron in self.neurons]

    def plain_row(self, index: int) -> str:
        head = self.heads[index]
        parts = [
            f"{part.neuron} {signed(part.mean_attribution)}{' active' if part.active else ''}"
            for part in head.neurons
        ]
        return (
            f"{head.head}, active for {head.active_for} of {head.reaches}, serves {head.serves}, sum "
            f"{signed(head.attribution)}: {', '.join(parts)}"
        )
