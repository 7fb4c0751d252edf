"""The tokens a head reads from, attribution beside attention: the many that hardly count in one row, until
that is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.shading import glyphs, level
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.head_keys import head_keys
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.results import SourceToken
    from tui_lookups.tui.text.tsv import Table


_LONGEST_BAR = 24
_LEAST_ROWS = 4
_HARDLY = 0.01
"""Of all that a head reads, by size: below it a token hardly counts."""


class HeadDetail(RowList):
    """One row a source token, largest first; enter goes to the token in the prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "to the token", id="detail.open", tooltip="Show the token in its prompt"),
        *head_keys()[:2],
        Binding(
            "a",
            "screen.all_prompts",
            "all prompts",
            id="heads.all",
            tooltip="One prompt, or the mean over all prompts",
        ),
        *head_keys()[2:],
        hidden("left,h", "screen.pane(2)", "heads", "detail.heads", "Back to the heads"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sources: tuple[SourceToken, ...] = ()
        self._shown = 0
        self._least = 0.0

    def show_sources(self, sources: tuple[SourceToken, ...], *, least: float = 0.0) -> None:
        """Show what a head reads, strongest first.

        The strongest shade stands for the largest figure, or for `least` where that is larger.
        """
        self._least = least
        ordered = tuple(sorted(sources, key=lambda s: -abs(s.attribution)))
        if ordered != self._sources:
            had, self._sources = bool(self._sources), ordered
            least = _HARDLY * sum(abs(source.attribution) for source in ordered)
            self._shown = sum(abs(source.attribution) >= least for source in ordered)
            if len(ordered) - self._shown < 2:
                self._shown = len(ordered)
            self.rows_changed(0)
            if had != bool(ordered):
                self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a token to go to only where there is a row."""
        return action != "open" or bool(self._sources)

    @property
    def source(self) -> SourceToken | None:
        """The source token under the cursor."""
        return self._sources[self.cursor] if self.cursor < self._shown else None

    def action_open(self) -> None:
        if self._sources and self.cursor == self._shown:
            self._shown = len(self._sources)
            self.rows_changed()
        else:
            super().action_open()

    def _together(self) -> tuple[int, str]:
        """How many hardly count, and what they come to."""
        rest = self._sources[self._shown :]
        return len(rest), signed(sum(source.attribution for source in rest))

    def table(self) -> Table:
        rows = ((s.position, s.token.text, s.attribution, s.weight) for s in self._sources)
        return (("position", "token", "attribution", "attention"), *rows) if self._sources else ()

    def heading(self, width: int) -> list[Segment] | None:
        """Where a few rows are left below it."""
        if self.size.height <= _LEAST_ROWS:
            return None
        return [Segment(fit("  pos.  attr.     attn. token", width), self.palette.heading)]

    def row_count(self) -> int:
        return self._shown + (self._shown < len(self._sources))

    def plain_row(self, index: int) -> str:
        if index == self._shown:
            count, total = self._together()
            return f"attribution {total} from {count} more tokens together, each below 1 percent"
        source = self._sources[index]
        attention = "" if source.weight is None else f", attention {source.weight:.1%}"
        return (
            f"attribution {signed(source.attribution)} from token {quoted(source.token.text)}"
            f" at position {source.position}{attention}"
        )

    def row(self, index: int, width: int) -> list[Segment]:
        palette = self.palette
        if index == self._shown:
            count, total = self._together()
            return [Segment(fit(f"    … {total:>7} from {count} more, each below 1 %", width), palette.dim)]
        source = self._sources[index]
        top = max(self._least, *(abs(s.attribution) for s in self._sources))
        shade = palette.shade(level(source.attribution, top))
        bar = max(0, min(_LONGEST_BAR, width - 42))
        text = visible_token(source.token.text)
        weight = "" if source.weight is None else f"{source.weight:.0%}"
        return [
            Segment(f" {source.position:4d} {signed(source.attribution):>7} ", palette.plain),
            Segment(f"{glyphs(source.attribution, top):<3} ", palette.dim),
            Segment(f"{weight:>4} ", palette.plain),
            Segment(fit(text, max(1, min(16, width - 25))), palette.plain + shade),
            Segment(" " + palette.bar_text(abs(source.attribution), top, bar), palette.bar),
        ]
