"""why, inputs and ablate --edge on the command line, against fixed answers."""

# ruff: noqa: F401, F811 - fixtures

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests import fake_sums
from tests.fake_answers import BECAUSE, NEURON
from tests.test_cli import Shell, clean_environment, shell
from tests.test_tables import text_of
from tui_lookups.commands import tables_sums
from tui_lookups.ids import HeadId, NeuronId

PLACE: dict[str, Any] = {"prompt_id": None, "position": None, "token": None, "foil": None}


@pytest.mark.parametrize(
    ("arguments", "question", "parameters"),
    [
        (["why", "a text"], "why", {"text": "a text", "top": 50, **PLACE}),
        (
            ["why", "--prompt-id", "3", "--position", "2", "--token", " a", "--foil", "#7", "--top", "9"],
            "why",
            {"text": None, "prompt_id": 3, "position": 2, "token": " a", "foil": "#7", "top": 9},
        ),
        (
            ["why", "a text", "--remove", "L3.H1"],
            "removed",
            {"component": HeadId(3, 1), "text": "a text", "method": "zero", **PLACE},
        ),
        (
            ["why", "a text", "--remove", "5.N371", "--method", "mean"],
            "removed",
            {"component": NEURON, "text": "a text", "method": "mean", **PLACE},
        ),
        (
            ["inputs", "5.371"],
            "inputs",
            {"neuron": NEURON, "text": None, "prompt": None, "position": None, "trimmed": None, "top": 50},
        ),
        (
            ["inputs", "5.371", "--text", "x", "--position", "1", "--top", "3"],
            "inputs",
            {"neuron": NEURON, "text": "x", "prompt": None, "position": 1, "trimmed": None, "top": 3},
        ),
        (
            ["inputs", "5.371", "--all-prompts", "--trimmed"],
            "inputs_overview",
            {"neuron": NEURON, "trimmed": True, "top": 50},
        ),
        (
            ["ablate", "5.371", "--edge", "L3.H1", "--text", "x"],
            "cut_edge",
            {"neuron": NEURON, "component": HeadId(3, 1), "prompt": None, "text": "x", "trimmed": None},
        ),
        (
            ["ablate", "5.371", "L4.N19", "--edge", "--prompt", "2"],
            "cut_edge",
            {"neuron": NEURON, "component": NeuronId(4, 19), "prompt": 2, "text": None, "trimmed": None},
        ),
    ],
)
def test_what_the_explorer_is_asked_and_that_there_is_a_table(
    shell: Shell, arguments: list[str], question: str, parameters: dict[str, Any]
) -> None:
    status, table, err = shell(*arguments)
    assert (status, err) == (0, "")
    assert len(table.splitlines()) >= 3
    assert not set("\x1b\u202e") & set(table)
    assert shell.explorer is not None
    assert shell.explorer.calls == [(question, parameters)]
    assert "provenance" in shell.document(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["why"], "Give a TEXT, or a prompt"),
        (["why", "a", "--prompt-id", "3"], "Give a TEXT, or a prompt"),
        (["inputs", "5.371", "--text", "x", "--prompt", "1"], "cannot be combined"),
        (["inputs", "5.371", "--all-prompts", "--prompt", "1"], "cannot be combined"),
        (["inputs", "5.371", "--position", "1"], "--position goes with --text"),
        (["ablate", "5.371", "3.1", "--text", "x"], "go with --edge"),
        (["ablate", "5.371", "3.1", "--edge", "--positions", "all"], "leave --method and --positions out"),
        (["ablate", "5.371", "3.1", "--edge", "--method", "zero"], "leave --method and --positions out"),
        (["ablate", "5.371", "3.1", "--edge", "--text", "x", "--trimmed"], "does not go with --text"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str], said: str) -> None:
    status, _, err = shell(*arguments)
    assert status == 2
    assert said in err


def test_a_component_that_does_not_say_which_it_is(shell: Shell) -> None:
    status, _, err = shell("why", "a", "--remove", "3.1")
    assert status == 1
    assert "'3.1' is not the name of a neuron or a head." in err


def test_keys_of_why(shell: Shell) -> None:
    found = shell.document("why", "a", "--by", "layer")
    assert found == shell.document("why", "a")
    assert {"token", "foil", "position", "probability", "predictions", "layers", "soft_cap"} <= set(found)
    assert found["target"] == {"name": "logit", "value": 2.375}
    assert found["neurons"][0] == {
        "neuron": "L5.N371", "activation": 4.25, "contribution": 2.5, "share": 1.05, "congruence": 6.125,
        "top_token": {"id": BECAUSE.id, "text": BECAUSE.text}, "next_token_neuron": True,
    }  # fmt: skip
    assert found["sum"] + found["remainder"] == found["target"]["value"]
    assert found["rest"] == sum(found["neurons_by_layer"]) - sum(
        row["contribution"] for row in found["neurons"]
    )
    assert set(found["other"]) == {
        "embedding", "attention_biases", "mlp_biases", "bias", "skip", "error",
    }  # fmt: skip
    inputs = shell.document("inputs", "5.371")
    assert {"neuron", "position", "target", "heads", "neurons", "rest", "other", "sum", "remainder"} <= set(
        inputs
    )


def test_components_come_by_size_with_the_sum_above_them(shell: Shell) -> None:
    lines = shell("why", "a", "--foil", "x")[1].splitlines()
    names = [line.split()[0] for line in lines if line.startswith("L")]
    assert names == ["L5.N371", "L3.H1", "L0.H0", "L4.N19"]
    assert "105.3%" in next(line for line in lines if line.startswith("L5.N371"))
    assert "its own top token" in next(line for line in lines if line.startswith("L5.N371"))
    said = "\n".join(lines)
    assert "heads -0.750  neurons +2.250  embedding +0.250  attention biases +0.125  MLP biases -0.06" in said
    assert "logit less the foil's, before the soft cap of 30: 2.375, remainder 6.2e-02" in said
    assert "probability 0.5000, the foil's 0.2500" in said


def test_layers_of_why_as_a_table_and_as_records(shell: Shell) -> None:
    lines = shell("why", "a", "--by", "layer")[1].splitlines()
    assert lines[-3].split() == ["embedding", "+0.750"]
    assert lines[-1].split()[:6] == ["layer", "1", "-1.250", "+1.750", "+0.000", "+2.375"]
    rows = list(csv.DictReader(io.StringIO(shell("why", "a", "--by", "layer", "--format", "csv")[1])))
    assert [row["lens_logit"] for row in rows] == ["1.5", "2.375"]


def test_records_are_heads_and_neurons(shell: Shell) -> None:
    rows = list(csv.DictReader(io.StringIO(shell("inputs", "5.371", "--format", "csv")[1])))
    assert [(row["component"], row["contribution"], row["activation"]) for row in rows] == [
        ("L0.H0", "0.5", ""), ("L3.H1", "-1.25", ""), ("L5.N371", "2.5", "4.25"), ("L4.N19", "-0.25", "1.0"),
    ]  # fmt: skip
    assert {row["neuron"] for row in rows} == {"L5.N371"}


def test_an_edge_of_a_plain_and_of_a_gated_neuron() -> None:
    plain = text_of(fake_sums.edge_cut(NEURON, HeadId(3, 1))).splitlines()
    assert [line.split()[-2:] for line in plain if "scale" in line] == [
        ["1.8750", "1.7500"], ["2.0000", "1.9375"],
    ]  # fmt: skip
    gated = text_of(fake_sums.edge_cut(NEURON, HeadId(3, 1), gated=True))
    assert "anew from g and u: 1.7500 held, 1.9375 free" in gated


def test_what_a_list_leaves_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_sums, "ROWS_SHOWN", 3)
    assert "1 more; --json has all that are named." in text_of(fake_sums.inputs(NEURON, given=True))
