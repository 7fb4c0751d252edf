"""The last session: what is worth keeping of where the person is, and going back to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.errors import LookupsError
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import SessionState
    from tui_lookups.tui.panes.pane_set import PaneSet
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.notes import Notes
    from tui_lookups.tui.state.queries import Queries


class Session:
    """Keeps and opens places of the walk on `screen`."""

    def __init__(
        self,
        screen: Screen[None],
        explorer: Explorer,
        queries: Queries,
        places: Places,
        panes: PaneSet,
        notes: Notes,
    ) -> None:
        self._screen = screen
        self._explorer = explorer
        self._queries = queries
        self._places = places
        self._panes = panes
        self._notes = notes
        self._last: SessionState | None = None
        """As it was found at the start; a place that was left is kept where only rooms changed."""
        self._looked = False

    def state(self) -> SessionState | None:
        """What is worth keeping of where the person is; None while they have done nothing."""
        here, marked = self._places.here(), app_of(self._screen).selection
        rooms = tuple(self._panes.own_rooms) if any(self._panes.own_rooms) else None
        if self._places.history.begun or len(marked):
            prompt_id = None if here.prompt_id == GIVEN else here.prompt_id
            return results.SessionState(here.token, here.neuron, prompt_id, here.head, marked, rooms=rooms)
        if not self._looked:
            return None
        last = self._last or results.SessionState(None, None, None, None, results.Selection())
        return None if rooms == last.rooms else replace(last, rooms=rooms)

    def save(self) -> str:
        """Keep the session, on the way out; returns what went wrong, in a sentence, or nothing."""
        session = self.state()
        if session is None:
            return ""
        try:
            self._explorer.save_session(session)
        except LookupsError as error:
            return str(error)
        return ""

    def offer(self) -> None:
        """Say, once, that the last session of this model can be gone back to."""

        def done(session: SessionState | None) -> None:
            self._last, self._looked = session, True
            if session is not None and session.rooms is not None and not any(self._panes.own_rooms):
                self._panes.take_rooms(session.rooms)
            if session is None or not (session.token or session.neuron or len(session.basket)):
                return
            if self._places.history.begun:  # who has gone somewhere has begun anew
                return
            count, key = len(session.basket), app_of(self._screen).key_of("walk.restore")
            where = "" if session.neuron is None else f" at {session.neuron}"
            marked = f", {count} marked" if count else ""
            app_of(self._screen).say(f"{key} goes back to your last session{where}{marked}.")

        self._queries.ask("session", self._explorer.load_session, done, self._failed)
        self._notes.look_up()

    def restore(self) -> None:
        """Go back to where the last session was left."""
        app = app_of(self._screen)

        def done(session: SessionState | None) -> None:
            if session is None:
                app.say("No session of this model was saved yet: leaving the app saves one.")
                return
            app.selection = session.basket
            pane: PaneName = "prompts" if session.neuron is not None else "neurons"
            self._places.open_place(
                Place(session.token, session.neuron, session.prompt_id, session.head, pane)
            )
            key = app.key_of("walk.before")
            app.say(f"This is where the last session was left; {key} goes back.")

        self._queries.ask("restore", self._explorer.load_session, done, self._failed)
        if self._queries.waiting("restore"):
            app.say("Looking for the last session…")

    def _failed(self, error: BaseException) -> None:
        app_of(self._screen).say(" ".join(explain_error(error)))
