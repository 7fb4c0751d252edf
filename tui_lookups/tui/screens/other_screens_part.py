"""The part of the walk screen that leads elsewhere and back: atlas, playground, explanations, session."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from tui_lookups import results
from tui_lookups.errors import LookupsError
from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.results import AtlasNeuron, Explanation, SessionState
    from tui_lookups.tui.screens.atlas import AtlasPlace
    from tui_lookups.tui.screens.playground import PlaygroundScreen
    from tui_lookups.tui.state.basket import Item
    from tui_lookups.tui.state.layouts import Pane


class OtherScreensPart(WalkBase):
    """Each screen is as it was left when it is opened again."""

    KEYS: ClassVar[list[BindingType]] = [
        Binding("A", "atlas", "atlas", id="walk.atlas", tooltip="The model's next-token neurons by layer"),
        Binding(
            "P", "playground", "playground", id="walk.playground", tooltip="The neuron on any text you type"
        ),
        Binding("i", "explained", "explained", id="walk.explained", tooltip="Everything explained so far"),
        Binding(
            "R",
            "restore",
            "restore",
            id="walk.restore",
            tooltip="Back to where the last session was left",
            show=False,
        ),
    ]

    _atlas_place: AtlasPlace | None = None
    _playground: PlaygroundScreen | None = None

    def action_atlas(self) -> None:
        from tui_lookups.tui.screens.atlas import AtlasPlace, AtlasScreen

        screen = AtlasScreen(self.explorer, self._atlas_place or AtlasPlace(self._layer_row()))

        def closed(found: AtlasNeuron | None) -> None:
            self._atlas_place = screen.place
            if found is not None:
                self.open_place(Place(found.top_token, found.neuron, pane="prompts"))

        self.app.push_screen(screen, closed)

    def _layer_row(self) -> int:
        """The row of the open neuron's layer in the atlas."""
        layers, neuron = self.explorer.status().layers, self.walk.neuron
        if neuron is None:
            return 0
        return neuron.layer if layers is None else layers.index(neuron.layer) if neuron.layer in layers else 0

    def action_playground(self) -> None:
        neuron = self.walk.neuron
        if neuron is None:
            self.say("Open a neuron first: the playground is about one.")
            return
        from tui_lookups.tui.screens.playground import PlaygroundScreen

        last = self._playground
        pinned = last.pinned if last is not None and last.neuron == neuron else ()
        stats = None if self.walk.prompts is None else self.walk.prompts.stats
        # Before anything is scanned, maximum and minimum are infinite.
        known = max(abs(stats.maximum), abs(stats.minimum)) if stats is not None and stats.tokens else 0.0
        text = "" if last is None else last.text
        self._playground = PlaygroundScreen(
            self.explorer, neuron, text, pinned, known_maximum=known, sign=self.owner.options.sign
        )
        self.app.push_screen(self._playground)

    def action_explained(self) -> None:
        from tui_lookups.tui.screens.explained import ExplainedScreen

        def closed(about: Explanation | None) -> None:
            if about is not None:
                self.open_place(Place(self.walk.token, about.neuron, head=about.head, pane="detail"))

        self.app.push_screen(ExplainedScreen(self.explorer, lambda: self.owner.selection), closed)

    def open_marked(self, item: Item) -> None:
        """Go to a marked thing, whatever screens lie over the walk."""
        for screen in reversed(self.app.screen_stack[1:]):
            screen.dismiss(None)
        token = self.walk.token
        if isinstance(item, results.SelectedNeuron):
            place = Place(item.token or token, item.neuron, pane="prompts")
        elif isinstance(item, results.SelectedPrompt):
            place = Place(token, item.neuron, item.prompt_id, pane="prompts")
        elif isinstance(item, results.SelectedAblation):
            self.walk.take_context(trimmed=item.context == "trimmed")
            self.open_place(Place(token, item.neuron, head=item.head, pane="detail"))
            self.open_ablation(item)
            return
        else:
            if self.walk.over_all != (item.prompt_id is None):
                self.walk.toggle_over_all()
            if item.context is not None:
                self.walk.take_context(trimmed=item.context == "trimmed")
            place = Place(token, item.neuron, item.prompt_id, item.head, "detail")
        self.open_place(place)

    # --- the last session ---

    def session(self) -> SessionState | None:
        """What is worth keeping of where the person is; None while they have done nothing."""
        here, marked = self.here(), self.owner.selection
        if not self.touched and not len(marked):
            return None
        return results.SessionState(here.token, here.neuron, here.prompt_id, here.head, marked)

    def save_session(self) -> str:
        """Keep the session, on the way out; returns what went wrong, in a sentence, or nothing."""
        session = self.session()
        if session is None:
            return ""
        try:
            self.explorer.save_session(session)
        except LookupsError as error:
            return str(error)
        return ""

    def offer_session(self) -> None:
        """Say, once, that the last session of this model can be gone back to."""

        def done(session: SessionState | None) -> None:
            if session is None or self.touched:  # who has gone somewhere has begun anew
                return
            count = len(session.basket)
            where = "" if session.neuron is None else f" at {session.neuron}"
            marked = f", {count} marked" if count else ""
            self.say(f"{self.key('walk.restore')} goes back to your last session{where}{marked}.")

        def failed(error: BaseException) -> None:
            self.say(" ".join(explain_error(error)))

        self.queries.ask("session", self.explorer.load_session, done, failed)

    def action_restore(self) -> None:
        def done(session: SessionState | None) -> None:
            if session is None:
                self.say("No session of this model was saved yet: leaving the app saves one.")
                return
            self.owner.selection = session.basket
            pane: Pane = "prompts" if session.neuron is not None else "neurons"
            self.open_place(Place(session.token, session.neuron, session.prompt_id, session.head, pane))
            self.say(f"This is where the last session was left; {self.key('walk.before')} goes back.")

        def failed(error: BaseException) -> None:
            self.say(" ".join(explain_error(error)))

        self.queries.ask("restore", self.explorer.load_session, done, failed)
        if self.queries.waiting("restore"):
            self.say("Looking for the last session…")
