"""Changes of contributions in two parts that sum to them, in every wiring (method.md, section 13)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import edit_weights
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.shift import Shift, read_with, reading_at, shifts
from tui_lookups.errors import UnsupportedModelError, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import neuron_reader, points_read, written
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel

NEURON = NeuronId(2, 5)
ROWS = [[1, 7, 66, 9, 120, 44], [1, 80, 13, 13]]
POSITIONS = [4, 3]
FAMILIES = ["gpt2", "gpt_neox_parallel", "llama", "gemma2", "olmo2", "granite"]


@pytest.fixture
def edited(tiny_folder, tmp_path: Path) -> Callable[..., LookupModel]:
    def made(name: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> LookupModel:
        folder = tmp_path / "edited"
        shutil.copytree(tiny_folder(name), folder)
        edit_weights(folder, edit)
        return load_model(
            folder, name="m", source=str(folder), fingerprint="m", device="cpu", dtype="float64"
        )

    return made


def noisy(weights: dict[str, torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(1)
    for values in weights.values():
        values += 0.1 * values.std() * torch.randn(values.shape, generator=generator)


def shifted(first: LookupModel, second: LookupModel) -> tuple[Shift, list[np.ndarray]]:
    """The parts, and the change of the targets less that of the biases."""
    places = [reading_at(model, NEURON, ROWS, POSITIONS, no_poll) for model in (first, second)]
    vectors = [each.vectors for each in places]
    products = [
        read_with(model, NEURON, each, vectors, own)
        for own, (model, each) in enumerate(zip((first, second), places, strict=True))
    ]
    return shifts(*products), [each.targets - each.biases for each in places]


@pytest.mark.parametrize("name", FAMILIES)
def test_both_parts_sum_to_the_change_of_every_component_and_all_to_the_target(
    tiny_model, edited, name: str
) -> None:
    first, second = tiny_model(name, "float64"), edited(name, noisy)
    found, read = shifted(first, second)
    assert np.allclose(found.by_writing + found.by_reading, found.after - found.before, atol=1e-9)
    assert np.abs(found.by_writing).max() > 1e-3
    assert np.abs(found.by_reading).max() > 1e-3
    for model, mine, expected in ((first, found.before, read[0]), (second, found.after, read[1])):
        assert mine.sum(1) == pytest.approx(expected)
        cut = [row[: q + 1] for row, q in zip(ROWS, POSITIONS, strict=True)]
        for place, each in enumerate(decompose(model, NEURON, cut, POSITIONS)):
            parts = [*each.heads.ravel(), *each.mlps, each.embedding, each.attention_biases]
            assert mine[place] == pytest.approx(np.array(parts), abs=1e-9)


def test_who_alone_reads_otherwise_is_told_so(tiny_model, edited) -> None:
    """What is written below a neuron's layer is the same where only its own weights are another's."""

    def edit(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.2.mlp.up_proj.weight"][5].mul_(4)

    found, _ = shifted(tiny_model("llama", "float64"), edited("llama", edit))
    assert np.abs(found.by_writing).max() < 1e-12
    assert found.after == pytest.approx(4 * found.before)


def test_what_a_head_writes_otherwise_by_vectors(tiny_model, edited) -> None:
    """Against the vectors themselves: (w_B - w_A) . (R_A + R_B) / 2."""

    def edit(weights: dict[str, torch.Tensor]) -> None:
        weights["transformer.h.1.attn.c_proj.weight"][4:8].mul_(-2)

    models = tiny_model("gpt2", "float64"), edited("gpt2", edit)
    found, _ = shifted(*models)
    writes, reads = [], []
    for model in models:
        places = reading_at(model, NEURON, ROWS, POSITIONS, no_poll)
        assert set(points_read(model, neuron_reader(model, NEURON))) == set(places.seen)
        writes.append(written(model, HeadId(1, 1), places.seen, neuron_reader(model, NEURON).stage).numpy())
        reads.append(places.vectors)
    assert np.allclose(writes[1], -2 * writes[0])
    expected = ((writes[1] - writes[0]) * (reads[0] + reads[1]) / 2).sum(1)
    assert found.by_writing[:, 4 + 1] == pytest.approx(expected)
    below = [0, 1, 2, 3, 4, 6, 7]
    assert np.abs(found.by_writing[:, below]).max() < 1e-12, "no other head below the neuron's layer"


def test_a_sum_that_does_not_close_is_refused(tiny_model) -> None:
    model = tiny_model("llama", "float64")
    places = reading_at(model, NEURON, ROWS, POSITIONS, no_poll)
    places.targets[0] += 1
    with pytest.raises(UnsupportedModelError, match="does not close"):
        read_with(model, NEURON, places, [places.vectors, places.vectors], 0)
