"""Several tokens as one (`neurons --as-one`), and several neurons as one (`shared-heads`)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import BECAUSE, HOSTILE, NEURON, PROVENANCE, FakeExplorer
from tui_lookups import cli
from tui_lookups.analysis.neuron_groups import shared_heads, summed_heads
from tui_lookups.commands import invocation
from tui_lookups.ids import NeuronId
from tui_lookups.results import MemberScore, SetNeurons, SetScore, SharedHeads, SummedHeads, Token

OTHER = NeuronId(4, 19)
CAPITAL = Token(77, " Because")


class GroupExplorer(FakeExplorer):
    """Also answers what is asked of groups."""

    def neurons_of_set(self, tokens: Sequence[str], **asked: Any) -> SetNeurons:
        self._asked("neurons_of_set", tokens=list(tokens), **asked)
        members = (MemberScore(BECAUSE, 6.5, 0.7, 3), MemberScore(CAPITAL, 5.5, 0.5, 12))
        rows = tuple(
            SetScore(n, n.layer, n.index, 6.0, cosine, 3, HOSTILE, 7.25, BECAUSE, members)
            for n, cosine in ((NEURON, 0.5), (OTHER, 0.75))
        )
        return SetNeurons(BECAUSE, "folded", "+", rows, PROVENANCE, (BECAUSE, CAPITAL), asked["as_one"])

    def shared_heads(self, neurons: Sequence[NeuronId], *, trimmed: bool | None = None) -> SharedHeads:
        self._asked("shared_heads", neurons=[*map(str, neurons)], trimmed=trimmed)
        overviews = [super(GroupExplorer, self).heads_overview(neuron) for neuron in neurons]
        silent = replace(overviews[-1], prompts=0, heads=(), note=f"{neurons[-1]} never fires.")
        return shared_heads([*overviews[:-1], silent], least_share=0.25, provenance=PROVENANCE)

    def summed_heads(
        self, neurons: Sequence[NeuronId], text: str, *, position: int | None = None
    ) -> SummedHeads:
        self._asked("summed_heads", neurons=[*map(str, neurons)], text=text, position=position)
        return summed_heads([self.heads(neuron, text=text) for neuron in neurons], "2sd", 1)


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[GroupExplorer]:
    """The explorers that were opened."""
    monkeypatch.delenv("LOOKUPS_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made: list[GroupExplorer] = []

    def opening(settings: Any) -> GroupExplorer:
        made.append(GroupExplorer(settings))
        return made[-1]

    monkeypatch.setattr(invocation, "open_explorer", opening)
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = invocation.run(cli.app, list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def words(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_tokens_as_one(capsys: pytest.CaptureFixture[str], opened: list[GroupExplorer]) -> None:
    status, out, err = run(capsys, "neurons", " because", " Because", "--as-one", "any", "--top", "2")
    assert (status, err) == (0, "")
    assert out.startswith("Neurons that promote ␣because, ␣Because as one (any)")
    first = [str(NEURON), "6.000", "0.500", "␣because", "3", "3", "12"]
    assert [row[:7] for row in words(out) if row[0] == str(NEURON)] == [first]
    assert "\x1b" not in out
    asked = {"tokens": [" because", " Because"], "as_one": "any", "top": 2, "next_token_only": False}
    assert opened[-1].calls == [("neurons_of_set", asked)]


def test_tokens_as_one_in_json_and_rows(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("neurons", " because", " Because", "--as-one", "mean")
    document = json.loads(run(capsys, *asked, "--json")[1])
    assert (document["as_one"], [token["text"] for token in document["tokens"]]) == (
        "mean",
        [" because", " Because"],
    )
    row = document["neurons"][0]
    assert (row["leading"]["text"], row["congruence"]) == (" because", 6.0)
    assert [member["token_rank"] for member in row["members"]] == [3, 12]
    (record, _) = csv.DictReader(io.StringIO(run(capsys, *asked, "--format", "csv")[1]))
    assert (json.loads(record["tokens"]), record["as_one"]) == ([" because", " Because"], "mean")
    assert (record["neuron"], record["leading.text"]) == (str(NEURON), " because")
    sorted_by_cosine = json.loads(run(capsys, *asked, "--sort", "cosine", "--json")[1])["neurons"]
    assert [row["neuron"] for row in sorted_by_cosine] == [str(OTHER), str(NEURON)]


def test_the_tokens_of_a_file_as_one(
    capsys: pytest.CaptureFixture[str], opened: list[GroupExplorer], tmp_path: Path
) -> None:
    (tmp_path / "tokens.txt").write_text(" because\nporque\n", encoding="utf-8")
    path = str(tmp_path / "tokens.txt")
    assert run(capsys, "neurons", "--tokens-file", path, "--as-one", "all")[0] == 0
    assert opened[-1].calls[0][1]["tokens"] == [" because", "porque"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("neurons", " because", " Because"), "--as-one"),
        (("neurons",), "Name a TOKEN"),
        (("neurons", "a", "--tokens-file", "x"), "Name a TOKEN"),
        (("neurons", "a", "--as-one", "sum"), "sum"),
        (("shared-heads",), "NEURON"),
        (("shared-heads", "L5.N1", "--position", "3"), "--text"),
        (("shared-heads", "L5.N1", "--text", "a", "--trimmed"), "--text"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err


def test_shared_heads(capsys: pytest.CaptureFixture[str], opened: list[GroupExplorer]) -> None:
    names = (str(NEURON), str(OTHER), "L4.N20")
    status, out, err = run(capsys, "shared-heads", *names, "--trimmed")
    assert (status, err) == (0, "")
    assert opened[-1].calls[0] == ("shared_heads", {"neurons": list(names), "trimmed": True})
    assert out.startswith(f"Heads that {NEURON}, {OTHER} and L4.N20 share")
    assert ["L3.H1", "2", "of", "2", "2", "+3.840", "+1.920", "+1.920*", "+1.920*"] in words(out)
    assert "L4.N20 never fires." in out


def test_shared_heads_in_json_and_rows(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("shared-heads", str(NEURON), str(OTHER), "L4.N20")
    document = json.loads(run(capsys, *asked, "--json")[1])
    head = next(row for row in document["heads"] if row["head"] == "L3.H1")
    figures = ("reaches", "active_for", "serves", "shared", "attribution", "mean_attribution")
    assert [head[name] for name in figures] == [2, 2, 2, True, 3.84, 1.92]
    assert [part["neuron"] for part in head["neurons"]] == [str(NEURON), str(OTHER)]
    rows = {
        row["head"]: row for row in csv.DictReader(io.StringIO(run(capsys, *asked, "--format", "csv")[1]))
    }
    assert [rows["L3.H1"][str(name)] for name in (NEURON, OTHER)] == ["1.92", "1.92"]


def test_the_sum_on_a_text(capsys: pytest.CaptureFixture[str], opened: list[GroupExplorer]) -> None:
    asked = ("shared-heads", str(NEURON), str(OTHER), "--text", "as it", "--position", "3")
    status, out, err = run(capsys, *asked)
    assert (status, err) == (0, "")
    assert opened[-1].calls[0][1]["position"] == 3
    assert ["L0.H1", "-5.000", "-2.500", "-2.500"] in words(out)
    assert "pre-activations +8.500 = heads -0.560" in out
    document = json.loads(run(capsys, *asked, "--json")[1])
    assert (document["target"]["value"], document["position"]) == (8.5, 3)
    assert [member["target"] for member in document["neurons"]] == [4.25, 4.25]
