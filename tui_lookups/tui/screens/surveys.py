"""How the survey and a head's side are opened over the walk, and what is gone on with from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.ids import HeadId
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.left_screens import ServedByPlace, SurveyPlace
from tui_lookups.tui.state.survey_run import SurveyRun
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import SurveyedPair
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.state.left_screens import LeftScreen
    from tui_lookups.tui.state.queries import Queries


class SurveyScreens:
    """Opens them over `screen`, each as it was left."""

    def __init__(self, screen: Screen[None], explorer: Explorer, queries: Queries, places: Places) -> None:
        self._screen = screen
        self._explorer = explorer
        self._places = places
        self.run = SurveyRun(explorer, queries, lambda text: app_of(screen).show_message(text))
        self._survey_place = SurveyPlace()
        self._served_place: ServedByPlace | None = None

    def served_by(self, head: HeadId, *, from_survey: bool = False) -> None:
        """The neurons that a head serves."""
        run, last = self.run, self._served_place
        place = ServedByPlace(head, run.per_layer, run.layers, from_survey=from_survey)
        if last is not None and last.asks_as(place):
            place = replace(last, from_survey=from_survey)
        self._open_served_by(place)

    def survey(self) -> None:
        """The survey, and the run that fills it."""
        self._open_survey(self._survey_place)

    def reopen(self, place: ServedByPlace | SurveyPlace) -> None:
        """Open one of them as it was left."""
        if isinstance(place, ServedByPlace):
            self._open_served_by(place)
        else:
            self._open_survey(place)

    def _open_served_by(self, place: ServedByPlace) -> None:
        from tui_lookups.tui.screens.served_by import ServedByScreen

        screen = ServedByScreen(self._explorer, place)

        def closed(pair: SurveyedPair | None) -> None:
            self._served_place = screen.place
            if pair is not None:
                self._go_on(pair, screen.place)
            elif place.from_survey:
                self.survey()

        self._screen.query_one(Hints).hush()  # what it says is of where the person goes away from
        self._screen.app.push_screen(screen, closed)

    def _open_survey(self, place: SurveyPlace) -> None:
        from tui_lookups.tui.screens.survey import SurveyScreen

        screen = SurveyScreen(self._explorer, self.run, place)

        def closed(opened: SurveyedPair | HeadId | None) -> None:
            self._survey_place = screen.place
            if isinstance(opened, HeadId):
                self.served_by(opened, from_survey=True)
            elif opened is not None:
                self._go_on(opened, screen.place)

        self._screen.query_one(Hints).hush()
        self._screen.app.push_screen(screen, closed)

    def _go_on(self, pair: SurveyedPair, over: LeftScreen) -> None:
        self._places.open_beyond(Place(pair.token, pair.neuron, head=pair.head, pane="detail"), over)
        app = app_of(self._screen)
        app.show_message(f"{pair.head} for {pair.neuron}; {app.key_of('walk.back')} goes back.")
