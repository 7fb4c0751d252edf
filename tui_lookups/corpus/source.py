"""What every kind of corpus source has in common: documents in a fixed order, and a fingerprint of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from tui_lookups.corpus.documents import Document
from tui_lookups.corpus.records import Records
from tui_lookups.storage.files import file_digest


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
