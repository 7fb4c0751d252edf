"""The heads behind a neuron: the grid or the list, and what its figures sum to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.content import Content

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.messages import HeadChosen, HeadMoved
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.text.heads import (
    active_words,
    attention_of_chosen,
    cells_of,
    heads_tab,
    heads_title,
    sum_parts,
)
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.text import PackedText

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui_lookups.ids import HeadId
    from tui_lookups.results import SelectedHead, Selection
    from tui_lookups.tui.state.head_steps import HeadSteps
    from tui_lookups.tui.state.walk import Walk

_BARS = ((150, 20), (100, 10), (0, 3))
"""Cells of a bar of the sum, in a pane of at least so many."""


class HeadsPane(Pane):
    """Moving only moves; what a head reads is asked for once the cursor rests."""

    def __init__(self, walk: Walk, steps: HeadSteps) -> None:
        super().__init__(3, "Heads", id="heads-pane")
        self._walk = walk
        self._steps = steps
        self.body = self._grid = HeadGrid(id="heads")
        self._sum = PackedText(id="decomposition")
        self._n_attended = 0
        """Heads of which the grid has what they attend to."""

    def compose(self) -> ComposeResult:
        yield self._grid
        yield self._sum

    def show(self) -> None:
        """The grid and what its figures sum to."""
        walk, grid, source = self._walk, self._grid, self._walk.shown_heads
        silent = walk.overview.note if walk.over_all and walk.overview is not None else ""
        if source is not None and not silent:
            model = source.provenance.model
            star = "worth explaining" if walk.over_all else active_words(walk)
            grid.show_heads(model.n_layers, model.n_heads, cells_of(walk), star)
        else:
            grid.show_heads(0, 0, {})
        otherwise = silent or f"{self.key('prompts.open')} on a prompt\nshows the heads behind its peak."
        if walk.neuron is not None and walk.prompts is None and walk.waiting("prompts"):
            otherwise = f"Waiting for the prompts of {walk.neuron}."
        grid.show_empty(self.why_empty(walk, "overview" if walk.over_all else "heads", otherwise))
        self._n_attended = len(walk.attended)
        self.show_title()
        self._show_attention()
        self._show_sum()

    def show_sources(self) -> None:
        """What one more head attends to is known: the list has it, and the frame of the chosen one."""
        attended = len(self._walk.attended)
        if attended != self._n_attended and not self._walk.over_all:
            self._n_attended = attended
            self._grid.take_cells(cells_of(self._walk))
        self._show_attention()
        self._ask_attended()

    def _ask_attended(self) -> None:
        """The list says what its largest heads attend to; the one under the cursor is asked for first."""
        if self._grid.listed and not self._walk.over_all and self._walk.sources is not None:
            self._steps.open_attended()

    def _show_attention(self) -> None:
        words = attention_of_chosen(self._walk)
        self.border_subtitle = Content(f" {words} " if words else "")

    def _show_sum(self) -> None:
        """The sum with its bars, as long as there is room for."""
        bar = next(cells for least, cells in _BARS if self.size.width >= least)
        width = 0 if app_of(self).palette.few_bytes else bar
        self._sum.show_parts(sum_parts(self._walk, self._grid.scale(), self.key, width))

    def on_resize(self) -> None:
        self._show_sum()

    def show_title(self) -> None:
        """The title: the prompt's rank is in it, which may become another."""
        self.set_title(heads_title(self._walk))

    def go_back(self) -> bool:
        """What is being asked over all prompts is given up."""
        return self._steps.stop_overview()

    def ask(self) -> None:
        self._steps.open_heads()

    def tab(self, *, short: bool = False) -> str:
        return heads_tab(self._walk)

    def mark(self, selection: Selection) -> None:
        walk, shown = self._walk, self._walk.shown_heads
        here = None if walk.over_all else walk.prompt_id
        contexts = (None, None if shown is None else shown.context)
        heads = (
            marked.head
            for marked in selection.heads
            if (marked.neuron, marked.prompt_id) == (walk.neuron, here) and marked.context in contexts
        )
        self._grid.mark(frozenset(heads))

    def marked_item(self) -> SelectedHead | None:
        return self._walk.selected_head()

    @property
    def head(self) -> HeadId | None:
        """The head under the cursor."""
        return self._grid.head

    def go_to(self, head: HeadId) -> None:
        """Put the cursor on a head without posting a message."""
        self._grid.go_to(head)

    @on(HeadGrid.Moved)
    def _moved(self, event: HeadGrid.Moved) -> None:
        self.tell(HeadMoved(event.head))

    @on(HeadGrid.Arranged)
    def _arranged(self) -> None:
        self._ask_attended()
        if self._grid.listed:
            app_of(self).show_message(f"Heads by {self._grid.order}; {self.key('heads.view')}: the grid.")

    @on(HeadGrid.Opened)
    def _opened(self, event: HeadGrid.Opened) -> None:
        self.tell(HeadChosen(event.head))
