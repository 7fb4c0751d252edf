"""The widgets of the walk screen: those of the first frame, and those that wait behind it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from textual.app import ComposeResult
from textual.containers import Horizontal

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.layouts import pages
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.pane import Pane, Room
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.tui.widgets.text import PackedText, TextLines, WrappedText

_LATER_STYLES = Path(__file__).with_name("later.tcss")


class WalkWidgets(WalkBase):
    """The panes with their titles, what is loading and the keys; then the lines that are typed on."""

    _furnished = False

    @staticmethod
    def later_widgets() -> tuple[ModuleType, ...]:
        """Modules of widgets that `furnish` mounts, besides those imported here."""
        from tui_lookups.tui.widgets import token_box, typed_line

        return token_box, typed_line

    def compose(self) -> ComposeResult:
        if self.owner.plain or self.owner.options.low_bandwidth:
            self._read_later_styles()
        yield StatusLine(id="status")
        with Horizontal(id="token-line"):
            yield TextLines(id="token-prompt")
            yield TextLines(id="token-facts")
        yield WrappedText(id="notice")
        yield TextLines(id="tabs")
        on = dict.fromkeys(pages(self.size_class, "neurons"), "pane -on")
        with Room(id="panes"):
            with Pane(1, "Neurons", id="neurons-pane", classes=on.get("neurons", "pane")):
                yield NeuronsTable(id="neurons")
            with Pane(2, "Prompts", id="prompts-pane", classes=on.get("prompts", "pane")):
                yield TextLines(id="prompt-facts")
                yield PromptList(id="prompts")
                yield TextLines(id="token-under")
                yield TextLines(id="predictions")
                yield TextLines(id="peak-figures")
            with Room(id="lower", classes="-on" if "heads" in on else None):
                with Pane(3, "Heads", id="heads-pane", classes=on.get("heads", "pane")):
                    yield HeadGrid(id="heads")
                    yield PackedText(id="decomposition")
                with Pane(4, "Head", id="detail-pane", classes=on.get("detail", "pane")):
                    yield PackedText(id="head-facts", bold_first=True)
                    yield Paragraphs(id="head-words")
                    yield HeadDetail(id="detail")
        yield WrappedText(id="too-small")
        yield Hints(id="hints")

    def furnish(self) -> None:
        """Mount, once, what nobody sees before a key asks for it: the first frame comes sooner without.

        Whoever needs one of these calls this first; else it is called behind the first frame.
        """
        if self._furnished:
            return
        self._furnished = True
        from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput
        from tui_lookups.tui.widgets.typed_line import SearchLine

        self._read_later_styles()
        text_filter = SearchLine(placeholder="filter: neuron or top token", id="filter", compact=True)
        find = SearchLine(placeholder="text in the prompts", id="find", compact=True)
        for line in (text_filter, find):
            line.cursor_blink = False
        find_line = Horizontal(TextLines(id="find-label"), find, TextLines(id="find-count"), id="find-line")
        self.query_one("#token-line").mount(TokenInput(id="token-input"), before="#token-facts")
        self.query_one("#neurons-pane").mount(text_filter)
        self.query_one("#prompts-pane").mount(find_line)
        self.mount(CandidateList(id="candidates"))

    def _read_later_styles(self) -> None:
        """The first screen over the walk would read them too, but style everything there is anew."""
        sheet = self.app.stylesheet
        if not sheet.has_source(str(_LATER_STYLES)):
            sheet.add_source(_LATER_STYLES.read_text("utf-8"), (str(_LATER_STYLES), ""))
