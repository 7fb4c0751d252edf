"""The atlas against brute force, block by block and filter by filter (method.md, section 2)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.weights import unembedding_of
from tui_lookups.analysis import layer_extremes as layer_extremes_module
from tui_lookups.analysis.atlas import home_layers, next_token_neurons, token_filter
from tui_lookups.analysis.congruence import rank_neurons
from tui_lookups.analysis.layer_extremes import layer_extremes
from tui_lookups.errors import Cancelled, NumericalError
from tui_lookups.model.file_weights import Extremes

MODELS = ["gpt2", "llama", "gemma2", "olmo2"]
SIGNS = ["+", "-", "both"]


def scores_of(model) -> np.ndarray:
    """Every congruence at once, from the weights: [n_layers, d_mlp, d_vocab], float64."""
    return np.stack(
        [
            (model.W_out(layer) @ unembedding_of(model)).double().numpy()
            for layer in range(model.info.n_layers)
        ]
    )


def every_layer(model) -> list[Extremes]:
    return [layer_extremes(model, layer) for layer in range(model.info.n_layers)]


@pytest.mark.parametrize(
    ("name", "numbers"),
    # Blocks of one neuron and one token take seconds: for one model; those of three and three for every one.
    [("olmo2", 1), *((name, numbers) for name in MODELS for numbers in (None, 48, 700, 5_000))],
)
def test_extremes_equal_brute_force_whatever_the_blocks(
    tiny_model, monkeypatch, name: str, numbers: int | None
) -> None:
    model = tiny_model(name, "float64")
    if numbers is not None:
        monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", numbers)
    scores = scores_of(model)
    for layer in [1] if numbers in (1, 48) else range(model.info.n_layers):
        found, mine = layer_extremes(model, layer), scores[layer]
        assert found.largest_ids.tolist() == mine.argmax(1).tolist()
        assert found.smallest_ids.tolist() == mine.argmin(1).tolist()
        for kept, expected in (
            (found.largest, mine.max(1)),
            (found.smallest, mine.min(1)),
            (found.token_largest, mine.max(0)),
            (found.token_smallest, mine.min(0)),
        ):
            assert kept.dtype == np.float32
            assert kept == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_no_block_is_larger_than_allowed_in_any_format(tiny_model, monkeypatch) -> None:
    """Neither [d_mlp, d_vocab] nor a float32 copy of the unembedding of a bfloat16 model is formed."""
    allowed = 1_000
    monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", allowed)
    model = tiny_model("qwen2", "bfloat16")
    stored = {weight.untyped_storage().data_ptr() for weight in model._hf_model.parameters()}
    made: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in stored:
                made.append(result.numel())
            return result

    with Watch():
        layer_extremes(model, 1)
    info = model.info
    assert max(made) <= max(allowed, 2 * info.d_vocab, 2 * info.d_mlp)
    assert max(made) < min(info.d_vocab * info.d_mlp, info.d_vocab * info.d_model)


def test_it_can_be_interrupted_between_blocks(tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(layer_extremes_module, "_BLOCK_NUMBERS", 700)
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        if polls == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        layer_extremes(tiny_model("gpt2"), 0, poll=poll)


def test_a_layer_that_is_not_finite_is_named(tiny_model, monkeypatch) -> None:
    model = tiny_model("gpt2")
    broken = model.W_out(1).clone()
    broken[3, 2] = torch.nan
    monkeypatch.setattr(model, "W_out", lambda layer, rows: broken[rows])
    with pytest.raises(NumericalError, match="layer 1"):
        layer_extremes(model, 1)


def brute_atlas(
    scores: np.ndarray, counts: np.ndarray, sign: str, per_layer: int
) -> list[list[tuple[int, int, float]]]:
    """(index, token, congruence) per layer, neuron by neuron in plain Python."""
    layers = []
    for layer in scores:
        rows = []
        for index, mine in enumerate(layer):
            readings = {"+": [mine], "-": [-mine], "both": [mine, -mine]}[sign]
            best = max(readings, key=np.max)  # the unflipped one on ties
            token = int(best.argmax())
            if counts[token]:
                rows.append((float(best.max()), index, token, float(mine[token])))
        rows.sort(key=lambda row: (-row[0], row[1]))
        layers.append([(index, token, value) for _, index, token, value in rows[:per_layer]])
    return layers


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("name", MODELS)
def test_neurons_and_homes_equal_brute_force(tiny_model, name: str, sign) -> None:
    model = tiny_model(name, "float64")
    scores, extremes = scores_of(model), every_layer(model)
    # The tiny vocabularies have few words: a filter of every third token serves as well.
    counts = np.arange(model.info.d_vocab) % 3 == 0
    for layer, expected in enumerate(brute_atlas(scores, counts, sign, 6)):
        found = next_token_neurons(extremes[layer], counts, sign, 6)
        assert [(top.index, top.token_id) for top in found] == [
            (index, token) for index, token, _ in expected
        ]
        assert [top.congruence for top in found] == pytest.approx(
            [value for _, _, value in expected], rel=1e-5
        )
        assert all((top.congruence < 0) == (scores[layer, top.index, top.token_id] < 0) for top in found)
    strength = {"+": scores, "-": -scores, "both": np.abs(scores)}[sign].max(1)  # [layers, vocab]
    homes = strength.argmax(0)[counts]
    assert home_layers(extremes, counts, sign) == [
        int((homes == layer).sum()) for layer in range(len(extremes))
    ]
    assert sum(home_layers(extremes, counts, sign)) == counts.sum()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("name", [*MODELS, "qwen2"])
def test_next_token_only_misses_nothing(tiny_model, name: str, sign, known: bool) -> None:
    """Also for neurons of negative congruence whose congruences are all negative."""
    model = tiny_model(name)
    layers = list(range(model.info.n_layers))
    scores = scores_of(model)
    extremes = every_layer(model) if known else None
    for token in np.unique(scores.argmax(-1))[:12].tolist() + np.unique(scores.argmin(-1))[:12].tolist():
        own = scores[..., token]
        as_is, flipped = scores.argmax(-1) == token, (scores.argmin(-1) == token) & (own < 0)
        expected = {"+": as_is, "-": flipped, "both": np.where(own < 0, flipped, as_is)}[sign]
        rows = rank_neurons(
            model, token, top=10_000, layers=layers, sign=sign, next_token_only=True, extremes=extremes
        )
        assert {(row.layer, row.index) for row in rows} == {
            (int(a), int(b)) for a, b in np.argwhere(expected)
        }
        merits = [
            row.congruence if sign == "+" else -row.congruence if sign == "-" else abs(row.congruence)
            for row in rows
        ]
        assert merits == sorted(merits, reverse=True)


def test_a_neuron_that_suppresses_every_token_still_has_a_top_token(tiny_model, monkeypatch) -> None:
    model = tiny_model("llama")
    every, token = unembedding_of(model), 9
    every[0] = every[0].abs() + 20.0  # along -e_0 every congruence is negative
    every[0, token] = 0.5
    W_out = np.zeros((model.info.d_mlp, model.info.d_model), np.float32)
    W_out[4, 0] = -1.0
    unembedding = every.numpy()
    monkeypatch.setattr(model, "unembedding", lambda token: unembedding[:, token])
    monkeypatch.setattr(model, "mean_unembedding", lambda: unembedding.mean(1))
    monkeypatch.setattr(model, "congruences", lambda directions: directions @ unembedding)
    monkeypatch.setattr(model, "toward", lambda layer, direction: W_out @ direction)
    monkeypatch.setattr(model, "lengths", lambda layer: np.linalg.norm(W_out, axis=1))
    monkeypatch.setattr(model, "directions", lambda neurons: W_out[[neuron.index for neuron in neurons]])
    rows = rank_neurons(model, token, top=99, layers=[0], next_token_only=True)
    assert [(row.index, row.congruence) for row in rows if row.congruence < 0] == [(4, -0.5)]


def test_the_papers_filters() -> None:
    texts = [" the", " a", "the", " ", "  x", "   yz", " é!", "<s>", " 1", " SolidGoldMagikarp", "\u2581no"]
    mask = token_filter(texts, special_ids={7, 99}, rejected=[9], d_vocab=12)
    assert [texts[i] for i in np.flatnonzero(mask)] == [" the", "   yz", " é!"]
    assert len(mask) == 12
    assert token_filter(texts, (), (), 3).tolist() == [True, False, False]


def test_a_sentencepiece_space_counts(tiny_model) -> None:
    vocabulary = tiny_model("llama").vocabulary
    mask = token_filter(vocabulary.texts, vocabulary.special_ids, (), len(vocabulary))
    assert {vocabulary.texts[i] for i in np.flatnonzero(mask)} >= {" the", " because"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_fewer_neurons_than_asked_for_is_not_an_error(seed: int, per_layer: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(4, 6)).astype(np.float32)
    extremes = Extremes(
        values.max(1), values.argmax(1), values.min(1), values.argmin(1), values.max(0), values.min(0)
    )
    counts = random.random(6) < 0.4
    found = next_token_neurons(extremes, counts, "+", per_layer)
    assert len(found) == min(per_layer, int(counts[values.argmax(1)].sum()))
    assert all(counts[top.token_id] for top in found)
