"""The terminal as the app takes, loses, takes again and gives back; all that is private to Textual about it.

Textual's driver for terminals stops, with a traceback and status 0, at a byte that is no UTF-8; types replies
that it does not know; makes a key, and a repaint, of each of 100,000 pasted letters; and when the process is
stopped (SIGSTOP) and continued, saves the raw terminal as the one to restore. None of that can be set, so:

1. Input is read here and cut by `TerminalInput`. Textual's parser gets keys and the mouse alone.
2. The terminal's attributes are those from before the first start, whatever was in between.
3. When the process continues, the terminal is given back if it was not - this ends every mode that was left
   on - and then taken anew. `App.app_resume_signal` has the app paint everything. A process that is
   continued in the background stops again instead: the terminal is the shell's.
4. Signals do their work on the event loop: a handler may interrupt what writes to the terminal.
"""

from __future__ import annotations

import os
import re
import select
import signal
from typing import TYPE_CHECKING, Any

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual._xterm_parser import FOCUSIN, FOCUSOUT, XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tui_lookups.tui.terminal.input import TerminalInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui_lookups.tui.terminal.input import Piece

_LOOK_SECONDS = 0.05
_READ_BYTES, _MOST_BYTES = 65_536, 1_048_576
_LONGEST = 64
_KEY = re.compile(r"\x1b\[(\d+)(?:;(\d{0,3}))?(?:;([\d:]*))?([u~ABCDEFHPQS])")
"""A key by the kitty protocol, or with modifiers by xterm's."""
_MOUSE = re.compile(r"\x1b\[<\d+;-?\d+;-?\d+[Mm]")
_MODE = re.compile(r"\x1b\[\?(?:2026|2048);\d\$y")
"""Whether the terminal has a mode that Textual asks for: synchronized output, sizes among the input."""
_PLACE = re.compile(r"\x1b\[\d+;\d+R")
"""The cursor's place; shift+f3 in some terminals, which nothing is bound to."""
_SIZE = re.compile(r"\x1b\[48(?:;[1-9]\d*(?::\d*)*){4}t")


class TerminalDriver(LinuxDriver):
    """See the module."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._attributes_at_first: list[Any] | None = None
        self._given_back = False

    # --- input ---

    def run_input_thread(self) -> None:
        """Read until the driver is told to stop; Textual runs this on a thread of its own."""
        parser, waiting = XTermParser(self._debug), TerminalInput(self._is_useful)
        quiet = 0.0
        while not self.exit_event.is_set():
            if self._readable(_LOOK_SECONDS):
                quiet = 0.0
                self._hand_on(parser, waiting.feed(self._read()))
            else:
                quiet += _LOOK_SECONDS
                if waiting.waits:
                    self._hand_on(parser, waiting.pause(quiet))
            self._send(parser.tick())

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self.fileno], [], [], seconds)[0])

    def _read(self) -> bytes:
        """All there is. At the end of a terminal that is gone, which stays readable, after a pause."""
        data = b""
        while len(data) < _MOST_BYTES and (more := os.read(self.fileno, _READ_BYTES)):
            data += more
            if not self._readable(0):
                return data
        if not data:
            self.exit_event.wait(_LOOK_SECONDS)
        return data

    def _hand_on(self, parser: XTermParser, pieces: Iterable[Piece]) -> None:
        for kind, text in pieces:
            if kind == "keys":
                self._send(parser.feed(text))
            elif kind == "escape":
                self.process_message(events.Key("escape", "\x1b"))
            else:
                self.process_message(events.Paste(text))

    def _send(self, messages: Iterable[Any]) -> None:
        for message in messages:
            self.process_message(message)

    def _is_useful(self, sequence: str) -> bool:
        if _SIZE.fullmatch(sequence):
            return self._in_band_window_resize
        return is_useful(sequence)

    # --- taking and giving back ---

    def start_application_mode(self) -> None:
        """Take the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._attributes_at_first is None:
            self._attributes_at_first = self.attrs_before
        self.attrs_before = self._attributes_at_first

    def _disable_mouse_support(self) -> None:
        super()._disable_mouse_support()
        if self._mouse_pixels:
            self.write("\x1b[?1016l")
            self.flush()

    def _sigtstp_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._give_back_and_stop)

    def _sigcont_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._take_again)

    def _give_back_and_stop(self) -> None:
        if not self._given_back:
            self.suspend_application_mode()
            self._given_back = True
        _stop()

    def _take_again(self) -> None:
        if not self._auto_restart:
            return
        if not self._in_foreground():
            _stop()
            return
        if not self._given_back:
            self.suspend_application_mode()
        self._given_back = False
        self._must_signal_resume = True
        self.resume_application_mode()

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self.fileno) == os.getpgrp()
        except OSError:  # a terminal that controls no session has no background either
            return True


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def is_useful(sequence: str) -> bool:
    """Whether a complete escape sequence is a key, the mouse, the focus, or an answer Textual asked for."""
    if len(sequence) > _LONGEST or _PLACE.fullmatch(sequence):
        return False
    if sequence in (FOCUSIN, FOCUSOUT) or sequence in ANSI_SEQUENCES_KEYS:
        return True
    if key := _KEY.fullmatch(sequence):
        code, _, texts, end = key.groups()
        other = code == "27" and end == "~" and texts  # xterm's modifyOtherKeys
        if end != "u" and not other and f"{code}{end}" not in FUNCTIONAL_KEYS:
            return False  # some report that looks like a key
        return all(_is_character(part) for part in (code, *(texts or "").split(":")) if part)
    return bool(_MOUSE.fullmatch(sequence) or _MODE.fullmatch(sequence))


def _is_character(code: str) -> bool:
    number = int(code)
    return number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
