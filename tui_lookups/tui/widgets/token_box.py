"""The token box: what is open, and an input with rows to choose from below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_lookups.tui.paint.text_layout import fit, wrap_tokens
from tui_lookups.tui.state.candidates import Candidates, is_passage
from tui_lookups.tui.state.token_sets import token_name
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.typed_line import PassageLine, TypedLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.tui.state.candidates import Candidate

_MOST_ROWS = 10
_WIDTH = 52
"""As in the style below."""


def _words(text: str) -> tuple[str, ...]:
    """A text in words, each but the first with the space before it, to be wrapped between them."""
    return tuple(word if number == 0 else f" {word}" for number, word in enumerate(text.split(" ")))


class TokenInput(TypedLine):
    """The line a token is typed on. Its arrows move in the rows below it.

    Several words are a text: two keys take it to where texts are asked about. What was pasted goes there
    with its line breaks.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "open", id="token.enter", tooltip="Open the marked row"),
        Binding(
            "down",
            "step(1)",
            "choose",
            id="token.down",
            key_display="↑↓",
            tooltip="The next row of the list below",
        ),
        Binding("up", "step(-1)", "choose", id="token.up", tooltip="The row above", show=False),
        Binding(
            "ctrl+y",
            "text('why')",
            "why",
            id="token.why",
            tooltip="Why a token after the text typed here",
        ),
        Binding(
            "ctrl+o",
            "text('playground')",
            "playground",
            id="token.playground",
            tooltip="The neuron on the text typed here",
        ),
        Binding("escape", "leave", "back", id="token.leave", tooltip="Leave the token as it was"),
    ]

    class Stepped(Message):
        """An arrow key: choose another row."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Left(Message):
        """Escape: nothing was chosen."""

    class TextGiven(Message):
        """What was typed is a text, for "why" or the "playground"."""

        def __init__(self, what: str, text: str) -> None:
            super().__init__()
            self.what = what
            self.text = text

    _pasted = ("", "")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            placeholder='a token, " in quotes", #id, a neuron like 5.371, a head like L3.H2',
            id=id,
            compact=True,
            select_on_focus=True,
        )

    def _on_paste(self, event: events.Paste) -> None:
        super()._on_paste(event)
        self._pasted = (self.as_one_line(event.text), PassageLine.as_one_line(event.text))

    @property
    def passage(self) -> str:
        """The text that is typed, without quotes around it."""
        line, as_pasted = self._pasted
        text = as_pasted if self.value == line else self.value
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys for a text work where there is one."""
        return action != "text" or is_passage(self.value)

    def watch_value(self, before: str, value: str) -> None:
        if is_passage(before) != is_passage(value):
            self.refresh_bindings()

    def action_text(self, what: str) -> None:
        self.post_message(self.TextGiven(what, self.passage))

    def action_step(self, by: int) -> None:
        self.post_message(self.Stepped(by))

    def action_leave(self) -> None:
        self.post_message(self.Left())


class CandidateList(RowList):
    """What the typed text may mean. Never has the focus: the input moves its cursor.

    Enter takes a row at once only when exactly one thing was typed; otherwise the person chooses with
    the arrows, or says with a second enter that the marked row is meant.
    """

    DEFAULT_CSS = """
    CandidateList { display: none; width: 52; height: auto; max-height: 12; background: $panel; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.can_focus = False
        self.found = Candidates("", (), 0, "")
        self._armed = False

    def show(self, found: Candidates) -> None:
        """Show rows under the input; none and no note hides the list."""
        self.found = found
        self._armed = found.exact == 1
        self.display = bool(found.rows or found.note)
        note = () if found.rows else wrap_tokens(_words(visible(found.note)), _WIDTH - 4)
        self.styles.height = 1 + min(_MOST_ROWS, len(found.rows)) if found.rows else max(1, len(note))
        self.rows_changed(0)
        # the note is the heading of the rows; where there are none it is all there is
        self.show_empty("\n".join("".join(span.text for span in line).rstrip() for line in note))

    def plain_row(self, index: int) -> str:
        mark = "> " if index == self.cursor and self._armed else ""
        # the heading, which holds the note, is not shown
        note = f" ({visible(self.found.note)})" if index == 0 and self.found.note else ""
        return mark + super().plain_row(index) + note

    def close(self) -> None:
        """Nothing is typed any more."""
        self.show(Candidates("", (), 0, ""))

    def step(self, by: int) -> None:
        """An arrow key."""
        if self._armed or self.found.exact:
            self.cursor += by
        self._armed = True
        self.forget()

    def accept(self) -> Candidate | None:
        """Enter: the marked row, or None while the person has to choose."""
        if not self.found.rows:
            return None
        if self._armed:
            return self.found.rows[self.cursor]
        self._armed = True
        self.forget()
        return None

    def row_count(self) -> int:
        return len(self.found.rows)

    def heading(self, width: int) -> list[Segment]:
        return [Segment(fit(" " + visible(self.found.note), width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        candidate, palette = self.found.rows[index], self.palette
        if candidate.token is not None:
            name, number = token_name(candidate.token), f"#{candidate.token.id}"
        else:
            name, number = str(candidate.neuron or candidate.head), ""
        mark = "▸" if index == self.cursor and self._armed else " "
        return [
            Segment(f" {mark} ", palette.accent),
            Segment(fit(name, max(8, width - 26)), palette.strong),
            Segment(fit(number, 9), palette.dim),
            Segment(fit(candidate.why, 14), palette.dim),
        ]
