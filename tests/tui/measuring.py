"""What every screen is held to: nothing overlaps, nothing is cut, everything can be read.

1. Geometry: no two widgets that paint share a cell; none reaches out of the place it is painted in; the
   bottom line has room for its last keys, dialogs for the keys in their frame.
2. Contrast (WCAG 2) is that of the colours in the composed lines: 4.5 for text, 3 for text that stands back.
   With 16 colours that holds in the palette of xterm, and 3 in that of VGA text mode; the terminal's own
   colour on its own background is its own affair.
3. Signs stand in the text, not only in its colour.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.color import Color, ColorType
from rich.segment import Segment
from textual.color import Color as Shade
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widget import Widget

from tests.tui.test_hostile import check_widgets
from tests.tui.views import own_region, still, strips, texts, without_message
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.painting import Canvas
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.text import PackedText, WrappedText

SMALL, LARGE, TINY = (80, 24), (160, 45), (34, 9)
TEXT, DIM = 4.5, 3.0
_DIMMED = 0.5  # how much of a colour terminals keep of text with the dim attribute, at the least

_XTERM = (
    "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
)
_VGA = (
    "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff"
)
XTERM, VGA = (tuple(Shade.parse(f"#{code}") for code in codes.split()) for codes in (_XTERM, _VGA))
BLACK, WHITE = Shade(0, 0, 0), Shade(255, 255, 255)


def luminance(color: Shade) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [part / 255 for part in color.rgb]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Shade, other: Shade) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


# --- geometry ---


def painted(app: LookupsApp) -> Iterator[Widget]:
    """The widgets of the top screen that paint themselves: those without children on screen."""
    for widget in app.screen.query("*").results(Widget):
        chain = [widget, *(parent for parent in widget.ancestors if isinstance(parent, Widget))]
        shown = all(each.display for each in chain)
        if shown and widget.size and not any(child.display for child in widget.children):
            yield widget


def check_geometry(app: LookupsApp, where: str) -> None:
    """Raises AssertionError where widgets overlap or are cut."""
    found = [(widget, widget.region) for widget in painted(app)]
    whole = app.screen.region
    for number, (one, region) in enumerate(found):
        assert whole.contains_region(region), f"{where}: {one} reaches out of the terminal: {region}"
        for parent in one.ancestors:
            if isinstance(parent, Widget) and parent is not app.screen and one.layer == parent.layer:
                assert parent.region.contains_region(region), f"{where}: {one} reaches out of {parent}"
        for other, taken in found[number + 1 :]:
            if one.layer == other.layer:
                assert not region.intersection(taken), f"{where}: {one} and {other} overlap"
    if isinstance(app.screen, ModalScreen):
        dialog = app.screen.query_one(".dialog")
        title, keys = str(dialog.border_title or ""), str(dialog.border_subtitle or "")
        assert cell_len(keys) <= dialog.region.width - 4, f"{where}: the keys {keys!r} do not fit"
        assert cell_len(title) <= dialog.region.width - 4, f"{where}: the title {title!r} does not fit"
    for line in app.screen.query(Hints):
        tail = " ".join(f" {key} {what}" for key, what in line._tail)
        shown_line = "".join(segment.text for segment in line.render_line(0))
        assert shown_line.rstrip().endswith(tail.rstrip()), f"{where}: the last keys are cut: {shown_line!r}"
        for part in shown_line.split("  ")[:-1]:
            known = [f"{key} {what}" for key, what in (*line._keys, *line._tail)]
            assert not part.strip() or part.strip() in known, f"{where}: {part!r} is half a hint"


def check_nothing_is_cut(app: LookupsApp, where: str) -> None:
    """Raises AssertionError where a text is higher than its place, which nobody could scroll."""
    for widget in painted(app):
        if isinstance(widget, WrappedText | PackedText):
            size = widget.content_size
            needed = widget.get_content_height(size, app.size, size.width)
            assert needed <= size.height, f"{where}: {widget} shows {size.height} of {needed} lines"
        elif isinstance(widget, Paragraphs):
            lines = len(widget._lines(widget.size.width))
            told = "more lines" in "".join(s.text for s in widget.render_line(widget.size.height - 1))
            assert lines <= widget.size.height or told, f"{where}: {widget} hides lines and says nothing"
            dialog = isinstance(app.screen, ModalScreen)  # its keys are its own: it has to show everything
            assert lines <= widget.size.height or not dialog, f"{where}: {widget} hides lines"
        elif isinstance(widget, Canvas) and widget.virtual_size.height > widget.size.height:
            assert widget.can_focus or widget.id == "candidates", f"{where}: nobody can scroll {widget}"


# --- contrast ---


def check_contrast(app: LookupsApp, where: str) -> None:
    """Raises AssertionError for text that cannot be read, naming it."""
    area = own_region(app)
    poor: dict[str, str] = {}
    for y, strip in enumerate(strips(app)):
        if area.y <= y < area.bottom:
            for segment in strip.crop(area.x, area.right):
                ratio, wanted = legibility(segment, app)
                if ratio < wanted:
                    poor.setdefault(
                        f"{segment.style}", f"{ratio:.2f} < {wanted} for {segment.text.strip()!r}"
                    )
    assert not poor, f"{where}: " + "; ".join(f"{what} ({style})" for style, what in poor.items())


def legibility(segment: Segment, app: LookupsApp) -> tuple[float, float]:
    """The contrast of a segment's text and what it has to be; (inf, 0) where there is nothing to read."""
    style = segment.style
    if style is None or not any(character.isalnum() for character in segment.text):
        return float("inf"), 0.0
    front, back = style.color, style.bgcolor
    if style.reverse:
        front, back = back, front
    stands_back = bool(style.dim) or front == app.palette.dim.color
    wanted = DIM if stands_back else TEXT
    keep = _DIMMED if style.dim and app.palette.depth == "full" else 1.0
    found = []
    for palette, least in ((XTERM, wanted), (VGA, DIM)):
        ink, paper = as_shown(front, back, palette)
        found.append((contrast(paper.blend(ink, keep), paper), least))
    return min(found, key=lambda pair: pair[0] - pair[1])


def as_shown(front: Color | None, back: Color | None, palette: tuple[Shade, ...]) -> tuple[Shade, Shade]:
    """What a pair of colours comes out as; one of the terminal's own is taken to suit the other."""
    ink, paper = shade_of(front, palette), shade_of(back, palette)
    if paper is None:
        paper = BLACK if ink is None else max(BLACK, WHITE, key=lambda ground: contrast(ground, ink))
    if ink is None:
        ink = max(BLACK, WHITE, key=lambda text: contrast(text, paper))
    return ink, paper


def shade_of(color: Color | None, palette: tuple[Shade, ...]) -> Shade | None:
    """A colour in a terminal whose first 16 colours are `palette`; None for the terminal's own."""
    if color is None or color.type is ColorType.DEFAULT:
        return None
    if color.number is not None and color.number < 16:
        return palette[color.number]
    return Shade.from_rich_color(color)


# --- signs ---


def check_signs(app: LookupsApp, where: str) -> None:
    """Raises AssertionError where only colour tells a positive figure from a negative one."""
    lines = "\n".join(texts(app))
    for grid in app.screen.query(HeadGrid):
        if grid.display and grid.region and grid.head is not None and not grid.listed:
            for head, cell in grid._cells.items():
                row = "".join(s.text for s in grid._row(head.layer))
                text = row[grid.cell * head.index : grid.cell * (head.index + 1)]
                size = level(cell.value, grid._maximum)
                sign = "+" if size > 0 else "-" if size < 0 else "."
                if cell.figures:  # counts and shares, in which a plus goes without saying
                    sign = "-" if size < 0 else ""
                assert sign in text, f"{where}: {head} reads {text!r}"
    for detail in app.screen.query(HeadDetail):
        if detail.source is not None and detail.region and not detail.plain:
            assert f"{detail.source.attribution:+.2f}" in lines, where


# --- all of it ---


async def change(app: LookupsApp, pilot: Pilot[None], theme: str, size: tuple[int, int]) -> None:
    """Another theme and size, once they are on screen."""
    if app.theme != theme:
        app.theme = theme
    if tuple(app.size) != size:
        await pilot.resize_terminal(*size)
    await still(app, pilot)
    await without_message(app, pilot)


def check_everything(app: LookupsApp, name: str) -> None:
    """Raises AssertionError, naming the view, size and theme, where a screen is not as it has to be."""
    where = f"{name} at {app.size.width}x{app.size.height} in {app.theme}"
    check_geometry(app, where)
    check_contrast(app, where)
    check_signs(app, where)
    check_nothing_is_cut(app, where)


async def check_far_too_small(app: LookupsApp, pilot: Pilot[None]) -> None:
    """Raises AssertionError where a tiny terminal breaks a line, or the walk does not ask for more room."""
    await change(app, pilot, app.theme, TINY)
    check_widgets(app.screen)
    if app.screen is app.walk_screen:
        assert app.screen.query_one("#too-small").region.height, "says how large it wants to be"
        assert not app.screen.query_one("#panes").region
