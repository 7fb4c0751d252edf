"""What every kind of corpus source has in common: documents in a fixed order, and a fingerprint of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tui_lookups.errors import CorpusError
from tui_lookups.storage.files import file_digest, reason

if TYPE_CHECKING:
    from tui_lookups.corpus.records import Records

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


class Source(Protocol):
    """Where a corpus comes from.

    Attributes:
        name: what people call it.
        source: where it is.
        note: a sentence about files that were left out, or empty.
        records: which field of its records is their text, and what was counted in the pass over them.
        limit: most documents taken where nobody says how many; None takes all there are.
        bytes_read: bytes read so far.
    """

    name: str
    source: str
    note: str
    limit: int | None

    records: Records

    @property
    def bytes_read(self) -> int: ...

    @property
    def bytes_total(self) -> int | None:
        """Bytes there are, None where nobody knows. Raises CorpusError."""

    def fingerprint(self, digest: Callable[[Path], str] = file_digest) -> str:
        """SHA-256 (hex) of what decides the documents. Raises CorpusError.

        `digest` is the SHA-256 of a file; hand in one that remembers (`storage.files.FingerprintMemory`).
        """

    def documents(self) -> Iterator[Document]:
        """Every document, in order. Raises CorpusError at the first thing that is not text."""


def cut_text(text: str) -> Iterator[str]:
    """A text in parts of at most `MOST_CHARACTERS`; blank parts are left out."""
    for start in range(0, len(text), MOST_CHARACTERS):
        part = text[start : start + MOST_CHARACTERS]
        if part.strip():
            yield part


def unreadable(path: Path, error: OSError) -> CorpusError:
    """A file the system does not let us read."""
    return CorpusError(f"{path} could not be read: {reason(error)}.", "Check the name and its permissions.")
