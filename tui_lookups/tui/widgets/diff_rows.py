"""Neurons of two models: how their weights moved, or how their activations over the corpus changed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.results import ChangedNeuron, MovedNeuron, SelectedNeuron
from tui_lookups.tui.paint.head_rows import plain
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.state.orders import (
    CHANGED,
    MOVED,
    ChangedOrder,
    MovedOrder,
    changed_in,
    following,
    moved_in,
)
from tui_lookups.tui.text.diff import cosine_text, ratio_text
from tui_lookups.tui.widgets.bindings import SORT_KEY
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import MovedVector
    from tui_lookups.tui.text.tsv import Table

N = TypeVar("N", MovedNeuron, ChangedNeuron)
O = TypeVar("O", MovedOrder, ChangedOrder)  # noqa: E741

_NEURON, _SIZE, _FIGURE = 11, 8, 9
_BAR, _TOKEN, _LEAST_TOKEN = 16, 24, 10
_NARROW, _WIDE = 72, 120
"""Cells that have room for how lengths grew; for a bar, and what a gated neuron reads with its gate."""


class _DiffRows(RowList, Generic[N, O]):
    """What both lists share: the rows in an order, a size with its bar, the top token before and after."""

    THING = "neuron"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "in both", id="diff.open", tooltip="The neuron in both models"),
        replace(SORT_KEY, tooltip="The list by its next column"),
    ]
    ORDERS: ClassVar[tuple[Any, ...]]
    TITLES: ClassVar[dict[str, str]]
    """Of the columns that the list can go by, the neuron and the amount first."""

    def __init__(self, order: O, *, id: str) -> None:
        super().__init__(id=id)
        self.order: O = order
        self._given: tuple[N, ...] = ()
        self.neurons: tuple[N, ...] = ()
        self._largest = 0.0

    def show_neurons(self, neurons: tuple[N, ...], neuron: NeuronId | None = None) -> None:
        """Show these, the cursor on `neuron` where it is one of them, else on top."""
        self._given, self.neurons = neurons, self._ordered(neurons)
        self._largest = max(map(self._amount, neurons), default=0.0)
        self.rows_changed(next((n for n, row in enumerate(self.neurons) if row.neuron == neuron), 0))

    @property
    def current(self) -> N | None:
        """The neuron under the cursor."""
        return self.neurons[self.cursor] if self.neurons else None

    def marked_item(self) -> SelectedNeuron | None:
        """What marking would mark here."""
        row = self.current
        return None if row is None else SelectedNeuron(row.neuron, row.top_token_before)

    def action_sort(self) -> None:
        here, self.order = self.current, following(self.ORDERS, self.order)
        self.show_neurons(self._given, None if here is None else here.neuron)

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else str(self.current.neuron)

    def row_count(self) -> int:
        return len(self.neurons)

    # --- what a list says of its own ---

    @abstractmethod
    def _ordered(self, neurons: tuple[N, ...]) -> tuple[N, ...]:
        """The neurons in the order that is chosen."""

    @staticmethod
    @abstractmethod
    def _amount(row: N) -> float:
        """What the bar shows."""

    @abstractmethod
    def _figures(self, row: N, width: int) -> str:
        """What stands between the bar and the tokens."""

    @abstractmethod
    def _figures_heading(self, width: int) -> str:
        """Over these figures."""

    # --- painting ---

    def _title(self, column: str) -> str:
        """A column's name, marked where the rows go by it."""
        return self.TITLES[column] + ("▾" if column == self.order else "")

    def _token_width(self, width: int, figures: str) -> int:
        """Cells of each of the two tokens."""
        left = width - 2 - _NEURON - _SIZE - 1 - (_BAR if width >= _WIDE else 0) - len(figures) - 2
        return min(_TOKEN, max(_LEAST_TOKEN, (left - 1) // 2))

    def heading(self, width: int) -> list[Segment]:
        figures, bar = self._figures_heading(width), " " * _BAR if width >= _WIDE else ""
        token = self._token_width(width, figures)
        name, amount = (self._title(column) for column in [*self.TITLES][:2])
        text = f"  {name:<{_NEURON}}{amount:>{_SIZE}} {bar}{figures}  {'top token':<{token}} after"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette = self.neurons[index], self.palette
        figures, bar = self._figures(row, width), _BAR if width >= _WIDE else 0
        token = self._token_width(width, figures)
        before, after = (visible_token(each.text) for each in (row.top_token_before, row.top_token_after))
        mark = "●" if row.neuron in self._marked else " "
        return [
            Segment(f"{mark} ", palette.accent),
            Segment(f"{row.neuron!s:<{_NEURON}}{self._amount(row):>{_SIZE}.4f} ", palette.plain),
            Segment(palette.bar_text(self._amount(row), self._largest, bar), palette.bar),
            Segment(f"{figures}  ", palette.plain),
            Segment(f"{fit(before, token)} ", palette.strong),
            Segment(fit(after, token), palette.dim if before == after else palette.strong),
        ]

    def _tokens(self, row: N) -> str:
        """Both top tokens in words, and whether the row is marked."""
        before, after = quoted(row.top_token_before.text), quoted(row.top_token_after.text)
        said = f"top token {before} in both" if before == after else f"top token {before}, then {after}"
        return said + (", marked" if row.neuron in self._marked else "")


class MovedRows(_DiffRows[MovedNeuron, MovedOrder]):
    """By weights: how far it moved; of what it writes and reads the cosine, and how its length grew."""

    ORDERS: ClassVar[tuple[MovedOrder, ...]] = MOVED
    TITLES: ClassVar[dict[str, str]] = {
        "neuron": "neuron", "moved": "moved", "write": "write", "read": "read",
    }  # fmt: skip

    def _ordered(self, neurons: tuple[MovedNeuron, ...]) -> tuple[MovedNeuron, ...]:
        return moved_in(self.order, neurons)

    @staticmethod
    def _amount(row: MovedNeuron) -> float:
        return row.moved

    def _kinds(self, width: int) -> tuple[str, ...]:
        gated = any(row.gate is not None for row in self._given)
        return ("write", "read", "gate") if gated and width >= _WIDE else ("write", "read")

    def _figures_heading(self, width: int) -> str:
        titles = (self._title(kind) if kind in self.TITLES else kind for kind in self._kinds(width))
        length = f"{'length':>{_FIGURE}}" if width >= _NARROW else ""
        return "".join(f"{title:>{_FIGURE}}{length}" for title in titles)

    def _figures(self, row: MovedNeuron, width: int) -> str:
        vectors = [_vectors(row)[kind] for kind in self._kinds(width)]
        cells = [
            (cosine_text(vector.cosine), ratio_text(vector) if width >= _NARROW else None)
            for vector in vectors
        ]
        return "".join(f"{cell:>{_FIGURE}}" for pair in cells for cell in pair if cell is not None)

    def table(self) -> Table:
        kinds = [*_vectors(self.neurons[0])] if self.neurons else []
        names = [
            f"{kind}_{what}" for kind in kinds for what in ("change", "cosine", "norm_before", "norm_after")
        ]
        rows = [
            (
                str(row.neuron),
                row.moved,
                *(
                    value
                    for vector in _vectors(row).values()
                    for value in (vector.change, vector.cosine, vector.norm_before, vector.norm_after)
                ),
                row.top_token_before.text,
                row.top_token_after.text,
            )
            for row in self.neurons
        ]
        return (("neuron", "moved", *names, "top_token_before", "top_token_after"), *rows) if rows else ()

    def plain_row(self, index: int) -> str:
        row = self.neurons[index]
        said = ", ".join(
            f"{kind} cosine {cosine_text(vector.cosine)}, length {ratio_text(vector)}"
            for kind, vector in _vectors(row).items()
        )
        return f"{row.neuron}, moved {row.moved:.4f}, {said}, {self._tokens(row)}"


class ChangedRows(_DiffRows[ChangedNeuron, ChangedOrder]):
    """By activations over the corpus: their change, correlation, and the peak in each model."""

    ORDERS: ClassVar[tuple[ChangedOrder, ...]] = CHANGED
    TITLES: ClassVar[dict[str, str]] = {
        "neuron": "neuron", "change": "change", "correlation": "correl.", "peak": "peak",
    }  # fmt: skip

    def _ordered(self, neurons: tuple[ChangedNeuron, ...]) -> tuple[ChangedNeuron, ...]:
        return changed_in(self.order, neurons)

    @staticmethod
    def _amount(row: ChangedNeuron) -> float:
        return row.change

    def _figures_heading(self, width: int) -> str:
        correlation, peak = self._title("correlation"), self._title("peak")
        return f"{correlation:>{_FIGURE}}{peak:>{_FIGURE}}{'after':>{_FIGURE}}"

    def _figures(self, row: ChangedNeuron, width: int) -> str:
        peaks = f"{plain(row.peak_before):>{_FIGURE}}{plain(row.peak_after):>{_FIGURE}}"
        return f"{cosine_text(row.correlation):>{_FIGURE}}{peaks}"

    def table(self) -> Table:
        names = (
            "neuron", "change", "correlation", "peak_before", "peak_after", "top_token_before",
            "top_token_after",
        )  # fmt: skip
        rows = [
            (
                str(row.neuron), row.change, row.correlation, row.peak_before, row.peak_after,
                row.top_token_before.text, row.top_token_after.text,
            )
            for row in self.neurons
        ]  # fmt: skip
        return (names, *rows) if rows else ()

    def plain_row(self, index: int) -> str:
        row = self.neurons[index]
        return (
            f"{row.neuron}, change {row.change:.4f}, correlation {cosine_text(row.correlation)},"
            f" peak {plain(row.peak_before)}, then {plain(row.peak_after)}, {self._tokens(row)}"
        )


def _vectors(row: MovedNeuron) -> dict[str, MovedVector]:
    """What a neuron writes and reads, by name."""
    vectors = {"write": row.write, "read": row.read}
    return vectors if row.gate is None else vectors | {"gate": row.gate}
