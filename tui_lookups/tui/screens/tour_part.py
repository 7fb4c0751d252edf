"""The part of the walk screen that gives the tour."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.widgets.head_grid import HeadGrid

if TYPE_CHECKING:
    from tui_lookups.tui.state.layouts import Pane
    from tui_lookups.tui.state.walk_state import Part


class TourPart(WalkBase):
    """`tour_number` is the step that is shown, 0 when there is no tour."""

    KEYS: ClassVar[list[BindingType]] = [
        Binding(
            "T",
            "tour",
            "tour",
            id="walk.tour",
            show=False,
            tooltip="A tour in five steps; again for the next",
        ),
    ]

    tour_number = 0
    _to_strongest = False
    """Whether the step was just begun and the head cursor still has to go where its sentence is about."""

    def action_tour(self) -> None:
        """The next step of the tour; after the last one, none."""
        from tui_lookups.tui.text.tour import STEPS

        self.tour_number = (self.tour_number + 1) % (len(STEPS) + 1)
        self._to_strongest = self.tour_number > 0 and STEPS[self.tour_number - 1] in ("heads", "detail")
        if self.tour_number:
            if self._to_strongest and self.walk.over_all:
                self.walk.toggle_over_all()  # the step is about one prompt
            self.open_for_tour(self.tour_number)
            self.go(STEPS[self.tour_number - 1])
        self.tour_changed()

    def tour_follows(self, pane: Pane) -> None:
        """The person went to a pane on their own: the tour goes on from there."""
        if not self.tour_number:
            return  # before anything is imported: the first paint comes by here
        from tui_lookups.tui.text.tour import STEPS

        if STEPS[self.tour_number - 1] != pane:
            self.tour_number = max(n for n, shown in enumerate(STEPS, 1) if shown == pane)
            self._to_strongest = False
            self.tour_changed()

    def open_for_tour(self, number: int) -> None:
        """Open what a step speaks of: the first prompt where none is, its heads, the strongest of these."""
        from tui_lookups.tui.text.tour import STEPS

        prompts = self.walk.prompts
        if number >= 3 and self.walk.prompt is None and prompts is not None and prompts.prompts:
            self.walk.choose_prompt(prompts.prompts[0].prompt_id)
        if self._to_strongest:
            self.walk.open_heads()
            strongest = self.view.heads.strongest()
            if strongest is not None:
                self._to_strongest = False  # once: from here on the cursor is the person's
                self.walk.choose_head(strongest)
                self.query_one(HeadGrid).go_to(strongest)
        if number == len(STEPS):
            self.walk.open_sources()

    def leave_tour(self) -> bool:
        """End the tour; whether there was one."""
        was_on = self.tour_number > 0
        self.tour_number = 0
        if was_on:
            self.tour_changed()
        return was_on

    def tour_sees(self, part: Part) -> None:
        """Word the step anew when what it speaks of changed; begin unasked where nobody saw the tour."""
        if part == "story" and self.walk.tour_offered:
            self.walk.tour_offered = False
            if self.tour_number == 0:
                self.action_tour()
        elif self.tour_number:
            if part == "heads":
                self.open_for_tour(self.tour_number)
            self.tour_changed()

    @property
    def tour_text(self) -> str:
        """The sentence of the step that is shown, empty without a tour."""
        if not self.tour_number:
            return ""
        from tui_lookups.tui.text.tour import tour_step

        return tour_step(self.tour_number, self.walk, self.key).text

    def tour_changed(self) -> None:
        """Show the sentence anew."""
        self.view.show("story")
