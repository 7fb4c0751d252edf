"""The help screen: made from the bindings of the pane that had the focus."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import unique
from tui_lookups.tui.widgets.row_list import RowList

_WHERE = {
    "detail": "Head",
    "head": "The chosen head",
    "explained": "Explanations",
    "all-heads": "All heads in words",
    "served-by": "A head's side",
    "serves": "Layers x heads",
    "token": "Token box",
    "list": "Lists",
    "walk": "Anywhere on the walk",
    "app": "Anywhere",
}


_MOST_KEYS = 20
_LEAST_WORDS = 12


class KeyRows(RowList):
    """Keys, what they do and the name of the action, grouped by where they work.

    What does not fit goes on in the next row: nothing is cut.
    """

    def __init__(self, rows: tuple[tuple[str, str, str], ...], *, id: str) -> None:
        super().__init__(id=id)
        self._rows = rows
        self._lines = rows
        widest = max((cell_len(keys) for keys, _, _ in rows), default=0)
        self._keys_width = min(_MOST_KEYS, widest + 3)  # two cells of indentation, and one between
        self._name_width = max((cell_len(name) for _, _, name in rows), default=0) + 1

    def on_resize(self) -> None:
        super().on_resize()
        room = self.scrollable_content_region.width - self._keys_width - self._name_width
        lines = tuple(line for row in self._rows for line in self._wrapped(row, max(_LEAST_WORDS, room)))
        if lines != self._lines:
            self._lines = lines
            self.rows_changed(0)

    def _wrapped(self, row: tuple[str, str, str], room: int) -> list[tuple[str, str, str]]:
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


class HelpScreen(LeavesOnce, ModalScreen[None]):
    """Every key that works where the focus was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "close", id="help.close", tooltip="Back to the walk"),
    ]

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
            rows = self._named_rows()
            yield KeyRows(rows, id="keys")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """(keys, what they do); a row without keys begins a group."""
        return tuple((keys, what) for keys, what, _ in self._named_rows())

    def _named_rows(self) -> tuple[tuple[str, str, str], ...]:
        groups: dict[str, list[tuple[str, str, str]]] = {}
        for active in unique(self._active):
            binding = active.binding
            if not binding.id or not binding.tooltip:
                continue
            where = binding.id.partition(".")[0]
            row = (self._keys(active), binding.tooltip, binding.id)
            groups.setdefault(_WHERE.get(where, where.capitalize()), []).append(row)
        rows: list[tuple[str, str, str]] = []
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
