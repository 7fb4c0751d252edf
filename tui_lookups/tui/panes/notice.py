"""What is said of the walk as a whole: what failed or began it, and the tabs of a small terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.layouts import MIN_HEIGHT, MIN_WIDTH
from tui_lookups.tui.widgets.text import TextLines, WrappedText
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.tui.panes.pane import Pane
    from tui_lookups.tui.state.walk import Walk

_DIM = Style(dim=True)


class Notice(WrappedText):
    """What failed, else a step of the tour, else how the walk began."""

    def show(self, walk: Walk, tour: str, *, story: bool) -> None:
        """`tour`: the sentence of its step; `story`: whether there is room to say how the walk began."""
        failed = walk.status is not None and walk.status.stage == "failed"
        if failed and walk.status is not None:
            text = walk.status.message
        elif "story" in walk.errors:
            failed, text = True, " ".join(walk.errors["story"])
        else:
            text = tour or (walk.story if story else "")
        self.show_text(visible(text))
        self.set_class(bool(text), "-shown")
        self.set_class(failed, "-error")


class TooSmall(WrappedText):
    """In place of everything else."""

    def on_mount(self) -> None:
        needs = f"lookups needs {MIN_WIDTH} x {MIN_HEIGHT} cells or more"
        quits = app_of(self).key_of("app.quit")
        self.show_text(f"The terminal is too small: {needs}. Make it larger; {quits} quits.")


class Tabs(TextLines):
    """The panes by number and name."""

    def show(self, panes: Sequence[Pane], focused: Pane) -> None:
        """Show which of them has the focus; each in few words where all of them have no room."""
        words = [pane.tab() for pane in panes]
        if sum(len(word) + 5 for word in words) > self.screen.size.width:
            words = [pane.tab(short=True) for pane in panes]
        line: list[Segment] = []
        for number, (pane, text) in enumerate(zip(panes, words, strict=True), 1):
            style = Style(bold=True, reverse=True) if pane is focused else _DIM
            line += [Segment(" "), Segment(f" {number} {text} ", style)]
        self.show_lines(tuple(line))

    def show_in_words(self, panes: Sequence[Pane], focused: Pane) -> None:
        """Plain text: the pane that has the focus, by its title."""
        number = panes.index(focused) + 1
        self.show_lines((Segment(f"Pane {number} of {len(panes)}: {focused.words}"),))
