"""Where the walk goes: opening things, and back and forward along what was open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.history import History, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import Item, Token
    from tui_lookups.tui.panes.pane_set import PaneSet
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.left_screens import Door, LeftScreen
    from tui_lookups.tui.state.steps import Steps
    from tui_lookups.tui.state.walk import Walk


class Places:
    """Every step of the person's own is remembered; going back opens the place as it was left.

    `panes` know which of them has the focus, `go` gives it to another, `show_head` puts the cursor on a head.
    """

    reopen: Callable[[LeftScreen], None]
    """Opens a screen over the walk as it was left."""

    def __init__(
        self,
        walk: Walk,
        steps: Steps,
        panes: PaneSet,
        go: Callable[[PaneName], None],
        show_head: Callable[[HeadId], None],
    ) -> None:
        self._walk = walk
        self._steps = steps
        self._panes = panes
        self.show_pane = go
        self._show_head = show_head
        self.history = History()

    @property
    def position(self) -> int:
        """The token under the cursor of the open prompt."""
        return self._panes.prompts.position

    def take_search(self) -> str:
        """What the prompts are searched for, which they are no longer."""
        return self._panes.prompts.take_search()

    def here(self) -> Place:
        """Where the person is."""
        walk = self._walk
        where = walk.token, walk.neuron, walk.prompt_id, walk.head
        return Place(*where, self._panes.focused, walk.given, self.position)

    def _step_away(self) -> None:
        """The person goes their own way: where they are is remembered."""
        self.history.leave(self.here())
        self._steps.tokens.forget_story()

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        self._step_away()
        self._steps.tokens.open_token(token, best=True)
        self.show_pane("neurons")

    def open_neuron(self, neuron: NeuronId, then: PaneName) -> None:
        """Show what a neuron promotes and what fires it, and go to a pane of it."""
        if neuron != self._walk.neuron:
            self._step_away()
        self._steps.neurons.open_neuron(neuron)
        self.show_pane(then)

    def open_place(self, place: Place) -> None:
        """Go to a token, its neuron and what is under it, as one step."""
        if place.subject != self.here().subject:
            self._step_away()
        self._arrive(place)

    def open_beyond(self, place: Place, over: LeftScreen) -> None:
        """Go on with what was met on `over`; escape leads back there."""
        self._leave_through(over, place.pane)
        self._arrive(place)

    def _leave_through(self, over: LeftScreen, pane: PaneName) -> None:
        self.history.leave(self.here()._replace(over=over, led_to=pane))
        self._steps.tokens.forget_story()

    def open_door(self, door: Door, over: LeftScreen) -> None:
        """Go on with a neuron or a head that was met on `over`, on the text it was met on.

        Without a text it is a head of the open neuron, on what is open.
        """
        walk = self._walk
        pane: PaneName = "prompts" if door.head is None else "detail"
        self._leave_through(over, pane)
        if walk.over_all and door.head is not None:
            self._steps.heads.toggle_over_all()
        given, prompt_id = (walk.given, walk.prompt_id) if door.text is None else (door.text, GIVEN)
        token = walk.token if door.token is None else door.token
        self._arrive(Place(token, door.neuron, prompt_id, door.head, pane, given))

    def leave_door(self) -> bool:
        """Back through a door, where the person stands where it led; whether they do."""
        before = self.history.before
        through = before is not None and before.over is not None and before.led_to == self._panes.focused
        if through:
            self.step(-1)
        return through

    def open_item(self, item: Item) -> None:
        """Go to a marked thing, on the texts that it was marked on."""
        token, heads = self._walk.token, self._steps.heads
        if isinstance(item, results.SelectedNeuron):
            place = Place(item.token or token, item.neuron, pane="prompts")
        elif isinstance(item, results.SelectedPrompt):
            place = Place(token, item.neuron, item.prompt_id, pane="prompts")
        elif isinstance(item, results.SelectedAblation):
            heads.take_context(trimmed=item.context == "trimmed")
            place = Place(token, item.neuron, head=item.head, pane="detail")
        else:
            if self._walk.over_all != (item.prompt_id is None):
                heads.toggle_over_all()
            if item.context is not None:
                heads.take_context(trimmed=item.context == "trimmed")
            place = Place(token, item.neuron, item.prompt_id, item.head, "detail")
        self.open_place(place)

    def step(self, by: int) -> str:
        """Back (-1) or forward; says why where there is nothing to go to."""
        here = self.here()
        place = self.history.back(here) if by < 0 else self.history.forward(here)
        if place is None:
            return "This is where the walk began." if by < 0 else "There is nothing to go forward to."
        self._steps.tokens.forget_story()
        self._arrive(place)
        if place.over is not None:
            self.reopen(place.over)
        return ""

    def _arrive(self, place: Place) -> None:
        if place.token is not None and (place.token != self._walk.token or place.neuron is None):
            self._steps.tokens.open_token(place.token, best=place.neuron is None)
        if place.neuron is not None:
            if (place.neuron, place.text) != (self._walk.neuron, self._walk.given):
                self._steps.neurons.close_neuron()
            self._steps.neurons.open_neuron(
                place.neuron,
                prompt_id=place.prompt_id,
                position=place.position,
                head=place.head,
                text=place.text,
            )
        elif place.token is None:
            self._steps.neurons.close_neuron()
        self.show_pane(place.pane)
        if place.head is not None and place.head == self._walk.head:
            self._show_head(place.head)
