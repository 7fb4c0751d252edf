"""Putting the state of a walk on the widgets of the walk screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from rich.segment import Segment
from rich.style import Style

from tui_lookups.results import SelectedHead
from tui_lookups.tui.paint.head_rows import plain
from tui_lookups.tui.screens.heads_view import HeadsView
from tui_lookups.tui.state.layouts import MIN_HEIGHT, MIN_WIDTH, PANES, pages
from tui_lookups.tui.text.breadcrumbs import breadcrumbs
from tui_lookups.tui.text.filters import why_no_neuron, why_no_row
from tui_lookups.tui.text.prompt_facts import (
    against_line,
    peak_line,
    predictions_line,
    stats_line,
    token_line,
)
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.painting import palette_of
from tui_lookups.tui.widgets.pane import Pane
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.tui.widgets.text import TextLines, WrappedText
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import (
        PromptKind,
        Status,
    )
    from tui_lookups.tui.screens.walk import WalkScreen
    from tui_lookups.tui.state.basket import Item
    from tui_lookups.tui.state.walk_state import Part

_BOLD = Style(bold=True)
_DIM = Style(dim=True)
LOW_SECONDS = 5.0
"""Least time between two live updates where every byte counts."""
_KINDS: dict[PromptKind, str] = {
    "top": "Prompts that fire",
    "random": "Random prompts of",
    "deciles": "One prompt of each decile of",
}
_SHORT_KINDS: dict[PromptKind, str] = {"top": "Prompts", "random": "Random", "deciles": "Deciles"}


class WalkView:
    """Reads the walk, writes the widgets; asks nothing and decides nothing."""

    def __init__(self, screen: WalkScreen) -> None:
        self._screen = screen
        self._status: Status | None = None
        self._due_at = 0.0
        self.clock = time.monotonic
        self.heads = HeadsView(screen, self._nothing)

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
            self.heads.show_heads()
        elif part == "promoted":
            self._show_prompt_facts()
        elif part == "prompts":
            self._show_prompts()
            self._screen.query_one("#heads-pane", Pane).say(self.heads.title())  # the rank may be another
        elif part == "figures":
            self._show_figures()
        elif part == "predictions":
            self._show_predictions()
        elif part in ("heads", "overview"):
            self.heads.show_heads()
        else:
            self.heads.show_detail()
        if part in ("neuron", "prompts", "heads", "overview", "sources"):
            self.show_marks()
        self._show_tabs()

    def show_all(self) -> None:
        """Show everything, as on the first paint."""
        self._screen.query_one("#token-prompt", TextLines).show_lines((Segment(" Token ", _DIM),))
        small = f"The terminal is too small. lookups needs {MIN_WIDTH} x {MIN_HEIGHT} cells or more."
        self._screen.query_one("#too-small", WrappedText).show_text(small)
        self.show("story")
        self.show("neurons")
        self.show("neuron")
        self.show_marks()

    def show_status(self, status: Status) -> None:
        """A snapshot of the explorer's work."""
        due, before = self._due(status), self._status
        if due:
            words = self._screen.owner.plain
            self._screen.query_one(StatusLine).show_status(status, words=words)
        if before != status:
            self._status = status
            loading = due and status.stage in ("starting", "loading")  # empty panes say how far it is
            if before is None:
                return  # nothing is shown yet: `show_all` comes next
            news = (before.stage, before.model) != (status.stage, status.model)
            if news or (loading and before.message != status.message):
                self._show_notice()
                self._show_neurons()
                self._show_prompts()
                self.heads.show_heads()

    def _due(self, status: Status) -> bool:
        """Whether the status line is to follow: at once, but where every byte counts only now and then."""
        now, last = self.clock(), self._status
        stepped = last is None or last.scan is None or status.scan is None
        stepped = stepped or (last.stage, last.scan.state) != (status.stage, status.scan.state)  # type: ignore[union-attr]
        options = self._screen.owner.options
        if stepped or not (options.low_bandwidth or self._screen.owner.plain) or now >= self._due_at:
            self._due_at = now + LOW_SECONDS
            return True
        return False

    def show_again(self) -> None:
        """Everything anew: what is shown is the same, how is not."""
        if self._status is not None:
            self._screen.query_one(StatusLine).show_status(self._status, words=self._screen.owner.plain)
        self.arrange()
        self.show_all()

    def _show_notice(self) -> None:
        notice = self._screen.query_one("#notice", WrappedText)
        walk = self._screen.walk
        failed = self._status is not None and self._status.stage == "failed"
        if failed and self._status is not None:
            text = self._status.message
        elif "story" in walk.errors:
            failed, text = True, " ".join(walk.errors["story"])
        elif self._screen.tour_text:
            text = self._screen.tour_text
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
            if self._screen.owner.opening is None:
                return "Nothing could be loaded: see above."
            palette = self._screen.key("app.palette")
            return f"Nothing could be loaded: see above.\nTo continue: {palette}, then “Open another model”."
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
        self.heads.shade_prompt()

    def _show_tabs(self) -> None:
        walk = self._screen.walk
        places = {
            "neurons": "Neurons",
            "prompts": "Prompts" if walk.neuron is None else f"{_SHORT_KINDS[walk.kind]} of {walk.neuron}",
            "heads": self.heads.tab(),
            "detail": "Head" if walk.head is None else str(walk.head),
        }
        if sum(len(words) + 5 for words in places.values()) > self._screen.size.width:
            places["prompts"] = _SHORT_KINDS[walk.kind]  # the line above names the neuron, too
        line: list[Segment] = []
        if self._screen.owner.plain:
            name = self._screen.focused_pane
            said = f"Pane {PANES.index(name) + 1} of {len(PANES)}: "
            said += self._screen.query_one(f"#{name}-pane", Pane).words
            self._screen.query_one("#tabs", TextLines).show_lines((Segment(said),))
            return
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
        key = self._screen.key
        if ranking is None:
            otherwise = f"Press {key('walk.token')} and type a token."
        else:
            missing = table.unlisted is not None and bool(self._screen.missing(table.unlisted))
            otherwise = why_no_row(walk, table, key, missing=missing)
        table.say_empty(self._nothing("neurons", otherwise))
        words = "Neurons"
        if walk.token is not None:
            words += f" that promote {visible_token(walk.token.text)}"
        if ranking is not None:
            count = table.row_count()
            words += f"  {count}" if count == table.total else f"  {count} of {table.total}"
        self._screen.query_one("#neurons-pane", Pane).say(words)
        self.show_path()

    def show_path(self) -> None:
        walk = self._screen.walk
        more: list[Segment] = []
        if walk.layer is not None or self._screen.size_class != "narrow":
            more.append(Segment(f"   layers {'all' if walk.layer is None else walk.layer}"))
        if walk.own_only:
            more.append(Segment("   own token only"))
        needle = self._screen.query_one(NeuronsTable).needle
        if needle:
            more.append(Segment(f"   filter {visible_token(needle)}"))
        if walk.ranking is not None:
            more.append(Segment(f"   basis {walk.ranking.basis}"))
        count = len(self._screen.owner.selection)
        if count:
            more.append(Segment(f"   [{count} marked]", _BOLD))
        facts = self._screen.query_one("#token-facts", TextLines)
        facts.show_lines(
            breadcrumbs(walk, tuple(more), self._screen.size.width - 8, self._screen.key("walk.token"))
        )

    # --- prompts ---

    def _show_prompts(self) -> None:
        walk, prompts = self._screen.walk, self._screen.query_one(PromptList)
        found = walk.prompts
        if walk.neuron is None:
            words = "Prompts"
            otherwise = why_no_neuron(walk, self._screen.key)
        else:
            words = f"{_KINDS[walk.kind]} {walk.neuron}"
            otherwise = "The scan has not reached any prompt yet.\nThe list fills while it runs."
            if found is not None and found.note:
                otherwise = found.note
        if found is not None and not found.complete:
            words += f"  so far: {found.scanned_prompts:,} of {found.total_prompts:,}"
        self._screen.query_one("#prompts-pane", Pane).say(words)
        prompts.say_empty(self._nothing("prompts", otherwise) if found is None else otherwise)
        prompts.show_prompts(walk.neuron, found.prompts if found is not None else ())
        asked = walk.wanted_prompt
        wanted = walk.take_wanted_prompt()
        if wanted is not None:
            prompts.go_to(wanted)
        elif asked is not None and walk.wanted_prompt is None:
            others = f"{self._screen.key('prompts.kind')} shows others"
            self._screen.say(f"Corpus prompt {asked} is not among these of {walk.neuron}; {others}.")
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
            lines.append(token_line("promotes   ", promoted.tokens))
            lines.append(token_line("suppresses ", promoted.suppressed))
        elif "promoted" in walk.errors:
            lines.append((Segment(visible(walk.errors["promoted"][0]), _BOLD),))
        if walk.prompts is not None and walk.prompts.stats.prompts:
            lines.append(
                (Segment(stats_line(walk.prompts.stats, picture=not palette_of(self._screen.app).few_bytes)),)
            )
        ranked = walk.ranked
        if walk.prompts is not None and walk.token is not None and ranked is not None:
            against = against_line(walk.token, ranked.congruence, walk.prompts.prompts)
            if against is not None:
                lines.append(against)
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
            peak = prompt.peak.activation  # zero where a random prompt does not move the neuron
            share = f"  {plain(100 * value / peak, 0)}% of the peak" if peak and not where else ""
            text = f"  #{token.id}  position {position}  activation {plain(value)}{where}{share}"
            line = (Segment(visible_token(token.text), _BOLD), Segment(text, _DIM))
        self._screen.query_one("#token-under", TextLines).show_lines(line)
        self._show_predictions()
        self._show_figures()

    def _show_predictions(self) -> None:
        """What the model expects after the token under the cursor."""
        walk, facts = self._screen.walk, self._screen.query_one("#predictions", TextLines)
        found = walk.predictions(self._screen.query_one(PromptList).position)
        line: tuple[Segment, ...] = ()
        if found is not None:
            line = predictions_line(found)
        elif "predictions" in walk.errors:
            line = (Segment(visible(walk.errors["predictions"][0]), _DIM),)
        elif walk.waiting("predictions"):
            line = (Segment("expects: running the model…", _DIM),)
        facts.show_lines(line)
        facts.display = bool(line)

    def _show_figures(self) -> None:
        """What the neuron comes to at the open prompt's peak."""
        walk, facts = self._screen.walk, self._screen.query_one("#peak-figures", TextLines)
        line: tuple[Segment, ...] = ()
        if walk.prompt_figures is not None:
            line = peak_line(walk.prompt_figures)
        elif "figures" in walk.errors:
            line = (Segment(visible(walk.errors["figures"][0]), _DIM),)
        elif walk.waiting("figures"):
            line = (Segment("at the peak: working out what it does to the logits…", _DIM),)
        facts.show_lines(line)
        facts.display = bool(line)

    # --- the basket ---

    def item_under_cursor(self) -> Item | None:
        """What space marks in the focused pane."""
        screen, walk = self._screen, self._screen.walk
        if screen.focused_pane == "neurons":
            return screen.query_one(NeuronsTable).marked_item()
        if screen.focused_pane == "prompts":
            return screen.query_one(PromptList).marked_item()
        if walk.neuron is None or walk.head is None or not self.heads.reaches(walk.head):
            return None
        shown = walk.overview if walk.over_all else walk.heads
        # What is marked is what is on screen: on these texts, not on others.
        context: Literal["full", "trimmed"] = "full"
        if shown is not None and shown.context == "trimmed":
            context = "trimmed"
        return SelectedHead(walk.neuron, walk.head, None if walk.over_all else walk.prompt_id, context)

    def show_marks(self) -> None:
        """Dots where things are in the basket, and their number above."""
        selection, walk = self._screen.owner.selection, self._screen.walk
        neurons: frozenset[NeuronId] = frozenset(n.neuron for n in selection.neurons)
        self._screen.query_one(NeuronsTable).mark(neurons)
        prompts = frozenset(p.prompt_id for p in selection.prompts if p.neuron == walk.neuron)
        self._screen.query_one(PromptList).mark(prompts)
        here = None if walk.over_all else walk.prompt_id
        shown = walk.overview if walk.over_all else walk.heads
        contexts = (None, None if shown is None else shown.context)
        heads = frozenset(
            h.head
            for h in selection.heads
            if (h.neuron, h.prompt_id) == (walk.neuron, here) and h.context in contexts
        )
        self._screen.query_one(HeadGrid).mark(heads)
        self.show_path()
