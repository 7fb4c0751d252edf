"""OSC 52, bare and through tmux."""

from __future__ import annotations

import base64

import pytest

from tui_lookups.errors import LookupsError
from tui_lookups.tui.clipboard import MAX_BASE64, osc52


def test_bare_sequence() -> None:
    assert osc52("L5.N371", tmux=False) == f"\x1b]52;c;{base64.b64encode(b'L5.N371').decode()}\x07"


def test_tmux_gets_it_wrapped_with_every_escape_doubled() -> None:
    inner = osc52("é", tmux=False)
    wrapped = osc52("é", tmux=True)
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]52;")
    assert wrapped.endswith("\x1b\\")
    assert wrapped.removeprefix("\x1bPtmux;").removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b") == inner


def test_text_that_would_leave_the_sequence_cannot() -> None:
    payload = osc52("\x07\x1b\\;rm", tmux=False)[len("\x1b]52;c;") : -1]
    assert payload.isascii()
    assert not set(payload) & {"\x07", "\x1b", ";"}


def test_too_long_is_refused() -> None:
    assert osc52("x" * (MAX_BASE64 * 3 // 4 - 2), tmux=False)
    with pytest.raises(LookupsError, match="too long"):
        osc52("x" * MAX_BASE64, tmux=False)


def test_lone_surrogates_do_not_break_it() -> None:
    assert osc52("\ud800", tmux=False)
