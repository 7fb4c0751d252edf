"""Heads of several neurons: a row a head, a column a neuron, and a cursor on both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.state.orders import SHARED_HEADS, following, shared_in
from tui_lookups.tui.text.groups import part_of, part_words
from tui_lookups.tui.widgets.bindings import SORT_KEY, hidden
from tui_lookups.tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import HeadForNeuron, SharedHead
    from tui_lookups.tui.state.orders import SharedOrder
    from tui_lookups.tui.text.tsv import Table

_HEAD, _COUNT, _SUM, _NEURON = 9, 8, 8, 11
_FIRST = 1 + _HEAD + 2 * _COUNT + _SUM + 1
"""Cells before the first neuron's column."""


class SharedRows(RowList):
    """The heads in an order; `neuron` is the column that is gone on with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="shared.open", tooltip="Go to the head behind this neuron"),
        Binding(
            "left,h", "column(-1)", "neuron", id="shared.left", key_display="←→", tooltip="Neuron before"
        ),
        hidden("right,l", "column(1)", "neuron →", "shared.right", "Next neuron"),
        replace(SORT_KEY, tooltip="The heads by the next column"),
    ]
    THING = "head"

    class ColumnMoved(Message):
        """Another neuron's column is chosen."""

    def __init__(self, neurons: tuple[NeuronId, ...], column: int, order: SharedOrder, *, id: str) -> None:
        super().__init__(id=id)
        self.neurons = neurons
        self.column = column
        self.order: SharedOrder = order
        self._given: tuple[SharedHead, ...] = ()
        self.heads: tuple[SharedHead, ...] = ()

    def show_heads(self, heads: tuple[SharedHead, ...], head: HeadId | None = None) -> None:
        """Show these, the cursor on `head`, else on top."""
        self._given, self.heads = heads, shared_in(self.order, heads, self.neuron)
        self.rows_changed(next((place for place, row in enumerate(self.heads) if row.head == head), 0))

    @property
    def neuron(self) -> NeuronId:
        """The one whose column is chosen."""
        return self.neurons[self.column]

    @property
    def current(self) -> SharedHead | None:
        """The head under the cursor."""
        return self.heads[self.cursor] if self.heads else None

    def action_sort(self) -> None:
        self.order = following(SHARED_HEADS, self.order)
        self._arrange()

    def action_column(self, by: int) -> None:
        column = max(0, min(self.column + by, len(self.neurons) - 1))
        if column == self.column:
            self.show_end("neuron", by)
        else:
            self._choose(column)

    def _choose(self, column: int) -> None:
        self.column = column
        self._arrange()
        self.post_message(self.ColumnMoved())

    def _arrange(self) -> None:
        here = self.current
        self.show_heads(self._given, None if here is None else here.head)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and offset.x >= _FIRST:
            shown = self._shown(self.scrollable_content_region.width)
            column = (offset.x - _FIRST) // _NEURON
            if column < len(shown) and shown[column] != self.column:
                self._choose(shown[column])
        super().on_click(event)

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else str(self.current.head)

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

    # --- rows ---

    def row_count(self) -> int:
        return len(self.heads)

    def _shown(self, width: int) -> range:
        """The columns that fit, that of the chosen neuron among them."""
        room = max(1, (width - _FIRST) // _NEURON)
        first = max(0, min(self.column - room // 2, len(self.neurons) - room))
        return range(first, min(first + room, len(self.neurons)))

    def heading(self, width: int) -> list[Segment]:
        def titled(words: str, order: SharedOrder) -> str:
            return words + ("▾" if order == self.order else "")

        palette, shown = self.palette, self._shown(width)
        named = (
            f" {titled('head', 'head'):<{_HEAD}}{titled('active', 'active'):>{_COUNT}}{'serves':>{_COUNT}}"
            f"{titled('sum', 'sum'):>{_SUM}}{'‹' if shown.start else ' '}"
        )
        segments = [Segment(fit(named, min(width, _FIRST)), palette.heading)]
        for column in shown:
            chosen = column == self.column
            name = f"{self.neurons[column]}{'▾' if chosen and self.order == 'neuron' else ' '}"
            segments.append(Segment(f"{name:>{_NEURON}}", palette.strong if chosen else palette.heading))
        return [*segments, Segment("›" if shown.stop < len(self.neurons) else "", palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        head, palette = self.heads[index], self.palette
        style = palette.plain if head.shared else palette.dim
        active = f"{head.active_for}/{head.reaches}"
        segments = [
            Segment(f" {head.head!s:<{_HEAD}}{active:>{_COUNT}}{head.serves:>{_COUNT}}", style),
            Segment(f"{signed(head.attribution):>{_SUM}} ", style),
        ]
        for column in self._shown(width):
            words = part_words(part_of(head, self.neurons[column]))
            chosen = column == self.column
            segments.append(Segment(f"{words:>{_NEURON}}", palette.strong if chosen else style))
        return segments

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
