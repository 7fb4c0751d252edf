"""What a headless command says on stderr while it works: loading, how far the scan is, or the asking.

1. A daemon thread looks at the Explorer's status (which never blocks) four times a second.
2. On a terminal it redraws one progress line, which disappears at the end; elsewhere, in a log or a script's
   stderr, it prints how far a scan or a batch of requests is, at most a line every few seconds, and nothing
   for quick answers or of the stages of loading.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from tui_lookups.progress import Progress, heard_by
from tui_lookups.results import ScanProgress, Status, SurveyProgress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LOOK_SECONDS = 0.25
LINE_SECONDS = 5.0
FIRST_LINE_SECONDS = 1.0


def stage_of(status: Status) -> Progress | None:
    """What is being done to the model; None when the answer is put together and nothing takes long."""
    if status.loading is not None:
        return status.loading
    busy = status.stage in ("starting", "loading")
    return Progress(status.message or "loading the model") if busy else None


class _Teller(Protocol):
    def tell(self, progress: Progress) -> None: ...

    def tell_stage(self, progress: Progress | None) -> None: ...

    def close(self) -> None: ...


class LineTeller:
    """Lines for a log or a pipe: only news, and never more often than every `LINE_SECONDS`."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._not_before = clock() + FIRST_LINE_SECONDS
        self._last = ""

    def tell(self, progress: Progress) -> None:
        now, text = self._clock(), progress.sentence
        if text == self._last or now < self._not_before:
            return
        self._last, self._not_before = text, now + LINE_SECONDS
        print(text, file=self._stream, flush=True)

    def tell_stage(self, progress: Progress | None) -> None:
        """Nothing: who reads the lines later learns nothing from them."""

    def close(self) -> None:
        """Nothing to clear away."""


class BarTeller:
    """One progress line on a terminal, gone when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: Bars | None = None

    def tell(self, progress: Progress) -> None:
        self.tell_stage(progress)

    def tell_stage(self, progress: Progress | None) -> None:
        if progress is None and self._bars is None:
            return
        bars, now = self._bars or self._start(), progress or Progress("")
        bars.update(bars.task_ids[0], description=now.sentence, completed=now.done, total=now.total or None)
        bars.refresh()

    def _start(self) -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            console=Console(file=self._stream, force_terminal=True),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bars.add_task("", total=None)
        self._bars.start()
        return self._bars

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()


class Narrator:
    """Narrates on `stream` between `with` and its end. `hear` takes reports of long work.

    `whole` is the stage of something longer that all of it belongs to.
    """

    def __init__(
        self,
        status: Callable[[], Status],
        stream: TextIO,
        teller: _Teller | None = None,
        *,
        whole: Progress | None = None,
    ) -> None:
        self._status = status
        self._whole = whole
        self._teller = teller or (BarTeller(stream) if stream.isatty() else LineTeller(stream))
        self._scan: ScanProgress | None = None
        self._heard: Progress | None = None
        self._passes: Progress | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="narrator", daemon=True)
        self._listening = ExitStack()

    def hear_survey(self, progress: SurveyProgress) -> None:
        """The newest report of a survey; callable on any thread."""
        self.hear(progress.under_way)

    def hear(self, progress: Progress | ScanProgress) -> None:
        """The newest report of a scan or a batch of requests; callable on any thread."""
        if isinstance(progress, ScanProgress):
            self._scan = progress
        else:
            self._heard = progress

    def _hear_passes(self, progress: Progress) -> None:
        """The newest report of passes over prompts: for who watches."""
        self._passes = progress

    def hear_gathering(self, done: int, neurons: int) -> None:
        """How many of a survey's neurons are in its report; callable on any thread."""
        self.hear(Progress("gathering the report", done, neurons, "neurons"))

    def look(self) -> None:
        """Say what there is to say now."""
        status = self._status()
        scan = self._scan or status.scan
        for long in (None if scan is None else scan.under_way, self._heard):
            if long is not None and long.share != 1:
                self._teller.tell(long if self._whole is None else long.within(self._whole))
                return
        stage = stage_of(status) or self._passes
        if self._whole is not None:
            stage = self._whole if stage is None else stage.within(self._whole)
        self._teller.tell_stage(stage)

    def _watch(self) -> None:
        try:
            while not self._over.wait(LOOK_SECONDS):
                self.look()
        except OSError as error:  # stderr is gone: the answer on stdout still counts
            logging.getLogger(__name__).warning("narration stopped: %s", error)

    def __enter__(self) -> Narrator:
        self._listening.enter_context(heard_by(self._hear_passes))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self._over.set()
        self._thread.join(timeout=1.0)
        self._teller.close()
