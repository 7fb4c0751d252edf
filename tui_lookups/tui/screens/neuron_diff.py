"""One neuron in two models: the prompts that fire one and not the other, and the heads behind it in both.

Asked one after the other (method.md, section 13): a pass of both models over the corpus, where none was made
yet, answers the first; the second runs a few of its prompts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical

from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.given_text import GIVEN, given_around
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.text.continuing import continued_diff
from tui_lookups.tui.text.diff import heads_words, neuron_title
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.both_models import PairedPrompts, ShiftRows
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines

if TYPE_CHECKING:
    from textual import events

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import ChangedNeuron, HeadsDiff, MovedNeuron, NeuronDiff

_WIDE = 180
"""Cells that hold prompts and heads side by side."""


class NeuronDiffScreen(QueryScreen[Place]):
    """Returns where the walk is to go on; None on escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "g", "go_on", "to the walk", id="diff.go", tooltip="Go on with this neuron in the open model"
        ),
        Binding("c", "stop", "stop", id="diff.stop", tooltip="Stop; what was run is kept"),
        Binding("tab,shift+tab", "swap", "other list", id="diff.swap", tooltip="Prompts, or heads"),
        Binding("x", "export", "export", id="diff.export", tooltip="Write the list to a file"),
        Binding("escape,q", "close", "back", id="diff.back", tooltip="Back to the neurons that moved"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = "#paired"

    def __init__(self, explorer: Explorer, against: str, row: MovedNeuron | ChangedNeuron) -> None:
        super().__init__(explorer)
        self._against = against
        self._neuron, self._token = row.neuron, row.top_token_before
        self.prompts: NeuronDiff | None = None
        self.heads: HeadsDiff | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="both-title", classes="title")
        with Container(id="both-body"):
            yield PairedPrompts(id="paired")
            with Vertical(id="both-heads"):
                yield TextLines(id="both-heads-title")
                yield ShiftRows(id="shifts")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._show_titles()
        self._ask_prompts()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= _WIDE, "-both")

    @property
    def _prompts(self) -> PairedPrompts:
        return self.query_one(PairedPrompts)

    @property
    def _shifts(self) -> ShiftRows:
        return self.query_one(ShiftRows)

    def _show_titles(self) -> None:
        model = self.explorer.settings.model
        self.query_one("#both-title", TextLines).show_words(
            neuron_title(self._neuron, model, self._against, self.prompts)
        )
        said = "Heads behind it in both" if self.heads is None else heads_words(self.heads)
        self.query_one("#both-heads-title", TextLines).show_words(said)

    # --- the two questions ---

    def _ask_prompts(self) -> None:
        question = partial(self.explorer.diff_neuron, self._against, self._neuron)
        doing = "Running both models over the corpus…"
        self.ask_into(
            self._prompts, "diff-neuron", question, self._prompts_came, doing=doing, stop="diff.stop"
        )
        self._shifts.show_empty("Asked for once the prompts are there.")

    def _prompts_came(self, prompts: NeuronDiff) -> None:
        self.prompts = prompts
        self._prompts.show_empty("It fires on no prompt in either model.")
        self._prompts.show_prompts(prompts.prompts)
        self._show_titles()
        question = partial(self.explorer.diff_heads, self._against, self._neuron)
        doing = "Summing what fires it in both…"
        self.ask_into(self._shifts, "diff-heads", question, self._heads_came, doing=doing, stop="diff.stop")

    def _heads_came(self, heads: HeadsDiff) -> None:
        self.heads = heads
        self._shifts.show_heads(heads)
        self._show_titles()
        self.refresh_bindings()

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is stopped where nothing is under way."""
        return action != "stop" or self.queries.busy

    def action_stop(self) -> None:
        stopped = self._prompts if self.queries.waiting("diff-neuron") else self._shifts
        self.queries.cancel_all()
        stopped.show_empty("Stopped: open it again to go on.")
        self.refresh_bindings()

    def action_swap(self) -> None:
        (self._shifts if self._prompts.has_focus else self._prompts).focus()

    @on(RowList.Opened, "#paired")
    def _prompt_opened(self) -> None:
        prompt, both = self._prompts.current, self.prompts
        if prompt is not None and both is not None:
            text = given_around(prompt.tokens, prompt.position, both.provenance.model)
            self.dismiss(Place(self._token, self._neuron, GIVEN, None, "prompts", text))

    @on(RowList.Opened, "#shifts")
    def _head_opened(self) -> None:
        if self.heads is None:
            return
        if self._shifts.head is None:
            self.show_message("Only a head can be opened.")
        else:
            self.dismiss(Place(self._token, self._neuron, head=self._shifts.head, pane="detail"))

    def action_go_on(self) -> None:
        self.dismiss(Place(self._token, self._neuron, pane="prompts"))

    def action_export(self) -> None:
        from tui_lookups.tui.screens.records_export import RecordsScreen

        answer = self.heads if self._shifts.has_focus else self.prompts
        what = "heads" if self._shifts.has_focus else "prompts"
        RecordsScreen.open_over(self, self.explorer, answer, f"lookups-diff-{self._neuron}-{what}")

    def action_copy_as(self, what: str) -> None:
        is_heads = self._shifts.has_focus
        text = continued_diff(
            what, self._against, "heads" if is_heads else "neuron", self._neuron, self.explorer.settings
        )
        self.app.copy_to_clipboard(text)

    def action_close(self) -> None:
        self.dismiss(None)
