"""What signals do to a command: some end it in order, one has its scan write a checkpoint.

1. SIGTERM and a dropped SSH link unwind the stack, so that the scan writes its checkpoint.
2. SIGUSR1, which batch systems send some time before they end a job, asks for a checkpoint and ends nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


@contextmanager
def handled_signals(request_checkpoint: Callable[[], None]) -> Iterator[None]:
    """Handle them within; what a signal was set to before, such as nohup's ignoring, comes back after."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    def keep(number: int, frame: FrameType | None) -> None:
        request_checkpoint()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name, handler in (("SIGTERM", end), ("SIGHUP", end), ("SIGUSR1", keep)):
            number = getattr(signal, name, None)  # Windows has the first alone
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for changed, former in before.items():
            signal.signal(changed, former)
