"""Published figures: the comparison itself on a tiny model, and GPT-2's where its weights are at hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reference_raw import RawGPT2
from tui_lookups.answering import published
from tui_lookups.answering.explaining import NOTHING
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.answering.published import PUBLISHED, PublishedFigure
from tui_lookups.answering.reproducing import skipped
from tui_lookups.errors import LookupsError, UnknownTokenError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model.sources import in_hub_cache
from tui_lookups.results import ScoreReport, Summary
from tui_lookups.settings import load_settings


@pytest.fixture
def explorer(tiny_folder: Callable[[str], Path], tmp_path: Path):
    made = Explorer(load_settings(model=str(tiny_folder("gpt2")), cache_dir=tmp_path, device="cpu"))
    yield made
    made.close()


def test_ours_stands_beside_the_published(explorer, tiny_folder, monkeypatch) -> None:
    raw = RawGPT2(tiny_folder("gpt2"))
    token = explorer.resolve_token(" cat").token
    scores = [raw.congruence(layer)[:, token.id] for layer in range(raw.n_layers)]
    best = max((value, layer, i) for layer, column in enumerate(scores) for i, value in enumerate(column))
    named = NeuronId(best[1], best[2])
    figures = (
        PublishedFigure(NeuronId(1, 4), " cat", float(scores[1][4]), "here"),
        PublishedFigure(NeuronId(1, 5), " cat", float(scores[1][5]) + 0.02, "here"),
        PublishedFigure(named, " cat", None, "there"),
        PublishedFigure(NeuronId(named.layer, (named.index + 1) % 40), " cat", None, "there"),
    )
    monkeypatch.setitem(published.PUBLISHED, "tiny", figures)
    found = explorer.reproduce("tiny")
    assert [row.agrees for row in found.figures] == [True, False, True, False]
    assert not found.agrees
    assert found.skipped == ""
    assert [row.ours for row in found.figures[:2]] == pytest.approx([scores[1][4], scores[1][5]], rel=1e-4)
    every = sorted((value for column in scores for value in column), reverse=True)
    assert [row.neuron_rank for row in found.figures[:2]] == [
        1 + sum(value > scores[1][i] + 1e-5 for value in every) for i in (4, 5)
    ]
    assert found.figures[2].neuron_rank == 1


def test_another_model_is_told_from_the_vocabulary(explorer) -> None:
    with pytest.raises(UnknownTokenError):
        explorer.reproduce("gpt2")  # the tiny vocabulary has no " too"
    with pytest.raises(LookupsError, match="No published figures"):
        explorer.reproduce("tiny")


def test_means_over_pairs_are_told_or_say_why_there_are_none(explorer, monkeypatch) -> None:
    monkeypatch.setitem(published.PUBLISHED, "gpt2", ())
    found = explorer.reproduce("gpt2").means
    assert [(row.what, row.published, row.ours) for row in found] == [
        ("head explanation score", 0.65, None),
        ("head explanation score", 0.6293, None),
        ("F1", 0.6295, None),
        ("Kolmogorov-Smirnov distance", 0.242, None),
    ]
    assert all("survey --preset paper" in row.why for row in found)
    summary = Summary(7, 0.6, 0.1, "population")
    provenance = explorer.atlas(per_layer=1).provenance
    report = ScoreReport((), (), summary, Summary(7, 0.5, None), summary, NOTHING, provenance)
    monkeypatch.setattr(HeadScores, "scored", lambda scores: report)
    score, _, f1, distance = explorer.reproduce("gpt2").means
    assert (score.ours, score.ours_deviation, score.ours_pairs, score.why) == (0.6, 0.1, 7, "")
    assert (f1.ours, f1.why) == (0.5, "")
    assert (distance.ours, "--ablate" in distance.why) == (None, True)
    assert [row.why for row in skipped("gpt2-medium", "Not here.").means] == ["Not here."] * 4


METHOD_7 = """
(9,5) " too" 17.856; (9,1616) " each" 17.375; (9,1985) " because" 14.865; (9,1496) " such" 14.769;
(9,2513) " term" 13.630; (9,1047) " does" 13.454; (9,1690) " by" 12.645; (10,3041) " right" 19.741;
(10,1122) " way" 18.581
"""
"""(layer, neuron) token congruence, as the method page prints them for GPT-2 small."""


def test_the_table_is_that_of_the_method() -> None:
    rows = re.findall(r'\((\d+),(\d+)\) "( \w+)" ([\d.]+)', METHOD_7)
    assert len(rows) == 9
    assert [(f.neuron, f.token, f.congruence) for f in PUBLISHED["gpt2"]] == [
        (NeuronId(int(layer), int(index)), token, float(value)) for layer, index, token, value in rows
    ]
    assert [(f.neuron, f.token, f.congruence) for f in PUBLISHED["gpt2-large"]] == [
        (NeuronId(31, 892), " an", None)
    ]
    assert list(PUBLISHED) == ["gpt2", "gpt2-large"]
    assert all(figure.source for figures in PUBLISHED.values() for figure in figures)


def test_a_figure_agrees_within_a_hundredth(explorer, tiny_folder, monkeypatch) -> None:
    token = explorer.resolve_token(" cat").token
    ours = float(RawGPT2(tiny_folder("gpt2")).congruence(1)[4, token.id])
    off = (-0.011, -0.009, 0.0, 0.009, 0.011)
    figures = tuple(PublishedFigure(NeuronId(1, 4), " cat", ours + each, "here") for each in off)
    monkeypatch.setitem(published.PUBLISHED, "tiny", figures)
    found = explorer.reproduce("tiny")
    assert found.tolerance == 0.01
    assert [row.agrees for row in found.figures] == [False, True, True, True, False]
    assert [row.published for row in found.figures] == [ours + each for each in off]


@pytest.mark.hub
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_figures_of_the_real_model(name: str, tmp_path: Path) -> None:
    if not in_hub_cache(name):
        pytest.skip(f"{name} is not in the local Hugging Face cache")
    explorer = Explorer(load_settings(model=name, cache_dir=tmp_path, device="cpu", offline=True))
    try:
        found = explorer.reproduce(name)
    finally:
        explorer.close()
    assert [row for row in found.figures if not row.agrees] == []
