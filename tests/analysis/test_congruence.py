"""Congruence against weights folded by hand and against the Hugging Face model (method.md, section 2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reference_raw import RawGPT2, RawLlama
from tests.tiny_models import RECIPES
from tests.weights import unembedding_of
from tui_lookups.analysis import layer_extremes as layer_extremes_module
from tui_lookups.analysis.congruence import (
    best_first,
    neuron_tokens,
    rank_neurons,
    rank_tokens,
    score_neurons,
    token_scores,
)
from tui_lookups.analysis.layer_extremes import layer_extremes
from tui_lookups.errors import BadIdError
from tui_lookups.ids import NeuronId

FAMILIES = list(RECIPES)
TOKENS = (7, 66, 130, 258, 301)


def all_scores(model) -> np.ndarray:
    """Congruence of every neuron with every token, one token at a time: [n_layers, d_mlp, d_vocab]."""
    layers = range(model.info.n_layers)
    columns = [token_scores(model, token, layers) for token in range(model.info.d_vocab)]
    return np.stack(columns, axis=-1).astype(np.float64)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize(("name", "raw_class"), [("gpt2", RawGPT2), ("llama", RawLlama)])
def test_equals_weights_folded_by_hand(
    tiny_model, tiny_folder, name: str, raw_class, dtype: str, bound: float
) -> None:
    raw = raw_class(tiny_folder(name))
    found = all_scores(tiny_model(name, dtype))
    for layer in range(raw.n_layers):
        assert relative(found[layer], raw.congruence(layer)) <= bound


def test_the_raw_basis_is_the_weights_as_stored(tiny_model, tiny_folder) -> None:
    model, raw = tiny_model("gpt2", folded=False), RawGPT2(tiny_folder("gpt2"))
    assert model.basis == "raw"
    for layer in range(raw.n_layers):
        expected = raw.raw_congruence(layer)
        assert relative(token_scores(model, 9, [layer])[0], expected[:, 9]) <= 1e-5
        assert relative(raw.congruence(layer), expected) > 0.01, "the two bases are meant to differ"


def test_the_model_that_ships_equals_weights_folded_by_hand(demo_model, demo_folder: Path) -> None:
    raw = RawGPT2(demo_folder)
    layer = demo_model.info.n_layers - 1
    expected = raw.congruence(layer)
    for token in (1, 50, expected.shape[1] - 1):
        found = token_scores(demo_model, token, [layer])[0]
        assert np.abs(found - expected[:, token]).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("name", FAMILIES)
def test_is_what_a_neuron_adds_to_the_logits(
    tiny_model, reference, name: str, dtype: str, bound: float
) -> None:
    """Adding W_out to the last residual, final norm held, moves logits by congruence, up to one constant.

    The constant is the mean over the vocabulary that a centred unembedding leaves out: it changes no
    probability, and drops out of differences between tokens.
    """
    model = tiny_model(name, dtype)
    row = torch.randint(3, 290, (10,), generator=torch.Generator().manual_seed(1)).tolist()
    found = all_scores(model)
    for layer in range(model.info.n_layers):
        expected = reference(name).logit_moves(row, 8, layer).numpy()
        differences = expected - expected[:, :1]
        assert relative(found[layer] - found[layer][:, :1], differences) <= bound


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_is_close(tiny_model, name: str) -> None:
    exact, found = all_scores(tiny_model("gpt2")), all_scores(tiny_model("gpt2", name))
    assert relative(found, exact) <= (2e-2 if name == "bfloat16" else 2e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "olmo2"])
class TestRanking:
    def test_rows_against_brute_force(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        scores = all_scores(model)
        W_U = unembedding_of(model).numpy()
        for token in TOKENS:
            rows = rank_neurons(model, token, top=10_000, layers=range(model.info.n_layers), sign="+")
            assert len(rows) == model.info.n_neurons
            assert [row.congruence for row in rows] == sorted((row.congruence for row in rows), reverse=True)
            for row in rows[::7]:
                mine = scores[row.layer, row.index]
                W_out = model.W_out(row.layer)[row.index].numpy()
                cosine = mine[token] / np.linalg.norm(W_out) / np.linalg.norm(W_U[:, token])
                assert row.congruence == pytest.approx(mine[token], rel=1e-9)
                assert row.cosine == pytest.approx(cosine, rel=1e-9)
                assert row.token_rank == 1 + int((mine > row.congruence + 1e-12).sum())
                assert row.top_token.id == int(mine.argmax())
                assert row.top_token.text == model.vocabulary.texts[row.top_token.id]
                assert row.top_congruence == pytest.approx(mine.max(), rel=1e-9)
                assert row.neuron == NeuronId(row.layer, row.index)

    def test_signs(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        layers = range(model.info.n_layers)
        scores = all_scores(model)[:, :, TOKENS[0]].ravel()
        by_sign = {
            sign: rank_neurons(model, TOKENS[0], top=5, layers=layers, sign=sign)
            for sign in ("+", "-", "both")
        }
        best = {"+": np.sort(scores)[::-1], "-": np.sort(scores), "both": scores[np.argsort(-np.abs(scores))]}
        for sign, rows in by_sign.items():
            assert [row.congruence for row in rows] == pytest.approx(best[sign][:5].tolist())
        assert rank_neurons(model, TOKENS[0], top=5, layers=layers) == by_sign["+"]

    def test_a_negative_row_is_read_as_the_flipped_neuron(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        scores = all_scores(model)
        for row in rank_neurons(model, TOKENS[1], top=6, layers=range(model.info.n_layers), sign="-"):
            flipped = -scores[row.layer, row.index]
            assert row.congruence < 0
            assert row.token_rank == 1 + int((flipped > -row.congruence + 1e-12).sum())
            assert row.top_token.id == int(flipped.argmax())
            assert row.top_congruence == pytest.approx(-flipped.max())

    def test_only_next_token_neurons(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        tops = all_scores(model).argmax(-1)
        tokens, counts = np.unique(tops, return_counts=True)
        token = int(tokens[counts.argmax()])
        rows = rank_neurons(
            model, token, top=10_000, layers=range(model.info.n_layers), sign="+", next_token_only=True
        )
        expected = {NeuronId(int(layer), int(i)) for layer, i in np.argwhere(tops == token)}
        assert {row.neuron for row in rows} == expected
        assert len(rows) == counts.max()

    def test_layers_asked_for(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        rows = rank_neurons(model, TOKENS[2], top=10_000, layers=[2, 0], sign="+")
        assert {row.layer for row in rows} == {0, 2}
        assert len(rows) == 2 * model.info.d_mlp
        both = token_scores(model, TOKENS[2], [2, 0])
        assert np.array_equal(both[0], token_scores(model, TOKENS[2], [2])[0])
        assert np.array_equal(both[1], token_scores(model, TOKENS[2], [0])[0])

    def test_given_neurons_keep_their_order(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        asked = [NeuronId(2, 3), NeuronId(0, 1)]
        rows = score_neurons(model, asked, TOKENS[3], sign="+")
        ranked = rank_neurons(model, TOKENS[3], top=10_000, layers=range(3), sign="+")
        by_neuron = {row.neuron: row for row in ranked}
        assert [row.neuron for row in rows] == asked
        for row in rows:
            assert row.congruence == pytest.approx(by_neuron[row.neuron].congruence)
            assert row.token_rank == by_neuron[row.neuron].token_rank

    def test_several_tokens_at_once_are_each_on_its_own(self, tiny_model, monkeypatch, name: str) -> None:
        model = tiny_model(name, "float64")
        expected = [rank_neurons(model, token, top=5, layers=range(2)) for token in TOKENS]
        monkeypatch.setattr("tui_lookups.analysis.congruence.BLOCK_NUMBERS", 7 * model.d_vocab)
        found = rank_tokens(model, TOKENS, top=5, layers=range(2))
        for mine, theirs in zip(found, expected, strict=True):
            for row, other in zip(mine, theirs, strict=True):
                numbers = {
                    n: pytest.approx(getattr(other, n)) for n in ("congruence", "cosine", "top_congruence")
                }
                assert row == replace(other, **{n: getattr(row, n) for n in numbers})
                assert {n: getattr(row, n) for n in numbers} == numbers

    def test_tokens_of_a_neuron(self, tiny_model, name: str) -> None:
        model = tiny_model(name, "float64")
        mine = all_scores(model)[1, 5]
        promoted, suppressed = neuron_tokens(model, NeuronId(1, 5), 9)
        assert [token.id for token in promoted] == np.argsort(-mine, kind="stable")[:9].tolist()
        assert [token.id for token in suppressed] == np.argsort(mine, kind="stable")[:9].tolist()
        assert [t.congruence for t in promoted] == pytest.approx(np.sort(mine)[::-1][:9].tolist())
        assert all(t.text == model.vocabulary.texts[t.id] for t in promoted + suppressed)
        everything, _ = neuron_tokens(model, NeuronId(1, 5), 10_000)
        assert len(everything) == model.info.d_vocab

    def test_extremes_of_a_layer_do_not_depend_on_the_block_size(
        self, tiny_model, monkeypatch, name: str
    ) -> None:
        model = tiny_model(name, "float64")
        scores = all_scores(model)[1]
        whole = layer_extremes(model, 1)
        monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", 7 * model.info.d_model + 1)
        for found in (whole, layer_extremes(model, 1)):
            assert found.largest_ids.tolist() == scores.argmax(1).tolist()
            assert found.smallest_ids.tolist() == scores.argmin(1).tolist()
            assert np.allclose(found.largest, scores.max(1), rtol=1e-6)
            assert np.allclose(found.smallest, scores.min(1), rtol=1e-6)
            assert np.allclose(found.token_largest, scores.max(0), rtol=1e-6)
            assert np.allclose(found.token_smallest, scores.min(0), rtol=1e-6)


def test_the_best_come_first_and_ties_by_place() -> None:
    random = np.random.default_rng(0)
    for length in (1, 2, 7, 30):
        merit = random.integers(-3, 4, length).tolist()
        for count in range(length + 3):
            expected = sorted(range(length), key=lambda place: (-merit[place], place))[:count]
            assert best_first(np.array(merit, dtype=np.float32), count).tolist() == expected


def test_no_such_neuron(tiny_model) -> None:
    with pytest.raises(BadIdError, match=r"no neuron L0\.N40"):
        neuron_tokens(tiny_model("gpt2"), NeuronId(0, 40), 3)
