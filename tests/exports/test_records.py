"""Answers as records: which list they come from, what stands in front, and that no digit or text is lost."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, replace

import pyarrow.parquet
import pytest

from tests.fake_answers import BECAUSE, HOSTILE, NEURON, FakeExplorer
from tui_lookups import results
from tui_lookups.errors import FlagError
from tui_lookups.exports import records, tables
from tui_lookups.exports.formats import RecordFormat
from tui_lookups.results import NeuronsOfTokens, TokenNeurons
from tui_lookups.settings import Settings


@pytest.fixture
def explorer() -> FakeExplorer:
    return FakeExplorer(Settings())


def read_back(result: object, form: RecordFormat, delimiter: str) -> list[dict[str, str]]:
    text = tables.encode(result, form, terminal=False).decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_neurons_are_read_back_with_every_digit_and_the_token_they_are_of(
    explorer: FakeExplorer, form: RecordFormat, delimiter: str
) -> None:
    found = explorer.neurons(BECAUSE.text)
    rows = read_back(found, form, delimiter)
    assert [row["neuron"] for row in rows] == [str(neuron.neuron) for neuron in found.neurons]
    assert [float(row["congruence"]) for row in rows] == [neuron.congruence for neuron in found.neurons]
    assert {row["token.text"] for row in rows} == {BECAUSE.text}


def test_hostile_text_is_itself_in_a_file_and_visible_on_a_terminal(explorer: FakeExplorer) -> None:
    found = explorer.neurons(BECAUSE.text)
    hostile = replace(found, neurons=tuple(replace(row, top_token=HOSTILE) for row in found.neurons))
    assert {row["top_token.text"] for row in read_back(hostile, "csv", ",")} == {HOSTILE.text}
    for form in ("csv", "tsv", "markdown"):
        assert b"\x1b" not in tables.encode(hostile, form, terminal=True)


def test_a_bar_in_markdown_is_no_column(explorer: FakeExplorer) -> None:
    found = explorer.neurons(BECAUSE.text)
    barred = replace(found, neurons=(replace(found.neurons[0], top_token=replace(BECAUSE, text="a|b")),))
    lines = tables.encode(barred, "markdown", terminal=False).decode().splitlines()
    assert len(lines) == 3
    assert "a\\|b" in lines[2]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_a_prompt_has_its_text_its_activations_and_its_figures(explorer: FakeExplorer) -> None:
    found = explorer.prompts_with_figures(NEURON)
    first, row = found.prompts[0], records.records_of(found)[0]
    assert row["tokens"] == "".join(token.text for token in first.tokens)
    assert tuple(json.loads(row["activations"])) == first.activations
    assert row["peak.activation"] == first.peak.activation
    assert row["logit_contribution"] == found.figures[0].logit_contribution
    assert row["neuron"] == str(NEURON)


def test_prompts_without_figures_are_still_rows(explorer: FakeExplorer) -> None:
    found = replace(explorer.prompts_with_figures(NEURON), figures=())
    assert [row["rank"] for row in records.records_of(found)] == [prompt.rank for prompt in found.prompts]


def test_activations_are_a_row_a_token(explorer: FakeExplorer) -> None:
    found = explorer.activations(NEURON, "He went")
    rows = records.records_of(found)
    assert [(row["position"], row["text"], row["activation"]) for row in rows] == [
        (position, token.text, value)
        for position, (token, value) in enumerate(zip(found.tokens, found.activations, strict=True))
    ]


def test_neurons_of_several_tokens_say_which(explorer: FakeExplorer) -> None:
    one = explorer.neurons(BECAUSE.text)
    other = replace(one, token=HOSTILE)
    rows = records.records_of(NeuronsOfTokens((one, other)))
    assert [row["token.id"] for row in rows] == [BECAUSE.id] * len(one.neurons) + [HOSTILE.id] * len(
        one.neurons
    )


def test_parquet_is_read_back_and_not_for_a_terminal(explorer: FakeExplorer) -> None:
    found = explorer.heads(NEURON, prompt=1)
    data = tables.encode(found, "parquet", terminal=False)
    read = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    assert read == records.records_of(found)
    assert [row["attribution"] for row in read] == [head.attribution for head in found.heads]
    with pytest.raises(FlagError, match="not for a terminal"):
        tables.encode(found, "parquet", terminal=True)


def test_no_rows_are_an_empty_table(explorer: FakeExplorer) -> None:
    empty: TokenNeurons = replace(explorer.neurons(BECAUSE.text), neurons=())
    assert tables.encode(empty, "csv", terminal=False) == b""
    assert tables.encode(empty, "markdown", terminal=False) == b""


def test_a_result_without_a_list_is_one_record(explorer: FakeExplorer) -> None:
    (row,) = records.records_of(explorer.scan())
    assert row["prompts"] == explorer.scan().prompts
    assert "provenance" not in row


@pytest.mark.parametrize("kind", sorted(records._LISTS))
def test_the_lists_are_those_of_the_results(kind: str) -> None:
    assert set(records._LISTS[kind]) <= {field.name for field in fields(getattr(results, kind))}
