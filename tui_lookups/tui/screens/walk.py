"""The main screen: token, neurons, prompts and heads, from one to the next with enter, back with escape.

The screen owns the walk (state and questions) and the focus; `walk_view` puts the state on the widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from tui_lookups.tui.screens.head_part import HeadPart
from tui_lookups.tui.screens.heads_part import HeadsPart
from tui_lookups.tui.screens.history_part import HistoryPart
from tui_lookups.tui.screens.neurons_part import NeuronsPart
from tui_lookups.tui.screens.other_screens_part import OtherScreensPart
from tui_lookups.tui.screens.panes_part import PanesPart
from tui_lookups.tui.screens.prompts_part import PromptsPart
from tui_lookups.tui.screens.token_part import TokenPart
from tui_lookups.tui.screens.tour_part import TourPart
from tui_lookups.tui.screens.walk_view import LOW_SECONDS, WalkView
from tui_lookups.tui.screens.walk_widgets import WalkWidgets
from tui_lookups.tui.state.head_explanations import HeadExplanations
from tui_lookups.tui.state.head_run import HeadRun
from tui_lookups.tui.state.history import History
from tui_lookups.tui.state.layouts import PANES, layout_for, pages
from tui_lookups.tui.state.problems import Problems
from tui_lookups.tui.state.queries import Answered, Queries
from tui_lookups.tui.state.walk import Walk
from tui_lookups.tui.widgets.prompt_list import PromptList

if TYPE_CHECKING:
    from textual import events
    from textual.geometry import Size

    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.state.layouts import Layout, Pane
    from tui_lookups.tui.state.walk_state import Part

_STATUS_SECONDS = 0.25
_PROMPTS_SECONDS = 1.0


class WalkScreen(
    TokenPart,
    NeuronsPart,
    PromptsPart,
    HeadPart,
    OtherScreensPart,
    TourPart,
    HeadsPart,
    HistoryPart,
    PanesPart,
    WalkWidgets,
    Screen[None],
):
    """From a token to the heads behind the neurons that promote it."""

    AUTO_FOCUS = "#neurons"
    BLANK = True  # the widgets cover every cell
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "go_heads", "heads", id="walk.heads", tooltip="The heads, from the neurons"),
        Binding("t", "type_token", "token", id="walk.token", tooltip="Type a token or a neuron"),
        Binding("slash", "filter", "filter", id="walk.filter", tooltip="Filter the neurons by text"),
        Binding("space", "mark", "mark", id="walk.mark", tooltip="Mark what is under the cursor"),
        Binding("escape", "back", "back", id="walk.back", tooltip="Back along the walk", show=False),
        Binding("tab", "pane_step(1)", "next pane", id="walk.next-pane", tooltip="Next pane", show=False),
        Binding(
            "shift+tab", "pane_step(-1)", "pane back", id="walk.pane-back", tooltip="Pane before", show=False
        ),
        Binding("1", "pane(0)", "neurons", id="walk.neurons", tooltip="Go to the neurons", show=False),
        Binding("2", "pane(1)", "prompts", id="walk.prompts", tooltip="Go to the prompts", show=False),
        Binding(
            "3", "pane(2)", "heads", id="walk.heads-pane", tooltip="The heads, from any pane", show=False
        ),
        Binding("4", "pane(3)", "head", id="walk.detail", tooltip="Go to the head's detail", show=False),
        Binding(
            "left_square_bracket,backspace",
            "history(-1)",
            "before",
            id="walk.before",
            show=False,
            key_display="[",
            tooltip="Back to the token and neuron before",
        ),
        Binding(
            "right_square_bracket",
            "history(1)",
            "after",
            id="walk.after",
            show=False,
            key_display="]",
            tooltip="Forward again",
        ),
        Binding("y", "copy", "copy", id="walk.copy", tooltip="Copy what is under the cursor", show=False),
        Binding(
            "Y", "copy_pane", "copy pane", id="walk.copy-pane", tooltip="Copy the pane as text", show=False
        ),
        *HeadPart.KEYS,
        *OtherScreensPart.KEYS,
        *TourPart.KEYS,
    ]

    focused_pane: reactive[Pane] = reactive("neurons", repaint=False)
    size_class: reactive[Layout] = reactive("narrow", repaint=False)
    _styled = False

    def __init__(self, explorer: ExplorerLike, token: str | None, size: Size) -> None:
        # the classes of the first layout are there from the start: the first paint is styled once
        layout = layout_for(size.width, size.height)
        super().__init__(classes=f"-{layout}")
        self.set_reactive(WalkScreen.size_class, layout)
        self.explorer = explorer
        self.first_token = token
        self.queries = Queries(explorer, self.post_message)
        self.walk = Walk(explorer, self.queries, self._changed, self.call_after_refresh)
        self.explanations = HeadExplanations(explorer, self.queries, self._words_changed, self.say)
        self.head_run = HeadRun(explorer, self.queries, self.say_anywhere, self.look_at_words)
        self.view = WalkView(self)
        self.problems = Problems()
        self.history = History()
        self.touched = False

    def on_mount(self) -> None:
        self.set_interval(_STATUS_SECONDS, self.poll_status)
        low = self.owner.options.low_bandwidth or self.owner.plain
        self.set_interval(LOW_SECONDS if low else _PROMPTS_SECONDS, self.walk.poll)
        # After the first frame: the questions start threads that import, and would hold it up.
        self.call_after_refresh(self._begin)
        self.poll_status()
        self.view.show_all()

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """What has just been mounted has its styles; Textual would work them all out again."""
        event.refresh_styles, self._styled = event.refresh_styles and self._styled, True

    def _begin(self) -> None:
        self.furnish()
        if self.first_token is None:
            self.walk.open_first()
        else:
            self.look_up(self.first_token, accept=True)
        self.view.show_all()

    # --- answers ---

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        self.queries.deliver(answer)

    def poll_status(self) -> None:
        """Take the explorer's snapshot; widgets repaint only where it differs."""
        self.owner.settle_size()
        status = self.explorer.status()
        self.view.show_status(status)
        remarks = () if status.corpus is None else status.corpus.remarks
        problem = self.problems.to_tell((*status.problems, *remarks))
        if problem is not None:
            self.owner.say(problem)
        self.owner.heed(self.explorer, status)

    def _changed(self, part: Part) -> None:
        self.view.show(part)
        if part in ("neuron", "prompts"):
            self.show_count()
        self.tour_sees(part)
        if self.walk.ranking is not None or self.walk.errors:
            self.owner.begin_loading_soon()
        if part == "prompts" and "heads" in pages(self.size_class, self.focused_pane):
            self.walk.open_heads()
        if part in ("heads", "overview"):
            self.view.heads.rest_on_strongest_head()
            if part == "heads" and self.walk.heads is not None and not self.walk.over_all:
                self.look_at_head()

    def action_leave_line(self) -> None:
        """Give up the text of the line that is typed on."""
        if self.focused is not None and self.focused.id == "filter":
            self.leave_filter()
        else:
            self.leave_find()

    def action_back(self) -> None:
        if self.explanations.cancel():
            self.say("The request was stopped.")
            return
        if self.leave_tour():
            return
        if self.focused_pane == "prompts" and self.query_one(PromptList).found.needle:
            self.leave_find()
            return
        if self.focused_pane == "neurons" and self.end_filter():
            return
        self.go(PANES[max(0, PANES.index(self.focused_pane) - 1)])

    def _words_changed(self) -> None:
        self.view.heads.show_detail()

    # --- what the app's actions need ---

    def action_mark(self) -> None:
        self.take_head()
        from tui_lookups.tui.state import basket

        item = self.view.item_under_cursor()
        if item is None:
            self.say("Nothing to mark here yet.")
            return
        self.owner.selection = basket.toggle(self.owner.selection, item)

    def selection_changed(self) -> None:
        """The basket holds other things now."""
        self.view.show_marks()

    def action_copy(self) -> None:
        text = self.body(self.focused_pane).copy_text()  # type: ignore[union-attr]
        if text:
            self.owner.copy_to_clipboard(text)
        else:
            self.say("Nothing to copy here yet.")

    def action_copy_pane(self) -> None:
        lines = self.body(self.focused_pane).plain_lines()
        if lines:
            self.owner.copy_to_clipboard("\n".join(lines))
        else:
            self.say("Nothing to copy here yet.")
