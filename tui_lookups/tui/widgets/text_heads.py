"""Heads of one text given by hand, and what they read: keys that need prompts of the corpus say so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.head_keys import head_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_THE_WALK = "Works on the neuron's prompts, not on a typed text"
NOT_HERE = {
    "all": "Only one text is shown; the mean over all prompts is on the main screen ({key}).",
    "context": "A typed text is always attributed as a whole.",
    "direction": "Both directions are read at once here; one at a time on the main screen ({key}).",
}
"""Why a view of the heads that exists on the walk does not exist here."""


def _of_the_walk(bindings: Iterable[BindingType]) -> tuple[Binding, ...]:
    """The same keys, which here only say why nothing happens: not on the bottom line."""
    return tuple(
        replace(binding, show=False, tooltip=_OF_THE_WALK)
        for binding in bindings
        if isinstance(binding, Binding)
    )


class TextHeads(HeadGrid):
    """Heads of one text: there are no other prompts to compare with, and nothing to trim."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_of_the_walk(key for key in head_keys() if key.id != "head.ablate"),
        *_of_the_walk(b for b in HeadGrid.BINDINGS if isinstance(b, Binding) and b.action in NOT_HERE),
    ]


class TextDetail(HeadDetail):
    """What a head reads in the text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_of_the_walk(key for key in head_keys() if key.id != "head.ablate")
    ]
