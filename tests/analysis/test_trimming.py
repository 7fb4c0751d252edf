"""Trimming against brute force over every suffix (METHOD 3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tui_lookups.analysis import trimming
from tui_lookups.analysis.trimming import dropped_by_paper, trim, trim_prompts
from tui_lookups.errors import Cancelled
from tui_lookups.ids import NeuronId
from tui_lookups.results import Trim

LENGTH = 18


def random_prompt(model, seed: int, length: int = LENGTH) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    bos = [] if model.vocabulary.bos_id is None else [model.vocabulary.bos_id]
    return bos + torch.randint(3, 290, (length - len(bos),), generator=generator).tolist()


def activation_at_end(model, neuron: NeuronId, ids: list[int]) -> float:
    return float(model.neuron_activations(model.batch([ids]), neuron)[0, -1])


def brute_force(model, neuron: NeuronId, ids: list[int], peak: int, sign: int, keep: float) -> int | None:
    """The largest start whose suffix keeps enough, tried one at a time; None when none does."""
    bos = [] if model.vocabulary.bos_id is None else [model.vocabulary.bos_id]
    whole = sign * activation_at_end(model, neuron, ids[: peak + 1])
    for start in range(peak if bos else peak - 1, len(bos) - 1, -1):
        if sign * activation_at_end(model, neuron, bos + ids[start : peak + 1]) >= keep * whole:
            return start
    return None


def cases(model, count: int = 10):
    """Neurons with prompts, peaks (also of the negative sign) as the scan would find them."""
    random = np.random.default_rng(0)
    for seed in range(count):
        neuron = NeuronId(int(random.integers(0, 3)), int(random.integers(0, model.info.d_mlp)))
        ids = random_prompt(model, seed)
        values = model.neuron_activations(model.batch([ids]), neuron)[0]
        for sign in (1, -1) if model.info.gated else (1,):
            yield neuron, ids, int((sign * values[1:]).argmax()) + 1, sign


@pytest.mark.parametrize("keep", [0.8, 0.97])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox_parallel"])
def test_is_the_true_shortest(tiny_model, name: str, keep: float) -> None:
    model = tiny_model(name, "float64")  # no figure lies within rounding of the threshold
    starts, bisection_missed = [], 0
    for neuron, ids, peak, sign in cases(model):
        expected = brute_force(model, neuron, ids, peak, sign, keep)
        found = trim(model, neuron, ids, peak, sign, keep=keep)
        if sign * activation_at_end(model, neuron, ids[: peak + 1]) <= 0:
            assert (found.trimmed, found.note) == (False, "the peak is not positive")
            continue
        assert expected is not None
        body = 0 if model.vocabulary.bos_id is None else 1
        assert found.trimmed == (expected > body)
        assert found.start == (expected if expected > body else 0)
        bos = [] if model.vocabulary.bos_id is None else [model.vocabulary.bos_id]
        text = bos + ids[found.start : peak + 1] if found.trimmed else ids[: peak + 1]
        assert found.activation == pytest.approx(activation_at_end(model, neuron, text), rel=1e-5)
        assert (found.note == "") == found.trimmed
        starts.append(peak - expected)
        bisection_missed += (
            trim(model, neuron, ids, peak, sign, keep=keep, preset="paper").start < found.start
        )
    assert max(starts) > 2  # not every answer is the first candidate
    if keep == 0.97:
        assert bisection_missed  # the reason for not searching like that


def test_many_prompts_at_once_agree_with_one_at_a_time(tiny_model, monkeypatch) -> None:
    model = tiny_model("llama", "float64")
    neuron = NeuronId(2, 5)
    rows = [random_prompt(model, seed, 8 + seed) for seed in range(8)]
    values = [model.neuron_activations(model.batch([ids]), neuron)[0] for ids in rows]
    signs = [1 if seed % 2 else -1 for seed in range(8)]
    peaks = [int((sign * v[1:]).argmax()) + 1 for v, sign in zip(values, signs, strict=True)]
    together = trim_prompts(model, neuron, rows, peaks, signs)
    monkeypatch.setattr(trimming, "_BATCH_TOKENS", 1)
    apart = [trim(model, neuron, *prompt) for prompt in zip(rows, peaks, signs, strict=True)]
    assert [(t.start, t.trimmed, t.note) for t in together] == [(t.start, t.trimmed, t.note) for t in apart]
    assert [t.activation for t in together] == pytest.approx([t.activation for t in apart])
    assert trim_prompts(model, neuron, [], [], []) == []


def test_a_peak_that_is_not_positive_is_left_alone(tiny_model) -> None:
    model = tiny_model("gpt2")
    neuron, ids = NeuronId(1, 3), random_prompt(model, 0)
    values = model.neuron_activations(model.batch([ids]), neuron)[0]
    position = int(values[1:].argmin()) + 1
    assert values[position] < 0
    found = trim(model, neuron, ids, position)
    assert (found.start, found.trimmed, found.note) == (0, False, "the peak is not positive")
    assert found.activation == pytest.approx(float(values[position]), rel=1e-4)
    assert trim(model, neuron, ids, position, -1).note != "the peak is not positive"


def test_a_prompt_that_no_suffix_matches_says_so(tiny_model) -> None:
    """Begin-of-text is missing from the prompt, so even its whole text is another one with it."""
    model = tiny_model("gpt2", "float64")
    notes = set()
    for seed in range(15):
        ids, neuron = random_prompt(model, seed, 6)[1:], NeuronId(2, seed % model.info.d_mlp)
        values = model.neuron_activations(model.batch([ids]), neuron)[0]
        peak = int(values[1:].argmax()) + 1
        found = trim(model, neuron, ids, peak, keep=0.99)
        bos = [model.vocabulary.bos_id]
        whole = activation_at_end(model, neuron, ids[: peak + 1])
        enough = [
            start
            for start in range(peak + 1)
            if activation_at_end(model, neuron, bos + ids[start : peak + 1]) >= 0.99 * whole
        ]
        if whole > 0 and not enough:
            assert (found.start, found.trimmed) == (0, False)
            assert found.activation == pytest.approx(whole)
            notes.add(found.note)
    assert notes == {"no suffix keeps 99% of the peak"}


def authors_search(model, neuron: NeuronId, ids: list[int], peak: int, sign: int) -> int:
    """Bisection over the start, without begin-of-text."""
    whole = sign * activation_at_end(model, neuron, ids[: peak + 1])
    low, high = 1, peak
    while low < high:
        middle = (low + high + 1) // 2
        if sign * activation_at_end(model, neuron, ids[middle : peak + 1]) >= 0.8 * whole:
            low = middle
        else:
            high = middle - 1
    return low


def test_preset_paper_bisects_without_begin_of_text(tiny_model) -> None:
    model = tiny_model("gpt2", "float64")
    trimmed = 0
    for neuron, ids, peak, sign in cases(model, 12):
        found = trim(model, neuron, ids, peak, sign, preset="paper")
        expected = authors_search(model, neuron, ids, peak, sign)
        assert found.start == (expected if expected > 1 else 0)
        if found.trimmed:
            trimmed += 1
            text = ids[found.start : peak + 1]
            assert found.activation == pytest.approx(activation_at_end(model, neuron, text))
        else:
            nothing = found.activation <= 0
            assert found.note.startswith(
                "the peak is not positive" if nothing else "bisection finds no suffix"
            )
    assert trimmed > 3


@pytest.mark.parametrize(("start", "trimmed"), [(0, False), (1, True)])
def test_begin_of_text_is_none_of_the_hundred_tokens(start: int, trimmed: bool) -> None:
    found = Trim(start, 1.0, trimmed, "")
    assert not dropped_by_paper(found, peak=99, body=1)
    assert dropped_by_paper(found, peak=100, body=1)


def test_preset_paper_drops_what_stays_long(tiny_model, monkeypatch) -> None:
    model = tiny_model("gpt2", "float64")
    monkeypatch.setattr(trimming, "PAPER_LIMIT", 6)
    dropped = 0
    for neuron, ids, peak, sign in cases(model, 12):
        found = trim(model, neuron, ids, peak, sign, preset="paper")
        body = 1 if ids[0] == model.vocabulary.bos_id else 0
        long = peak - max(found.start, body) + 1 >= 6
        assert dropped_by_paper(found, peak, body) == long == ("dropped by preset paper" in found.note)
        dropped += long
        assert "dropped" not in trim(model, neuron, ids, peak, sign).note
    assert 0 < dropped < 12


def test_can_be_cancelled_and_refuses_a_peak_outside(tiny_model) -> None:
    model = tiny_model("gpt2")

    def poll() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        trim(model, NeuronId(0, 0), random_prompt(model, 0), 3, poll=poll)
    with pytest.raises(ValueError, match="position 18"):
        trim(model, NeuronId(0, 0), random_prompt(model, 0), 18)


def test_a_full_context_without_begin_of_text_leaves_room_for_it(tiny_model) -> None:
    model = tiny_model("gpt2")
    ids = random_prompt(model, 1, model.info.n_ctx + 1)[1:]
    peak = len(ids) - 1
    for index in range(model.info.d_mlp):
        found = trim(model, NeuronId(2, index), ids, peak, keep=3.0)
        if found.note.startswith("no suffix"):
            break
    else:
        pytest.fail("no neuron needed every suffix to be tried")
