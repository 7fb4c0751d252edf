"""The prompts that fire a neuron: moving in them, finding text, what the model does at the token cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.containers import Horizontal
from textual.widgets import Input

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.paint.head_rows import plain
from tui_lookups.tui.panes.messages import PromptChosen, PromptMoved
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.state.given_text import given_note
from tui_lookups.tui.state.token_sets import looked_for
from tui_lookups.tui.text.empty import why_no_neuron
from tui_lookups.tui.text.prompt_facts import (
    against_line,
    peak_line,
    predictions_line,
    stats_line,
    token_line,
)
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui_lookups.results import NeuronPrompts, Prompt, PromptKind, SelectedPrompt, Selection
    from tui_lookups.tui.state.orders import PromptOrder
    from tui_lookups.tui.state.walk import Part, Walk
    from tui_lookups.tui.widgets.find_line import FindLine

_BOLD = Style(bold=True)
_DIM = Style(dim=True)
_KINDS: dict[PromptKind, str] = {
    "top": "Prompts that fire",
    "random": "Random prompts of",
    "deciles": "One prompt of each decile of",
}
_SHORT_KINDS: dict[PromptKind, str] = {"top": "Prompts", "random": "Random", "deciles": "Deciles"}
_ORDERS: dict[PromptOrder, str] = {
    "peak": "by their peak",
    "length": "the longest first",
    "corpus": "as they stand in the corpus",
}


class PromptsPane(Pane):
    """The list of the open neuron, what is known of it above, of the token under the cursor below."""

    LATER = ("tui_lookups.tui.widgets.find_line",)
    """Modules of widgets that a key mounts."""

    _line: FindLine | None = None

    def __init__(self, walk: Walk) -> None:
        super().__init__(2, "Prompts", id="prompts-pane")
        self._walk = walk
        self.body = self._list = PromptList(id="prompts")
        self._facts = TextLines(id="prompt-facts")
        self._token_under = TextLines(id="token-under")
        self._predictions = TextLines(id="predictions")
        self._figures = TextLines(id="peak-figures")
        self._find_label, self._find_count = TextLines(id="find-label"), TextLines(id="find-count")

    def compose(self) -> ComposeResult:
        yield from (self._facts, self._list, self._token_under, self._predictions, self._figures)

    def _mount_line(self) -> None:
        """Mount, once, the line that is searched on: the app starts sooner without."""
        if self._line is None:
            from tui_lookups.tui.widgets.find_line import FindLine

            self._line = FindLine(id="find")
            self.mount(Horizontal(self._find_label, self._line, self._find_count, id="find-line"))

    # --- showing ---

    def show(self) -> None:
        """Show the list, or why there is none."""
        walk, prompts = self._walk, self._walk.prompts
        if walk.preview is not None:
            neuron = walk.preview.neuron
            self.set_title(f"{_KINDS['top']} {neuron}: {self.key('neurons.open')} opens it")
            self._list.show_prompts(neuron, walk.preview.prompts)
            return
        if walk.neuron is None:
            words = "Prompts"
            otherwise = why_no_neuron(walk, self.key)
        else:
            words = f"{_KINDS[walk.kind]} {walk.neuron}"
            otherwise = "The scan has not reached any prompt yet.\nThe list fills while it runs."
            if prompts is not None and prompts.note:
                otherwise = prompts.note
        if self._list.order != "peak":
            words += f", {_ORDERS[self._list.order]}"
        if prompts is not None and not prompts.complete:
            words += f"  so far: {prompts.scanned_prompts:,} of {prompts.total_prompts:,}"
        elif prompts is not None and not walk.prompts_whole:
            words += f"  the first {len(prompts.prompts)} of {prompts.provenance.parameters.get('top', '…')}"
        self.set_title(words)
        empty = self.why_empty(walk, "prompts", otherwise) if prompts is None else otherwise
        self._list.show_empty(empty)
        self._list.show_prompts(walk.neuron, walk.listed)

    def tab(self, *, short: bool = False) -> str:
        """`short`: without the neuron, which the line above the tabs names, too."""
        neuron, words = self._walk.neuron, _SHORT_KINDS[self._walk.kind]
        if neuron is None:
            return words if short else "Prompts"
        return words if short else f"{words} of {neuron}"

    def show_facts(self) -> None:
        """What the neuron promotes, how often it fires, and whether against the token."""
        walk = self._walk
        lines: list[tuple[Segment, ...]] = []
        if walk.preview is not None:
            self._show_stats_of(walk.preview)
            return
        promoted = walk.promoted
        if promoted is not None:
            lines.append(token_line("promotes   ", promoted.tokens))
            lines.append(token_line("suppresses ", promoted.suppressed))
        elif "promoted" in walk.errors:
            lines.append((Segment(visible(walk.errors["promoted"][0]), _BOLD),))
        if walk.prompts is not None and walk.prompts.stats.prompts:
            picture = not app_of(self).palette.few_bytes
            lines.append((Segment(stats_line(walk.prompts.stats, picture=picture)),))
        ranked = walk.ranked
        if walk.prompts is not None and walk.token is not None and ranked is not None:
            token = looked_for(walk.token, ranked) or walk.token
            against = against_line(token, ranked.congruence, walk.prompts.prompts)
            if against is not None:
                lines.append(against)
        if note := self._about_given():
            lines.insert(0, (Segment(visible(note), _BOLD),))
        self._facts.show_lines(*lines)
        self._facts.display = bool(lines)

    def _about_given(self) -> str:
        """Of the text that the neuron was met on: that it is being read, or what is not as it was."""
        walk = self._walk
        if walk.given is None:
            return ""
        if "given" in walk.errors:
            return walk.errors["given"][0]
        return "Reading the text…" if walk.given_prompt is None else given_note(walk.given, walk.given_prompt)

    def _show_stats_of(self, preview: NeuronPrompts) -> None:
        """A neuron that is only looked at: what is known of it, in as many lines as the open one has."""
        top = f"promotes   {visible_token(preview.top_token.text)} {preview.top_congruence:.1f}"
        stats = stats_line(preview.stats, picture=not app_of(self).palette.few_bytes)
        blank = max(0, self._facts.text.count("\n") - 1)
        self._facts.show_lines((Segment(top),), (Segment(stats),), *[()] * blank)
        self._facts.display = True

    def show_token(self) -> None:
        """What is under the token cursor."""
        prompt, position = self._list.current, self._list.position
        line: tuple[Segment, ...] = ()
        if prompt is not None and position < len(prompt.tokens):
            token, value = prompt.tokens[position], prompt.activations[position]
            where = "  the peak" if prompt.rank and position == prompt.peak.position else ""
            # zero where a random prompt does not move the neuron; a given text is not read at its peak
            peak = prompt.peak.activation if prompt.rank else 0.0
            share = f"  {plain(100 * value / peak, 0)}% of the peak" if peak and not where else ""
            text = f"  #{token.id}  position {position}  activation {plain(value)}{where}{share}"
            line = (Segment(visible_token(token.text), _BOLD), Segment(text, _DIM))
        self._token_under.show_lines(line)
        self.show_predictions()
        self.show_figures()

    def show_predictions(self) -> None:
        """What the model expects after the token under the cursor."""
        predictions = None if self._walk.preview is not None else self._walk.predictions(self.position)
        line = None if predictions is None else predictions_line(predictions)
        self._show_answer(self._predictions, "predictions", line, "expects: running the model…")

    def show_figures(self) -> None:
        """What the neuron comes to at the open prompt's peak."""
        figures = None if self._walk.preview is not None else self._walk.prompt_figures
        line = None if figures is None else peak_line(figures)
        working = "at the peak: working out what it does to the logits…"
        self._show_answer(self._figures, "figures", line, working)

    def _show_answer(
        self, place: TextLines, part: Part, line: tuple[Segment, ...] | None, working: str
    ) -> None:
        """An answer in one line; else what went wrong with it, or that it is under way.

        Its line stays, empty, while the cursor moves on in these prompts: the list does not jump.
        """
        if line is None and part in self._walk.errors:
            line = (Segment(visible(self._walk.errors[part][0]), _DIM),)
        elif line is None and self._walk.waiting(part):
            line = (Segment(working, _DIM),)
        place.show_lines(line or ())
        place.display = bool(line) or (place.display and bool(self._list.prompts))

    def shade_sources(self, *, shown: bool) -> None:
        """Shade the prompt by what the chosen head reads, or by activation."""
        walk = self._walk
        if shown and walk.sources is not None and not walk.over_all:
            read = {walk.position_in_prompt(s.position): s.attribution for s in walk.sources.sources}
            self._list.shade_sources(read, f"shaded: what {walk.head} reads")
        else:
            self._list.shade_sources(None)

    def mark(self, selection: Selection) -> None:
        mine = (marked for marked in selection.prompts if marked.neuron == self._walk.neuron)
        self._list.mark(frozenset(marked.prompt_id for marked in mine))

    def marked_item(self) -> SelectedPrompt | None:
        return self._list.marked_item()

    # --- the cursor ---

    @property
    def current(self) -> Prompt | None:
        """The prompt under the cursor."""
        return self._list.current

    @property
    def position(self) -> int:
        """The token under the cursor."""
        return self._list.position

    def go_to(self, prompt_id: int, position: int | None = None) -> None:
        """Put the cursor on a prompt, and on one of its tokens."""
        self._list.go_to(prompt_id, position)

    def hold(self) -> None:
        """From now on the cursor stays on its prompt, whatever rank that has."""
        self._list.hold()

    @on(PromptList.Moved)
    def _moved(self, event: PromptList.Moved) -> None:
        self.tell(PromptMoved(event.prompt.prompt_id, other_prompt=event.other_prompt))

    @on(PromptList.Opened)
    def _opened(self, event: PromptList.Opened) -> None:
        self.tell(PromptChosen(event.prompt.prompt_id))

    @on(PromptList.Sorted)
    def _sorted(self) -> None:
        self.show()
        self.show_count()
        app_of(self).show_message(f"Prompts {_ORDERS[self._list.order]}.")

    # --- finding text ---

    @on(PromptList.FindWanted)
    def _find_wanted(self) -> None:
        if not self._list.prompts:
            enter = self.key("neurons.open")
            app_of(self).show_message(f"No prompts to search yet: {enter} on a neuron shows them.")
            return
        self._mount_line()
        assert self._line is not None
        self._find_label.show_lines((Segment(" find ", _BOLD),))
        self.show_count()
        self.query_one("#find-line").add_class("-shown")
        self._line.focus()

    def show_count(self) -> None:
        """Say how often the prompts that are shown have what is searched for."""
        prompts = self._list
        words = prompts.found.words(len(prompts.prompts)) if prompts.prompts else ""
        self._find_count.show_lines((Segment(words),))

    @on(Input.Changed, "#find")
    def _typed(self, event: Input.Changed) -> None:
        self._list.search(event.value)
        self.show_count()

    @on(Input.Submitted, "#find")
    def _done(self) -> None:
        prompts, matches = self._list, self._list.found
        self.query_one("#find-line").set_class(bool(matches.needle), "-shown")
        prompts.focus()
        if matches.needle:
            after, before = self.key("prompts.match"), self.key("prompts.match-back")
            app_of(self).show_message(f"{after} next, {before} before, {self.key('walk.back')} ends it.")
            if prompts.position not in matches.tokens(prompts.index):
                prompts.action_match(1)

    def on_search_line_left(self) -> None:
        self._end_find()

    def _end_find(self) -> None:
        """Nothing is searched for any more."""
        if self._line is not None:
            self._line.value = ""
            self.query_one("#find-line").remove_class("-shown")
        self._list.focus()

    def take_search(self) -> str:
        """What is searched for, empty where nothing is; it is no longer."""
        needle = self._list.found.needle
        if self.query("#find-line.-shown"):
            self._end_find()
        return needle

    def go_back(self) -> bool:
        """The search goes."""
        searching = bool(self._list.found.needle)
        if searching:
            self._end_find()
        return searching
