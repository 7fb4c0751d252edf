"""Which text heads are worked out on: trimmed where it says trimmed, also while the scan runs.

See method.md, section 4.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tui_lookups.answering.answers import counted_prompts
from tui_lookups.answering.peak_inputs import input_of_prompt, input_of_text
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Prompt, Sign
from tui_lookups.scan.scan import Scan
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

NEURON = NeuronId(5, 710)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explorer]:
    """An Explorer whose scan has come half-way and rests."""
    step, reached, may_go_on = Scan.step, threading.Event(), threading.Event()

    def stops(scan: Scan, *given, **more) -> bool:
        if scan._manifest.next_batch == 2 and not may_go_on.is_set():
            reached.set()
            return True
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", stops)
    explorer = Explorer(
        load_settings(
            cache_dir=tmp_path, device="cpu", threads=1, layers="5", batch_tokens=1024, max_documents=60
        )
    )
    explorer.start()
    assert reached.wait(60)
    yield explorer
    may_go_on.set()
    explorer.close()


def test_heads_of_a_running_scans_prompts_are_of_the_text_they_name(running: Explorer) -> None:
    listed = running.prompts(NEURON, wait=False).prompts
    assert len(listed) > 3
    assert all(prompt.trimmed is None for prompt in listed)
    single = [running.heads(NEURON, prompt_id=prompt.prompt_id, trimmed=True) for prompt in listed]
    cut = [heads for heads in single if heads.context == "trimmed"]
    assert cut
    for heads in cut:
        assert heads.position == len(heads.tokens) - 1, "nothing after the peak is run"
    for heads, prompt in zip(single, listed, strict=True):
        if heads.context == "full":
            assert len(heads.tokens) == len(prompt.tokens)
    overview = running.heads_overview(NEURON, trimmed=True, wait=False)
    assert overview.prompts == len(listed)
    means = np.mean([[row.attribution for row in heads.heads] for heads in single], axis=0)
    assert [row.mean_attribution for row in overview.heads] == pytest.approx(list(means), abs=1e-5)
    whole = running.heads_overview(NEURON, trimmed=False, wait=False)
    assert [row.mean_attribution for row in whole.heads] != pytest.approx(list(means), abs=1e-3)


def test_a_prompt_that_cannot_be_trimmed_says_full(running: Explorer) -> None:
    prompt = running._services.prompts.with_trims(NEURON, running.prompts(NEURON, wait=False).prompts)[0]
    assert prompt.trimmed is not None
    kept = replace(prompt, trimmed=replace(prompt.trimmed, start=0, trimmed=False))
    cut = replace(prompt, trimmed=replace(prompt.trimmed, start=prompt.peak.position, trimmed=True))
    assert input_of_prompt(0, kept, trimmed=True).context == "full"
    assert input_of_prompt(0, kept, trimmed=True).ids == tuple(token.id for token in prompt.tokens)
    assert input_of_prompt(0, cut, trimmed=True).context == "trimmed"
    assert input_of_prompt(0, cut, trimmed=True).ids == (0, prompt.peak.token.id)
    assert input_of_prompt(0, cut, trimmed=False).context == "full"


def test_the_whole_window_never_passes_for_a_trimmed_context(running: Explorer) -> None:
    prompt: Prompt = running.prompts(NEURON, wait=False).prompts[0]
    with pytest.raises(ValueError, match="is not known"):
        input_of_prompt(0, prompt, trimmed=True)
    with pytest.raises(ValueError, match="is not known"):
        counted_prompts([prompt], "paper", 0)
    assert counted_prompts([prompt], "default", 0) == [prompt]


@pytest.mark.parametrize(("sign", "position", "fires"), [("+", 2, 1), ("-", 1, -1), ("both", 1, -1)])
def test_the_peak_of_a_text_is_by_the_sign_asked_for(sign: Sign, position: int, fires: int) -> None:
    place = input_of_text([-9.0, -0.5, 0.4, 0.1], [7, 8, 9, 6], sign=sign)
    assert (place.position, place.sign) == (position, fires)


def test_a_position_that_is_named_stands_for_the_peak() -> None:
    values = [-9.0, -0.5, 0.4, 0.1]
    places = [input_of_text(values, [7, 8, 9, 6], sign="both", position=position) for position in (1, 3)]
    assert [(place.position, place.sign) for place in places] == [(1, -1), (3, 1)]
    assert input_of_text([1.0], [7], sign="+", position=0).position == 0


def test_one_token_has_no_peak() -> None:
    with pytest.raises(LookupsError, match="one token"):
        input_of_text([1.0], [7], sign="+")


def test_preset_paper_refuses_the_sources_of_a_head_it_leaves_out(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, device="cpu", threads=1, preset="paper"))
    with pytest.raises(LookupsError, match=r"own layer, L5\.H1 among them"):
        explorer.heads(NEURON, text="for the first time", sources=HeadId(5, 1))
    heads = explorer.heads(NEURON, text="for the first time", sources=HeadId(4, 1))
    assert len(heads.sources) == len(heads.tokens)
    explorer.close()


def test_the_rule_that_is_named_is_the_one_that_was_used(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, device="cpu", threads=1))
    few = explorer.heads(NeuronId(0, 5), text="for the first time")
    assert len(few.heads) == 6
    assert few.activity_rule == "top3"
    assert sum(row.active for row in few.heads) == 3
    assert explorer.heads(NEURON, text="for the first time").activity_rule == "2sd"
    explorer.close()
