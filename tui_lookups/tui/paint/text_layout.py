"""Laying tokens out in lines of terminal cells: wrapping, and a one-line snippet around the peak.

Pure functions over texts that are already visible (`tui_lookups.visible`). Widths are terminal cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from tui_lookups.visible import visible


class Span(NamedTuple):
    """A piece of token number `token` (-1: no token, an ornament) on one line, `width` cells wide."""

    token: int
    text: str
    width: int


Line = tuple[Span, ...]


def fit(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    size = cell_len(text)
    if size > width:
        cut = set_cell_size(text, width - 1) + "…"
        return cut + " " * (width - cell_len(cut))
    return " " * (width - size) + text if right else text + " " * (width - size)


def fit_middle(text: str, width: int, end: int = 0) -> str:
    """`text` in at most `width` cells, cut in its middle; of its end two thirds stay, or `end` cells."""
    if cell_len(text) <= width:
        return text
    room = max(0, width - 1)
    kept = min(room, max(room - room // 3, end))
    tail = len(text)
    while tail > 0 and cell_len(text[tail - 1 :]) <= kept:
        tail -= 1
    rest = text[tail:]
    head = set_cell_size(text, room - cell_len(rest)).rstrip() if room > cell_len(rest) else ""
    return head + "…" * (width > 0) + rest


def quoted(text: str) -> str:
    """A token in words: visible, its spaces kept, between quotes."""
    return f'"{visible(text)}"'


def wrap_tokens(texts: Sequence[str], width: int) -> tuple[Line, ...]:
    """Wrap tokens into lines of at most `width` cells (2 at least).

    1. Tokens join to words: a token that begins with a space begins a word.
    2. A word goes on the current line if it fits, on the next if it fits there.
    3. A longer word is placed token by token, a longer token cut between cells.
    """
    width = max(2, width)
    lines: list[Line] = []
    line: list[Span] = []
    used = 0

    def place(token: int, text: str, size: int) -> None:
        nonlocal line, used
        if used + size > width and line:
            lines.append(tuple(line))
            line, used = [], 0
        line.append(Span(token, text, size))
        used += size

    for word in _words(texts):
        sizes = [cell_len(texts[token]) for token in word]
        total = sum(sizes)
        if used + total > width and total <= width and line:
            lines.append(tuple(line))
            line, used = [], 0
        for token, size in zip(word, sizes, strict=True):
            if size <= width:
                place(token, texts[token], size)
            else:
                for piece in chop_cells(texts[token], width):
                    place(token, piece, cell_len(piece))
    if line or not lines:
        lines.append(tuple(line))
    return tuple(lines)


def _words(texts: Sequence[str]) -> list[list[int]]:
    words: list[list[int]] = []
    for token, text in enumerate(texts):
        if text.startswith(" ") or not words or texts[token - 1].endswith(("⏎", " ")):
            words.append([token])
        else:
            words[-1].append(token)
    return words


def snippet(texts: Sequence[str], peak: int, width: int, divider: str = "│") -> Line:
    """One line with the end of the peak token at a fixed column, so that snippets align.

    The left side (about three fifths) ends with the peak, then `divider`, then what follows. Cost depends
    on `width` only, not on the length of the prompt.
    """
    left_width = max(1, (width - 1) * 3 // 5)
    right_width = max(0, width - left_width - cell_len(divider))
    left: list[Span] = []
    room = left_width
    for token in range(peak, -1, -1):
        size = cell_len(texts[token])
        if size > room:
            if room:
                left.append(_tail(token, texts[token], room))
            room = 0
            break
        left.append(Span(token, texts[token], size))
        room -= size
        if room == 0:
            break
    if room:
        left.append(Span(-1, " " * room, room))
    right: list[Span] = []
    room = right_width
    for token in range(peak + 1, len(texts)):
        size = cell_len(texts[token])
        if size > room:
            if room:
                right.append(Span(token, fit(texts[token], room), room))
            room = 0
            break
        right.append(Span(token, texts[token], size))
        room -= size
    if room:
        right.append(Span(-1, " " * room, room))
    return (*reversed(left), Span(-1, divider, cell_len(divider)), *right)


def _tail(token: int, text: str, room: int) -> Span:
    """The last cells of a token that does not fit, after an ellipsis."""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= room - 1:
        start -= 1
    tail = "…" + text[start:]
    return Span(token, " " * (room - cell_len(tail)) + tail, room)


def pack(parts: Sequence[str], width: int, gap: str = "  ") -> tuple[str, ...]:
    """Join short texts into as few lines as hold them; none is broken (a longer one is cut when shown)."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + cell_len(gap) + cell_len(part) <= width:
            lines[-1] += gap + part
        else:
            lines.append(part)
    return tuple(lines)
