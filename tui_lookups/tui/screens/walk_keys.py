"""The keys of the walk screen, in the order of the bottom line and of the help."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding

from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS, CORPUS_KEY, hidden
from tui_lookups.tui.widgets.head_keys import head_keys

WALK_KEYS: tuple[Binding, ...] = (
    Binding("H", "go_heads", "heads", id="walk.heads", tooltip="The heads, from the neurons"),
    Binding("t", "type_token", "token", id="walk.token", tooltip="Type a token or a neuron"),
    Binding("slash", "filter", "filter", id="walk.filter", tooltip="Filter the neurons by text"),
    Binding("space", "mark", "mark", id="walk.mark", tooltip="Mark what is under the cursor"),
    hidden("comma", "note", "note", "walk.note", "Mark what is under the cursor, with a note", ","),
    hidden("escape", "back", "back", "walk.back", "Back along the walk"),
    hidden("tab", "pane_step(1)", "next pane", "walk.next-pane", "Next pane"),
    hidden("shift+tab", "pane_step(-1)", "pane back", "walk.pane-back", "Pane before"),
    hidden("1", "pane(0)", "neurons", "walk.neurons", "Go to the neurons"),
    hidden("2", "pane(1)", "prompts", "walk.prompts", "Go to the prompts"),
    hidden("3", "pane(2)", "heads", "walk.heads-pane", "The heads, from any pane"),
    hidden("4", "pane(3)", "head", "walk.detail", "Go to the head's detail"),
    hidden(
        "5", "inputs_pane", "inputs", "walk.inputs-pane", "What fires the neuron: its pane, or its screen"
    ),
    hidden(
        "left_square_bracket,backspace",
        "history(-1)",
        "before",
        "walk.before",
        "Back to the token and neuron before",
        "[",
    ),
    hidden("right_square_bracket", "history(1)", "after", "walk.after", "Forward again", "]"),
    *COPY_AS_KEYS,
    hidden("X", "over('figure')", "figure", "walk.figure", "Write what this pane shows as a figure (SVG)"),
    hidden("Z", "zoom", "zoom", "walk.zoom", "This pane alone on the screen, and back"),
    hidden("plus", "room(1)", "larger", "walk.larger", "More room for this pane", "+"),
    hidden("minus", "room(-1)", "smaller", "walk.smaller", "Less room for this pane", "-"),
    hidden("0", "room(0)", "as before", "walk.rooms", "The panes as large as they were at first"),
    *head_keys(namespace="", show=False),
    Binding("w", "over('why')", "why", id="walk.why", tooltip="Why a token is expected here, or in any text"),
    Binding(
        "I", "over('inputs')", "inputs", id="walk.inputs", tooltip="What fires the neuron, by earlier neurons"
    ),
    Binding(
        "r", "over('trace')", "trace", id="walk.trace", tooltip="What fires the neuron, opened node by node"
    ),
    Binding(
        "D", "over('served_by')", "serves", id="walk.served-by", tooltip="The neurons that the head serves"
    ),
    Binding(
        "M", "over('survey')", "survey", id="walk.survey", tooltip="Every head of every next-token neuron"
    ),
    hidden(
        "G", "over('shared_heads')", "shared heads", "walk.shared-heads", "The heads of all marked neurons"
    ),
    hidden("B", "over('diff')", "both models", "walk.diff", "What moved from the open model to another"),
    hidden(
        "at",
        "over('revisions')",
        "revisions",
        "walk.revisions",
        "The neuron over revisions of the model",
        "@",
    ),
    Binding(
        "A", "over('atlas')", "atlas", id="walk.atlas", tooltip="The model's next-token neurons by layer"
    ),
    Binding(
        "P",
        "over('playground')",
        "playground",
        id="walk.playground",
        tooltip="The neuron on any text you type",
    ),
    Binding(
        "i", "over('explained')", "explained", id="walk.explained", tooltip="Everything explained so far"
    ),
    replace(CORPUS_KEY, show=False),
    hidden("R", "restore", "restore", "walk.restore", "Back to where the last session was left"),
    hidden("T", "tour", "tour", "walk.tour", "A tour in five steps; again for the next"),
)
