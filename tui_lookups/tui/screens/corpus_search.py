"""The whole corpus searched for a text: each prompt that holds it is a door to the open neuron on it.

1. The search runs on a thread of its own and tells what it has; escape stops it and keeps that.
2. Enter opens the text with the neuron of the walk; where the text is found is the token that is asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.given_text import given_around
from tui_lookups.tui.state.left_screens import Door, SearchPlace
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.corpus_search import search_title
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.hit_list import HitList
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.tui.widgets.typed_line import PassageLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import CorpusHits


class CorpusLine(PassageLine):
    """The line the text is typed on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "search", id="search.ask", tooltip="Search all texts of the corpus"),
        Binding("down", "screen.rows", "list", id="search.rows", tooltip="To what was found"),
        Binding("escape", "screen.close", "back", id="search.close", tooltip="Stop the search, or go back"),
    ]


class CorpusSearchScreen(QueryScreen[Door]):
    """Returns the text that was opened, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back", id="search.close", tooltip="Stop the search, or go back"),
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, neuron: NeuronId | None, place: SearchPlace) -> None:
        """`neuron`: that of the walk, which is opened on a text."""
        super().__init__(explorer)
        self._neuron = neuron
        self.place = place
        self._found: CorpusHits | None = place.found

    def compose(self) -> ComposeResult:
        yield TextLines(id="search-title", classes="title")
        with Horizontal(id="search-line"):
            label = TextLines(id="search-label")
            label.show_lines((Segment(" find "),))
            yield label
            yield CorpusLine(self.place.text, placeholder="a text", id="search-text", compact=True)
        yield HitList(id="hits")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._show()
        if self._found is not None:
            self.query_one(HitList).show_hits(self._found.hits, self.place.row)
            self.action_rows()
        elif self.place.text:
            self._search(self.place.text)
        else:
            self.query_one(CorpusLine).focus()

    # --- the search ---

    @on(Input.Submitted, "#search-text")
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value:
            self._search(event.value)

    def _search(self, text: str) -> None:
        explorer = self.explorer
        self._found = None
        self.query_one(HitList).show_hits((), 0)

        def question(tell: Callable[[CorpusHits], None]) -> CorpusHits:
            return explorer.search_corpus(text, so_far=tell)

        self.queries.ask_telling("search", question, self._take, self._take, self._failed)
        self._show()
        self.action_rows()

    def _take(self, found: CorpusHits) -> None:
        rows, before = self.query_one(HitList), self._found
        self._found = found
        if before is None or len(found.hits) != len(before.hits):
            rows.show_hits(found.hits)
        self._show()
        if found.hits and found.note and not self.queries.waiting("search"):
            self.show_message(found.note)  # there may be more; an empty list says so itself

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._show()
        self.query_one(HitList).show_empty(visible(message) + "\n" + visible(hint))

    def _show(self) -> None:
        """How far it is, and why the list is empty where it is."""
        searching, stop = self.queries.waiting("search"), key_of(self.app, "search.close")
        title, empty = search_title(self._found, stop if searching else "", key_of(self.app, "search.ask"))
        self.query_one("#search-title", TextLines).show_lines((Segment(f" {title}"),))
        self.query_one(HitList).show_empty(empty)

    # --- opening, leaving and the focus ---

    @on(RowList.Opened, "#hits")
    def _opened(self) -> None:
        hit = self.query_one(HitList).under_cursor
        if hit is None:
            return
        if self._neuron is None:
            self.show_message("Open a neuron first: a text is shown with the activations of one.")
            return
        model = self.explorer.model_info()
        self.dismiss(Door(self._neuron, None, given_around(hit.tokens, hit.spans[0][1], model)))

    def dismiss(self, result: Door | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            text, rows = self.query_one(CorpusLine).value, self.query_one(HitList)
            self.place = SearchPlace(text, self._found, rows.cursor)
        return super().dismiss(result)

    def action_type(self) -> None:
        self.query_one(CorpusLine).focus()

    def action_rows(self) -> None:
        self.query_one(HitList).focus()

    def action_close(self) -> None:
        if self.queries.waiting("search"):
            self.queries.cancel("search")
            self._show()
        else:
            self.dismiss(None)
