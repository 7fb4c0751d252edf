"""Texts with the neuron's activation under every token, one variant below the other.

1. A token takes the cells of its text or of its figure, whichever is wider; tokens fill lines of the width.
2. Below each line of tokens stands a line of figures; both are shaded by value, the same in all variants,
   so that they compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip

from tui_lookups.results.firing import firing_sign, peak_position
from tui_lookups.tui.paint.head_rows import plain
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.widgets.painting import Canvas
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.results import Activations, SignSetting
    from tui_lookups.tui.text.tsv import Table

_FIGURE = 6
_INDENT = 2


class VariantList(Canvas):
    """The text that is typed, then the pinned ones."""

    def __init__(self, *, sign: SignSetting = "auto", id: str | None = None) -> None:
        """`sign`: the setting, by which a text's peak is chosen."""
        super().__init__(id=id)
        self._sign: SignSetting = sign
        self.variants: tuple[Activations, ...] = ()
        self.typed = False
        self._known_maximum = 0.0
        self._lines: list[list[Segment]] = []

    def show_variants(
        self, current: Activations | None, pinned: tuple[Activations, ...], known_maximum: float = 0.0
    ) -> None:
        """Show the typed text's activations (None: there are none) and the pinned variants.

        The strongest shade stands for the largest |activation| here, or for `known_maximum` where that is
        larger: a text that hardly fires the neuron is hardly shaded.
        """
        self._known_maximum = known_maximum
        self.typed = current is not None
        self.variants = pinned if current is None else (current, *pinned)
        self._measure()

    def _measure(self) -> None:
        width = max(_INDENT + _FIGURE, self.scrollable_content_region.width)
        found = (abs(v) for variant in self.variants for v in variant.activations)
        top = max(self._known_maximum, *found, 0.0)
        self._lines = []
        for number, variant in enumerate(self.variants):
            name = "typed" if self.typed and number == 0 else f"pinned {number + (not self.typed)}"
            self._lines += self._variant(name, variant, width, top)
        self.virtual_size = Size(0, len(self._lines))
        self.forget()

    def _variant(self, name: str, variant: Activations, width: int, top: float) -> list[list[Segment]]:
        palette, values = self.palette, variant.activations
        counts = firing_sign(self._sign, gated=variant.provenance.model.gated)
        peak = peak_position(values, counts)
        best = f"  peak {plain(values[peak])} at {peak} {visible_token(variant.tokens[peak].text)}"
        best += " (special token)" if peak in variant.special else ""
        lines = [
            [Segment(fit(name, 10), palette.strong), Segment(fit(best, max(0, width - 10)), palette.heading)]
        ]
        texts, figures, used = [Segment(" " * _INDENT)], [Segment(" " * _INDENT)], _INDENT
        for position, (token, value) in enumerate(zip(variant.tokens, values, strict=True)):
            text = visible_token(token.text)
            size = min(max(cell_len(text), _FIGURE), width - _INDENT)
            if used + size > width and used > _INDENT:
                lines += [texts, figures]
                texts, figures, used = [Segment(" " * _INDENT)], [Segment(" " * _INDENT)], _INDENT
            base = palette.strong if position == peak else palette.plain
            style = base + palette.shade(level(value, top))
            gap = Segment(" ") if used + size < width else Segment("")
            texts += [Segment(fit(text, size), style), gap]
            figures += [Segment(fit(plain(value), size), palette.dim), gap]
            used += size + len(gap.text)
        return [*lines, texts, figures, []]

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
