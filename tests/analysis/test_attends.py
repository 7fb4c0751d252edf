"""What a head carries and why it attends: held to autograd of a frozen score, and closing on every family.

See method.md, sections 9 and 10.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reference_attends import FrozenScore
from tests.tiny_models import ALIKE, EXPERTS, FURTHER, RECIPES, Recipe, edit_weights, save_recipe
from tui_lookups.analysis import attends, head_reading
from tui_lookups.analysis.attends import Advantage, attended, key_of_largest_weight
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.carries import carried_to_neuron, carried_to_token
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model import queries_keys, summed
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import Contributions

ROW = torch.randint(3, 290, (30,), generator=torch.Generator().manual_seed(3)).tolist()
QUERY = 26
"""Beyond any window of these models."""

WINDOWS = {"mistral": (2, 7), "gemma2": (0, 7), "gemma3_text": (1, 7), "cohere2": (1, 7), "gpt_neo": (1, 5)}
"""A layer that attends to a window, and how many positions it has."""


def magnitude(parts: Contributions) -> float:
    """The sum of the sizes of heads, layers of neurons, embedding and biases."""
    rest = parts.other
    others = (rest.embedding, rest.attention_biases, rest.mlp_biases, rest.bias)
    heads = (row.contribution for row in parts.heads)
    return sum(map(abs, (*heads, *parts.neurons_by_layer, *others)))


def require_closed(found: Advantage) -> None:
    for side in (found.key_side, found.query_side):
        assert side.target == found.advantage
        assert abs(side.remainder) <= 1e-10 * magnitude(side)
    assert abs(found.pairs.sum() - found.advantage) <= 1e-10 * np.abs(found.pairs).sum()


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER, *ALIKE, *EXPERTS])
def test_every_family_closes(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    layer = model.info.n_layers - 1
    found = attended(model, HeadId(layer, 2), ROW, QUERY, top=2)
    require_closed(found)
    # The softmax of the scores given is the weights given; carries holds these to what the head gathers.
    scores, cap = torch.tensor(found.scores), found.soft_cap
    capped = scores if cap is None else cap * torch.tanh(scores / cap)
    assert torch.allclose(capped.softmax(0), torch.tensor(found.weights), atol=1e-6)
    # Rows of the grid are the query side, columns the key side.
    heads = [place for place, group in enumerate(found.groups) if ".H" in group]
    for axis, side in ((1, found.query_side), (0, found.key_side)):
        sums = found.pairs.sum(axis)
        assert np.allclose(sums[heads], [row.contribution for row in side.heads], atol=1e-12)
        assert sums[-1] == pytest.approx(side.other.bias, abs=1e-12)
    for parts in (
        carried_to_neuron(
            model, HeadId(layer - 1, 1), NeuronId(layer, 5), ROW, QUERY, found.key, top=2
        ).contributions,
        carried_to_token(model, HeadId(layer, 1), 71, ROW, QUERY, found.key, top=2).contributions,
    ):
        assert abs(parts.remainder) <= 1e-10 * magnitude(parts)
        assert parts.other.bias == 0


REFERENCED = ["gpt2", "llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2"]
"""Biases; rotation and grouped queries; norms on queries and keys, for each head and over all."""


@pytest.mark.parametrize("name", REFERENCED)
def test_it_is_autograd_of_a_frozen_score(tiny_model, tiny_folder: Callable[[str], Path], name: str) -> None:
    """transformers' own norms are in single precision: to 1e-5 of the largest."""
    model, key, head = tiny_model(name, "float64"), QUERY - 2, HeadId(2, 3)
    frozen = FrozenScore(tiny_folder(name), head.layer, head.index, ROW[: QUERY + 1])
    found = attended(model, head, ROW, QUERY, key, top=10_000)
    ones = torch.ones(2, len(frozen.names), dtype=torch.float64, requires_grad=True)
    advantage = frozen.advantage(key, ones[0], ones[1])
    (gradient,) = torch.autograd.grad(advantage, ones, create_graph=True)
    assert found.advantage == pytest.approx(advantage.item(), rel=1e-5)
    for side, expected in ((found.query_side, gradient[0]), (found.key_side, gradient[1])):
        theirs = dict(zip(frozen.names, expected.tolist(), strict=True))
        ours = {str(row.head): row.contribution for row in side.heads}
        ours |= {str(row.neuron): row.contribution for row in side.neurons}
        ours |= {"embedding": side.other.embedding, "MLP biases": side.other.mlp_biases}
        ours["attention biases"] = side.other.attention_biases
        assert ours.keys() == theirs.keys()
        largest = max(map(abs, theirs.values()))
        assert ours == pytest.approx(theirs, abs=1e-5 * largest)
    for place, query in enumerate(("embedding", "L1.H0")):
        of_query = gradient[0][frozen.names.index(query)]
        (pairs,) = torch.autograd.grad(of_query, ones, retain_graph=not place)
        for other in ("embedding", "L0.H1", "L1.H2", "attention biases", "MLP biases"):
            cell = found.pairs[found.groups.index(query), found.groups.index(other)]
            expected = float(pairs[1][frozen.names.index(other)])
            assert cell == pytest.approx(expected, abs=1e-5 * float(pairs[1].abs().max()))


@pytest.mark.parametrize("name", ["gpt2", "qwen3", "gemma2", "olmo2", "falcon_new", "granite"])
def test_what_is_carried_is_the_attribution_of_that_token(tiny_model, name: str) -> None:
    model, neuron = tiny_model(name, "float64"), NeuronId(2, 3)
    for head in (HeadId(0, 1), HeadId(1, 2)):
        whole = decompose(model, neuron, [ROW], [QUERY], source_head=head)[0]
        for source in (QUERY - 3, QUERY):
            found = carried_to_neuron(model, head, neuron, ROW, QUERY, source, top=1)
            scale = np.abs(whole.sources).max()
            assert found.contributions.target == pytest.approx(whole.sources[source], abs=1e-6 * scale)
            assert len(found.contributions.neurons_by_layer) == head.layer


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_limits_the_keys(tiny_model, name: str) -> None:
    model, (layer, width) = tiny_model(name, "float64"), WINDOWS[name]
    found = attended(model, HeadId(layer, 0), ROW, QUERY, top=1)
    assert found.allowed == tuple(range(QUERY - width + 1, QUERY + 1))
    with pytest.raises(LookupsError, match=f"cannot attend from position {QUERY} to position 3"):
        attended(model, HeadId(layer, 0), ROW, QUERY, 3, top=1)


@pytest.mark.parametrize("name", ["bloom", "mpt", "falcon_alibi"])
def test_distance_alone_is_among_the_biases(tiny_model, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores with ALiBi in them close; taken out of them, what is left is the text's."""
    model = tiny_model(name, "float64")
    found = attended(model, HeadId(1, 0), ROW, QUERY, QUERY, top=1)
    monkeypatch.setattr(head_reading, "require_same_z", lambda *_: None)
    monkeypatch.setattr(
        queries_keys.Handed, "distances", lambda self, *_: self.keys.new_zeros(len(ROW[: QUERY + 1]))
    )
    monkeypatch.setattr(
        queries_keys.Handed, "pattern", lambda self, *_: torch.tensor(found.weights, dtype=torch.float64)
    )
    without = attended(model, HeadId(1, 0), ROW, QUERY, QUERY, top=1)
    nearest = found.advantage - without.advantage
    assert nearest > 0.01
    for one, other in ((found.key_side, without.key_side), (found.query_side, without.query_side)):
        assert one.other.bias - other.other.bias == pytest.approx(nearest, abs=1e-12)
        assert one.other.embedding == pytest.approx(other.other.embedding, abs=1e-12)


def test_norms_on_queries_and_keys_that_a_setting_brings(tmp_path: Path) -> None:
    """One norm a head (StableLM), a row of weights a head (Cohere), LayerNorm with a bias (Phi)."""
    cohere, stable, phi = FURTHER["cohere"], FURTHER["stablelm"], RECIPES["phi"]
    for number, recipe in enumerate(
        (
            Recipe(cohere.config_class, {**cohere.arguments, "use_qk_norm": True}),
            Recipe(stable.config_class, {**stable.arguments, "qk_layernorm": True}),
            Recipe(phi.config_class, {**phi.arguments, "qk_layernorm": True}),
        )
    ):
        require_closed(attended(loaded(recipe, tmp_path / str(number)), HeadId(2, 1), ROW, QUERY, top=1))


def loaded(recipe: Recipe, folder: Path) -> LookupModel:
    folder.mkdir()
    save_recipe(recipe, folder)
    return load_model(
        folder, name=folder.name, source="", fingerprint=folder.name, device="cpu", dtype="float64"
    )


def test_what_cannot_close_is_refused(tmp_path: Path, tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    olmo = RECIPES["olmo"]
    clipped = loaded(Recipe(olmo.config_class, {**olmo.arguments, "clip_qkv": 0.3}), tmp_path / "clipped")
    with pytest.raises(UnsupportedModelError, match=r"advantage of L2\.H1 .* does not close"):
        attended(clipped, HeadId(2, 1), ROW, QUERY, top=1)
    monkeypatch.setattr(queries_keys, "_OWN_CODE", {})
    with pytest.raises(UnsupportedModelError, match=r"layer 1 of bloom \(BloomAttention\) is computed by"):
        attended(tiny_model("bloom", "float64"), HeadId(1, 0), ROW, QUERY, top=1)


def test_attention_that_is_not_what_the_head_gathers_is_refused(
    tiny_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        queries_keys.Handed, "distances", lambda self, head, query: self.keys[0, :, 0].detach()
    )
    with pytest.raises(UnsupportedModelError, match="is not what the head gathers"):
        attended(tiny_model("llama", "float64"), HeadId(1, 0), ROW, QUERY, top=1)


def test_keys_of_a_long_text_take_several_passes(tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama", "float64")
    whole = attended(model, HeadId(2, 1), ROW, QUERY, top=1)
    monkeypatch.setattr(attends, "_MOST_NUMBERS", 27 * model.info.d_model)
    monkeypatch.setattr(summed, "_MOST_NUMBERS", 1)
    assert np.allclose(attended(model, HeadId(2, 1), ROW, QUERY, top=1).pairs, whole.pairs, atol=1e-14)


def test_a_head_that_has_one_key_has_no_advantage(tiny_model) -> None:
    found = attended(tiny_model("qwen3", "float64"), HeadId(1, 2), ROW, 0, top=3)
    assert (found.key, found.allowed, found.weights, found.advantage) == (0, (0,), (1.0,), 0.0)
    assert not found.pairs.any()
    assert magnitude(found.key_side) == magnitude(found.query_side) == 0


def test_a_head_of_the_first_layer_reads_the_embedding(tiny_model) -> None:
    found = attended(tiny_model("gpt2", "float64"), HeadId(0, 2), ROW, QUERY, top=3)
    require_closed(found)
    assert found.groups == ("embedding", "attention biases", "MLP biases", "bias")
    assert (found.key_side.heads, found.key_side.neurons) == ((), ())


def test_the_key_is_the_one_of_largest_weight_but_for_the_first() -> None:
    assert key_of_largest_weight([0, 1, 2, 3], [0.9, 0.02, 0.05, 0.03]) == 2
    assert key_of_largest_weight([2, 3], [0.0, 0.0, 0.7, 0.3]) == 2
    assert key_of_largest_weight([0], [1.0]) == 0


TOKENS, PLACES, BEFORE = slice(0, 24), slice(24, 36), slice(36, 60)
"""Of the stream of the planted model: which token it is, at which position, and which token stands before."""


def plant(weights: dict[str, torch.Tensor]) -> None:
    """L0.H1 writes the token before into the stream; L1.H0 attends to where that is the query's own token."""
    generator = torch.Generator().manual_seed(1)
    for name, values in weights.items():
        if "ln_" in name:
            values.fill_(float(name.endswith("weight")))
        elif "mlp" in name:
            values.copy_(0.05 * torch.randn(values.shape, generator=generator))
        else:
            values.zero_()
    tokens = torch.randn(len(weights["transformer.wte.weight"]), 24, generator=generator)
    weights["transformer.wte.weight"][:, TOKENS] = tokens / tokens.norm(dim=1, keepdim=True)
    weights["transformer.wpe.weight"][:, PLACES] = torch.eye(12)
    d, own = 60, torch.eye(24)

    def set_head(layer: int, head: int, q: slice, k: slice, rotate: torch.Tensor, to: slice) -> None:
        joint = weights[f"transformer.h.{layer}.attn.c_attn.weight"]
        at = 30 * head
        joint[q, at : at + len(rotate)] = 4 * torch.eye(len(rotate))
        joint[k, d + at : d + at + len(rotate)] = rotate
        joint[TOKENS, 2 * d + at : 2 * d + at + 24] = own
        weights[f"transformer.h.{layer}.attn.c_proj.weight"][at : at + 24, to] = own

    set_head(0, 1, PLACES, PLACES, 4 * torch.eye(12).roll(1, 1), BEFORE)
    set_head(1, 0, TOKENS, BEFORE, own, TOKENS)


def test_a_planted_induction_head_is_found_by_its_previous_token_head(tmp_path: Path) -> None:
    recipe = Recipe(
        "GPT2Config",
        {"vocab_size": 320, "n_embd": 60, "n_layer": 2, "n_head": 2, "n_inner": 8, "n_positions": 12},
    )
    save_recipe(recipe, tmp_path)
    edit_weights(tmp_path, plant)
    model = load_model(tmp_path, name="planted", source="", fingerprint="planted", device="cpu")
    row = [20, 31, 42, 53, 64, 75, 31]
    found = attended(model, HeadId(1, 0), row, len(row) - 1, top=1)
    assert found.key == 2  # what followed the same token
    assert found.weights[2] > 0.9
    first = max(found.key_side.heads, key=lambda row: row.contribution)
    assert first.head == HeadId(0, 1)
    assert first.contribution > 0.9 * found.advantage
    query, key = np.unravel_index(found.pairs.argmax(), found.pairs.shape)
    assert (found.groups[query], found.groups[key]) == ("embedding", "L0.H1")
    assert found.query_side.other.embedding > 0.9 * found.advantage
    # And the head before it: its score is of positions, which the embedding has, and nothing else.
    before = attended(model, HeadId(0, 1), row, 4, top=1)
    assert before.key == 3
    assert before.key_side.other.embedding == pytest.approx(before.advantage, rel=1e-4)
