"""What lies over the walk and leads back to it: why a token, inputs, traces, the corpus searched, a head's
side, survey, heads that neurons share, two models, atlas, playground, explanations; and what leads out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.ids import HeadId
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.screens.comparing import Comparing
from tui_lookups.tui.screens.marked_neurons import MarkedNeurons
from tui_lookups.tui.screens.surveys import SurveyScreens
from tui_lookups.tui.state.given_text import GIVEN, given_up_to
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.left_screens import (
    DiffPlace,
    InputsPlace,
    RevisionsPlace,
    SearchPlace,
    ServedByPlace,
    SharedHeadsPlace,
    SurveyPlace,
    TracePlace,
    WhyPlace,
)
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import AtlasNeuron, Explanation, ModelInfo
    from tui_lookups.tui.screens.atlas import AtlasPlace
    from tui_lookups.tui.screens.corpus_search import CorpusSearchScreen
    from tui_lookups.tui.screens.inputs import InputsScreen
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.screens.playground import PlaygroundScreen
    from tui_lookups.tui.screens.trace import TraceScreen
    from tui_lookups.tui.screens.why import WhyScreen
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.left_screens import Door, LeftScreen
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Walk


class OtherScreens:
    """Opens them over `screen`; each is as it was left when it is opened again."""

    def __init__(
        self,
        screen: Screen[None],
        explorer: Explorer,
        queries: Queries,
        walk: Walk,
        places: Places,
    ) -> None:
        self._screen = screen
        self._explorer = explorer
        self._walk = walk
        self._places = places
        self._surveys = SurveyScreens(screen, explorer, queries, places)
        self._marked = MarkedNeurons(screen, explorer, walk, places)
        self._comparing = Comparing(screen, explorer, walk, places)
        self._open_place = places.open_place
        places.reopen = self._reopen
        self._why_place: WhyPlace | None = None
        self._inputs_place: InputsPlace | None = None
        self._trace_place: TracePlace | None = None
        self._search_place = SearchPlace()
        self._atlas_place: AtlasPlace | None = None
        self._playground: PlaygroundScreen | None = None

    def open(self, what: str, about: str | HeadId | None = None) -> None:
        """Open one of them by name: that of a method here, or "survey".

        `about`: a text, for "why" or "playground", or a head: what it serves.
        """
        if isinstance(about, HeadId):
            self._surveys.served_by(about)
        elif about is not None:
            self.playground(about) if what == "playground" else self._reopen(WhyPlace(about))
        else:
            self._open_here(what)

    def _open_here(self, what: str) -> None:
        {
            "why": self.why,
            "inputs": self.inputs,
            "trace": self.trace,
            "search": self.search,
            "served_by": self.served_by_open_head,
            "survey": self._surveys.survey,
            "shared_heads": self._marked.shared_heads,
            "diff": self._comparing.diff,
            "revisions": self._comparing.revisions,
            "atlas": self.atlas,
            "playground": self.playground,
            "explained": self.explained,
            "figure": self.figure,
        }[what]()

    def why(self) -> None:
        """Why a token is expected after the one under the cursor, or after any text."""
        place, last = self._why_here(), self._why_place
        if last is not None and (place is None or last.asks_as(place)):
            place = last
        self._reopen(WhyPlace() if place is None else place)

    @property
    def _model(self) -> ModelInfo | None:
        """The model: its prompts may be known from before it is loaded."""
        prompts = self._walk.prompts
        return self._walk.model if prompts is None else prompts.provenance.model

    def _why_here(self) -> WhyPlace | None:
        """The open prompt up to the token under the cursor; None where no prompt is open."""
        prompt, model = self._walk.prompt, self._model
        if prompt is None or model is None:
            return None
        position = min(self._places.position, len(prompt.tokens) - 1)
        text = given_up_to(prompt.tokens, position, model).text
        if prompt.prompt_id == GIVEN:
            return WhyPlace(text)
        return WhyPlace(text, prompt.prompt_id, position)

    def inputs(self) -> None:
        """What fires the neuron on the open prompt, or over all of them."""
        place = self._inputs_here()
        if place is None:
            return
        last = self._inputs_place
        self._reopen(last if last is not None and last.asks_as(place) else place)

    def _inputs_here(self) -> InputsPlace | None:
        """The neuron on the open prompt; None, and it is said, where there is none."""
        walk, app, prompt, model = self._walk, app_of(self._screen), self._walk.prompt, self._model
        if walk.neuron is None or prompt is None or model is None:
            app.show_message(
                f"Open a neuron and a prompt first ({app.key_of('neurons.open')}): this is about them."
            )
            return None
        text = given_up_to(prompt.tokens, prompt.peak.position, model)
        place = InputsPlace(walk.neuron, prompt.prompt_id, text, None, walk.trimmed, walk.over_all)
        if prompt.prompt_id == GIVEN:
            place = replace(place, prompt_id=None, position=prompt.peak.position)
        return place

    def trace(self) -> None:
        """What fires the neuron on the open prompt, node by node."""
        place = self._inputs_here()
        if place is not None:
            self._reopen(place.trace(None))

    def search(self) -> None:
        """All texts of the corpus that hold what the prompts are searched for."""
        text, last = self._places.take_search(), self._search_place
        self._reopen(last if text in ("", last.text) else SearchPlace(text))

    def served_by_open_head(self) -> None:
        """Those of the head of the walk."""
        head, app = self._walk.head, app_of(self._screen)
        if head is None:
            app.show_message(
                f"Choose a head first: {app.key_of('walk.heads-pane')} shows those behind the neuron."
            )
        else:
            self._surveys.served_by(head)

    def _reopen(self, place: LeftScreen) -> None:
        """Open one of them as it was left; what is opened there continues the walk."""
        if isinstance(place, ServedByPlace | SurveyPlace):
            self._surveys.reopen(place)
        elif isinstance(place, SharedHeadsPlace):
            self._marked.reopen(place)
        elif isinstance(place, DiffPlace | RevisionsPlace):
            self._comparing.reopen(place)
        else:
            self._reopen_text(place)

    def _reopen_text(self, place: WhyPlace | InputsPlace | TracePlace | SearchPlace) -> None:
        from tui_lookups.tui.screens.corpus_search import CorpusSearchScreen
        from tui_lookups.tui.screens.inputs import InputsScreen
        from tui_lookups.tui.screens.trace import TraceScreen
        from tui_lookups.tui.screens.why import WhyScreen

        app = app_of(self._screen)
        screen: WhyScreen | InputsScreen | TraceScreen | CorpusSearchScreen
        if isinstance(place, WhyPlace):
            screen = WhyScreen(self._explorer, place)
        elif isinstance(place, InputsPlace):
            screen = InputsScreen(self._explorer, place)
        elif isinstance(place, SearchPlace):
            screen = CorpusSearchScreen(self._explorer, self._walk.neuron, place)
        else:
            screen = TraceScreen(self._explorer, self._as_left(place))

        def closed(found: Door | TracePlace | None) -> None:
            left = screen.place
            if isinstance(left, WhyPlace):
                self._why_place = left
            elif isinstance(left, InputsPlace):
                self._inputs_place = left
            elif isinstance(left, SearchPlace):
                self._search_place = left
            else:
                self._trace_place = left
            if isinstance(found, TracePlace):
                assert isinstance(left, WhyPlace | InputsPlace)
                self._reopen(replace(found, below=left))
            elif found is not None:
                self._places.open_door(found, left)
                app.show_message(
                    f"{found.head or found.neuron} on this text; {app.key_of('walk.back')} goes back."
                )
            elif isinstance(left, TracePlace) and left.below is not None:
                self._reopen(left.below)

        self._screen.query_one(Hints).hush()  # what it says is of where the person goes away from
        app.push_screen(screen, closed)

    def _as_left(self, place: TracePlace) -> TracePlace:
        """A trace that is opened, as far open as it was when it was left."""
        last = self._trace_place
        if place.tree is not None or last is None or not last.asks_as(place):
            return place
        return replace(last, wanted=place.wanted, below=place.below)

    def atlas(self) -> None:
        """The model's next-token neurons by layer."""
        from tui_lookups.tui.screens.atlas import AtlasPlace, AtlasScreen

        screen = AtlasScreen(self._explorer, self._atlas_place or AtlasPlace(self._layer_row()))

        def closed(found: AtlasNeuron | None) -> None:
            self._atlas_place = screen.place
            if found is not None:
                self._open_place(Place(found.top_token, found.neuron, pane="prompts"))

        self._screen.app.push_screen(screen, closed)

    def _layer_row(self) -> int:
        """The row of the open neuron's layer in the atlas."""
        layers, neuron = self._explorer.status().layers, self._walk.neuron
        if neuron is None:
            return 0
        return neuron.layer if layers is None else layers.index(neuron.layer) if neuron.layer in layers else 0

    def playground(self, given: str | None = None) -> None:
        """The neuron on any text: on what is `given`, else on the last one."""
        neuron, app = self._walk.neuron, app_of(self._screen)
        if neuron is None:
            app.show_message("Open a neuron first: the playground is about one.")
            return
        from tui_lookups.tui.screens.playground import PlaygroundScreen

        last = self._playground
        pinned = last.pinned if last is not None and last.neuron == neuron else ()
        stats = None if self._walk.prompts is None else self._walk.prompts.stats
        # Before anything is scanned, maximum and minimum are infinite.
        largest = max(abs(stats.maximum), abs(stats.minimum)) if stats is not None and stats.tokens else 0.0
        text = given if given is not None else "" if last is None else last.text
        self._playground = PlaygroundScreen(
            self._explorer, neuron, text, pinned, known_maximum=largest, sign=app.options.sign
        )
        app.push_screen(self._playground)

    def copy_as(self, what: str, pane: PaneName) -> None:
        """Copy what a pane shows as a "command" line, or as Python for a "notebook"."""
        from tui_lookups.tui.text.continuing import continued

        text, app = continued(what, self._walk, pane, self._explorer.settings), app_of(self._screen)
        if text:
            app.copy_to_clipboard(text)
        else:
            app.show_message("Nothing here that could be asked so.")

    def figure(self) -> None:
        """What the pane that has the focus shows, as a file."""
        from tui_lookups.tui.screens.figure_export import FigureScreen, figure_name, shown_in

        pane, app = self._places.here().pane, app_of(self._screen)
        answer = shown_in(pane, self._walk)
        if answer is None:
            app.show_message("There is nothing to draw in this pane yet.")
            return
        app.push_screen(
            FigureScreen(self._explorer, answer, figure_name(pane, self._walk)),
            lambda said: app.show_message(said) if said else None,
        )

    def explained(self) -> None:
        """Everything explained so far."""
        from tui_lookups.tui.screens.explained import ExplainedScreen

        def closed(about: Explanation | None) -> None:
            if about is not None:
                self._open_place(Place(self._walk.token, about.neuron, head=about.head, pane="detail"))

        app = app_of(self._screen)
        app.push_screen(ExplainedScreen(self._explorer, lambda: app.selection), closed)
