"""Running the app in a process: signals, and the order in which things are given back.

1. SIGHUP (the SSH link dropped) and SIGTERM save the session and close the explorer first, which
   checkpoints the scan, and then leave; a terminal that is gone must not keep the process, so a deadline
   ends it in any case, also when the app's own queue is stuck.
2. A terminal that went without a signal is noticed by itself, within seconds: Textual's input thread would
   spin on it for ever.
3. SIGUSR1, which batch systems send some time before they end a job, saves the session and has the scan
   write a checkpoint; the app goes on.
4. ctrl+z gives the terminal back and stops the process, where a shell can continue it; the terminal is taken
   and painted anew then (terminal/driver.py).
5. On the ordinary way out the session is saved, the terminal is restored, then the explorer is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType

from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.terminal import textual_private
from tui_lookups.tui.widgets.bindings import hidden

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.driver import Driver

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.opening import Opening
    from tui_lookups.tui.state.options import Options

_DEADLINE_SECONDS = 3.0
_TERMINAL_SECONDS = 2.0


def run(explorer: Explorer, token: str | None, options: Options | None, opening: Opening | None) -> int:
    """Run the app until the person leaves; returns the exit status (128 + n after signal n)."""
    app = SignalledApp(explorer, token=token, options=options, opening=opening)
    try:
        app.run()
    finally:
        lost = app.explorer.close()  # the person may have opened another
    for sentence in filter(None, (app.farewell, lost)):
        print(sentence, file=sys.stderr)
    return app.return_code or int(app.panicked)


class SignalledApp(LookupsApp):
    """The app with the process's signals; apart, so that tests can run the app without them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        hidden("ctrl+z", "suspend_process", "suspend", "app.suspend", "Back to the shell; fg goes on")
    ]

    def get_driver_class(self) -> type[Driver]:
        """Ours where Textual takes its own for terminals: not on Windows, nor where another was asked for."""
        driver = super().get_driver_class()
        if sys.platform == "win32" or not textual_private.driver_is_as_known(driver):
            return driver
        try:
            from tui_lookups.tui.terminal.driver import TerminalDriver
        except ImportError:  # Textual's parser is another: see textual_private
            return driver
        return TerminalDriver if issubclass(TerminalDriver, driver) else driver

    farewell = ""
    """What could not be done on the way out: said once the terminal is given back."""

    panicked = False

    def panic(self, *renderables: RenderableType) -> None:
        """What ends by a defect has failed: for one outside of its own queue Textual's status is 0."""
        self.panicked = True
        super().panic(*renderables)

    async def _on_signal(self, number: int) -> None:
        said = (self.walk_screen.session.save(), self.explorer.close())
        self.farewell = "\n".join(filter(None, said))
        self.exit(return_code=128 + number)

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(_collect_from_now_on)
        self.app_resume_signal.subscribe(self, self._resumed)
        loop = asyncio.get_running_loop()
        # Windows' loops take no signal handlers; its console closes the process itself
        with contextlib.suppress(NotImplementedError):
            for number in _numbers("SIGHUP", "SIGTERM"):
                loop.add_signal_handler(number, self._signalled, number)
            for number in _numbers("SIGUSR1"):
                loop.add_signal_handler(number, self._keep_all)
        if sys.__stdin__ is not None and sys.__stdin__.isatty():
            self._watch_terminal(loop, sys.__stdin__.fileno())

    def _watch_terminal(self, loop: asyncio.AbstractEventLoop, terminal: int) -> None:
        """Leave as on SIGHUP once the terminal is gone; on the loop itself, whatever the app waits for."""
        if terminal_is_gone(terminal):
            self._signalled(int(signal.SIGHUP))
        else:
            loop.call_later(_TERMINAL_SECONDS, self._watch_terminal, loop, terminal)

    def _keep_all(self) -> None:
        """SIGUSR1: keep what there is, and go on."""
        self.explorer.request_checkpoint()
        problem = self.walk_screen.session.save()
        self.show_message(problem or "SIGUSR1: the session is saved, and the scan writes a checkpoint.")

    def action_suspend_process(self) -> None:
        """ctrl+z, where somebody can continue the process: a shell, which gives it a group of its own."""
        if os.name == "posix" and os.getpgrp() != os.getsid(0):
            super().action_suspend_process()
        else:
            self.show_message("There is no shell to go back to: the app was started without one.")

    def _resumed(self, _: Any) -> None:
        """The terminal is the app's again, and shows anything."""
        self.show_terminal_cursor()
        self.action_redraw()

    async def action_quit(self) -> None:
        self.farewell = self.walk_screen.session.save()
        await super().action_quit()

    def _signalled(self, number: int) -> None:
        # Here, not in the handler below: that one waits in the app's queue.
        deadline = threading.Timer(_DEADLINE_SECONDS, os._exit, (128 + number,))
        deadline.daemon = True
        deadline.start()
        self.call_later(self._on_signal, number)


def terminal_is_gone(descriptor: int) -> bool:
    """Whether the other end of a terminal was closed."""
    if not hasattr(select, "poll"):
        return False  # Windows closes the process together with its console
    waiting = select.poll()
    waiting.register(descriptor, select.POLLHUP)
    return any(event & select.POLLHUP for _, event in waiting.poll(0))


def _collect_from_now_on() -> None:
    """What was made for the first paint stays for good: the collector need not look at it again."""
    gc.freeze()
    gc.enable()


def _numbers(*names: str) -> Iterator[int]:
    """Those of these signals that the system has."""
    for name in names:
        if hasattr(signal, name):
            yield int(getattr(signal, name))
