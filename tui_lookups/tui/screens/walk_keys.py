"""The keys of the walk screen, in the order of the bottom line and of the help."""

from __future__ import annotations

from textual.binding import Binding

from tui_lookups.tui.widgets.head_keys import head_keys


def _hidden(key: str, action: str, words: str, name: str, tip: str, shown: str | None = None) -> Binding:
    return Binding(key, action, words, id=f"walk.{name}", tooltip=tip, show=False, key_display=shown)


WALK_KEYS: tuple[Binding, ...] = (
    Binding("h", "go_heads", "heads", id="walk.heads", tooltip="The heads, from the neurons"),
    Binding("t", "type_token", "token", id="walk.token", tooltip="Type a token or a neuron"),
    Binding("slash", "filter", "filter", id="walk.filter", tooltip="Filter the neurons by text"),
    Binding("space", "mark", "mark", id="walk.mark", tooltip="Mark what is under the cursor"),
    _hidden("escape", "back", "back", "back", "Back along the walk"),
    _hidden("tab", "pane_step(1)", "next pane", "next-pane", "Next pane"),
    _hidden("shift+tab", "pane_step(-1)", "pane back", "pane-back", "Pane before"),
    _hidden("1", "pane(0)", "neurons", "neurons", "Go to the neurons"),
    _hidden("2", "pane(1)", "prompts", "prompts", "Go to the prompts"),
    _hidden("3", "pane(2)", "heads", "heads-pane", "The heads, from any pane"),
    _hidden("4", "pane(3)", "head", "detail", "Go to the head's detail"),
    _hidden(
        "left_square_bracket,backspace",
        "history(-1)",
        "before",
        "before",
        "Back to the token and neuron before",
        "[",
    ),
    _hidden("right_square_bracket", "history(1)", "after", "after", "Forward again", "]"),
    _hidden("y", "copy", "copy", "copy", "Copy what is under the cursor"),
    _hidden("Y", "copy_pane", "copy pane", "copy-pane", "Copy the pane as text"),
    *head_keys(namespace="", show=False),
    Binding("A", "atlas", "atlas", id="walk.atlas", tooltip="The model's next-token neurons by layer"),
    Binding("P", "playground", "playground", id="walk.playground", tooltip="The neuron on any text you type"),
    Binding("i", "explained", "explained", id="walk.explained", tooltip="Everything explained so far"),
    _hidden("R", "restore", "restore", "restore", "Back to where the last session was left"),
    _hidden("T", "tour", "tour", "tour", "A tour in five steps; again for the next"),
)
