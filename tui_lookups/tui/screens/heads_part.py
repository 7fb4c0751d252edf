"""The part of the walk screen about the heads: moving in their grid, opening one, what it reads."""

from __future__ import annotations

from textual import on

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.row_list import RowList


class HeadsPart(WalkBase):
    """Moving only moves; what the head reads is asked for once the cursor rests."""

    def action_go_heads(self) -> None:
        score = self.query_one(NeuronsTable).under_cursor
        if self.focused_pane == "neurons" and score is not None:
            self.open_neuron(score.neuron)
        self.go("heads")

    @on(HeadGrid.Moved)
    def _head_moved(self, event: HeadGrid.Moved) -> None:
        self.walk.choose_head(event.head)
        self.when_at_rest(self.look_at_head)

    @on(HeadGrid.Opened)
    def _head_opened(self) -> None:
        self.look_at_head()
        self.walk.open_overview()
        self.go("detail")

    @on(HeadGrid.Wanted)
    def _heads_wanted(self, event: HeadGrid.Wanted) -> None:
        if event.what == "all":
            self.action_all_prompts()
        elif event.what == "context":
            self.walk.toggle_trimmed()
        else:
            self._take_next_direction()

    def _take_next_direction(self) -> None:
        """Only where that shows: what changes unseen is a surprise later."""
        gated = self.walk.gated
        if gated is None:
            self.say(f"Open a prompt first ({self.key('prompts.open')}): the model is not known yet.")
        elif not gated:
            self.say("This model's MLPs are not gated: there is one read direction.")
        elif self.walk.over_all:
            self.say(
                f"Means over all prompts are of both directions; {self.key('heads.all')}: one prompt again."
            )
        else:
            self.walk.cycle_direction()

    def action_all_prompts(self) -> None:
        """One prompt, or the mean over all prompts."""
        self.walk.toggle_over_all()

    @on(RowList.Opened, "#detail")
    def _source_opened(self) -> None:
        source = self.query_one(HeadDetail).source
        prompt = self.walk.prompt
        if source is not None and prompt is not None:
            self.go("prompts")
            position = self.view.heads.position_in_prompt(source.position)
            self.query_one(PromptList).go_to(prompt.prompt_id, position)

    def look_at_head(self) -> None:
        """Ask what the head under the cursor reads, and what has been said of it."""
        self.walk.open_sources()
        if self.walk.neuron is not None and self.walk.head is not None:
            self.explanations.look_up(self.walk.neuron, self.walk.head)
