"""Neuronpedia's layout: the keys that its public exporters write and its importer's database asks for."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.exports.reports import HEAD, large_report, survey_report
from tests.fake_answers import NEURON
from tui_lookups.errors import ExportError
from tui_lookups.exports.neuronpedia import model_id, write_neuronpedia
from tui_lookups.exports.report import Report
from tui_lookups.ids import FeatureId
from tui_lookups.results import UnitsInfo

TEXT, NUMBER, INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
TEXTS, NUMBERS, WHOLE = ({"type": "array", "items": each} for each in (TEXT, NUMBER, INTEGER))
NAMED = {"modelId": TEXT, "layer": TEXT, "index": TEXT}


def of(**keys: Any) -> dict[str, Any]:
    """A line that has these keys, and perhaps others."""
    return {"type": "object", "properties": keys, "required": list(keys)}


SCHEMA = {
    "release.jsonl": of(name=TEXT, description=TEXT, creatorName=TEXT, creatorId=TEXT),
    "model.jsonl": of(
        id={**TEXT, "pattern": "^[a-z0-9_-]{1,128}$"}, creatorId=TEXT, owner={**TEXT, "minLength": 1},
        layers=INTEGER, neuronsPerLayer=INTEGER,
    ),
    "sourceset.jsonl": of(modelId=TEXT, name=TEXT, description=TEXT, creatorName=TEXT, creatorId=TEXT),
    "source.jsonl": of(id=TEXT, modelId=TEXT, setName=TEXT, creatorId=TEXT),
    "features/batch-0.jsonl.gz": of(
        **NAMED, creatorId=TEXT, maxActApprox=NUMBER, hasVector={"type": "boolean"}, vector=NUMBERS,
        vectorLabel={}, hookName={}, vectorDefaultSteerStrength={}, topkCosSimIndices=WHOLE,
        topkCosSimValues=NUMBERS, neuron_alignment_indices=WHOLE, neuron_alignment_values=NUMBERS,
        neuron_alignment_l1=NUMBERS, correlated_neurons_indices=WHOLE, correlated_neurons_pearson=NUMBERS,
        correlated_neurons_l1=NUMBERS, neg_str=TEXTS, neg_values=NUMBERS, pos_str=TEXTS, pos_values=NUMBERS,
        frac_nonzero=NUMBER, freq_hist_data_bar_heights=NUMBERS, freq_hist_data_bar_values=NUMBERS,
        logits_hist_data_bar_heights=NUMBERS, logits_hist_data_bar_values=NUMBERS,
        decoder_weights_dist=NUMBERS, sourceSetName=TEXT,
    ),
    "activations/batch-0.jsonl.gz": of(
        id=TEXT, **NAMED, creatorId=TEXT, tokens=TEXTS, values=NUMBERS, maxValue=NUMBER,
        maxValueTokenIndex=INTEGER, minValue=NUMBER, dataIndex={}, dataSource={}, dfaValues=NUMBERS,
        dfaTargetIndex={"type": ["integer", "null"]}, dfaMaxValue={"type": ["number", "null"]},
    ),
    "explanations/batch-0.jsonl.gz": of(
        id=TEXT, **NAMED, authorId=TEXT, description=TEXT, typeName={}, explanationModelName={}
    ),
}  # fmt: skip
"""By file, what a line must have: the columns that the exporters of Neuronpedia and SAEDashboard write, and
those of Neuronpedia's database that have neither a default nor null."""


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    data = (folder / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    report = survey_report()
    folder = tmp_path_factory.mktemp("neuronpedia")
    assert write_neuronpedia(report, folder) == (folder / "demo" / "5-lookups",)
    return report, folder / "demo" / "5-lookups"


@pytest.mark.parametrize("name", SCHEMA)
def test_every_line_has_the_keys_that_are_asked_for(written: tuple[Report, Path], name: str) -> None:
    found = lines(written[1], name)
    assert found
    for line in found:
        Draft202012Validator(SCHEMA[name]).validate(line)
        assert list(line) == list(found[0]), "columns are taken from the first line"
    assert {str(path.relative_to(written[1])) for path in written[1].rglob("*.*")} == set(SCHEMA)


def test_lines_name_each_other(written: tuple[Report, Path]) -> None:
    report, folder = written
    (release,), (model,), (set_,), (source,) = (lines(folder, name) for name in list(SCHEMA)[:4])
    assert (set_["releaseName"], set_["modelId"]) == (release["name"], model["id"])
    assert (source["modelId"], source["setName"], source["id"]) == (model["id"], set_["name"], folder.name)
    features = lines(folder, "features/batch-0.jsonl.gz")
    known = {(line["modelId"], line["layer"], line["index"]) for line in features}
    assert known == {(model["id"], source["id"], str(walk.neuron.index)) for walk in report.walks}
    for name in ("activations", "explanations"):
        of_them = lines(folder, f"{name}/batch-0.jsonl.gz")
        assert {(line["modelId"], line["layer"], line["index"]) for line in of_them} <= known
        assert len({line["id"] for line in of_them}) == len(of_them)


def test_an_activation_has_its_tokens_its_peak_and_what_a_head_reads(written: tuple[Report, Path]) -> None:
    report, folder = written
    prompt, found = report.walks[0].prompts[0], report.walks[0].on_prompts[0]
    line = lines(folder, "activations/batch-0.jsonl.gz")[0]
    assert line["tokens"] == [token.text for token in prompt.tokens]
    assert tuple(line["values"]) == prompt.activations
    assert (line["maxValueTokenIndex"], line["maxValue"]) == (prompt.peak.position, prompt.peak.activation)
    assert line["dfaTargetIndex"] == found.position
    read = {source.position: source.attribution for source in found.sources}
    assert line["dfaValues"] == [read.get(position, 0.0) for position in range(len(prompt.tokens))]
    assert line["dfaMaxValue"] == max(read.values())
    others = lines(folder, "activations/batch-0.jsonl.gz")[1:]
    assert {json.dumps(line["dfaValues"]) for line in others} == {"[]"}


def test_source_tokens_of_a_trimmed_text_are_not_put_beside_the_whole_one(tmp_path: Path) -> None:
    report = survey_report()
    (found,) = report.walks[0].on_prompts
    trimmed = replace(report.walks[0], on_prompts=(replace(found, tokens=found.tokens[1:], position=2),))
    (folder,) = write_neuronpedia(replace(report, walks=(trimmed,)), tmp_path)
    assert not any(line["dfaValues"] for line in lines(folder, "activations/batch-0.jsonl.gz"))


def test_an_explanation_says_which_head_it_is_of(written: tuple[Report, Path]) -> None:
    (line,) = lines(written[1], "explanations/batch-0.jsonl.gz")
    assert line["description"] == f"{HEAD}: {written[0].walks[0].explained[0].explanation.explanation}"
    assert line["index"] == str(NEURON.index)
    assert json.loads(line["notes"])["head"] == str(HEAD)


def test_a_layer_is_a_source_and_the_same_report_the_same_bytes(tmp_path: Path) -> None:
    report = large_report(4, 1)
    folders = write_neuronpedia(report, tmp_path / "one")
    assert [folder.name for folder in folders] == [f"{layer}-lookups" for layer in (20, 21, 22, 23)]
    write_neuronpedia(report, tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.*"):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


def test_names_and_texts_are_those_that_the_importer_takes(tmp_path: Path) -> None:
    report = survey_report("Ob/scure \ud800 Näme")
    assert model_id(report.provenance.model) == "ob-scure-n-me"
    (folder,) = write_neuronpedia(report, tmp_path)
    assert lines(folder, "features/batch-0.jsonl.gz")[0]["pos_str"][0] == "Ob/scure ? Näme"
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ExportError, match="cannot be written"):
        write_neuronpedia(report, tmp_path / "file")


def test_units_of_a_dictionary_are_features_of_a_source_set_of_their_own(tmp_path: Path) -> None:
    report = survey_report()
    units = UnitsInfo("Dict/2", "abc", "ReLU")
    model = replace(report.provenance.model, units=units, d_mlp=1024)
    unit = FeatureId(NEURON.layer, NEURON.index)
    of_units = replace(
        report,
        provenance=replace(report.provenance, model=model),
        walks=tuple(replace(walk, neuron=unit) for walk in report.walks[:1]),
    )
    (folder,) = write_neuronpedia(of_units, tmp_path)
    assert folder.name == "5-lookups-dict-2"
    for name, schema in SCHEMA.items():
        for line in lines(folder, name):
            Draft202012Validator(schema).validate(line)
    (source,), (set_,) = lines(folder, "source.jsonl"), lines(folder, "sourceset.jsonl")
    assert (source["id"], source["setName"], set_["name"]) == (folder.name, set_["name"], "lookups-dict-2")
    (feature,) = lines(folder, "features/batch-0.jsonl.gz")
    assert (feature["layer"], feature["index"], feature["hookName"]) == (folder.name, str(unit.index), None)
    assert (set_["type"], feature["sourceSetName"]) == ("Transcoder units", set_["name"])
    assert lines(folder, "model.jsonl")[0]["neuronsPerLayer"] == 0
