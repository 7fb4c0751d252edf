"""The neurons of a token: opening one, and filtering them by text.

The layer and own-token filters ask again; the text filter hides rows of what is there. How often neurons are
active is asked for where the list goes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Input

from tui_lookups.results.base import TokenSet
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.messages import FiltersEnded, NeuronChosen, NeuronNamed, NeuronsSifted
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.state.token_sets import about_leading, token_name
from tui_lookups.tui.text.empty import missing, why_no_row
from tui_lookups.tui.text.ranking import about_order
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import WrappedText

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import SelectedNeuron, Selection
    from tui_lookups.tui.state.steps import Steps
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.widgets.typed_line import SearchLine

_REST_SECONDS = 0.15


class NeuronsPane(Pane):
    """The ranking of the walk's token."""

    LATER = ("tui_lookups.tui.widgets.typed_line",)
    """Modules of widgets that are mounted after the first frame."""

    _line: SearchLine | None = None
    _rest: Timer | None = None

    def __init__(self, walk: Walk, steps: Steps) -> None:
        super().__init__(1, "Neurons", id="neurons-pane")
        self._walk = walk
        self._steps = steps
        self.body = self._table = NeuronsTable(id="neurons")
        self._note = WrappedText(id="ranking-note")

    def compose(self) -> ComposeResult:
        yield from (self._table, self._note)

    def mount_line(self) -> None:
        if self._line is None:
            from tui_lookups.tui.widgets.typed_line import SearchLine

            self._line = SearchLine(placeholder="filter: neuron or top token", id="filter")
            self.mount(self._line)

    @property
    def under_cursor(self) -> NeuronId | None:
        """The neuron under the cursor."""
        score = self._table.under_cursor
        return None if score is None else score.neuron

    @property
    def needle(self) -> str:
        """The text filter that is on."""
        return self._table.needle

    def show(self) -> None:
        """Show the neurons that pass the filters."""
        walk, table = self._walk, self._table
        ranking = walk.ranking
        table.show_neurons(ranking.neurons if ranking is not None else (), walk.token, walk.activity)
        if table.order == "activity":
            self._steps.tokens.ask_activity()
        if ranking is None:
            otherwise = f"Press {self.key('walk.token')} and type a token."
        else:
            unlisted = table.unlisted(walk.neuron_id)
            named = None if unlisted is None or missing(walk.model, unlisted) else unlisted
            otherwise = why_no_row(walk, table.total, named, self.key)
        table.show_empty(self.why_empty(walk, "neurons", otherwise))
        words = self.tab()
        if walk.token is not None:
            words += f" that promote {token_name(walk.token)}"
        if table.order != "congruence":
            words += f", by {table.order}"
        if ranking is not None:
            count = table.row_count()
            words += f"  {count}" if count == table.total else f"  {count} of {table.total}"
        self.set_title(words)
        self._show_note()

    def _show_note(self) -> None:
        walk, table = self._walk, self._table
        note = about_leading(walk.token, table.under_cursor) or about_order(walk, table.order, self.key)
        self._note.show_text(note)
        self._note.display = bool(note)

    def tab(self, *, short: bool = False) -> str:
        return f"{self._walk.neuron_id.kind.capitalize()}s"

    def show_open(self) -> None:
        """Mark the neuron that the other panes show."""
        self._table.set_open(self._walk.neuron)

    def mark(self, selection: Selection) -> None:
        self._table.mark(frozenset(marked.neuron for marked in selection.neurons))

    def marked_item(self) -> SelectedNeuron | None:
        return self._table.marked_item()

    @on(RowList.Moved, "#neurons")
    def _moved(self) -> None:
        """What fires the neuron is shown where it is known, once the cursor rests."""
        if self._rest is not None:
            self._rest.stop()
        if isinstance(self._walk.token, TokenSet):
            self._show_note()
        self._rest = self.set_timer(_REST_SECONDS, self._preview)

    def _preview(self) -> None:
        if self._table.has_focus:
            self._steps.neurons.preview(self.under_cursor)

    @on(RowList.Opened, "#neurons")
    def _opened(self) -> None:
        neuron = self.under_cursor
        if neuron is not None:
            self.tell(NeuronChosen(neuron))

    @on(NeuronsTable.Sorted)
    def _sorted(self) -> None:
        if self._table.order == "activity":
            self._steps.tokens.forget_activity()
        self.show()
        app_of(self).show_message(f"{self.tab()} by {self._table.order}.")

    # --- the text filter ---

    def type_filter(self) -> None:
        """Show the line of the text filter, with the focus."""
        self.mount_line()
        assert self._line is not None
        self._line.add_class("-shown")
        self._line.focus()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self._table.sift(event.value)
        self.show()
        self.tell(NeuronsSifted())

    @on(Input.Submitted, "#filter")
    def _done(self, event: Input.Submitted) -> None:
        neuron = self._table.unlisted(self._walk.neuron_id)
        if neuron is None:
            event.input.set_class(bool(self.needle), "-shown")
            self._table.focus()
        elif why := missing(self._walk.model, neuron):
            app_of(self).show_message(why)
        else:
            self.end_filter()
            self.tell(NeuronNamed(neuron))

    def on_search_line_left(self) -> None:
        self.end_filter()

    def end_filter(self) -> None:
        """Whatever text they have, neurons are shown again."""
        if self._line is not None:
            self._line.value = ""
            self._line.remove_class("-shown")
        self._table.focus()

    def go_back(self) -> bool:
        """The text filter goes, else the filters that leave nothing."""
        walk = self._walk
        if self.needle:
            self.end_filter()
        elif walk.ranking is not None and not self._table.total and (walk.layer is not None or walk.own_only):
            self.tell(FiltersEnded())
        else:
            return False
        return True
