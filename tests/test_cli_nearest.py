"""The subcommand nearest: what it asks and prints."""

from __future__ import annotations

import json

import pytest

from tests.fake_answers import FakeExplorer
from tui_lookups import cli
from tui_lookups.commands import invocation


def test_the_neurons_most_like_one_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(invocation, "open_explorer", FakeExplorer)
    assert invocation.run(cli.app, ["nearest", "L5.N371", "--by", "reads", "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert "Neurons of other layers that read most like L5.N371" in out
    assert ["L4.N2", "0.625", "␣because"] in [line.split() for line in out.splitlines()]
    assert invocation.run(cli.app, ["nearest", "L5.N371", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["neuron"], document["by"]) == ("L5.N371", "writes")
    assert document["neurons"][0]["cosine"] == 0.625


def test_those_of_another_model_and_by_activations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(invocation, "open_explorer", FakeExplorer)
    assert invocation.run(cli.app, ["nearest", "L5.N371", "--by", "activations", "--in", "tuned"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Neurons of tuned that fire most like L5.N371")
    assert lines[1].split() == ["neuron", "correlation", "top", "token"]
