"""The subcommands survey and served-by: what they ask, print and write."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet
import pytest
from rich.console import Console

from tests.fake_answers import NEURON, PROVENANCE, FakeExplorer
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.commands.narration import LineTeller, Narrator
from tui_lookups.commands.tables import render
from tui_lookups.ids import HeadId
from tui_lookups.progress import Progress
from tui_lookups.results import (
    ExplainedPair,
    Plan,
    ScoreMeans,
    ServedNeurons,
    Summary,
    Survey,
    SurveyedHead,
)
from tui_lookups.settings import Settings


@pytest.fixture(autouse=True)
def canned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LOOKUPS_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(invocation, "open_explorer", FakeExplorer)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = invocation.run(cli.app, list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_pairs_heads_and_silent_neurons_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "survey", "--per-layer", "2")
    assert (status, err) == (0, "")
    assert "2 next-token neurons, 1 pairs worth explaining" in out
    assert "1 of the neurons never fire on this corpus." in out
    assert "L5.N371" in out
    assert "37.5%" in out
    assert "L3.H0" not in out, "it serves none"


def test_a_plan_says_what_is_left(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, "survey", "--plan")
    assert "40, 12 of them in the cache" in out
    assert "at most 310, for 28 neurons of 20 prompts each" in out
    assert "9 pairs of 6 neurons so far" in out
    assert "requests" not in out
    _, out, _ = run(capsys, "survey", "--plan", "--score", "--ablate")
    assert "1,200 texts more, of about 30 pairs" in out
    assert "at most 1,230: 90,000 tokens and 6,000 back, 1.50 at the prices set" in out
    assert run(capsys, "survey", "--plan", "-o", str(tmp_path))[0] == 2


@pytest.mark.parametrize(("form", "ending"), [(None, "parquet"), ("csv", "csv"), ("markdown", "md")])
def test_tables_are_written_beside_what_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str | None, ending: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    flags = [] if form is None else ["--format", form]
    assert run(capsys, "survey", "-o", str(tmp_path), *flags)[0] == 0
    tables = ("neurons", "peaks", "pairs", "heads", "attributions", "sources")
    names = {"notes.txt", "report.html", "report.json", *(f"{name}.{ending}" for name in tables)}
    assert {path.name for path in tmp_path.iterdir()} == names
    if form is None:
        (pair,) = pyarrow.parquet.read_table(tmp_path / "pairs.parquet").to_pylist()
        assert pair == {
            "neuron": "L5.N371", "token.id": 1093, "token.text": " because", "congruence": 6.125,
            "head": "L3.H1", "mean_attribution": 1.5, "active_fraction": 0.35, "share": 0.375,
        }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    status, _, err = run(capsys, "survey", "-o", str(tmp_path / "file"))
    assert status == 1
    assert "cannot be written" in err
    assert "in the cache" in err


def test_the_neurons_a_head_serves(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "served-by", "L3.H1")
    assert out.startswith("L3.H1 serves 1 of the 1 surveyed neurons it reaches, and carries 37.5%")
    document = json.loads(run(capsys, "served-by", "L3.H1", "--json")[1])
    assert document["head"]["head"] == "L3.H1"
    assert document["pairs"][0]["neuron"] == "L5.N371"
    assert run(capsys, "served-by", "nothing")[0] == 1


def test_the_picture_of_layers_and_heads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As text, also for a pipe; the others than people are answered as without it."""
    _, out, err = run(capsys, "served-by", "L3.H1", "--picture")
    assert err == ""
    assert out.startswith(run(capsys, "served-by", "L3.H1")[1])
    title, names, *rows = out[out.index("Neurons that each head") :].splitlines()
    survey = FakeExplorer(Settings()).survey(per_layer=20, progress=lambda _: None)
    n_heads = survey.provenance.model.n_heads
    assert "serves none" in title
    assert names.split() == [f"H{n}" for n in range(n_heads)]
    shown = {head.head: (head.serves, head.carries) for head in survey.heads}
    at = names.index("H1") + 2
    assert rows[0].startswith("L3")
    assert rows[0][:at].split()[1:] == [".", "1"]
    assert rows[0][at] == "*"
    assert shown[HeadId(3, 1)] == (1, 0.375)
    assert out[out.index("Percent") :].splitlines()[2].split() == ["L3", "5", "38*"]
    assert out.endswith("* L3.H1\n")
    monkeypatch.setenv("COLUMNS", "20")
    for form in ("--json", "--format=csv"):
        plain = run(capsys, "served-by", "L3.H1", form)
        assert run(capsys, "served-by", "L3.H1", "--picture", form) == plain


def test_the_picture_is_fitted_to_the_width() -> None:
    """Heads that have no room stand below."""
    from tui_lookups.commands.tables_survey import ServedPicture

    heads = tuple(
        SurveyedHead(HeadId(layer, n), 40, serves=10 * layer, mean_attribution=1.0, carries=n / 8)
        for layer in range(11)
        for n in range(8)
    )
    served = ServedNeurons(heads[9], (), PROVENANCE)

    def lines(width: int) -> list[str]:
        console = Console(width=width, file=io.StringIO(), color_system=None)
        with console.capture() as capture:
            console.print(render(ServedPicture(served, heads, 8)))
        text = capture.get()
        return text[text.index("Neurons that") :].splitlines()

    wide, narrow = lines(80), lines(30)
    assert sum("H0" in line for line in wide) == sum("H7" in line for line in wide) == 2
    assert next(line.split() for line in wide if line.startswith("L10")) == ["L10", *["100"] * 8]
    assert any("10*" in line for line in wide)
    assert all(len(line.rstrip()) <= 30 for line in narrow if line.startswith(("L", " ")))
    headers = [line.split() for line in narrow if line.strip().startswith("H")]
    assert [name for header in headers for name in header] == [f"H{n}" for n in range(8)] * 2
    assert len(headers) == 4


def test_the_report_says_how_far_it_is() -> None:
    said: list[Progress] = []

    class Heard(LineTeller):
        def tell(self, progress: Progress) -> None:
            said.append(progress)

    narrator = Narrator(FakeExplorer(Settings()).status, io.StringIO(), Heard(io.StringIO()))
    for done in (3, 12):
        narrator.hear_gathering(done, 12)
        narrator.look()
    assert [progress.sentence for progress in said] == ["gathering the report: 3 of 12 neurons (25%)"]


class AskedExplorer(FakeExplorer):
    """One whose explainer can be asked."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.explaining = SimpleNamespace(obstacle=lambda: ("", ""), cached=list)

    def plan_survey_requests(self, survey: Survey, **how: Any) -> Plan:
        self._asked("plan_survey_requests", score=how["score"], control=how["control"])
        return Plan("gpt-4", "http://here", 42, 0, 9000, 100, "estimated", 0.5, None, ())

    def explain_survey(self, survey: Survey, **how: Any) -> Survey:
        figures = (0.75, 0.5, 0.5, 0.5, 7, 13, 0.5) if how["score"] else (None, None, None, None, 7, 13, None)
        row = ExplainedPair(NEURON, HeadId(3, 1), "After [a] cause.", *figures, "")
        means = ScoreMeans(Summary(1, 0.75, None), Summary(1, 0.5, None), Summary(1, 0.5, None))
        return replace(survey, explained=(row,), scores=means if how["score"] else None)


def test_what_is_sent_is_said_first_then_the_scores_and_ablations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(invocation, "open_explorer", AskedExplorer)
    status, out, err = run(capsys, "survey", "--score", "--ablate", "-o", str(tmp_path), "--format", "csv")
    assert (status, out) == (0, out)
    assert err.startswith("42 requests to gpt-4 at http://here: 9,000 tokens")
    explained = (tmp_path / "explained.csv").read_text(encoding="utf-8").splitlines()
    assert explained[1].startswith("L5.N371,L3.H1,After [a] cause.,0.75,0.5")
    ablated = (tmp_path / "ablated.csv").read_text(encoding="utf-8").splitlines()
    assert ablated[1] == "L5.N371,L3.H1,0.25,0.125"
    _, out, _ = run(capsys, "survey", "--score", "--ablate")
    assert "1 pairs explained, 0 left out." in out
    assert "Head explanation score: mean 0.750 over 1" in out
    assert "Kolmogorov-Smirnov distance 1.000" in out
    document = json.loads(run(capsys, "survey", "--explain", "--json")[1])
    assert document["explained"][0]["explanation"] == "After [a] cause."
    assert document["scores"] is None
