"""The main screen: token, neurons, prompts and heads, from one to the next with enter, back with escape.

The screen owns the walk (state and questions) and the focus; `walk_view` puts the state on the widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.reactive import reactive
from textual.widgets import Input

from tui_lookups.tui import basket
from tui_lookups.tui.asks import Answered, Asks
from tui_lookups.tui.head_run import HeadRun
from tui_lookups.tui.layouts import PANES, layout_for, pages
from tui_lookups.tui.screens.head_part import HeadPart
from tui_lookups.tui.screens.neurons_part import NeuronsPart
from tui_lookups.tui.screens.places_part import PlacesPart
from tui_lookups.tui.screens.prompts_part import PromptsPart
from tui_lookups.tui.screens.token_part import TokenPart
from tui_lookups.tui.screens.tour_part import TourPart
from tui_lookups.tui.screens.walk_view import LOW_SECONDS, WalkView
from tui_lookups.tui.trail import Place, Trail
from tui_lookups.tui.walk import Walk
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.one_line import PackedText, TextLines, WrappedText
from tui_lookups.tui.widgets.pane import Pane, Room
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.tui.words import HeadWords

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.door import Door
    from tui_lookups.tui.layouts import Layout
    from tui_lookups.tui.layouts import Pane as PaneName
    from tui_lookups.tui.walk import Part

_STATUS_SECONDS = 0.25
_PROMPTS_SECONDS = 1.0


class WalkScreen(TokenPart, NeuronsPart, PromptsPart, HeadPart, PlacesPart, TourPart):
    """From a token to the heads behind the neurons that promote it."""

    AUTO_FOCUS = "#neurons"
    BLANK = True  # the widgets cover every cell
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "go_heads", "heads", id="walk.heads", tooltip="The heads behind the neuron"),
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
        Binding("3", "pane(2)", "heads", id="walk.heads-pane", tooltip="Go to the heads", show=False),
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
    ]

    focused_pane: reactive[PaneName] = reactive("neurons", repaint=False)
    size_class: reactive[Layout] = reactive("narrow", repaint=False)

    def __init__(self, door: Door, token: str | None, size: Size) -> None:
        # the classes of the first layout are there from the start: the first paint is styled once
        layout = layout_for(size.width, size.height)
        super().__init__(classes=f"-{layout}")
        self.set_reactive(WalkScreen.size_class, layout)
        self.door = door
        self.first_token = token
        self.asks = Asks(door, self.post_message)
        self.walk = Walk(door, self.asks, self._changed, self.call_after_refresh)
        self.words = HeadWords(door, self.asks, self._words_changed, self.say)
        self.head_run = HeadRun(door, self.asks, self.say_anywhere, self.look_at_words)
        self.view = WalkView(self)
        self.trail = Trail()
        self.touched = False

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        with Horizontal(id="token-line"):
            yield TextLines(id="token-prompt")
            yield TokenInput(id="token-input")
            yield TextLines(id="token-facts")
        yield WrappedText(id="notice")
        yield TextLines(id="tabs")
        on = dict.fromkeys(pages(self.size_class, "neurons"), "pane -on")
        with Room(id="panes"):
            with Pane(1, "Neurons", id="neurons-pane", classes=on.get("neurons", "pane")):
                yield NeuronsTable(id="neurons")
                yield TypedLine(placeholder="filter: neuron or top token", id="filter", compact=True)
            with Pane(2, "Prompts", id="prompts-pane", classes=on.get("prompts", "pane")):
                yield TextLines(id="prompt-facts")
                yield PromptList(id="prompts")
                yield TextLines(id="token-under")
                yield TextLines(id="predictions")
                yield TextLines(id="peak-figures")
                with Horizontal(id="find-line"):
                    yield TextLines(id="find-label")
                    yield TypedLine(placeholder="text in the prompts", id="find", compact=True)
                    yield TextLines(id="find-count")
            with Room(id="lower", classes="-on" if "heads" in on else None):
                with Pane(3, "Heads", id="heads-pane", classes=on.get("heads", "pane")):
                    yield HeadGrid(id="heads")
                    yield PackedText(id="decomposition")
                with Pane(4, "Head", id="detail-pane", classes=on.get("detail", "pane")):
                    yield PackedText(id="head-facts", bold_first=True)
                    yield Paragraphs(id="head-words")
                    yield HeadDetail(id="detail")
        yield WrappedText(id="too-small")
        yield Hints(id="hints")
        yield CandidateList(id="candidates")

    def on_mount(self) -> None:
        for box in self.query("#filter, #find").results(Input):
            box.cursor_blink = False
        self.set_interval(_STATUS_SECONDS, self.poll_status)
        low = self.owner.options.low_bandwidth or self.owner.plain
        self.set_interval(LOW_SECONDS if low else _PROMPTS_SECONDS, self.walk.poll)
        # After the first frame: the questions start threads that import, and would hold it up.
        self.call_after_refresh(self._begin)
        self.view.show_all()
        self.poll_status()

    def _begin(self) -> None:
        if self.first_token is None:
            self.walk.open_first()
        else:
            self.look_up(self.first_token, accept=True)
        self.view.show_all()

    # --- answers ---

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        self.asks.deliver(answer)

    def poll_status(self) -> None:
        """Take the explorer's snapshot; widgets repaint only where it differs."""
        status = self.door.status()
        self.view.show_status(status)
        self.owner.heed(self.door, status)

    def _changed(self, part: Part) -> None:
        self.view.show(part)
        self.tour_sees(part)
        if self.walk.ranking is not None or self.walk.errors:
            self.owner.begin_loading_soon()
        if part == "prompts" and "heads" in pages(self.size_class, self.focused_pane):
            self.walk.open_heads()
        if part == "heads" and self.walk.heads is not None and not self.walk.over_all:
            self.view.heads.rest_on_strongest_head()
            self._look_at_head()

    def _words_changed(self) -> None:
        self.view.heads.show_detail()

    # --- panes ---

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
        if was == "small" and self.size_class != "small" and self.is_current:
            self.go_back_to_pane()  # what is not displayed loses the focus

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

    def action_back(self) -> None:
        if self.words.cancel():
            self.say("The request was stopped.")
            return
        if self.leave_tour():
            return
        if self.focused_pane == "prompts" and self.query_one(PromptList).found.needle:
            self.leave_find()
            return
        self.go(PANES[max(0, PANES.index(self.focused_pane) - 1)])

    def action_go_heads(self) -> None:
        score = self.query_one(NeuronsTable).under_cursor
        if self.focused_pane == "neurons" and score is not None:
            self.open_neuron(score.neuron)
        self.go("heads")

    # --- where the walk goes ---

    def here(self) -> Place:
        """Where the person is."""
        walk = self.walk
        return Place(walk.token, walk.neuron, walk.prompt_id, walk.head, self.focused_pane)

    def _step_away(self) -> None:
        """The person goes their own way: where they are is remembered."""
        self.trail.leave(self.here())
        self.walk.forget_story()
        self.touched = True

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        self._step_away()
        self.walk.open_token(token, best=True)
        self.go("neurons")

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show what a neuron promotes and what fires it."""
        if neuron != self.walk.neuron:
            self._step_away()
        self.walk.open_neuron(neuron)

    def open_place(self, place: Place) -> None:
        """Go to a token, its neuron and what is under it, as one step."""
        if place.subject != self.here().subject:
            self._step_away()
        self._arrive(place)

    def _arrive(self, place: Place) -> None:
        if place.token is not None and place.token != self.walk.token:
            self.walk.open_token(place.token)
        if place.neuron is not None:
            self.walk.open_neuron(place.neuron, prompt_id=place.prompt_id, head=place.head)
        self.go(place.pane)
        if place.head is not None and place.head == self.walk.head:
            self.query_one(HeadGrid).go_to(place.head)
            self._look_at_head()  # where the heads are shown already, no answer brings this about

    def action_history(self, by: int) -> None:
        place = self.trail.back(self.here()) if by < 0 else self.trail.forward(self.here())
        if place is None:
            self.say("This is where the walk began." if by < 0 else "Nothing was gone back from.")
            return
        self.walk.forget_story()
        self._arrive(place)

    # --- lines that are typed on ---

    def on_key(self, event: events.Key) -> None:
        box = self.query_one("#filter", Input)
        if event.key == "escape" and box.has_focus:
            event.stop()
            box.value = ""
            box.remove_class("-shown")
            self.go("neurons")
        elif event.key == "escape" and self.query_one("#find").has_focus:
            event.stop()
            self.leave_find()

    # --- prompts and heads ---

    @on(HeadGrid.Moved)
    def _head_moved(self, event: HeadGrid.Moved) -> None:
        self.walk.choose_head(event.head)
        self.when_at_rest(self._look_at_head)

    @on(HeadGrid.Opened)
    def _head_opened(self) -> None:
        self._look_at_head()
        self.walk.open_overview()
        self.go("detail")

    @on(HeadGrid.Wanted)
    def _heads_wanted(self, event: HeadGrid.Wanted) -> None:
        if event.what == "all":
            self.walk.toggle_over_all()
        elif event.what == "context":
            self.walk.toggle_trimmed()
        elif self.walk.gated:
            self.walk.cycle_direction()
        else:
            self.say("This model's MLPs are not gated: there is one read direction.")

    @on(RowList.Opened, "#detail")
    def _source_opened(self) -> None:
        source = self.query_one(HeadDetail).source
        prompt = self.walk.prompt
        if source is not None and prompt is not None:
            self.go("prompts")
            position = self.view.heads.position_in_prompt(source.position)
            self.query_one(PromptList).go_to(prompt.prompt_id, position)

    def _look_at_head(self) -> None:
        """Ask what the head under the cursor reads, and what has been said of it."""
        self.walk.open_sources()
        if self.walk.neuron is not None and self.walk.head is not None:
            self.words.look_up(self.walk.neuron, self.walk.head)

    # --- what the app's actions need ---

    def action_mark(self) -> None:
        self.take_head()
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

    # --- plain text ---

    def plain_changed(self) -> None:
        """Plain text was switched on or off."""
        self.size_class = self._layout(self.size)
        for pane in PANES:
            self.body(pane).plain_changed()
        self.view.show_again()
