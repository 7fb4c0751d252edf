"""A neuron over the revisions of a model: a row each, and the course of each figure below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.exports.courses import largest_heads
from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.results import NeuronAtRevision, NeuronOverRevisions
    from tui_lookups.tui.text.tsv import Table

_CONGRUENCE, _RANK, _FIGURE = 11, 8, 10
_LEAST, _MOST = 12, 24
"""Cells of a revision's name, and of a token."""
_HEADS = 12


class RevisionRows(RowList):
    """In the order that they were named in; of the heads those with the largest attribution that fit."""

    THING = "revision"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "open", "compare", id="revisions.open", tooltip="The open model against this revision"
        ),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.revisions: tuple[NeuronAtRevision, ...] = ()
        self._figures: dict[str, list[float | None]] = {}

    def show_revisions(self, found: NeuronOverRevisions | None, cursor: int = 0) -> None:
        """Show these, the cursor on a row."""
        rows = self.revisions = () if found is None else found.revisions
        if found is not None and found.firing:
            self._figures = {"peak": [row.peak for row in rows]} | largest_heads(rows, _HEADS)
        else:
            self._figures = {
                "cosine": [row.cosine for row in rows],
                "top congr.": [row.top_congruence for row in rows],
            }
        self.rows_changed(cursor)

    @property
    def current(self) -> NeuronAtRevision | None:
        """The revision under the cursor."""
        return self.revisions[self.cursor] if self.revisions else None

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else self.current.revision

    def table(self) -> Table:
        names = ("revision", "congruence", "token_rank", "top_token", *self._figures)
        rows = [
            (
                row.revision, row.congruence, row.token_rank, row.top_token.text,
                *(values[index] for values in self._figures.values()),
            )
            for index, row in enumerate(self.revisions)
        ]  # fmt: skip
        return (names, *rows) if rows else ()

    def row_count(self) -> int:
        return len(self.revisions)

    def _name_width(self, width: int) -> int:
        """Cells of the name, and of the token: more where everything fits."""
        longest = max((cell_len(visible(row.revision)) for row in self.revisions), default=0) + 2
        return max(_LEAST, min(_MOST if width >= 120 else _LEAST + 2, longest))

    def _shown(self, width: int) -> list[str]:
        """The figures that fit."""
        used = 1 + 2 * self._name_width(width) + _CONGRUENCE + _RANK + 2
        return [*self._figures][: max(1, (width - used) // _FIGURE)]

    def heading(self, width: int) -> list[Segment]:
        name = self._name_width(width)
        figures = "".join(f"{title:>{_FIGURE}}" for title in self._shown(width))
        own = f"{'congruence':>{_CONGRUENCE}}{'rank':>{_RANK}}  {'top token':<{name}}"
        text = f" {'revision':<{name}}{own}{figures}"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette, name = self.revisions[index], self.palette, self._name_width(width)
        figures = (_figure(title, self._figures[title][index]) for title in self._shown(width))
        return [
            Segment(f" {fit(visible(row.revision), name)}", palette.strong),
            Segment(f"{row.congruence:>{_CONGRUENCE}.3f}{row.token_rank:>{_RANK},}  ", palette.plain),
            Segment(fit(visible_token(row.top_token.text), name), palette.strong),
            Segment("".join(f"{figure:>{_FIGURE}}" for figure in figures), palette.plain),
        ]

    def plain_row(self, index: int) -> str:
        row = self.revisions[index]
        figures = (f"{title} {_figure(title, values[index])}" for title, values in self._figures.items())
        return (
            f"{visible(row.revision)}, congruence {row.congruence:.3f}, rank {row.token_rank}, top token"
            f" {quoted(row.top_token.text)}, {', '.join(figures)}"
        )


def _figure(title: str, value: float | None) -> str:
    """A figure of a column: heads raise or lower, so that theirs has a sign."""
    if value is None:
        return "–"
    return signed(value, 3) if title.startswith("L") else f"{value:.3f}"
