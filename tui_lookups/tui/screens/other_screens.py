"""What lies over the walk and leads back to it: atlas, playground, explanations; and what leads out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.history import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import AtlasNeuron, Explanation
    from tui_lookups.tui.screens.atlas import AtlasPlace
    from tui_lookups.tui.screens.playground import PlaygroundScreen
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.walk import Walk


class OtherScreens:
    """Opens them over `screen`; each is as it was left when it is opened again."""

    def __init__(
        self,
        screen: Screen[None],
        explorer: Explorer,
        walk: Walk,
        open_place: Callable[[Place], None],
    ) -> None:
        self._screen = screen
        self._explorer = explorer
        self._walk = walk
        self._open_place = open_place
        self._atlas_place: AtlasPlace | None = None
        self._playground: PlaygroundScreen | None = None

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

    def playground(self) -> None:
        """The neuron on any text."""
        neuron, app = self._walk.neuron, app_of(self._screen)
        if neuron is None:
            app.say("Open a neuron first: the playground is about one.")
            return
        from tui_lookups.tui.screens.playground import PlaygroundScreen

        last = self._playground
        pinned = last.pinned if last is not None and last.neuron == neuron else ()
        stats = None if self._walk.prompts is None else self._walk.prompts.stats
        # Before anything is scanned, maximum and minimum are infinite.
        known = max(abs(stats.maximum), abs(stats.minimum)) if stats is not None and stats.tokens else 0.0
        text = "" if last is None else last.text
        self._playground = PlaygroundScreen(
            self._explorer, neuron, text, pinned, known_maximum=known, sign=app.options.sign
        )
        app.push_screen(self._playground)

    def copy_as(self, what: str, pane: PaneName) -> None:
        """Copy what a pane shows as a "command" line, or as Python for a "notebook"."""
        from tui_lookups.tui.text.continuing import continued

        text, app = continued(what, self._walk, pane, self._explorer.settings), app_of(self._screen)
        if text:
            app.copy_to_clipboard(text)
        else:
            app.say("Nothing here that could be asked so.")

    def explained(self) -> None:
        """Everything explained so far."""
        from tui_lookups.tui.screens.explained import ExplainedScreen

        def closed(about: Explanation | None) -> None:
            if about is not None:
                self._open_place(Place(self._walk.token, about.neuron, head=about.head, pane="detail"))

        app = app_of(self._screen)
        app.push_screen(ExplainedScreen(self._explorer, lambda: app.selection), closed)
