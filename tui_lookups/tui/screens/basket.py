"""The basket: what is marked and noted, to look through, to write on and to take out."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_lookups.results import Item, Selection
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state import basket
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.marked import describe
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.visible import visible

_KIND = 10


class BasketRows(RowList):
    """One row a marked thing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="basket.open", tooltip="Go to it on the walk"),
    ]

    def __init__(self, selection: Selection, *, id: str) -> None:
        super().__init__(id=id)
        self._selection = selection
        self.items = selection.items

    def on_mount(self) -> None:
        self.show_empty(
            f"Nothing is marked.\n{key_of(self.app, 'walk.mark')} marks what is under the cursor."
        )
        self.rows_changed(0)

    def take(self, selection: Selection) -> None:
        """Show another basket."""
        self._selection, self.items = selection, selection.items
        self.rows_changed()

    def row_count(self) -> int:
        return len(self.items)

    def row(self, index: int, width: int) -> list[Segment]:
        item = self.items[index]
        kind, text = describe(item)
        note = self._selection.note_on(item)
        said = "" if note is None else f"  “{visible(note.text)}”"
        room = max(0, width - _KIND - cell_len(text))
        return [
            Segment(f" {kind:<{_KIND - 1}}", self.palette.dim),
            Segment(fit(text, min(width - _KIND, cell_len(text))), self.palette.plain),
            Segment(fit(said, room), self.palette.strong),
        ]


class BasketScreen(LeavesOnce, ModalScreen[Item]):
    """Shows the basket of the app and changes it; returns what is to be opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,b,q", "close", "close", id="basket.close", tooltip="Back to the walk"),
        Binding("n,comma", "note", "note", id="basket.note", tooltip="Write a note on the row"),
        Binding("d,delete,space", "remove", "remove", id="basket.remove", tooltip="Take the row out"),
        hidden("c", "clear", "clear", "basket.clear", "Take everything out"),
        Binding("u", "app.undo", "undo", id="basket.undo", tooltip="Take the last step back"),
        hidden("asterisk", "app.redo", "redo", "basket.redo", "Do again what was taken back", "*"),
        Binding("x", "export", "export", id="basket.export", tooltip="Write the marked things as JSON"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Marked"
            dialog.border_subtitle = Content(
                "   ".join(
                    f"{key_of(self.app, f'basket.{what}')} {what}"
                    for what in ("note", "remove", "undo", "export", "close")
                )
            )
            yield BasketRows(app_of(self).selection, id="basket-rows")
            yield WrappedText(id="basket-note", classes="note")

    def on_mount(self) -> None:
        self.watch(self.app, "selection", self._show, init=False)
        self._show_note(0)

    def _show(self, selection: Selection) -> None:
        rows = self.query_one(BasketRows)
        rows.take(selection)
        self._show_note(rows.cursor)

    def _item(self) -> Item | None:
        rows = self.query_one(BasketRows)
        return rows.items[rows.cursor] if rows.items else None

    @on(RowList.Moved, "#basket-rows")
    def _moved(self, event: RowList.Moved) -> None:
        self._show_note(event.index)

    def _show_note(self, index: int) -> None:
        """The whole note on the row under the cursor."""
        items = self.query_one(BasketRows).items
        note = app_of(self).selection.note_on(items[index]) if index < len(items) else None
        self.query_one("#basket-note", WrappedText).show_text("" if note is None else visible(note.text))

    @on(RowList.Opened, "#basket-rows")
    def _opened(self, event: RowList.Opened) -> None:
        self.dismiss(self.query_one(BasketRows).items[event.index])

    def action_close(self) -> None:
        self.dismiss(None)

    def action_note(self) -> None:
        if (item := self._item()) is not None:
            app_of(self).note_on(item)

    def action_remove(self) -> None:
        if (item := self._item()) is not None:
            app_of(self).selection = basket.remove(app_of(self).selection, item)

    def action_clear(self) -> None:
        app_of(self).selection = Selection()

    def action_export(self) -> None:
        self.dismiss(None)
        self.app.call_later(self.app.run_action, "app.export")
