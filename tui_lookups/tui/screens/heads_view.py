"""Putting the heads of a walk on the widgets: the grid, the decomposition, one head, what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tui_lookups.tui.paint.head_rows import Cell
from tui_lookups.tui.text.attribution import (
    decomposition,
    direction_share,
    find_mean,
    head_facts,
    overview_facts,
    text_of,
    texts_of,
)
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.pane import Pane
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import PackedText

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import SourceToken
    from tui_lookups.tui.screens.walk import WalkScreen
    from tui_lookups.tui.state.walk_state import Part
    from tui_lookups.tui.text.explanation import Paragraph


class HeadsView:
    """The part of `WalkView` about heads; `nothing` says what an empty pane says."""

    def __init__(self, screen: WalkScreen, nothing: Callable[[Part, str], str]) -> None:
        self._screen = screen
        self._nothing = nothing

    def show_heads(self) -> None:
        """The grid and what its figures sum to."""
        walk, grid = self._screen.walk, self._screen.query_one(HeadGrid)
        source = walk.overview if walk.over_all else walk.heads
        cells: dict[HeadId, Cell] = {}
        if walk.over_all and walk.overview is not None:
            cells = {
                m.head: Cell(
                    m.mean_attribution,
                    m.worth_explaining,
                    f"active on {m.active_fraction:.0%} of the prompts",
                )
                for m in walk.overview.heads
            }
        elif not walk.over_all and walk.heads is not None:
            whole = walk.heads.target.value
            cells = {
                s.head: Cell(
                    walk.score(s), s.active, f"{walk.score(s) / whole:.0%} of {whole:.2f}" if whole else ""
                )
                for s in walk.heads.heads
            }
        silent = walk.overview.note if walk.over_all and walk.overview is not None else ""
        if source is not None and not silent:
            model = source.provenance.model
            star = "worth explaining" if walk.over_all else self._active()
            grid.show_heads(model.n_layers, model.n_heads, cells, star)
        else:
            grid.show_heads(0, 0, {})
        otherwise = f"{self._screen.key('prompts.open')} on a prompt\nshows the heads behind its peak."
        otherwise = silent or otherwise
        grid.say_empty(self._nothing("overview" if walk.over_all else "heads", otherwise))
        self._screen.query_one("#heads-pane", Pane).say(self.title())
        parts: tuple[str, ...] = ()
        if walk.heads is not None and not walk.over_all:
            share = direction_share(walk.heads, walk.shown_direction)
            star = f"* {self._active()}"
            parts = (*share, *grid.scale(), star, "both directions:", *decomposition(walk.heads))
            if not share:  # everything is of one thing: the sum comes first
                parts = (*decomposition(walk.heads), *grid.scale(), star)
        elif walk.over_all and walk.overview is not None:
            parts = ("mean direct attribution", *grid.scale(), *self._worth(walk.overview.context))
        self._screen.query_one("#decomposition", PackedText).show_parts(parts)
        self.show_detail()

    def _active(self) -> str:
        """What the star means on one prompt: whichever direction is shown, it goes by both together."""
        return "active" if self._screen.walk.shown_direction == "both" else "active by both"

    def _worth(self, context: str) -> tuple[str, ...]:
        """What the star means over all prompts: by which texts, which need not be those of explanations."""
        share = "(active on 25 % to 75 %)"
        if context == "trimmed":
            return "* worth explaining, on the trimmed prompts that explanations use", share
        all_heads, explain = self._screen.key("head.all_heads"), self._screen.key("head.explain")
        others = f"{all_heads} and {explain} go by the trimmed ones"
        return f"* worth explaining, on {texts_of(context)} {share}", others

    def tab(self) -> str:
        """As `title`, in as few words as a tab has room for; the full window is not named."""
        walk = self._screen.walk
        words, shown = ["Heads"], walk.overview if walk.over_all else walk.heads
        if walk.over_all:
            words = ["Heads,", "all prompts" if walk.overview is None else f"all {walk.overview.prompts}"]
        elif walk.prompt is not None:
            words = ["Heads,", f"prompt {walk.prompt.rank}"]
        if shown is not None and shown.context == "trimmed":
            words.append("trimmed")
        if walk.shown_direction != "both":
            words.append(walk.shown_direction)
        return " ".join(words)

    def title(self) -> str:
        """What the pane of heads is about."""
        walk = self._screen.walk
        if walk.neuron is None:
            return "Heads"
        words = f"Heads that fire {walk.neuron}"
        if walk.over_all:
            if walk.overview is None:
                return f"{words} over its prompts, direct"
            return (
                f"{words} over its {walk.overview.prompts} prompts, direct, {texts_of(walk.overview.context)}"
            )
        prompt = walk.prompt
        words += f" on prompt {prompt.rank}" if prompt is not None else ""
        if walk.shown_direction != "both":  # before what a narrow pane cuts off
            words += f", by {walk.shown_direction}"
        if walk.heads is not None:
            words += f", direct, {text_of(walk.heads.context)}"
        return words

    def rest_on_strongest_head(self) -> None:
        """Put the head cursor on the strongest head, unless it is on a head that reaches the neuron."""
        walk = self._screen.walk
        strongest = self.strongest()
        if strongest is None:
            return
        if walk.head is None or not self.reaches(walk.head):
            walk.choose_head(strongest)
        if walk.head is not None:
            self._screen.query_one(HeadGrid).go_to(walk.head)

    def strongest(self) -> HeadId | None:
        """The largest of the heads that are shown, whichever its sign; None where none is."""
        walk = self._screen.walk
        sizes: dict[HeadId, float] = {}
        if walk.over_all and walk.overview is not None:
            sizes = {mean.head: abs(mean.mean_attribution) for mean in walk.overview.heads}
        elif not walk.over_all and walk.heads is not None:
            sizes = {row.head: abs(row.attribution) for row in walk.heads.heads}
        return max(sizes, key=lambda head: sizes[head], default=None)

    def show_detail(self) -> None:
        """One head: figures, words, the tokens it reads."""
        walk, detail = self._screen.walk, self._screen.query_one(HeadDetail)
        facts: tuple[str, ...] = ()
        head = walk.head
        sources: tuple[SourceToken, ...] = ()
        if head is not None and walk.over_all and walk.overview is not None:
            facts = overview_facts(head, walk.overview)
        elif head is not None and walk.heads is not None and not walk.over_all:
            read = walk.sources.sources if walk.sources is not None else ()
            facts = head_facts(head, walk.heads, walk.overview)
            sources = read
        if head is not None and walk.neuron is not None and facts:
            from tui_lookups.tui.text.explanation import total_effect

            shown = walk.overview if walk.over_all else walk.heads
            context = "" if shown is None else shown.context
            ablation = self._screen.explanations.ablation(walk.neuron, head, context)
            only = None if walk.over_all or walk.prompt_id is None else (walk.prompt_id,)
            effect = total_effect(ablation, only)
            facts = (facts[0], *effect, *facts[1:])
        self._screen.query_one("#head-facts", PackedText).show_parts(facts)
        detail.show_sources(sources)
        key = self._screen.key
        empty = f"{key('heads.open')} on a head\nshows which tokens it reads."
        if walk.over_all:
            empty = f"\n{key('heads.all')}: one prompt again"
        detail.say_empty(self._nothing("sources", empty))
        title = "Head" if head is None else f"Head {head}"
        if walk.shown_direction != "both":
            title += ", both directions"  # of the grid's share this pane has one line
        self._screen.query_one("#detail-pane", Pane).say(title)
        self.show_words()
        self.shade_prompt()

    def show_words(self) -> None:
        """What has been said of the head, and what is being asked."""
        walk = self._screen.walk
        said: tuple[Paragraph, ...] = ()
        if walk.neuron is not None and walk.head is not None:
            from tui_lookups.tui.text.explanation import head_paragraphs

            said = head_paragraphs(
                self._screen.explanations, walk.neuron, walk.head, self._screen.key("walk.back")
            )
        self._screen.query_one("#head-words", Paragraphs).show_paragraphs(said)
        self._screen.query_one("#detail-pane", Pane).set_class(bool(said), "-words")

    def position_in_prompt(self, position: int) -> int:
        """A position of the attributed text as a position of the open prompt's full window."""
        walk = self._screen.walk
        prompt, heads = walk.prompt, walk.sources or walk.heads
        if prompt is None or heads is None or heads.context != "trimmed" or position == 0:
            return position
        return position + prompt.peak.position - heads.position

    def shade_prompt(self) -> None:
        """With heads in focus, the prompt shows what the head reads."""
        walk, prompts = self._screen.walk, self._screen.query_one(PromptList)
        figures: Mapping[int, float] | None = None
        title = ""
        on_heads = self._screen.focused_pane in ("heads", "detail")
        if on_heads and walk.sources is not None and not walk.over_all:
            figures = {self.position_in_prompt(s.position): s.attribution for s in walk.sources.sources}
            title = f"shaded: what {walk.head} reads"
        prompts.shade_sources(figures, title)

    def reaches(self, head: HeadId) -> bool:
        """Whether a head is among those that are shown."""
        walk = self._screen.walk
        if walk.over_all:
            return find_mean(head, walk.overview) is not None
        return walk.heads is not None and any(score.head == head for score in walk.heads.heads)
