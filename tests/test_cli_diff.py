"""The subcommand diff: what it asks and prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fake_answers import BECAUSE, HOSTILE, MODEL, NEURON, PROVENANCE, FakeExplorer
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.ids import HeadId
from tui_lookups.results import MovedHead, MovedNeuron, MovedTensor, MovedVector, WeightDiff

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


class Diffing(FakeExplorer):
    """Tells which models it was asked about."""

    def diff(self, other: str, *, top: int = 20) -> WeightDiff:
        return replace(
            WEIGHTS,
            provenance=replace(PROVENANCE, parameters={"asked": f"{self.settings.model} {other} {top}"}),
        )


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


def test_two_models_have_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation.run(cli.app, ["diff", "demo"]) == 2
    assert "MODEL_B" in capsys.readouterr().err
