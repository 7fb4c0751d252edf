"""What empty panes say of the neurons' filters: which are on, where they looked, what ends them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.text.key_labels import KeyOf
    from tui_lookups.tui.widgets.neurons_table import NeuronsTable


def filters_on(walk: Walk) -> str:
    """The filters that ask for other neurons, by name; empty where none is on."""
    on = [] if walk.layer is None else [f"layer {walk.layer}"]
    return ", ".join([*on, "own token only"] if walk.own_only else on)


def why_no_row(walk: Walk, table: NeuronsTable, key: KeyOf, *, missing: bool) -> str:
    """What the neurons' pane says without a row; `missing`: the text filter names a neuron there is not."""
    ends = key("walk.back")
    if not table.total and not filters_on(walk):
        return "No neuron in the selected layers promotes this token."
    if not table.total:
        return f"No neuron passes the filters:\n{filters_on(walk)}.\n{ends} drops them."
    looked = (
        f"None of the {table.total} strongest has that text."
        if table.total > 1
        else "The one neuron there is does not have that text."
    )
    if table.unlisted is not None and not missing:
        return f"{looked}\n{key('line.enter')} opens {table.unlisted}."
    others = f"{key('walk.token')}, then its name, opens any neuron"
    return f"{looked}\n{ends} ends the filter;\n{others}."


def why_no_neuron(walk: Walk, key: KeyOf) -> str:
    """What the prompts' pane says while no neuron is open."""
    on = filters_on(walk)
    if walk.ranking is not None and not walk.ranking.neurons and on and walk.token is not None:
        token = visible_token(walk.token.text)
        drops = f"{key('walk.back')} drops them, in the neurons."
        return f"No neuron of {token} passes the filters:\n{on}.\n{drops}"
    return f"{key('neurons.open')} on a neuron\nshows the text that fires it."
