"""What is said below a token's neurons about the order they are in. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.state.orders import low_rank_of_first
from tui_lookups.tui.state.token_sets import token_name
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.tui.state.orders import NeuronOrder
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.text.key_labels import KeyOf


def about_order(walk: Walk, order: NeuronOrder, key: KeyOf) -> str:
    """What the order rests on where that is not plain to see; empty where it is.

    By congruence: that the first rows write much towards everything, not towards this token before others. By
    activity: what that is, or why it is not known.
    """
    if walk.token is None or walk.ranking is None or not walk.ranking.neurons:
        return ""
    if order == "activity":
        if "activity" in walk.errors:
            return visible(" ".join(walk.errors["activity"]))
        if walk.waiting("activity"):
            return "Asking the scan how often each is active…"
        return "act.: on how many of the scanned tokens it is above zero"
    low = low_rank_of_first(walk.ranking.neurons)
    if order != "congruence" or low is None:
        return ""
    rank, by_norm = low
    led = "Led by neurons of large norm: " if by_norm else ""
    token, sorts = token_name(walk.token), f"{key('list.sort')} sorts by cosine"
    return f"{led}{token} ranks {rank:,} for the first; {sorts}."
