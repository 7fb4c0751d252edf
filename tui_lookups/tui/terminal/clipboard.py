"""Copying over SSH: through tmux where the app is in one, else by the OSC 52 sequence.

1. tmux as it is set up by default passes no sequence of a program on (allow-passthrough is off, and OSC 52 of
   a program is ignored). `tmux load-buffer -w -` puts the text in tmux's own buffer, and has tmux itself send
   it to the clipboard of the terminal around it; tmux before 3.2 has no -w.
2. Outside of tmux, or where tmux takes nothing, OSC 52 goes to the terminal, which does not answer: what was
   done is said, not what came of it.
"""

from __future__ import annotations

import asyncio
import base64

from tui_lookups.errors import LookupsError

MAX_BASE64 = 74_994
"""Terminals drop OSC 52 sequences above about 100,000 bytes (xterm's limit; 74,994 is hterm's)."""
_TMUX_SECONDS = 3.0


async def load_tmux_buffer(text: str) -> str:
    """Put `text` in tmux's buffer; returns where it went, in words, or nothing where tmux did not take it."""
    if await _tmux_takes(text, "-w"):
        return "to tmux, and to the clipboard if tmux passes them on"
    return "to tmux's buffer" if await _tmux_takes(text) else ""


async def _tmux_takes(text: str, *flags: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            *flags,
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:  # TMUX is set, but there is no tmux here: OSC 52 is what is left
        return False
    try:
        await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), _TMUX_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    return process.returncode == 0


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
