"""The help screen: made from the bindings of the pane that had the focus, and narrowed by what is typed.

1. A row stays where every word that is typed is in its keys, its description or the name of its action.
2. Rows whose key is what is typed come first: "s" is in most descriptions.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events, on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.hints import unique
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.typed_line import TypedLine

_WHERE = {
    "detail": "Head",
    "head": "The chosen head",
    "explained": "Explanations",
    "all-heads": "All heads in words",
    "served-by": "A head's side",
    "serves": "Layers x heads",
    "shared": "Heads of marked neurons",
    "diff": "Two models",
    "token": "Token box",
    "list": "Lists",
    "walk": "Anywhere on the walk",
    "app": "Anywhere",
}


_MOST_KEYS = 20
_LEAST_WORDS = 12

Row = tuple[str, str, str]
"""Keys, what they do and the name of the action; a row without keys begins a group."""


def narrowed(rows: tuple[Row, ...], typed: str) -> tuple[Row, ...]:
    """Of `rows` those that `typed` is about, under the headings of their groups."""
    wanted = typed.casefold().split()
    by_key = tuple(row for row in rows if typed.strip() in row[0].split())
    rows_left: list[Row] = [("", f"The key {typed.strip()}", ""), *by_key] if by_key else []
    heading: Row | None = None
    for row in rows:
        if not row[2]:
            heading = row
        elif all(word in " ".join(row).casefold() for word in wanted) and row not in by_key:
            rows_left += [row] if heading is None else [heading, row]
            heading = None
    return tuple(rows_left)


class KeyRows(RowList):
    """Keys, what they do and the name of the action, grouped by where they work.

    What does not fit goes on in the next row: nothing is cut. Columns are as wide as all rows need, also
    where only some of them are shown.
    """

    DEFAULT_CSS = "KeyRows { scrollbar-gutter: stable; }"

    def __init__(self, rows: tuple[Row, ...], *, id: str) -> None:
        super().__init__(id=id)
        self._rows = rows
        self._lines = rows
        widest = max((cell_len(keys) for keys, _, _ in rows), default=0)
        self._keys_width = min(_MOST_KEYS, widest + 3)  # two cells of indentation, and one between
        self._name_width = max((cell_len(name) for _, _, name in rows), default=0) + 1

    def on_resize(self) -> None:
        super().on_resize()
        self._lay_out()

    def show_rows(self, rows: tuple[Row, ...]) -> None:
        """Show only these."""
        self._rows = rows
        self._lay_out()

    def _lay_out(self) -> None:
        room = self.scrollable_content_region.width - self._keys_width - self._name_width
        lines = tuple(line for row in self._rows for line in self._wrapped(row, max(_LEAST_WORDS, room)))
        if lines != self._lines:
            self._lines = lines
            self.rows_changed(0)

    def _wrapped(self, row: Row, room: int) -> list[Row]:
        keys, what, name = row
        if not name:
            return [row]
        columns = (wrap(keys, self._keys_width - 3), wrap(what, room - 1), [name])
        return list(zip_longest(*columns, fillvalue=""))

    def on_mount(self) -> None:
        self.rows_changed(0)

    def row_count(self) -> int:
        return len(self._lines)

    def row(self, index: int, width: int) -> list[Segment]:
        keys, what, name = self._lines[index]
        if self._lines[index] in self._rows and not name:
            return [Segment(fit(what, width), self.palette.accent)]
        return [
            Segment(fit("  " + keys, self._keys_width), self.palette.strong),
            Segment(fit(what, max(0, width - self._keys_width - self._name_width)), self.palette.plain),
            Segment(fit(name, self._name_width), self.palette.dim),
        ]

    def action_page(self, by: int) -> None:
        """A page is scrolled at once: the cursor is only where the reading stands."""
        page = max(1, self.size.height - 1)
        top = max(0, min(self.scroll_offset.y + by * page, self.row_count() - self.size.height))
        if top == self.scroll_offset.y:
            self.action_edge(0 if by < 0 else -1)
            return
        self.scroll_to(y=top, animate=False, immediate=True, force=True)
        self.cursor = top if by < 0 else top + self.size.height - 1


class HelpLine(TypedLine):
    """What is typed narrows the rows below; its arrows move in them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        hidden("down", "screen.row('move', 1)", "down", "help.down", "The row below"),
        hidden("up", "screen.row('move', -1)", "up", "help.up", "The row above"),
        hidden("pagedown", "screen.row('page', 1)", "page down", "help.page-down", "A page down"),
        hidden("pageup", "screen.row('page', -1)", "page up", "help.page-up", "A page up"),
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """While nothing is typed, the key that opened the help closes it."""
        typed = super().check_consume_key(key, character)
        return typed and (bool(self.value) or key != "question_mark")

    async def _on_key(self, event: events.Key) -> None:
        if event.is_printable and not self.check_consume_key(event.key, event.character):
            event.prevent_default()  # it is not typed


class HelpScreen(LeavesOnce, ModalScreen[None]):
    """Every key that works where the focus was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,q,question_mark",
            "close",
            "close",
            id="help.close",
            tooltip="All keys again, then back to the walk",
        ),
    ]
    AUTO_FOCUS = "#help-line"

    def __init__(self, bindings: dict[str, ActiveBinding]) -> None:
        super().__init__()
        self._active = bindings

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Keys"
            close = key_of(self.app, "help.close")
            dialog.border_subtitle = Content(
                f"{close} closes; names on the right are for [keys] in config.toml"
            )
            yield HelpLine(
                placeholder="type to narrow: a key, a name, words",
                id="help-line",
                compact=True,
                select_on_focus=False,
            )
            yield KeyRows(self._named_rows(), id="keys")

    def on_mount(self) -> None:
        rows = self.query_one(KeyRows)
        rows.show_empty(f"No key is for that.\n{key_of(self.app, 'help.close')} shows all of them again.")
        if rows.plain:  # a screen reader follows the terminal's cursor, from row to row
            rows.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one(KeyRows).show_rows(narrowed(self._named_rows(), event.value))

    def on_key(self, event: events.Key) -> None:
        """What is typed at the rows is for the line."""
        line = self.query_one(HelpLine)
        if event.is_printable and event.character and not line.has_focus:
            line.focus()
            line.insert_text_at_cursor(event.character)

    def action_row(self, how: str, by: int) -> None:
        rows = self.query_one(KeyRows)
        (rows.action_move if how == "move" else rows.action_page)(by)

    def action_close(self) -> None:
        line = self.query_one(HelpLine)
        if line.value:
            line.value = ""
        else:
            self.dismiss(None)

    def rows(self) -> tuple[tuple[str, str], ...]:
        """(keys, what they do); a row without keys begins a group."""
        return tuple((keys, what) for keys, what, _ in self._named_rows())

    def _named_rows(self) -> tuple[Row, ...]:
        groups: dict[str, list[Row]] = {}
        for active in unique(self._active):
            binding = active.binding
            if not binding.id or not binding.tooltip:
                continue
            where = binding.id.partition(".")[0]
            row = (self._keys(active), binding.tooltip, binding.id)
            groups.setdefault(_WHERE.get(where, where.capitalize()), []).append(row)
        rows: list[Row] = []
        for title, entries in groups.items():
            rows.append(("", title, ""))
            rows.extend(entries)
        return tuple(rows)

    def _keys(self, active: ActiveBinding) -> str:
        """Every key that leads to the binding where the focus was."""
        same = [
            self.app.get_key_display(replace(other.binding, key_display=None))
            for other in self._active.values()
            if other.binding.id == active.binding.id
        ]
        return " ".join(dict.fromkeys(same))
