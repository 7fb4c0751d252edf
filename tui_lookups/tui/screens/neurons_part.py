"""The part of the walk screen about the neurons: opening one, filtering by layer, own token and text."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.row_list import RowList


class NeuronsPart(WalkBase):
    """The layer and own-token filters ask anew; the text filter sifts what is there."""

    @on(RowList.Opened, "#neurons")
    def _neuron_opened(self) -> None:
        score = self.query_one(NeuronsTable).under_cursor
        if score is not None:
            self.open_neuron(score.neuron)
            self.go("prompts")

    @on(NeuronsTable.Filter)
    def _neurons_filtered(self, event: NeuronsTable.Filter) -> None:
        walk = self.walk
        status = self.explorer.status()
        layer = walk.layer
        if event.layer_step and status.model is not None:
            # a neuron of a layer that is not scanned has no prompts to go on to
            scanned = range(status.model.n_layers) if status.layers is None else status.layers
            choices: list[int | None] = [None, *scanned]
            now = choices.index(layer) if layer in choices else 0
            layer = choices[(now + event.layer_step) % len(choices)]
        own = walk.own_only != event.toggle_own
        walk.filter_neurons(layer=layer, own_only=own)

    def action_filter(self) -> None:
        self.furnish()
        self.go("neurons")
        box = self.query_one("#filter", Input)
        box.add_class("-shown")
        box.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.query_one(NeuronsTable).sift(event.value)
        self.show_neurons()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        neuron = self.query_one(NeuronsTable).unlisted
        if neuron is not None and self.missing(neuron):
            self.say(self.missing(neuron))
            return
        if neuron is not None:
            self.leave_filter()
            self.open_named(neuron)
            return
        self.query_one("#filter").set_class(bool(self.query_one(NeuronsTable).needle), "-shown")
        self.go("neurons")

    def leave_filter(self) -> None:
        """Whatever text they have, neurons are shown again."""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.remove_class("-shown")
        self.go("neurons")

    def end_filter(self) -> bool:
        """Escape in the neurons: the text filter goes, else filters that leave nothing; whether one went."""
        table, walk = self.query_one(NeuronsTable), self.walk
        if table.needle:
            self.leave_filter()
        elif walk.ranking is not None and not table.total and (walk.layer is not None or walk.own_only):
            walk.filter_neurons(layer=None, own_only=False)
        else:
            return False
        return True
