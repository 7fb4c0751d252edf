"""Everything explained so far: a list to search, the row under the cursor in full below it."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from tui_lookups.results import Explained, ExplainedList, Explanation
from tui_lookups.tui.asks import explain_error
from tui_lookups.tui.door import Door
from tui_lookups.tui.screens.asking import AskingScreen
from tui_lookups.tui.text_layout import fit
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.one_line import TextLines
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.wording import explained_paragraphs, figure
from tui_lookups.visible import visible

_SEARCH_SECONDS = 0.2


class ExplainedRows(RowList):
    """One row an explanation, newest first: score, head and neuron, model, the words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="explained.open", tooltip="Go to the neuron and the head"),
        Binding("y", "copy", "copy", id="explained.copy", tooltip="Copy the explanation", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.explained: tuple[Explained, ...] = ()

    def show_explained(self, explained: tuple[Explained, ...]) -> None:
        """Show these."""
        self.explained = explained
        self.rows_changed(0)

    @property
    def under_cursor(self) -> Explained | None:
        """The explanation under the cursor."""
        return self.explained[self.cursor] if self.explained else None

    def row_count(self) -> int:
        return len(self.explained)

    def heading(self, width: int) -> list[Segment]:
        return [
            Segment(fit(f" score  {'head':<8}{'neuron':<12}{'model':<12}words", width), self.palette.heading)
        ]

    def row(self, index: int, width: int) -> list[Segment]:
        palette, entry = self.palette, self.explained[index]
        about = entry.explanation
        score = "" if entry.score is None else figure(entry.score.score.head_explanation_score)
        return [
            Segment(f" {score:>5}  ", palette.strong),
            Segment(fit(str(about.head), 8) + fit(str(about.neuron), 12), palette.plain),
            Segment(fit(visible(about.provenance.model.name), 11) + " ", palette.dim),
            Segment(fit(visible(about.explanation), max(0, width - 40)), palette.plain),
        ]

    def action_copy(self) -> None:
        if self.under_cursor is not None:
            self.app.copy_to_clipboard(self.under_cursor.explanation.explanation)


class ExplainedScreen(AskingScreen[Explanation]):
    """Returns the explanation that was opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search", id="explained.search", tooltip="Search by words"),
        Binding("escape", "close", "back", id="explained.close", tooltip="Back to the walk as it was"),
    ]
    AUTO_FOCUS = "#explained"

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="explained-title", classes="title")
        yield Input(placeholder="every word must be in it", id="search", compact=True)
        yield ExplainedRows(id="explained")
        yield Paragraphs(id="explained-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self.query_one("#search", Input).cursor_blink = False
        self.query_one(ExplainedRows).say_empty("Looking them up…")
        self._ask("")

    def _ask(self, query: str) -> None:
        self.asks.ask("explanations", lambda: self.door.explanations(query), self._done, self._failed)

    def _done(self, found: ExplainedList) -> None:
        rows = self.query_one(ExplainedRows)
        count = len(found.explained)
        asked = f" with {visible(found.query)}" if found.query else ""
        title = (Segment(f" Explained so far{asked}: {count}"),)
        self.query_one("#explained-title", TextLines).show_lines(title)
        nothing = "Nothing is explained yet.\ne on a head asks for words, E writes your own."
        rows.say_empty("Nothing has all these words.\nEscape shows everything." if found.query else nothing)
        rows.show_explained(found.explained)
        self._show_words()

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        rows = self.query_one(ExplainedRows)
        rows.say_empty(visible(message) + "\n" + visible(hint))
        rows.show_explained(())

    def _show_words(self) -> None:
        entry = self.query_one(ExplainedRows).under_cursor
        self.query_one(Paragraphs).show_paragraphs(() if entry is None else explained_paragraphs(entry))

    @on(RowList.Moved, "#explained")
    def _moved(self) -> None:
        self._show_words()

    @on(RowList.Opened, "#explained")
    def _opened(self) -> None:
        entry = self.query_one(ExplainedRows).under_cursor
        if entry is None:
            return
        about, model = entry.explanation, self.door.status().model
        theirs = about.provenance.model
        if model is None or model.fingerprint != theirs.fingerprint:
            self.say(f"That is a head of {theirs.name}; start with --model to walk there.")
            return
        self.dismiss(about)

    # --- searching ---

    def action_search(self) -> None:
        box = self.query_one("#search", Input)
        box.add_class("-shown")
        box.focus()

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        query = event.value
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_SEARCH_SECONDS, lambda: self._ask(query))

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.query_one(ExplainedRows).focus()

    def on_key(self, event: events.Key) -> None:
        box = self.query_one("#search", Input)
        if event.key == "escape" and (box.has_focus or box.value):
            event.stop()
            event.prevent_default()
            box.value = ""
            box.remove_class("-shown")
            self.query_one(ExplainedRows).focus()

    def action_close(self) -> None:
        self.dismiss(None)
