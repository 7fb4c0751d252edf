"""What a typed text is offered as."""

from __future__ import annotations

import pytest

from tests.tui.canned import VOCABULARY, CannedExplorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.tui.state.candidates import Candidates, find_candidates, spellings


def find(text: str) -> Candidates:
    return find_candidates(CannedExplorer(), text, enter="enter")


def texts(found: Candidates) -> list[str]:
    return [row.token.text for row in found.rows if row.token is not None]


@pytest.mark.parametrize(
    ("typed", "looked_up"),
    [
        ("time", (" time", "time")),
        (" time", (" time",)),
        ('" time"', (" time",)),
        ('"time"', ("time",)),
        ("#12", ("#12",)),
        ('"', (' "', '"')),
    ],
)
def test_spellings(typed: str, looked_up: tuple[str, ...]) -> None:
    assert spellings(typed) == looked_up


def test_both_spellings_are_offered_the_spaced_first() -> None:
    found = find("time")
    assert found.exact == 2
    assert texts(found)[:2] == [" time", "time"]
    assert "choose" in found.note


def test_quotes_and_a_typed_space_are_one_thing() -> None:
    assert texts(find('"time"'))[: find('"time"').exact] == ["time"]
    assert texts(find(" time"))[: find(" time").exact] == [" time"]


def test_completions_follow() -> None:
    found = find("bec")
    assert found.exact == 0
    assert texts(found)[:2] == [" because", "because"]


def test_a_neuron_comes_first() -> None:
    for typed in ("5.371", "L5.N371", "(5, 371)"):
        found = find(typed)
        assert found.rows[0].neuron == NeuronId(5, 371)
        assert found.exact == 1


def test_an_id() -> None:
    found = find("#3")
    assert texts(found) == [VOCABULARY[3].text]
    assert found.exact == 1


def test_an_id_beyond_the_vocabulary_says_so() -> None:
    found = find("#99999")
    assert found.rows == ()
    assert "no token id" in found.note


def test_pieces_of_a_longer_text() -> None:
    found = find(" because of")
    assert found.exact == 0
    found = find('" becausetime"')
    assert texts(found)[:2] == [" because", "time"]
    assert "2 pieces" in found.note


def test_similar_tokens_come_first_where_nothing_fits() -> None:
    found = find("tiime")
    assert found.exact == 0
    assert texts(found) == [" time", " Time", "time", "Time"]
    assert {row.why for row in found.rows} == {"similar"}
    assert found.note == "no such token; similar ones:"


def test_pieces_follow_similar_tokens() -> None:
    found = find('"timely"')
    assert texts(found)[0] == " time"
    assert (texts(found)[-1], found.rows[-1].why) == ("ly", "a piece of it")
    assert found.note == "no such token; similar ones, then its 2 pieces:"


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("becausetime so", "a text: x why, y playground; or its pieces:"),
        ("€ ¥", "a text: x why, y playground"),
        ("becausetime", "not one token but 2 pieces: choose one"),
    ],
)
def test_several_words_are_a_text_for_other_screens(typed: str, note: str) -> None:
    found = find_candidates(CannedExplorer(), typed, enter="enter", doors="x why, y playground")
    assert found.note == note


@pytest.mark.parametrize("typed", [token.text for token in VOCABULARY if token.text])
def test_every_token_can_be_named(typed: str) -> None:
    found = find(f'"{typed}"')
    assert found.exact == 1
    assert texts(found)[0] == typed


@pytest.mark.parametrize("text", ["L4.H4", "4.h4", "(L4, H4)", "l4.h4 "])
def test_a_heads_name_is_what_it_serves_then_the_head_behind_the_neuron(text: str) -> None:
    found = find(text)
    assert found.exact == 1
    assert [(row.head, row.serves, row.neuron, row.token) for row in found.rows] == [
        (HeadId(4, 4), True, None, None),
        (HeadId(4, 4), False, None, None),
    ]


def test_numbers_alone_are_a_neuron() -> None:
    found = find("4.4")
    assert (found.rows[0].neuron, found.rows[0].head) == (NeuronId(4, 4), None)
