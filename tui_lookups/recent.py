"""A mapping of bounded size: what a long run remembers must not grow with what it is asked.

1. Putting an entry in makes it the newest, whether it was there or not; reading changes nothing.
2. Above the bound the oldest entry goes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """The `most` entries that were put in last. Not thread-safe."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
