"""carries and attends on the command line, against fixed answers."""

# ruff: noqa: F401, F811 - fixtures

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.fake_answers import NEURON
from tests.test_cli import Shell, clean_environment, shell
from tui_lookups.ids import HeadId

HEAD = HeadId(3, 1)
CARRIES: dict[str, Any] = {"token": None, "prompt": None, "text": None, "position": None, "trimmed": None}
ATTENDS: dict[str, Any] = {"neuron": None, "prompt": None, "query": None, "key": None, "trimmed": None}


@pytest.mark.parametrize(
    ("arguments", "question", "parameters"),
    [
        (
            ["carries", "L3.H1", "5.371", "--source", " right"],
            "carries",
            {"neuron": NEURON, "head": HEAD, "source": " right", "top": 20, **CARRIES},
        ),
        (
            ["carries", "3.1", "5.371", "--source", "7", "--prompt", "2", "--trimmed", "--top", "3"],
            "carries",
            {"neuron": NEURON, "head": HEAD, "source": 7, "prompt": 2, "trimmed": True, "top": 3},
        ),
        (
            ["carries", "3.1", "--source", "2", "--token", " so", "--text", "a text", "--position", " text"],
            "carries",
            {
                "neuron": None,
                "head": HEAD,
                "source": 2,
                "token": " so",
                "text": "a text",
                "position": " text",
            },
        ),
        (
            ["attends", "L3.H1", "--text", "a text"],
            "attends",
            {"head": HEAD, "text": "a text", "top": 20, **ATTENDS},
        ),
        (
            ["attends", "3.1", "5.371", "--prompt", "2", "--query", "5", "--key", "a", "--full"],
            "attends",
            {"head": HEAD, "neuron": NEURON, "prompt": 2, "query": 5, "key": "a", "trimmed": False},
        ),
    ],
)
def test_what_the_explorer_is_asked_and_that_there_is_a_table(
    shell: Shell, arguments: list[str], question: str, parameters: dict[str, Any]
) -> None:
    status, table, err = shell(*arguments)
    assert (status, err) == (0, "")
    assert len(table.splitlines()) >= 5
    assert not set("\x1b\u202e") & set(table)
    assert shell.explorer is not None
    ((asked, given),) = shell.explorer.calls
    assert (asked, {**given, **parameters}) == (question, given)
    assert "provenance" in shell.document(*arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["carries", "3.1", "5.371"], "Missing option '--source'"),
        (["carries", "3.1", "--source", "2"], "Give NEURON or --token."),
        (
            ["carries", "3.1", "5.371", "--token", "a", "--source", "2", "--text", "a"],
            "Give NEURON or --token.",
        ),
        (["carries", "3.1", "--token", "a", "--source", "2"], "--token needs --text."),
        (["attends", "3.1"], "Give NEURON or --text."),
        (["attends", "3.1", "--text", "a", "--prompt", "2"], "--prompt and --text cannot be combined."),
        (["attends", "3.1", "--text", "a", "--trimmed"], "--trimmed is about prompts"),
        (["attends", "3.1", "--text", "a", "--side", "both"], "'both' is not one of"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: list[str], sentence: str) -> None:
    status, out, err = shell(*arguments)
    assert (status, out) == (2, "")
    assert sentence in err


def test_tables_come_by_size_with_the_sum(shell: Shell) -> None:
    lines = shell("carries", "3.1", "5.371", "--source", "2")[1].splitlines()
    assert lines[2] == "weight 0.5000"
    assert "heads -0.750  neurons +2.250" in lines[3]
    assert "=  2.312;  attribution of this token: 2.375, remainder 6.2e-02" in lines[3]
    assert [line.split()[0] for line in lines[5:]] == ["L5.N371", "L3.H1", "L0.H0", "L4.N19"]


def test_each_side_has_its_table_and_json_has_all(shell: Shell) -> None:
    tables = {
        side: shell("attends", "3.1", "--text", "a", "--side", side)[1] for side in ("key", "query", "pairs")
    }
    for table in tables.values():
        assert "weight 0.7500  score 0.5000  advantage +2.3750; a soft cap of 20 comes after" in table
        keys = [line.split()[0] for line in table.splitlines()[4:6]]
        assert keys == ["2", "1"]
    assert "At the key, against the other positions" in tables["key"]
    assert "At the query" in tables["query"]
    pairs = [line.split() for line in tables["pairs"].splitlines()[-4:]]
    assert pairs[0] == ["L0.H0", "L0.H0", "+2.6250"]
    assert pairs[-1] == ["embedding", "embedding", "+0.2500"]
    document = shell.document("attends", "3.1", "--text", "a", "--side", "pairs")
    assert {"weight", "score", "advantage", "keys", "key_side", "query_side", "groups", "pairs"} <= set(
        document
    )
    assert document["pairs"][1] == {"query": "embedding", "key": "L0.H0", "contribution": -2.0}


def test_records_are_of_the_side_that_is_asked_for(shell: Shell) -> None:
    def records(*arguments: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(shell(*arguments, "--format", "csv")[1])))

    carried = records("carries", "3.1", "5.371", "--source", "2")
    assert [row["component"] for row in carried] == ["L0.H0", "L3.H1", "L5.N371", "L4.N19"]
    assert (carried[0]["head"], carried[0]["neuron"], carried[0]["contribution"]) == (
        "L3.H1",
        "L5.N371",
        "0.5",
    )
    of_key = records("attends", "3.1", "--text", "a")
    assert [row["component"] for row in of_key] == [row["component"] for row in carried]
    pairs = records("attends", "3.1", "--text", "a", "--side", "pairs")
    assert pairs[1] == {"head": "L3.H1", "query": "embedding", "key": "L0.H0", "contribution": "-2.0"}
