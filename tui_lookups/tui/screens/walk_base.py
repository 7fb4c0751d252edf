"""What the parts of the walk screen share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.reactive import reactive

    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import SelectedAblation, Token
    from tui_lookups.tui.app import LookupsApp
    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.screens.walk_view import WalkView
    from tui_lookups.tui.state.head_explanations import HeadExplanations
    from tui_lookups.tui.state.head_run import HeadRun
    from tui_lookups.tui.state.history import Place
    from tui_lookups.tui.state.layouts import Layout, Pane
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.widgets.head_grid import HeadGrid
    from tui_lookups.tui.widgets.prompt_list import PromptList
    from tui_lookups.tui.widgets.row_list import RowList


if TYPE_CHECKING:
    Part = Screen[None]
else:

    class Part(metaclass=type(Screen)):
        """Textual's metaclass finds the handlers of a part; as a screen it would hold up the first paint."""


class WalkBase(Part):
    """State every part reads; `WalkScreen`, which is the screen, makes it."""

    explorer: ExplorerLike
    queries: Queries
    walk: Walk
    explanations: HeadExplanations
    head_run: HeadRun
    view: WalkView
    focused_pane: reactive[Pane]
    size_class: reactive[Layout]
    touched: bool
    """Whether the person went anywhere: only then is there something to save."""

    @property
    def owner(self) -> LookupsApp:
        """The app, typed."""
        return cast("LookupsApp", self.app)

    def key(self, action: str) -> str:
        """The key an action is on, as it is shown."""
        return self.owner.key_of(action)

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)

    def furnish(self) -> None:
        """Mount the lines that are typed on, unless they are."""
        raise NotImplementedError

    def body(self, pane: Pane) -> RowList | PromptList | HeadGrid:
        """The widget that takes the keys in a pane."""
        raise NotImplementedError

    def when_at_rest(self, action: object) -> None:
        """Do something once the cursor has not moved for a moment."""
        raise NotImplementedError

    def look_at_head(self) -> None:
        """Ask what the head under the cursor reads, and what has been said of it."""
        raise NotImplementedError

    def tour_follows(self, pane: Pane) -> None:
        """The person went to a pane: where a tour is on, it goes on from there."""
        raise NotImplementedError

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

    def open_ablation(self, marked: SelectedAblation) -> None:
        """Show a marked ablation."""
        raise NotImplementedError

    def open_place(self, place: Place) -> None:
        """Go to a token, its neuron and what is under it, as one step."""
        raise NotImplementedError

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        raise NotImplementedError

    def missing(self, named: NeuronId | HeadId) -> str:
        """Why a neuron or head cannot be opened, or nothing."""
        raise NotImplementedError

    def open_named(self, neuron: NeuronId) -> None:
        """Open a neuron that was typed by name; says why where there is none."""
        raise NotImplementedError

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show what a neuron promotes and what fires it."""
        raise NotImplementedError
