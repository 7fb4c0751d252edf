"""Python's garbage collector, kept from looking through what stays.

Importing torch and transformers and building a model makes a million objects, none of which is garbage; the
collector, which starts by how many objects were made, would look through all of them again and again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected meanwhile, in the whole process; afterwards it is as it was before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
