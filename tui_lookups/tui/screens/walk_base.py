"""What the parts of the walk screen share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.reactive import reactive

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.app import LookupsApp
    from tui_lookups.tui.asks import Asks
    from tui_lookups.tui.door import Door
    from tui_lookups.tui.head_run import HeadRun
    from tui_lookups.tui.layouts import Pane
    from tui_lookups.tui.trail import Place
    from tui_lookups.tui.walk import Walk
    from tui_lookups.tui.words import HeadWords


class WalkBase(Screen[None]):
    """State every part reads; `WalkScreen` makes it."""

    door: Door
    asks: Asks
    walk: Walk
    words: HeadWords
    head_run: HeadRun
    focused_pane: reactive[Pane]
    touched: bool
    """Whether the person went anywhere: only then is there something to save."""

    @property
    def owner(self) -> LookupsApp:
        """The app, typed."""
        return cast("LookupsApp", self.app)

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)

    def go(self, pane: Pane) -> None:
        """Show a pane and give it the focus."""
        raise NotImplementedError

    @property
    def shows_heads(self) -> bool:
        """Whether the heads are on screen."""
        raise NotImplementedError

    def show_token_under(self) -> None:
        """Say what is under the token cursor."""
        raise NotImplementedError

    def show_neurons(self) -> None:
        """Show the neurons that pass the filters."""
        raise NotImplementedError

    def go_back_to_pane(self) -> None:
        """Give the focus to the pane that had it."""
        raise NotImplementedError

    def here(self) -> Place:
        """Where the person is."""
        raise NotImplementedError

    def open_place(self, place: Place) -> None:
        """Go to a token, its neuron and what is under it, as one step."""
        raise NotImplementedError

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        raise NotImplementedError

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show what a neuron promotes and what fires it."""
        raise NotImplementedError
