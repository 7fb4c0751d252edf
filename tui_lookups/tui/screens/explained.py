"""Everything explained so far, or of it what is in the basket: a list to search, and a row in full."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from tui_lookups.results import ExplainedList, Explanation
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.explanation import explained_paragraphs, figure
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.tui.widgets.typed_line import SearchLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Explained, Selection
    from tui_lookups.tui.text.key_labels import KeyOf

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


def in_basket(
    explained: tuple[Explained, ...], selection: Selection, model: str | None
) -> tuple[Explained, ...]:
    """Explanations of marked heads, and of all heads of marked neurons, of the model so fingerprinted."""
    heads = {(marked.neuron, marked.head) for marked in selection.heads}
    neurons = {marked.neuron for marked in selection.neurons}
    return tuple(
        entry
        for entry in explained
        if entry.explanation.provenance.model.fingerprint == model
        and (
            entry.explanation.neuron in neurons or (entry.explanation.neuron, entry.explanation.head) in heads
        )
    )


def _why_empty(marked_only: bool, searched: bool, key: KeyOf) -> str:
    if searched:
        scope = "of what is in the basket " if marked_only else ""
        further = f", {key('explained.scope')} shows all" if marked_only else ""
        return f"Nothing {scope}has all these words.\n{key('explained.close')} clears the search{further}."
    if marked_only:
        further = f"{key('explained.scope')} shows everything explained so far"
        return f"No neuron or head in the basket is explained.\n{further}."
    keys = f"{key('head.explain')} on a head asks for words, {key('head.write')} writes your own"
    return f"Nothing is explained yet.\n{keys}."


class ExplainedScreen(QueryScreen[Explanation]):
    """Returns the explanation that was opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search", id="explained.search", tooltip="Search by words"),
        Binding(
            "a", "scope", "all/basket", id="explained.scope", tooltip="All, or only what is in the basket"
        ),
        Binding("escape,q", "close", "back", id="explained.close", tooltip="Back to the walk as it was"),
    ]
    AUTO_FOCUS = "#explained"

    def __init__(self, explorer: Explorer, selection: Callable[[], Selection]) -> None:
        super().__init__(explorer)
        self._selection = selection
        self._marked_only = False
        self._found = ExplainedList("", ())
        self._pause: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="explained-title", classes="title")
        yield SearchLine(placeholder="every word must be in it", id="search")
        yield ExplainedRows(id="explained")
        yield Paragraphs(id="explained-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self.query_one(ExplainedRows).show_empty("Looking them up…")
        self._ask("")

    def _ask(self, query: str) -> None:
        self.queries.ask("explanations", lambda: self.explorer.explanations(query), self._done, self._failed)

    def _done(self, found: ExplainedList) -> None:
        self._found = found
        self._show()

    def _show(self) -> None:
        """What was found, of it only what is in the basket where that is the scope."""
        rows, explained = self.query_one(ExplainedRows), self._found
        listed = explained.explained
        model = self.explorer.status().model
        if self._marked_only:
            fingerprint = None if model is None else model.fingerprint
            listed = in_basket(listed, self._selection(), fingerprint)
        scope = " of what is in the basket" if self._marked_only else " so far"
        asked = f" with {visible(explained.query)}" if explained.query else ""
        title = (Segment(f" Explained{scope}{asked}: {len(listed)}"),)
        self.query_one("#explained-title", TextLines).show_lines(title)
        rows.show_empty(_why_empty(self._marked_only, bool(explained.query), partial(key_of, self.app)))
        rows.show_explained(listed)
        self._show_words()

    def action_scope(self) -> None:
        self._marked_only = not self._marked_only
        self._show()

    def on_screen_resume(self) -> None:
        if self._marked_only:  # the basket may have been changed meanwhile
            self._show()

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        rows = self.query_one(ExplainedRows)
        rows.show_empty(visible(message) + "\n" + visible(hint))
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
        about, model = entry.explanation, self.explorer.status().model
        theirs = about.provenance.model
        if model is None or model.fingerprint != theirs.fingerprint:
            self.show_message(f"That head belongs to {theirs.name}; restart with --model to open it.")
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

    def on_search_line_left(self) -> None:
        """Everything is listed again."""
        box = self.query_one("#search", Input)
        box.value = ""
        box.remove_class("-shown")
        self.query_one(ExplainedRows).focus()

    def action_close(self) -> None:
        if self.query_one("#search", Input).value:
            self.on_search_line_left()  # what was searched for goes first
        else:
            self.dismiss(None)
