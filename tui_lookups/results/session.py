"""Where a person was when they left the app."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Token, TokenSet
from tui_lookups.results.selection import Selection

_NAME = re.compile(r"\w(?:[\w .-]{0,38}[\w-])?")


@dataclass(frozen=True, slots=True)
class SessionState:
    """A place on the walk, and the basket.

    `model` and `corpus` are fingerprints: a place means nothing in another model, a prompt nothing in
    another corpus. Both are None as long as nobody has said where the session is kept. `rooms` are the steps
    that the dividers between panes were moved; None where they were not. `token_set`: the walk was from
    several tokens as one, of which `token` is the first.
    """

    token: Token | None
    neuron: NeuronId | None
    prompt_id: int | None
    head: HeadId | None
    basket: Selection
    model: str | None = None
    corpus: str | None = None
    rooms: tuple[int, ...] | None = None
    token_set: TokenSet | None = None


def checked_name(name: str) -> str:
    """The name of a session. Raises LookupsError for one that is no file name everywhere."""
    if not _NAME.fullmatch(name):
        raise LookupsError(
            f"{name!r} cannot be the name of a session.",
            "Take up to 40 letters, digits, spaces, dots, hyphens and underscores.",
        )
    return name


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A session as it is kept; the one without a name is the last one.

    Attributes:
        saved: when (ISO 8601 with offset).
        marked, notes: how many things, and how many notes on them.
        problem: why it cannot be opened, empty where it can.
    """

    name: str
    saved: str
    neuron: NeuronId | None = None
    marked: int = 0
    notes: int = 0
    problem: str = ""
