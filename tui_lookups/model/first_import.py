"""transformers is imported by one thread at a time.

Texts are encoded in the thread of whoever asks, the model is loaded in its own: both may be the first to need
transformers. While that is imported its module stands in `sys.modules`, and in the end it puts another in its
place; `from transformers import X` in a second thread would wait for the first module, and find no X in it.
"""

from __future__ import annotations

import threading
from importlib import import_module

_IMPORTING = threading.Lock()


def import_transformers() -> None:
    """Import transformers, or wait for the thread that does: before a name is imported from it."""
    with _IMPORTING:
        import_module("transformers")
