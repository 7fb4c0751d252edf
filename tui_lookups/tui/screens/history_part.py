"""The part of the walk screen about where the walk goes: opening things, and back and forward along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.widgets.head_grid import HeadGrid

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.state.history import History


class HistoryPart(WalkBase):
    """Every step of the person's own is remembered; going back opens the place as it was left."""

    history: History

    def here(self) -> Place:
        """Where the person is."""
        walk = self.walk
        return Place(walk.token, walk.neuron, walk.prompt_id, walk.head, self.focused_pane)

    def _step_away(self) -> None:
        """The person goes their own way: where they are is remembered."""
        self.history.leave(self.here())
        self.walk.forget_story()
        self.touched = True

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        self._step_away()
        self.walk.open_token(token, best=True)
        self.go("neurons")

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show what a neuron promotes and what fires it."""
        if neuron != self.walk.neuron:
            self._step_away()
        self.walk.open_neuron(neuron)

    def open_place(self, place: Place) -> None:
        """Go to a token, its neuron and what is under it, as one step."""
        if place.subject != self.here().subject:
            self._step_away()
        self._arrive(place)

    def _arrive(self, place: Place) -> None:
        if place.token is not None and (place.token != self.walk.token or place.neuron is None):
            self.walk.open_token(place.token, best=place.neuron is None)
        if place.neuron is not None:
            self.walk.open_neuron(place.neuron, prompt_id=place.prompt_id, head=place.head)
        self.go(place.pane)
        if place.head is not None and place.head == self.walk.head:
            self.query_one(HeadGrid).go_to(place.head)
            self.look_at_head()  # where the heads are shown already, no answer brings this about

    def action_history(self, by: int) -> None:
        place = self.history.back(self.here()) if by < 0 else self.history.forward(self.here())
        if place is None:
            self.say("This is where the walk began." if by < 0 else "There is nothing to go forward to.")
            return
        self.walk.forget_story()
        self._arrive(place)
