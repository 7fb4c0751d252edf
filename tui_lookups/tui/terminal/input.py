"""What a terminal sends, in pieces: keys, pasted texts, and replies that nobody waits for.

1. An escape sequence is cut out as a whole, by its form (ECMA-48, and the older forms of mouse reports and
   function keys), before a byte of it is decoded or taken for a key.
2. A sequence that the program has a use for goes on to it. Every other is a reply - late, or to what another
   program asked - and is dropped: attributes, modes, places, colours, titles, versions, sizes.
3. Bytes between sequences are UTF-8. What is none becomes U+FFFD, which a person sees and no key is bound to.
4. More characters at once than are ever typed are a pasted text, in brackets or not: one piece, with what
   follows without a pause. Else every letter of it would be a key, and one of them quits. A key that is held
   down repeats one character and stays keys.
5. What may become a sequence waits for its rest. After a pause it is the key that begins like it (escape, or
   alt and a bracket), or a reply that was cut off, and dropped.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

KEY_SECONDS = 0.1
"""Pause after which escape was the key of that name, and a pasted text is at its end."""
REPLY_SECONDS = 1.0
"""Pause after which the rest of a reply does not come any more."""
BRACKET_SECONDS = 5.0
"""Pause after which the end of a bracketed paste does not come any more."""

MOST_TYPED = 64
"""Characters at once that may be keys: typed ahead, or in one packet of a slow link."""
_MOST_HELD = 1000
_LONGEST_SEQUENCE = 65_536

_STRING = rb"\x1b(?:\][0-9IlL]|P[0-9!$+=>|]|_[A-Za-z])[^\x07\x18\x1a\x1b]*"
"""OSC, DCS and APC as far as replies begin like that, without their end."""
_REPORT = re.compile(
    rb"\x1b\[M[\x00-\xff]{3}"  # the mouse as X10 reports it: three bytes of any value
    rb"|" + _STRING + rb"(?:\x07|\x1b\\|[\x18\x1a])"
)
_SEQUENCE = re.compile(
    rb"\x1b\[\[[A-E]"  # function keys of the Linux console
    rb"|\x1b\[<[-0-9;]*[Mm]"  # the mouse, at negative places too in some terminals
    rb"|\x1b\[(?![\[M])[0-?]*[ -/]*[@-~]"  # CSI
    rb"|\x1bO[ -~]"  # SS3
)
_BEGUN_REPLY = re.compile(
    rb"(?:\x1b\[M[\x00-\xff]{0,2}|\x1b\[<[-0-9;]*|\x1b\[[0-?]+[ -/]*|" + _STRING + rb"\x1b?)\Z"
)
_BEGUN_KEY = re.compile(rb"(?:\x1b|\x1b\[\[?|\x1b[]OP_])\Z")
_BROKEN = re.compile(rb"\x1b\[(?:<[-0-9;]*|[0-?]*[ -/]*)|\x1bO")
_WITH_ALT = re.compile(rb"\x1b(?:[\x00-\x1a\x1c-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3})")
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"


class Piece(NamedTuple):
    """A part of the input. Of "escape" the text is empty: it is the key, and begins no sequence."""

    kind: Literal["keys", "escape", "paste"]
    text: str


class TerminalInput:
    """Cuts what a terminal sends into pieces.

    Args:
        is_useful: whether a complete escape sequence is one the program reads.
    """

    def __init__(self, is_useful: Callable[[str], bool]) -> None:
        self._is_useful = is_useful
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._begun = b""
        """The beginning of a sequence."""
        self._bracketed: bytearray | None = None
        """What was pasted since the opening bracket."""
        self._pasted: list[str] = []
        """What was pasted without brackets, until it pauses."""

    @property
    def waits(self) -> bool:
        """Whether a pause would make a difference."""
        return bool(self._begun or self._pasted) or self._bracketed is not None

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces of all that can be read at once."""
        cut = list(self._cut(self._begun + data))
        typed = "".join(text for kind, text in cut if kind == "text")
        pasted = bool(self._pasted) or _too_much_to_be_typed(typed)
        pieces: list[Piece] = []
        for kind, text in cut:
            if kind == "text" and pasted:
                self._pasted.append(text)
            else:
                pieces += self._end_of_paste()
                pieces.append(Piece("keys" if kind == "text" else kind, text))
        return pieces

    def pause(self, seconds: float) -> list[Piece]:
        """The pieces there are now that nothing has come for `seconds`."""
        pieces: list[Piece] = []
        if seconds >= KEY_SECONDS:
            pieces += self._end_of_paste()
            if _BEGUN_KEY.match(self._begun):
                pieces.append(_key(self._begun))
                self._begun = b""
        if seconds >= REPLY_SECONDS:
            self._begun = b""
        if seconds >= BRACKET_SECONDS and self._bracketed is not None:
            pieces.append(self._out_of_brackets(bytes(self._bracketed)))
        return pieces

    def _end_of_paste(self) -> list[Piece]:
        if not self._pasted:
            return []
        text = "".join(self._pasted)
        self._pasted.clear()
        return [Piece("paste", text)]

    def _out_of_brackets(self, pasted: bytes) -> Piece:
        self._bracketed = None
        return Piece("paste", pasted.decode("utf-8", "replace").replace("\0", ""))

    def _cut(self, data: bytes) -> Iterator[tuple[Literal["text", "keys", "escape", "paste"], str]]:
        """Text and sequences in turn; what may be the beginning of one is kept for later."""
        self._begun = b""
        at = 0
        while at < len(data):
            if self._bracketed is not None:
                at, piece = self._cut_bracketed(data, at)
                if piece is not None:
                    yield piece
                continue
            escape = data.find(b"\x1b", at)
            end = len(data) if escape < 0 else escape
            if text := self._decoder.decode(data[at:end], final=escape >= 0):
                yield "text", text
            at = end
            if escape < 0:
                return
            if data.startswith(_PASTE_BEGINS, at):
                self._bracketed = bytearray()
                at += len(_PASTE_BEGINS)
            elif match := _REPORT.match(data, at):
                at = match.end()
            elif match := _SEQUENCE.match(data, at):
                at = match.end()
                if self._is_useful(sequence := match[0].decode("ascii")):
                    yield "keys", sequence
            elif _BEGUN_KEY.match(data, at) or _BEGUN_REPLY.match(data, at):
                self._begun = data[at:] if len(data) - at <= _LONGEST_SEQUENCE else b""
                return
            elif data.startswith(b"\x1b\x1b", at):
                at += 1
                yield "escape", ""
            elif match := _BROKEN.match(data, at):
                at = match.end()
            elif match := _WITH_ALT.match(data, at):
                at = match.end()
                yield "keys", match[0].decode("utf-8", "replace")
            else:  # escape before what is no character
                at += 1

    def _cut_bracketed(self, data: bytes, at: int) -> tuple[int, Piece | None]:
        """Up to the closing bracket, which may have begun in what came before."""
        assert self._bracketed is not None
        length = len(self._bracketed)
        self._bracketed += data[at:]
        closing = self._bracketed.find(_PASTE_ENDS, max(0, length - len(_PASTE_ENDS)))
        if closing < 0:
            return len(data), None
        rest = len(self._bracketed) - closing - len(_PASTE_ENDS)
        return len(data) - rest, self._out_of_brackets(bytes(self._bracketed[:closing]))


def _key(begun: bytes) -> Piece:
    return Piece("escape", "") if begun == b"\x1b" else Piece("keys", begun.decode("ascii"))


def _too_much_to_be_typed(text: str) -> bool:
    several = len(set(text)) > 2
    return len(text) > (MOST_TYPED if several else _MOST_HELD)
