"""Keys that arrive together - typed ahead, or in one packet of a slow link - each find what the last one did.

Textual hands every key to the widget that has the focus when it arrives. What the key does comes later: it
climbs from the widget to the app, where its action moves the focus or opens a screen. Of "t because" in one
packet the letters would so be keys of the list that had the focus, and mark, export or quit.

1. A key is handed on when the one before has had its effect; until then it waits.
2. The effect is there when a callback has gone the way the key goes, from the widget to the app, behind it;
   when a second one has gone that way behind the message an action may have sent - the enter of a line, the
   row that was opened -; when the app has moved the focus, which it does two callbacks later; and when a
   screen that was opened is mounted, with its focus.
3. A widget that is removed on the way loses the callback: after a moment the next key goes on without it.
4. A key may have to wait longer, for an answer (`wait_while`). Escape ends that: the keys so far are handed
   on as they are, and then escape itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from textual.app import ScreenStackError

from tui_lookups.tui.terminal.textual_private import parent_of

if TYPE_CHECKING:
    from textual.app import App
    from textual.events import Event, Key, Paste
    from textual.message_pump import MessagePump
    from textual.screen import Screen

_TIMES = 2
_AFTER_AN_ACTION = 2
_LOST_SECONDS = 0.5
_LOOK_SECONDS = 0.01


class KeyQueue:
    """Hands the keys of `app` to `hand_on`, one after the other."""

    def __init__(self, app: App[None], hand_on: Callable[[Event], Awaitable[None]]) -> None:
        self._app = app
        self._hand_on = hand_on
        self._waiting: deque[Key | Paste] = deque()
        self._turn = 0
        self._taken_at = monotonic()
        self._unanswered: Callable[[], bool] | None = None
        self._lost: asyncio.TimerHandle | None = None
        """Ends the turn of a key whose callback was lost; None while no key has its turn."""

    def wait_while(self, unanswered: Callable[[], bool]) -> None:
        """No key has its turn before `unanswered` is over: what was asked for decides where it goes."""
        self._unanswered = unanswered

    async def take(self, key: Key | Paste | None = None) -> None:
        """A key from the terminal, or a pasted text, which is one; None when the one before is done with."""
        if key is not None:
            self._taken_at = monotonic()
            self._waiting.append(key)
            if getattr(key, "key", "") == "escape":
                self._unanswered = None
            if self._lost is not None:
                return
        screen = self._screen
        if screen is None or not self._waiting:
            self._waiting.clear()
            return
        self._turn += 1
        turn = self._turn
        at: MessagePump = self._app.focused or screen
        self._lost = asyncio.get_running_loop().call_later(
            _LOST_SECONDS, self._app.call_later, self._done, turn
        )
        await self._hand_on(self._waiting.popleft())
        self._climb(at, at, turn, _TIMES)

    @property
    def quiet_seconds(self) -> float:
        """For how long no key has come."""
        return monotonic() - self._taken_at

    @property
    def _screen(self) -> Screen[object] | None:
        """The one on top; None in an app that is closing, which answers no key any more."""
        try:
            return self._app.screen
        except ScreenStackError:
            return None

    @property
    def closing(self) -> bool:
        """Whether the app has no screen any more: a key that comes back from its widget is for nobody."""
        return self._screen is None

    def _climb(self, first: MessagePump, at: MessagePump | None, turn: int, times: int) -> None:
        while at is not None and at is not self._app:
            above = parent_of(at)
            if at.call_later(self._climb, first, above, turn, times):
                return
            at = above  # it is closing
        if times > 1:
            self._climb(first, first, turn, times - 1)
        else:
            self._settle(turn, _AFTER_AN_ACTION)

    def _settle(self, turn: int, callbacks: int) -> None:
        if callbacks:
            self._app.call_later(self._settle, turn, callbacks - 1)
        elif self._waiting and self._screen is not None and not self._screen.is_mounted:
            self._app.set_timer(_LOOK_SECONDS, lambda: self._settle(turn, 0))
        else:
            self._app.call_later(self._done, turn)

    async def _done(self, turn: int) -> None:
        if turn != self._turn or self._lost is None:
            return
        self._lost.cancel()
        if self._unanswered is not None:
            if self._unanswered():
                self._app.set_timer(_LOOK_SECONDS, partial(self._done, turn))
            else:  # what the answer did may have moved the focus
                self._unanswered = None
                self._settle(turn, _AFTER_AN_ACTION)
            return
        self._lost = None
        if self._waiting:
            await self.take()
