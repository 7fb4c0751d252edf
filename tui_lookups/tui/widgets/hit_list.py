"""Texts of the corpus that hold what was searched for: a line each, its first place in one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.text_layout import fit, quoted, snippet
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.results import CorpusHit
    from tui_lookups.tui.text.tsv import Table

_NUMBER, _TIMES = 10, 5
_FOUND = Style(bold=True, reverse=True)


class HitList(RowList):
    """One row a prompt, in the order of the corpus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="search.open", tooltip="The neuron on this text"),
        Binding("slash", "screen.type", "other text", id="search.type", tooltip="Search for another text"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.hits: tuple[CorpusHit, ...] = ()

    def show_hits(self, hits: tuple[CorpusHit, ...], cursor: int | None = None) -> None:
        """Show these; the cursor stays where it is, or goes to row `cursor`."""
        self.hits = hits
        self.rows_changed(cursor)

    @property
    def under_cursor(self) -> CorpusHit | None:
        """The prompt under the cursor."""
        return self.hits[self.cursor] if self.hits else None

    def row_count(self) -> int:
        return len(self.hits)

    def heading(self, width: int) -> list[Segment]:
        return [Segment(fit(f"{'prompt':>{_NUMBER - 1}} times  text", width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        hit, palette = self.hits[index], self.palette
        times = f"x{len(hit.spans)}" if len(hit.spans) > 1 else ""
        texts = [visible(token.text) or "∅" for token in hit.tokens]
        first, last = hit.spans[0]
        line = snippet(texts, last, max(1, width - _NUMBER - _TIMES), "")
        styles = [_FOUND if first <= span.token <= last else palette.plain for span in line]
        return [
            Segment(fit(f"{hit.prompt_id:,}", _NUMBER - 1, right=True) + " ", palette.dim),
            Segment(fit(times, _TIMES), palette.strong),
            *(Segment(span.text, style) for span, style in zip(line, styles, strict=True)),
        ]

    def plain_row(self, index: int) -> str:
        hit = self.hits[index]
        times = f", {len(hit.spans)} times" if len(hit.spans) > 1 else ""
        return f"prompt {hit.prompt_id}{times}: {quoted(_text_of(hit))}"

    def copy_text(self) -> str | None:
        return None if self.under_cursor is None else _text_of(self.under_cursor)

    def table(self) -> Table:
        rows = tuple((hit.prompt_id, len(hit.spans), _text_of(hit)) for hit in self.hits)
        return (("prompt", "times", "text"), *rows) if rows else ()


def _text_of(hit: CorpusHit) -> str:
    return "".join(token.text for token in hit.tokens)
