"""The prompts that fire a neuron: a list that does not depend on how many there are or how long.

1. The prompt under the cursor is open: a heading and its whole text, wrapped. Every other prompt is
   one line around its peak, peaks aligned (or four lines, key z, and in large terminals).
2. So a screen line is found by arithmetic, and only prompts on screen are ever laid out.
3. Lines are painted once and kept until the data, the width or the theme changes; moving the token
   cursor repaints the open prompt only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui_lookups.results import SelectedPrompt
from tui_lookups.tui.paint import prompt_lines
from tui_lookups.tui.paint.prompt_layouts import PromptLayouts, scrolled_to
from tui_lookups.tui.paint.prompt_lines import Look
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.layouts import lines_of_closed
from tui_lookups.tui.state.orders import PROMPTS, following, prompts_in
from tui_lookups.tui.text.prompt_search import Found, find_text
from tui_lookups.tui.widgets.painting import Canvas
from tui_lookups.tui.widgets.prompt_keys import PROMPT_KEYS

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Prompt
    from tui_lookups.tui.paint.text_layout import Line
    from tui_lookups.tui.state.orders import PromptOrder
    from tui_lookups.tui.text.tsv import Table

_INDENT = 4


class PromptList(Canvas):
    """Prompts best first or in another order, with a cursor on a prompt and on one of its tokens."""

    BINDINGS: ClassVar[list[BindingType]] = [*PROMPT_KEYS]

    class Moved(Message):
        """The prompt or token cursor stands elsewhere."""

        def __init__(self, prompt: Prompt, position: int, *, other_prompt: bool) -> None:
            super().__init__()
            self.prompt = prompt
            self.position = position
            self.other_prompt = other_prompt

    class KindWanted(Message):
        """Prompts of another kind are wanted."""

    class Sorted(Message):
        """The prompts are in another order."""

    class FindWanted(Message):
        """A text is to be searched for."""

    class Opened(Message):
        """Enter on a prompt."""

        def __init__(self, prompt: Prompt) -> None:
            super().__init__()
            self.prompt = prompt

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.prompts: tuple[Prompt, ...] = ()
        self.order: PromptOrder = "peak"
        self.index = self.position = 0
        self._neuron: NeuronId | None = None
        self._held = False
        self._closed_height, self._chosen_height = 1, False  # chosen by a key, not by the terminal's size
        self._maximum = 0.0
        self._sources: Mapping[int, float] | None = None
        self._sources_title = ""
        self._layouts = PromptLayouts()
        self.found = Found()

    # --- data ---

    def show_prompts(self, neuron: NeuronId | None, prompts: tuple[Prompt, ...]) -> None:
        """Show `prompts`; for the neuron shown already, the cursor stays on its prompt and token.

        Until somebody went there (`hold`) it follows the first prompt of a list that is still improving.
        """
        prompts = prompts_in(self.order, prompts)
        same = neuron == self._neuron
        if not same:
            self._held = self.has_focus
        if same and prompts == self.prompts:
            return
        current, scroll = self.current, self.scroll_offset.y
        self.prompts, self._neuron = prompts, neuron
        self._maximum = max((abs(p.peak.activation) for p in prompts), default=0.0)
        self._layouts.forget()
        self.found = find_text(prompts, self.found.needle)
        index, kept = 0, False
        if same and current is not None:
            current_row = next((i for i, p in enumerate(prompts) if p.prompt_id == current.prompt_id), -1)
            kept = current_row == 0 or (current_row > 0 and (self._held or self.order != "peak"))
            index = current_row if kept else 0
        if not kept:
            self.position = prompts[0].peak.position if prompts else 0
            self._sources = None
        moved = index - self.index if same else 0
        self.index = index
        self._measure()
        self.forget()
        if same:
            self._scroll(scroll + moved * self._closed_height)
        else:
            self._scroll(0)
        self._show_cursor()

    def shade_sources(self, sources: Mapping[int, float] | None, title: str = "") -> None:
        """Shade the open prompt by these figures (position to attribution); None: by activation."""
        if sources != self._sources or title != self._sources_title:
            self._sources, self._sources_title = sources, title
            self.forget()

    @property
    def current(self) -> Prompt | None:
        """The prompt under the cursor."""
        return self.prompts[self.index] if self.index < len(self.prompts) else None

    def marked_item(self) -> SelectedPrompt | None:
        """What space marks here."""
        if self._neuron is None or self.current is None or self.current.prompt_id == GIVEN:
            return None
        return SelectedPrompt(self._neuron, self.current.prompt_id)

    def copy_text(self) -> str | None:
        """What `y` copies here: the prompt's text."""
        return None if self.current is None else "".join(token.text for token in self.current.tokens)

    def table(self) -> Table:
        return prompt_lines.table(self.prompts) if self.prompts else ()

    def plain_lines(self) -> tuple[str, ...]:
        """Every prompt in words, each followed by its text."""
        lines: list[str] = []
        for index, prompt in enumerate(self.prompts):
            title = self._sources_title if index == self.index else ""
            lines.append(prompt_lines.in_words(prompt, self._marked, title))
            lines.append("".join(self._layouts.texts(prompt)))
        return tuple(lines)

    # --- search ---

    def search(self, needle: str) -> Found:
        """Mark every place of `needle`; an empty one marks none. The cursor stays."""
        self.found = find_text(self.prompts, needle)
        self.forget()
        return self.found

    def action_match(self, by: int) -> None:
        """The next place of what was searched for; without a search, the next prompt."""
        match = self.found.step(self.index, self.position, by)
        if match is not None:
            self._move_to(match.index, match.first)
        elif self.found.needle:
            self.show_message(f"The text is {self.found.words(len(self.prompts))}.")
        else:
            self.action_prompt(by)

    # --- geometry ---

    @property
    def _width(self) -> int:
        return max(prompt_lines.GUTTER + 4, self.scrollable_content_region.width)

    def _layout_of(self, prompt: Prompt) -> tuple[Line, ...]:
        return self._layouts.lines(prompt, self._width - _INDENT - 2)

    def _open_height(self) -> int:
        return 2 + len(self._layout_of(self.current)) if self.current is not None else 0

    def _measure(self) -> None:
        if not self._chosen_height:
            self._closed_height = lines_of_closed(*self.app.size, plain=self.plain)
        total = (len(self.prompts) - 1) * self._closed_height + self._open_height() if self.prompts else 0
        self.virtual_size = Size(0, total)

    def _locate(self, line: int) -> tuple[int, int]:
        """The prompt and the line within it of a line of the whole list."""
        before = self.index * self._closed_height
        if line < before:
            return divmod(line, self._closed_height)
        line -= before
        if line < self._open_height():
            return self.index, line
        index, sub = divmod(line - self._open_height(), self._closed_height)
        return self.index + 1 + index, sub

    # --- painting ---

    def _look(self, index: int) -> Look:
        sources = self._sources if index == self.index else None
        matched = self.found.tokens(index)
        return Look(self.palette, self._maximum, self._marked, sources, self._sources_title, matched)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if not self.prompts:
            return self.message_strips(self.empty, width, y)
        index, sub = self._locate(self.scroll_offset.y + y)
        if index >= len(self.prompts):
            return self.strip([], width)
        prompt = self.prompts[index]
        current = index == self.index
        key = (prompt.prompt_id, index, sub, width, current, current and (self.position, self.has_focus))
        strip = self._strips.get(key)
        if strip is None:
            if self.plain and sub == 0:
                text = prompt_lines.in_words(prompt, self._marked, self._sources_title if current else "")
                strip = self.plain_strip(text, width, at_cursor=current)
            else:
                line = self._open_line if current else self._closed_line
                strip = self.strip(line(index, prompt, sub), width)
            self._strips[key] = strip
        return strip

    def _open_line(self, index: int, prompt: Prompt, sub: int) -> list[Segment]:
        look, palette = self._look(index), self.palette
        lines = self._layout_of(prompt)
        if sub == 0:
            head = prompt_lines.heading(prompt, self._width, look)
            style = self.cursor_style
            return [Segment(text, (old + style) if old else style) for text, old, _ in head]
        if sub > len(lines):
            return []
        edge = Segment(
            " " * (_INDENT - 2) + ("  " if self.palette.few_bytes else "▏ "),
            palette.strong if self.has_focus else palette.dim,
        )
        cursor = self.cursor_style
        shown = self.position if self.has_focus else None
        return [edge, *prompt_lines.paint(prompt, lines[sub - 1], look, shown, cursor)]

    def _closed_line(self, index: int, prompt: Prompt, sub: int) -> list[Segment]:
        look = self._look(index)
        if self._closed_height == 1:
            return prompt_lines.one_line(prompt, self._layouts.texts(prompt), self._width, look)
        if sub == 0:
            return prompt_lines.heading(prompt, self._width, look)
        lines = self._layout_of(prompt)
        at = next(i for i, line in enumerate(lines) if any(s.token == prompt.peak.position for s in line))
        start = max(0, min(at - 1, len(lines) - (self._closed_height - 1)))
        number = start + sub - 1
        if number >= len(lines):
            return []
        return [Segment(" " * _INDENT), *prompt_lines.paint(prompt, lines[number], look)]

    # --- cursor ---

    def hold(self) -> None:
        """From now on the cursor stays on its prompt, whatever rank that has."""
        self._held = True

    def go_to(self, prompt_id: int, position: int | None = None) -> None:
        """Put the cursor on a prompt, and on one of its tokens."""
        index = next((i for i, p in enumerate(self.prompts) if p.prompt_id == prompt_id), None)
        if index is not None:
            self._move_to(index, position)

    def _move_to(self, index: int, position: int | None = None) -> bool:
        """Put the cursor on a prompt and a token, or as near as there are; whether it stood elsewhere."""
        if not self.prompts:
            return True
        self._held = True
        index = max(0, min(index, len(self.prompts) - 1))
        prompt = self.prompts[index]
        other = index != self.index
        if position is None:
            position = prompt.peak.position if other else self.position
        position = max(0, min(position, len(prompt.tokens) - 1))
        if not other and position == self.position:
            return False
        if other:
            self.index, self.position = index, position
            self._sources = None
            self._strips.clear()
            self._measure()
            self.refresh()
        else:
            self._repaint_token(self.position)
            self.position = position
            self._repaint_token(position)
        self._show_cursor()
        self.post_message(self.Moved(prompt, position, other_prompt=other))
        return True

    def _token_lines(self, position: int) -> list[int]:
        """The lines of the whole list that hold a token of the open prompt."""
        prompt = self.current
        if prompt is None:
            return []
        top = self.index * self._closed_height + 1
        lines = self._layout_of(prompt)
        return [top + i for i, line in enumerate(lines) if any(s.token == position for s in line)]

    def _repaint_token(self, position: int) -> None:
        for line in self._token_lines(position):
            y = line - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.repaint_row(y)

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=max(0, y), animate=False, immediate=True, force=True)

    def _show_cursor(self) -> None:
        """Scroll as little as shows the token cursor, and the prompt's heading where both fit."""
        height = max(1, self.scrollable_content_region.height)
        lines = self._token_lines(self.position)
        if not lines:
            return
        head, top = self.index * self._closed_height, self.scroll_offset.y
        wanted = scrolled_to(top, height, range(head, head + self._open_height()), lines)
        if wanted != top:
            self._scroll(wanted)
        self.point_at(lines[0] - self.scroll_offset.y)

    def action_prompt(self, by: int) -> None:
        if not self._move_to(self.index + by):
            self.show_end("prompt", by)

    def action_edge(self, index: int) -> None:
        self._move_to(index if index >= 0 else len(self.prompts) - 1)

    def action_token(self, by: int) -> None:
        if not self._move_to(self.index, self.position + by):
            self.show_end("token of the prompt", by)

    def action_peak(self) -> None:
        if self.current is not None:
            self._move_to(self.index, self.current.peak.position)

    def action_more(self) -> None:
        self._closed_height, self._chosen_height = 4 if self._closed_height == 1 else 1, True
        self._measure()
        self.forget()
        self._show_cursor()

    def action_sort(self) -> None:
        self.order = following(PROMPTS, self.order)
        self._held = True
        ranked = tuple(sorted(self.prompts, key=lambda prompt: prompt.rank))
        self.show_prompts(self._neuron, ranked)
        self.post_message(self.Sorted())

    def action_kind(self) -> None:
        self.post_message(self.KindWanted())

    def action_find(self) -> None:
        self.post_message(self.FindWanted())

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def on_resize(self) -> None:
        super().on_resize()
        self._layouts.forget()
        self._measure()
        self._show_cursor()

    def on_focus(self) -> None:
        self.refresh()

    on_blur = on_focus

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self.prompts:
            return
        index, sub = self._locate(self.scroll_offset.y + offset.y)
        if index >= len(self.prompts):
            return
        if index != self.index:
            self._move_to(index)
            return
        if event.chain > 1:
            self.action_open()
        lines = self._layout_of(self.prompts[index])
        if 1 <= sub <= len(lines):
            cell = offset.x - _INDENT
            for span in lines[sub - 1]:
                if 0 <= cell < span.width and span.token >= 0:
                    self._move_to(index, span.token)
                cell -= span.width
