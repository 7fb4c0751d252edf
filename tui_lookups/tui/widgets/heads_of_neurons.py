"""Heads of several neurons: a row a head, a column a neuron, and a cursor on both."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.state.orders import following
from tui_lookups.tui.widgets.bindings import SORT_KEY, hidden
from tui_lookups.tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import SharedHead, SummedHead
    from tui_lookups.tui.state.orders import SharedOrder

H = TypeVar("H", bound="SharedHead | SummedHead")

HEAD, COUNT, SUM, NEURON = 9, 8, 8, 11
"""Cells of a column."""
_LEAST_BAR, _MOST_BAR = 8, 40


class HeadsOfNeurons(RowList, Generic[H]):
    """Heads in an order; `neuron` is the column that is gone on with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="shared.open", tooltip="Go to the head behind this neuron"),
        Binding(
            "left,h", "column(-1)", "neuron", id="shared.left", key_display="←→", tooltip="Neuron before"
        ),
        hidden("right,l", "column(1)", "neuron →", "shared.right", "Next neuron"),
        replace(SORT_KEY, tooltip="The heads by the next column"),
    ]
    THING = "head"
    ORDERS: ClassVar[tuple[SharedOrder, ...]]
    COUNTS: ClassVar[int]
    """Columns between a head's name and its sum."""

    class ColumnMoved(Message):
        """Another neuron's column is chosen."""

    def __init__(self, neurons: tuple[NeuronId, ...], column: int, order: SharedOrder, *, id: str) -> None:
        super().__init__(id=id)
        self.neurons = neurons
        self.column = column
        self.order: SharedOrder = order
        self._given: tuple[H, ...] = ()
        self.heads: tuple[H, ...] = ()
        self._largest = 0.0
        self._first = 1 + HEAD + COUNT * self.COUNTS + SUM + 1  # cells before the first neuron's column

    @abstractmethod
    def ordered(self, heads: tuple[H, ...]) -> tuple[H, ...]:
        """The heads in the order that is chosen."""

    @abstractmethod
    def counts_heading(self) -> str:
        """Over the columns between a head's name and its sum."""

    @abstractmethod
    def counts(self, head: H) -> str:
        """What is in these columns."""

    @abstractmethod
    def stands_out(self, head: H) -> bool:
        """Whether the row is not dimmed."""

    @abstractmethod
    def part_words(self, head: H, neuron: NeuronId) -> str:
        """The figure in a neuron's column; empty where the head does not reach it."""

    def show_heads(self, heads: tuple[H, ...], head: HeadId | None = None) -> None:
        """Show these, the cursor on `head`, else on top."""
        self._given, self.heads = heads, self.ordered(heads)
        self._largest = max((abs(row.attribution) for row in heads), default=0.0)
        self.rows_changed(next((number for number, row in enumerate(self.heads) if row.head == head), 0))

    @property
    def neuron(self) -> NeuronId:
        """The one whose column is chosen."""
        return self.neurons[self.column]

    @property
    def current(self) -> H | None:
        """The head under the cursor."""
        return self.heads[self.cursor] if self.heads else None

    def action_sort(self) -> None:
        self.order = following(self.ORDERS, self.order)
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
        if offset is not None and offset.x >= self._first:
            shown = self._shown(self.scrollable_content_region.width)
            column = (offset.x - self._first) // NEURON
            if column < len(shown) and shown[column] != self.column:
                self._choose(shown[column])
        super().on_click(event)

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else str(self.current.head)

    # --- rows ---

    def row_count(self) -> int:
        return len(self.heads)

    def _shown(self, width: int) -> range:
        """The columns that fit, that of the chosen neuron among them."""
        room = max(1, (width - self._first) // NEURON)
        first = max(0, min(self.column - room // 2, len(self.neurons) - room))
        return range(first, min(first + room, len(self.neurons)))

    def titled(self, words: str, order: SharedOrder) -> str:
        """A heading, marked where the rows are in its order."""
        return words + ("▾" if order == self.order else "")

    def heading(self, width: int) -> list[Segment]:
        palette, shown = self.palette, self._shown(width)
        named = (
            f" {self.titled('head', 'head'):<{HEAD}}{self.counts_heading()}"
            f"{self.titled('sum', 'sum'):>{SUM}}{'‹' if shown.start else ' '}"
        )
        segments = [Segment(fit(named, min(width, self._first)), palette.heading)]
        for column in shown:
            chosen = column == self.column
            name = f"{self.neurons[column]}{'▾' if chosen and self.order == 'neuron' else ' '}"
            segments.append(Segment(f"{name:>{NEURON}}", palette.strong if chosen else palette.heading))
        return [*segments, Segment("›" if shown.stop < len(self.neurons) else "", palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        head, palette = self.heads[index], self.palette
        style = palette.plain if self.stands_out(head) else palette.dim
        named = f" {head.head!s:<{HEAD}}{self.counts(head)}{signed(head.attribution):>{SUM}} "
        segments = [Segment(named, style)]
        for column in self._shown(width):
            words = self.part_words(head, self.neurons[column])
            chosen = column == self.column
            segments.append(Segment(f"{words:>{NEURON}}", palette.strong if chosen else style))
        return [*segments, self._bar(head, width)]

    def _bar(self, head: H, width: int) -> Segment:
        """The size of the sum, where every neuron's column leaves room for it."""
        room = min(_MOST_BAR, width - self._first - NEURON * len(self.neurons) - 3)
        if room < _LEAST_BAR:
            return Segment("")
        text = self.palette.bar_text(abs(head.attribution), self._largest, room)
        return Segment(f"  {text}", self.palette.bar)
