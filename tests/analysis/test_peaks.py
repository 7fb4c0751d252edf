"""Figures at the peak against the Hugging Face model with its last norms held (method.md, section 2)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.reference_huggingface import HeldNorm
from tests.tiny_models import RECIPES
from tests.weights import unembedding_of
from tui_lookups.analysis import peaks
from tui_lookups.analysis.peaks import peak_figures, promoted_token, run_at_peaks
from tui_lookups.errors import Cancelled, NumericalError, UnsupportedModelError
from tui_lookups.ids import NeuronId
from tui_lookups.model.points import Point
from tui_lookups.results import Peak, Prompt, Token

LENGTHS = ((14, 9), (20, 19), (7, 3))  # (length of the row, its peak)


def rows_of(seed: int = 0) -> tuple[list[list[int]], list[int]]:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(3, 290, (length,), generator=generator).tolist() for length, _ in LENGTHS]
    return rows, [peak for _, peak in LENGTHS]


def prompt_of(model, neuron: NeuronId, row: list[int], peak: int, rank: int, sign: int) -> Prompt:
    tokens = model.vocabulary.tokens(row)
    values = model.neuron_activations(model.batch([row]), neuron)[0].tolist()
    after = tokens[peak + 1] if peak + 1 < len(tokens) else None
    return Prompt(
        rank, 10 + rank, sign, tokens, tuple(values), Peak(peak, tokens[peak], values[peak], after), None
    )


@torch.no_grad()
def removed(reference, neuron: NeuronId, row: list[int], peak: int) -> tuple[torch.Tensor, float]:
    """By how much every logit falls when one neuron writes nothing at one position, the norms it passes
    through held: [d_vocab], and the neuron's activation. Plain PyTorch on the Hugging Face model."""
    names, tokens = reference.names, torch.tensor([row])
    down = reference.part(neuron.layer, names.down)
    final = reference.model.get_submodule(names.final_norm)
    clean, _ = reference.capture(
        tokens, {"a": (down, "in"), "written": (down, "out"), "final": (final, "in")}
    )
    a = clean["a"][0, peak].clone()
    a[neuron.index] = 0
    difference = clean["written"][0, peak] - down(a[None])[0]
    if names.mlp_post_norm is not None:
        held = HeldNorm(reference.part(neuron.layer, names.mlp_post_norm), clean["written"][0, peak][None])
        difference = held.linear(difference[None])[0]
    residual = clean["final"][0, peak][None]
    held = HeldNorm(final, residual)
    unembed = reference.model.get_output_embeddings()
    logits = unembed(held(residual)) - unembed(held(residual - difference))
    return logits[0], float(clean["a"][0, peak, neuron.index])


@pytest.mark.parametrize("name", list(RECIPES))
def test_contribution_is_what_the_logits_lose_without_the_neuron(tiny_model, reference, name: str) -> None:
    model, held = tiny_model(name, "float64"), reference(name)
    rows, at = rows_of()
    for layer in range(model.info.n_layers):
        neuron = NeuronId(layer, 5)
        prompts = [
            prompt_of(model, neuron, row, q, i + 1, 1)
            for i, (row, q) in enumerate(zip(rows, at, strict=True))
        ]
        some = [model.vocabulary.token(i) for i in (4, 77, 200)]
        found = [peak_figures(model, neuron, prompts, token) for token in some]
        for place, (row, q) in enumerate(zip(rows, at, strict=True)):
            lost, activation = removed(held, neuron, row, q)
            for figures, token in zip(found, some, strict=True):
                # A centred unembedding leaves out one constant, which drops out of differences.
                difference = figures[place].logit_contribution - found[0][place].logit_contribution
                expected = float(lost[token.id] - lost[some[0].id])
                assert difference == pytest.approx(expected, rel=1e-5, abs=1e-6)
                assert figures[place].activation == pytest.approx(activation, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neox_parallel", "llama", "gemma2", "olmo2"])
def test_probabilities_are_those_of_the_hugging_face_model(tiny_model, reference, name: str) -> None:
    model = tiny_model(name, "float64")
    neuron, (rows, at) = NeuronId(1, 2), rows_of(1)
    prompts = [
        prompt_of(model, neuron, row, q, i, 1) for i, (row, q) in enumerate(zip(rows, at, strict=True))
    ]
    token = model.vocabulary.token(123)
    for figures, row, q in zip(peak_figures(model, neuron, prompts, token), rows, at, strict=True):
        with torch.no_grad():
            expected = reference(name).model(torch.tensor([row])).logits[0, q].softmax(-1)
        assert figures.token == token
        assert figures.probability == pytest.approx(float(expected[123]), rel=1e-4)
        if q + 1 < len(row):
            assert figures.next_token is not None
            assert figures.next_token.id == row[q + 1]
            assert figures.next_probability == pytest.approx(float(expected[row[q + 1]]), rel=1e-4)
        else:
            assert (figures.next_token, figures.next_probability) == (None, None)


def test_the_token_follows_the_sign_of_firing(tiny_model) -> None:
    model, neuron = tiny_model("llama", "float64"), NeuronId(1, 2)
    mine = (model.W_out(1)[2] @ unembedding_of(model)).numpy()
    assert promoted_token(model, neuron, 1).id == int(mine.argmax())
    assert promoted_token(model, neuron, -1).id == int(mine.argmin())
    rows, at = rows_of(2)
    prompts = [
        prompt_of(model, neuron, rows[0], at[0], 1, 1),
        prompt_of(model, neuron, rows[1], at[1], 2, -1),
    ]
    up, down = peak_figures(model, neuron, prompts, None)
    assert (up.token.id, down.token.id) == (int(mine.argmax()), int(mine.argmin()))
    assert up.congruence == pytest.approx(float(mine.max()))
    assert down.congruence == pytest.approx(float(mine.min()))
    assert down.logit_contribution == pytest.approx(down.activation * mine.min() / down.scale)
    asked = Token(3, model.vocabulary.texts[3])
    assert {figures.token for figures in peak_figures(model, neuron, prompts, asked)} == {asked}


def test_batches_change_nothing_and_poll(tiny_model, monkeypatch) -> None:
    model, neuron = tiny_model("gpt2", "float64"), NeuronId(1, 2)
    rows, at = rows_of(3)
    wanted = [(5, 6)] * len(rows)
    together = run_at_peaks(model, neuron, rows, at, wanted)
    monkeypatch.setattr(peaks, "BATCH_ROWS", 1)
    alone = run_at_peaks(model, neuron, rows, at, wanted)
    for name in ("activation", "scale", "probability"):
        assert getattr(alone, name) == pytest.approx(getattr(together, name), rel=1e-12)
    assert together.probability.shape == (3, 2)
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        if polls > 6:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_at_peaks(model, neuron, rows, at, wanted, poll=poll)


def test_only_the_peaks_are_unembedded(tiny_model) -> None:
    model = tiny_model("gpt2")
    rows, at = rows_of(4)
    tokens = model.batch(rows)
    seen: list[tuple[int, ...]] = []
    handle = model.wiring.unembed.register_forward_hook(
        lambda _, given, logits: seen.append(tuple(logits.shape))
    )
    found = model.log_probabilities(tokens, torch.tensor(at))
    handle.remove()
    assert seen == [(3, 1, model.info.d_vocab)]
    assert found.exp().sum(-1).tolist() == pytest.approx([1.0] * 3, rel=1e-5)


def test_no_prompts_no_figures(tiny_model) -> None:
    assert peak_figures(tiny_model("gpt2"), NeuronId(0, 0), [], None) == ()


def test_the_raw_basis_is_refused(tiny_model) -> None:
    with pytest.raises(UnsupportedModelError, match="folded"):
        peak_figures(tiny_model("gpt2", folded=False), NeuronId(0, 0), [], None)


def test_values_that_are_not_finite_are_told(tiny_model) -> None:
    model = tiny_model("gpt2")
    rows, at = rows_of(5)

    def broken(batch, tokens):
        return {Point("z"): lambda z: torch.full_like(z, torch.nan)}

    with pytest.raises(NumericalError):
        run_at_peaks(model, NeuronId(1, 2), rows, at, [(1,)] * 3, broken)
    assert np.isfinite(run_at_peaks(model, NeuronId(1, 2), rows, at, [(1,)] * 3).scale).all()
