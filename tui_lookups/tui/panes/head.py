"""One head: its figures, what has been said of it, and the tokens it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from tui_lookups.tui.panes.messages import SourceChosen
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.text.attribution import head_facts, overview_facts
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui_lookups.results import SelectedHead, SourceToken
    from tui_lookups.tui.state.head_explanations import HeadExplanations
    from tui_lookups.tui.state.head_steps import HeadSteps
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.text.explanation import Paragraph


class HeadPane(Pane):
    """The chosen head, on the open prompt or over all prompts."""

    def __init__(self, walk: Walk, steps: HeadSteps, explanations: HeadExplanations) -> None:
        super().__init__(4, "Head", id="detail-pane")
        self._walk = walk
        self._steps = steps
        self._explanations = explanations
        self._facts = PackedText(id="head-facts", bold_first=True)
        self._said = Paragraphs(id="head-words")
        self.body = self._sources = HeadDetail(id="detail")

    def compose(self) -> ComposeResult:
        yield from (self._facts, self._said, self._sources)

    def show(self) -> None:
        """Figures, words, the tokens it reads."""
        walk, head = self._walk, self._walk.head
        facts: tuple[str, ...] = ()
        sources: tuple[SourceToken, ...] = ()
        if head is not None and walk.over_all and walk.overview is not None:
            facts = overview_facts(head, walk.overview)
        elif head is not None and walk.heads is not None and not walk.over_all:
            facts = head_facts(head, walk.heads, walk.overview)
            sources = walk.sources.sources if walk.sources is not None else ()
        if head is not None and walk.neuron is not None and facts:
            from tui_lookups.tui.text.explanation import total_effect

            context = "" if walk.shown_heads is None else walk.shown_heads.context
            ablation = self._explanations.ablation(walk.neuron, head, context)
            only = None if walk.over_all or walk.prompt_id is None else (walk.prompt_id,)
            facts = (facts[0], *total_effect(ablation, only), *facts[1:])
        self._facts.show_parts(facts)
        self._sources.show_sources(sources)
        empty = f"{self.key('heads.open')} on a head\nshows which tokens it reads."
        if walk.over_all:
            empty = f"\n{self.key('heads.all')}: one prompt again"
        self._sources.show_empty(self.why_empty(walk, "sources", empty))
        title = "Head" if head is None else f"Head {head}"
        if walk.shown_direction != "both":
            title += ", both directions"  # of the grid's share this pane has one line
        self.set_title(title)
        self._show_words()

    def ask(self) -> None:
        self._steps.open_heads()

    def tab(self, *, short: bool = False) -> str:
        return "Head" if self._walk.head is None else str(self._walk.head)

    def _show_words(self) -> None:
        """What has been said of the head, and what is being asked."""
        walk = self._walk
        said: tuple[Paragraph, ...] = ()
        if walk.neuron is not None and walk.head is not None:
            from tui_lookups.tui.text.explanation import head_paragraphs

            said = head_paragraphs(self._explanations, walk.neuron, walk.head, self.key("walk.back"))
        self._said.show_paragraphs(said)
        self.set_class(bool(said), "-words")

    def marked_item(self) -> SelectedHead | None:
        return self._walk.selected_head()

    @on(RowList.Opened, "#detail")
    def _source_opened(self) -> None:
        source = self._sources.source
        if source is not None:
            self.tell(SourceChosen(source.position))
