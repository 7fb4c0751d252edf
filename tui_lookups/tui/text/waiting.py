"""What is waited for, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.results import Status


def loading_words(status: Status) -> str:
    """How far loading is; empty once it is over."""
    if status.stage not in ("starting", "loading"):
        return ""
    return visible(f"loading the model: {status.message}" if status.message else "loading the model")


def wait_words(doing: str, far: str, stop: str, between: str = "\n") -> str:
    """What is done, how far it is, and the key that stops it."""
    return between.join(filter(None, (doing, far, f"{stop} stops it")))
