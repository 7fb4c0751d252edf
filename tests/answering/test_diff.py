"""Two models compared, as the Explorer answers it: from the files of both, or from both loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.answering.conftest import TEXTS
from tests.tiny_models import edit_config, edit_weights
from tui_lookups.answering.two_models import DifferentModelsError
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.scan.joint import JointPass
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")
Copy = Callable[..., Path]


@pytest.fixture
def make(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Explorer]]:
    made: list[Explorer] = []

    def make(name: str = "llama", **settings: Any) -> Explorer:
        settings = {
            "model": str(tiny_folder(name)),
            "device": "cpu",
            "cache_dir": str(tmp_path / "cache"),
            **settings,
        }
        made.append(Explorer(load_settings(**settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def copied(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Copy:
    """copied(name, edit): a copy of a tiny model, its weights edited."""

    def copied(name: str, edit: Callable[[dict[str, torch.Tensor]], object] = lambda _: None) -> Path:
        folder = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(tiny_folder(name), folder)
        edit_weights(folder, edit)
        return folder

    return copied


def test_weights_are_compared_from_the_files_and_kept_by_both_models(make, copied: Copy) -> None:
    flipped = copied("llama", lambda weights: weights["model.layers.1.mlp.down_proj.weight"][:, 5].neg_())
    explorer = make()
    found = explorer.diff(str(flipped), top=2)
    two = explorer._services.against(str(flipped))
    assert not any(engine.opened_so_far()[2] for engine in (two.first, two.second)), "no model is loaded"
    assert [row.neuron for row in found.neurons] == [NeuronId(1, 5)]
    assert (found.neurons_moved, found.neurons_compared) == (1, 84)
    assert (found.heads, found.heads_moved, found.heads_compared) == ((), 0, 12)
    assert [row.tensor for row in found.matrices] == ["layers.1.mlp.down_proj.weight"]
    assert (found.tensors_moved, found.tensors_compared, found.tensors_apart) == (1, 30, ())
    assert found.against.fingerprint != found.provenance.model.fingerprint
    assert make().diff(str(flipped), top=2) == found
    other = copied("llama", lambda weights: weights["model.layers.0.mlp.down_proj.weight"][:, 7].neg_())
    assert [row.neuron for row in explorer.diff(str(other), top=2).neurons] == [NeuronId(0, 7)]


def test_only_the_layers_asked_for(make, copied: Copy) -> None:
    doubled = copied("llama", lambda weights: [values.mul_(2) for values in weights.values()])
    found = make(layers="2").diff(str(doubled), top=99)
    assert {row.layer for row in found.neurons} == {row.layer for row in found.heads} == {2}
    assert found.neurons_moved == found.neurons_compared == 28


def test_a_family_whose_files_are_not_known_is_loaded(make, copied: Copy) -> None:
    edited = copied("bloom", lambda weights: weights["transformer.h.1.mlp.dense_h_to_4h.weight"][5].neg_())
    found = make("bloom").diff(str(edited), top=3)
    (row,) = found.neurons
    assert (row.neuron, row.read.cosine, row.write.cosine) == (NeuronId(1, 5), pytest.approx(-1), 1)
    assert [each.tensor for each in found.matrices] == ["transformer.h.1.mlp.dense_h_to_4h.weight"]


def test_models_that_differ_are_refused_by_what_differs(make, copied: Copy, tiny_folder) -> None:
    explorer = make()
    with pytest.raises(DifferentModelsError, match="different families llama and gpt2"):
        explorer.diff(str(tiny_folder("gpt2")))

    def narrower(weights: dict[str, torch.Tensor]) -> None:
        for layer in range(3):
            mlp = f"model.layers.{layer}.mlp"
            for name in ("gate_proj", "up_proj"):
                weights[f"{mlp}.{name}.weight"] = weights[f"{mlp}.{name}.weight"][:20]
            weights[f"{mlp}.down_proj.weight"] = weights[f"{mlp}.down_proj.weight"][:, :20]

    folder = copied("llama", narrower)
    edit_config(folder, intermediate_size=20)
    with pytest.raises(DifferentModelsError, match="d_mlp 28 and 20"):
        explorer.diff(str(folder))
    folder = copied("llama")
    tokenizer = folder / "tokenizer.json"
    content = json.loads(tokenizer.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    vocabulary[f"{last}!"] = vocabulary.pop(last)
    tokenizer.write_text(json.dumps(content), "utf-8")
    with pytest.raises(DifferentModelsError, match=r"do not share a tokenizer: token #319 is"):
        explorer.diff(str(folder))


def test_units_of_a_dictionary_are_not_compared(make, tiny_folder, tmp_path: Path) -> None:
    with pytest.raises(LookupsError, match="by their MLP neurons, not by the units"):
        make(units=str(tmp_path)).diff(str(tiny_folder("llama")))


def corpus_of(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return str(path)


def test_activations_of_both_on_the_same_windows(make, copied: Copy, tmp_path: Path) -> None:
    """A neuron that writes otherwise has the activations it had; one that reads otherwise has not."""

    def edit(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.2.mlp.down_proj.weight"][:, 3].neg_()
        weights["model.layers.2.mlp.gate_proj.weight"][5].neg_()
        weights["model.layers.2.mlp.up_proj.weight"][7].mul_(2)

    other, corpus = str(copied("llama", edit)), corpus_of(tmp_path)
    explorer = make(corpus=corpus)
    found = explorer.diff_activations(other, top=9)
    assert {row.neuron for row in found.neurons} == {NeuronId(2, 5), NeuronId(2, 7)}
    by_name = {row.neuron: row for row in found.neurons}
    doubled = by_name[NeuronId(2, 7)]
    assert doubled.correlation == pytest.approx(1)
    assert doubled.peak_after == pytest.approx(2 * doubled.peak_before)
    assert (by_name[NeuronId(2, 5)].correlation or 0) < 0.9
    assert [(row.layer, row.change) for row in found.layers] == [(0, 0), (1, 0), (2, 0)]
    assert [row.correlation for row in found.layers] == [pytest.approx(1)] * 3
    assert found.neurons_compared == 84

    again = make(corpus=corpus)
    assert again.diff_activations(other, top=9) == found
    assert not again._engine.opened_so_far()[2], "what was found is kept"
    assert [row.neuron for row in again.diff_activations(other, top=1).neurons] == [found.neurons[0].neuron]


def test_a_pass_that_is_ended_goes_on_after_its_last_checkpoint(
    make, copied: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the batches that it was begun with, to the same figures; then nothing is left of it."""
    other = str(copied("llama", lambda weights: weights["model.layers.2.mlp.gate_proj.weight"][5].neg_()))
    settings = {"corpus": corpus_of(tmp_path), "checkpoint_seconds": 1e-9}
    taken: list[list[int]] = []
    take, most = JointPass.take, 99

    def taking(self: JointPass, prompt_ids: Any, *more: Any) -> None:
        if len(taken) == most:
            raise KeyboardInterrupt
        taken.append(prompt_ids.tolist())
        take(self, prompt_ids, *more)

    monkeypatch.setattr(JointPass, "take", taking)
    whole = make(**settings, batch_tokens=16, cache_dir=str(tmp_path / "other")).diff_activations(other)
    batches, taken[:], most = taken[:], [], 2
    with pytest.raises(KeyboardInterrupt):
        make(**settings, batch_tokens=16).diff_activations(other)
    most = 99
    explorer = make(**settings, batch_tokens=4096)
    found = explorer.diff_activations(other)
    assert (found.neurons, found.layers) == (whole.neurons, whole.layers)
    assert taken == batches, "each batch once, of the size that was begun with"
    assert explorer._engine.cache.keys("joint_pass") == []


def test_one_neuron_in_both_models(make, copied: Copy, tmp_path: Path) -> None:
    neuron = NeuronId(2, 5)
    other = copied("llama", lambda weights: weights["model.layers.2.mlp.gate_proj.weight"][5].neg_())
    explorer = make(corpus=corpus_of(tmp_path), layers="1-2")
    found = explorer.diff_neuron(str(other), neuron, top=3)
    ours = {row.prompt_id: row for row in explorer.prompts(neuron, sign="+", trim=False).prompts}
    kinds = {row.kind: row for row in reversed(found.prompts)}
    assert list(dict.fromkeys(row.kind for row in found.prompts)) == [
        "rose",
        "fell",
        "peak before",
        "peak after",
    ]
    for row in found.prompts:
        assert list(row.before) == pytest.approx(ours[row.prompt_id].activations, abs=1e-6)
        assert row.tokens == ours[row.prompt_id].tokens
    rises = {
        row.prompt_id: max(b - a for a, b in zip(row.before[1:], row.after[1:], strict=True))
        for row in found.prompts
    }
    rose = kinds["rose"]
    assert rises[rose.prompt_id] == max(rises.values())
    assert rose.after[rose.position] - rose.before[rose.position] == pytest.approx(rises[rose.prompt_id])
    peak = kinds["peak before"]
    assert abs(peak.before[peak.position]) == max(abs(value) for value in peak.before[1:])
    assert make(corpus=corpus_of(tmp_path), layers="1-2").diff_neuron(str(other), neuron, top=3) == found
    with pytest.raises(LookupsError, match="in none of the layers asked for"):
        explorer.diff_neuron(str(other), NeuronId(0, 1))


def test_windows_that_the_other_cannot_read_are_refused(make, copied: Copy, tmp_path: Path) -> None:
    folder = copied("llama")
    edit_config(folder, max_position_embeddings=4)
    with pytest.raises(DifferentModelsError, match="reads at most 4 tokens"):
        make(corpus=corpus_of(tmp_path)).diff_activations(str(folder))


def test_a_copy_with_permuted_neurons_is_matched_completely(make, copied: Copy, tmp_path: Path) -> None:
    order = torch.randperm(28, generator=torch.Generator().manual_seed(0))

    def permute(weights: dict[str, torch.Tensor]) -> None:
        for layer in range(3):
            mlp = f"model.layers.{layer}.mlp"
            for name in ("gate_proj", "up_proj"):
                weights[f"{mlp}.{name}.weight"] = weights[f"{mlp}.{name}.weight"][order]
            weights[f"{mlp}.down_proj.weight"] = weights[f"{mlp}.down_proj.weight"][:, order]

    explorer, other = make(corpus=corpus_of(tmp_path)), str(copied("llama", permute))
    found = explorer.diff_matches(other, top=84)
    assert [(row.layer, row.mutual, row.neurons) for row in found.layers] == [(n, 28, 28) for n in range(3)]
    assert len(found.neurons) == 84
    for row in found.neurons:
        assert row.neuron == NeuronId(row.match.layer, int(order[row.match.index]))
        assert row.correlation == pytest.approx(1, abs=1e-4)
        assert row.top_token == row.match_top_token
    again = make(corpus=corpus_of(tmp_path))
    assert again.diff_matches(other, top=84) == found
    assert len(again.diff_matches(other, top=2).neurons) == 2
    assert not again._engine.opened_so_far()[2], "what was found is kept"


def test_the_heads_behind_a_neuron_in_both(make, copied: Copy, tmp_path: Path) -> None:
    neuron = NeuronId(2, 5)
    other = copied("llama", lambda weights: weights["model.layers.1.self_attn.o_proj.weight"].mul_(1.5))
    explorer = make(corpus=corpus_of(tmp_path))
    found = explorer.diff_heads(str(other), neuron, top=99)
    assert len(found.heads) == 12
    assert 5 <= found.prompts <= 10
    sizes = [abs(head.after - head.before) for head in found.heads]
    assert sizes == sorted(sizes, reverse=True)
    for row in (*found.heads, *found.others):
        assert row.by_writing + row.by_reading == pytest.approx(row.after - row.before, abs=1e-6)
    parts = (*found.heads, *found.others)
    assert sum(row.before for row in parts) == pytest.approx(found.target_before, abs=1e-5)
    assert sum(row.after for row in parts) == pytest.approx(found.target_after, abs=1e-5)
    assert found.target_before > 0, "counted in the direction in which it fires"
    below = [head for head in found.heads if head.head.layer == 0]
    assert all(head.by_writing == pytest.approx(0, abs=1e-6) for head in below)
    assert make(corpus=corpus_of(tmp_path)).diff_heads(str(other), neuron, top=99) == found
    with pytest.raises(LookupsError, match="in none of the layers asked for"):
        make(corpus=corpus_of(tmp_path), layers="0-1").diff_heads(str(other), neuron)
    with pytest.raises(UnsupportedModelError, match="folded weights"):
        make(corpus=corpus_of(tmp_path), raw_weights=True).diff_heads(str(other), neuron)
