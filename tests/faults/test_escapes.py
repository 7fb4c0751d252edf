"""Terminal escapes in data, on a real terminal (a pseudo-terminal): none of them arrives as one.

Data is corpus text, tokens, names of models and files, what the hub and an endpoint say, error messages.
What may arrive are the colours and moves that the tables themselves write.
"""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tally import Row, tried
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.errors import LookupsError
from tui_lookups.results import CacheInfo, Status

PAYLOADS = {
    "colour": "\x1b[31;5m", "title": "\x1b]0;pwned\x07", "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "keys": "\x1b[5n\x1b[c", "c1": "\x9b31m", "c1 string": "\x9d0;pwned\x9c", "del": "\x7f\x7f",
    "bell": "\x07",
    "return": "\rError: all is well", "backspace": "x\b\b", "bidi": "\u202egpj.exe", "half": "\udc9b31m",
    "line": "a\u2028b", "link": "\x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\",
}  # fmt: skip
OURS = re.compile(rb"\x1b\[(?!31;5)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r\n|\r\x1b\[2K|\n|\r$")
"""Colours, the cursor shown and hidden, a progress line redrawn, line ends."""


def foreign(output: bytes) -> list[bytes]:
    """Control bytes and sequences in what a terminal got that no table of ours writes."""
    text = OURS.sub(b"", output)
    decoded = text.decode("utf-8", "surrogateescape")
    return [c.encode("utf-8", "surrogateescape") for c in decoded if c in BAD]


BAD = {
    chr(c)
    for c in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x2028,
        0x2029,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}
BAD |= {chr(0xDC00 + byte) for byte in range(0x80, 0x100)}


@contextmanager
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """sys.stdout and sys.stderr are a pseudo-terminal; yields a function that gives what it got."""
    ours, theirs = pty.openpty()
    got: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                got.append(data)
        except OSError:  # the other side is closed
            return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    terminal = os.fdopen(theirs, "w", encoding="utf-8", errors="backslashreplace")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        patch.setenv("TERM", "xterm-256color")

        def output() -> bytes:
            terminal.flush()
            terminal.close()
            reader.join(5)
            os.close(ours)
            return b"".join(got)

        yield output


class Hostile:
    """An Explorer whose every answer or error holds a payload."""

    def __init__(self, payload: str, *, fails: bool) -> None:
        self.payload, self.fails = payload, fails
        self.problems = (payload,)

    def status(self) -> Status:
        return Status("loading", f"tokenising {self.payload}", "cpu", "float32", None, None, None)

    def cache_info(self) -> CacheInfo:
        return CacheInfo(self.payload, 0, 0, {self.payload: 1}, 0, (self.payload,))

    def neurons(self, *_: object, **__: object) -> object:
        if self.fails:
            raise LookupsError(f"There is no {self.payload}.", f"Try {self.payload}.")
        raise RuntimeError(self.payload)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("name", list(PAYLOADS))
def test_no_escape_of_data_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    payload = PAYLOADS[name]
    asked: list[tuple[list[str], bool]] = [
        (["cache", "info"], False), (["cache", "info", "--json"], False), (["neurons", "x"], True),
        (["neurons", "x", "--debug"], True), (["neurons", "x"], False), (["neurons", "x", "--debug"], False),
        ([payload], False), ([f"--{payload}"], False), (["neurons", "x", "--dtype", payload], False),
        (["neurons", "x", "--top", payload], False), (["neurons", "x", "--layers", payload], False),
        (["neurons", "x", "--log", f"{tmp_path}/no/{payload}"], False), (["tokens", payload], False),
        (["config", "show", "--model", payload], False),
        (["export", "x", "-o", f"/nowhere/{payload}/x"], False),
    ]  # fmt: skip
    with on_a_terminal(monkeypatch) as output:
        for arguments, fails in asked:
            hostile: Callable[[object], Any] = lambda settings, fails=fails: Hostile(payload, fails=fails)  # noqa: E731
            monkeypatch.setattr(invocation, "open_explorer", hostile)
            with tried(Row.ESCAPES):
                assert invocation.run(cli.app, arguments) in (0, 1, 2), arguments
        seen = output()
    assert foreign(seen) == [], seen


def test_the_check_can_fail() -> None:
    for payload in PAYLOADS.values():
        assert foreign(f"Error: {payload}\r\n".encode("utf-8", "surrogateescape")), payload
    assert foreign(b"\x1b[1mtable\x1b[0m\r\n") == []


def test_json_reads_back_as_it_was(monkeypatch: pytest.MonkeyPatch, capfdbinary) -> None:
    """Escaped, not lost."""
    import json

    whole = "".join(chr(c) for c in (*range(0x300), 0x2028, 0x202E, 0x2066, 0x1F600))
    monkeypatch.setattr(invocation, "open_explorer", lambda settings: Hostile(whole, fails=False))
    assert invocation.run(cli.app, ["cache", "info", "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["path"] == whole
