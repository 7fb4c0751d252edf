"""What is under way, a line each: how far it is and how long it takes; and how the last things ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_lookups.progress import clock_text
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.status_line import LOW_SECONDS
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.tasks import Row

_LOOK_SECONDS = 0.25
_TIME, _BAR, _LEFT = 8, 12, 11


def row_text(row: Row) -> str:
    """What it is and how far, or why it failed; the time left has a column of its own."""
    told = "" if row.progress is None else replace(row.progress, seconds_left=None).sentence
    return ": ".join(filter(None, (visible(row.what), told, visible(row.said))))


class TaskRows(RowList):
    """One row a thing."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: tuple[Row, ...] = ()
        self._painted: tuple[str, ...] = ()

    def take(self, rows: tuple[Row, ...]) -> None:
        """Show these; nothing is painted where they say the same."""
        self.rows = rows
        painted = tuple("".join(segment.text for segment in self.row(i, 400)) for i in range(len(rows)))
        if painted != self._painted:
            self._painted = painted
            self.rows_changed()

    def row_count(self) -> int:
        return len(self.rows)

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette = self.rows[index], self.palette
        measured = row.progress is not None and row.progress.share is not None
        state = row.how or (row.progress.bar(_BAR - 2) if row.progress and measured else "under way")
        taken = clock_text(row.seconds) if row.seconds else ""
        left = None if row.progress is None else row.progress.seconds_left
        rest = fit("" if left is None else f"{clock_text(left)} left", _LEFT)
        text = fit(row_text(row), max(0, width - _TIME - _BAR - _LEFT))
        tone = palette.dim if row.how == "done" else palette.plain
        return [
            Segment(f" {taken:>{_TIME - 2}} ", palette.dim),
            Segment(fit(state, _BAR), palette.strong if row.how in (None, "failed") else palette.dim),
            Segment(rest, palette.dim),
            Segment(text, tone),
        ]


class TasksScreen(LeavesOnce, ModalScreen[None]):
    """Looks several times a second while it is open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "s,delete",
            "stop",
            "stop",
            id="tasks.stop",
            tooltip="Stop what is under the cursor; what was stopped goes on",
        ),
        Binding("escape,J,q", "close", "close", id="tasks.close", tooltip="Back to where you were"),
    ]

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self._explorer = explorer

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Under way"
            dialog.border_subtitle = Content(
                f"{key_of(self.app, 'tasks.stop')} stop, go on   {key_of(self.app, 'tasks.close')} close"
            )
            yield TaskRows(id="task-rows")
            yield WrappedText(id="task-note", classes="note")

    def on_mount(self) -> None:
        self.query_one(TaskRows).show_empty("Nothing is under way, and nothing has taken long.")
        self._look()
        self.set_interval(LOW_SECONDS if app_of(self).few_updates else _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self.query_one(TaskRows).take(app_of(self).tasks.rows(self._explorer.status(), self._explorer))

    def action_stop(self) -> None:
        rows = self.query_one(TaskRows)
        if not rows.rows:
            return
        row = rows.rows[rows.cursor]
        do, note = row.stop or row.resume, row.why
        if do is not None:
            do()
            self._look()
        if row.stop is not None and note:
            note += f" {key_of(self.app, 'tasks.stop')} on it again goes on."
        self.query_one("#task-note", WrappedText).show_text(note)

    def action_close(self) -> None:
        self.dismiss(None)
