"""Copying over SSH: the OSC 52 sequence, wrapped where tmux would swallow it."""

from __future__ import annotations

import base64

from tui_lookups.errors import LookupsError

MAX_BASE64 = 74_994
"""Terminals drop OSC 52 sequences above about 100,000 bytes (xterm's limit; 74,994 is hterm's)."""


def osc52(text: str, *, tmux: bool) -> str:
    """The bytes that put `text` on the clipboard of the person's own terminal.

    Raises LookupsError when the text is larger than terminals take.
    """
    payload = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    if len(payload) > MAX_BASE64:
        raise LookupsError(
            f"The text is too long to copy through a terminal ({len(text):,} characters).",
            "Mark it and export what is marked.",
        )
    sequence = f"\x1b]52;c;{payload}\x07"
    # tmux passes on what stands between ESC P tmux; and ESC \, with every ESC inside doubled
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\" if tmux else sequence
