"""The heads that the marked neurons share (method.md, section 4).

1. Each neuron's heads over its own prompts are worked out, or taken from the cache, and put side by side.
2. The cursor is on a head and on a neuron; enter goes on with that head behind that neuron.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.continuing import continued_shared
from tui_lookups.tui.text.groups import part_of, shared_paragraphs, shared_title
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.shared_rows import SharedRows
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import SelectedNeuron, SharedHeads
    from tui_lookups.tui.state.left_screens import SharedHeadsPlace

_KIND = "shared-heads"


class SharedHeadsScreen(QueryScreen["tuple[HeadId, SelectedNeuron]"]):
    """Returns the head and the neuron that were opened, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "stop", "stop", id="shared.stop", tooltip="Stop; what is worked out is kept"),
        Binding("escape,q", "close", "back", id="shared.close", tooltip="Back as it was; stops the work"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = "#shared"

    def __init__(self, explorer: Explorer, place: SharedHeadsPlace) -> None:
        super().__init__(explorer)
        self.place = place
        self.found: SharedHeads | None = place.found

    def compose(self) -> ComposeResult:
        neurons = tuple(marked.neuron for marked in self.place.neurons)
        yield TextLines(id="shared-title", classes="title")
        yield SharedRows(neurons, self.place.column, self.place.order, id="shared")
        yield Paragraphs(id="shared-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        if self.found is None:
            question = partial(self.explorer.shared_heads, self._rows.neurons)
            self.queries.ask(_KIND, question, self._done, self._failed)
            self.wait_for(_KIND, self._show_wait)
        self._show(self.place.head)

    @property
    def _rows(self) -> SharedRows:
        return self.query_one(SharedRows)

    def _done(self, found: SharedHeads) -> None:
        self.found = found
        self._show()

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._rows.show_empty(f"{visible(message)}\n{visible(hint)}")
        self.refresh_bindings()

    def _show_wait(self, how_far: str) -> None:
        stop = key_of(self.app, "shared.stop")
        self._rows.show_empty(f"Looking at the heads of each neuron… {how_far}\n{stop} stops it")

    def _show(self, head: HeadId | None = None) -> None:
        found, rows = self.found, self._rows
        title = f" {shared_title(len(self.place.neurons), found)}"
        self.query_one("#shared-title", TextLines).show_lines((Segment(title),))
        if found is not None:
            notes = [visible(member.note) for member in found.neurons if member.note]
            rows.show_empty("\n".join(notes) or "No head reaches these neurons.")
            rows.show_heads(found.heads, head)
        self._show_words()
        self.refresh_bindings()

    def _show_words(self) -> None:
        found, head = self.found, self._rows.current
        said = () if found is None or head is None else shared_paragraphs(found, head, self._rows.neuron)
        self.query_one("#shared-words", Paragraphs).show_paragraphs(said)

    @on(RowList.Moved, "#shared")
    @on(SharedRows.ColumnMoved)
    def _moved(self) -> None:
        self._show_words()

    @on(RowList.Opened, "#shared")
    def _opened(self) -> None:
        head, rows = self._rows.current, self._rows
        if head is None:
            return
        if part_of(head, rows.neuron) is None:
            self.show_message(f"{head.head} does not reach {rows.neuron}: choose another neuron.")
        else:
            self.dismiss((head.head, self.place.neurons[rows.column]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is stopped where nothing is under way."""
        return action != "stop" or self.queries.waiting(_KIND)

    def action_stop(self) -> None:
        self.queries.cancel(_KIND)
        self._rows.show_empty("Stopped: open it again to go on.")
        self.refresh_bindings()

    def action_copy_as(self, what: str) -> None:
        self.app.copy_to_clipboard(continued_shared(what, self._rows.neurons, self.explorer.settings))

    def dismiss(self, result: tuple[HeadId, SelectedNeuron] | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            rows = self._rows
            head = None if rows.current is None else rows.current.head
            self.place = replace(
                self.place, found=self.found, order=rows.order, column=rows.column, head=head
            )
        return super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)
