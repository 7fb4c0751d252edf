"""Running the app in a process: signals, and the order in which things are given back.

1. SIGHUP (the SSH link dropped) and SIGTERM save the session and close the explorer first, which
   checkpoints the scan, and then leave; a terminal that is gone must not keep the process, so a deadline
   ends it in any case.
2. On the ordinary way out the session is saved, the terminal is restored, then the explorer is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.door import Door

_DEADLINE_SECONDS = 3.0


def run(explorer: Door, token: str | None, theme: str | None) -> int:
    """Run the app until the person leaves; returns the exit status (128 + n after signal n)."""
    app = SignalledApp(explorer, token=token, theme=theme)
    try:
        app.run()
    finally:
        explorer.close()
    if app.farewell:
        print(app.farewell, file=sys.stderr)
    return app.return_code or 0


class SignalledApp(LookupsApp):
    """The app with the process's signals; apart, so that tests can run the app without them."""

    farewell = ""
    """What could not be done on the way out: said once the terminal is given back."""

    async def _on_signal(self, number: int) -> None:
        deadline = threading.Timer(_DEADLINE_SECONDS, os._exit, (128 + number,))
        deadline.daemon = True
        deadline.start()
        self.farewell = self.walk_screen.save_session()
        self.explorer.close()
        self.exit(return_code=128 + number)

    def on_mount(self) -> None:
        super().on_mount()
        loop = asyncio.get_running_loop()
        for number in _leaving_signals():
            # Windows' loops take no signal handlers; its console closes the process itself
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signalled, number)

    async def action_quit(self) -> None:
        self.farewell = self.walk_screen.save_session()
        await super().action_quit()

    def _signalled(self, number: int) -> None:
        self.call_later(self._on_signal, number)


def _leaving_signals() -> Iterator[int]:
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name):
            yield int(getattr(signal, name))
