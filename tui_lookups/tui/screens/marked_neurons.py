"""How the heads of the marked neurons are opened over the walk, and what is gone on with from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.given_text import given_up_to
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.left_screens import SharedHeadsPlace
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import SelectedNeuron
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.state.walk import Walk


class MarkedNeurons:
    """Opens the heads that they share over `screen`, as they were left."""

    def __init__(self, screen: Screen[None], explorer: Explorer, walk: Walk, places: Places) -> None:
        self._screen = screen
        self._explorer = explorer
        self._walk = walk
        self._places = places
        self._place: SharedHeadsPlace | None = None

    def shared_heads(self) -> None:
        """Those of the neurons that are marked, two of them at least."""
        app, last = app_of(self._screen), self._place
        marked = app.selection.neurons
        if len(marked) < 2:
            app.show_message(
                f"Mark two neurons or more first: {app.key_of('walk.mark')} marks the one under the cursor."
            )
        elif last is not None and last.neurons == marked:
            self.reopen(last)
        else:
            self.reopen(SharedHeadsPlace(marked, self._text()))

    def _text(self) -> str:
        """The open prompt up to its peak; empty where none is open."""
        prompt, listed = self._walk.prompt, self._walk.prompts
        if prompt is None or listed is None:
            return ""
        return given_up_to(prompt.tokens, prompt.peak.position, listed.provenance.model).text

    def reopen(self, place: SharedHeadsPlace) -> None:
        """Open them as they were left."""
        from tui_lookups.tui.screens.shared_heads import SharedHeadsScreen

        screen = SharedHeadsScreen(self._explorer, place)

        def closed(opened: tuple[HeadId, SelectedNeuron] | None) -> None:
            self._place = screen.place
            if opened is not None:
                self._go_on(*opened)

        self._screen.query_one(Hints).hush()  # what it says is of where the person goes away from
        self._screen.app.push_screen(screen, closed)

    def _go_on(self, head: HeadId, marked: SelectedNeuron) -> None:
        assert self._place is not None
        token = marked.token or self._walk.token
        self._places.open_beyond(Place(token, marked.neuron, head=head, pane="detail"), self._place)
        app = app_of(self._screen)
        app.show_message(f"{head} for {marked.neuron}; {app.key_of('walk.back')} goes back.")
