"""The survey: which neurons, what it costs, its pairs as they come, and layers x heads (method.md, 12).

The run is the walk's own (`state/survey_run.py`): it goes on when this screen is left.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from tui_lookups.settings_values import format_layers
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state.left_screens import SurveyPlace
from tui_lookups.tui.text.continuing import continued_survey
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.survey import layers_wanted, survey_parts, survey_title
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.pair_rows import SurveyRows
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.serves_grid import ServesGrid
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from textual import events
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import SurveyedPair
    from tui_lookups.tui.state.left_screens import SurveyView
    from tui_lookups.tui.state.survey_run import SurveyRun

_SCAN_SECONDS = 1.0
"""How often is looked how far the scan is that a run waits for."""
WIDE = 130
"""Cells that hold the pairs and the picture beside them."""


class SurveyLine(TypedLine):
    """A line for the layers, or for the number of neurons."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "plan", id="survey.ask", tooltip="What a survey of these neurons costs"),
        Binding("tab", "screen.step(1)", "next", id="survey.next-line", tooltip="The other line, the tables"),
        Binding("escape", "screen.leave_line", "back", id="survey.leave-line", tooltip="Back to the tables"),
    ]


class SurveyScreen(LeavesOnce, Screen["SurveyedPair | HeadId"]):
    """Returns the pair that was opened, or the head; None on escape. `place` is how it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "start", "run", id="survey.start", tooltip="Begin the survey, or go on with it"),
        Binding("c", "stop", "stop", id="survey.stop", tooltip="Stop it; what is worked out is kept"),
        Binding("v", "view", "pairs/heads", id="survey.view", tooltip="The pairs, or layers x heads"),
        Binding("escape,q", "close", "back", id="survey.close", tooltip="Back to the walk; it goes on"),
        Binding("D", "head", "head's side", id="survey.head", tooltip="All neurons that this head serves"),
        Binding("e", "choose", "choose", id="survey.choose", tooltip="Other layers, more neurons a layer"),
        Binding("x", "export", "export", id="survey.export", tooltip="Write report and tables to a folder"),
        Binding("tab", "step(1)", "next", id="survey.next", tooltip="Lines and tables", show=False),
        Binding("shift+tab", "step(-1)", "back", id="survey.back", tooltip="The other way", show=False),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, run: SurveyRun, place: SurveyPlace) -> None:
        super().__init__()
        self._explorer = explorer
        self._run = run
        self.place = place
        self._view: SurveyView = place.view
        self._settled = False

    def compose(self) -> ComposeResult:
        run, place = self._run, self.place
        yield TextLines(id="survey-title", classes="title")
        with Horizontal(id="survey-line"):
            yield TextLines(id="survey-layers-label", classes="label")
            yield SurveyLine(format_layers(run.layers), id="survey-layers", compact=True)
            yield TextLines(id="survey-count-label", classes="label")
            yield SurveyLine(str(run.per_layer), id="survey-count", compact=True)
        yield PackedText(id="survey-plan")
        with Horizontal(id="survey-body"):
            yield SurveyRows(place.order, id="survey-pairs")
            yield ServesGrid(place.measure, id="survey-heads")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self.query_one("#survey-layers-label", TextLines).show_lines((Segment(" Layers "),))
        self.query_one("#survey-count-label", TextLines).show_lines((Segment(" neurons a layer "),))
        self._run.listener = self._show
        self.set_interval(_SCAN_SECONDS, self._show_plan)
        self._arrange()
        self._body.focus()
        self._run.open()
        self._show()

    def on_unmount(self) -> None:
        self._run.silence(self._show)

    # --- showing ---

    def _show(self) -> None:
        survey = self._run.survey
        self.query_one("#survey-title", TextLines).show_lines((Segment(f" {survey_title(survey)}"),))
        self._show_plan()
        self._pairs.show_empty(self._empty())
        self._grid.show_empty(self._empty())
        if survey is None:
            self._pairs.show_pairs(())
            self._grid.show_heads(0, 0, {})
        else:
            first, self._settled = not self._settled, True
            self._grid.show_survey(survey)
            self._pairs.show_pairs(survey.pairs, self.place.row if first else None)
            if first and self.place.head is not None:
                self._grid.go_to(self.place.head)
        self.refresh_bindings()

    def _show_plan(self) -> None:
        parts = survey_parts(self._run, self._explorer.status().scan, partial(key_of, self.app))
        self.query_one("#survey-plan", PackedText).show_parts(parts)

    def _empty(self) -> str:
        run = self._run
        if run.error is not None:
            return "\n".join(map(visible, run.error))
        if run.planning:
            return "Reading the layers against the vocabulary…"
        if run.running:
            return "Working out the heads of the first neuron…"
        if run.whole:
            return "No head is worth explaining for any of them."
        return "The pairs of a neuron and a head that is worth\nexplaining for it stand here, as they come."

    @property
    def _pairs(self) -> SurveyRows:
        return self.query_one(SurveyRows)

    @property
    def _grid(self) -> ServesGrid:
        return self.query_one(ServesGrid)

    @property
    def _body(self) -> SurveyRows | ServesGrid:
        """The table that was chosen to be looked at."""
        return self._pairs if self._view == "pairs" else self._grid

    @property
    def _both(self) -> bool:
        return self.size.width >= WIDE

    def _arrange(self) -> None:
        self._pairs.display = self._both or self._view == "pairs"
        self._grid.display = self._both or self._view == "heads"
        self.set_class(self._both, "-both")

    def on_resize(self, event: events.Resize) -> None:
        had = self.focused in (self._pairs, self._grid)
        self._arrange()
        if had:
            self._body.focus()  # what is not displayed loses the focus

    # --- keys ---

    def action_view(self) -> None:
        self._view = "heads" if self._view == "pairs" else "pairs"
        self._arrange()
        self._body.focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget in (self._pairs, self._grid):
            self._view = "pairs" if event.widget is self._pairs else "heads"

    def action_choose(self) -> None:
        self.query_one("#survey-layers", Input).focus()

    def action_leave_line(self) -> None:
        self._body.focus()

    def action_step(self, by: int) -> None:
        lines = self.query(SurveyLine)
        tables = [self._pairs, self._grid] if self._both else [self._body]
        parts = [*lines, *tables]
        at = next((n for n, widget in enumerate(parts) if widget.has_focus), 0)
        parts[(at + by) % len(parts)].focus()

    @on(Input.Submitted)
    def _chosen(self) -> None:
        layers, count = (self.query_one(name, Input).value for name in ("#survey-layers", "#survey-count"))
        try:
            wanted = layers_wanted(layers)
        except ValueError as error:
            self._show_message(f"{error}: give all, or layers from 0 like 9-11, 3 or 0,2,5-7.")
            return
        if not count.strip().isdecimal() or not int(count):
            self._show_message("Give a whole number of neurons a layer, from 1.")
            return
        self._settled = False
        self._run.choose(int(count), wanted)
        self._body.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What runs can be stopped, what does not can be begun: the other key is not offered."""
        run = self._run
        if action == "start":
            return run.plan is not None and not (run.running or run.whole)
        return run.running if action == "stop" else True

    def action_start(self) -> None:
        self._run.start()

    def action_stop(self) -> None:
        self._run.stop()
        self._show_message(f"Stopped; {key_of(self.app, 'survey.start')} goes on where it was.")

    def action_export(self) -> None:
        survey = self._run.survey
        if survey is None or not survey.neurons:
            self._show_message("There is nothing to write yet.")
            return
        from tui_lookups.tui.screens.survey_export import SurveyExportScreen

        self.app.push_screen(
            SurveyExportScreen(self._explorer, survey),
            lambda said: self._show_message(said) if said else None,
        )

    def action_head(self) -> None:
        pair, head = self._pairs.current, self._grid.head
        if self._view == "heads" and head is not None:
            self._open_head(head)
        elif self._view == "pairs" and pair is not None:
            self._open_head(pair.head)
        else:
            self._show_message("There is no head yet.")

    def _open_head(self, head: HeadId) -> None:
        survey = self._run.survey
        if survey is not None and all(row.head != head for row in survey.heads):
            self._show_message(f"{head} reaches none of the surveyed neurons.")
        else:
            self.dismiss(head)

    @on(ServesGrid.Opened)
    def _head_opened(self, event: ServesGrid.Opened) -> None:
        self._open_head(event.head)

    @on(RowList.Opened, "#survey-pairs")
    def _pair_opened(self) -> None:
        self.dismiss(self._pairs.current)

    def action_copy_as(self, what: str) -> None:
        run = self._run
        text = continued_survey(what, None, run.per_layer, run.layers, self._explorer.settings)
        self.app.copy_to_clipboard(text)

    def _show_message(self, text: str) -> None:
        self.query_one(Hints).show_message(text)

    def dismiss(self, result: SurveyedPair | HeadId | None = None) -> AwaitComplete:
        """Close it, keeping how it is left."""
        if self.is_current:
            pairs, grid = self._pairs, self._grid
            self.place = SurveyPlace(self._view, grid.measure, pairs.order, pairs.cursor, grid.head)
        return super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)
