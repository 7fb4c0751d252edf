"""Keys that work but do not fill the bottom line: `?` and the palette list them."""

from __future__ import annotations

from textual.binding import Binding

SORT_KEY = Binding("S", "sort", "sort", id="list.sort", tooltip="The list by its next column")
"""The key that puts any list in another order."""

CORPUS_KEY = Binding(
    "ctrl+g",
    "screen.over('search')",
    "whole corpus",
    id="walk.search",
    tooltip="Search all texts of the corpus",
)
"""The key that takes a search from a list to the whole corpus."""


def hidden(key: str, action: str, words: str, name: str, tip: str, shown: str | None = None) -> Binding:
    """A binding by the `name` of its action, with what it does; `shown`: its key where that is named."""
    return Binding(key, action, words, id=name, tooltip=tip, show=False, key_display=shown)
