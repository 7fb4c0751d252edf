"""The selection basket: what was marked with space, in the order it was marked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.results import Note, SelectedHead, SelectedNeuron, SelectedPrompt, Selection

if TYPE_CHECKING:
    from tui_lookups.results import Item


def holds(selection: Selection, item: Item) -> bool:
    """Whether `item` is marked. A neuron is the same whichever token it was found for."""
    return _find(selection, item) is not None


def toggle(selection: Selection, item: Item) -> Selection:
    """`selection` with `item` added, or removed where it was in already."""
    marked = _find(selection, item)
    return remove(selection, marked) if marked is not None else add(selection, item)


def add(selection: Selection, item: Item) -> Selection:
    """`selection` with `item` at the end of its kind; unchanged where it is in already."""
    if holds(selection, item):
        return selection
    if isinstance(item, SelectedNeuron):
        return replace(selection, neurons=(*selection.neurons, item))
    if isinstance(item, SelectedPrompt):
        return replace(selection, prompts=(*selection.prompts, item))
    if isinstance(item, SelectedHead):
        return replace(selection, heads=(*selection.heads, item))
    return replace(selection, ablations=(*selection.ablations, item))


def remove(selection: Selection, item: Item) -> Selection:
    """`selection` without `item`, and without the note on it."""
    return Selection(
        tuple(n for n in selection.neurons if n != item),
        tuple(p for p in selection.prompts if p != item),
        tuple(h for h in selection.heads if h != item),
        tuple(a for a in selection.ablations if a != item),
    ).noted(selection.notes)


def merge(selection: Selection, other: Selection) -> Selection:
    """Both, each thing once; of two notes on a thing both, that of `selection` first."""
    notes = {note.subject: note for note in selection.notes}
    for note in other.notes:
        own = notes.get(note.subject)
        if own is None:
            notes[note.subject] = note
        elif note.text not in own.text:
            notes[note.subject] = replace(own, text=f"{own.text}; {note.text}")
    for item in other.items:
        selection = add(selection, item)
    return selection.noted(notes.values())


def with_note(selection: Selection, item: Item, text: str, written: str) -> Selection:
    """`selection` with `item` marked and this note on it; without text its note is taken away."""
    selection = add(selection, item)
    item = _find(selection, item) or item
    return selection.noted((*(n for n in selection.notes if not n.is_of(item)), Note.on(item, text, written)))


def _find(selection: Selection, item: Item) -> Item | None:
    if isinstance(item, SelectedNeuron):
        return next((n for n in selection.neurons if n.neuron == item.neuron), None)
    if isinstance(item, SelectedHead):  # one that was marked before texts were told apart is any of them
        same = (item, replace(item, context=None))
        return next((other for other in selection.heads if other in same), None)
    return next((other for other in selection.items if other == item), None)
