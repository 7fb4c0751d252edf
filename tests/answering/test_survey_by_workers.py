"""Surveys whose passes are run by workers of Ray: the tables of one process, whoever is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scan.ray.made_up import MadeUpRay, away
from tui_lookups.analysis import attribution
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import Cancelled, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.exports.report import of_survey
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken
from tui_lookups.results import AblationMethod, HeadOverview, Part, Survey, SurveyProgress
from tui_lookups.scan.ray import cluster as ray_cluster
from tui_lookups.scan.ray import workers as ray_workers
from tui_lookups.scan.ray.workers import RETRIES

pytestmark = pytest.mark.usefixtures("once_loaded", "crowded")

PER_LAYER = 6
PARTS: dict[str, Part | None] = {"default": None, "paper": "explaining"}
"""Of the corpus: those whose prompts a survey looks at, by preset."""


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> MadeUpRay:
    """Two workers in this process; short passes, a few of them for each layer."""
    monkeypatch.setattr(attribution, "_BATCH_TOKENS", {"cpu": 24})
    monkeypatch.setattr(ray_workers, "_BACK_SECONDS", 0.0)
    made = MadeUpRay()
    cluster = SimpleNamespace(open=lambda poll: made, close=lambda seconds: None)
    monkeypatch.setattr(ray_cluster, "RayCluster", lambda *_, **__: cluster)
    return made


@pytest.fixture
def alone(ray: MadeUpRay, make: Callable[..., Explorer]) -> Survey:
    """The survey of one process."""
    return make("llama").survey(per_layer=PER_LAYER)


def by_workers(make: Callable[..., Explorer], cache: Path, **settings: Any) -> Explorer:
    return make("llama", cache, engine="ray", ray_workers=2, **settings)


def scanned(make: Callable[..., Explorer], cache: Path) -> Explorer:
    explorer = by_workers(make, cache)
    explorer.scan()
    return explorer


def test_the_tables_are_those_of_one_process(
    ray: MadeUpRay, alone: Survey, make: Callable[..., Explorer], tmp_path: Path
) -> None:
    """From nothing, with the scan; this process loads no model. Others may ask for the scan meanwhile."""
    explorer, told = by_workers(make, tmp_path / "cache"), list[SurveyProgress]()

    def hear(progress: SurveyProgress) -> None:
        told.append(progress)
        if 0 < progress.share < 1:
            explorer.scan()  # who has asked for nothing else lets go of the workers
            assert len(ray.actors) == 2

    found = explorer.survey(per_layer=PER_LAYER, progress=hear)
    assert found == alone
    assert explorer._engine._model is None
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert (told[-1].done, told[-1].share, told[-1].seconds_left) == (len(alone.neurons), 1.0, 0.0)
    assert not ray.actors, "they are let go of when it is done"


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_trimmed_prompts_are_those_of_one_process(
    ray: MadeUpRay, make: Callable[..., Explorer], tmp_path: Path, preset: str
) -> None:
    """The prompts lists, too; this process loads no model."""
    how = {"trimmed": True, "preset": preset}
    here, there = make("llama", tmp_path / "here", **how), by_workers(make, tmp_path / "there", **how)
    found = there.survey(per_layer=PER_LAYER)
    assert found == here.survey(per_layer=PER_LAYER)
    assert any(row.prompts for row in found.neurons)
    for row in found.neurons:
        lists = (asked._services.prompts.prompts(row.neuron, part=PARTS[preset]) for asked in (here, there))
        assert next(lists) == next(lists)
    assert there._engine._model is None


@pytest.mark.parametrize("trimmed", [False, True])
def test_the_reports_prompts_are_those_of_one_process(
    ray: MadeUpRay, make: Callable[..., Explorer], tmp_path: Path, trimmed: bool
) -> None:
    """Of which a process that prepares nothing makes the same, but for the last digits."""
    there, here = by_workers(make, tmp_path / "there"), make("llama", tmp_path / "here")
    survey, told = there.survey(per_layer=PER_LAYER, trimmed=trimmed), list[int]()
    report = of_survey(there, survey, lambda done, of: told.append(done))
    assert there._engine._model is None
    assert told == sorted(told)
    assert told[-1] == len(survey.neurons)
    expected = of_survey(here, here.survey(per_layer=PER_LAYER, trimmed=trimmed)).walks
    for walk, other in zip(report.walks, expected, strict=True):
        assert [token.id for token in walk.tokens] == [token.id for token in other.tokens]
        # What a neuron writes is read from the files where no model is loaded.
        assert replace(walk, tokens=(), suppressed=()) == replace(other, tokens=(), suppressed=())
    assert any(walk.on_prompts for walk in report.walks)
    alone = make("llama", tmp_path / "alone")
    alone.prepare_report = lambda *_, **__: None  # type: ignore[method-assign]
    for walk, single in zip(report.walks, of_survey(alone, survey).walks, strict=True):
        assert [p.prompt_id for p in walk.prompts] == [p.prompt_id for p in single.prompts]
        for mine, theirs in zip(walk.on_prompts, single.on_prompts, strict=True):
            assert (mine.prompt_id, mine.context, mine.tokens) == (
                theirs.prompt_id, theirs.context, theirs.tokens,
            )  # fmt: skip
            assert mine.sum == pytest.approx(theirs.sum, 1e-4)


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_pairs_are_ablated_as_by_one_process(
    ray: MadeUpRay, alone: Survey, make: Callable[..., Explorer], tmp_path: Path, method: AblationMethod
) -> None:
    explorer, told = by_workers(make, tmp_path / "cache"), list[int]()
    found = explorer.ablate_survey(
        explorer.survey(per_layer=PER_LAYER), method=method, progress=lambda p: told.append(p.done)
    )
    assert found == make("llama", tmp_path / "alone").ablate_survey(alone, method=method)
    assert found.ablation is not None
    assert told == list(range(len(alone.pairs) + 1))
    assert explorer._engine._model is None
    assert not ray.actors


def test_passes_of_later_neurons_are_handed_out_before_their_turn(
    ray: MadeUpRay, make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker waits for the last passes of a layer."""
    monkeypatch.setattr(attribution, "_BATCH_TOKENS", {"cpu": 10_000})  # one pass a layer
    explorer, before = scanned(make, tmp_path / "cache"), list[list[int]]()
    explorer.survey(
        per_layer=PER_LAYER,
        progress=lambda _: before.append([actor.given for actor in ray.actors]),
    )
    assert explorer.model_info().n_layers == 3
    assert next(given for given in before if any(given)) == [2, 1], "all, when the first has come"


def test_what_a_lost_worker_had_is_run_by_the_other(
    ray: MadeUpRay, alone: Survey, make: Callable[..., Explorer], tmp_path: Path
) -> None:
    explorer, answers = scanned(make, tmp_path / "cache"), list[int]()

    def lose_one(progress: SurveyProgress) -> None:
        if progress.done and not answers:
            ray.actors[1].answers = away(1, 3)
            answers.append(ray.actors[1].given)

    assert explorer.survey(per_layer=PER_LAYER, progress=lose_one) == alone
    assert answers


def test_a_pass_that_every_worker_is_lost_with_is_said_and_what_was_kept_stays(
    ray: MadeUpRay,
    alone: Survey,
    make: Callable[..., Explorer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As is one that is given up; the survey goes on there, each neuron once, in one process too."""
    cache, kept, keep = tmp_path / "cache", list[str](), Engine.keep
    explorer, token = scanned(make, cache), CancelToken()

    def noted(engine: Engine, key: str, answer: Any) -> Any:
        if isinstance(answer, HeadOverview):
            kept.append(str(answer.neuron))
        return keep(engine, key, answer)

    def lose_all(progress: SurveyProgress) -> None:
        if progress.done:
            for actor in ray.actors:
                actor.answers = lambda: False

    def give_up(progress: SurveyProgress) -> None:
        if progress.done > PER_LAYER:
            token.cancel()

    monkeypatch.setattr(Engine, "keep", noted)
    monkeypatch.setattr(ray_workers, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(ray_workers, "_LOADING_SECONDS", 0.1)
    with pytest.raises(LookupsError, match=r"lost") as caught:
        explorer.survey(per_layer=PER_LAYER, progress=lose_all)
    assert "kept" in caught.value.hint or str(RETRIES + 1) in caught.value.message
    first = len(kept)
    assert 0 < first < len(alone.neurons)
    asked = CURRENT_TOKEN.set(token)
    try:
        with pytest.raises(Cancelled):
            explorer.survey(per_layer=PER_LAYER, progress=give_up)
    finally:
        CURRENT_TOKEN.reset(asked)
    assert first < len(kept) < len(alone.neurons)
    assert not ray.actors
    again = make("llama", cache).survey(per_layer=PER_LAYER)
    assert replace(again, provenance=alone.provenance) == alone
    assert sorted(kept) == sorted(str(row.neuron) for row in alone.neurons)


def test_a_single_neuron_is_looked_at_here(
    ray: MadeUpRay, alone: Survey, make: Callable[..., Explorer], tmp_path: Path
) -> None:
    """No worker is started for a question whose answer somebody waits for."""
    explorer = scanned(make, tmp_path / "cache")
    row = next(row for row in alone.neurons if row.prompts)
    found = explorer.heads_overview(row.neuron)
    assert found.mean_target == pytest.approx(row.mean_target)
    assert not ray.actors
