"""How cells are written (attributes and two colours), and the shortest way from one such pen to another.

1. A pen is what SGR sequences set: the codes of its attributes, of its foreground and of its background.
2. A blank cell shows of a pen its background alone, unless an attribute is drawn on blanks as well; the
   rest of its pen is left as it was.
3. From pen to pen only what differs is written: attributes are taken off one by one, colours changed one
   by one. A reset would cost both colours again, with every word.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rich.style import Style
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.color import ColorSystem

_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29"}
_OFF |= {"21": "24", "51": "54", "52": "54", "53": "55"}
"""What takes an attribute off; some take off two."""
_UNSEEN_ON_BLANKS = frozenset("1238")


class Pen(NamedTuple):
    """SGR codes. `front` is None where any foreground will do, "" where it is the terminal's own."""

    attributes: frozenset[str] = frozenset()
    front: str | None = ""
    back: str = ""

    def on_blanks(self) -> Pen:
        """What of it is seen on an empty cell."""
        seen = self.attributes - _UNSEEN_ON_BLANKS
        return self if seen else Pen(frozenset(), None, self.back)


NEW = Pen()
"""After a reset."""


@lru_cache(maxsize=4096)
def pen_of(style: Style | None, system: ColorSystem) -> Pen:
    """The pen of a style in a terminal of these colours."""
    if style is None:
        return NEW
    attributes = Strip.render_ansi(style.without_color, system)
    front = "" if style.color is None else ";".join(style.color.downgrade(system).get_ansi_codes())
    back = "" if style.bgcolor is None else ";".join(style.bgcolor.downgrade(system).get_ansi_codes(False))
    return Pen(
        frozenset(attributes.split(";") if attributes else ()),
        "" if front == "39" else front,
        "" if back == "49" else back,
    )


@lru_cache(maxsize=4096)
def change(held: Pen, wanted: Pen) -> tuple[str, Pen]:
    """What to write to go on with `wanted`, and the pen that is held then."""
    attributes, front = wanted.attributes, wanted.front
    if front is None:  # a blank
        attributes, front = held.attributes & _UNSEEN_ON_BLANKS, held.front
    off = {_OFF[code] for code in held.attributes - attributes}
    kept = {code for code in held.attributes if _OFF[code] not in off}
    codes = [*sorted(off), *sorted(attributes - kept)]
    if front != held.front:
        codes.append(front or "39")
    if wanted.back != held.back:
        codes.append(wanted.back or "49")
    now = Pen(attributes, front, wanted.back)
    return (f"\x1b[{';'.join(codes)}m" if codes else ""), now
