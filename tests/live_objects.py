"""How many objects of some kinds were made and are still held, garbage aside."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting_new(*kinds: type) -> Iterator[Callable[[], Counter[type]]]:
    """What it gives counts those made since. What was there before is not looked through again and again."""
    gc.collect()
    gc.freeze()

    def count() -> Counter[type]:
        gc.collect()
        return Counter(type(each) for each in gc.get_objects() if type(each) in kinds)

    try:
        yield count
    finally:
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # as conftest.py leaves it
