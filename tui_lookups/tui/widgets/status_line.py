"""The top line: model, corpus, device, and how far the scan is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui_lookups.progress import Progress, clock_text
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.results import ScanProgress, Status

LOW_SECONDS = 5.0
"""Least time between two live updates where every byte counts."""
_MESSAGE = 48
"""Cells of a message in place of the bar: beside it there is room for the model's name at 80 columns."""


class StatusLine(Widget):
    """Repaints only when what it says has changed: an idle app writes nothing."""

    DEFAULT_CSS = "StatusLine { height: 1; width: 1fr; background: $panel; color: $foreground; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: tuple[tuple[str, ...], str] = (("lookups",), "starting")
        self._last: Status | None = None
        self._due_at = 0.0
        self.clock = time.monotonic

    def follow(self, status: Status, *, words: bool, seldom: bool) -> bool:
        """As `show_status`; where every byte counts, `seldom` unless the work took a step. Whether it did."""
        now, last = self.clock(), self._last
        self._last = status
        stepped = last is None or last.scan is None or status.scan is None
        stepped = stepped or (last.stage, last.scan.state) != (status.stage, status.scan.state)  # type: ignore[union-attr]
        due = stepped or not seldom or now >= self._due_at
        if due:
            self._due_at = now + LOW_SECONDS
            self.show_status(status, words=words)
        return due

    def show_status(self, status: Status, *, words: bool = False) -> None:
        """Take over a snapshot; in `words` without a bar."""
        said = (places(status), scan_text(status, words=words))
        if said != self._said:
            self._said = said
            self.refresh()

    def render_line(self, y: int) -> Strip:
        choices, right = self._said
        width = self.size.width
        room = max(0, width - cell_len(right) - 4)
        left = next((choice for choice in choices if cell_len(choice) <= room), choices[-1])
        line = fit(f" {fit(left, room)}  {right} ", width)
        return Strip([Segment(line, Style(bold=True))], width).apply_style(self.rich_style)


def places(status: Status) -> tuple[str, ...]:
    """Model, corpus and device, from the full sentence to the shortest; unknown things are left out."""
    model, corpus = status.model, status.corpus
    device = [visible(status.device)] if status.device else []
    if model is None:  # nor is it known yet what "auto" comes to
        devices = [] if status.device == "auto" else device
        return ("  ".join(["lookups", *([visible(status.asked)] if status.asked else []), *devices]),)
    name, family = visible(model.name), visible(model.family)
    shape = f"{model.n_layers} layers x {model.n_heads} heads x {model.d_mlp} {model.kind}s"
    small = f"{model.n_layers}L x {model.n_heads}H x {model.d_mlp}{'N' if model.units is None else 'F'}"
    name += f" + {visible(model.units.name)}" if model.units else ""
    texts = [] if corpus is None else [f"{visible(corpus.name)} {corpus.prompts:,} prompts"]
    count = [] if corpus is None else [f"{corpus.prompts:,} prompts"]
    return (
        "  ".join(["lookups", f"{name} ({family}, {shape})", *texts, *device]),
        "  ".join(["lookups", f"{name} ({family}, {small})", *texts, *device]),
        "  ".join(["lookups", f"{name} ({small})", *count, *device]),
        "  ".join([f"{name} ({small})", *device]),
    )


def scan_text(status: Status, *, words: bool = False) -> str:
    """How far the work in the background is."""
    if status.stage == "failed":
        return "failed"
    if status.stage == "stopped":
        return "loading stopped"
    if status.stage in ("starting", "loading"):
        return f"{status.stage} {visible(status.message)}".strip()
    return visible(status.message) if status.scan is None else _scan(status.scan, words)


def _scan(scan: ScanProgress, words: bool) -> str:
    if scan.state == "done":
        return "scan done"
    if scan.state == "stopped":
        return f"scan stopped at {Progress('scan', scan.prompts, scan.total_prompts).share or 0.0:.0%}"
    if scan.state == "failed":
        return f"scan failed {visible(scan.message)}".strip()
    done, total = (scan.prompts, scan.total_prompts) if scan.total_prompts else (0, 1)
    far = Progress("scan", done, total)
    message = visible(scan.message)
    if words:
        after = "" if scan.seconds_left is None else f", {scan.seconds_left:.0f} seconds left"
        return f"scan {far.share:.0%}{after}" + (f": {message}" if message else "")
    left = "" if scan.seconds_left is None else f"  {clock_text(scan.seconds_left)}"
    if message:
        return f"scan {far.share:.0%}{left}  {fit(message, _MESSAGE).rstrip()}"
    return f"scan {far.bar()} {far.share:.0%}{left}"
