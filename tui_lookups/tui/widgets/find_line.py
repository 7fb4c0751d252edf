"""The line of a text that is searched for: in the prompts that are listed, or in the whole corpus."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from tui_lookups.tui.widgets.bindings import CORPUS_KEY
from tui_lookups.tui.widgets.typed_line import SearchLine


class FindLine(SearchLine):
    """Finds in the list while it is typed; a key takes the text to the whole corpus."""

    BINDINGS: ClassVar[list[BindingType]] = [*SearchLine.BINDINGS, CORPUS_KEY]

    def __init__(self, *, id: str) -> None:
        super().__init__(placeholder="a text in these prompts", id=id)
