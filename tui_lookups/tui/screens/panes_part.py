"""The part of the walk screen about its panes: which are shown, which has the focus, and in what layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.layouts import PANES, layout_for, pages
from tui_lookups.tui.widgets.prompt_list import PromptList

if TYPE_CHECKING:
    from textual.geometry import Size

    from tui_lookups.tui.state.layouts import Layout
    from tui_lookups.tui.state.layouts import Pane as PaneName
    from tui_lookups.tui.widgets.head_grid import HeadGrid
    from tui_lookups.tui.widgets.row_list import RowList


class PanesPart(WalkBase):
    """`focused_pane` is shown and takes the keys; `size_class` follows the terminal."""

    def body(self, pane: PaneName) -> RowList | PromptList | HeadGrid:
        """The widget that takes the keys in a pane."""
        return cast("RowList | PromptList | HeadGrid", self.query_one(f"#{pane}"))

    def go(self, pane: PaneName) -> None:
        """Show a pane and give it the focus."""
        with self.app.batch_update():
            self.focused_pane = pane
            self.body(pane).focus()

    def watch_focused_pane(self, pane: PaneName) -> None:
        self.view.arrange()
        self.tour_follows(pane)
        self.view.show("story")
        if pane != "neurons":
            self.query_one(PromptList).hold()
        if pane in ("heads", "detail"):
            self.walk.open_heads()

    def watch_size_class(self) -> None:
        self.view.arrange()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for pane in PANES:
            if event.widget is self.body(pane):
                self.focused_pane = pane
        self.view.show_focus()

    def on_resize(self, event: events.Resize) -> None:
        was, self.size_class = self.size_class, self._layout(event.size)
        self.view.arrange()
        self.view.show_path()  # it is cut to the width
        if was == "small" and self.size_class != "small" and self.is_current:
            self.go_back_to_pane()  # what is not displayed loses the focus
        if self.shows_heads:
            self.walk.open_heads()  # a terminal that grew may show them only now

    def _layout(self, size: Size) -> Layout:
        """Plain text is one pane at a time, whatever the size."""
        layout = layout_for(size.width, size.height)
        return "narrow" if self.owner.plain and layout != "small" else layout

    @property
    def shows_heads(self) -> bool:
        return "heads" in pages(self.size_class, self.focused_pane)

    def show_token_under(self) -> None:
        self.view.show_token_under()

    def show_neurons(self) -> None:
        self.view.show("neurons")

    def action_pane(self, number: int) -> None:
        self.go(PANES[number])

    def action_pane_step(self, by: int) -> None:
        self.go(PANES[(PANES.index(self.focused_pane) + by) % len(PANES)])

    def go_back_to_pane(self) -> None:
        self.go(self.focused_pane)

    def plain_changed(self) -> None:
        """Plain text was switched on or off."""
        self.size_class = self._layout(self.size)
        for pane in PANES:
            self.body(pane).plain_changed()
        self.view.show_again()
