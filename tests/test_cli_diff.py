"""The subcommand diff: what it asks and prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_answers import BECAUSE, HOSTILE, MODEL, NEURON, PROVENANCE, TOKENS, FakeExplorer
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    ActivationDiff,
    ChangedNeuron,
    HeadsDiff,
    HeadShift,
    LayerCorrelation,
    MatchedLayer,
    MatchedNeuron,
    MovedHead,
    MovedNeuron,
    MovedTensor,
    MovedVector,
    NeuronDiff,
    NeuronMatches,
    OtherShift,
    PairedPrompt,
    WeightDiff,
)

STILL = MovedVector(0.0, 1.0, 2.0, 2.0)
TURNED = MovedVector(0.5, 0.75, 2.0, 3.0)
WEIGHTS = WeightDiff(
    against=replace(MODEL, name="tuned", fingerprint="m1"),
    basis="folded",
    neurons=(MovedNeuron(NEURON, 5, 371, 0.5, TURNED, STILL, None, BECAUSE, HOSTILE),),
    neurons_moved=1,
    neurons_compared=4608,
    heads=(MovedHead(HeadId(2, 1), 2, 1, 0.25, None, None, None, 0.25),),
    heads_moved=1,
    heads_compared=12,
    matrices=(MovedTensor("h.5.mlp.c_proj.weight", (768, 8), 0.05, 0.05, 1.0),),
    vectors=(MovedTensor("h.5.ln_2.bias", (8,), 0.125, None, None),),
    tensors_moved=2,
    tensors_compared=76,
    tensors_apart=("wte.weight\x1b[31m",),
    provenance=PROVENANCE,
)


ACTIVATIONS = ActivationDiff(
    WEIGHTS.against, "folded", (ChangedNeuron(NEURON, 5, 371, 1.5, None, 0.25, 4.5, HOSTILE, BECAUSE),), 4608,
    (LayerCorrelation(0, 0.875, 0.125), LayerCorrelation(5, None, 0.5)), 8494, PROVENANCE,
)  # fmt: skip
IN_BOTH = NeuronDiff(
    NEURON, WEIGHTS.against, "folded", 1.5, 0.75,
    (
        PairedPrompt("rose", 1, 17, TOKENS, 3, (0.0, 0.1, 0.2, 0.25, 0.0), (0.0, 0.1, 0.2, 4.5, 0.0)),
        PairedPrompt("peak before", 1, 4, TOKENS, 1, (0.0, 2.5, 0.2, 0.25, 0.0), (0.0, 0.1, 0.2, 0.5, 0.0)),
    ),
    PROVENANCE,
)  # fmt: skip
MATCHES = NeuronMatches(
    WEIGHTS.against, (MatchedNeuron(NEURON, NeuronId(5, 7), -0.96875, True, BECAUSE, HOSTILE),),
    (MatchedLayer(5, 768, 576, 0.875),), PROVENANCE,
)  # fmt: skip
HEADS = HeadsDiff(
    NEURON, WEIGHTS.against, 7, "pre_activation", 1.0, 2.5,
    (HeadShift(HeadId(2, 1), 0.25, 1.25, 0.75, 0.25),),
    (OtherShift("mlps", 0.75, 1.25, 0.5, 0.0),), PROVENANCE,
)  # fmt: skip


class Diffing(FakeExplorer):
    """Tells which models it was asked about."""

    def diff(self, other: str, *, top: int = 20) -> WeightDiff:
        return replace(
            WEIGHTS,
            provenance=replace(PROVENANCE, parameters={"asked": f"{self.settings.model} {other} {top}"}),
        )

    def diff_activations(self, other: str, *, top: int = 20) -> ActivationDiff:
        assert (other, top) == ("tuned", 20)
        return ACTIVATIONS

    def diff_matches(self, other: str, *, top: int = 20) -> NeuronMatches:
        assert (other, top) == ("tuned", 20)
        return MATCHES

    def diff_heads(self, other: str, neuron: NeuronId, *, top: int = 20) -> HeadsDiff:
        assert (other, neuron, top) == ("tuned", NEURON, 20)
        return HEADS

    def diff_neuron(self, other: str, neuron: NeuronId, *, top: int = 5) -> NeuronDiff:
        assert (other, neuron, top) == ("tuned", NEURON, 2)
        return IN_BOTH


@pytest.fixture(autouse=True)
def canned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(invocation, "open_explorer", Diffing)


def test_what_moved_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo", "tuned"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["What", "moved", "in", "the", "weights", "(demo", "->", "tuned,", "folded", "weights)"] in lines
    assert ["1", "of", "4,608", "neurons", "moved"] in lines
    row = next(line for line in lines if line[:1] == ["L5.N371"])
    assert row[1:7] == ["0.5000", "0.7500", "x1.500", "1.0000", "x1.000", "␣because"]
    assert ["L2.H1", "0.2500", "0.2500"] in lines
    assert ["h.5.mlp.c_proj.weight", "0.05000", "0.05000", "100.0%"] in lines
    assert ["h.5.ln_2.bias", "0.12500"] in lines
    assert "\x1b" not in str(lines[-1])
    assert "wte.weight" in lines[-1][-1]


def test_as_json_and_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "a", "b", "--top", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["provenance"]["parameters"]["asked"] == "a b 3"
    assert document["neurons"][0]["write"] == {
        "change": 0.5,
        "cosine": 0.75,
        "norm_before": 2.0,
        "norm_after": 3.0,
    }
    assert document["against"]["name"] == "tuned"
    assert invocation.run(cli.app, ["diff", "a", "b", "--format", "csv"]) == 0
    names, row = capsys.readouterr().out.splitlines()[:2]
    assert names.startswith("neuron,layer,index,moved,write.change,write.cosine")
    assert row.startswith("L5.N371,5,371,0.5,0.5,0.75")


def test_activations_are_listed_with_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo", "tuned", "--activations"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    row = next(line for line in lines if line[:1] == ["L5.N371"])
    assert row[1:4] == ["1.5000", "0.250", "4.500"]
    assert ["0", "0.8750", "0.1250"] in lines
    assert ["5", "0.5000"] in lines


def test_matches_are_listed_with_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo", "tuned", "--match"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["L5.N371", "L5.N7", "-0.9688", "yes", "␣because"] in [line[:5] for line in lines]
    assert ["5", "576", "75.0%", "0.8750"] in lines


def test_a_neuron_is_shown_in_both_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo", "tuned", "--neuron", "L5.N371", "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert "correlation 0.7500, change 1.5000" in out
    assert "fell" not in out, "there is no such prompt"
    lines = [line.split() for line in out.splitlines()]
    assert [line[:4] for line in lines if "demo" in line[:3]] == [
        ["1", "17", "demo", "0.250"],
        ["1", "4", "demo", "2.500"],
    ]
    assert [line[:2] for line in lines if line[:1] == ["tuned"]] == [["tuned", "4.500"], ["tuned", "0.100"]]
    assert "| because|" in out
    assert "\x1b" not in out


def test_heads_of_a_neuron_with_both_parts_of_their_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo", "tuned", "--neuron", "L5.N371", "--heads"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["L2.H1", "+0.2500", "+1.2500", "+1.0000", "+0.7500", "+0.2500"] in lines
    assert ["mlps", "+0.7500", "+1.2500", "+0.5000", "+0.5000", "+0.0000"] in lines
    assert ["pre-activation", "+1.0000", "+2.5000", "+1.5000"] in lines
    assert invocation.run(cli.app, ["diff", "demo", "tuned", "--heads"]) == 2


def test_a_list_is_not_of_one_neuron(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "a", "b", "--activations", "--neuron", "L5.N371"]) == 2
    assert "only one can be asked for" in capsys.readouterr().err


def test_two_models_have_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo"]) == 2
    assert "MODEL_B" in capsys.readouterr().err
    assert invocation.run(cli.app, ["diff", "a", "b", "--model", "c"]) == 2
    assert "leave out --model" in capsys.readouterr().err
