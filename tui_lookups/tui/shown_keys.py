"""The key an action is on, as it is shown: texts ask here, for a person may have set other keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from textual.app import App
    from textual.dom import DOMNode

KeyOf: TypeAlias = Callable[[str], str]
"""From the id of an action to its key, as it is shown."""


def key_of(app: App[None], action: str) -> str:
    """The first key of an action of the app, of a screen that is open or of a widget on one.

    Raises KeyError where nothing that is open has the action.
    """
    for node in _nodes(app):
        for bindings in node._bindings.key_to_bindings.values():
            for binding in bindings:
                if binding.id == action:
                    own = app._keymap.get(action)
                    if own is not None:
                        binding = binding.with_key(key=own.partition(",")[0], key_display=None)
                    return app.get_key_display(binding)
    raise KeyError(action)


def _nodes(app: App[None]) -> Iterator[DOMNode]:
    """Screens first, whose keys most texts name; a widget's own come from its class."""
    yield app
    yield from app.screen_stack
    for screen in reversed(app.screen_stack):
        yield from screen.walk_children()
