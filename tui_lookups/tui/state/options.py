"""How the app is to behave, apart from what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.results import SignSetting
    from tui_lookups.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What flags and settings say about the app.

    Attributes:
        theme: a theme's name; None chooses by the terminal's colours.
        keys: keys of the person's own by action id (`keymap.checked_keymap`).
        plain: the panes as lines of plain text from the start, for a screen reader.
        low_bandwidth: as few bytes as possible: ASCII frames, no bars, few shades, rare updates.
        session: the name of the session to open, empty for none.
        against: the model that the open one is compared with, from the start; empty for none.
        revisions: those that a neuron is followed over until others are named.
        sign: which sign of activation counts as firing, where the app itself looks for a text's peak.
    """

    theme: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    plain: bool = False
    low_bandwidth: bool = False
    sign: SignSetting = "auto"
    session: str = ""
    against: str = ""
    revisions: tuple[str, ...] = ()


def options_of(
    settings: Settings, session: str = "", against: str = "", revisions: tuple[str, ...] = ()
) -> Options:
    """The app's part of the settings, with what flags alone say."""
    theme = None if settings.theme == "auto" else settings.theme
    low = settings.low_bandwidth
    return Options(
        theme, dict(settings.keys), settings.plain, low, settings.sign, session, against, revisions
    )
