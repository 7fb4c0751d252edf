"""The command palette: every action that has a key where one stands, other models, the themes.

1. Nearest first, as on the bottom line; what only moves a cursor after that, and last what would do nothing
   here, with the reason.
2. What is typed is looked for in the sentences, the descriptions, the names and the keys (action_search); an
   action of just that name comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from rich.style import Style
from rich.text import Text
from textual.command import Hit, Provider
from textual.markup import escape

from tui_lookups.tui.paint import themes
from tui_lookups.tui.screens.walk import WalkScreen
from tui_lookups.tui.text.action_search import match_action
from tui_lookups.tui.text.sentences import MOVES, sentence_of, why_not
from tui_lookups.tui.widgets.hints import unique

if TYPE_CHECKING:
    from textual.command import Hits
    from textual.screen import Screen

    from tui_lookups.tui.base_app import BaseApp

_FOUND = Style(bold=True, underline=True)


class _Opens(Protocol):
    def open_another(self) -> None: ...


class Entry:
    """One row: what is done, by which key, and why it would do nothing here (`not_now`)."""

    def __init__(
        self,
        sentence: str,
        about: str,
        run: Callable[[], object],
        *,
        key: str = "",
        name: str = "",
        more: str = "",
        not_now: str = "",
    ) -> None:
        """`about`: a description; `name`: its short one; `more`: a further name under which it is found."""
        self.sentence = sentence
        self.key = key
        self.title = f"{sentence} ({key})" if key else sentence
        self.about = f"Not now: {not_now}." if not_now else about
        self.run = run
        self.not_now = not_now
        self.name = name
        self.searched = f"{about} {name} {more}"

    def hit(self, score: float, found: tuple[int, ...] = ()) -> Hit:
        """As the palette lists it, with what was found of the sentence underlined."""
        text = Text(self.title)
        for at in found:
            text.stylize(_FOUND, at, at + 1)
        about = "" if self.about == self.sentence else self.about
        return Hit(score, text, self.run, text=self.title, help=escape(about) or None)


def entries(app: BaseApp, screen: Screen[object]) -> list[Entry]:
    """What can be done on `screen`, in the order in which it is listed."""
    listed = [*_actions(app, screen)]
    if app.opening is not None:
        open_another = cast("_Opens", app).open_another
        listed.append(Entry("Open another model", "Or another corpus; this one is closed", open_another))
    for name in themes.CYCLE:
        listed.append(
            Entry(f"Use the theme {name}", "Change the colours", partial(setattr, app, "theme", name))
        )
    return sorted(listed, key=lambda entry: bool(entry.not_now))


def _actions(app: BaseApp, screen: Screen[object]) -> Iterator[Entry]:
    listed = [a for a in unique(screen.active_bindings) if a.binding.id and a.binding.tooltip]
    for active in sorted(listed, key=lambda active: active.binding.id in MOVES):
        binding, node = active.binding, active.node
        action = binding.id or ""
        if action == "app.palette":
            continue

        async def run(action: str = binding.action, node: object = node) -> None:
            await app.run_action(action, node)  # type: ignore[arg-type]

        not_now = ""
        if isinstance(screen, WalkScreen):
            history = screen.places.history
            not_now = why_not(
                action,
                screen.walk,
                marked=len(app.selection),
                before=history.before is not None,
                after=history.after is not None,
            )
        yield Entry(
            sentence_of(binding),
            binding.tooltip,
            run,
            key=app.get_key_display(binding),
            name=binding.description,
            more=action,
            not_now=not_now,
        )


class Actions(Provider):
    """Lists and finds them for Textual's palette."""

    def _entries(self) -> list[Entry]:
        return entries(cast("BaseApp", self.app), self.screen)

    async def discover(self) -> Hits:
        for number, entry in enumerate(self._entries()):
            yield entry.hit(-number)  # the palette sorts by score

    async def search(self, query: str) -> Hits:
        for number, entry in enumerate(self._entries()):
            match = match_action(query, entry.sentence, entry.searched, (entry.key, entry.name))
            if match.score:
                yield entry.hit(match.score - number / 1000, match.at)
