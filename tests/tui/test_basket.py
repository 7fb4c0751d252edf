"""The basket keeps order and takes each thing once."""

from __future__ import annotations

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    SelectedAblation,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    Token,
)
from tui_lookups.tui.state import basket

NEURON = SelectedNeuron(NeuronId(5, 371), Token(1, " because"))
PROMPT = SelectedPrompt(NeuronId(5, 371), 17)
HEAD = SelectedHead(NeuronId(5, 371), HeadId(3, 2), 17)

ABLATION = SelectedAblation(NeuronId(5, 371), HeadId(3, 2), "zero", "peak", "full")


def test_toggle_adds_and_removes() -> None:
    selection = Selection()
    for item in (ABLATION, HEAD, NEURON, PROMPT):
        selection = basket.toggle(selection, item)
    assert basket.items(selection) == (NEURON, PROMPT, HEAD, ABLATION)
    assert len(selection) == 4
    selection = basket.toggle(selection, PROMPT)
    assert basket.items(selection) == (NEURON, HEAD, ABLATION)
    assert basket.items(basket.toggle(selection, ABLATION)) == (NEURON, HEAD)
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
    assert basket.items(basket.merge(one, other)) == (NEURON, HEAD)
