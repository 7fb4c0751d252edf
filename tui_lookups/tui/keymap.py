"""Keys of the person's own: a table of action ids and keys, checked against every binding there is.

1. An action is named by the id of its binding ("walk.back", what `?` groups by); keys are written as Textual
   writes them ("escape", "f5", "ctrl+t") or as the character itself ("[", "?").
2. Keys that terminals, tmux or the shell keep for themselves are refused.
3. Two actions clash when both would answer to one key where the focus is and did not by default: within a
   widget, its screen and the app, in that order (`places`). Actions that shadow each other by design may
   go on doing so.

Only a person who sets keys pays for importing every screen.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, key_to_character
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input

import tui_lookups
from tui_lookups.errors import SettingsError
from tui_lookups.tui.terminal.textual_private import bindings_of, character_to_key

Chain: TypeAlias = tuple[type[DOMNode], ...]
AppClass: TypeAlias = type[App[Any]]
_OURS = "tui_lookups."
_PANES = "tui_lookups.tui.panes."

EATEN: Mapping[str, str] = {
    "ctrl+s": "pauses output in many terminals",
    "ctrl+q": "resumes output in many terminals",
    "ctrl+z": "suspends the program",
    "ctrl+c": "interrupts the program",
    "ctrl+backslash": "ends the program",
    "ctrl+i": "is tab",
    "ctrl+m": "is enter",
    "ctrl+j": "is enter",
    "ctrl+h": "is backspace in many terminals",
    "ctrl+left_square_bracket": "is escape",
    "ctrl+v": "quotes the next key",
    "ctrl+a": "is the prefix of screen",
    "ctrl+b": "is the prefix of tmux",
    "ctrl+t": "opens a tab in browser-based terminals",
    "ctrl+w": "closes the tab in browser-based terminals",
    "f1": "is the help of desktop terminals",
    "f10": "is the menu of desktop terminals",
    "f11": "is the full screen of desktop terminals",
}
"""Keys that often do not arrive, and who has them; those with alt do not arrive either (`reason_eaten`)."""

_EDITING = frozenset(["backspace", "delete", "left", "right", "home", "end", "ctrl+left", "ctrl+right"])
_EDITING |= {f"ctrl+{letter}" for letter in "edfkux"}
"""What a line being typed needs for itself, besides every character."""


def reason_eaten(key: str) -> str | None:
    """Why a key often does not arrive; None for one that does."""
    if key.startswith(("alt+", "super+", "hyper+", "meta+")):
        return "is kept by many terminals and window managers"
    if key.startswith("ctrl+shift+"):
        return "is the terminal's own in many terminals"
    return EATEN.get(key)


def checked_keymap(keys: Mapping[str, str], app: AppClass) -> dict[str, str]:
    """The keymap for `set_keymap` of an app of this class.

    Raises SettingsError for an unknown action or key, or a clash.
    """
    if not keys:
        return {}
    named = actions(app)
    keymap: dict[str, str] = {}
    for action, written in keys.items():
        if action not in named:
            raise SettingsError(f"keys: there is no action {action!r}.", _close_to(action, named))
        keymap[action] = ",".join(_key(action, part) for part in _split(written))
        if not keymap[action]:
            raise SettingsError(f"keys: {action} has no key.", "Give it one, or leave the line out.")
    _refuse_typed(keymap, app)
    _refuse_clashes(keymap, app)
    return keymap


@cache
def actions(app: AppClass) -> dict[str, str]:
    """Every action id and what it does, in the order of `places`."""
    sentences: dict[str, str] = {}
    for chain in places(app):
        for node in chain:
            for binding in _own(node):
                if binding.id:
                    sentences.setdefault(binding.id, binding.tooltip or binding.description)
    return sentences


def binding_of(action: str, app: AppClass) -> Binding:
    """The first binding of an action, as it is by default. Raises KeyError."""
    for chain in places(app):
        for node in chain:
            for binding in _own(node):
                if binding.id == action:
                    return binding
    raise KeyError(action)


@cache
def places(app: AppClass) -> tuple[Chain, ...]:
    """Where the focus can be: a widget, its screen and, unless it is a dialog, the app.

    A screen's widgets are those its module knows of, and those of its panes. Imports every screen.
    """
    from tui_lookups.tui import screens

    chains: list[Chain] = []
    for found in pkgutil.iter_modules(screens.__path__):
        module = importlib.import_module(f"{screens.__name__}.{found.name}")
        for screen in _classes(module):
            if issubclass(screen, Screen) and screen.__module__ == module.__name__:
                above: Chain = (screen,) if issubclass(screen, ModalScreen) else (screen, app)
                chains += [(widget, *above) for widget in _focusable(screen)] or [above]
    return tuple(chains)


def _classes(module: ModuleType) -> list[type]:
    return [kind for kind in vars(module).values() if isinstance(kind, type)]


def _focusable(screen: type[DOMNode]) -> list[type[Widget]]:
    """The widgets of this package that a screen's module, or that of one of its panes, knows of."""
    names = [part.__module__ for part in screen.__mro__ if part.__module__.startswith(_OURS)]
    modules: list[ModuleType] = []
    for name in names:  # of a pane's module those of its own panes, too
        modules.append(importlib.import_module(f"{tui_lookups.__name__}.{name.removeprefix(_OURS)}"))
        for kind in _classes(modules[-1]):
            if kind.__module__.startswith(_PANES):
                further = (kind.__module__, *getattr(kind, "LATER", ()))
                names += [name for name in further if name not in names]
    kinds = dict.fromkeys(kind for module in modules for kind in _classes(module))
    return [
        kind
        for kind in kinds
        if issubclass(kind, Widget) and not issubclass(kind, Screen)
        if kind.__module__.startswith(_OURS) and kind.can_focus
    ]


# --- one key ---


def _split(written: str) -> list[str]:
    if written.strip() == ",":
        return [","]
    return [part.strip() for part in written.split(",") if part.strip()]


@cache
def _key_names() -> frozenset[str]:
    characters = (chr(code) for code in range(33, 127))
    return frozenset(key.value for key in Keys) | {character_to_key(c) for c in characters}


def _key(action: str, written: str) -> str:
    """A key by Textual's name. Raises SettingsError for what is none, and for one that does not arrive."""
    key = character_to_key(written) if len(written) == 1 else written.lower()
    reason = reason_eaten(key)
    if reason is not None:
        raise SettingsError(
            f"keys: {action} cannot be on {key}, which {reason}.",
            "Choose a key that every terminal passes on.",
        )
    if key not in _key_names():
        raise SettingsError(
            f"keys: {action} cannot be on {written!r}, which is not a valid key.",
            "Write a character, ctrl+ and a letter, or a name like f5, space, escape or pagedown.",
        )
    return key


# --- clashes ---


def _own(node: type[DOMNode]) -> list[Binding]:
    """The bindings of a class and of what it is derived from."""
    return [binding for bindings in bindings_of(node).values() for binding in bindings]


def _answers(chain: Chain, keymap: Mapping[str, str]) -> dict[str, list[str]]:
    """The actions that stand on each key where the focus is, nearest first."""
    answers: dict[str, list[str]] = {}
    for node in chain:
        for key, bindings in bindings_of(node).items():
            for binding in bindings:
                if binding.id:
                    keys = keymap[binding.id].split(",") if binding.id in keymap else [key]
                    for wanted in keys:
                        held = answers.setdefault(wanted, [])
                        if binding.id not in held:
                            held.append(binding.id)
    return answers


def _refuse_clashes(keymap: Mapping[str, str], app: AppClass) -> None:
    for chain in places(app):
        before = _answers(chain, {})
        for key, held in _answers(chain, keymap).items():
            mine = [action for action in held if action in keymap]
            for action in mine:
                for other in held:
                    if other != action and not _shared(before, action, other):
                        raise SettingsError(
                            f"keys: {action} and {other} would both be on {key}.",
                            f"Choose another key for {action}, or give {other} one too.",
                        )


def _shared(answers: Mapping[str, list[str]], one: str, other: str) -> bool:
    return any(one in held and other in held for held in answers.values())


def _refuse_typed(keymap: Mapping[str, str], app: AppClass) -> None:
    """A line being typed takes characters: an action of its own must not."""
    inputs = [chain[0] for chain in places(app) if issubclass(chain[0], Input)]
    theirs = {b.id for node in inputs for b in _own(node) if b.id}
    for action, keys in keymap.items():
        for key in keys.split(","):
            if action in theirs and (key in _EDITING or key_to_character(key) is not None):
                raise SettingsError(
                    f"keys: {action} cannot be on {key}, which is typed there.",
                    "Choose a key like f5 or ctrl+o.",
                )


def _close_to(action: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(action, known, n=3)
    if not close:
        close = [name for name in known if name.partition(".")[2] == action.rpartition(".")[2]]
    return f"Did you mean {' or '.join(close)}?" if close else f"Actions are {', '.join(known)}."
