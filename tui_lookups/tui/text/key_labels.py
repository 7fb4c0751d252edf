"""The key an action is on, as it is shown: texts ask here, for a person may have set other keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from tui_lookups.tui.terminal.textual_private import bindings_of, own_key

if TYPE_CHECKING:
    from textual.app import App
    from textual.binding import Binding
    from textual.dom import DOMNode

KeyOf: TypeAlias = Callable[[str], str]
"""From the id of an action to its key, as it is shown."""


class _App(Protocol):
    def binding_of(self, action: str) -> Binding: ...


def key_of(app: App[None], action: str) -> str:
    """The first key of an action. Raises KeyError for one that does not exist."""
    binding = _open_binding(app, action)
    if binding is None:  # of something that is not open, or no longer
        binding = cast("_App", app).binding_of(action)
    own = own_key(app, action)
    if own is not None:
        binding = binding.with_key(key=own.partition(",")[0], key_display=None)
    return app.get_key_display(binding)


def _open_binding(app: App[None], action: str) -> Binding | None:
    """As the app, a screen that is open or a widget on one has it."""
    for node in _nodes(app):
        for bindings in bindings_of(node).values():
            for binding in bindings:
                if binding.id == action:
                    return binding
    return None


def _nodes(app: App[None]) -> Iterator[DOMNode]:
    """Screens first, whose keys most texts name; a widget's own come from its class."""
    yield app
    yield from app.screen_stack
    for screen in reversed(app.screen_stack):
        yield from screen.walk_children()
