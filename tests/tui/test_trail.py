"""Back and forward over the places of a walk."""

from __future__ import annotations

from tests.tui.canned import VOCABULARY
from tui_lookups.ids import NeuronId
from tui_lookups.tui.trail import Place, Trail

A, B, C = (Place(VOCABULARY[n], NeuronId(n, n)) for n in (1, 2, 3))


def test_back_and_forward() -> None:
    trail = Trail()
    trail.leave(A)
    trail.leave(B)
    assert trail.back(C) == B
    assert trail.back(B) == A
    assert trail.back(A) is None
    assert trail.forward(A) == B
    assert trail.forward(B) == C
    assert trail.forward(C) is None


def test_going_elsewhere_forgets_what_lay_ahead() -> None:
    trail = Trail()
    trail.leave(A)
    assert trail.back(B) == A
    trail.leave(A)
    assert trail.forward(C) is None
    assert trail.back(C) == A


def test_a_place_is_the_same_whatever_prompt_was_open() -> None:
    trail = Trail()
    trail.leave(A)
    here = Place(A.token, A.neuron, 12, None, "heads")
    assert trail.back(here) is None


def test_nothing_is_no_place() -> None:
    trail = Trail()
    trail.leave(Place(None, None))
    assert trail.back(A) is None
