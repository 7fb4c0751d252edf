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
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from tui_lookups.results import RequestProgress, ScanProgress, Status, SurveyProgress
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress

LOOK_SECONDS = 0.25
LINE_SECONDS = 5.0
FIRST_LINE_SECONDS = 1.0


def clock_text(seconds: float) -> str:
    """Seconds as "0:07" or "1:02:03"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def scan_sentence(scan: ScanProgress | None) -> str:
    """How far a scan is, this process's or the one it waits for; "" where there is none under way."""
    if scan is None or not (scan.state == "running" or (scan.state == "waiting" and scan.message)):
        return ""
    share = f" ({scan.prompts / scan.total_prompts:.0%})" if scan.total_prompts else ""
    left = "" if scan.seconds_left is None else f", {clock_text(scan.seconds_left)} left"
    far = f"{scan.prompts:,} of {scan.total_prompts:,} prompts{share}"
    if scan.state == "waiting":
        return f"{visible(scan.message)}: {far}{left}"
    trouble = f"; {visible(scan.message)}" if scan.message else ""
    return f"scanning: {far}, {scan.tokens_per_second:,.0f} tokens/s{left}{trouble}"


def stage_sentence(status: Status) -> str:
    """What is being done to the model; "" when the answer is being put together and nothing takes long."""
    if status.stage in ("starting", "loading"):
        return visible(status.message) or "loading the model"
    return visible(status.message) if status.stage == "ready" else ""


def asking_sentence(asked: RequestProgress) -> str:
    """How far a batch of requests to the explainer is."""
    failed = f", {asked.failed} failed" if asked.failed else ""
    left = "" if asked.seconds_left is None else f", {clock_text(asked.seconds_left)} left"
    return f"asking: {asked.done} of {asked.total} answered ({asked.done / asked.total:.0%}){failed}{left}"


_STEPS = {
    "heads": ("surveying", "neurons"),
    "examples": ("preparing examples", "neurons"),
    "ablations": ("ablating", "pairs"),
}


def survey_sentence(survey: SurveyProgress) -> str:
    """How far a survey is."""
    left = "" if survey.seconds_left is None else f", {clock_text(survey.seconds_left)} left"
    what, of = _STEPS[survey.step]
    return f"{what}: {survey.done} of {survey.total} {of} ({survey.share:.0%}){left}"


Bar = tuple[int, int]
"""How much is done, and of how much."""


class _Teller(Protocol):
    def tell(self, text: str, bar: Bar | None) -> None: ...

    def tell_stage(self, text: str) -> None: ...

    def close(self) -> None: ...


class LineTeller:
    """Lines for a log or a pipe: only news, and never more often than every `LINE_SECONDS`."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._not_before = clock() + FIRST_LINE_SECONDS
        self._last = ""

    def tell(self, text: str, bar: Bar | None) -> None:
        now = self._clock()
        if not text or text == self._last or now < self._not_before:
            return
        self._last, self._not_before = text, now + LINE_SECONDS
        print(text, file=self._stream, flush=True)

    def tell_stage(self, text: str) -> None:
        """Nothing: who reads the lines later learns nothing from them."""

    def close(self) -> None:
        """Nothing to clear away."""


class BarTeller:
    """One progress line on a terminal, gone when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress: Progress | None = None

    def tell(self, text: str, bar: Bar | None) -> None:
        if not text and self._progress is None:
            return
        progress = self._progress or self._start()
        done, total = bar or (0, None)
        progress.update(progress.task_ids[0], description=text, completed=done, total=total)
        progress.refresh()

    def tell_stage(self, text: str) -> None:
        self.tell(text, None)

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            console=Console(file=self._stream, force_terminal=True),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.add_task("", total=None)
        self._progress.start()
        return self._progress

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class Narrator:
    """Narrates on `stream` between `with` and its end. `hear` takes a scan's own reports."""

    def __init__(self, status: Callable[[], Status], stream: TextIO, teller: _Teller | None = None) -> None:
        self._status = status
        self._teller = teller or (BarTeller(stream) if stream.isatty() else LineTeller(stream))
        self._heard: ScanProgress | None = None
        self._asked: RequestProgress | None = None
        self._surveyed: SurveyProgress | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="narrator", daemon=True)

    def hear(self, progress: ScanProgress) -> None:
        """The newest report of a running scan; callable on any thread."""
        self._heard = progress

    def hear_asking(self, progress: RequestProgress) -> None:
        """The newest report of a batch of requests; callable on any thread."""
        self._asked = progress

    def hear_survey(self, progress: SurveyProgress) -> None:
        """The newest report of a survey; callable on any thread."""
        self._surveyed = progress

    def look(self) -> None:
        """Say what there is to say now."""
        asked = self._asked
        if asked is not None and asked.done < asked.total:
            self._teller.tell(asking_sentence(asked), (asked.done, asked.total))
            return
        status = self._status()
        scan = self._heard or status.scan
        if scan is not None and (text := scan_sentence(scan)):
            self._teller.tell(text, (scan.prompts, scan.total_prompts) if scan.state == "running" else None)
        elif (survey := self._surveyed) is not None and survey.done < survey.total:
            far = round(survey.share * survey.total)
            self._teller.tell(survey_sentence(survey), (far, survey.total))
        else:
            self._teller.tell_stage(stage_sentence(status))

    def _watch(self) -> None:
        try:
            while not self._over.wait(LOOK_SECONDS):
                self.look()
        except OSError as error:  # stderr is gone: the answer on stdout still counts
            logging.getLogger(__name__).warning("narration stopped: %s", error)

    def __enter__(self) -> Narrator:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=1.0)
        self._teller.close()
