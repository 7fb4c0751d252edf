"""The main screen: token, neurons, prompts and heads, from one to the next with enter, back with escape.

The screen owns the walk (`state/`) and the focus. What a pane tells it becomes a step of the walk; the part
that a step changed is shown by the panes it is on. It knows what panes are for, not what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.binding import BindingType
from textual.message import Message

from tui_lookups.results import SelectedAblation
from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.pane_set import PaneSet
from tui_lookups.tui.panes.token import TokenPane
from tui_lookups.tui.screens.head_dialogs import HeadDialogs
from tui_lookups.tui.screens.marking import Marking
from tui_lookups.tui.screens.other_screens import OtherScreens
from tui_lookups.tui.screens.places import Places
from tui_lookups.tui.screens.screen_of_panes import ScreenOfPanes
from tui_lookups.tui.screens.session import Session
from tui_lookups.tui.screens.tour import Tour
from tui_lookups.tui.screens.walk_keys import WALK_KEYS
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.head_explanations import HeadExplanations
from tui_lookups.tui.state.head_run import HeadRun
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.layouts import layout_for, panes_of
from tui_lookups.tui.state.queries import Answered, Queries
from tui_lookups.tui.state.steps import Steps
from tui_lookups.tui.state.walk import Walk
from tui_lookups.tui.text.empty import missing
from tui_lookups.tui.text.heads import why_not_named, why_one_direction
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.status_line import LOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.timer import Timer

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import Item
    from tui_lookups.tui.panes import messages
    from tui_lookups.tui.state.walk import Part
    from tui_lookups.tui.widgets.head_grid import HeadGrid
    from tui_lookups.tui.widgets.neurons_table import NeuronsTable

_LATER_STYLES = Path(__file__).with_name("later.tcss")
_STATUS_SECONDS = 0.25
_PROMPTS_SECONDS = 1.0
_REST_SECONDS = 0.2  # the cursor has come to rest: only then is model work asked for


class WalkScreen(ScreenOfPanes):
    """From a token to the heads behind the neurons that promote it."""

    AUTO_FOCUS = "#neurons"
    BLANK = True  # the widgets cover every cell
    BINDINGS: ClassVar[list[BindingType]] = [*WALK_KEYS]

    class FirstAnswer(Message):
        """The first answer, or why there is none, is about to be painted."""

    class LoadFailed(Message):
        """Nothing could be loaded."""

        def __init__(self, message: str) -> None:
            super().__init__()
            self.message = message

    _styled = False
    _answered_once = False
    _failed = False
    _rest: Timer | None = None

    def __init__(self, explorer: Explorer, token: str | None, size: Size, session: str = "") -> None:
        # the classes of the first layout are there from the start: the first paint is styled once
        layout = layout_for(size.width, size.height)
        super().__init__(classes=f"-{layout}")
        self.set_reactive(ScreenOfPanes.size_class, layout)
        self.explorer = explorer
        changed = cast("Callable[[str], None]", self._changed)
        self.queries = Queries(explorer, self.post_message, changed, lambda: app_of(self).tasks)
        self.walk = walk = Walk(explorer, self.queries)
        self.steps = steps = Steps(explorer, self.queries, walk, self._changed, self.call_after_refresh)
        self.explanations = HeadExplanations(
            explorer, self.queries, lambda: self.panes.show_head(), self.show_message
        )
        self.head_run = HeadRun(
            explorer, self.queries, lambda text: app_of(self).show_message(text), self.look_at_words
        )
        line = TokenPane(walk, explorer, self.queries, token)
        self.panes = PaneSet(self, walk, steps, self.explanations, line, layout, lambda: self.tour_text)
        self.tour = Tour(walk, steps, self.go, self.panes.heads.go_to, self.panes.show_notice)
        self.places = places = Places(walk, steps, self.panes, self.go, self._show_head)
        self.marking = Marking(self, explorer, self.queries, walk, self.panes)
        self.session = Session(self, explorer, self.queries, places, self.panes, self.marking.notes, session)
        self.other_screens = OtherScreens(self, explorer, self.queries, walk, places)
        self.head_dialogs = HeadDialogs(self, explorer, walk, self.explanations, self.head_run, places)
        self._hints = Hints(id="hints")

    def compose(self) -> ComposeResult:
        if app_of(self).few_updates:
            app_of(self).read_styles(_LATER_STYLES)
        yield from self.panes.compose()
        yield self._hints

    def on_mount(self) -> None:
        self.set_interval(_STATUS_SECONDS, self.poll_status)
        self.set_interval(
            LOW_SECONDS if app_of(self).few_updates else _PROMPTS_SECONDS, self.steps.neurons.poll
        )
        # After the first frame: the questions start threads that import, and would hold it up.
        self.call_after_refresh(self._begin)
        self.poll_status()
        self.panes.show_all()

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """What has just been mounted has its styles; Textual would work them all out again."""
        event.refresh_styles, self._styled = event.refresh_styles and self._styled, True

    def _begin(self) -> None:
        """Read the styles that wait behind the first frame, and put the first question."""
        app_of(self).read_styles(_LATER_STYLES)
        if not self.panes.token.look_up_given():
            self.steps.tokens.open_first()
        self.panes.show_all()

    def show_message(self, text: str) -> None:
        """A short message on the bottom line."""
        self._hints.show_message(text)

    # --- what changed ---

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        self.queries.deliver(answer)

    def poll_status(self) -> None:
        """Take the explorer's snapshot; widgets repaint only where it differs."""
        app_of(self).settle_size()
        status = self.explorer.status()
        self.panes.show_status(status)
        if status.stage == "failed" and not self._failed:
            self._failed = True
            self.post_message(self.LoadFailed(status.message))

    def _changed(self, part: Part) -> None:
        walk, panes = self.walk, self.panes
        panes.show(part)
        if part in ("neuron", "prompts"):
            panes.prompts.show_count()
        self.tour.see(part)
        if not self._answered_once and (walk.ranking is not None or walk.errors):
            self._answered_once = True
            self.post_message(self.FirstAnswer())
        if part == "prompts" and panes.shows_heads:
            self.steps.heads.open_heads()
        if part in ("heads", "overview"):
            panes.rest_on_raising_head()
            if part == "heads" and walk.heads is not None and not walk.over_all:
                self._look_at_head()

    @property
    def tour_text(self) -> str:
        """The sentence of the tour's step, empty without a tour."""
        return self.tour.text(app_of(self).key_of)

    # --- what the panes tell ---

    def action_mark(self) -> None:
        self.marking.mark()

    def action_note(self) -> None:
        self.marking.note()

    def action_copy_as(self, what: str) -> None:
        self.other_screens.copy_as(what, self.focused_pane)

    def action_type_token(self) -> None:
        self.panes.token.type_token()

    def on_token_chosen(self, event: messages.TokenChosen) -> None:
        self.places.open_token(event.token)

    def on_line_left(self) -> None:
        self.go(self.focused_pane)

    def on_screen_wanted(self, event: messages.ScreenWanted) -> None:
        self.go(self.focused_pane)
        self.other_screens.open(event.what, event.about)

    def action_filter(self) -> None:
        self.go("neurons")
        self.panes.neurons.type_filter()

    def on_neurons_table_filter(self, event: NeuronsTable.Filter) -> None:
        self.steps.tokens.filter_neurons(layer_step=event.layer_step, toggle_own=event.toggle_own)

    def on_filters_ended(self) -> None:
        self.steps.tokens.end_filters()

    def on_neurons_sifted(self) -> None:
        self.panes.show("neurons")

    def on_neuron_chosen(self, event: messages.NeuronChosen) -> None:
        self.places.open_neuron(event.neuron, "prompts")

    def on_neuron_named(self, event: messages.NeuronNamed) -> None:
        if why := missing(self.walk.model, event.neuron):
            self.go(self.focused_pane)
            self.show_message(why)
        else:
            self.places.open_neuron(event.neuron, "prompts")

    def on_neuron_met(self, event: messages.NeuronMet) -> None:
        place = Place(self.walk.token, event.neuron, GIVEN, pane="prompts", text=event.text)
        self.places.open_place(place)

    def on_prompt_moved(self, event: messages.PromptMoved) -> None:
        if event.other_prompt:
            self.steps.neurons.choose_prompt(event.prompt_id)
        self.panes.prompts.show_token()
        if event.other_prompt and self.panes.shows_heads:
            self._when_at_rest(self.steps.heads.open_heads)
        elif not event.other_prompt and self.focused_pane == "prompts":
            self._when_at_rest(lambda: self.steps.neurons.open_predictions(self.panes.prompts.position))

    def on_prompt_chosen(self, event: messages.PromptChosen) -> None:
        self.steps.neurons.choose_prompt(event.prompt_id)
        self.go("heads")

    def on_prompt_list_kind_wanted(self) -> None:
        self.steps.neurons.cycle_kind()

    def on_head_moved(self, event: messages.HeadMoved) -> None:
        self.steps.heads.choose_head(event.head)
        self._when_at_rest(self._look_at_head)

    def on_head_chosen(self) -> None:
        self._look_at_head()
        self.steps.heads.open_overview()
        self.go("detail")

    def on_head_named(self, event: messages.HeadNamed) -> None:
        self.go(self.focused_pane)
        if why := why_not_named(self.walk, event.head, app_of(self).key_of):
            self.show_message(why)
        else:
            walk = self.walk
            self.places.open_place(Place(walk.token, walk.neuron, walk.prompt_id, event.head, "detail"))

    def on_head_grid_wanted(self, event: HeadGrid.Wanted) -> None:
        if event.what == "all":
            self.action_all_prompts()
        elif event.what == "context":
            self.steps.heads.toggle_trimmed()
        elif why := why_one_direction(self.walk, app_of(self).key_of):
            self.show_message(why)  # what changes unseen is a surprise later
        else:
            self.steps.heads.cycle_direction()

    def action_all_prompts(self) -> None:
        """One prompt, or the mean over all prompts."""
        self.steps.heads.toggle_over_all()

    def on_source_chosen(self, event: messages.SourceChosen) -> None:
        prompt = self.walk.prompt
        if prompt is not None:
            self.go("prompts")
            self.panes.prompts.go_to(prompt.prompt_id, self.walk.position_in_prompt(event.position))

    def _when_at_rest(self, action: Callable[[], None]) -> None:
        """Do something once the cursor has not moved for a moment."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(_REST_SECONDS, action)

    def _look_at_head(self) -> None:
        """Ask what the head under the cursor reads, and what has been said of it."""
        self.steps.heads.open_sources()
        self._look_up_words()

    def _look_up_words(self) -> None:
        if self.walk.neuron is not None and self.walk.head is not None:
            self.explanations.look_up(self.walk.neuron, self.walk.head)

    def _show_head(self, head: HeadId) -> None:
        """Put the cursor on the chosen head."""
        self.panes.heads.go_to(head)
        self._look_at_head()  # where the heads are shown already, no answer brings this about

    def look_at_words(self) -> None:
        """More may be known of the heads than was: look again."""
        self.explanations.forget()
        self._look_up_words()

    # --- where the walk goes, and what lies over it ---

    def action_history(self, by: int) -> None:
        if why := self.places.step(by):
            self.show_message(why)

    def open_marked(self, item: Item) -> None:
        """Go to a marked thing."""
        self.places.open_item(item)
        if isinstance(item, SelectedAblation):
            self.head_dialogs.open_ablation(item)

    def action_chosen_head(self, what: str) -> None:
        self.panes.take_head()
        self.head_dialogs.open(what, heads_shown=self.panes.shows_heads)

    def action_tour(self) -> None:
        self.tour.step()

    def action_inputs_pane(self) -> None:
        """What fires the neuron: its pane, where the terminal has room for it, else its screen."""
        if "inputs" in panes_of(self.size_class):
            self.go("inputs")
        else:
            self.action_over("inputs")

    def action_over(self, what: str) -> None:
        if what == "served_by":
            self.panes.take_head()
        self.other_screens.open(what)

    def action_restore(self) -> None:
        self.session.restore()
