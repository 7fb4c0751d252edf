"""Trimming against brute force over every suffix (method.md, section 3)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tui_lookups.analysis import trimming
from tui_lookups.analysis.batches import Reading
from tui_lookups.analysis.trimming import dropped_by_paper, trim, trim_prompts
from tui_lookups.errors import Cancelled
from tui_lookups.ids import NeuronId
from tui_lookups.results import Trim
from tui_lookups.results.conventions import Conventions

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
    readings = [Reading(neuron, row, *at) for row, at in enumerate(zip(peaks, signs, strict=True))]
    together = trim_prompts(model, rows, readings)
    monkeypatch.setattr(trimming, "_BATCH_TOKENS", 1)
    apart = [trim(model, neuron, *prompt) for prompt in zip(rows, peaks, signs, strict=True)]
    assert [(t.start, t.trimmed, t.note) for t in together] == [(t.start, t.trimmed, t.note) for t in apart]
    assert [t.activation for t in together] == pytest.approx([t.activation for t in apart])
    assert trim_prompts(model, [], []) == []


def test_a_full_round_tries_no_length_twice_and_none_beyond_the_shortest(tiny_model, monkeypatch) -> None:
    model, tried = tiny_model("gpt2", "float64"), []
    run = model.neurons_activations

    def counted(tokens, *given, **named):
        tried.append(len(tokens))
        return run(tokens, *given, **named)

    neuron, ids = NeuronId(2, 5), random_prompt(model, 3)
    peak = int(model.neuron_activations(model.batch([ids]), neuron)[0, 1:].argmax()) + 1
    monkeypatch.setattr(model, "neurons_activations", counted)
    monkeypatch.setattr(trimming, "_ROUND_TOKENS", {"cpu": 1})
    found = trim(model, neuron, ids, peak)
    assert found.trimmed
    assert tried == [1] * (1 + peak + 1 - found.start), "the whole text, then each length up to the shortest"
    tried.clear()
    monkeypatch.setattr(trimming, "_ROUND_TOKENS", {"cpu": 1000})
    assert trim(model, neuron, ids, peak).start == found.start
    assert tried == [1, peak], "all at once where they fit a pass"


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


def authors_search(model, neuron: NeuronId, ids: list[int], peak: int, sign: int) -> tuple[int, float]:
    """Their loop: the start among the tokens of text up to the peak, and the value they keep with it.

    The bounds are 0 and p - 1, the upper one excluded; the value is that of the last start tried
    (method.md, section 3).
    """
    text = ids[1 : peak + 1]
    value = whole = activation_at_end(model, neuron, ids[: peak + 1])
    start, end = 0, len(text) - 1
    while (middle := (start + end) // 2) != start:
        value = activation_at_end(model, neuron, text[middle:])
        if sign * value > 0.8 * sign * whole:
            start = middle
        else:
            end = middle
    return start, value


def test_preset_paper_bisects_without_begin_of_text(tiny_model) -> None:
    model = tiny_model("gpt2", "float64")
    trimmed = 0
    for neuron, ids, peak, sign in cases(model, 20):
        found = trim(model, neuron, ids, peak, sign, preset="paper")
        start, value = authors_search(model, neuron, ids, peak, sign)
        if sign * activation_at_end(model, neuron, ids[: peak + 1]) <= 0:
            assert found.note == "the peak is not positive"
            continue
        assert (found.start, found.trimmed) == ((start + 1, True) if start else (0, False))
        assert found.activation == pytest.approx(value)
        trimmed += found.trimmed
        assert found.trimmed or found.note.startswith("bisection finds no suffix")
    assert trimmed > 3


def test_preset_paper_starts_where_the_authors_loop_does_on_the_demo(demo_model, demo_folder) -> None:
    """Windows of the demo, with neurons of every layer; many end on a start that is not sufficient."""
    passages = (demo_folder.parent / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    info, starts, others = demo_model.info, [], 0
    for number in range(60):
        ids = demo_model.encode_prompt(json.loads(passages[7 * number])["text"])[:256]
        neuron = NeuronId(number % info.n_layers, (131 * number) % info.d_mlp)
        values = demo_model.neuron_activations(demo_model.batch([ids]), neuron)[0, 1 : len(ids)]
        peak = int(values.argmax()) + 1
        if values[peak - 1] <= 0:
            continue
        found = trim(demo_model, neuron, ids, peak, preset="paper")
        start, value = authors_search(demo_model, neuron, ids, peak, 1)
        assert found.start == (start + 1 if start else 0)
        assert found.activation == pytest.approx(value, rel=1e-4)
        starts.append(start)
        others += value <= 0.8 * values[peak - 1]
    assert len(starts) > 30
    assert len(set(starts)) > 10
    assert others > 5


@pytest.mark.parametrize(("start", "trimmed"), [(0, False), (1, True)])
def test_begin_of_text_is_none_of_the_hundred_tokens(start: int, trimmed: bool) -> None:
    found = Trim(start, 1.0, trimmed, "")
    assert not dropped_by_paper(found, peak=99, body=1)
    assert dropped_by_paper(found, peak=100, body=1)


def test_preset_paper_drops_what_stays_long(tiny_model, monkeypatch) -> None:
    model = tiny_model("gpt2", "float64")
    monkeypatch.setattr(trimming, "DEFAULTS", Conventions(paper_limit=6))
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


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_neurons_of_a_layer_share_what_they_try_and_find_what_each_finds_alone(
    tiny_model, monkeypatch, preset: str
) -> None:
    """No start of a prompt is run twice, however many peaks are searched in it; also beside other prompts."""
    model, run = tiny_model("llama", "float64"), []
    monkeypatch.setattr(trimming, "_ROUND_TOKENS", {"cpu": 1})  # one start of each prompt a round
    rows, neurons = [random_prompt(model, seed, 14) for seed in range(3)], range(20)
    everything = model.neurons_activations(model.batch(rows), 2, neurons)
    peaks = [
        Reading(NeuronId(2, index), row, 1 + int((sign * everything[row, 1:, index]).argmax()), sign)
        for index in neurons
        for row in range(len(rows))
        for sign in (1, -1)
    ]
    activations = model.neurons_activations

    def counted(tokens, *given, **named):
        run.extend(tokens.tolist())
        return activations(tokens, *given, **named)

    monkeypatch.setattr(model, "neurons_activations", counted)
    together, of_all = trim_prompts(model, rows, peaks, keep=0.97, preset=preset), len(run)
    run.clear()
    apart = [
        trim(model, at.neuron, rows[at.row], at.position, at.sign, keep=0.97, preset=preset) for at in peaks
    ]
    assert [(t.start, t.trimmed, t.note) for t in together] == [(t.start, t.trimmed, t.note) for t in apart]
    assert [t.activation for t in together] == pytest.approx([t.activation for t in apart])
    assert len({found.start for found in together}) > 5
    if preset == "default":
        assert of_all <= sum(map(len, rows)) < len(run) / 4, "each prompt whole, and from each of its tokens"
    assert of_all < len(run) / 2
