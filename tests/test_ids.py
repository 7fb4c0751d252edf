"""Names of neurons and heads: values that compare, sort, copy and cannot be changed."""

from __future__ import annotations

import copy

import pytest

from tui_lookups.errors import BadIdError
from tui_lookups.ids import FeatureId, HeadId, NeuronId, parse_component


def test_a_neuron_and_a_head_of_the_same_numbers_are_two_things() -> None:
    assert NeuronId(5, 3) == NeuronId(5, 3) != HeadId(5, 3)
    assert len({NeuronId(5, 3), NeuronId(5, 3), HeadId(5, 3), NeuronId(3, 5)}) == 3
    with pytest.raises(TypeError):
        _ = NeuronId(5, 3) < HeadId(6, 3)  # type: ignore[operator]


def test_a_unit_of_a_dictionary_is_named_apart_from_a_neuron() -> None:
    unit = NeuronId.parse("l5 . f3")
    assert unit == FeatureId(5, 3) == parse_component("L5.F3") != NeuronId(5, 3)
    assert str(unit) == "L5.F3"
    assert NeuronId.parse("5.3") == NeuronId.parse("L5.N3") == NeuronId(5, 3)
    with pytest.raises(BadIdError, match="is not the name of a neuron"):
        NeuronId.parse("L5.F")


def test_a_bare_name_is_a_units_where_units_are_open() -> None:
    for bare in ("5.3", "(5, 3)", "L5.3", "l5.f3"):
        assert FeatureId.parse(bare) == FeatureId(5, 3)
    assert FeatureId.parse("5.n3") == NeuronId(5, 3)
    assert NeuronId.parse("(5, f3)") == FeatureId(5, 3)


def test_they_sort_by_layer_then_number() -> None:
    names = [HeadId(2, 0), HeadId(0, 11), HeadId(0, 2)]
    assert sorted(names) == [HeadId(0, 2), HeadId(0, 11), HeadId(2, 0)]
    assert max(names) == HeadId(2, 0)


def test_they_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match=r"layer of L5\.N3 cannot be changed"):
        NeuronId(5, 3).layer = 6
    with pytest.raises(AttributeError):
        NeuronId(5, 3).name = "x"  # type: ignore[attr-defined]


def test_a_copy_is_the_same_value() -> None:
    for name in (NeuronId(5, 3), HeadId(5, 3)):
        assert copy.copy(name) == copy.deepcopy(name) == name
        assert repr(name) == f"{type(name).__name__}(layer=5, index=3)"


def test_the_name_of_a_component_says_which_kind_it_is() -> None:
    assert parse_component("L9.N1985") == NeuronId(9, 1985)
    assert parse_component("(7, h4)") == HeadId(7, 4)
    for unclear in ("7.4", "L7", "", "L7.X4"):
        with pytest.raises(BadIdError):
            parse_component(unclear)
