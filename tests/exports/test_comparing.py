"""Comparing two documents: what counts as equal, where a difference is said to be, and how large."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.exports.comparing import TOLERANCE, Comparison, pointer
from tui_lookups.exports.verification import Difference

DOCUMENT: dict[str, Any] = {
    "neuron": "L1.N2",
    "congruence": 2.0,
    "token_rank": 3,
    "note": None,
    "gated": False,
    "tokens": [
        {"id": 5, "text": "a", "congruence": 8.0},
        {"id": 6, "text": "b", "congruence": 7.99999},
        {"id": 7, "text": "c", "congruence": 1.0},
    ],
    "stats": {
        "mean": 1e-7,
        "variance": 0.5,
        "fraction_positive": 0.25,
        "maximum": 10.0,
        "minimum": -0.17,
        "histogram": {"edges": [-1.0, 0.0, 1.0], "counts": [3, 4]},
    },
    "attributions": {"remainder": 1e-9, "heads": [{"attribution": 4.0, "active": True, "gate": None}]},
}


def differences(exported: Any, recomputed: Any, tolerance: float = TOLERANCE) -> list[Difference]:
    found = Comparison(tolerance)
    found.compare(exported, recomputed, "")
    assert found.checked >= len(found.differing)
    return found.differing


def changed(path: str, value: Any) -> dict[str, Any]:
    """The document with one value changed; `path` is its JSON pointer."""
    document: Any = copy.deepcopy(DOCUMENT)
    *way, last = path.split("/")[1:]
    place = document
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return document  # type: ignore[no-any-return]


def leaves(value: Any, at: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, pointer(at, key))]
    if isinstance(value, list):
        return [leaf for number, each in enumerate(value) for leaf in leaves(each, pointer(at, number))]
    return [(at, value)]


LEAVES = leaves(DOCUMENT)
NUMBERS = [leaf for leaf in LEAVES if type(leaf[1]) in (int, float)]


def test_a_document_is_equal_to_itself_and_every_value_is_counted() -> None:
    found = Comparison(0.0)
    found.compare(DOCUMENT, copy.deepcopy(DOCUMENT), "")
    assert found.differing == []
    assert found.checked == len(LEAVES)
    assert found.largest == 0.0


@given(st.sampled_from(NUMBERS), st.floats(-1e6, 1e6))
def test_any_number_that_is_changed_is_reported_where_it_is(leaf: tuple[str, Any], by: float) -> None:
    where, value = leaf
    other = value + round(by) if isinstance(value, int) else value + by
    if abs(other - value) <= 1e-4 * max(10.0, abs(value)):  # perhaps within the tolerance of its group
        return
    (found,) = differences(changed(where, other), DOCUMENT)
    assert (found.where, found.exported, found.recomputed) == (where, other, value)
    assert found.absolute == pytest.approx(abs(other - value))
    assert found.relative is not None
    assert found.relative > TOLERANCE


@pytest.mark.parametrize(("where", "value"), [leaf for leaf in LEAVES if leaf not in NUMBERS])
def test_any_other_value_that_is_changed_is_reported_where_it_is(where: str, value: Any) -> None:
    for other in ("another", True, 1, None):
        if other is not value:
            (found,) = differences(changed(where, other), DOCUMENT)
            assert (found.where, found.exported, found.recomputed) == (where, other, value)


def test_noise_is_measured_against_the_figures_a_number_stands_among() -> None:
    assert not differences(changed("/attributions/remainder", 3e-5), DOCUMENT)  # 4.0 * 1e-5 is 4e-5
    assert differences(changed("/attributions/remainder", 5e-5), DOCUMENT)
    assert not differences(changed("/stats/mean", 9e-5), DOCUMENT)
    assert differences(changed("/stats/mean", 2e-4), DOCUMENT)
    assert not differences(changed("/stats/histogram/edges/1", 9e-5), DOCUMENT)
    # these stand alone
    assert differences(changed("/stats/variance", 0.5 * (1 + 2e-5)), DOCUMENT)
    assert not differences(changed("/congruence", 2.0 * (1 + 0.9e-5)), DOCUMENT)
    assert differences(changed("/congruence", 2.0 * (1 + 2e-5)), DOCUMENT)
    # whole numbers have no tolerance
    assert differences(changed("/token_rank", 4), DOCUMENT, tolerance=1.0)
    assert differences(changed("/stats/histogram/counts/0", 2), DOCUMENT, tolerance=1.0)


def test_a_huge_number_does_not_hide_its_neighbours() -> None:
    exported = changed("/attributions/remainder", 1e12)
    exported["attributions"]["heads"][0]["attribution"] = 4.1
    assert [each.where for each in differences(exported, DOCUMENT)] == [
        "/attributions/remainder",
        "/attributions/heads/0/attribution",
    ]


def test_tied_tokens_may_stand_the_other_way_round() -> None:
    first, second, third = DOCUMENT["tokens"]
    assert not differences({**DOCUMENT, "tokens": [second, first, third]}, DOCUMENT)
    assert differences({**DOCUMENT, "tokens": [third, second, first]}, DOCUMENT)
    assert differences({**DOCUMENT, "tokens": [first, first, third]}, DOCUMENT)
    assert differences(changed("/tokens/1/id", 99), DOCUMENT)


def test_lists_of_another_length_and_missing_keys() -> None:
    (found,) = differences({**DOCUMENT, "tokens": DOCUMENT["tokens"][:2]}, DOCUMENT)
    assert (found.where, found.exported, found.recomputed, found.absolute) == ("/tokens", 2, 3, 1.0)
    less = {key: value for key, value in DOCUMENT.items() if key != "note"}
    (found,) = differences(less, DOCUMENT)
    assert (found.where, found.note) == ("/note", "only one of the two has it")
    (found,) = differences({**DOCUMENT, "stats": None}, DOCUMENT)
    assert (found.where, found.exported, found.recomputed) == ("/stats", None, None)
    assert "null" in found.note


def test_the_largest_difference_within_the_tolerance_is_kept() -> None:
    found = Comparison(TOLERANCE)
    found.compare(changed("/congruence", 2.0 * (1 + 5e-6)), DOCUMENT, "")
    assert not found.differing
    assert found.largest == pytest.approx(5e-6, rel=1e-3)


def test_pointers_are_escaped_and_long_texts_cut() -> None:
    (found,) = differences({"a/b~c": "x" * 5000}, {"a/b~c": "y"})
    assert found.where == "/a~1b~0c"
    assert isinstance(found.exported, str)
    assert len(found.exported) == 201
