"""What is said of a search through the corpus: how far it is, and what an empty list means. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.results import CorpusHits


def search_title(found: CorpusHits | None, stop: str, enter: str) -> tuple[str, str]:
    """The line above the list, and what stands in it while it is empty.

    Args:
        found: what there is so far.
        stop: the key that stops the search; empty where none runs.
        enter: the key that begins one.
    """
    stops = f"; {stop} stops it" if stop else ""
    if found is None:
        if stop:
            return f"Opening the corpus…{stops}", ""
        return "The texts of the corpus", f"Type a text:\n{enter} searches all texts of the corpus for it."
    count, looked, total = len(found.hits), f"{found.looked:,}", f"{found.prompts:,}"
    held = f"{count:,} prompt{'s hold' if count != 1 else ' holds'} “{visible(found.text)}”"
    if stop:
        share = found.looked / found.prompts if found.prompts else 1.0
        return f"{held} so far: looked at {looked} of {total} ({share:.0%}){stops}", ""
    if found.looked == found.prompts:
        return f"{held}, of all {total} of the corpus", f"No text of the corpus holds it.\n{found.note}"
    if found.capped:
        return f"The first {held}: looked at {looked} of {total}; a longer text finds fewer", ""
    return (
        f"{held}: stopped after {looked} of {total}",
        f"Nothing was found before it was stopped.\n{found.note}",
    )
