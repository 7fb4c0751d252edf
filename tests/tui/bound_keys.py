"""Every key the app binds anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from tui_lookups.tui import keymap
from tui_lookups.tui.app import LookupsApp


def default_keys() -> Iterator[tuple[str, str]]:
    """(action id, key) of every binding there is."""
    for node in dict.fromkeys(node for chain in keymap.places(LookupsApp) for node in chain):
        for binding in keymap._own(node):
            if binding.id:
                yield binding.id, binding.key
