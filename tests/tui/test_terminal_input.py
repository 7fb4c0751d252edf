"""What a terminal sends is cut into keys, pasted texts and replies; the last are dropped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual._xterm_parser import XTermParser

from tests.tui.terminal_replies import REPLIES
from tui_lookups.tui.terminal.driver import is_useful
from tui_lookups.tui.terminal.input import (
    BRACKET_SECONDS,
    KEY_SECONDS,
    MOST_TYPED,
    REPLY_SECONDS,
    Piece,
    TerminalInput,
)

SENTENCE = "The quick brown fox jumps over the lazy dog, because it can.\r"

KEYS = {
    b"q": "q",
    "é".encode(): "é",
    "𝔘".encode(): "𝔘",
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[1;5C": "ctrl+right",
    b"\x1b[Z": "shift+tab",
    b"\x1b[5~": "pageup",
    b"\x1b[[A": "f1",
    b"\x1bOQ": "f2",
    b"\x1b[13~": "f3",
    b"\x1b[113u": "q",
    b"\x1b[113;1;113u": "q",
    b"\x1b[122;5u": "ctrl+z",
    b"\x1b[27u": "escape",
    b"\x1b[27;5;109~": "ctrl+m",
    b"\x03": "ctrl+c",
    b"\x7f": "backspace",
}


def cut(*reads: bytes) -> list[Piece]:
    """The pieces of what is read without a pause, and of the pause behind it."""
    waiting = TerminalInput(is_useful)
    pieces = [piece for data in reads for piece in waiting.feed(data)]
    return pieces + waiting.pause(BRACKET_SECONDS)


def typed(*reads: bytes) -> list[str]:
    """The keys Textual makes of the pieces."""
    parser = XTermParser()
    found: list[str] = []
    for kind, text in cut(*reads):
        if kind == "escape":
            found.append("escape")
        messages = parser.feed(text) if kind == "keys" else ()
        found += [message.key for message in messages if isinstance(message, events.Key)]
    return found


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_is_no_key(reply: bytes) -> None:
    assert cut(reply) == []
    assert cut(b"a" + reply + b"b") == [Piece("keys", "a"), Piece("keys", "b")]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_may_come_in_two_parts(reply: bytes) -> None:
    for place in range(1, min(len(reply), 40)):
        if not reply[:place].endswith(b"\x1b"):
            assert cut(reply[:place], reply[place:] + b"b") == [Piece("keys", "b")], place


@pytest.mark.parametrize("reply", [reply for reply in REPLIES.values() if len(reply) > 5])
def test_a_reply_that_is_cut_off_is_forgotten(reply: bytes) -> None:
    waiting = TerminalInput(is_useful)
    assert waiting.feed(reply[:4]) == []
    assert waiting.pause(REPLY_SECONDS) == []
    assert not waiting.waits
    assert waiting.feed(b"b") == [Piece("keys", "b")]


@pytest.mark.parametrize(("sent", "key"), KEYS.items(), ids=KEYS.values())
def test_a_key_is_a_key(sent: bytes, key: str) -> None:
    assert typed(sent) == [key]
    assert typed(*(sent[at : at + 1] for at in range(len(sent)))) == [key], "a byte at a time"


def test_what_begins_like_a_sequence_is_a_key_after_a_pause() -> None:
    waiting = TerminalInput(is_useful)
    assert waiting.feed(b"\x1b") == []
    assert waiting.pause(KEY_SECONDS / 2) == []
    assert waiting.pause(KEY_SECONDS) == [Piece("escape", "")]
    assert typed(b"\x1b\x1b[A") == ["escape", "up"]
    assert cut(b"\x1bx") == [Piece("keys", "\x1bx")]
    assert cut(b"\x1b]") == [Piece("keys", "\x1b]")], "alt and a bracket"
    assert cut(b"\x1b]x") == [Piece("keys", "\x1b]"), Piece("keys", "x")]


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_a_byte_that_is_no_utf_8_is_seen_and_ends_nothing(byte: int) -> None:
    assert typed(bytes([byte]) + b"a")[-1] == "a"
    assert "".join(piece.text for piece in cut(bytes([byte]) + b"a")) == "\ufffda"


def test_a_character_that_is_cut_off_is_seen() -> None:
    assert cut("€".encode()[:2], b"a") == [Piece("keys", "\ufffda")]
    assert cut("€".encode()[:2] + b"\x1b[A") == [Piece("keys", "\ufffd"), Piece("keys", "\x1b[A")]
    assert cut("€".encode()[:2], "€".encode()[2:]) == [Piece("keys", "€")]


def test_more_than_is_typed_is_pasted_with_what_follows() -> None:
    assert cut(SENTENCE.encode()) == [Piece("keys", SENTENCE)], "typed ahead"
    text = SENTENCE * 3
    assert len(text) > MOST_TYPED
    assert cut(text.encode()) == [Piece("paste", text)]
    assert cut(text.encode(), b"q") == [Piece("paste", text + "q")], "the last letter of it is no key"
    waiting = TerminalInput(is_useful)
    assert waiting.feed(text.encode()) == []
    assert waiting.pause(KEY_SECONDS) == [Piece("paste", text)]
    assert waiting.feed(b"q") == [Piece("keys", "q")]
    assert cut(text.encode() + b"\x1b[A") == [Piece("paste", text), Piece("keys", "\x1b[A")]


def test_a_key_that_is_held_down_is_no_paste() -> None:
    assert cut(b"j" * 200) == [Piece("keys", "j" * 200)]
    assert cut(b"\x1b[B" * 200) == [Piece("keys", "\x1b[B")] * 200
    assert cut(b"-" * 2000) == [Piece("paste", "-" * 2000)]


def test_a_paste_in_brackets_is_one_piece_of_any_length() -> None:
    text = "q\x1b[31m" + SENTENCE * 2000
    whole = b"\x1b[200~" + text.encode() + b"\x1b[201~"
    assert cut(whole + b"q") == [Piece("paste", text), Piece("keys", "q")]
    for size in (1, 5, 4095):
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert cut(*parts, b"q") == [Piece("paste", text), Piece("keys", "q")]


def test_a_paste_whose_closing_bracket_is_lost_ends_with_a_pause() -> None:
    waiting = TerminalInput(is_useful)
    assert waiting.feed(b"\x1b[200~abc") == []
    assert waiting.pause(REPLY_SECONDS) == []
    assert waiting.pause(BRACKET_SECONDS) == [Piece("paste", "abc")]
    assert waiting.feed(b"q") == [Piece("keys", "q")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([*REPLIES.values(), *KEYS])), max_size=8))
def test_whatever_comes_textual_makes_keys_of_it(reads: list[bytes]) -> None:
    typed(*reads)
    waiting = TerminalInput(is_useful)
    for data in reads:
        waiting.feed(data)
    waiting.pause(BRACKET_SECONDS)
    assert not waiting.waits
    assert waiting.feed(b"\x1b[A")[-1] == Piece("keys", "\x1b[A"), "the next key is one again"
