"""Every pane of the walk together: which part of the walk each shows, and which of them are on screen.

A pane for another question is made here and added to `by_name`; what it shows is a line of `show`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.head import HeadPane
from tui_lookups.tui.panes.heads import HeadsPane
from tui_lookups.tui.panes.inputs import InputsPane
from tui_lookups.tui.panes.neurons import NeuronsPane
from tui_lookups.tui.panes.notice import Notice, Tabs, TooSmall
from tui_lookups.tui.panes.pane import Room
from tui_lookups.tui.panes.prompts import PromptsPane
from tui_lookups.tui.state import rooms
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.layouts import pages, panes_of
from tui_lookups.tui.state.problems import Problems
from tui_lookups.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.screen import Screen

    from tui_lookups.results import Status
    from tui_lookups.tui.panes.pane import Pane
    from tui_lookups.tui.panes.token import TokenPane
    from tui_lookups.tui.state.head_explanations import HeadExplanations
    from tui_lookups.tui.state.layouts import Layout, PaneName
    from tui_lookups.tui.state.steps import Steps
    from tui_lookups.tui.state.walk import Part, Walk


class PaneSet:
    """The panes on `screen`, which has the focus in `focused`. `tour` is the sentence of its step."""

    focused: PaneName = "neurons"
    zoomed = False
    own_rooms = rooms.Rooms()

    def __init__(
        self,
        screen: Screen[None],
        walk: Walk,
        steps: Steps,
        explanations: HeadExplanations,
        token: TokenPane,
        layout: Layout,
        tour: Callable[[], str],
    ) -> None:
        self._screen = screen
        self._walk = walk
        self._steps = steps
        self._tour = tour
        self._problems = Problems()
        self._waited: dict[Part, int] = {}
        self.layout: Layout = layout
        self._given: tuple[object, ...] = (None,) * 4
        self.token = token
        self.neurons = NeuronsPane(walk, steps)
        self.prompts = PromptsPane(walk)
        self.heads = HeadsPane(walk, steps.heads)
        self.head = HeadPane(walk, steps.heads, explanations)
        self.inputs = InputsPane(walk, steps.inputs)
        self.by_name: dict[PaneName, Pane] = {
            "neurons": self.neurons,
            "prompts": self.prompts,
            "heads": self.heads,
            "detail": self.head,
            "inputs": self.inputs,
        }
        self._lower = Room(self.heads, self.head, self.inputs, id="lower")
        self._all = Room(self.neurons, self.prompts, self._lower, id="panes")
        self._display(pages(layout, self.focused))
        self._notice, self._tabs = Notice(id="notice"), Tabs(id="tabs")
        self._status_line = StatusLine(id="status")

    def compose(self) -> ComposeResult:
        """From top to bottom, without the line of keys."""
        yield from (self._status_line, self.token, self._notice, self._tabs)
        yield self._all
        yield TooSmall(id="too-small")

    # --- what is shown ---

    def show(self, part: Part) -> None:
        """Show a part of the walk that changed."""
        if part == "story":
            self.show_notice()
        elif part in ("neurons", "activity"):
            self._show_neurons()
        elif part == "neuron":
            self.neurons.show_open()
            self._show_prompts()
            self._show_heads()
        elif part in ("promoted", "given"):
            self.prompts.show_facts()
        elif part == "preview":
            self._show_preview()
        elif part == "prompts":
            self._show_prompts()
            self.heads.show_title()
        elif part == "figures":
            self.prompts.show_figures()
        elif part == "predictions":
            self.prompts.show_predictions()
        elif part in ("heads", "overview"):
            self._show_heads()
        elif part == "inputs":
            self.inputs.show()
        else:
            self.show_head()
            if part == "sources":
                self.heads.show_sources()
        if part in ("neuron", "prompts", "heads", "overview", "sources"):
            self.show_marks()
        self._show_tabs()

    def show_all(self) -> None:
        """Show everything, as on the first paint."""
        for part in ("story", "neurons", "neuron"):
            self.show(part)

    def show_status(self, status: Status) -> None:
        """A snapshot of the work in the background; empty panes say how far loading is."""
        app, before = app_of(self._screen), self._walk.status
        remarks = () if status.corpus is None else status.corpus.remarks
        if (problem := self._problems.to_tell((*status.problems, *remarks))) is not None:
            app.show_message(problem)
        due = self._status_line.follow(status, words=app.plain, seldom=app.few_updates)
        self._walk.status = status
        if before is None:
            return  # at first nothing is shown yet: `show_all` comes next
        self._count_seconds()
        if before == status:
            return
        loading = due and status.stage in ("starting", "loading")
        news = (before.stage, before.model) != (status.stage, status.model)
        if news or (loading and before.message != status.message):
            self.show_notice()
            self._show_neurons()
            self._show_prompts()
            self._show_heads()

    def _count_seconds(self) -> None:
        """Panes that wait for what they are to show say for how long."""
        walk = self._walk
        heads: Part = "overview" if walk.over_all else "heads"
        shown: tuple[tuple[Part, object, Callable[[], None]], ...] = (
            ("neurons", walk.ranking, self._show_neurons),
            ("prompts", walk.prompts, self._show_prompts),
            (heads, walk.shown_heads, self._show_heads),
        )
        for part, known, show in shown:
            seconds = walk.waited(part) if known is None else 0
            if seconds and seconds != self._waited.get(part) and not app_of(self._screen).few_updates:
                show()
            self._waited[part] = seconds

    def show_notice(self) -> None:
        """What there is to be told; where one page is shown at a time, the others need that line."""
        story = self.focused == "neurons" or self.layout != "narrow"
        self._notice.show(self._walk, self._tour(), story=story)

    def _show_neurons(self) -> None:
        self.neurons.show()
        self.show_path()

    def _show_prompts(self) -> None:
        walk, steps = self._walk, self._steps.neurons
        self.prompts.show()
        if walk.preview is not None:
            return  # what is open stays as it is meanwhile
        asked, wanted = walk.wanted_prompt, steps.take_wanted_prompt()
        if wanted is not None:
            self.prompts.go_to(wanted, walk.wanted_position)
        elif asked not in (None, GIVEN) and walk.wanted_prompt is None:
            others = f"{app_of(self._screen).key_of('prompts.kind')} shows others"
            said = f"Corpus prompt {asked} is not among these of {walk.neuron}; {others}."
            app_of(self._screen).show_message(said)
        current = self.prompts.current
        if current is not None and current.prompt_id != walk.prompt_id:
            steps.choose_prompt(current.prompt_id)
        self.prompts.show_facts()
        self.prompts.show_token()

    def _show_preview(self) -> None:
        """Show the prompts of the neuron under the cursor, or again those of the open one, as they were."""
        self.prompts.show()
        current, open_ = self.prompts.current, self._walk.prompt_id
        if self._walk.preview is None and current is not None and open_ not in (None, current.prompt_id):
            self.prompts.go_to(open_)
        self.prompts.show_facts()
        self.prompts.show_token()

    def _show_heads(self) -> None:
        self.heads.show()
        self.show_head()
        self._show_inputs()

    def _show_inputs(self) -> None:
        """What fires the neuron, where there is room for it beside the heads."""
        if self._shows("inputs"):
            self._steps.inputs.look_up()
            self.inputs.show()

    def show_head(self) -> None:
        """Show the chosen head, and what it reads."""
        self.head.show()
        self._shade_prompt()

    def _shade_prompt(self) -> None:
        """With heads in focus, the prompt shows what the head reads."""
        self.prompts.shade_sources(shown=self.focused in ("heads", "detail"))

    def show_path(self) -> None:
        """Show where the walk is, by which filters; it is cut to the width."""
        self.token.show(needle=self.neurons.needle, all_layers=self.layout != "narrow")

    def show_marks(self) -> None:
        """Dots where things are in the basket, and their number above."""
        for pane in self.by_name.values():
            pane.mark(app_of(self._screen).selection)
        self.show_path()

    def _show_tabs(self) -> None:
        show = self._tabs.show_in_words if app_of(self._screen).plain else self._tabs.show
        show(tuple(self.by_name[name] for name in panes_of(self.layout)), self.by_name[self.focused])

    def rest_on_raising_head(self) -> None:
        """Put the head cursor on the head that raises most, unless it is on one that reaches the neuron."""
        walk, raising = self._walk, self._walk.raising_head()
        if raising is None:
            return
        if walk.head is None or not walk.reaches(walk.head):
            self._steps.heads.choose_head(raising)
        if walk.head is not None:
            self.heads.go_to(walk.head)

    def take_head(self) -> None:
        """The head under the cursor is the chosen one, though its message may still be on its way."""
        head = self.heads.head
        if head is not None:
            self._steps.heads.choose_head(head)

    # --- which panes are on screen ---

    def _shows(self, pane: PaneName) -> bool:
        return pane in pages(self.layout, self.focused, zoomed=self.zoomed)

    @property
    def shows_heads(self) -> bool:
        """Whether the heads are on screen."""
        return self._shows("heads")

    def arrange(self, layout: Layout, focused: PaneName) -> None:
        """Show the panes a terminal of this layout has room for."""
        self.layout, self.focused = layout, focused
        if focused != "neurons":
            self._steps.neurons.preview(None)
        if not self._screen.is_mounted:
            return
        for name in ("small", "narrow", "columns", "tall", "wide", "vast"):
            self._screen.set_class(name == layout, f"-{name}")
        self._screen.set_class(self.zoomed, "-zoomed")
        self._display(pages(layout, focused, zoomed=self.zoomed))
        self._give_rooms()
        self.show_focus()
        self._show_inputs()

    def _display(self, shown: Collection[PaneName]) -> None:
        for name, pane in self.by_name.items():
            pane.display = name in shown
        self._lower.display = not {"heads", "detail", "inputs"}.isdisjoint(shown)

    def zoom(self) -> None:
        """The pane with the focus alone, or all there is room for again."""
        self.zoomed = not self.zoomed
        self.arrange(self.layout, self.focused)
        if self.shows_heads:
            self._steps.heads.open_heads()

    def give_room(self, by: int) -> None:
        """Make the pane with the focus larger (1) or smaller (-1), or all panes as they were (0)."""
        if not by:
            self.own_rooms = rooms.Rooms()
        else:
            divider = None if self.zoomed else rooms.divider_of(self.focused, self.layout)
            if divider is None:
                app_of(self._screen).show_message("This pane has all the room there is.")
                return
            self.own_rooms = rooms.moved(self.own_rooms, divider[0], by * divider[1])
        self._give_rooms()

    def take_rooms(self, steps: tuple[int, ...]) -> None:
        """Dividers as they were left."""
        self.own_rooms = rooms.Rooms(*steps[:4])
        self._give_rooms()

    def _give_rooms(self) -> None:
        """Sizes of a person's own; where they changed none, those of the style sheet."""
        own, layout, size = self.own_rooms, self.layout, self._screen.size
        beside, above = layout in ("vast", "wide", "columns"), layout in ("vast", "wide", "tall")
        column, rows = rooms.column_width(own, size.width), rooms.lower_share(own, layout)
        upper = f"{100 - rows}fr {2 * (100 - rows)}fr" if layout == "tall" else f"{100 - rows}fr"
        lower = 3 * rows if layout == "tall" else rows
        open_ = not self.zoomed and layout != "small"
        given = (
            f"{column} 1fr" if open_ and beside and own.column else None,
            f"{upper} {lower}fr" if open_ and above and own.lower else None,
            f"{rooms.detail_share(own, layout)}%" if open_ and above and own.detail else None,
            rooms.below_height(own, size.height) if open_ and not above and own.below else None,
        )
        if given != self._given:  # Textual lays all of it out anew whenever one is set to nothing
            self._given = given
            grid, detail = self._all.styles, self.head.styles
            grid.grid_columns, grid.grid_rows, detail.width, detail.height = given

    def show_focus(self) -> None:
        """Mark the pane that has the focus."""
        for name, pane in self.by_name.items():
            pane.set_active(name == self.focused)
        self._show_tabs()
        self._shade_prompt()

    def plain_changed(self) -> None:
        """Plain text was switched on or off."""
        for pane in self.by_name.values():
            pane.body.plain_changed()
        if self._walk.status is not None:
            self._status_line.show_status(self._walk.status, words=app_of(self._screen).plain)
        self.arrange(self.layout, self.focused)
        self.show_all()
