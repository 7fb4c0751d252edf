"""Surveys of chosen layers as they grow; one head's part, and what it reads (method.md, section 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live_objects import counting_new
from tui_lookups.analysis.batches import SharedPass
from tui_lookups.answering import survey_service
from tui_lookups.answering.answers import HeadsSeen
from tui_lookups.answering.overviews import Peaks
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import HeadOverview, ServedNeurons, Survey, SurveyProgress

pytestmark = pytest.mark.usefixtures("once_loaded")

PER_LAYER = 3


def test_a_pairs_share_is_of_the_neurons_mean_target(make: Callable[..., Explorer]) -> None:
    explorer = make()
    found = explorer.survey(per_layer=PER_LAYER)
    targets = {row.neuron: row.mean_target for row in found.neurons}
    assert len(found.pairs) > 3
    for pair in found.pairs:
        assert pair.share == pytest.approx(pair.mean_attribution / targets[pair.neuron])


def test_for_one_head_only_neurons_that_it_reaches_are_worked_out(
    make: Callable[..., Explorer], tmp_path: Path
) -> None:
    head, told = HeadId(1, 0), list[SurveyProgress]()
    explorer = make(cache=tmp_path / "cache")
    found = explorer.served_by(head, per_layer=PER_LAYER, progress=told.append)
    whole = make().survey(per_layer=PER_LAYER)
    reached = [row for row in whole.neurons if row.neuron.layer >= 1]
    assert told[-1].total == len(reached) < len(whole.neurons)
    assert found.head == next(row for row in whole.heads if row.head == head)


def test_it_grows_neuron_by_neuron(make: Callable[..., Explorer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_service, "_TELL_SECONDS", 0.0)
    explorer, grown, served = make(), list[Survey](), list[ServedNeurons]()
    whole = explorer.survey(per_layer=PER_LAYER, so_far=grown.append)
    assert [survey.neurons for survey in grown] == [whole.neurons[: n + 1] for n in range(len(whole.neurons))]
    assert grown[-1] == whole
    head = max(whole.heads, key=lambda row: row.serves).head
    found = explorer.served_by(head, per_layer=PER_LAYER, so_far=served.append)
    assert served[-1] == found
    assert [len(part.pairs) for part in served] == sorted(len(part.pairs) for part in served)


@pytest.mark.usefixtures("crowded")
def test_what_is_held_does_not_grow_with_the_number_of_neurons(
    make: Callable[..., Explorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of neurons that are done nothing but their rows: what was seen and worked out is of one group."""
    monkeypatch.setattr(survey_service, "TOGETHER", 2)

    most: Counter[type] = Counter()
    explorer = make("llama", tmp_path)
    explorer.scan()
    with counting_new(HeadOverview, HeadsSeen, SharedPass, Peaks) as count:

        def look(_: SurveyProgress) -> None:
            nonlocal most
            most |= count()

        neurons = explorer.survey(per_layer=12, progress=look).neurons
    groups = 2 * 2  # two neurons each; the one before is let go while the next is begun
    longest = max(row.prompts for row in neurons)
    assert 0 < most[HeadOverview] <= groups < len(neurons) / 4
    assert 0 < most[HeadsSeen] <= groups * longest < sum(row.prompts for row in neurons)
    assert most[SharedPass] <= groups * longest
    assert most[Peaks] <= groups


def test_of_chosen_layers(make: Callable[..., Explorer]) -> None:
    explorer = make()
    whole, last = explorer.survey(per_layer=2), explorer.survey(per_layer=2, layers=(1,))
    assert last.layers == explorer.survey_plan(per_layer=2, layers=(1, 1)).layers == (1,)
    assert last.neurons == tuple(row for row in whole.neurons if row.neuron.layer == 1)
    for layers, message in (((0, 3), "Layer 3 is not surveyed"), ((), "needs a layer")):
        with pytest.raises(LookupsError, match=message):
            explorer.survey(per_layer=2, layers=layers)


@pytest.mark.parametrize("trimmed", [False, True])
def test_what_a_head_reads_sums_to_its_mean_attribution(make: Callable[..., Explorer], trimmed: bool) -> None:
    explorer = make("llama")  # gated: prompts of both signs
    neuron = next(row.neuron for row in explorer.survey(per_layer=1).neurons if row.prompts)
    overview = explorer.heads_overview(neuron, trimmed=trimmed)
    head = overview.heads[1]
    found = explorer.head_reads(neuron, head.head, top=3, trimmed=trimmed)
    means = [row.mean_attribution for row in found.tokens]
    assert means == sorted(means, reverse=True)
    assert len(means) == 3
    assert sum(means) + found.rest == pytest.approx(head.mean_attribution, rel=1e-5)
    first, of_first, on = found.tokens[0], 0.0, 0
    for prompt in explorer.prompts(neuron).prompts:
        read = explorer.heads(neuron, prompt=prompt.rank, sources=head.head, trimmed=trimmed).sources
        mine = [source.attribution for source in read if source.token == first.token]
        of_first, on = of_first + prompt.sign * sum(mine), on + bool(mine)
    assert first.mean_attribution == pytest.approx(of_first / found.prompts, rel=1e-5)
    assert first.prompts == on > 0
    assert explorer.head_reads(neuron, head.head, top=3, trimmed=trimmed) == found, "from the cache"


def test_what_a_head_reads_for_a_neuron_it_does_not_reach_is_refused(make: Callable[..., Explorer]) -> None:
    with pytest.raises(LookupsError, match="does not reach"):
        make("llama").head_reads(NeuronId(0, 1), HeadId(1, 0))


def test_what_a_head_reads_in_the_raw_basis_is_refused(make: Callable[..., Explorer]) -> None:
    with pytest.raises(UnsupportedModelError, match="folded weights"):
        make(raw_weights=True).head_reads(NeuronId(1, 1), HeadId(0, 0))


def test_under_preset_paper_a_head_reads_the_prompts_of_its_survey(make: Callable[..., Explorer]) -> None:
    explorer = make(preset="paper")
    row = next(row for row in explorer.survey(per_layer=2).neurons if row.prompts and row.heads)
    overview = explorer.heads_overview(row.neuron, part="explaining")
    head = overview.heads[0]
    found = explorer.head_reads(row.neuron, head.head)
    assert found.prompts == overview.prompts == row.prompts
    read = sum(token.mean_attribution for token in found.tokens) + found.rest
    assert read == pytest.approx(head.mean_attribution, rel=1e-5)
