"""The part of the walk screen about the prompts: moving, finding text, what the model expects next."""

from __future__ import annotations

from typing import cast

from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.timer import Timer
from textual.widgets import Input

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import TextLines

REST_SECONDS = 0.2  # the cursor has come to rest: only then is model work asked for


class PromptsPart(WalkBase):
    """Moving only moves; what needs the model is asked for once the cursor rests."""

    _rest: Timer | None = None

    def when_at_rest(self, action: object) -> None:
        """Do something once the cursor has not moved for a moment."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST_SECONDS, cast("events.Callback", action))  # type: ignore[arg-type]

    @on(PromptList.Moved)
    def _prompt_moved(self, event: PromptList.Moved) -> None:
        if event.other_prompt:
            self.walk.choose_prompt(event.prompt.prompt_id)
        self.show_token_under()
        if event.other_prompt and self.shows_heads:
            self.when_at_rest(self.walk.open_heads)
        elif not event.other_prompt and self.focused_pane == "prompts":
            self.when_at_rest(self._look_at_token)

    def _look_at_token(self) -> None:
        """What the model expects after the token under the cursor."""
        self.walk.open_predictions(self.query_one(PromptList).position)

    @on(PromptList.Opened)
    def _prompt_opened(self, event: PromptList.Opened) -> None:
        self.walk.choose_prompt(event.prompt.prompt_id)
        self.go("heads")

    @on(PromptList.KindWanted)
    def _kind_wanted(self) -> None:
        self.walk.cycle_kind()

    # --- finding text ---

    def action_search_prompts(self) -> None:
        if not self.query_one(PromptList).prompts:
            self.say(f"No prompts to search yet: {self.key('neurons.open')} on a neuron shows them.")
            return
        self.furnish()
        self.query_one("#find-label", TextLines).show_lines((Segment(" find ", Style(bold=True)),))
        self.show_count()
        self.query_one("#find-line").add_class("-shown")
        self.query_one("#find", Input).focus()

    def show_count(self) -> None:
        """Say how often the prompts that are shown have what is searched for."""
        prompts = self.query_one(PromptList)
        words = prompts.found.words(len(prompts.prompts)) if prompts.prompts else ""
        for count in self.query("#find-count").results(TextLines):  # it is there once it was asked for
            count.show_lines((Segment(words),))

    @on(Input.Changed, "#find")
    def _find_typed(self, event: Input.Changed) -> None:
        self.query_one(PromptList).search(event.value)
        self.show_count()

    @on(Input.Submitted, "#find")
    def _find_done(self) -> None:
        prompts = self.query_one(PromptList)
        found = prompts.found
        self.query_one("#find-line").set_class(bool(found.needle), "-shown")
        self.go("prompts")
        if found.needle:
            after, before = self.key("prompts.match"), self.key("prompts.match-back")
            self.say(f"{after} next, {before} before, {self.key('walk.back')} ends it.")
            here = found.tokens(prompts.index)
            if prompts.position not in here:
                prompts.action_match(1)

    def leave_find(self) -> None:
        """Nothing is searched for any more."""
        self.query_one("#find", Input).value = ""
        self.query_one("#find-line").remove_class("-shown")
        self.go("prompts")
