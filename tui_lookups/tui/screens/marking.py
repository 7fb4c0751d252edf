"""Marking what is under the cursor of the walk, and writing notes on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tui_lookups.results import Note
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state import basket
from tui_lookups.tui.state.notes import Notes
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.marked import named

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Item
    from tui_lookups.tui.panes.pane_set import PaneSet
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Walk


class Marking:
    """What `panes` show, into the basket; `notes` are those on the open model."""

    def __init__(
        self, screen: Screen[None], explorer: Explorer, queries: Queries, walk: Walk, panes: PaneSet
    ) -> None:
        self._screen, self._walk, self._panes = screen, walk, panes
        self.notes = Notes(explorer, queries, self._failed)

    def mark(self) -> None:
        """Mark what is under the cursor, or take it out where it is marked."""
        item, app = self._under_cursor(), app_of(self._screen)
        if item is not None:
            app.selection = basket.toggle(app.selection, item)

    def note(self) -> None:
        """Ask for a note on what is under the cursor."""
        item = self._under_cursor()
        if item is not None:
            self.note_on(item)

    def note_on(self, item: Item) -> None:
        """Ask for a note on something, which is marked with it."""
        from tui_lookups.tui.screens.one_line import OneLineScreen

        app, notes = app_of(self._screen), self.notes

        def written(text: str | None) -> None:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            if text or (text is not None and basket.holds(app.selection, item)):
                app.selection = basket.with_note(app.selection, item, text, when)
            elif text is not None and notes.on(item) is not None:
                notes.keep(Note.on(item, "", when))

        note = app.selection.note_on(item) or notes.on(item)
        title = f"Note on {named(item)}"
        app.push_screen(OneLineScreen(title, "" if note is None else note.text), written)

    def _under_cursor(self) -> Item | None:
        """What is under the cursor of the pane in focus; says so where nothing there can be marked."""
        self._panes.take_head()
        focused = self._panes.focused
        item = self._panes.by_name[focused].marked_item()
        if item is None:
            given = self._walk.on_given_text and focused != "neurons"
            said = "A text given by hand cannot be marked." if given else "Nothing to mark here yet."
            app_of(self._screen).show_message(said)
        return item

    def _failed(self, error: BaseException) -> None:
        app_of(self._screen).show_message(" ".join(explain_error(error)))
