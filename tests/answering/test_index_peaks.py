"""Peaks by the index alone, and lists without trimmed contexts: those of `prompts`, for the least work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answering.conftest import TEXTS
from tests.live_objects import counting_new
from tui_lookups.analysis import trimming
from tui_lookups.answering import answers, prompt_service
from tui_lookups.explorer import Explorer
from tui_lookups.exports.report import of_survey
from tui_lookups.ids import NeuronId
from tui_lookups.results import Prompt
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def explorer(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_folder: Callable[[str], Path],
    once_loaded: None,
) -> Iterator[Explorer]:
    home = tmp_path_factory.mktemp("peaks")
    (home / "texts.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    made = Explorer(
        load_settings(
            model=str(tiny_folder(request.param)), corpus=str(home / "texts.txt"), device="cpu", top=6,
            window=24, cache_dir=str(home / "cache"),
        )
    )  # fmt: skip
    yield made
    made.close()


def test_peaks_are_those_of_the_prompts(explorer: Explorer) -> None:
    neuron = next(row.neuron for row in explorer.survey(per_layer=2).neurons if row.prompts)
    peaks, listed = explorer.peaks(neuron), explorer.prompts(neuron).prompts
    assert len(peaks) == len(listed) > 3
    for peak, prompt in zip(peaks, listed, strict=True):
        assert (peak.rank, peak.prompt_id, peak.sign, peak.copies) == (
            prompt.rank, prompt.prompt_id, prompt.sign, prompt.copies,
        )  # fmt: skip
        assert peak.peak.activation == pytest.approx(prompt.peak.activation, rel=1e-4)
        for name in ("position", "token", "next_token", "special"):
            assert getattr(peak.peak, name) == getattr(prompt.peak, name)
        assert peak.text == "".join(token.text for token in prompt.tokens[: prompt.peak.position + 1])


def test_the_prompts_of_the_last_neurons_alone_stay_in_memory(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_service, "_NEURONS_KEPT", 2)
    other, listed, most = Explorer(explorer.settings), 0, 0
    with counting_new(Prompt) as count:
        for index in range(12):
            listed += len(other.prompts(NeuronId(1, index)).prompts)
            most = max(most, count()[Prompt])
    other.close()
    assert 0 < most <= 2 * explorer.settings.top < listed


def test_a_neuron_that_never_fires_has_no_peaks(explorer: Explorer) -> None:
    listed = {
        NeuronId(1, index): explorer.prompts(NeuronId(1, index), top=1, trim=False) for index in range(8)
    }
    assert [len(explorer.peaks(neuron)) > 0 for neuron in listed] == [
        bool(found.prompts) for found in listed.values()
    ]


def test_a_report_trims_nothing_and_its_heads_are_those_of_the_single_question(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trimmed(*_: Any, **__: Any) -> Any:
        raise AssertionError("a context was trimmed")

    survey = explorer.survey(per_layer=2)
    with monkeypatch.context() as patch:
        patch.setattr(answers, "trim_prompts", trimmed)
        patch.setattr(trimming, "trim_prompts", trimmed)
        other = Explorer(explorer.settings, results=Path(explorer.settings.cache_dir) / "other")
        assert other.prompts(survey.neurons[0].neuron, top=2, trim=False).prompts[0].trimmed is None
        other.close()
        report = of_survey(explorer, survey)
    assert [walk.neuron for walk in report.walks] == [row.neuron for row in survey.neurons]
    first = {pair.neuron: pair.head for pair in reversed(survey.pairs)}
    for walk in report.walks:
        assert [head.head for head in walk.heads] == [
            head.head for head in explorer.heads_overview(walk.neuron).heads
        ]
        for found in walk.on_prompts:
            single = explorer.heads(walk.neuron, prompt=1, sources=first[walk.neuron])
            assert (found.heads, found.sources, found.rank) == (single.heads, single.sources, 1)
    assert any(walk.on_prompts for walk in report.walks)
