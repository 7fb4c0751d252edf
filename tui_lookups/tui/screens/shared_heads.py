"""The heads of the marked neurons: those they share, and those of their sum (method.md, section 4).

1. Each neuron's heads over its own prompts are worked out, or taken from the cache, and put side by side.
2. On a text, every head's attribution to the sum of the neurons, where that is largest.
3. The cursor is on a head and on a neuron; enter goes on with that head behind that neuron.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.text.continuing import continued_shared
from tui_lookups.tui.text.groups import shared_paragraphs, shared_title, summed_paragraphs, summed_title
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.heads_of_neurons import HeadsOfNeurons
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.shared_rows import SharedRows
from tui_lookups.tui.widgets.summed_rows import SummedRows
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import SelectedNeuron, SharedHeads, SummedHeads
    from tui_lookups.tui.state.left_screens import SharedHeadsPlace
    from tui_lookups.tui.text.explanation import Paragraph

_SHARED, _SUMMED = "shared-heads", "summed-heads"
_DOING = "Looking at the heads of each neuron…"


class SharedHeadsScreen(QueryScreen["tuple[HeadId, SelectedNeuron]"]):
    """Returns the head and the neuron that were opened, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "sum", "sum/shared", id="shared.sum", tooltip="Their sum on a text; back to each alone"),
        Binding("c", "stop", "stop", id="shared.stop", tooltip="Stop; what is worked out is kept"),
        Binding("escape,q", "close", "back", id="shared.close", tooltip="Back as it was; stops the work"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, place: SharedHeadsPlace) -> None:
        super().__init__(explorer)
        self.place = place

    def compose(self) -> ComposeResult:
        neurons = tuple(marked.neuron for marked in self.place.neurons)
        yield TextLines(id="shared-title", classes="title")
        yield SharedRows(neurons, self.place.column, self.place.order, id="shared")
        yield SummedRows(neurons, self.place.column, self.place.order_on_text, id="summed")
        yield Paragraphs(id="shared-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        if self.place.heads is None:
            question = partial(self.explorer.shared_heads, self._shared.neurons)
            self.ask_into(self._shared, _SHARED, question, self._done, doing=_DOING, stop="shared.stop")
        self._show(self.place.head)

    @property
    def _shared(self) -> SharedRows:
        return self.query_one(SharedRows)

    @property
    def _summed(self) -> SummedRows:
        return self.query_one(SummedRows)

    @property
    def _rows(self) -> SharedRows | SummedRows:
        """Those that are on screen."""
        return self._summed if self.place.on_text else self._shared

    def _done(self, heads: SharedHeads) -> None:
        self.place = replace(self.place, heads=heads)
        self._show()

    def _show(self, head: HeadId | None = None) -> None:
        place, number = self.place, len(self.place.neurons)
        title = summed_title(number, place.summed) if place.on_text else shared_title(number, place.heads)
        self.query_one("#shared-title", TextLines).show_lines((Segment(f" {title}"),))
        self._shared.display, self._summed.display = not place.on_text, place.on_text
        if place.heads is not None:
            notes = [visible(member.note) for member in place.heads.neurons if member.note]
            self._shared.show_empty("\n".join(notes) or "No head reaches these neurons.")
            self._shared.show_heads(place.heads.heads, head or _head_of(self._shared))
        if place.summed is not None:
            self._summed.show_empty("No head reaches these neurons.")
            self._summed.show_heads(place.summed.heads, head or _head_of(self._summed))
        self._rows.focus()
        self._show_words()
        self.refresh_bindings()

    def _show_words(self) -> None:
        heads, summed = self.place.heads, self.place.summed
        said: tuple[Paragraph, ...] = ()
        if self.place.on_text:
            row = self._summed.current
            if summed is not None and row is not None:
                said = summed_paragraphs(summed, row, self._summed.neuron)
        elif heads is not None and self._shared.current is not None:
            said = shared_paragraphs(heads, self._shared.current, self._shared.neuron)
        self.query_one("#shared-words", Paragraphs).show_paragraphs(said)

    @on(RowList.Moved)
    @on(HeadsOfNeurons.ColumnMoved)
    def _moved(self) -> None:
        self._show_words()

    @on(RowList.Opened)
    def _opened(self) -> None:
        rows = self._rows
        head = rows.current
        if head is None:
            return
        if all(part.neuron != rows.neuron for part in head.neurons):
            self.show_message(f"{head.head} does not reach {rows.neuron}: choose another neuron.")
        else:
            self.dismiss((head.head, self.place.neurons[rows.column]))

    # --- their sum on a text ---

    def action_sum(self) -> None:
        """Ask for a text; where their sum is shown, back to what they share."""
        if self.place.on_text:
            self.queries.cancel(_SUMMED)
            self.place = replace(self.place, on_text=False)
            self._show()
        else:
            title = "The neurons, summed, on this text"
            asked = OneLineScreen(title, self.place.text, "look", exact=True)
            self.app.push_screen(asked, self._on_text)

    def _on_text(self, text: str | None) -> None:
        if not text:
            return
        known = self.place.summed if text == self.place.text else None
        self.place = replace(self.place, text=text, summed=known, on_text=True)
        if known is None:
            self._summed.show_heads(())
            question = partial(self.explorer.summed_heads, self._summed.neurons, text)
            self.ask_into(self._summed, _SUMMED, question, self._sum_done, doing=_DOING, stop="shared.stop")
        self._show()

    def _sum_done(self, heads: SummedHeads) -> None:
        self.place = replace(self.place, summed=heads)
        self._show()

    # --- stopping, copying, leaving ---

    @property
    def _under_way(self) -> str:
        return _SUMMED if self.place.on_text else _SHARED

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is stopped where nothing is under way."""
        return action != "stop" or self.queries.waiting(self._under_way)

    def action_stop(self) -> None:
        self.queries.cancel(self._under_way)
        self._rows.show_empty("Stopped: open it again to go on.")
        self.refresh_bindings()

    def action_copy_as(self, what: str) -> None:
        text = self.place.text if self.place.on_text else None
        words = continued_shared(what, self._rows.neurons, self.explorer.settings, text)
        self.app.copy_to_clipboard(words)

    def dismiss(self, result: tuple[HeadId, SelectedNeuron] | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            self.place = replace(
                self.place,
                order=self._shared.order,
                order_on_text=self._summed.order,
                column=self._rows.column,
                head=_head_of(self._rows),
            )
        return super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)


def _head_of(rows: SharedRows | SummedRows) -> HeadId | None:
    """The head under the cursor."""
    return None if rows.current is None else rows.current.head
