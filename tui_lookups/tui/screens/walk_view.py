"""Putting the state of a walk on the widgets of the walk screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.widgets import Input

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import NeuronStats, SelectedHead, SourceToken, Status, TokenCongruence
from tui_lookups.tui.basket import Item
from tui_lookups.tui.decomposing import decomposition, find_mean, head_facts, overview_facts
from tui_lookups.tui.layouts import MIN_HEIGHT, MIN_WIDTH, PANES, pages
from tui_lookups.tui.shading import sparkline
from tui_lookups.tui.walk import Part
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import Cell, HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.one_line import PackedText, TextLines, WrappedText
from tui_lookups.tui.widgets.pane import Pane
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.tui.screens.walk import WalkScreen

_BOLD = Style(bold=True)
_DIM = Style(dim=True)
_SHOWN_TOKENS = 8
_SPARK = 20


class WalkView:
    """Reads the walk, writes the widgets; asks nothing and decides nothing."""

    def __init__(self, screen: WalkScreen) -> None:
        self._screen = screen
        self._status: Status | None = None

    # --- everything ---

    def show(self, part: Part) -> None:
        """Show what changed."""
        if part == "story":
            self._show_notice()
        elif part == "neurons":
            self._show_neurons()
        elif part == "neuron":
            self._screen.query_one(NeuronsTable).set_open(self._screen.walk.neuron)
            self._show_prompts()
            self._show_heads()
        elif part == "promoted":
            self._show_prompt_facts()
        elif part == "prompts":
            self._show_prompts()
            self._screen.query_one("#heads-pane", Pane).say(self._heads_title())  # the rank may be another
        elif part in ("heads", "overview"):
            self._show_heads()
        else:
            self._show_detail()
        if part in ("neuron", "prompts", "heads"):
            self.show_marks()
        self._show_tabs()

    def show_all(self) -> None:
        """Show everything, as on the first paint."""
        self._screen.query_one("#token-prompt", TextLines).show_lines((Segment(" Token ", _DIM),))
        small = f"The terminal is too small. lookups needs {MIN_WIDTH} x {MIN_HEIGHT} cells or more; q quits."
        self._screen.query_one("#too-small", WrappedText).show_text(small)
        self.show("neurons")
        self.show("neuron")
        self.show_marks()

    def show_status(self, status: Status) -> None:
        """A snapshot of the explorer's work."""
        self._screen.query_one(StatusLine).show_status(status)
        if self._status != status:
            before, self._status = self._status, status
            if before is None or (before.stage, before.model) != (status.stage, status.model):
                self._show_notice()
                self._show_neurons()
                self._show_prompts()
                self._show_heads()

    def _show_notice(self) -> None:
        notice = self._screen.query_one("#notice", WrappedText)
        walk = self._screen.walk
        failed = self._status is not None and self._status.stage == "failed"
        if failed and self._status is not None:
            text = self._status.message
        elif "story" in walk.errors:
            failed, text = True, " ".join(walk.errors["story"])
        elif self._screen.focused_pane == "neurons" or self._screen.size_class in ("wide", "tall"):
            text = walk.story
        else:
            text = ""  # a small screen needs the line once the person is reading
        notice.show_text(visible(text))
        notice.set_class(bool(text), "-shown")
        notice.set_class(failed, "-error")

    def _nothing(self, part: Part, otherwise: str) -> str:
        """What an empty pane says: the error, what it waits for, or what to do."""
        error = self._screen.walk.errors.get(part)
        if error is not None:
            return visible(error[0]) + "\n" + visible(error[1])
        status = self._status
        if status is not None and status.stage == "failed":
            return "Nothing could be loaded: see above."
        walk = self._screen.walk
        if walk.waiting(part) or (part == "neurons" and walk.waiting("story")):
            if status is not None and status.stage in ("starting", "loading"):
                return "Loading the model…\n" + visible(status.message)
            return "Working…"
        return otherwise

    # --- layout ---

    def arrange(self) -> None:
        """Show the panes the terminal has room for."""
        screen = self._screen
        if not screen.is_mounted:
            return
        layout = screen.size_class
        for name in ("small", "narrow", "columns", "tall", "wide"):
            screen.set_class(name == layout, f"-{name}")
        shown = pages(layout, screen.focused_pane)
        for name in PANES:
            screen.query_one(f"#{name}-pane").set_class(name in shown, "-on")
        screen.query_one("#lower").set_class("heads" in shown, "-on")
        self.show_focus()

    def show_focus(self) -> None:
        """Marks the pane with the focus; with heads in focus the prompt shows what they read."""
        screen = self._screen
        for name in PANES:
            screen.query_one(f"#{name}-pane", Pane).set_active(name == screen.focused_pane)
        self._show_tabs()
        self._shade_prompt()

    def _show_tabs(self) -> None:
        walk = self._screen.walk
        prompt = walk.prompt
        places = {
            "neurons": "Neurons",
            "prompts": "Prompts" if walk.neuron is None else f"Prompts of {walk.neuron}",
            "heads": "Heads" if prompt is None else f"Heads, prompt {prompt.rank}",
            "detail": "Head" if walk.head is None else str(walk.head),
        }
        line: list[Segment] = []
        for number, name in enumerate(PANES, 1):
            here = name == self._screen.focused_pane
            style = Style(bold=True, reverse=True) if here else _DIM
            line += [Segment(" "), Segment(f" {number} {places[name]} ", style)]
        self._screen.query_one("#tabs", TextLines).show_lines(tuple(line))

    # --- token and neurons ---

    def _show_neurons(self) -> None:
        walk, table = self._screen.walk, self._screen.query_one(NeuronsTable)
        ranking = walk.ranking
        table.show_neurons(ranking.neurons if ranking is not None else (), walk.token)
        nothing = "No neuron passes the filters.\nl layer, o own token, / text"
        otherwise = nothing if ranking is not None else "Press t and type a token."
        table.say_empty(self._nothing("neurons", otherwise))
        words = "Neurons"
        if walk.token is not None:
            words += f" that promote {visible_token(walk.token.text)}"
        if ranking is not None:
            count = table.row_count()
            words += f"  {count}" if count == table.total else f"  {count} of {table.total}"
        self._screen.query_one("#neurons-pane", Pane).say(words)
        self._show_token()

    def _show_token(self) -> None:
        walk = self._screen.walk
        line: list[Segment] = []
        if walk.token is not None:
            line.append(Segment(visible_token(walk.token.text), Style(bold=True, underline=True)))
            line.append(Segment(f"  #{walk.token.id}", _DIM))
        else:
            line.append(Segment("t: type a token", _DIM))
        line.append(Segment(f"   layers {'all' if walk.layer is None else walk.layer}"))
        if walk.own_only:
            line.append(Segment("   own token only"))
        needle = self._screen.query_one("#filter", Input).value
        if needle:
            line.append(Segment(f"   filter {visible_token(needle)}"))
        if walk.ranking is not None:
            line.append(Segment(f"   basis {walk.ranking.basis}"))
        count = len(self._screen.owner.selection)
        if count:
            line.append(Segment(f"   [{count} marked]", _BOLD))
        self._screen.query_one("#token-facts", TextLines).show_lines(tuple(line))

    # --- prompts ---

    def _show_prompts(self) -> None:
        walk, prompts = self._screen.walk, self._screen.query_one(PromptList)
        found = walk.prompts
        if walk.neuron is None:
            words, otherwise = "Prompts", "Enter on a neuron\nshows the text that fires it."
        else:
            words = f"Prompts that fire {walk.neuron}"
            otherwise = "The scan has not reached any prompt yet.\nThe list fills while it runs."
        if found is not None and not found.complete:
            words += f"  so far: {found.scanned_prompts:,} of {found.total_prompts:,}"
        self._screen.query_one("#prompts-pane", Pane).say(words)
        prompts.say_empty(self._nothing("prompts", otherwise) if found is None else otherwise)
        prompts.show_prompts(walk.neuron, found.prompts if found is not None else ())
        current = prompts.current
        if current is not None and current.prompt_id != walk.prompt_id:
            walk.choose_prompt(current.prompt_id)
        self._show_prompt_facts()
        self.show_token_under()

    def _show_prompt_facts(self) -> None:
        walk = self._screen.walk
        lines: list[tuple[Segment, ...]] = []
        promoted = walk.promoted
        if promoted is not None:
            lines.append(_token_line("promotes   ", promoted.tokens))
            lines.append(_token_line("suppresses ", promoted.suppressed))
        elif "promoted" in walk.errors:
            lines.append((Segment(visible(walk.errors["promoted"][0]), _BOLD),))
        if walk.prompts is not None and walk.prompts.stats.prompts:
            lines.append((Segment(stats_line(walk.prompts.stats)),))
        facts = self._screen.query_one("#prompt-facts", TextLines)
        facts.show_lines(*lines)
        facts.display = bool(lines)

    def show_token_under(self) -> None:
        """The line that says what is under the token cursor."""
        prompts = self._screen.query_one(PromptList)
        prompt, position = prompts.current, prompts.position
        line: tuple[Segment, ...] = ()
        if prompt is not None and position < len(prompt.tokens):
            token, value = prompt.tokens[position], prompt.activations[position]
            where = "  the peak" if position == prompt.peak.position else ""
            share = f"  {value / prompt.peak.activation:.0%} of the peak" if not where else ""
            text = f"  #{token.id}  position {position}  activation {value:.2f}{where}{share}"
            line = (Segment(visible_token(token.text), _BOLD), Segment(text, _DIM))
        self._screen.query_one("#token-under", TextLines).show_lines(line)

    # --- heads ---

    def _show_heads(self) -> None:
        walk, grid = self._screen.walk, self._screen.query_one(HeadGrid)
        source = walk.overview if walk.over_all else walk.heads
        cells: dict[HeadId, Cell] = {}
        if walk.over_all and walk.overview is not None:
            cells = {m.head: Cell(m.mean_attribution, m.worth_explaining) for m in walk.overview.heads}
        elif not walk.over_all and walk.heads is not None:
            cells = {s.head: Cell(walk.score(s), s.active) for s in walk.heads.heads}
        if source is not None:
            model = source.provenance.model
            grid.show_heads(model.n_layers, model.n_heads, cells)
        else:
            grid.show_heads(0, 0, {})
        otherwise = "Enter on a prompt\nshows the heads behind its peak."
        grid.say_empty(self._nothing("overview" if walk.over_all else "heads", otherwise))
        self._screen.query_one("#heads-pane", Pane).say(self._heads_title())
        parts: tuple[str, ...] = ()
        if walk.heads is not None and not walk.over_all:
            parts = (*decomposition(walk.heads), "* active")
        elif walk.over_all and walk.overview is not None:
            parts = ("mean direct attribution", "* worth explaining: active on 25 % to 75 % of the prompts")
        self._screen.query_one("#decomposition", PackedText).show_parts(parts)
        self._show_detail()

    def _heads_title(self) -> str:
        walk = self._screen.walk
        if walk.neuron is None:
            return "Heads"
        words = f"Heads that fire {walk.neuron}"
        if walk.over_all:
            count = "" if walk.overview is None else f"{walk.overview.prompts} "
            return f"{words} over its {count}prompts, direct"
        prompt = walk.prompt
        words += f" on prompt {prompt.rank}" if prompt is not None else ""
        if walk.heads is not None:
            words += ", direct, " + ("full window" if walk.heads.context == "full" else walk.heads.context)
        if walk.gated and walk.direction != "both":
            words += f", by {walk.direction}"
        return words

    def rest_on_strongest_head(self) -> None:
        """Put the head cursor on the strongest head, unless it is on a head that reaches the neuron."""
        walk = self._screen.walk
        if walk.heads is None or not walk.heads.heads:
            return
        if walk.head is None or all(score.head != walk.head for score in walk.heads.heads):
            walk.choose_head(max(walk.heads.heads, key=lambda score: abs(score.attribution)).head)
        if walk.head is not None:
            self._screen.query_one(HeadGrid).go_to(walk.head)

    def _show_detail(self) -> None:
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
        self._screen.query_one("#head-facts", PackedText).show_parts(facts)
        detail.show_sources(sources)
        empty = (
            "Enter on a head\nshows which tokens it reads." if not walk.over_all else "\na: one prompt again"
        )
        detail.say_empty(self._nothing("sources", empty))
        self._screen.query_one("#detail-pane", Pane).say("Head" if head is None else f"Head {head}")
        self._shade_prompt()

    def position_in_prompt(self, position: int) -> int:
        """A position of the attributed text as a position of the open prompt's full window."""
        walk = self._screen.walk
        prompt, heads = walk.prompt, walk.sources or walk.heads
        if prompt is None or heads is None or heads.context != "trimmed" or position == 0:
            return position
        return position + prompt.peak.position - heads.position

    def _shade_prompt(self) -> None:
        walk, prompts = self._screen.walk, self._screen.query_one(PromptList)
        figures: Mapping[int, float] | None = None
        title = ""
        on_heads = self._screen.focused_pane in ("heads", "detail")
        if on_heads and walk.sources is not None and not walk.over_all:
            figures = {self.position_in_prompt(s.position): s.attribution for s in walk.sources.sources}
            title = f"shaded: what {walk.head} reads"
        prompts.shade_sources(figures, title)

    # --- the basket ---

    def item_under_cursor(self) -> Item | None:
        """What space marks in the focused pane."""
        screen, walk = self._screen, self._screen.walk
        if screen.focused_pane == "neurons":
            return screen.query_one(NeuronsTable).marked_item()
        if screen.focused_pane == "prompts":
            return screen.query_one(PromptList).marked_item()
        if walk.neuron is None or walk.head is None or not self._reaches(walk.head):
            return None
        return SelectedHead(walk.neuron, walk.head, None if walk.over_all else walk.prompt_id)

    def _reaches(self, head: HeadId) -> bool:
        walk = self._screen.walk
        if walk.over_all:
            return find_mean(head, walk.overview) is not None
        return walk.heads is not None and any(score.head == head for score in walk.heads.heads)

    def show_marks(self) -> None:
        """Dots where things are in the basket, and their number above."""
        selection, walk = self._screen.owner.selection, self._screen.walk
        neurons: frozenset[NeuronId] = frozenset(n.neuron for n in selection.neurons)
        self._screen.query_one(NeuronsTable).mark(neurons)
        prompts = frozenset(p.prompt_id for p in selection.prompts if p.neuron == walk.neuron)
        self._screen.query_one(PromptList).mark(prompts)
        here = None if walk.over_all else walk.prompt_id
        heads = frozenset(h.head for h in selection.heads if (h.neuron, h.prompt_id) == (walk.neuron, here))
        self._screen.query_one(HeadGrid).mark(heads)
        self._show_token()


def _token_line(label: str, tokens: tuple[TokenCongruence, ...]) -> tuple[Segment, ...]:
    segments = [Segment(label, _DIM)]
    for token in tokens[:_SHOWN_TOKENS]:
        segments += [Segment(visible_token(token.text), _BOLD), Segment(f" {token.congruence:.1f}  ", _DIM)]
    return tuple(segments)


def stats_line(stats: NeuronStats) -> str:
    """A neuron in figures, and the histogram of phi over prompts."""
    edges = stats.histogram.edges
    spark = sparkline(stats.histogram.counts, _SPARK)
    span = f"phi {edges[0]:.1f} {spark} {edges[-1]:.1f}  " if edges else ""
    figures = f"mean {stats.mean:.3f}  above zero {stats.fraction_positive:.1%}  max {stats.maximum:.2f}"
    return f"{span}{figures}"
