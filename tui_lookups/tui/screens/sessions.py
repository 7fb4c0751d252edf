"""The sessions of the open model, by name: to open, to save and to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.screens.query_screen import QueryDialog
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import SavedSession
    from tui_lookups.tui.screens.session import Session

_TIME, _NAME = 18, 20


class SessionRows(RowList):
    """One row a session: when it was saved, its name, where it is and what is marked."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.sessions: tuple[SavedSession, ...] = ()
        self._open = ""

    def take(self, sessions: tuple[SavedSession, ...], open_: str) -> None:
        """Show these; `open_` is the name of the one that is open."""
        self.sessions, self._open = sessions, open_
        self.rows_changed()

    def row_count(self) -> int:
        return len(self.sessions)

    def row(self, index: int, width: int) -> list[Segment]:
        session, palette = self.sessions[index], self.palette
        name = session.name or "(the last one)"
        mark = "● " if session.name == self._open else "  "
        where = "" if session.neuron is None else f"at {session.neuron}"
        notes = f"note{'s' * (session.notes != 1)}"
        counts = (f"{n} {what}" for n, what in ((session.marked, "marked"), (session.notes, notes)) if n)
        said = visible(session.problem) or ", ".join(filter(None, (where, *counts)))
        when = session.saved[:16].replace("T", " ")
        return [
            Segment(mark, palette.strong),
            Segment(fit(visible(name), _NAME), palette.strong),
            Segment(fit(when, _TIME), palette.dim),
            Segment(fit(said, max(0, width - _TIME - _NAME - 2)), palette.plain),
        ]


class SessionsScreen(QueryDialog[str]):
    """Returns the name of the session that is to be opened; None where none is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save_as", "save as", id="sessions.save", tooltip="Keep this session under a name"),
        Binding("d,delete", "delete", "delete", id="sessions.delete", tooltip="Delete it: asks once"),
        Binding("escape,L,q", "close", "close", id="sessions.close", tooltip="Back to the walk"),
    ]

    def __init__(self, explorer: Explorer, session: Session) -> None:
        super().__init__(explorer)
        self._session = session
        self._deleting: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Sessions"
            keys = (f"{key_of(self.app, f'sessions.{what}')} {what}" for what in ("save", "delete", "close"))
            dialog.border_subtitle = Content("   ".join((f"{key_of(self.app, 'list.open')} open", *keys)))
            yield SessionRows(id="session-rows")
            yield WrappedText(id="session-note", classes="note")

    def on_mount(self) -> None:
        self.query_one(SessionRows).show_empty("Looking for sessions of this model…")
        self._ask()

    def _ask(self) -> None:
        self.queries.ask("sessions", self.explorer.sessions, self._found, self._failed)

    def _found(self, sessions: tuple[SavedSession, ...]) -> None:
        rows = self.query_one(SessionRows)
        save = key_of(self.app, "sessions.save")
        rows.show_empty(f"No session of this model is saved yet.\n{save} saves this one under a name.")
        rows.take(sessions, self._session.name)

    def _failed(self, error: BaseException) -> None:
        self._show_message(" ".join(explain_error(error)))

    def _show_message(self, text: str) -> None:
        self.query_one("#session-note", WrappedText).show_text(visible(text))

    def _chosen(self) -> SavedSession | None:
        rows = self.query_one(SessionRows)
        return rows.sessions[rows.cursor] if rows.sessions else None

    @on(RowList.Moved, "#session-rows")
    def _moved(self) -> None:
        self._deleting = None
        self._show_message("")

    @on(RowList.Opened, "#session-rows")
    def _opened(self) -> None:
        session = self._chosen()
        if session is not None and session.problem:
            self._show_message(session.problem)
        elif session is not None:
            self.dismiss(session.name)

    def action_save_as(self) -> None:
        def named(name: str | None) -> None:
            if name:
                self._session.save_as(name)
                self.dismiss(None)

        self.app.push_screen(OneLineScreen("Keep this session as", self._session.name), named)

    def action_delete(self) -> None:
        session = self._chosen()
        if session is None:
            return
        name = session.name
        if self._deleting != name:
            self._deleting = name
            key = key_of(self.app, "sessions.delete")
            self._show_message(f"{key} once more deletes {f'“{name}”' if name else 'the last session'}.")
            return
        self._deleting = None
        self._show_message("")

        def done(_: None) -> None:
            self._ask()

        self.queries.ask("delete session", lambda: self.explorer.delete_session(name), done, self._failed)

    def action_close(self) -> None:
        self.dismiss(None)
