"""What figures are drawn of: bars, grids, columns and shaded texts, as SVG.

1. Every figure is an element of the standard library's tree, so that its texts are escaped by it, and have
   passed `visible` before: no control character is in one. Nothing is loaded: no style sheet, font or script.
2. Text is text, in the reader's sans-serif or monospaced font. A token has the width of its cells
   (`textLength`), so that shading and text lie over each other whatever font that is.
3. Letters and lines take the colour of the text around them, orange is positive and blue negative (told apart
   with the common colour blindnesses); both can be read on white and on black.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rich.cells import cell_len

from tui_lookups.exports.shades import LEVELS, level
from tui_lookups.visible import visible

POSITIVE, NEGATIVE = "#e69f00", "#0072b2"

_SANS = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_SIZE, _CELL, _LINE = 11, 6.6, 17  # of letters, of a monospaced one's width, of a row
_TEXT_CELLS = 90


def largest(values: Iterable[float]) -> float:
    """The largest magnitude; 0 without values."""
    return max(map(abs, values), default=0.0)


def as_text(figure: Element) -> str:
    """A figure within a page: its text has the colour of the page's."""
    return ElementTree.tostring(figure, encoding="unicode")


def as_file(figure: Element) -> str:
    """A figure as a file of its own: black on white."""
    width, height = figure.get("width", ""), figure.get("height", "")
    paper = Element("svg", {**figure.attrib, "color": "#000000"})
    SubElement(paper, "rect", {"width": width, "height": height, "fill": "#ffffff"})
    paper.extend(figure)
    return f"{ElementTree.tostring(paper, encoding='unicode', xml_declaration=False)}\n"


def bars(rows: Sequence[tuple[str, float]], title: str, *, mono: bool = False) -> Element:
    """A row for each label and value: its bar to the right or left of zero, its figure beside."""
    most = largest(value for _, value in rows)
    labels = [visible(label) for label, _ in rows]
    left = 12 + _CELL * max(map(cell_len, labels), default=0)
    room, figure_room = 260.0, 62.0
    low = min([0.0, *(value for _, value in rows)])
    high = max([0.0, *(value for _, value in rows)])
    unit = room / ((high - low) or 1.0)
    zero = left + (figure_room if low < 0 else 0) - low * unit
    figure = _figure(zero + high * unit + figure_room, 28 + _LINE * len(rows), title)
    for number, (label, (_, value)) in enumerate(zip(labels, rows, strict=True)):
        y = 28 + _LINE * number
        width = abs(value) * unit
        start = zero if value >= 0 else zero - width
        _text(figure, left - 6, y + 11, label, anchor="end", mono=mono)
        if most:
            _box(figure, start, y + 2, width, _LINE - 4, value)
        after = value >= 0
        _text(
            figure, zero + width + 4 if after else start - 4, y + 11, f"{value:+.4g}",
            anchor="start" if after else "end",
        )  # fmt: skip
    SubElement(figure, "path", {"d": f"M{zero:g} 24V{28 + _LINE * len(rows)}", "stroke": "currentColor"})
    return figure


def columns(counts: Sequence[tuple[str, float]], title: str) -> Element:
    """A column for each label and count, on one line."""
    most = largest(count for _, count in counts) or 1.0
    step = max([22.0, *(6 + _CELL * len(label) for label, _ in counts)])
    height, floor = 110, 150
    figure = _figure(20 + step * len(counts), floor + 22, title)
    for number, (label, count) in enumerate(counts):
        x = 10 + step * number
        tall = count / most * height
        _box(figure, x + 2, floor - tall, step - 4, tall, -1)
        _text(figure, x + step / 2, floor - tall - 3, f"{count:g}", anchor="middle")
        _text(figure, x + step / 2, floor + 14, label, anchor="middle")
    SubElement(figure, "path", {"d": f"M10 {floor}H{10 + step * len(counts):g}", "stroke": "currentColor"})
    return figure


def grid(
    values: Mapping[tuple[int, int], float],
    title: str,
    *,
    marked: frozenset[tuple[int, int]] = frozenset(),
) -> Element:
    """Layers by heads, each shaded by its value; `marked` ones have a frame. Layer 0 is at the bottom."""
    side, left, top = 12, 34, 44
    layers = sorted({layer for layer, _ in values})
    heads = max((head for _, head in values), default=-1) + 1
    figure = _figure(left + side * heads + 12, top + side * len(layers) + 6, title)
    row_top = {layer: top + side * (len(layers) - 1 - row) for row, layer in enumerate(layers)}
    most = largest(values.values())
    shades: dict[int, list[str]] = {}
    for (layer, head), value in values.items():
        cell = f"M{left + side * head} {row_top[layer]}h11v11h-11z"
        shades.setdefault(level(value, most), []).append(cell)
    for shade, cells in sorted(shades.items()):  # one path a shade: a thousand grids fit a page
        SubElement(figure, "path", {"d": "".join(cells), **_fill(shade)})
    frames = [f"M{left + side * head} {row_top[layer]}h11v11h-11z" for layer, head in sorted(marked)]
    if frames:
        SubElement(figure, "path", {"d": "".join(frames), "fill": "none", "stroke": "currentColor"})
    for layer in layers:
        if layer % _every(len(layers)) == 0 or layer == layers[-1]:
            _text(figure, left - 4, row_top[layer] + 10, f"L{layer}", anchor="end")
    for head in range(0, heads, _every(heads)):
        _text(figure, left + side * head + 5.5, top - 5, str(head), anchor="middle")
    return figure


def shaded(
    tokens: Sequence[str], values: Sequence[float], title: str, *, framed: int | None = None
) -> Element:
    """A text whose tokens are shaded by their values, in lines; the token at `framed` has a frame."""
    most = largest(values)
    left = 6.0
    boxes, x, row, widest = [], 0, 0, 0
    for token in tokens:
        shown = visible(token)
        cells = cell_len(shown)
        if x and x + cells > _TEXT_CELLS:
            x, row = 0, row + 1
        boxes.append((shown, x, row, cells))
        x += cells
        widest = max(widest, x)
    figure = _figure(2 * left + _CELL * widest, 30 + _LINE * (row + 1), title)
    for position, ((shown, x, row, cells), value) in enumerate(zip(boxes, values, strict=True)):
        at, y = left + _CELL * x, 26 + _LINE * row
        box = {"x": f"{at:g}", "y": f"{y:g}", "width": f"{_CELL * cells:g}", "height": f"{_LINE - 2}"}
        frame = {"stroke": "currentColor"} if position == framed else {}
        shade = level(value, most)
        if shade or frame:
            SubElement(figure, "rect", {**box, **(_fill(shade) if shade else {"fill": "none"}), **frame})
        inner = shown.strip(" ")
        if inner:
            before = cell_len(shown) - cell_len(shown.lstrip(" "))
            _text(
                figure, at + _CELL * before, y + 11, inner, mono=True, length=_CELL * cell_len(inner)
            )  # fmt: skip
    return figure


def stacked(figures: Sequence[Element], title: str) -> Element:
    """Figures below each other."""
    width = max(float(figure.get("width", "0")) for figure in figures)
    whole = _figure(width, 24 + sum(float(figure.get("height", "0")) for figure in figures), title)
    y = 24.0
    for figure in figures:
        group = SubElement(whole, "g", {"transform": f"translate(0 {y:g})"})
        group.extend(part for part in figure if part.tag != "title")
        y += float(figure.get("height", "0"))
    return whole


def _every(count: int) -> int:
    """Of so many rows, one in how many is named."""
    return 1 if count <= 12 else 2 if count <= 24 else 5


def _figure(width: float, height: float, title: str) -> Element:
    width = max(width, 12 + 0.55 * _SIZE * cell_len(visible(title)))
    figure = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "width": f"{width:g}", "height": f"{height:g}",
            "viewBox": f"0 0 {width:g} {height:g}", "role": "img", "font-family": _SANS,
            "font-size": str(_SIZE), "fill": "currentColor",
        },
    )  # fmt: skip
    SubElement(figure, "title").text = visible(title)
    _text(figure, 6, 14, visible(title)).set("font-weight", "bold")
    return figure


def _text(
    figure: Element,
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    mono: bool = False,
    length: float | None = None,
) -> Element:
    """Text that is visible already."""
    attributes = {"x": f"{x:g}", "y": f"{y:g}"}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    if mono:
        attributes["font-family"] = _MONO
    if length is not None:
        attributes |= {"textLength": f"{length:g}", "lengthAdjust": "spacingAndGlyphs"}
    element = SubElement(figure, "text", attributes)
    element.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    element.text = text
    return element


def _box(figure: Element, x: float, y: float, width: float, height: float, value: float) -> None:
    """A solid bar, in the colour of the sign of `value`."""
    fill = POSITIVE if value >= 0 else NEGATIVE
    geometry = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "fill": fill}
    SubElement(figure, "rect", geometry)


def _fill(shade: int) -> dict[str, str]:
    """What a level looks like; 0 is a faint grey, so that a cell is seen."""
    if shade == 0:
        return {"fill-opacity": ".08"}
    return {"fill": POSITIVE if shade > 0 else NEGATIVE, "fill-opacity": f"{abs(shade) / LEVELS:.3g}"}
