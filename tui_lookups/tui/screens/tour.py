"""The tour as it is given: which step is shown, and what is opened for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.ids import HeadId
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.steps import Steps
    from tui_lookups.tui.state.walk import Part, Walk
    from tui_lookups.tui.text.key_labels import KeyOf


class Tour:
    """`number` is the step that is shown, 0 when there is no tour.

    `go` shows a pane, `point_at` puts the head cursor on a head, `changed` is told of another sentence. The
    first paint comes by here, so the steps are imported once there is a tour.
    """

    def __init__(
        self,
        walk: Walk,
        steps: Steps,
        go: Callable[[PaneName], None],
        point_at: Callable[[HeadId], None],
        changed: Callable[[], None],
    ) -> None:
        self._walk = walk
        self._steps = steps
        self._go = go
        self._point_at = point_at
        self._changed = changed
        self.number = 0
        self._to_strongest = False
        """Whether the step was just begun and the head cursor still has to go where its sentence is about."""

    def step(self) -> None:
        """The next step of the tour; after the last one, none."""
        from tui_lookups.tui.text.tour import STEPS

        self.number = (self.number + 1) % (len(STEPS) + 1)
        self._to_strongest = self.number > 0 and STEPS[self.number - 1] in ("heads", "detail")
        if self.number:
            if self._to_strongest and self._walk.over_all:
                self._steps.heads.toggle_over_all()  # the step is about one prompt
            self._open()
            self._go(STEPS[self.number - 1])
        self._changed()

    def follow(self, pane: PaneName) -> None:
        """The person went to a pane on their own: the tour goes on from there."""
        if not self.number:
            return
        from tui_lookups.tui.text.tour import STEPS

        if STEPS[self.number - 1] != pane:
            self.number = max(n for n, shown in enumerate(STEPS, 1) if shown == pane)
            self._to_strongest = False
            self._changed()

    def _open(self) -> None:
        """Open what the step speaks of: the first prompt where none is, its heads, the strongest of these."""
        from tui_lookups.tui.text.tour import STEPS

        prompts = self._walk.prompts
        if self.number >= 3 and self._walk.prompt is None and prompts is not None and prompts.prompts:
            self._steps.neurons.choose_prompt(prompts.prompts[0].prompt_id)
        if self._to_strongest:
            self._steps.heads.open_heads()
            strongest = self._walk.strongest_head()
            if strongest is not None:
                self._to_strongest = False  # once: from here on the cursor is the person's
                self._steps.heads.choose_head(strongest)
                self._point_at(strongest)
        if self.number == len(STEPS):
            self._steps.heads.open_sources()

    def leave(self) -> bool:
        """End the tour; whether there was one."""
        was_on = self.number > 0
        self.number = 0
        if was_on:
            self._changed()
        return was_on

    def see(self, part: Part) -> None:
        """Word the step anew when what it speaks of changed; begin unasked where nobody saw the tour."""
        if part == "story" and self._walk.tour_offered:
            self._walk.tour_offered = False
            if self.number == 0:
                self.step()
        elif self.number:
            if part == "heads":
                self._open()
            self._changed()

    def text(self, key: KeyOf) -> str:
        """The sentence of the step that is shown, empty without a tour."""
        if not self.number:
            return ""
        from tui_lookups.tui.text.tour import tour_step

        return tour_step(self.number, self._walk, key).text
