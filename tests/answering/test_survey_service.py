"""Surveys are the single answers put together, and go on where they were ended (method.md, section 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tui_lookups.answering import answers
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId
from tui_lookups.results import HeadOverview, SurveyProgress
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

TEXTS = [
    "the cat sat because the mat", "and the cat and the mat sat", "because because the cat",
    "a mat, a cat and a hat", "sat the cat on the mat?", "no cat sat there because of rain",
    "what the cat saw and what the mat knew", "the the the and and", "cats and mats", "because it rained",
]  # fmt: skip
PER_LAYER = 3


class Stopped(Exception):
    """Somebody ends the survey."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surveys")
    (folder / "texts.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    return folder


@pytest.fixture
def make(home: Path, tiny_folder: Callable[[str], Path]) -> Iterator[Callable[..., Explorer]]:
    made: list[Explorer] = []

    def make(name: str = "gpt2", cache: Path = home / "cache", **settings: Any) -> Explorer:
        made.append(
            Explorer(
                load_settings(
                    model=str(tiny_folder(name)), corpus=str(home / "texts.txt"), device="cpu", top=6,
                    window=24, cache_dir=str(cache), **settings,
                )
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_survey_is_the_atlas_and_every_neurons_overview(make: Callable[..., Explorer], name: str) -> None:
    explorer = make(name)
    found = explorer.survey(per_layer=PER_LAYER)
    atlas = explorer.atlas(per_layer=PER_LAYER)
    assert [row.neuron for row in found.neurons] == [
        n.neuron for layer in atlas.layers for n in layer.neurons
    ]
    overviews = {row.neuron: explorer.heads_overview(row.neuron) for row in found.neurons}
    expected = {
        (neuron, head.head, head.mean_attribution, head.active_fraction)
        for neuron, overview in overviews.items()
        for head in overview.heads
        if head.worth_explaining
    }
    pairs = [(p.neuron, p.head, p.mean_attribution, p.active_fraction) for p in found.pairs]
    assert len(pairs) == len(expected)
    assert set(pairs) == expected
    for row in found.heads:
        reached = [
            (overview, head)
            for overview in overviews.values()
            for head in overview.heads
            if head.head == row.head and overview.prompts
        ]
        mine = [head.mean_attribution for _, head in reached if head.worth_explaining]
        assert (row.reaches, row.serves) == (len(reached), len(mine))
        assert row.mean_attribution == (pytest.approx(np.mean(mine)) if mine else None)
        whole = sum(overview.mean_target or 0.0 for overview, _ in reached)
        assert row.carries == pytest.approx(sum(head.mean_attribution for _, head in reached) / whole)


def test_what_is_read_sums_to_the_mean_target(make: Callable[..., Explorer]) -> None:
    explorer = make()
    row = next(row for row in explorer.survey(per_layer=PER_LAYER).neurons if row.prompts)
    prompts = explorer.prompts(row.neuron).prompts
    targets = [
        explorer.heads(row.neuron, prompt=prompt.rank).target.value * prompt.sign for prompt in prompts
    ]
    assert row.mean_target == pytest.approx(np.mean(targets))


def test_ended_on_its_way_it_goes_on_and_ends_in_the_same_tables(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    overview = answers.head_overview

    def counted(model: Any, neuron: Any, *given: Any, **named: Any) -> HeadOverview:
        worked.append(str(neuron))
        return overview(model, neuron, *given, **named)

    monkeypatch.setattr(answers, "head_overview", counted)

    def ends(progress: SurveyProgress) -> None:
        if progress.done == 4:
            raise Stopped

    cache = tmp_path / "cache"
    with pytest.raises(Stopped):
        make(cache=cache).survey(per_layer=PER_LAYER, progress=ends)
    assert len(worked) == 4
    plan = make(cache=cache).survey_plan(per_layer=PER_LAYER)
    assert plan.done == 4
    told: list[SurveyProgress] = []
    again = make(cache=cache).survey(per_layer=PER_LAYER, progress=told.append)
    assert len(worked) == len(set(worked)) == plan.neurons == len(again.neurons), "each neuron once"
    assert [progress.done for progress in told] == list(range(plan.neurons + 1))
    whole = make().survey(per_layer=PER_LAYER)
    assert replace(again, provenance=whole.provenance) == whole


def test_an_overview_of_an_earlier_version_is_asked_anew(
    make: Callable[..., Explorer], tmp_path: Path
) -> None:
    """It has no mean target; what else it says is the same."""
    explorer = make(cache=tmp_path / "cache")
    neuron = explorer.survey(per_layer=1).neurons[0].neuron
    engine, heads = explorer._engine, explorer._services.heads
    key = heads._overview_key(neuron, engine.conventions())
    known = engine.cached(key, HeadOverview)
    assert known is not None
    engine.keep(key, replace(known, mean_target=None))
    assert heads.known_overview(neuron, trimmed=None) is None
    assert explorer.heads_overview(neuron) == known


def test_the_neurons_a_head_serves(make: Callable[..., Explorer]) -> None:
    explorer = make()
    survey = explorer.survey(per_layer=PER_LAYER)
    head = max(survey.heads, key=lambda row: row.serves).head
    found = explorer.served_by(head, per_layer=PER_LAYER)
    assert found.head in survey.heads
    assert len(found.pairs) == found.head.serves > 0
    assert set(found.pairs) == {pair for pair in survey.pairs if pair.head == head}
    means = [pair.mean_attribution for pair in found.pairs]
    assert means == sorted(means, reverse=True)


def test_a_head_that_reaches_none_of_them_is_refused(make: Callable[..., Explorer]) -> None:
    explorer = make(layers="0")
    with pytest.raises(LookupsError, match="reaches none of the surveyed neurons"):
        explorer.served_by(HeadId(1, 0), per_layer=1)


def test_in_the_raw_basis_there_is_no_survey(make: Callable[..., Explorer]) -> None:
    with pytest.raises(UnsupportedModelError, match="no sum closes"):
        make(raw_weights=True).survey(per_layer=1)


def test_a_plan_works_nothing_out(make: Callable[..., Explorer], tmp_path: Path) -> None:
    explorer = make(cache=tmp_path / "cache")
    plan = explorer.survey_plan(per_layer=2)
    info, layers = explorer.model_info(), explorer.atlas(per_layer=2).layers
    assert plan.layers == tuple(range(info.n_layers))
    assert (plan.neurons, plan.done, plan.prompts) == (sum(len(layer.neurons) for layer in layers), 0, 6)
    assert plan.pairs == sum(len(layer.neurons) * (layer.layer + 1) * info.n_heads for layer in layers)
    assert explorer.status().scan is None
