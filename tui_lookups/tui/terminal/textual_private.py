"""All that the app takes from Textual's private side: each name with its reason, and what it does without.

A release of Textual may take any of it away. `PRIVATE` says what each is for, and a test names those that
are gone; the functions here then do what plain Textual does: the app is slower, or less well-behaved, and
goes on. What overrides a private method is not called any more then, which comes to the same. The driver is
a class of its own (driver.py): without what it needs the app runs on Textual's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual.app import App
from textual.binding import Binding, BindingsMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
    from textual.dom import DOMNode
    from textual.screen import Screen

    Update = ChopsUpdate | LayoutUpdate
else:
    try:
        from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
    except ImportError:
        CompositorUpdate, LayoutUpdate, ChopsUpdate = object, None, None
try:
    from textual._styles_cache import StylesCache
except ImportError:
    StylesCache = None  # type: ignore[assignment, misc]
try:
    from textual.keys import _character_to_key as character_to_key
except ImportError:

    def character_to_key(character: str) -> str:
        """The character itself, which is the key's name for letters and digits."""
        return character


__all__ = ["PRIVATE", "ChopsUpdate", "CompositorUpdate", "LayoutUpdate", "character_to_key"]


class Name(NamedTuple):
    """A private name of Textual's: where it is, as `module:object`, and why it is taken."""

    owner: str
    name: str
    reason: str


_APP, _SCREEN, _NODE = "textual.app:App", "textual.screen:Screen", "textual.dom:DOMNode"
_DRIVER = "textual.drivers.linux_driver:LinuxDriver"
PRIVATE = (
    Name("textual._compositor", "ChopsUpdate", "what a part of the screen becomes, cut to what is new"),
    Name("textual._compositor", "LayoutUpdate", "what the screen becomes, cut to what is new"),
    Name("textual._compositor", "CompositorUpdate", "what such a cut update has to be for Textual"),
    Name("textual._styles_cache", "StylesCache", "holds the lines of closed widgets, which are let go"),
    Name(_APP, "_display", "where updates are written: what the terminal shows already is not sent"),
    Name(_APP, "_refresh_truecolor_filter", "the first theme without its watcher, which parses styles twice"),
    Name(_APP, "_resize_event", "a size that waits for a timer, which a busy machine drops"),
    Name(_APP, "_check_resize", "takes that size over"),
    Name(_APP, "_driver", "what is written beside the screen: the cursor, the clipboard through tmux"),
    Name(_APP, "_clipboard", "what was copied, for lines that are typed on, where tmux has the clipboard"),
    Name(_APP, "_keymap", "keys of the person's own, to be named in texts"),
    Name(_NODE, "_bindings", "the keys of what is open, to be named in texts"),
    Name(_NODE, "_merged_bindings", "the keys of every class, to check those of the person's own"),
    Name(_NODE, "_parent", "the way a key goes from a widget to the app"),
    Name("textual.keys", "_character_to_key", "the name of a key that was given as its character"),
    Name(_SCREEN, "_push_result_callback", "a first screen has none, and changing it takes one off"),
    Name(_SCREEN, "_on_screen_resume", "what was just mounted is not styled again"),
    Name("textual.widgets:Input", "_on_paste", "all lines of a pasted text, not the first alone"),
    Name("textual.command:CommandPalette", "_action_command_list", "a page in a list not laid out yet"),
    Name("textual._ansi_sequences", "ANSI_SEQUENCES_KEYS", "which sequences of a terminal are keys"),
    Name("textual._keyboard_protocol", "FUNCTIONAL_KEYS", "which of the kitty protocol's are"),
    Name("textual._xterm_parser", "XTermParser", "from sequences to keys and the mouse"),
    Name("textual._xterm_parser", "FOCUSIN", "the terminal has the focus"),
    Name("textual._xterm_parser", "FOCUSOUT", "it has it no more"),
    *(
        Name(_DRIVER, name, "the driver reads, stops and goes on without leaving the terminal raw")
        for name in (
            "_auto_restart",
            "_debug",
            "_disable_mouse_support",
            "_in_band_window_resize",
            "_loop",
            "_mouse_pixels",
            "_must_signal_resume",
            "_sigcont_application",
            "_sigtstp_application",
        )
    ),
)


def has(owner: type, name: str) -> bool:
    """Whether a class has a name, or its instances have it from the start."""
    inits = (base.__dict__.get("__init__") for base in owner.__mro__)
    return hasattr(owner, name) or any(
        name in code.co_names for init in inits if (code := getattr(init, "__code__", None)) is not None
    )


def driver_is_as_known(driver: type) -> bool:
    """Whether Textual's driver has all that ours builds on."""
    return all(has(driver, taken.name) for taken in PRIVATE if taken.owner == _DRIVER)


def is_update(renderable: object) -> bool:
    """Whether what is to be displayed is made of runs of cells, which can be cut to what is new."""
    return LayoutUpdate is not None and isinstance(renderable, (LayoutUpdate, ChopsUpdate))


def begin_theme(app: App[Any], theme: str) -> None:
    """The first theme, before anything is parsed: its watcher would have every style parsed a second time."""
    if not has(App, "_refresh_truecolor_filter"):
        app.theme = theme
        return
    app.set_reactive(App.theme, theme)
    current = app.current_theme
    app.set_class(True, f"-theme-{current.name}")
    app.set_class(current.dark, "-dark-mode")
    app.set_class(not current.dark, "-light-mode")
    app.stylesheet.set_variables(app.get_css_variables())
    app._refresh_truecolor_filter(app.ansi_theme)


def settle_size(app: App[Any]) -> None:
    """Take over a new size that is still waiting to be.

    Textual waits with it for a timer of 8 ms, and drops a timer whose task starts later than it is due: on a
    busy machine the app would stay as large as it was, whatever the terminal is by then.
    """
    if getattr(app, "_resize_event", None) is not None and has(App, "_check_resize"):
        app._check_resize()


def let_go_of_closed() -> None:
    """Let the widgets of a closed screen go.

    Textual remembers two colours by the painted lines of the widget that they are for, and by so doing holds
    the lines of the last thousand widgets, closed ones too.
    """
    forget = getattr(getattr(StylesCache, "get_inner_outer", None), "cache_clear", None)
    if forget is not None:
        forget()


def write(app: App[Any], data: str) -> bool:
    """Write to the terminal beside the screen; whether there is a way to."""
    driver = getattr(app, "_driver", None)
    if driver is not None:
        driver.write(data)
    return driver is not None


def remember_copied(app: App[Any], text: str) -> None:
    """What a line that is typed on pastes: Textual's own copying would write to the terminal, too."""
    app._clipboard = text


def allow_change(screen: Screen[Any], app: App[Any]) -> None:
    """Let a first screen be switched: Textual takes a callback off, and has put none on it."""
    if has(type(screen), "_push_result_callback"):
        screen._push_result_callback(app, None)


def bindings_of(node: DOMNode | type[DOMNode]) -> Mapping[str, list[Binding]]:
    """The bindings of a widget, a screen or the app, or of the class of one, by key."""
    merged = getattr(node, "_merged_bindings" if isinstance(node, type) else "_bindings", None)
    if merged is not None:
        return cast("BindingsMap", merged).key_to_bindings
    by_key: dict[str, list[Binding]] = {}
    for base in reversed((node if isinstance(node, type) else type(node)).__mro__):
        for key, bindings in BindingsMap(base.__dict__.get("BINDINGS", ())).key_to_bindings.items():
            by_key[key] = [*bindings]
    return by_key


def own_key(app: App[Any], action: str) -> str | None:
    """The key of the person's own for an action; None where they set none."""
    keymap: Mapping[str, str] = getattr(app, "_keymap", {})
    return keymap.get(action)


def parent_of(pump: object) -> Any:
    """What a message that nobody takes goes on to."""
    return getattr(pump, "_parent", None)
