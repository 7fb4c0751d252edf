"""The views of one sum side by side where there is room for two, else one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal

from tui_lookups.tui.state.contribution_rows import SumRows
from tui_lookups.tui.state.left_screens import ViewPlace
from tui_lookups.tui.widgets.contribution_lists import ContributionRows, LayerRows

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui_lookups.tui.state.contribution_rows import Row
    from tui_lookups.tui.state.left_screens import View

WIDE = 116
"""Cells that hold a list and the layers beside it."""
_NEXT: dict[View, View] = {"list": "layers", "layers": "groups", "groups": "list"}


class ContributionViews(Horizontal):
    """A list by size, the layers, or groups; wide, the layers stand beside the others."""

    def __init__(self, place: ViewPlace, *, id: str) -> None:
        super().__init__(id=id)
        self._view: View = place.view
        self._left_at = place
        self._sums = SumRows()
        self.listed = ContributionRows(id="components")
        self.by_layer = LayerRows(id="by-layer")

    def compose(self) -> ComposeResult:
        yield from (self.listed, self.by_layer)

    def on_mount(self) -> None:
        self._arrange()

    def on_resize(self) -> None:
        self._arrange()

    # --- showing ---

    def show(self, sums: SumRows) -> None:
        """Show the rows of a sum, the cursors where they were left if this is the first."""
        left_at, self._left_at = self._left_at, ViewPlace()
        self._show(sums, left_at)
        self.call_after_refresh(self._settle)

    def _show(self, sums: SumRows, place: ViewPlace) -> None:
        self._sums = sums
        self._show_listed(place.row)
        self.by_layer.show_rows(sums.layers, place.layer, sums.kind)

    def _settle(self) -> None:
        """From the first row on where that shows the cursor: how high a list is was not known before."""
        for rows in (self.listed, self.by_layer):
            rows.scroll_to(y=0, animate=False, immediate=True, force=True)
            rows.rows_changed()

    def _show_listed(self, cursor: int) -> None:
        sums = self._sums
        self.listed.show_rows(sums.groups if self._view == "groups" else sums.rows, sums.target, cursor)

    def show_empty(self, text: str) -> None:
        """What stands here while there is nothing to show."""
        self._show(SumRows(), ViewPlace())
        self.listed.show_empty(text)
        self.by_layer.show_empty(text)

    @property
    def _both(self) -> bool:
        return self.size.width >= WIDE

    def _arrange(self) -> None:
        had = self.listed.has_focus or self.by_layer.has_focus
        self.listed.display = self._both or self._view != "layers"
        self.by_layer.display = self._both or self._view == "layers"
        self.set_class(self._both, "-both")
        if had and not (self.listed if self.listed.has_focus else self.by_layer).display:
            self.body.focus()

    # --- what is under the cursor ---

    @property
    def body(self) -> ContributionRows | LayerRows:
        """The list that takes the keys first."""
        return self.listed if self.listed.display else self.by_layer

    def take_focus(self, name: str = "") -> None:
        """Give the keys to the list of this id, if it is on screen once that is laid out."""
        self.body.focus()
        if name == self.by_layer.id:
            self.call_after_refresh(lambda: (self.by_layer if self.by_layer.display else self.body).focus())

    @property
    def shown(self) -> tuple[ContributionRows | LayerRows, ...]:
        """The lists on screen."""
        return tuple(view for view in (self.listed, self.by_layer) if view.display)

    @property
    def row(self) -> Row | None:
        """The component under the cursor; None among layers and groups."""
        row = None if self.by_layer.has_focus else self.listed.current
        return row if row is not None and row.component is not None else None

    @property
    def place(self) -> ViewPlace:
        """Where the views are, to be left and found again."""
        return ViewPlace(self._view, self.listed.cursor, self.by_layer.cursor)

    # --- moving ---

    def cycle(self) -> None:
        """The next view; where the layers stand beside the list, the next of the others."""
        view = _NEXT[self._view]
        if self._both and view == "layers":
            view = "groups"
        self._take(view)

    def go_to(self, place: int | None) -> None:
        """To a row of the list by size."""
        if place is not None:
            self._take("list", place)
            self.listed.focus()

    def _take(self, view: View, cursor: int = 0) -> None:
        self._view = view
        self._arrange()
        if view != "layers":
            self._show_listed(cursor)
        elif self._both:
            self._show_listed(0)
