"""A screen of panes: which of them has the focus, and which a terminal of its size shows.

1. The focus goes to a pane by its number, to the next, or back along the walk; a pane that has it asks for
   what it shows.
2. Where a terminal becomes so small that the pane with the focus has no place, the heads get it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.reactive import reactive
from textual.screen import Screen

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.layouts import layout_for, panes_of

if TYPE_CHECKING:
    from textual.geometry import Size

    from tui_lookups.tui.panes.pane_set import PaneSet
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.screens.tour import Tour
    from tui_lookups.tui.state.head_explanations import HeadExplanations
    from tui_lookups.tui.state.layouts import Layout, PaneName
    from tui_lookups.tui.state.steps import Steps


class PanesScreen(Screen[None]):
    """The walk as far as it is panes; what is told from one to the other is the walk's."""

    panes: PaneSet
    places: Places
    steps: Steps
    tour: Tour
    explanations: HeadExplanations

    focused_pane: reactive[PaneName] = reactive("neurons", repaint=False)
    size_class: reactive[Layout] = reactive("narrow", repaint=False)

    def go(self, pane: PaneName) -> None:
        """Show a pane and give it the focus."""
        if pane not in panes_of(self.size_class):
            pane = "heads"
        with self.app.batch_update():
            self.focused_pane = pane
            self.panes.by_name[pane].body.focus()

    def watch_focused_pane(self, pane: PaneName) -> None:
        self.panes.arrange(self.size_class, pane)
        self.tour.follow(pane)
        self.panes.show("story")
        if pane != "neurons":
            self.panes.prompts.hold()
        self.panes.by_name[pane].ask()

    def watch_size_class(self) -> None:
        if self.focused_pane not in panes_of(self.size_class):
            self.go(self.focused_pane)
        self.panes.arrange(self.size_class, self.focused_pane)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for name, pane in self.panes.by_name.items():
            if event.widget is pane.body:
                self.focused_pane = name
        self.panes.show_focus()

    def on_resize(self, event: events.Resize) -> None:
        was, self.size_class = self.size_class, self._layout(event.size)
        self.panes.arrange(self.size_class, self.focused_pane)
        self.panes.show_path()  # it is cut to the width
        if was == "small" and self.size_class != "small" and self.is_current:
            self.go(self.focused_pane)  # what is not displayed loses the focus
        if self.panes.shows_heads:
            self.steps.heads.open_heads()  # a terminal that grew may show them only now

    def _layout(self, size: Size) -> Layout:
        return layout_for(size.width, size.height, plain=app_of(self).plain)

    def plain_changed(self) -> None:
        """Plain text was switched on or off: what is shown is the same, how is not."""
        self.size_class = self._layout(self.size)
        self.panes.plain_changed()

    def action_pane(self, number: int) -> None:
        self.go(panes_of(self.size_class)[number])

    def action_pane_step(self, by: int) -> None:
        panes = panes_of(self.size_class)
        self.go(panes[(panes.index(self.focused_pane) + by) % len(panes)])

    def action_go_heads(self) -> None:
        neuron = self.panes.neurons.under_cursor
        if self.focused_pane == "neurons" and neuron is not None:
            self.places.open_neuron(neuron, "heads")
        else:
            self.go("heads")

    def action_back(self) -> None:
        if self.explanations.cancel():
            app_of(self).show_message("The request was stopped.")
        elif not (
            self.tour.leave() or self.panes.by_name[self.focused_pane].go_back() or self.places.leave_door()
        ):
            panes = panes_of(self.size_class)
            self.go(panes[max(0, panes.index(self.focused_pane) - 1)])

    def action_zoom(self) -> None:
        self.panes.zoom()

    def action_room(self, by: int) -> None:
        self.panes.give_room(by)
