"""Texts with the neuron's activation under every token: one variant below the other, or two aligned.

1. A token takes the cells of its text or of its figure, whichever is wider; tokens fill lines of the width.
2. All are shaded by one scale, so that they compare: full colour is the neuron's maximum in the corpus, or
   the largest of the texts that are shown.
3. Aligned, the first two stand token above token, and below them by how much the first is above the second.
4. A cursor goes along the tokens of the typed text: what is asked about one of them is asked there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui_lookups.results.firing import firing_sign, peak_position
from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.paint.token_columns import lay_out
from tui_lookups.tui.state.alignment import align
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.painting import Canvas
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.results import Activations, SignSetting
    from tui_lookups.tui.paint.token_columns import Block, Column, Place
    from tui_lookups.tui.text.tsv import Table

_INDENT = "  "
_NO_TOKEN = "·"


class VariantList(Canvas):
    """The text that is typed, then the pinned ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        hidden("left,h", "move(-1)", "←", "variants.left", "The token before"),
        Binding(
            "right,l",
            "move(1)",
            "next token",
            id="variants.right",
            key_display="←→",
            tooltip="The next token: what the model expects after it",
        ),
        hidden("home", "edge(0)", "first", "variants.first", "The first token"),
        hidden("end", "edge(-1)", "last", "variants.last", "The last token"),
    ]

    class Moved(Message):
        """The cursor stands on another token of the typed text."""

    def __init__(self, *, sign: SignSetting = "auto", id: str | None = None) -> None:
        """`sign`: the setting, by which a text's peak is chosen."""
        super().__init__(id=id)
        self._sign: SignSetting = sign
        self.variants: tuple[Activations, ...] = ()
        self.typed = False
        self.position = 0
        self.by_text = False
        self.aligned = False
        self.full_colour = 0.0
        self._known_maximum = 0.0
        self._lines: list[list[Segment]] = []
        self._places: list[Place] = []

    def show_variants(
        self, current: Activations | None, pinned: tuple[Activations, ...], known_maximum: float = 0.0
    ) -> None:
        """Show the typed text's activations (None: there are none) and the pinned variants.

        `known_maximum`: the neuron's largest |activation| in the corpus; 0 where it is not known. The cursor
        of a text that was not shown before is on its last token.
        """
        variants = pinned if current is None else (current, *pinned)
        if variants[:1] != self.variants[:1]:
            self.position = len(variants[0].tokens) - 1 if variants else 0
        self._known_maximum, self.typed, self.variants = known_maximum, current is not None, variants
        self._measure()

    # --- how they are shown ---

    def _largest(self) -> float:
        """The |activation| of full colour: by the corpus a text that hardly fires is hardly shaded."""
        largest = max((abs(v) for variant in self.variants for v in variant.activations), default=0.0)
        return largest if self.by_text else max(self._known_maximum, largest)

    def scale_words(self) -> str:
        """What the shades stand for."""
        of_corpus = self._known_maximum and not self.by_text
        whose = "the corpus" if of_corpus else "the text" if len(self.variants) < 2 else "these texts"
        return f"full colour {plain(self.full_colour)}, the largest in {whose}"

    def toggle_scale(self) -> str:
        """Shade by the texts alone, or by the corpus; why that cannot be, if so."""
        if not self._known_maximum:
            return "The corpus has no maximum yet: the shades are those of the texts."
        self.by_text = not self.by_text
        self._measure()
        return ""

    def toggle_aligned(self) -> str:
        """The first two texts token by token, or each by itself; why that cannot be, if so."""
        if len(self.variants) < 2 and not self.aligned:
            return "Pin a text first: two are aligned, the one that is typed and the last that was pinned."
        self.aligned = not self.aligned
        self._measure()
        return ""

    # --- lines ---

    def _measure(self) -> None:
        width = self.scrollable_content_region.width
        self._lines, self._places, self.full_colour = [], [], self._largest()
        beside = self.aligned and len(self.variants) > 1
        if beside:
            self._add(*self._comparison(self.variants[0], self.variants[1], width))
        for number, variant in enumerate(self.variants):
            if not beside or number > 1:
                self._add(*self._variant(number, variant, width))
        self.virtual_size = Size(0, len(self._lines))
        self.forget()
        self._show_cursor()

    def _add(self, heading: list[Segment], block: Block, places: list[Place]) -> None:
        first = len(self._lines) + 1
        if not self._lines:  # the cursor's text is the first
            self._places = [line._replace(line=line.line + first) for line in places]
        self._lines += [heading, *block.lines, []]

    def _title(self, number: int) -> str:
        return "typed" if self.typed and number == 0 else f"pinned {number + (not self.typed)}"

    def _peak(self, variant: Activations) -> int:
        counts = firing_sign(self._sign, gated=variant.provenance.model.gated)
        return peak_position(variant.activations, counts)

    def _token(
        self, variant: Activations, position: int, peak: int, *, has_cursor: bool
    ) -> tuple[tuple[str, Style], tuple[str, Style]]:
        """A token, shaded by its activation, the peak bold and underlined; and its figure.

        The cursor is on the figure: over the token it would take the place of its shade.
        """
        palette, value = self.palette, variant.activations[position]
        style = palette.plain + palette.shade(level(value, self.full_colour))
        if position == peak:
            style += Style(bold=True, underline=True)
        under = self.cursor_style if has_cursor and position == self.position else palette.dim
        return (visible_token(variant.tokens[position].text), style), (plain(value), under)

    def _variant(
        self, number: int, variant: Activations, width: int
    ) -> tuple[list[Segment], Block, list[Place]]:
        palette, peak = self.palette, self._peak(variant)
        best = (
            f"  peak {plain(variant.activations[peak])} at {peak} {visible_token(variant.tokens[peak].text)}"
        )
        best += " (special token)" if peak in variant.special else ""
        heading = [
            Segment(fit(self._title(number), 10), palette.strong),
            Segment(fit(best, max(0, width - 10)), palette.heading),
        ]
        columns: list[Column] = [
            self._token(variant, position, peak, has_cursor=number == 0)
            for position in range(len(variant.tokens))
        ]
        block = lay_out(columns, (_INDENT, _INDENT), width, palette.plain)
        return heading, block, block.places

    def _comparison(
        self, first: Activations, second: Activations, width: int
    ) -> tuple[list[Segment], Block, list[Place]]:
        """Two texts, token above token, and how far the first one's activation is above the second's."""
        palette, peaks = self.palette, (self._peak(first), self._peak(second))
        columns: list[Column] = []
        changes: list[tuple[float, int]] = []
        at: dict[int, int] = {}
        none = ((_NO_TOKEN, palette.dim), ("", palette.dim))
        for one, other in align([t.id for t in first.tokens], [t.id for t in second.tokens]):
            change = ("", palette.dim)
            if one is not None and other is not None:
                by = first.activations[one] - second.activations[other]
                changes.append((by, one))
                change = (signed(by), palette.plain + palette.shade(level(by, self.full_colour)))
            above = none if one is None else self._token(first, one, peaks[0], has_cursor=True)
            below = none if other is None else self._token(second, other, peaks[1], has_cursor=False)
            if one is not None:
                at[one] = len(columns)
            columns.append((*above, *below, change))
        most, where = max(changes, key=lambda each: abs(each[0]), default=(0.0, 0))
        names = (self._title(0), self._title(1))
        said = f"largest change {signed(most)} at {where} {visible_token(first.tokens[where].text)}"
        heading = [Segment(fit(f"{names[0]} against {names[1]}  {said}", width), palette.heading)]
        rows = (f"{names[0]}  ", "", f"{names[1]}  ", "", "change  ")
        block = lay_out(columns, rows, width, palette.strong)
        return heading, block, [block.places[at[position]] for position in range(len(first.tokens))]

    # --- the cursor ---

    def action_move(self, by: int) -> None:
        if self.variants:
            self._go(self.position + by)

    def action_edge(self, end: int) -> None:
        if self.variants:
            self._go(0 if end == 0 else len(self.variants[0].tokens) - 1)

    def _go(self, position: int) -> None:
        position = max(0, min(position, len(self.variants[0].tokens) - 1))
        if position != self.position:
            self.position = position
            self._measure()
            self.post_message(self.Moved())

    def _show_cursor(self) -> None:
        if self.has_focus and self.position < len(self._places):
            line, height, top = self._places[self.position].line, self.size.height, self.scroll_offset.y
            if not top <= line < top + height - 1:
                self.scroll_to(y=max(0, line - 1), animate=False, immediate=True, force=True)

    def on_focus(self) -> None:
        self._measure()

    def on_blur(self) -> None:
        self._measure()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        line, x = self.scroll_offset.y + offset.y, offset.x
        for position, variant in enumerate(self._places):
            if variant.line <= line < variant.line + 2 and variant.x <= x < variant.x + variant.width:
                self._go(position)

    # --- copying and painting ---

    def copy_text(self) -> str | None:
        return self.variants[0].text if self.variants else None

    def table(self) -> Table:
        rows = (
            (number, position, token.text, value)
            for number, variant in enumerate(self.variants, 1)
            for position, (token, value) in enumerate(zip(variant.tokens, variant.activations, strict=True))
        )
        return (("text", "position", "token", "activation"), *rows) if self.variants else ()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if not self._lines:
            return self.message_strips(self.empty, width, y)
        line = self.scroll_offset.y + y
        return self.strip(self._lines[line] if line < len(self._lines) else [], width)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self.is_mounted:
            self._measure()

    def on_resize(self) -> None:
        super().on_resize()
        self._measure()
