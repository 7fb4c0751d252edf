"""Making hostile text visible: control characters and other invisible things become glyphs.

Token and corpus text may hold anything a tokenizer can produce. What goes to a terminal passes here:

1. Printable ASCII is returned as it is.
2. Control characters become their pictures (newline `⏎`, tab `⇥`, ESC `␛`, others U+2400...).
3. What has no width of its own or depends on the terminal (format and bidi controls, variation
   selectors, lone surrogates, private use, unassigned, odd spaces) is written as an escape, `\\u200b`.
4. A combining mark with nothing to sit on gets a dotted circle; long piles of marks are escaped.

The result holds no control character, and its parts have the widths of the whole when put together.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

SPACE = "␣"
"""How `visible_token` shows a space."""

_NAMED = {"\n": "⏎", "\t": "⇥", "\x7f": "␡", "\u00a0": "⍽"}
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# letters and marks by category, yet drawn as nothing or according to the terminal's mood
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_MAX_MARKS = 4


def visible(text: str) -> str:
    """`text` with every control character shown as a glyph; spaces stay spaces."""
    if text.isascii() and text.isprintable():
        return text
    return _visible(text)


def visible_token(text: str) -> str:
    """`text` as a vocabulary entry: like `visible`, with spaces shown as well; an empty token is `""`."""
    return visible(text).replace(" ", SPACE) if text else '""'


@lru_cache(maxsize=16384)
def _visible(text: str) -> str:
    shown: list[str] = []
    marks = _MAX_MARKS  # so that a mark at the very start counts as having no base
    base = False
    for character in text:
        if _is_mark(character):
            if not base:
                shown.append("◌")
                base, marks = True, 0
            marks += 1
            shown.append(character if marks <= _MAX_MARKS else _escape(character))
            continue
        glyph = _glyph(character)
        shown.append(glyph)
        base, marks = glyph == character, 0
    return "".join(shown)


def _is_mark(character: str) -> bool:
    if character in _INVISIBLE or _is_variation_selector(ord(character)):
        return False
    if "\u1161" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7ff":
        return unicodedata.category(character) == "Lo"  # conjoining vowels and finals take no cell
    return unicodedata.category(character) in ("Mn", "Me", "Mc")


def _is_variation_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F


def _glyph(character: str) -> str:
    if character == " ":
        return character
    if named := _NAMED.get(character):
        return named
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if 0x1F1E6 <= code <= 0x1F1FF:  # half of a flag: terminals disagree on the width of a pair
        return chr(0x24B6 + code - 0x1F1E6)
    if character in _INVISIBLE or _is_variation_selector(code) or 0x1F3FB <= code <= 0x1F3FF:
        return _escape(character)
    if unicodedata.category(character) in _ESCAPED_CATEGORIES:
        return _escape(character)
    return character


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
