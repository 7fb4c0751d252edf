"""The home folder in a path that a person typed."""

from __future__ import annotations

import os
from pathlib import Path


def expanded_text(text: str) -> str:
    """`~` and `~name` at the start put in; as written where there is no such home, as a shell does."""
    try:
        return os.path.expanduser(text)
    except ValueError:  # a NUL, or half of a character, where a name should be
        return text


def expanded(path: str | Path) -> Path:
    """See `expanded_text`."""
    return Path(expanded_text(str(path)))
