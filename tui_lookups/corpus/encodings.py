"""Which encoding a file is in that is no UTF-8, as far as its first bytes give it away.

1. A byte order mark says it.
2. Without one the four ways to write UTF-16 and UTF-32 are tried on the first bytes. One that reads them as
   assigned characters without control characters is possible; the one that finds the most spaces and line
   ends among them is right: read in the wrong order those are other characters.
"""

from __future__ import annotations

import codecs
import unicodedata

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins with UTF-16's
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UNMARKED = (("UTF-32LE", 4), ("UTF-32BE", 4), ("UTF-16LE", 2), ("UTF-16BE", 2))
_LOOKED_AT = 4096
_SPACES = " \n\r\t"


def encoding_of(start: bytes) -> tuple[str, bool]:
    """The encoding as `iconv` calls it, "" where nothing tells, and whether a byte order mark said it."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name, True
    likeliest = max(_UNMARKED, key=lambda each: _spaces(start, *each))
    return (likeliest[0], False) if _spaces(start, *likeliest) > 0 else ("", False)


def _spaces(start: bytes, encoding: str, width: int) -> float:
    """The share of white space when `start` is read in an encoding; 0 where it is no text in that one."""
    sample = start[: min(len(start), _LOOKED_AT) // width * width]
    # A pair of halves that the sample cuts in two is left off by the decoder.
    try:
        text = codecs.getincrementaldecoder(encoding)("strict").decode(sample)
    except UnicodeDecodeError:
        return 0.0
    if any(
        unicodedata.category(character) in ("Cc", "Cn", "Co") and character not in _SPACES
        for character in text
    ):
        return 0.0
    return sum(character in _SPACES for character in text) / max(1, len(text))
