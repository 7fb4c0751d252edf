"""The open model against another: whose weights moved, and whose activations changed (method.md, section 13).

1. The weights are compared as soon as the other model is named; from the files alone where that is possible.
2. Both models run over the corpus when that is asked for; leaving the screen stops it, the next time it goes
   on where it was.
3. Enter shows a neuron in both models; what is opened there, or the neuron itself, continues the walk.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.screens.neuron_diff import NeuronDiffScreen
from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.screens.records_export import RecordsScreen
from tui_lookups.tui.state import basket
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.left_screens import DiffPlace
from tui_lookups.tui.text.continuing import continued_diff
from tui_lookups.tui.text.diff import changed_paragraphs, diff_title, moved_paragraphs
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.diff_rows import ChangedRows, MovedRows
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import ActivationDiff, WeightDiff
    from tui_lookups.tui.state.left_screens import DiffView

TOP = 200
"""Neurons that are listed, heads and tensors likewise: those that moved or changed most."""

_WEIGHTS, _ACTIVATIONS = "diff-weights", "diff-activations"


class DiffScreen(QueryScreen[Place]):
    """Returns where the walk is to go on; None on escape. `place` is how it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "view", id="diff.view", tooltip="By weights, or by activations"),
        Binding("r", "run", "run", id="diff.run", tooltip="Run both models over the corpus"),
        Binding("c", "stop", "stop", id="diff.stop", tooltip="Stop; what was run is kept"),
        Binding(
            "g", "go_on", "to the walk", id="diff.go", tooltip="Go on with this neuron in the open model"
        ),
        Binding("escape,q", "close", "back", id="diff.close", tooltip="Back to the walk; stops the work"),
        Binding("space", "mark", "mark", id="diff.mark", tooltip="Mark the neuron, for an export"),
        Binding("e", "choose", "other model", id="diff.choose", tooltip="Compare with another model"),
        Binding("x", "export", "export", id="diff.export", tooltip="Write the list to a file"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, place: DiffPlace) -> None:
        super().__init__(explorer)
        self.place = place

    def compose(self) -> ComposeResult:
        yield TextLines(id="diff-title", classes="title")
        yield MovedRows(self.place.moved_by, id="moved")
        yield ChangedRows(self.place.changed_by, id="changed")
        yield Paragraphs(id="diff-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        place = self.place
        if place.weights is not None:
            self._moved.show_neurons(place.weights.neurons, place.neuron)
        if place.activations is not None:
            self._changed.show_neurons(place.activations.neurons, place.neuron)
        self._show_view(place.view)
        if not place.against:
            self.action_choose()
            return
        if place.weights is None:
            self._ask_weights()
        if place.opened:
            self._open_in_both()

    # --- showing ---

    @property
    def _moved(self) -> MovedRows:
        return self.query_one(MovedRows)

    @property
    def _changed(self) -> ChangedRows:
        return self.query_one(ChangedRows)

    @property
    def _shown(self) -> WeightDiff | ActivationDiff | None:
        """What the list in view is of, once it is there."""
        return self.place.weights if self.place.view == "weights" else self.place.activations

    @property
    def _rows(self) -> MovedRows | ChangedRows:
        """The list in view."""
        return self._moved if self.place.view == "weights" else self._changed

    def _show_view(self, view: DiffView) -> None:
        self.place = replace(self.place, view=view)
        self._moved.display, self._changed.display = view == "weights", view == "activations"
        if self.place.activations is None and not self.queries.waiting(_ACTIVATIONS):
            run = key_of(self.app, "diff.run")
            self._changed.show_empty(f"Not compared on texts yet.\n{run} runs both models over the corpus.")
        self._rows.focus()
        self._show()

    def _show(self) -> None:
        model, shown = self.explorer.settings.model, self._shown
        title = diff_title(model, self.place.against, shown)
        self.query_one("#diff-title", TextLines).show_words(title)
        self._show_words()
        self.refresh_bindings()

    @on(RowList.Moved)
    def _show_words(self) -> None:
        place = self.place
        if place.view == "weights":
            said = () if place.weights is None else moved_paragraphs(self._moved.current, place.weights)
        elif place.activations is None:
            said = ()
        else:
            drawn = not self._changed.plain
            said = changed_paragraphs(self._changed.current, place.activations, drawn=drawn)
        self.query_one("#diff-words", Paragraphs).show_paragraphs(said)

    def on_screen_resume(self) -> None:
        self._show_marks()  # the basket may have been open over this

    def _show_marks(self) -> None:
        marked = frozenset[object](item.neuron for item in app_of(self).selection.neurons)
        self._moved.mark(marked)
        self._changed.mark(marked)

    # --- the questions ---

    def _ask_weights(self) -> None:
        question = partial(self.explorer.diff, self.place.against, top=TOP)
        doing = "Comparing the weights of both…"
        self.ask_into(self._moved, _WEIGHTS, question, self._weights_came, doing=doing, stop="diff.stop")

    def _weights_came(self, weights: WeightDiff) -> None:
        self.place = replace(self.place, weights=weights)
        self._moved.show_empty("No neuron moved: its weights are the same in both.")
        self._moved.show_neurons(weights.neurons)
        self._show()

    def action_run(self) -> None:
        self._show_view("activations")
        question = partial(self.explorer.diff_activations, self.place.against, top=TOP)
        doing = "Running both models over the corpus…"
        self.ask_into(
            self._changed, _ACTIVATIONS, question, self._activations_came, doing=doing, stop="diff.stop"
        )

    def _activations_came(self, activations: ActivationDiff) -> None:
        self.place = replace(self.place, activations=activations)
        self._changed.show_empty("No neuron's activations changed.")
        self._changed.show_neurons(activations.neurons)
        self._show()

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What runs can be stopped, what is not there yet can be run: other keys are not offered."""
        if action == "stop":
            return self.queries.busy
        if action == "run":
            is_there = self.place.activations is not None or self.queries.waiting(_ACTIVATIONS)
            return bool(self.place.against) and not is_there
        return True

    def action_stop(self) -> None:
        choose, run = (key_of(self.app, action) for action in ("diff.choose", "diff.run"))
        if self.queries.waiting(_WEIGHTS):
            self._moved.show_empty(f"Stopped.\n{choose} compares again.")
        if self.queries.waiting(_ACTIVATIONS):
            self._changed.show_empty(f"Stopped.\n{run} goes on where it was.")
        self.queries.cancel_all()
        self._show()

    def action_view(self) -> None:
        self._show_view("activations" if self.place.view == "weights" else "weights")

    def action_choose(self) -> None:
        """Ask for the other model, and compare with that; without one there is nothing to show."""
        against = self.place.against

        def chosen(text: str | None) -> None:
            if text and (text != against or self.place.weights is None):
                self.queries.cancel_all()
                self.place = DiffPlace(text, moved_by=self._moved.order, changed_by=self._changed.order)
                self._moved.show_neurons(())
                self._changed.show_neurons(())
                self._show_view("weights")
                self._ask_weights()
            elif not against:
                self.dismiss(None)

        title = "Compare with: a hub name, a folder or a .gguf file"
        self.app.push_screen(OneLineScreen(title, against, "compare"), chosen)

    @on(RowList.Opened)
    def _opened(self) -> None:
        if self.queries.waiting(_ACTIVATIONS):
            stop = key_of(self.app, "diff.stop")
            self.show_message(f"Both models are running over the corpus: wait, or stop that ({stop}).")
        else:
            self._open_in_both()

    def _open_in_both(self) -> None:
        row = self._rows.current
        if row is None:
            return

        def closed(where_to: Place | None) -> None:
            if where_to is not None:
                self._leave(where_to, opened=True)

        self.app.push_screen(NeuronDiffScreen(self.explorer, self.place.against, row), closed)

    def action_go_on(self) -> None:
        row = self._rows.current
        if row is not None:
            self.dismiss(Place(row.top_token_before, row.neuron, pane="prompts"))

    def action_mark(self) -> None:
        item, app = self._rows.marked_item(), app_of(self)
        if item is not None:
            app.selection = basket.toggle(app.selection, item)
            self._show_marks()

    def action_export(self) -> None:
        RecordsScreen.open_over(self, self.explorer, self._shown, f"lookups-diff-{self.place.view}")

    def action_copy_as(self, what: str) -> None:
        text = continued_diff(what, self.place.against, self.place.view, None, self.explorer.settings)
        self.app.copy_to_clipboard(text)

    # --- the end ---

    def _leave(self, result: Place | None, *, opened: bool = False) -> AwaitComplete:
        row = self._rows.current
        self.place = replace(
            self.place,
            moved_by=self._moved.order,
            changed_by=self._changed.order,
            neuron=None if row is None else row.neuron,
            opened=opened,
        )
        return super().dismiss(result)

    def dismiss(self, result: Place | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        return self._leave(result) if self.is_current else super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)
