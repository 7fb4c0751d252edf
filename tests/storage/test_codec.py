from __future__ import annotations

import dataclasses
import importlib
import json
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.samples import NEURON, PROVENANCE, export_document, strategy_for, token_neurons
from tui_lookups import results
from tui_lookups.errors import NumericalError
from tui_lookups.exports import document, verification
from tui_lookups.exports.document import ExportDocument
from tui_lookups.results import SCHEMA_VERSION, Histogram, Provenance, Token, TokenNeurons
from tui_lookups.storage import codec

MODULES = [
    importlib.import_module(f"tui_lookups.results.{module.name}")
    for module in pkgutil.iter_modules(results.__path__)
]
RESULTS = [
    each
    for module in (*MODULES, document, verification)
    for each in vars(module).values()
    if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__
]


@pytest.mark.parametrize("type_", RESULTS, ids=lambda type_: type_.__name__)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_result_comes_back_the_same(type_: type[Any], data: st.DataObject) -> None:
    value = data.draw(strategy_for(type_))
    data = codec.to_json_bytes(value)
    assert codec.from_json_bytes(type_, data) == value
    ours = codec.from_json_bytes(type_, data, ours=True)
    assert ours == value
    assert codec.to_json_bytes(ours) == data, "the same types too"


def test_every_result_is_among_them() -> None:
    assert len(RESULTS) > 60


def test_ours_is_refused_too_where_it_does_not_fit() -> None:
    for data in (b"", b"null", b"[]", b'{"id":1}', b'{"id":1,"text":"a","more":0}', b"[" * 100_000):
        with pytest.raises(codec.DecodeError):
            codec.from_json_bytes(Token, data, ours=True)


def test_names_are_written_as_a_person_types_them_and_keys_keep_their_order() -> None:
    plain = codec.to_plain(token_neurons())
    assert plain["neurons"][0]["neuron"] == "L5.N371"
    assert list(plain) == ["token", "basis", "sign", "neurons", "provenance"]


def test_a_document_starts_with_version_and_generator_then_the_fields() -> None:
    written = codec.document(token_neurons())
    assert list(written) == [
        "schema_version",
        "generator",
        "token",
        "basis",
        "sign",
        "neurons",
        "provenance",
    ]
    assert written["schema_version"] == SCHEMA_VERSION
    assert written["generator"].startswith("lookups-tui ")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_json_has_not_are_refused_and_located(bad: float) -> None:
    with pytest.raises(NumericalError, match=r"TokenNeurons\.neurons\[0\]\.congruence"):
        codec.to_json_bytes(token_neurons(bad))


@pytest.mark.parametrize("spelling", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_such_numbers_are_refused_on_the_way_in(spelling: str) -> None:
    with pytest.raises(codec.DecodeError):
        codec.from_json_bytes(Histogram, f'{{"edges":[{spelling}],"counts":[1]}}'.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        '{"id":1,"text":"a"}'.encode("utf-16"),
        b'{"id":1}',
        b'{"id":"1","text":"a"}',
        b'{"id":1.5,"text":"a"}',
        b'{"id":true,"text":"a"}',
        b'{"id":1,"text":null}',
        b'{"id":1,"text":"a","more":0}',
        b"[" * 100_000,
    ],
)
def test_json_that_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(codec.DecodeError):
        codec.from_json_bytes(Token, data)


def test_an_unknown_field_deep_inside_is_refused() -> None:
    plain = codec.to_plain(token_neurons())
    plain["provenance"]["model"]["pickle"] = "gASV"
    with pytest.raises(codec.DecodeError):
        codec.from_json_bytes(TokenNeurons, json.dumps(plain).encode())


def test_a_bad_neuron_name_is_refused() -> None:
    plain = codec.to_plain(token_neurons())
    plain["neurons"][0]["neuron"] = "five"
    with pytest.raises(codec.DecodeError, match="neuron"):
        codec.from_json_bytes(TokenNeurons, json.dumps(plain).encode())


def test_values_of_other_types_than_the_fields_are_not_written() -> None:
    with pytest.raises(TypeError):
        codec.to_json_bytes(Token("7", " a"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        codec.to_json_bytes({"id": 7})


def test_a_decimal_number_is_written_as_one_however_it_is_held() -> None:
    for held in (3, 3.0, np.float64(3.0)):
        assert b'"congruence":3.0,' in codec.to_json_bytes(token_neurons(held))
    with pytest.raises(TypeError):
        codec.to_json_bytes(token_neurons(True))
    with pytest.raises(TypeError):
        codec.to_json_bytes(token_neurons(np.float32(3.0)))  # type: ignore[arg-type]


def test_half_a_character_comes_back() -> None:
    data = codec.to_json_bytes(Token(7, "\ud800"))
    assert codec.from_json_bytes(Token, data) == codec.from_json_bytes(Token, data, ours=True)


def test_what_is_quoted_of_a_document_is_short() -> None:
    plain = codec.to_plain(token_neurons()) | {"sign": "x" * 10**6}
    with pytest.raises(codec.DecodeError) as refused:
        codec.from_json_bytes(TokenNeurons, json.dumps(plain).encode())
    assert len(refused.value.message) < 300


def test_parameters_keep_their_types() -> None:
    parameters = {"a": 1, "b": 1.0, "c": True, "d": None, "e": "1"}
    back = codec.from_json_bytes(Provenance, codec.to_json_bytes(replace(PROVENANCE, parameters=parameters)))
    assert {name: type(value) for name, value in back.parameters.items()} == {
        "a": int,
        "b": float,
        "c": bool,
        "d": type(None),
        "e": str,
    }


def test_the_basket_of_a_document_survives() -> None:
    back = codec.from_json_bytes(ExportDocument, codec.to_json_bytes(export_document()))
    assert back.selection() == export_document().selection()
    assert back.selection().neurons[0].neuron == NEURON


def test_importing_the_storage_package_loads_neither_torch_nor_pydantic_nor_diskcache() -> None:
    code = (
        "import sys, tui_lookups.storage.cache, tui_lookups.exports.writing, tui_lookups.corpus.readers;"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'jsonschema', 'diskcache') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
