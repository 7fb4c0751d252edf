"""The bottom line: the keys of the focused pane, made from its bindings; or a short message. A click on a key
does what the key does.

The last keys stay beside a message that leaves room for them: the way to all others is always on screen."""

from __future__ import annotations

from functools import cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import ActiveBinding, Binding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.visible import visible

_MESSAGE_SECONDS = 6.0
_LAST = ("app.help", "app.palette")  # always on the line, at its end


class Hints(Widget):
    """Keys that fit, most specific first; `?` and the palette always."""

    DEFAULT_CSS = "Hints { height: 1; width: 1fr; background: $panel; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._actions: dict[tuple[str, str], ActiveBinding] = {}
        self._spots: list[tuple[int, int, tuple[str, str]]] = []  # cells of the keys that are on the line
        self._keys: tuple[tuple[str, str], ...] = ()
        self._tail: tuple[tuple[str, str], ...] = ()
        self._message = ""
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self._bindings_changed(self.screen)

    def show_message(self, text: str) -> None:
        """Show a message in place of the keys for a few seconds. The text is taken as it is."""
        self._message = visible(text)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_MESSAGE_SECONDS, self.hush)
        self.refresh()

    @property
    def text(self) -> str:
        """What the line says."""
        return self._message or "  ".join(f"{key} {what}" for key, what in (*self._keys, *self._tail))

    def hush(self) -> None:
        """The keys again: what the message was about is over."""
        if self._message:
            self._message = ""
            self.refresh()

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if not self.is_mounted or screen is not self.screen:
            return
        shown = [active for active in unique(screen.active_bindings) if active.binding.show]
        if isinstance(screen.focused, Input):  # what is typed there is text, not a key of the walk
            shown = [a for a in shown if a.node is screen.focused or a.binding.id == "app.palette"]
        self._actions = {self._hint(active): active for active in shown}
        keys = [self._hint(active) for active in shown if active.binding.id not in _LAST]
        tail = [self._hint(active) for active in shown if active.binding.id in _LAST]
        if (tuple(keys), tuple(tail)) != (self._keys, self._tail):
            self._keys, self._tail = tuple(keys), tuple(tail)
            self.refresh()

    def _hint(self, active: ActiveBinding) -> tuple[str, str]:
        return self.app.get_key_display(active.binding), active.binding.description

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        tail = " ".join(f" {key} {what}" for key, what in self._tail)
        room = width - len(tail) - 1
        segments: list[Segment] = []
        self._spots = []
        if self._message:
            message = " " + self._message
            if cell_len(message) > room:  # all of it before the keys
                return Strip([Segment(fit(message, width), Style(bold=True))], width).apply_style(
                    self.rich_style
                )
            segments, room = [Segment(message, Style(bold=True))], room - cell_len(message)
        for key, what in () if self._message else self._keys:
            size = len(key) + len(what) + 3
            if size > room:
                break
            room -= size
            self._put(segments, key, what)
        segments.append(Segment(" " * max(0, room)))
        for key, what in self._tail:
            self._put(segments, key, what)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _put(self, segments: list[Segment], key: str, what: str) -> None:
        start = sum(segment.cell_length for segment in segments)
        segments += [Segment(f" {key}", Style(bold=True)), Segment(f" {what} ")]
        self._spots.append((start, start + cell_len(key) + cell_len(what) + 3, (key, what)))

    async def on_click(self, event: events.Click) -> None:
        """What the key under the pointer does."""
        for start, end, hint in self._spots:
            if start <= event.x < end and hint in self._actions:
                active = self._actions[hint]
                await self.app.run_action(active.binding.action, active.node)
                return


def unique(bindings: dict[str, ActiveBinding]) -> list[ActiveBinding]:
    """One entry a binding id: the focused widget's first, each widget's as its class declares them."""
    by_action: dict[str, ActiveBinding] = {}
    for active in bindings.values():
        by_action.setdefault(active.binding.id or str(active.binding), active)
    chain = list(dict.fromkeys(active.node for active in by_action.values()))

    def place(active: ActiveBinding) -> tuple[int, tuple[int, int]]:
        declared = _declared(type(active.node), active.binding.id)
        return chain.index(active.node), declared

    return sorted(by_action.values(), key=place)


@cache
def _declared(kind: type[DOMNode], binding_id: str | None) -> tuple[int, int]:
    """Where a binding stands: how far up the class's ancestry, and its place in that list."""
    for depth, owner in enumerate(kind.__mro__):
        for number, binding in enumerate(owner.__dict__.get("BINDINGS", ())):
            if isinstance(binding, Binding) and binding.id == binding_id:
                return depth, number
    return len(kind.__mro__), 0
