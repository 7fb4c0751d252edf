"""The session: what is kept of where a person is, under a name or as the last one, and going back to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.errors import LookupsError
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.state.token_sets import members_of

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import SavedSession, SessionState
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
        name: str,
    ) -> None:
        """`name` is that of the session to open, empty for the last one."""
        self._screen = screen
        self._explorer = explorer
        self._queries = queries
        self._places = places
        self._panes = panes
        self._notes = notes
        self.name = name
        self._last: SessionState | None = None
        """As it was found at the start; a place that was left is kept where only rooms changed."""
        self._looked = False

    def state(self) -> SessionState | None:
        """What is worth keeping of where the person is; None while they have done nothing."""
        here, marked = self._places.here(), app_of(self._screen).selection
        rooms = tuple(self._panes.own_rooms) if any(self._panes.own_rooms) else None
        if self._places.history.begun or len(marked) or self.name:
            prompt_id = None if here.prompt_id == GIVEN else here.prompt_id
            (first, *_) = members_of(here.token) or (None,)
            several = here.token if isinstance(here.token, results.TokenSet) else None
            where = first, here.neuron, prompt_id, here.head
            return results.SessionState(*where, marked, rooms=rooms, token_set=several)
        if not self._looked:
            return None
        last = self._last or results.SessionState(None, None, None, None, results.Selection())
        return None if rooms == last.rooms else replace(last, rooms=rooms)

    def save(self) -> str:
        """Keep the session, on the way out; returns what is to be said of it, in a sentence, or nothing."""
        session = self.state()
        if session is None:
            return ""
        try:
            kept = self._explorer.save_session(session, self.name)
        except LookupsError as error:
            return str(error)
        if kept is None or kept.name == self.name:
            return ""
        return f"{_named(self.name)} is open in another process: yours was kept as “{kept.name}”."

    def offer(self) -> None:
        """Open the session that was named at the start, or say once that the last one can be gone back to."""

        def question() -> tuple[bool, SessionState | None]:
            return self._explorer.claim_session(self.name), self._explorer.load_session(self.name)

        def done(found: tuple[bool, SessionState | None]) -> None:
            own, session = found
            self._last, self._looked = session, True
            if session is not None and session.rooms is not None and not any(self._panes.own_rooms):
                self._panes.take_rooms(session.rooms)
            if self.name:
                self._begin(self.name, session, own=own)
            elif session is not None and not self._places.history.begun:
                self._offer_last(session)

        self._queries.ask("session", question, done, self._failed)
        self._notes.look_up()

    def _offer_last(self, session: SessionState) -> None:
        if not (session.token or session.neuron or len(session.basket)):
            return
        count, key = len(session.basket), app_of(self._screen).key_of("walk.restore")
        where = "" if session.neuron is None else f" at {session.neuron}"
        marked = f", {count} marked" if count else ""
        app_of(self._screen).show_message(f"{key} goes back to your last session{where}{marked}.")

    def restore(self) -> None:
        """Go back to where the session was left."""
        app = app_of(self._screen)

        def done(session: SessionState | None) -> None:
            if session is None:
                app.show_message("No session of this model was saved yet: leaving the app saves one.")
                return
            self._go_to(session)
            key = app.key_of("walk.before")
            app.show_message(f"This is where the last session was left; {key} goes back.")

        self._queries.ask("restore", lambda: self._explorer.load_session(self.name), done, self._failed)
        if self._queries.waiting("restore"):
            app.show_message("Looking for the last session…")

    def _go_to(self, session: SessionState) -> None:
        app_of(self._screen).selection = session.basket
        pane: PaneName = "prompts" if session.neuron is not None else "neurons"
        token = session.token_set or session.token
        self._places.open_place(Place(token, session.neuron, session.prompt_id, session.head, pane))

    # --- sessions with names ---

    def save_as(self, name: str) -> None:
        """Keep the session under this name from now on."""
        app = app_of(self._screen)
        session = self.state() or results.SessionState(None, None, None, None, app.selection)

        def question() -> SavedSession | None:
            taken = {session.name for session in self._explorer.sessions()} - {self.name}
            if name in taken:
                raise LookupsError(
                    f"There is a session “{name}” already.", "Take another name, or delete it."
                )
            return self._explorer.save_session(session, name)

        def done(kept: SavedSession | None) -> None:
            if kept is None:
                app.show_message("The model is not known yet: a session is of a model.")
                return
            self.name = kept.name
            app.show_message(f"{_named(kept.name)} is kept, and again when you leave.")

        self._queries.ask("save session", question, done, self._failed)

    def open(self, name: str) -> None:
        """Keep this session, and go on in another one."""
        if said := self.save():
            app_of(self._screen).show_message(said)

        def question() -> tuple[bool, SessionState | None]:
            return self._explorer.claim_session(name), self._explorer.load_session(name)

        def done(found: tuple[bool, SessionState | None]) -> None:
            self._begin(name, found[1], own=found[0])

        self._queries.ask("restore", question, done, self._failed)

    def _begin(self, name: str, session: SessionState | None, *, own: bool) -> None:
        """Go on in this session, which is new where there is no state of it."""
        self.name = name
        if session is not None:
            self._go_to(session)
        said = "begins here: leaving keeps it" if session is None else "goes on where it was left"
        if not own:
            said = "is open in another process; leaving keeps yours under another name"
        app_of(self._screen).show_message(f"{_named(name)} {said}.")

    def _failed(self, error: BaseException) -> None:
        app_of(self._screen).show_message(" ".join(explain_error(error)))


def _named(name: str) -> str:
    return f"Session “{name}”" if name else "The last session"
