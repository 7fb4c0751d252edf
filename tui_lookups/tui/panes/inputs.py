"""What fires the neuron, down to earlier neurons, beside its heads: in terminals that have room for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from tui_lookups.ids import HeadId
from tui_lookups.results import SelectedNeuron
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.messages import HeadNamed, NeuronMet
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.state.contribution_rows import SumRows, rows_of_inputs
from tui_lookups.tui.state.given_text import given_up_to
from tui_lookups.tui.text.why import inputs_sum
from tui_lookups.tui.widgets.contribution_lists import ContributionRows
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from tui_lookups.results import NeuronInputs
    from tui_lookups.tui.state.input_steps import InputSteps
    from tui_lookups.tui.state.walk import Walk

_QUIET_SECONDS = 1.0
"""Without a key for so long, what is not cached is worked out."""


class InputsPane(Pane):
    """The sum of what the neuron reads, largest first; it is asked for once no key comes any more."""

    _timer: Timer | None = None

    def __init__(self, walk: Walk, steps: InputSteps) -> None:
        super().__init__(5, "Inputs", id="inputs-pane")
        self._walk = walk
        self._steps = steps
        self._shown: NeuronInputs | None = None
        self._sum = PackedText(id="inputs-sum", bold_first=True)
        self.body = self._rows = ContributionRows(id="input-rows")

    def compose(self) -> ComposeResult:
        yield from (self._sum, self._rows)

    def show(self) -> None:
        """The rows; where they are neither known nor cached, they are asked for after a rest."""
        walk, inputs = self._walk, self._walk.shown_inputs
        if inputs is not self._shown or inputs is None:
            self._shown = inputs
            sums = SumRows() if inputs is None else rows_of_inputs(inputs)
            self._rows.show_rows(sums.rows, sums.target, 0)
            self._sum.show_parts(() if inputs is None else inputs_sum(inputs))
        rank = 0 if walk.prompt is None else walk.prompt.rank
        where = "" if walk.prompt is None else f" on prompt {rank}" if rank else " on the text"
        self.set_title("Inputs" if walk.neuron is None else f"What fires {walk.neuron}{where}, direct")
        self._rows.show_empty(self.why_empty(walk, "inputs", self._what_to_do()))
        if self._steps.uncached:
            self._when_quiet()

    def _what_to_do(self) -> str:
        if self._walk.heads is None:
            return f"{self.key('prompts.open')} on a prompt\nshows what fires the neuron there."
        return "Worked out once no key is pressed."

    def _when_quiet(self) -> None:
        """Ask once no key has come for a moment."""
        if self._timer is not None:
            self._timer.stop()
        left = _QUIET_SECONDS - app_of(self).key_queue.quiet_seconds
        if left > 0:
            self._timer = self.set_timer(left, self._when_quiet)
        else:
            self._timer = None
            self._ask_if_still_due()

    def _ask_if_still_due(self) -> None:
        if self._steps.uncached and self.display:
            self._steps.open_inputs()

    def ask(self) -> None:
        self._steps.open_inputs()

    def marked_item(self) -> SelectedNeuron | None:
        row = self._rows.current
        if row is None or row.component is None or isinstance(row.component, HeadId):
            return None
        return SelectedNeuron(row.component)

    @on(RowList.Opened, "#input-rows")
    def _row_opened(self) -> None:
        row, shown = self._rows.current, self._shown
        if row is None or shown is None:
            return
        if row.component is None:
            app_of(self).show_message("Only a neuron or a head can be opened.")
        elif isinstance(row.component, HeadId):
            self.tell(HeadNamed(row.component))
        else:
            text = given_up_to(shown.tokens, shown.position, shown.provenance.model)
            self.tell(NeuronMet(row.component, text))
