"""The basket keeps order and takes each thing once."""

from __future__ import annotations

from dataclasses import replace

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Note,
    SelectedAblation,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    Token,
)
from tui_lookups.tui.state import basket
from tui_lookups.tui.state.undo import BasketSteps
from tui_lookups.tui.text.marked import what_was_done

NEURON = SelectedNeuron(NeuronId(5, 371), Token(1, " because"))
PROMPT = SelectedPrompt(NeuronId(5, 371), 17)
HEAD = SelectedHead(NeuronId(5, 371), HeadId(3, 2), 17)

ABLATION = SelectedAblation(NeuronId(5, 371), HeadId(3, 2), "zero", "peak", "full")


def test_toggle_adds_and_removes() -> None:
    selection = Selection()
    for item in (ABLATION, HEAD, NEURON, PROMPT):
        selection = basket.toggle(selection, item)
    assert selection.items == (NEURON, PROMPT, HEAD, ABLATION)
    assert len(selection) == 4
    selection = basket.toggle(selection, PROMPT)
    assert selection.items == (NEURON, HEAD, ABLATION)
    assert basket.toggle(selection, ABLATION).items == (NEURON, HEAD)
    assert not basket.holds(selection, PROMPT)


def test_a_neuron_is_the_same_for_every_token() -> None:
    selection = basket.add(Selection(), NEURON)
    assert basket.holds(selection, SelectedNeuron(NeuronId(5, 371)))
    assert basket.toggle(selection, SelectedNeuron(NeuronId(5, 371))) == Selection()


def test_a_head_on_a_prompt_is_not_the_head_over_all() -> None:
    over_all = SelectedHead(HEAD.neuron, HEAD.head, None)
    selection = basket.add(basket.add(Selection(), HEAD), over_all)
    assert selection.heads == (HEAD, over_all)
    assert basket.remove(selection, HEAD).heads == (over_all,)


def test_merge_takes_each_thing_once() -> None:
    one = basket.add(Selection(), NEURON)
    other = basket.add(basket.add(Selection(), NEURON), HEAD)
    assert basket.merge(one, other).items == (NEURON, HEAD)


WRITTEN = "2026-11-30T07:00:00+00:00"


def test_a_note_marks_what_it_is_of_and_leaves_with_it() -> None:
    selection = basket.with_note(Selection(), HEAD, "looks for causes", WRITTEN)
    assert selection.heads == (HEAD,)
    note = selection.note_on(HEAD)
    assert note is not None
    assert (note.text, note.written) == ("looks for causes", WRITTEN)
    again = basket.with_note(selection, HEAD, "no, for reasons", WRITTEN)
    assert [note.text for note in again.notes] == ["no, for reasons"]
    assert basket.with_note(again, HEAD, "", WRITTEN).notes == ()
    assert basket.remove(again, HEAD) == Selection()


def test_a_note_is_of_one_thing() -> None:
    over_all = SelectedHead(HEAD.neuron, HEAD.head, None)
    items = (NEURON, PROMPT, HEAD, over_all, ABLATION)
    for noted in items:
        note = Note.on(noted, "x", WRITTEN)
        assert [item for item in items if note.is_of(item)] == [noted]


def test_a_note_of_a_neuron_is_that_of_any_token_and_of_a_head_that_of_any_text() -> None:
    assert Note.on(NEURON, "x", WRITTEN).is_of(SelectedNeuron(NEURON.neuron))
    assert Note.on(HEAD, "x", WRITTEN).is_of(replace(HEAD, context="trimmed"))


def test_two_notes_on_a_thing_that_is_merged_are_both_kept() -> None:
    own = basket.with_note(Selection(), NEURON, "mine", WRITTEN)
    other = basket.with_note(Selection(), NEURON, "theirs", WRITTEN)
    assert [note.text for note in basket.merge(own, other).notes] == ["mine; theirs"]
    assert basket.merge(own, own) == own
    assert basket.merge(Selection(), other) == other


def test_a_step_in_words() -> None:
    noted = basket.with_note(Selection(), NEURON, "mine", WRITTEN)
    both = basket.add(noted, HEAD)
    assert what_was_done(Selection(), noted) == "marked neuron L5.N371"
    assert what_was_done(both, noted) == "unmarked head L3.H2 of L5.N371 on corpus prompt 17"
    assert what_was_done(both, Selection()) == "unmarked 2 things"
    assert what_was_done(basket.add(Selection(), NEURON), noted) == "note on neuron L5.N371"


def test_steps_are_taken_back_and_done_again_until_another_is_taken() -> None:
    steps, empty = BasketSteps(), Selection()
    one, two = basket.add(empty, NEURON), basket.add(empty, HEAD)
    assert steps.undo() is None
    steps.take(empty, one)
    steps.take(one, two)
    assert steps.undo() == (one, two)
    assert steps.undo() == (empty, one)
    assert steps.undo() is None
    assert steps.redo() == (empty, one)
    steps.take(one, two)
    assert steps.redo() is None
    steps.forget()
    assert steps.undo() is None
