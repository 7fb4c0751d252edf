"""The most probable next tokens, of which one is asked about, against another where that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.results import Prediction, Token


class NextTokens(RowList):
    """One row a token: ▸ is asked about, - is the foil."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "why this", id="next.open", tooltip="Why the model expects this token"),
        Binding(
            "f", "screen.foil", "foil", id="next.foil", tooltip="Against this token; again: against the mean"
        ),
        Binding("right,l", "screen.rows", "components", id="next.rows", tooltip="To the components"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.found: tuple[Prediction, ...] = ()
        self._token: Token | None = None
        self._foil: Token | None = None

    def show_tokens(self, found: tuple[Prediction, ...], token: Token | None, foil: Token | None) -> None:
        """Show these; the cursor goes to the one that is asked about, unless it was moved among the same."""
        same = found == self.found
        self.found, self._token, self._foil = found, token, foil
        at = next((n for n, row in enumerate(found) if row.token == token), 0)
        self.rows_changed(None if same else at)

    @property
    def current(self) -> Token | None:
        """The token under the cursor."""
        return self.found[self.cursor].token if self.found else None

    def row_count(self) -> int:
        return len(self.found)

    def table(self) -> Sequence[Sequence[str | float | None]]:
        """Every token with its probability, the names of the columns first."""
        rows = ((row.token.text, row.probability) for row in self.found)
        return (("token", "probability"), *rows) if self.found else ()

    def heading(self, width: int) -> list[Segment]:
        return [Segment(fit("   prob. next token", width), self.palette.heading)]

    def _mark(self, token: Token) -> str:
        return "▸" if token == self._token else "-" if token == self._foil else " "

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette = self.found[index], self.palette
        asked = row.token == self._token
        return [
            Segment(self._mark(row.token), palette.accent),
            Segment(f"{row.probability:>7.2%} ", palette.plain),
            Segment(
                fit(visible_token(row.token.text), max(0, width - 9)),
                palette.strong if asked else palette.plain,
            ),
        ]

    def plain_row(self, index: int) -> str:
        row = self.found[index]
        asked = ", asked about" if row.token == self._token else ""
        asked = ", the foil" if row.token == self._foil else asked
        return f"{quoted(row.token.text)}, probability {row.probability:.2%}{asked}"
