"""The documents that corpora are made of: texts in a fixed order, none of them too long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.errors import CorpusError
from tui_lookups.storage.files import reason

MOST_CHARACTERS = 1_000_000
"""Longest document; longer texts are cut into documents of this length."""

Count = Callable[[int], None]
"""Told the bytes read from the disk, piece by piece."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `number` counts the documents of the whole source from 0."""

    text: str
    file: str
    number: int


def cut_text(text: str) -> Iterator[str]:
    """A text in parts of at most `MOST_CHARACTERS`; blank parts are left out."""
    for start in range(0, len(text), MOST_CHARACTERS):
        part = text[start : start + MOST_CHARACTERS]
        if part.strip():
            yield part


def unreadable(path: Path, error: OSError) -> CorpusError:
    """A file the system does not let us read."""
    return CorpusError(f"{path} could not be read: {reason(error)}.", "Check the name and its permissions.")
