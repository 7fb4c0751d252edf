"""What moved in the weights: planted edits come first, against float64 figures by hand (section 13)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.test_file_weights import opened
from tests.tiny_models import edit_weights
from tui_lookups.analysis import congruence
from tui_lookups.analysis.moved import (
    largest_singular_value,
    moved_heads,
    moved_neurons,
    moved_tensors,
    tensors_apart,
    vector_moves,
)
from tui_lookups.errors import NumericalError, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.matrices import FileMatrices

Weights = dict[str, torch.Tensor]
Edited = Callable[[Callable[[Weights], object]], FileMatrices]
DOWN = "model.layers.1.mlp.down_proj.weight"
LAYERS = range(3)


@pytest.fixture
def before(tiny_folder) -> FileMatrices:
    return FileMatrices(opened(tiny_folder("llama")))


@pytest.fixture
def edited(tiny_folder, tmp_path: Path) -> Edited:
    def made(edit: Callable[[Weights], object]) -> FileMatrices:
        folder = tmp_path / "edited"
        shutil.copytree(tiny_folder("llama"), folder)
        edit_weights(folder, edit)
        return FileMatrices(opened(folder))

    return made


def noisy(weights: Weights, share: float) -> None:
    """Every tensor changed by this share of its norm, in no direction more than in another."""
    generator = torch.Generator().manual_seed(1)
    for name, values in weights.items():
        noise = torch.randn(values.shape, generator=generator)
        weights[name] = values + share * values.norm() / noise.norm() * noise


def rank_one(weights: Weights, share: float) -> None:
    generator = torch.Generator().manual_seed(2)
    height, width = weights[DOWN].shape
    edit = torch.outer(torch.randn(height, generator=generator), torch.randn(width, generator=generator))
    weights[DOWN] = weights[DOWN] + share * weights[DOWN].norm() / edit.norm() * edit


def test_a_change_is_measured_against_the_vector_or_the_layer() -> None:
    before = np.array([[3.0, 4.0], [0.0, 0.0], [0.3, 0.4]])
    after = np.array([[3.0, 4.0], [1.0, 0.0], [0.4, -0.3]])
    moves = vector_moves(before, after)
    rms = np.sqrt((25 + 0 + 0.25) / 3)
    assert moves.change == pytest.approx([0, 1 / rms, np.hypot(0.1, 0.7) / rms])
    assert moves.cosine == pytest.approx([1, np.nan, 0], nan_ok=True, abs=1e-12)
    assert moves.at(1).cosine is None
    assert (moves.at(2).norm_before, moves.at(2).norm_after) == pytest.approx((0.5, 0.5))
    larger = vector_moves(np.array([[6.0], [1.0]]), np.array([[9.0], [1.0]]))
    assert larger.change == pytest.approx([0.5, 0])


def test_nothing_moved_between_a_model_and_itself(before: FileMatrices) -> None:
    assert moved_neurons(before, before, LAYERS, 5, no_poll) == ((), 0)
    assert moved_heads(before, before, LAYERS, 5, no_poll) == ((), 0)
    assert moved_tensors(before, before, no_poll) == ([], len(before.shapes()))
    assert tensors_apart(before, before) == ()


def test_an_edit_of_rank_one_is_told_as_one(before: FileMatrices, edited: Edited) -> None:
    after = edited(lambda weights: rank_one(weights, 0.05))
    (row,), _ = moved_tensors(before, after, no_poll)
    assert row.tensor == DOWN.removeprefix("model.")
    assert (row.change, row.spectral_change) == pytest.approx((0.05, 0.05), rel=1e-3)
    assert row.rank_one_share == pytest.approx(1, abs=1e-4)
    neurons, count = moved_neurons(before, after, LAYERS, 5, no_poll)
    assert {neuron.layer for neuron in neurons} == {1}
    assert count == 28
    assert all(neuron.read.change == 0 and neuron.read.cosine == 1 for neuron in neurons)


def test_it_comes_first_though_everything_else_changed_more(before: FileMatrices, edited: Edited) -> None:
    def edit(weights: Weights) -> None:
        noisy(weights, 0.1)
        rank_one(weights, 0.07)

    tensors, compared = moved_tensors(before, edited(edit), no_poll)
    assert len(tensors) == compared
    matrices = [row for row in tensors if row.spectral_change is not None]
    first, second = sorted(matrices, key=lambda row: -(row.spectral_change or 0))[:2]
    assert first.tensor == DOWN.removeprefix("model.")
    assert (first.rank_one_share or 0) > 1.2 * (second.rank_one_share or 0)
    assert {row.tensor for row in tensors if row.spectral_change is None} == {
        name for name, shape in before.shapes().items() if len(shape) == 1
    }


def test_one_neuron_that_was_edited_comes_first_with_what_it_did(
    before: FileMatrices, edited: Edited
) -> None:
    def edit(weights: Weights) -> None:
        noisy(weights, 1e-3)
        weights[DOWN][:, 5] *= -2
        gate = weights["model.layers.1.mlp.gate_proj.weight"]
        gate[5] = gate[6]

    first, *_ = moved_neurons(before, edited(edit), LAYERS, 3, no_poll)[0]
    assert (first.neuron, first.layer, first.index) == (NeuronId(1, 5), 1, 5)
    assert first.write.cosine == pytest.approx(-1, abs=1e-4)
    assert first.write.norm_after == pytest.approx(2 * first.write.norm_before, rel=1e-2)
    assert first.read.cosine == pytest.approx(1, abs=1e-4)
    assert first.gate is not None
    assert first.gate.cosine is not None
    assert abs(first.gate.cosine) < 0.9
    assert first.moved == pytest.approx(
        np.sqrt(sum(vector.change**2 for vector in (first.write, first.read, first.gate)))
    )
    suppressed = before.writes.congruences(before.writes.directions([first.neuron]))[0].argmin()
    assert first.top_token_after.id == suppressed


def test_a_changed_norm_before_the_MLP_moves_what_its_neurons_read(
    before: FileMatrices, edited: Edited
) -> None:
    after = edited(lambda weights: weights["model.layers.2.post_attention_layernorm.weight"].mul_(1.5))
    neurons, count = moved_neurons(before, after, LAYERS, 3, no_poll)
    assert count == 28
    assert {neuron.layer for neuron in neurons} == {2}
    assert all(
        n.write.change == 0 and n.read.norm_after == pytest.approx(1.5 * n.read.norm_before) for n in neurons
    )


def test_a_head_that_was_edited_comes_first(before: FileMatrices, edited: Edited) -> None:
    def edit(weights: Weights) -> None:
        noisy(weights, 1e-3)
        weights["model.layers.2.self_attn.o_proj.weight"][:, 4:8] *= 3
        weights["model.layers.0.self_attn.k_proj.weight"][:4] *= 2

    heads, count = moved_heads(before, edited(edit), LAYERS, 4, no_poll)
    assert [head.head for head in heads[:3]] == [HeadId(2, 1), HeadId(0, 0), HeadId(0, 1)]
    assert count == 12
    assert abs(heads[0].W_O - 2) < 0.6
    assert (heads[0].W_Q or 0) < 0.01
    assert heads[1].W_K == heads[2].W_K, "two heads share a key"


def test_what_only_one_has_is_named(before: FileMatrices, edited: Edited) -> None:
    def edit(weights: Weights) -> None:
        weights["lm_head.weight"] = torch.cat([weights["lm_head.weight"], torch.zeros(2, 16)])

    assert tensors_apart(before, edited(edit)) == ("lm_head.weight",)


def test_damaged_weights_are_refused(before: FileMatrices, edited: Edited) -> None:
    after = edited(lambda weights: weights[DOWN].fill_(torch.nan))
    with pytest.raises(NumericalError, match=r"layers\.1\.mlp\.down_proj\.weight"):
        moved_tensors(before, after, no_poll)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (1, 9)])
def test_the_largest_singular_value(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    edit = np.outer(random.normal(size=shape[0]), random.normal(size=shape[1]))
    assert largest_singular_value(edit) == pytest.approx(np.linalg.norm(edit, 2))
    spread = random.normal(size=shape)
    assert 0.95 * np.linalg.norm(spread, 2) <= largest_singular_value(spread)
    assert largest_singular_value(spread) <= np.linalg.norm(spread, 2) * (1 + 1e-9)


def test_top_tokens_of_many_neurons_are_found_a_block_at_a_time(
    before: FileMatrices, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [NeuronId(layer, index) for layer in LAYERS for index in range(9)]
    at_once = congruence.own_tokens(before.writes, names)
    formed = []
    congruences = before.writes.congruences
    monkeypatch.setattr(congruence, "BLOCK_NUMBERS", 4 * before.writes.d_vocab)
    monkeypatch.setattr(
        before.writes, "congruences", lambda rows: formed.append(len(rows)) or congruences(rows)
    )
    assert congruence.own_tokens(before.writes, names) == at_once
    assert formed == [4] * 6 + [3]
