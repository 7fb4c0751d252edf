"""How far something is that is waited for, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.progress import Progress
    from tui_lookups.results import Status


def how_far(progress: Progress | None, status: Status) -> str:
    """The step under way and the time left, or how far loading is; empty where neither is known."""
    if progress is not None:
        left = progress.seconds_left
        time = "" if left is None else f", {left:.0f} s left"
        return f"{progress.what} {progress.step} of {progress.steps}{time}"
    if status.stage in ("starting", "loading"):
        return visible(f"loading the model: {status.message}" if status.message else "loading the model")
    return ""


def wait_words(doing: str, far: str, stop: str, between: str = "\n") -> str:
    """What is done, how far it is, and the key that stops it."""
    return between.join(filter(None, (doing, far, f"{stop} stops it")))
