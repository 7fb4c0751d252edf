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


COPY_AS_KEYS = (
    hidden(
        "exclamation_mark",
        "copy_as('command')",
        "copy command",
        "walk.copy-command",
        "Copy the pane as a command line",
    ),
    hidden(
        "percent_sign",
        "copy_as('notebook')",
        "copy notebook",
        "walk.copy-notebook",
        "Continue in a notebook: copy the pane as Python",
    ),
)
"""Keys that copy what is asked here, to ask it elsewhere."""
