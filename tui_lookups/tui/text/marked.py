"""What is marked, and what was done to it, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results import SelectedAblation, SelectedHead, SelectedNeuron
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.results import Item, Selection


def describe(item: Item) -> tuple[str, str]:
    """The kind of a marked thing and what it is, as visible text."""
    if isinstance(item, SelectedNeuron):
        token = f" for {visible_token(item.token.text)}" if item.token is not None else ""
        return "neuron", f"{item.neuron}{token}"
    if isinstance(item, SelectedHead):
        where = "over all prompts" if item.prompt_id is None else f"on corpus prompt {item.prompt_id}"
        where += ", trimmed" if item.context == "trimmed" else ""
        return "head", f"{item.head} of {item.neuron} {where}"
    if isinstance(item, SelectedAblation):
        where = "at the peak" if item.positions == "peak" else "at all positions"
        where += ", trimmed" if item.context == "trimmed" else ""
        return "ablation", f"{item.neuron} without {item.head}, {item.method} {where}"
    return "prompt", f"corpus prompt {item.prompt_id} of {item.neuron}"


def named(item: Item) -> str:
    """A marked thing with its kind: "neuron L5.N371"."""
    if isinstance(item, SelectedNeuron):
        return f"{item.neuron.kind} {item.neuron}"
    return " ".join(describe(item))


def what_was_done(before: Selection, after: Selection) -> str:
    """A step in words: "marked L5.N371", "unmarked 12 things", "note on L5.N371"."""
    was, now = before.items, after.items
    added = [item for item in now if item not in was]
    gone = [item for item in was if item not in now]
    parts = []
    for verb, items in (("marked", added), ("unmarked", gone)):
        if items:
            parts.append(f"{verb} {named(items[0]) if len(items) == 1 else f'{len(items)} things'}")
    changed = set(before.notes) ^ set(after.notes)
    about = [item for item in now if item in was and any(note.is_of(item) for note in changed)]
    if about:
        parts.append(f"note on {named(about[0])}" if len(about) == 1 else f"{len(about)} notes")
    return ", ".join(parts)
