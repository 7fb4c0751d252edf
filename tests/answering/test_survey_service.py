"""Surveys are the single answers put together, and go on where they were ended (method.md, section 12)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from tests.explanation.chat_server import EXPLANATION, ChatServer
from tui_lookups.analysis import attribution, trimming
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import HeadOverview, Part, Prompt, SurveyProgress

pytestmark = pytest.mark.usefixtures("once_loaded")

PER_LAYER = 3


class Stopped(Exception):
    """Somebody ends the survey."""


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize(("name", "trimmed"), [("gpt2", False), ("llama", False), ("llama", True)])
def test_a_survey_is_the_atlas_and_every_neurons_overview(
    make: Callable[..., Explorer], tmp_path: Path, name: str, trimmed: bool
) -> None:
    """Held to the single questions, answered without it in a cache of their own."""
    explorer = make(name, trimmed=trimmed)
    found = explorer.survey(per_layer=PER_LAYER)
    atlas = explorer.atlas(per_layer=PER_LAYER)
    assert [row.neuron for row in found.neurons] == [
        n.neuron for layer in atlas.layers for n in layer.neurons
    ]
    assert len({row.neuron.layer for row in found.neurons if row.prompts}) > 1
    alone = make(name, tmp_path / "alone", trimmed=trimmed)
    overviews = {row.neuron: alone.heads_overview(row.neuron) for row in found.neurons}
    expected = {
        (neuron, head.head): (pytest.approx(head.mean_attribution, 1e-4, 1e-6), head.active_fraction)
        for neuron, overview in overviews.items()
        for head in overview.heads
        if head.worth_explaining
    }
    assert len(found.pairs) == len(expected)
    for pair in found.pairs:
        assert (pair.mean_attribution, pair.active_fraction) == expected[pair.neuron, pair.head]
    for row in found.neurons:
        overview = overviews[row.neuron]
        assert (row.prompts, row.heads, row.note) == (overview.prompts, len(overview.heads), overview.note)
        assert row.mean_target == (pytest.approx(overview.mean_target, 1e-5, 1e-6) if row.prompts else None)
    for row in found.heads:
        reached = [
            (overview, head)
            for overview in overviews.values()
            for head in overview.heads
            if head.head == row.head and overview.prompts
        ]
        mine = [head.mean_attribution for _, head in reached if head.worth_explaining]
        assert (row.reaches, row.serves) == (len(reached), len(mine))
        assert row.mean_attribution == (pytest.approx(np.mean(mine), 1e-4, 1e-6) if mine else None)
        whole = sum(overview.mean_target or 0.0 for overview, _ in reached)
        assert row.carries == pytest.approx(sum(head.mean_attribution for _, head in reached) / whole, 1e-4)


@pytest.mark.usefixtures("crowded")
def test_preset_paper_looks_at_the_explaining_part(make: Callable[..., Explorer], tmp_path: Path) -> None:
    found = make("gpt2", tmp_path / "cache", preset="paper").survey(per_layer=2)
    alone = make("gpt2", tmp_path / "alone", preset="paper")
    overviews = {row.neuron: alone.heads_overview(row.neuron, part="explaining") for row in found.neurons}
    assert [row.prompts for row in found.neurons] == [overview.prompts for overview in overviews.values()]
    assert {(pair.neuron, pair.head) for pair in found.pairs} == {
        (neuron, head.head)
        for neuron, overview in overviews.items()
        for head in overview.heads
        if head.worth_explaining
    }
    every = [alone.heads_overview(row.neuron).prompts for row in found.neurons]
    assert sum(row.prompts for row in found.neurons) < sum(every)


@contextmanager
def rows_run(explorer: Explorer) -> Iterator[list[int]]:
    """The rows of every forward pass meanwhile."""
    model: LookupModel = explorer._engine.on_model(lambda model, poll: model)
    rows: list[int] = []

    def counted(run: Callable[..., None]) -> Callable[..., None]:
        def count(tokens: Any, *given: Any, **named: Any) -> None:
            rows.append(len(tokens))
            run(tokens, *given, **named)

        return count

    with (
        mock.patch.object(model, "run", counted(model.run)),
        mock.patch.object(model, "mlp_activations", counted(model.mlp_activations)),
    ):
        yield rows


@pytest.mark.usefixtures("crowded")
def test_only_the_passes_that_are_needed(make: Callable[..., Explorer], tmp_path: Path) -> None:
    """Of full windows each prompt is run once for all neurons of a layer, and nothing is trimmed."""
    explorer = make("llama", tmp_path / "cache")
    explorer.scan()
    plan = explorer.survey_plan(per_layer=PER_LAYER)
    with rows_run(explorer) as rows, mock.patch.object(trimming, "_Evaluator", None):
        found = explorer.survey(per_layer=PER_LAYER)
    distinct = {
        (row.neuron.layer, prompt.prompt_id)
        for row in found.neurons
        for prompt in explorer.prompts(row.neuron).prompts
    }
    assert 0 < sum(rows) <= plan.texts == len(distinct) < sum(row.prompts for row in found.neurons)
    assert explorer.survey_plan(per_layer=PER_LAYER).texts == 0


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_trimmed_ones_share_the_passes_that_trim(
    make: Callable[..., Explorer], tmp_path: Path, preset: str
) -> None:
    """No more than the plan says, and far fewer than neuron by neuron; the lists are those of each alone."""
    how: dict[str, Any] = {"trimmed": True, "preset": preset}
    unscanned = make("llama", tmp_path / "cache", **how).survey_plan(per_layer=12).texts
    explorer, alone = (make("llama", tmp_path / name, **how) for name in ("cache", "alone"))
    explorer.scan()
    alone.scan()
    plan = explorer.survey_plan(per_layer=12)
    part: Part | None = "explaining" if preset == "paper" else None
    with rows_run(explorer) as together:
        found = explorer.survey(per_layer=12)
    with rows_run(alone) as apart:
        overviews = [alone.heads_overview(row.neuron, part=part) for row in found.neurons]
    assert sum(together) <= plan.texts < unscanned
    assert sum(together) < 0.6 * sum(apart)
    assert [row.prompts for row in found.neurons] == [overview.prompts for overview in overviews]
    with rows_run(explorer) as again:
        for row in found.neurons:
            listed, single = (
                asked._services.prompts.prompts(row.neuron, part=part) for asked in (explorer, alone)
            )
            assert [prompt_without_figures(p) for p in listed.prompts] == [
                prompt_without_figures(p) for p in single.prompts
            ]
            assert (listed.top_token, listed.stats, listed.note) == (
                single.top_token,
                single.stats,
                single.note,
            )
            for mine, theirs in zip(listed.prompts, single.prompts, strict=True):
                assert mine.activations == pytest.approx(theirs.activations, 1e-4, 1e-6)
    assert not again, "they are in the cache"


def prompt_without_figures(prompt: Prompt) -> Prompt:
    """What is the same to the last digit, however it was run."""
    assert prompt.trimmed is not None
    return replace(
        prompt,
        activations=(),
        peak=replace(prompt.peak, activation=0.0),
        trimmed=replace(prompt.trimmed, activation=0.0),
    )


def test_what_is_read_sums_to_the_mean_target(make: Callable[..., Explorer]) -> None:
    explorer = make()
    row = next(row for row in explorer.survey(per_layer=PER_LAYER).neurons if row.prompts)
    prompts = explorer.prompts(row.neuron).prompts
    targets = [
        explorer.heads(row.neuron, prompt=prompt.rank).target.value * prompt.sign for prompt in prompts
    ]
    assert row.mean_target == pytest.approx(np.mean(targets))


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("trimmed", [False, True])
def test_ended_ten_times_it_goes_on_and_ends_in_the_same_tables(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trimmed: bool
) -> None:
    """To the last digit: after any pass, and before or after an answer is kept."""
    monkeypatch.setattr(attribution, "_BATCH_TOKENS", {"cpu": 24})
    whole = make("llama", tmp_path / "whole", trimmed=trimmed).survey(per_layer=6)
    cache, drawn = tmp_path / "cache", random.Random(7)
    keep, kept, left, ended = Engine.keep, list[str](), [0], list[int]()

    def tick(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    def keep_or_end(engine: Engine, key: str, answer: Any) -> Any:
        if not isinstance(answer, HeadOverview):
            return keep(engine, key, answer)
        tick()
        kept.append(str(answer.neuron))
        keep(engine, key, answer)
        tick()
        return answer

    monkeypatch.setattr(Engine, "keep", keep_or_end)
    while len(ended) < 10:
        left[0] = drawn.randint(2, 16)
        with pytest.raises(Stopped):
            make("llama", cache, trimmed=trimmed).survey(per_layer=6, progress=tick)
        ended.append(len(kept))
    assert 0 < len(kept) < len(whole.neurons)
    assert len(set(ended)) > 3, "on its way, and not only at its beginning"
    told: list[SurveyProgress] = []
    again = make("llama", cache, trimmed=trimmed).survey(per_layer=6, progress=told.append)
    assert sorted(kept) == sorted(str(row.neuron) for row in again.neurons), "each neuron once"
    assert replace(again, provenance=whole.provenance) == whole
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert [p.share for p in told] == sorted(p.share for p in told)
    assert (told[-1].done, told[-1].share, told[-1].seconds_left) == (len(whole.neurons), 1.0, 0.0)


def test_an_overview_of_an_earlier_version_is_asked_anew(
    make: Callable[..., Explorer], tmp_path: Path
) -> None:
    """It has no mean target; what else it says is the same."""
    explorer = make(cache=tmp_path / "cache")
    neuron = explorer.survey(per_layer=1).neurons[0].neuron
    engine, overviews = explorer._engine, explorer._services.overviews
    key = overviews._key(neuron, engine.conventions(), None)
    known = engine.cached(key, HeadOverview)
    assert known is not None
    engine.keep(key, replace(known, mean_target=None))
    assert overviews.cached(neuron, trimmed=None) is None
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


@pytest.mark.usefixtures("crowded")
def test_pairs_are_explained_and_scored_each_once(make: Callable[..., Explorer], tmp_path: Path) -> None:
    with ChatServer() as server:
        settings = {"base_url": server.base_url, "explainer_model": "gpt-4", "layers": "1-2"}
        explorer = make("llama", tmp_path / "cache", **settings)
        survey = explorer.survey(per_layer=PER_LAYER)
        assert survey.pairs
        told: list[SurveyProgress] = []
        plan = explorer.plan_survey_requests(survey, score=True, progress=told.append)
        assert server.bodies == []
        assert (told[-1].step, told[-1].done) == ("examples", len({pair.neuron for pair in survey.pairs}))
        found = explorer.explain_survey(survey, score=True)
        assert 0 < len(server.bodies) <= plan.calls
        sent = len(server.bodies)
        assert [(row.neuron, row.head) for row in found.explained] == [
            (pair.neuron, pair.head) for pair in survey.pairs
        ]
        scored = [row for row in found.explained if not row.left_out]
        assert scored
        assert all(row.left_out for row in found.explained if row.head_explanation_score is None)
        for row in scored:
            single = explorer.head_scores.score(row.neuron, row.head)
            assert (row.head_explanation_score, row.f1) == (
                single.score.head_explanation_score,
                single.score.f1,
            )
            assert row.explanation == single.explanation
        assert found.scores is not None
        assert found.scores.head_explanation_score.mean == pytest.approx(
            np.mean([row.head_explanation_score for row in scored])
        )
        again = make("llama", tmp_path / "cache", **settings)
        assert again.explain_survey(again.survey(per_layer=PER_LAYER), score=True) == found
        words = again.explain_survey(survey)
        assert {row.explanation for row in words.explained} <= {EXPLANATION, ""}
        assert words.scores is None
        assert len(server.bodies) == sent, "nothing is asked twice"


@pytest.mark.usefixtures("crowded")
def test_pairs_are_ablated_as_each_alone_is(make: Callable[..., Explorer]) -> None:
    explorer = make("llama", layers="1-2")
    survey = explorer.survey(per_layer=PER_LAYER)
    told: list[SurveyProgress] = []
    found = explorer.ablate_survey(survey, method="zero", progress=told.append).ablation
    assert found is not None
    single = {
        (pair.neuron, pair.head): explorer.ablate(pair.neuron, pair.head).summary for pair in survey.pairs
    }
    assert len(found.pairs) + found.left_out == len(single)
    for pair in found.pairs:
        summary = single[pair.neuron, pair.head]
        assert pair.drop_active == summary.active.mean_probability_drop
        assert pair.drop_inactive == summary.inactive.mean_probability_drop
    assert [p.done for p in told] == list(range(len(survey.pairs) + 1))
    assert {p.step for p in told} == {"ablations"}


@pytest.mark.usefixtures("crowded")
def test_a_plan_says_what_the_pairs_would_take(make: Callable[..., Explorer]) -> None:
    explorer = make("llama", layers="1-2", price_per_million_input=1.0, price_per_million_output=2.0)
    survey = explorer.survey(per_layer=PER_LAYER)
    plan = explorer.survey_plan(per_layer=PER_LAYER, score=True, ablate=True)
    pairs, top = len(survey.pairs), 6
    assert (plan.done, plan.worth_explaining) == (plan.neurons, pairs)
    then = plan.follow_up
    assert then is not None
    assert (then.pairs, then.calls) == (pairs, pairs * (1 + 2 * top))
    assert then.texts == 2 * top * (plan.with_pairs + pairs)
    assert then.cost == pytest.approx((then.input_tokens + 2 * then.output_tokens) / 1e6)
    assert explorer.survey_plan(per_layer=PER_LAYER).follow_up is None


@pytest.mark.usefixtures("crowded")
def test_tables_by_layer_and_by_share_count_every_pair(make: Callable[..., Explorer]) -> None:
    explorer = make("llama")
    survey = explorer.survey(per_layer=PER_LAYER)
    overviews = [explorer.heads_overview(row.neuron) for row in survey.neurons]
    shares = [head.active_fraction for overview in overviews for head in overview.heads]
    tenths = [min(9, round(100 * share) // 10) for share in shares]
    assert [share.pairs for share in survey.active_shares] == [tenths.count(step) for step in range(10)]
    assert sum(row.neurons for row in survey.by_layer) == len(survey.neurons)
    assert sum(row.pairs for row in survey.by_layer) == len(survey.pairs)
    assert sum(row.served for row in survey.by_layer) == len(survey.pairs)
    assert sum(row.serving for row in survey.by_layer) == sum(head.serves > 0 for head in survey.heads)


def test_a_plan_works_nothing_out(make: Callable[..., Explorer], tmp_path: Path) -> None:
    explorer = make(cache=tmp_path / "cache")
    plan = explorer.survey_plan(per_layer=2)
    info, layers = explorer.model_info(), explorer.atlas(per_layer=2).layers
    assert plan.layers == tuple(range(info.n_layers))
    assert (plan.neurons, plan.done, plan.prompts) == (sum(len(layer.neurons) for layer in layers), 0, 6)
    assert plan.pairs == sum(len(layer.neurons) * (layer.layer + 1) * info.n_heads for layer in layers)
    assert explorer.status().scan is None
