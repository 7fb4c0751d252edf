"""Layers x heads: how many next-token neurons each head serves, or how much of their firing it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.text.survey import cells_of, folded_words, head_words, legend_words
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.painting import Canvas

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import Survey, SurveyedHead
    from tui_lookups.tui.state.left_screens import Measure
    from tui_lookups.tui.text.tsv import Table

_MOVING = ("move", "edge", "strongest")


class ServesGrid(HeadGrid, inherit_bindings=False):
    """The head grid with figures of a survey in its cells."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "its neurons", id="serves.open", tooltip="The neurons that the head serves"),
        Binding(
            "m", "measure", "measure", id="serves.measure", tooltip="Neurons served, or the share carried"
        ),
        *(b for b in HeadGrid.BINDINGS if isinstance(b, Binding) and b.action.partition("(")[0] in _MOVING),
        *Canvas.BINDINGS,
    ]

    def __init__(self, measure: Measure, *, id: str) -> None:
        super().__init__(id=id)
        self.measure: Measure = measure
        self._found: dict[HeadId, SurveyedHead] = {}

    def show_survey(self, survey: Survey) -> None:
        """Show the heads of a survey; the cursor stays where it is."""
        self._found = {head.head: head for head in survey.heads}
        model = survey.provenance.model
        self.show_heads(model.n_layers, model.n_heads, cells_of(survey.heads, self.measure))

    def action_measure(self) -> None:
        """The other of the two measures."""
        self.measure = "carries" if self.measure == "serves" else "serves"
        self.show_heads(self._n_layers, self._n_heads, cells_of(self._found.values(), self.measure))

    def table(self) -> Table:
        names = ("head", "serves", "reaches", "mean_attribution", "carries")
        rows = (
            (str(row.head), row.serves, row.reaches, row.mean_attribution, row.carries)
            for row in self._found.values()
        )
        return (names, *rows) if self._found else ()

    def _folded_row(self, layers: range, width: int) -> list[Segment]:
        words = folded_words(layers, self._found.values(), self.measure)
        return [Segment(fit(words, width), self.palette.dim)]

    def _legend(self, width: int) -> list[Segment]:
        return [Segment(fit(f" {legend_words(self.measure)}", width), self.palette.dim)]

    def _head_words(self, head: HeadId) -> str:
        return self._plain_row(head) if head in self._found else f"{head} reaches none of the neurons"

    def _plain_row(self, head: HeadId) -> str:
        return f"{head} {head_words(self._found[head])}"
