"""The page of habits names keys that exist."""

from __future__ import annotations

import re
from pathlib import Path

import tui_lookups
from tests.tui.bound_keys import default_keys
from tui_lookups.tui.running import SignalledApp
from tui_lookups.tui.terminal.textual_private import bindings_of, character_to_key

PAGE = Path(tui_lookups.__file__).parent / "docs" / "habits.md"


def test_every_key_on_the_page_of_habits_is_bound() -> None:
    rows = [
        line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    assert len(rows) > 30
    assert all(len(row) == 3 for row in rows)
    named = {key for row in rows[2:] for key in re.findall(r"`([^`]+)`", row[2])}
    bound = {part for _, key in default_keys() for part in key.split(",")}
    bound |= set(bindings_of(SignalledApp))  # it has the keys of a shell
    keys = {character_to_key(key) if len(key) == 1 else key for key in named}
    assert len(keys) > 25
    assert keys - bound == set()
