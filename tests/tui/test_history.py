"""Back and forward over the places of a walk."""

from __future__ import annotations

from tests.tui.canned import VOCABULARY
from tui_lookups.ids import NeuronId
from tui_lookups.tui.state.history import History, Place

A, B, C = (Place(VOCABULARY[n], NeuronId(n, n)) for n in (1, 2, 3))


def test_back_and_forward() -> None:
    history = History()
    history.leave(A)
    history.leave(B)
    assert history.back(C) == B
    assert history.back(B) == A
    assert history.back(A) is None
    assert history.forward(A) == B
    assert history.forward(B) == C
    assert history.forward(C) is None


def test_going_elsewhere_forgets_what_lay_ahead() -> None:
    history = History()
    history.leave(A)
    assert history.back(B) == A
    history.leave(A)
    assert history.forward(C) is None
    assert history.back(C) == A


def test_a_place_is_the_same_whatever_prompt_was_open() -> None:
    history = History()
    history.leave(A)
    here = Place(A.token, A.neuron, 12, None, "heads")
    assert history.back(here) is None


def test_nothing_is_no_place() -> None:
    history = History()
    history.leave(Place(None, None))
    assert history.back(A) is None
