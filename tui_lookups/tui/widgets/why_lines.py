"""The lines that are typed on where a token is asked about: a text, and a token by its name."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui_lookups.tui.widgets.typed_line import PassageLine, TypedLine


class WhyText(PassageLine):
    """The line the text is typed on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "why", id="why.ask", tooltip="The next tokens, and why the first of them"),
        Binding("down", "screen.step(1)", "next tokens", id="why.look", tooltip="To the next tokens"),
        Binding("escape", "screen.close", "back", id="why.close", tooltip="Back to the walk"),
    ]


class NamedToken(TypedLine):
    """A token, or a foil, that is not among the next tokens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "ask", id="why.name", tooltip="Ask about the token of this text"),
        Binding("escape", "screen.unname", "back", id="why.unname", tooltip="Back without it"),
    ]
