"""The tree of a trace: a node a line, its level by indentation, what it adds as a figure and a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_lookups.tui.paint.head_rows import percent, plain, signed
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit, fit_middle
from tui_lookups.tui.text.trace import row_name, token_at
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.tui.state.trace_tree import TraceRow, TraceTree

_LEFT = 15
"""Cells of what a row adds and of its share."""
_LEAST_BAR, _MOST_BAR = 6, 24
_LEAST_NAME, _TOKEN, _FIRED, _MORE = 16, 18, 9, 28
_WITH_FIRED, _WITH_MORE, _WITH_TEXT = 74, 110, 150
"""Cells from which a neuron's activation has room, the share of the node above and the pattern's weight, and
the text up to there."""
_MARKS = {True: "▾ ", False: "▸ "}


class TraceRows(RowList):
    """Rows of a `TraceTree`; what the keys ask of a node is told to the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open/close", id="trace.open", tooltip="Show what a node is the sum of"),
        Binding(
            "g", "go_on", "go on", id="trace.go-on", tooltip="Go on with this neuron or head on this text"
        ),
        hidden("right,l", "into", "open", "trace.into", "Open a node, or go to its largest part"),
        hidden("left,h", "out", "close", "trace.out", "Close a node, or go to the one above it"),
    ]

    class Asked(Message):
        """Something is wanted of the row under the cursor: its parts on screen, or no more; or to go on."""

        def __init__(self, what: str, row: TraceRow) -> None:
            super().__init__()
            self.what = what
            self.row = row

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._tree: TraceTree | None = None
        self._waiting: frozenset[str] = frozenset()

    def show_tree(self, tree: TraceTree, cursor: int | None = None) -> None:
        """Show the rows of a tree; the cursor stays on its row wherever that stands now."""
        held = self.current
        self._tree = tree
        if cursor is None and held is not None:
            cursor = self.place_of(held.node.id, rest=held.rest is not None)
        self.rows_changed(cursor)

    def show_waiting(self, names: frozenset[str]) -> None:
        """Mark the nodes that are being opened."""
        if names != self._waiting:
            self._waiting = names
            self.rows_changed()

    @property
    def rows(self) -> tuple[TraceRow, ...]:
        return () if self._tree is None else self._tree.rows

    @property
    def current(self) -> TraceRow | None:
        """The row under the cursor."""
        rows = self.rows
        return rows[min(self.cursor, len(rows) - 1)] if rows else None

    def place_of(self, name: str, *, rest: bool = False) -> int | None:
        """Where a node's row, or that of its rest, stands."""
        rows_of_node = (
            n for n, row in enumerate(self.rows) if row.node.id == name and (row.rest is not None) is rest
        )
        return next(rows_of_node, None)

    # --- what is told to the screen ---

    def action_open(self) -> None:
        row = self.current
        if row is not None:
            self.post_message(self.Asked("close" if row.is_open else "open", row))

    def action_into(self) -> None:
        row = self.current
        if row is not None and row.is_open:
            self.cursor += 1
        elif row is not None:
            self.post_message(self.Asked("open", row))

    def action_out(self) -> None:
        row = self.current
        if row is None:
            return
        if row.is_open and row.rest is None:
            self.post_message(self.Asked("close", row))
        elif row.above is not None:
            self.cursor = self.place_of(row.above.id) or 0

    def action_go_on(self) -> None:
        row = self.current
        if row is not None:
            self.post_message(self.Asked("go on", row))

    # --- what is painted ---

    def row_count(self) -> int:
        return len(self.rows)

    def table(self) -> Sequence[Sequence[str | float | None]]:
        """Every row with all its figures, the names of the columns first."""
        names = (
            "node", "level", "part", "position", "token", "contribution", "share", "activation", "weight",
        )  # fmt: skip
        return (names, *(self._cells(row) for row in self.rows)) if self.rows else ()

    def _cells(self, row: TraceRow) -> tuple[str | float | None, ...]:
        node, tree = row.node, self._tree
        assert tree is not None
        if row.rest is not None:
            return (node.id, row.level, row_name(row), None, None, row.contribution, None, None, None)
        text = tree.first.tokens[node.position].text
        return (
            node.id, row.level, row_name(row), node.position, text, row.contribution, node.share,
            node.activation, node.weight,
        )  # fmt: skip

    def _widths(self, width: int) -> tuple[int, int, int]:
        """Cells of the bar, of the name and of the text up to a node."""
        further = (_FIRED if width >= _WITH_FIRED else 0) + (_MORE if width >= _WITH_MORE else 0)
        room = width - _LEFT - _TOKEN - 1 - further
        needed = max((len(self._indented(row)) for row in self.rows), default=0) + 1
        name = max(_LEAST_NAME, min(needed, room - _LEAST_BAR))
        bar = max(_LEAST_BAR, min(_MOST_BAR, room - name))
        return bar, name, room - name - bar if width >= _WITH_TEXT else 0

    def _indented(self, row: TraceRow) -> str:
        mark = "  "
        if row.rest is None and row.node.openable:
            mark = "… " if row.node.id in self._waiting else _MARKS[row.is_open]
        return "  " * row.level + mark + row_name(row)

    def heading(self, width: int) -> list[Segment]:
        bar, name, text = self._widths(width)
        said = f"    adds share {'':<{bar}} {fit('  part', name)}{fit('at', _TOKEN)}"
        if width >= _WITH_FIRED:
            said += f"{'act.':>8} "
        if width >= _WITH_MORE:
            said += f"{'of the one above':>18}{'weight':>9} "
        said += fit("  the text up to there", text)
        return [Segment(fit(said, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette = self.rows[index], self.palette
        top = max(abs(row_shown.contribution) for row_shown in self.rows)
        bar, name, text = self._widths(width)
        style = palette.plain + palette.shade(level(row.contribution, top))
        share = "" if row.rest is not None or row.node.share is None else percent(row.node.share)
        words = fit(self._indented(row), name - 1) + " " + self._facts(row, width, text)
        return [  # few segments: each costs bytes
            Segment(f"{signed(row.contribution, 3):>8}", style),
            Segment(f"{share:>6} ", palette.plain),
            Segment(palette.bar_text(abs(row.contribution), top, bar), palette.bar),
            Segment(fit(" " + words, max(0, width - _LEFT - bar)), palette.plain),
        ]

    def _facts(self, row: TraceRow, width: int, room: int) -> str:
        node, tree = row.node, self._tree
        assert tree is not None
        rest = row.rest is not None
        said = fit("" if rest else token_at(tree.first.tokens, node), _TOKEN)
        if width >= _WITH_FIRED:
            said += f"{'' if rest or node.activation is None else plain(node.activation):>8} "
        if width >= _WITH_MORE:
            above = row.above
            of = percent(row.contribution / above.contribution) if above and above.contribution else ""
            weight = "" if rest or node.weight is None else plain(node.weight)
            said += f"{of:>18}{weight:>9} "
        if room and not rest:
            before = "".join(token.text for token in tree.first.tokens[: node.position + 1])
            end = visible(before[-4 * room :])
            said += "  " + fit_middle(end, room - 2, room - 3) if cell_len(end) > room - 2 else "  " + end
        return said

    def plain_row(self, index: int) -> str:
        row = self.rows[index]
        node, tree = row.node, self._tree
        assert tree is not None
        said = [f"level {row.level}", row_name(row), f"adds {signed(row.contribution, 3)}"]
        if row.rest is None:
            said.insert(2, f"at {token_at(tree.first.tokens, node)}")
            said += [] if node.share is None else [f"share {percent(node.share)}"]
            said += [] if node.activation is None else [f"activation {plain(node.activation)}"]
            said += [] if node.weight is None else [f"weight {plain(node.weight)}"]
            said += ["open"] if row.is_open else ["closed"] if node.openable else []
        return ", ".join(said)
