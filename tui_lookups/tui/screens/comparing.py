"""How the open model against another, and its neuron over revisions, are opened over the walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.left_screens import DiffPlace, RevisionsPlace
from tui_lookups.tui.state.token_sets import members_of
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.state.history import Place
    from tui_lookups.tui.state.walk import Walk


class Comparing:
    """Opens them over `screen`, each as it was left."""

    def __init__(self, screen: Screen[None], explorer: Explorer, walk: Walk, places: Places) -> None:
        self._screen = screen
        self._explorer = explorer
        self._walk = walk
        self._places = places
        self._diff_place: DiffPlace | None = None
        self._revisions_place: RevisionsPlace | None = None

    def diff(self) -> None:
        """The open model against another; which one is asked for the first time."""
        self.reopen(self._diff_place or DiffPlace(app_of(self._screen).options.against))

    def revisions(self) -> None:
        """The neuron of the walk over revisions."""
        app, walk, last = app_of(self._screen), self._walk, self._revisions_place
        if walk.neuron is None:
            app.show_message(f"Open a neuron first ({app.key_of('neurons.open')}): this is about one.")
            return
        token = None if walk.token is None or members_of(walk.token)[1:] else walk.token
        names = app.options.revisions if last is None else last.names
        place = RevisionsPlace(walk.neuron, token, names)
        self.reopen(last if last is not None and last.asks_as(place) else place)

    def reopen(self, place: DiffPlace | RevisionsPlace) -> None:
        """Open one of them as it was left."""
        self._screen.query_one(Hints).hush()  # what it says is of where the person goes away from
        if isinstance(place, DiffPlace):
            self._open_diff(place)
        else:
            self._open_revisions(place)

    def _open_diff(self, place: DiffPlace) -> None:
        from tui_lookups.tui.screens.diff import DiffScreen

        screen = DiffScreen(self._explorer, place)

        def closed(found: Place | None) -> None:
            self._diff_place = screen.place
            if found is not None:
                self._places.open_beyond(found, screen.place)
                app = app_of(self._screen)
                app.show_message(f"{found.head or found.neuron}; {app.key_of('walk.back')} goes back.")

        self._screen.app.push_screen(screen, closed)

    def _open_revisions(self, place: RevisionsPlace) -> None:
        from tui_lookups.tui.screens.revisions import RevisionsScreen

        screen = RevisionsScreen(self._explorer, place)

        def closed(found: DiffPlace | None) -> None:
            self._revisions_place = screen.place
            if found is not None:
                self.reopen(found)

        self._screen.app.push_screen(screen, closed)
