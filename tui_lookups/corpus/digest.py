"""A digest of token windows that grows with them: equal exactly when the windows and their parts are equal.

1. Three hashes run side by side: of the token ids (as 4 bytes each), of the lengths of the windows (4 bytes)
   and of their parts (1 byte). Together they spell out every window, with no way to read them otherwise.
2. The digest of the first n windows is that of a corpus which holds only those: so a longer corpus proves
   that it begins with a shorter one. Types on disk, files and documents do not count, nor does the way
   windows are handed in.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

_FORMAT = "windows 1"


class WindowDigest:
    """SHA-256 over windows handed in piece by piece."""

    def __init__(self) -> None:
        self._windows = 0
        self._hashes = tuple(hashlib.sha256() for _ in range(3))

    def update(self, tokens: npt.NDArray[Any], lengths: npt.NDArray[Any], parts: npt.NDArray[Any]) -> None:
        """Add windows.

        Args:
            tokens: [sum of lengths] the windows' token ids, one window after another.
            lengths: [windows] tokens of each.
            parts: [windows] 0 or 1 (method.md, section 5).
        """
        self._windows += len(lengths)
        for running, values, kind in zip(
            self._hashes, (tokens, lengths, parts), ("<u4", "<u4", "<u1"), strict=True
        ):
            running.update(np.ascontiguousarray(values, dtype=kind).data)

    def hexdigest(self) -> str:
        """The digest (hex) of the windows so far; more may follow."""
        whole = [f"{_FORMAT}\n{self._windows}", *(part.hexdigest() for part in self._hashes)]
        return hashlib.sha256("\n".join(whole).encode("ascii")).hexdigest()
