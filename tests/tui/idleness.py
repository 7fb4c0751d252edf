"""When the app under test is idle: told by what is left to do, not by how busy the processor was.

Textual's pilot takes an app for idle when the process has used little processor time for a fiftieth of a
second. The tests wait for that tens of thousands of times, and beside busy processes it says yes too early.
Here the app is idle when

1. no callback of the loop is ready: every queue is empty, and what is left waits for a time, a thread or a
   process;
2. no timer goes off within `_SOON`: Textual lays out anew 1/120 s after a resize, and paints 1/60 s after a
   change. What such timers set in motion is waited for as well, `_ROUNDS` times: some look at something
   again and again.

On the way there Textual composes the screen time and again, which was half of what these tests cost. Without
a terminal nobody sees that: what has changed is composed once, when a pause ends.

Where only the clock is waited for, it is put forward: by so much as is left until such a timer goes off, or
by what a test lets pass (`let_pass`). Beside other threads, whose work takes time, it is waited for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from textual.pilot import Pilot

_SOON = 1 / 50
_ROUNDS = 3


@contextmanager
def idle_when_nothing_is_left() -> Iterator[None]:
    """The pilot waits until the app is idle in this sense."""
    from textual import app, pilot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "wait_for_idle", _idle)
        patch.setattr(pilot, "wait_for_idle", _idle)
        patch.setattr(pilot.Pilot, "_wait_for_screen", _queues_empty)
        _paint_when_idle(patch)
        yield


def _paint_when_idle(patch: pytest.MonkeyPatch) -> None:
    """Without a terminal, the regions that have changed add up until a pause ends."""
    from textual._compositor import Compositor
    from textual.pilot import Pilot

    compose, pause = Compositor.render_update, Pilot.pause

    def put_off(compositor: Compositor, full: bool = False, **options: Any) -> Any:
        if full or compositor.root is None or not compositor.root.app.is_headless:
            return compose(compositor, full, **options)
        return None

    async def pause_and_paint(pilot: Pilot[Any], delay: float | None = None) -> None:
        await pause(pilot, delay)
        app, screen = pilot.app, pilot.app.screen
        if screen._compositor._dirty_regions:
            app._display(screen, compose(screen._compositor, screen_stack=app._background_screens))

    patch.setattr(Compositor, "render_update", put_off)
    patch.setattr(Pilot, "pause", pause_and_paint)


async def _idle(*_: float) -> None:
    loop: Any = asyncio.get_running_loop()
    for _round in range(_ROUNDS):
        await _queues_empty()
        left = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=1e9)
        left -= loop.time()
        if left > _SOON:
            return
        if left > 0 and threading.active_count() == 1:
            _put_clock_forward(left)
        else:
            await asyncio.sleep(max(left, 0.0))


async def _queues_empty(*_: Any) -> bool:
    """Until two looks in a row found nothing ready: the first may come before the loop asked its sockets."""
    loop: Any = asyncio.get_running_loop()
    looks = 0
    while looks < 2:
        await asyncio.sleep(0)
        looks = 0 if loop._ready else looks + 1
    return True


async def let_pass(pilot: Pilot[Any], seconds: float) -> None:
    """What is due within so many seconds goes off. Beside other threads, whose work takes time, they pass."""
    if threading.active_count() > 1:
        await pilot.pause(seconds)
        return
    await pilot.pause()  # what was sent sets its timers now, not once the time has passed
    _put_clock_forward(seconds)
    await pilot.pause()


async def pass_idle(seconds: float) -> None:
    """The same for an app that has neither a pilot nor threads."""
    await _idle()
    _put_clock_forward(seconds)
    await _idle()


def _put_clock_forward(seconds: float) -> None:
    loop: Any = asyncio.get_running_loop()
    ahead = loop.time() - time.monotonic() + seconds
    loop.time = lambda: time.monotonic() + ahead
