"""What fires a neuron, down to earlier neurons: what the heads' pane has as one sum, opened (method.md, 9).

1. On one text: heads, earlier neurons, the embedding and the biases, as the exact sum of what it reads.
2. Over all its prompts: the mean of each earlier neuron, and on how many prompts it is active.
3. Enter on an earlier neuron or a head goes on with it on the text that was open.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_lookups.ids import HeadId
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.contribution_rows import rows_of_inputs, rows_of_overview
from tui_lookups.tui.state.given_text import given_up_to
from tui_lookups.tui.state.left_screens import Door, InputsPlace, TracePlace
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.waiting import wait_words
from tui_lookups.tui.text.why import inputs_sum, inputs_title, overview_sum, overview_title
from tui_lookups.tui.widgets.contribution_lists import ContributionRows, LayerRows
from tui_lookups.tui.widgets.contribution_views import ContributionViews
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import InputsOverview, NeuronInputs
    from tui_lookups.tui.state.contribution_rows import SumRows
    from tui_lookups.tui.state.given_text import GivenText

T = TypeVar("T")


class InputsScreen(QueryScreen[Door | TracePlace]):
    """Returns what was opened, or the trace to go over to; None on escape. `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "a", "over_all", "all prompts", id="inputs.all", tooltip="One text, or the mean over all prompts"
        ),
        Binding(
            "r",
            "trace",
            "trace",
            id="inputs.trace",
            tooltip="Open it node by node, with what is under the cursor",
        ),
        Binding("v", "view", "view", id="components.view", tooltip="By size, by layer, in groups"),
        Binding("escape,q", "close", "back", id="inputs.close", tooltip="Back to the walk as it was"),
        Binding(
            "tab,shift+tab", "swap", "other list", id="inputs.swap", tooltip="The other list", show=False
        ),
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, place: InputsPlace) -> None:
        super().__init__(explorer)
        self.place = place
        self._neuron, self._over_all = place.neuron, place.over_all
        self.inputs: NeuronInputs | None = place.inputs
        self.overview: InputsOverview | None = place.overview

    def compose(self) -> ComposeResult:
        yield TextLines(id="inputs-title", classes="title")
        yield PackedText(id="inputs-sum", bold_first=True)
        yield ContributionViews(self.place.views, id="inputs-views")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._views.show_empty("")
        self._show()
        self._views.take_focus(self.place.focus)

    @property
    def _views(self) -> ContributionViews:
        return self.query_one(ContributionViews)

    # --- the question ---

    def _show(self) -> None:
        """What is shown of one text or of all prompts; it is asked for where it is not known."""
        if self._over_all:
            self._show_overview()
        else:
            self._show_inputs()

    def _show_inputs(self) -> None:
        if self.inputs is not None:
            self._show_sum(inputs_title(self.inputs), inputs_sum(self.inputs), rows_of_inputs(self.inputs))
            return
        at = self.place
        question = partial(
            self.explorer.inputs,
            self._neuron,
            prompt_id=at.prompt_id,
            text=at.text.text if at.prompt_id is None else None,
            position=at.position,
            trimmed=at.trimmed,
        )

        def done(found: NeuronInputs) -> None:
            self.inputs = found
            self._show()

        self._ask(
            "inputs",
            f"What fires {self._neuron}",
            "Running the text, and summing\nwhat every component writes to it…",
            question,
            done,
        )

    def _show_overview(self) -> None:
        if self.overview is not None:
            overview = self.overview
            self._show_sum(overview_title(overview), overview_sum(overview), rows_of_overview(overview))
            self._views.listed.show_empty(visible(overview.note) or "No earlier neuron reaches it.")
            return

        def done(found: InputsOverview) -> None:
            self.overview = found
            self._show()

        title, doing = f"What fires {self._neuron} over its prompts", "Running each of the neuron's prompts…"
        question = partial(self.explorer.inputs_overview, self._neuron, trimmed=self.place.trimmed)
        self._ask("overview", title, doing, question, done)

    def _ask(
        self, kind: str, title: str, doing: str, question: Callable[[], T], done: Callable[[T], None]
    ) -> None:
        """Put a question, and say what is done for it meanwhile."""

        def wait(far: str) -> None:
            self._views.show_empty(wait_words(doing, far, key_of(self.app, "inputs.close")))

        self._show_sum(title, (), None)
        self._views.show_empty("")
        self.queries.ask(kind, question, done, self._failed)
        self.wait_for(kind, wait)

    def _show_sum(self, title: str, parts: tuple[str, ...], sums: SumRows | None) -> None:
        self.query_one("#inputs-title", TextLines).show_words(title)
        self.query_one("#inputs-sum", PackedText).show_parts(parts)
        if sums is not None:
            self._views.show(sums)

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._views.show_empty(visible(message) + "\n" + visible(hint))

    # --- keys ---

    def action_over_all(self) -> None:
        self.queries.cancel("inputs", "overview")
        self._over_all = not self._over_all
        self._show()

    def action_view(self) -> None:
        self._views.cycle()

    def action_trace(self) -> None:
        """Go over to the trace of the neuron on this text."""
        row = None if self._over_all else self._views.row
        self.dismiss(self.place.trace(None if row is None else row.component))

    def action_swap(self) -> None:
        shown = self._views.shown
        shown[(shown.index(self._views.body) + (shown[0].has_focus)) % len(shown)].focus()

    @on(RowList.Opened, "#components")
    def _component_opened(self) -> None:
        row = self.query_one(ContributionRows).current
        if row is None:
            return
        if row.component is None:
            if row.first is None:
                self.show_message("Only a neuron or a head can be opened.")
            self._views.go_to(row.first)
        elif isinstance(row.component, HeadId):
            self.dismiss(Door(self._neuron, row.component, None))
        else:
            self.dismiss(Door(row.component, None, self._text))

    @property
    def _text(self) -> GivenText:
        """What was run, which may be the trimmed prompt."""
        if self.inputs is None:
            return self.place.text
        return given_up_to(self.inputs.tokens, self.inputs.position, self.inputs.provenance.model)

    @on(RowList.Opened, "#by-layer")
    def _layer_opened(self) -> None:
        row = self.query_one(LayerRows).current
        if row is not None:
            self._views.go_to(row.first)

    def dismiss(self, result: Door | TracePlace | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            self.place = self._here()
        return super().dismiss(result)

    def _here(self) -> InputsPlace:
        at, focused = self.place, self.focused.id if self.focused is not None else None
        return InputsPlace(
            self._neuron, at.prompt_id, at.text, at.position, at.trimmed, self._over_all,
            self.inputs, self.overview, self._views.place, focused or "",
        )  # fmt: skip

    def action_close(self) -> None:
        self.dismiss(None)
