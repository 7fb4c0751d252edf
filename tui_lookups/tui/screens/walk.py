"""The main screen: token, neurons, prompts and heads, from one to the next with enter, back with escape.

The screen owns the walk (state and questions) and the focus; `walk_view` puts the state on the widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.geometry import Size
from textual.reactive import reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from tui_lookups.ids import NeuronId
from tui_lookups.results import Token
from tui_lookups.tui import basket
from tui_lookups.tui.asks import Answered, Asks, explain_error
from tui_lookups.tui.candidates import WITH_SPACE, Candidate, Candidates, find_candidates
from tui_lookups.tui.door import Door
from tui_lookups.tui.layouts import PANES, Layout, layout_for, pages
from tui_lookups.tui.layouts import Pane as PaneName
from tui_lookups.tui.screens.walk_view import WalkView
from tui_lookups.tui.walk import Part, Walk
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.one_line import PackedText, TextLines, WrappedText
from tui_lookups.tui.widgets.pane import Pane
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput

if TYPE_CHECKING:
    from tui_lookups.tui.app import LookupsApp

_STATUS_SECONDS = 0.25
_PROMPTS_SECONDS = 1.0
_REST_SECONDS = 0.2  # the cursor has come to rest: only then is model work asked for


class WalkScreen(Screen[None]):
    """From a token to the heads behind the neurons that promote it."""

    AUTO_FOCUS = "#neurons"
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
        Binding("y", "copy", "copy", id="walk.copy", tooltip="Copy what is under the cursor", show=False),
    ]

    focused_pane: reactive[PaneName] = reactive("neurons", repaint=False)
    size_class: reactive[Layout] = reactive("narrow", repaint=False)

    def __init__(self, door: Door, token: str | None, size: Size) -> None:
        # the classes of the first layout are there from the start: the first paint is styled once
        layout = layout_for(size.width, size.height)
        super().__init__(classes=f"-{layout}")
        self.set_reactive(WalkScreen.size_class, layout)
        self._door = door
        self._first_token = token
        self.asks = Asks(door, self.post_message)
        self.walk = Walk(door, self.asks, self._changed)
        self.view = WalkView(self)
        self._enter_waits = False
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        with Horizontal(id="token-line"):
            yield TextLines(id="token-prompt")
            yield TokenInput(id="token-input")
            yield TextLines(id="token-facts")
        yield WrappedText(id="notice")
        yield TextLines(id="tabs")
        on = dict.fromkeys(pages(self.size_class, "neurons"), "pane -on")
        with Container(id="panes"):
            with Pane(1, "Neurons", id="neurons-pane", classes=on.get("neurons", "pane")):
                yield NeuronsTable(id="neurons")
                yield Input(placeholder="filter: neuron or top token", id="filter", compact=True)
            with Pane(2, "Prompts", id="prompts-pane", classes=on.get("prompts", "pane")):
                yield TextLines(id="prompt-facts")
                yield PromptList(id="prompts")
                yield TextLines(id="token-under")
            with Container(id="lower", classes="-on" if "heads" in on else None):
                with Pane(3, "Heads", id="heads-pane", classes=on.get("heads", "pane")):
                    yield HeadGrid(id="heads")
                    yield PackedText(id="decomposition")
                with Pane(4, "Head", id="detail-pane", classes=on.get("detail", "pane")):
                    yield PackedText(id="head-facts", bold_first=True)
                    yield HeadDetail(id="detail")
        yield WrappedText(id="too-small")
        yield Hints(id="hints")
        yield CandidateList(id="candidates")

    def on_mount(self) -> None:
        self.query_one("#filter", Input).cursor_blink = False
        self.set_interval(_STATUS_SECONDS, self.poll_status)
        self.set_interval(_PROMPTS_SECONDS, self.walk.poll)
        if self._first_token is None:
            self.walk.open_first()
        else:
            self._look_up(self._first_token, accept=True)
        self.view.show_all()
        self.poll_status()

    @property
    def owner(self) -> LookupsApp:
        """The app, typed."""
        return cast("LookupsApp", self.app)

    # --- answers ---

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        self.asks.deliver(answer)

    def poll_status(self) -> None:
        """Take the explorer's snapshot; widgets repaint only where it differs."""
        self.view.show_status(self._door.status())

    def _changed(self, part: Part) -> None:
        self.view.show(part)
        if part == "prompts" and "heads" in pages(self.size_class, self.focused_pane):
            self.walk.open_heads()
        if part == "heads" and self.walk.heads is not None and not self.walk.over_all:
            self.view.rest_on_strongest_head()
            self.walk.open_sources()

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
        self.size_class = layout_for(event.size.width, event.size.height)
        self.view.arrange()

    def action_pane(self, number: int) -> None:
        self.go(PANES[number])

    def action_pane_step(self, by: int) -> None:
        self.go(PANES[(PANES.index(self.focused_pane) + by) % len(PANES)])

    def action_back(self) -> None:
        self.go(PANES[max(0, PANES.index(self.focused_pane) - 1)])

    def action_go_heads(self) -> None:
        score = self.query_one(NeuronsTable).under_cursor
        if self.focused_pane == "neurons" and score is not None:
            self.open_neuron(score.neuron)
        self.go("heads")

    # --- the token box ---

    def action_type_token(self) -> None:
        self.set_class(True, "-typing")
        box = self.query_one(TokenInput)
        box.value = "" if self.walk.token is None else f'"{self.walk.token.text}"'
        box.focus()

    def _leave_token_box(self) -> None:
        self.asks.cancel("candidates")
        self._enter_waits = False
        self.set_class(False, "-typing")
        self.query_one(CandidateList).show(Candidates("", (), 0, ""))

    @on(Input.Changed, "#token-input")
    def _typed(self, event: Input.Changed) -> None:
        self._enter_waits = False
        if self.has_class("-typing") and event.value.strip() and self.query_one(TokenInput).has_focus:
            self._look_up(event.value, accept=False)

    def _look_up(self, text: str, *, accept: bool) -> None:
        """Look a typed text up; with `accept`, open it at once if it is one thing."""
        self._enter_waits = accept

        def done(found: Candidates) -> None:
            if self._first_token == text:
                self._first_token = None
                if found.exact:  # `--token time` is taken as given where that is a token
                    exact = found.rows[: found.exact]
                    self._accept(next((row for row in exact if row.why != WITH_SPACE), exact[0]))
                    return
                self.action_type_token()
                self.query_one(TokenInput).value = text
            self.query_one(CandidateList).show(found)
            if self._enter_waits:
                self._enter_waits = False
                self._enter()

        def failed(error: BaseException) -> None:
            message, hint = explain_error(error)
            self.query_one(CandidateList).show(Candidates(text, (), 0, f"{message} {hint}"))

        self.asks.ask("candidates", lambda: find_candidates(self._door, text), done, failed)
        if self.asks.waiting("candidates") and self.has_class("-typing"):
            rows = self.query_one(CandidateList)
            if not rows.found.rows:
                rows.show(Candidates(text, (), 0, "looking it up…"))

    @on(Input.Submitted, "#token-input")
    def _submitted(self) -> None:
        if self.asks.waiting("candidates"):
            self._enter_waits = True
        else:
            self._enter()

    def _enter(self) -> None:
        candidate = self.query_one(CandidateList).accept()
        if candidate is not None:
            self._accept(candidate)

    def _accept(self, candidate: Candidate) -> None:
        self._leave_token_box()
        if candidate.neuron is not None:
            self.open_neuron(candidate.neuron)
            self.go("prompts")
        elif candidate.token is not None:
            self.open_token(candidate.token)

    def open_token(self, token: Token) -> None:
        """Rank a token's neurons and go there."""
        self.walk.forget_story()
        self.walk.open_token(token)
        self.go("neurons")

    def open_neuron(self, neuron: NeuronId) -> None:
        """Show what a neuron promotes and what fires it."""
        self.walk.forget_story()
        self.walk.open_neuron(neuron)

    @on(TokenInput.Stepped)
    def _stepped(self, event: TokenInput.Stepped) -> None:
        self.query_one(CandidateList).step(event.by)

    @on(TokenInput.Left)
    def _left(self) -> None:
        self._leave_token_box()
        self.go(self.focused_pane)

    # --- neurons ---

    @on(RowList.Opened, "#neurons")
    def _neuron_opened(self) -> None:
        score = self.query_one(NeuronsTable).under_cursor
        if score is not None:
            self.open_neuron(score.neuron)
            self.go("prompts")

    @on(NeuronsTable.Filter)
    def _neurons_filtered(self, event: NeuronsTable.Filter) -> None:
        walk = self.walk
        model = self._door.status().model
        layer = walk.layer
        if event.layer_step and model is not None:
            choices: list[int | None] = [None, *range(model.n_layers)]
            layer = choices[(choices.index(layer) + event.layer_step) % len(choices)]
        own = walk.own_only != event.toggle_own
        walk.filter_neurons(layer=layer, own_only=own)

    def action_filter(self) -> None:
        self.go("neurons")
        box = self.query_one("#filter", Input)
        box.add_class("-shown")
        box.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.query_one(NeuronsTable).sift(event.value)
        self.view.show("neurons")

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one("#filter").set_class(bool(self.query_one(NeuronsTable).needle), "-shown")
        self.go("neurons")

    def on_key(self, event: events.Key) -> None:
        box = self.query_one("#filter", Input)
        if event.key == "escape" and box.has_focus:
            event.stop()
            box.value = ""
            box.remove_class("-shown")
            self.go("neurons")

    # --- prompts and heads ---

    @on(PromptList.Moved)
    def _prompt_moved(self, event: PromptList.Moved) -> None:
        self.view.show_token_under()
        if event.other_prompt:
            self.walk.choose_prompt(event.prompt.prompt_id)
            if "heads" in pages(self.size_class, self.focused_pane):
                self._when_at_rest(self.walk.open_heads)

    @on(PromptList.Opened)
    def _prompt_opened(self, event: PromptList.Opened) -> None:
        self.walk.choose_prompt(event.prompt.prompt_id)
        self.go("heads")

    @on(HeadGrid.Moved)
    def _head_moved(self, event: HeadGrid.Moved) -> None:
        self.walk.choose_head(event.head)
        self._when_at_rest(self.walk.open_sources)

    @on(HeadGrid.Opened)
    def _head_opened(self) -> None:
        self.walk.open_sources()
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
            position = self.view.position_in_prompt(source.position)
            self.query_one(PromptList).go_to(prompt.prompt_id, position)

    def _when_at_rest(self, action: object) -> None:
        """Do something once the cursor has not moved for a moment."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(_REST_SECONDS, cast("events.Callback", action))  # type: ignore[arg-type]

    # --- what the app's actions need ---

    def action_mark(self) -> None:
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

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)
