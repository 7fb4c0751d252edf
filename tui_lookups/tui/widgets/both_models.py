"""A neuron in two models: prompts as either sees them, line above line, and the heads behind it in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.prompt_lines import DIVIDER
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit, quoted, snippet
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import HeadsDiff, HeadShift, OtherShift, PairedPrompt
    from tui_lookups.tui.text.tsv import Table

_KIND, _MODEL, _VALUE = 14, 7, 7
_NAME, _BAR = 17, 24
_COLUMNS = {"before": 10, "after": 10, "change": 10, "by writing": 12, "by reading": 12}
_NARROW_COLUMNS = {"before": 8, "after": 8, "change": 8, "writing": 8, "reading": 8}
_PEAK = Style(bold=True, underline=True)


class PairedPrompts(RowList):
    """Two rows a prompt, one for each model, shaded by the largest activation of all."""

    THING = "prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "open", "on this text", id="diff.prompt", tooltip="Go on with the neuron, on this text"
        ),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.prompts: tuple[PairedPrompt, ...] = ()
        self._largest = 0.0

    def show_prompts(self, prompts: tuple[PairedPrompt, ...]) -> None:
        """Show these."""
        self.prompts = prompts
        values = (abs(value) for prompt in prompts for value in (*prompt.before, *prompt.after))
        self._largest = max(values, default=0.0)
        self.rows_changed(0)

    @property
    def current(self) -> PairedPrompt | None:
        """The prompt under the cursor."""
        return self.prompts[self.cursor // 2] if self.prompts else None

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        prompt = self.current
        return None if prompt is None else "".join(token.text for token in prompt.tokens)

    def table(self) -> Table:
        names = ("kind", "rank", "prompt", "position", "token", "before", "after", "text")
        rows = [
            (
                prompt.kind, prompt.rank, prompt.prompt_id, prompt.position,
                prompt.tokens[prompt.position].text, prompt.before[prompt.position],
                prompt.after[prompt.position], "".join(token.text for token in prompt.tokens),
            )
            for prompt in self.prompts
        ]  # fmt: skip
        return (names, *rows) if rows else ()

    def row_count(self) -> int:
        return 2 * len(self.prompts)

    def heading(self, width: int) -> list[Segment]:
        text = f" {'prompt':<{_KIND}}{'model':<{_MODEL}}{'activ.':>{_VALUE}}  text"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        prompt, palette = self.prompts[index // 2], self.palette
        values = prompt.after if index % 2 else prompt.before
        named = "" if index % 2 else f"{prompt.kind} {prompt.rank}"
        model = "after" if index % 2 else "before"
        texts = [visible(token.text) or "∅" for token in prompt.tokens]
        room = max(1, width - 1 - _KIND - _MODEL - _VALUE - 2)
        return [
            Segment(f" {named:<{_KIND}}", palette.strong),
            Segment(f"{model:<{_MODEL}}", palette.dim),
            Segment(f"{values[prompt.position]:>{_VALUE}.2f}  ", palette.plain),
            *(
                Segment(span.text, palette.dim if span.token < 0 else self._style(prompt, values, span.token))
                for span in snippet(texts, prompt.position, room, DIVIDER)
            ),
        ]

    def _style(self, prompt: PairedPrompt, values: tuple[float, ...], position: int) -> Style:
        style = self.palette.plain + self.palette.shade(level(values[position], self._largest))
        return style + _PEAK if position == prompt.position else style

    def plain_row(self, index: int) -> str:
        prompt = self.prompts[index // 2]
        values, model = (prompt.after, "after") if index % 2 else (prompt.before, "before")
        token = prompt.tokens[prompt.position]
        return (
            f"{prompt.kind} {prompt.rank}, {model}: activation {values[prompt.position]:.2f} at"
            f" {quoted(token.text)}, prompt {prompt.prompt_id}:"
            f" {visible_token(''.join(each.text for each in prompt.tokens))}"
        )


class ShiftRows(RowList):
    """A row a head, then one for each other part, then their sum: before, after, and why they differ."""

    THING = "head"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "open", "this head", id="diff.head", tooltip="Go on with this head behind the neuron"
        ),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: tuple[tuple[str, tuple[float, ...]], ...] = ()
        self._heads: tuple[HeadShift, ...] = ()
        self._largest = 0.0

    def show_heads(self, found: HeadsDiff) -> None:
        """Show these."""
        self._heads = found.heads
        parts: list[tuple[str, HeadShift | OtherShift]] = [(str(row.head), row) for row in found.heads]
        parts += [(other.name.replace("_", " "), other) for other in found.others]
        change = found.target_after - found.target_before
        target = (found.target_before, found.target_after, change)
        self._rows = (
            *(
                (name, (r.before, r.after, r.after - r.before, r.by_writing, r.by_reading))
                for name, r in parts
            ),
            (found.target.replace("_", "-"), target),
        )
        self._largest = max((abs(row.after - row.before) for row in found.heads), default=0.0)
        self.rows_changed(0)

    @property
    def head(self) -> HeadId | None:
        """The head under the cursor; None on another row."""
        return self._heads[self.cursor].head if self.cursor < len(self._heads) else None

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return self._rows[self.cursor][0] if self._rows else None

    def table(self) -> Table:
        names = ("part", "before", "after", "change", "by_writing", "by_reading")
        rows = [(name, *figures, *(None,) * (5 - len(figures))) for name, figures in self._rows]
        return (names, *rows) if rows else ()

    def row_count(self) -> int:
        return len(self._rows)

    def heading(self, width: int) -> list[Segment]:
        figures = "".join(f"{name:>{cells}}" for name, cells in _columns(width).items())
        return [Segment(fit(f" {'part':<{_NAME}}{figures}", width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        name, figures = self._rows[index]
        palette, is_head = self.palette, index < len(self._heads)
        style = palette.plain if is_head else palette.strong if index == len(self._rows) - 1 else palette.dim
        cells = zip(figures, _columns(width).values(), strict=False)
        text = f" {name:<{_NAME}}{''.join(f'{signed(figure, 3):>{size}}' for figure, size in cells)}"
        if not is_head or width < len(text) + 2 + _BAR:
            return [Segment(text, style)]
        return [
            Segment(f"{text}  ", style),
            Segment(palette.bar_text(abs(figures[2]), self._largest, _BAR), palette.bar),
        ]

    def plain_row(self, index: int) -> str:
        name, figures = self._rows[index]
        words = ("before", "after", "change", "by what is written", "by what reads it")
        said = (f"{word} {signed(figure, 3)}" for word, figure in zip(words, figures, strict=False))
        return f"{name}, {', '.join(said)}"


def _columns(width: int) -> dict[str, int]:
    """The figures of a row and their cells: before, after and change, then the two parts of the change."""
    return _COLUMNS if width > 1 + _NAME + sum(_COLUMNS.values()) else _NARROW_COLUMNS
