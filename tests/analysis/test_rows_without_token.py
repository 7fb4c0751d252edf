"""Rows of the embedding that no token has, and tokens that no row is for (method.md, section 2).

A vocabulary is often padded to a round size: such rows are in no rank and among no top tokens.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_tokenizers import byte_level_tokenizer, save_tokenizer
from tests.weights import unembedding_of
from tui_lookups.analysis.congruence import (
    neuron_tokens,
    rank_neurons,
    score_neurons,
    token_scores,
)
from tui_lookups.analysis.layer_extremes import layer_extremes
from tui_lookups.answering.prediction_service import next_tokens
from tui_lookups.errors import UnknownTokenError
from tui_lookups.ids import NeuronId
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel, no_poll

TOKENS = (3, 130, 258)


@pytest.fixture(scope="module")
def padded(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> LookupModel:
    """A GPT-2 with more rows than its tokenizer has entries, and one entry, "[PAD]", behind the last row."""
    folder = tmp_path_factory.mktemp("padded") / "model"
    shutil.copytree(tiny_folder("gpt2"), folder)
    save_tokenizer(byte_level_tokenizer(), folder, begin_of_text="<s>")
    path = folder / "tokenizer.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description["model"]["vocab"]["[PAD]"] = 320
    path.write_text(json.dumps(description), encoding="utf-8")
    return load_model(folder, name="padded", source="", fingerprint="padded", device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def scores(padded: LookupModel) -> np.ndarray:
    """Congruences over the rows that are tokens: [n_layers, d_mlp, n_tokens]."""
    used = [row for row in range(padded.info.d_vocab) if row not in padded.vocabulary.unused_ids]
    assert used == list(range(len(used))), "so that a place here is an id"
    W_U = unembedding_of(padded).numpy()[:, used]
    return np.stack([padded.W_out(layer).numpy() @ W_U for layer in range(padded.info.n_layers)])


def test_there_are_such_rows_and_they_would_be_first_somewhere(
    padded: LookupModel, scores: np.ndarray
) -> None:
    assert padded.info.d_vocab == 320
    assert len(padded.vocabulary) == 321
    assert len(padded.unused_rows) == 320 - scores.shape[-1] > 0
    everything = np.stack(
        [padded.W_out(layer).numpy() @ unembedding_of(padded).numpy() for layer in range(3)]
    )
    assert (everything.argmax(-1) >= scores.shape[-1]).any()


@pytest.mark.parametrize("sign", ["+", "-"])
@pytest.mark.parametrize("token", TOKENS)
def test_ranks_and_top_tokens_are_over_tokens(
    padded: LookupModel, scores: np.ndarray, token: int, sign: str
) -> None:
    rows = rank_neurons(padded, token, top=10_000, layers=range(3), sign=sign)
    assert len(rows) == padded.info.n_neurons
    for row in rows:
        mine = scores[row.layer, row.index] * (-1 if sign == "-" and row.congruence < 0 else 1)
        assert row.token_rank == 1 + int((mine > abs(row.congruence) * np.sign(mine[token]) + 1e-12).sum())
        assert row.top_token.id == int(mine.argmax())


@pytest.mark.parametrize("sign", ["+", "-", "both"])
def test_next_token_neurons_are_all_found(padded: LookupModel, scores: np.ndarray, sign: str) -> None:
    extremes = [layer_extremes(padded, layer) for layer in range(3)]
    read = {"+": scores, "-": -scores}.get(sign)
    for token in range(0, scores.shape[-1], 7):
        found = [
            rank_neurons(
                padded, token, top=10_000, layers=range(3), sign=sign, next_token_only=True, extremes=known
            )
            for known in (None, extremes)
        ]
        places = [[(row.layer, row.index) for row in rows] for rows in found]
        assert places[0] == places[1]
        if read is not None:
            tops = read.argmax(-1) == token
            expected = tops & (read[:, :, token] > 0) if sign == "-" else tops
            assert sorted(places[0]) == [tuple(place) for place in np.argwhere(expected).tolist()]


def test_a_neurons_tokens(padded: LookupModel, scores: np.ndarray) -> None:
    promoted, suppressed = neuron_tokens(padded, NeuronId(1, 5), 10_000)
    mine = scores[1, 5]
    assert [token.id for token in promoted] == np.argsort(-mine, kind="stable").tolist()
    assert [token.id for token in suppressed] == np.argsort(mine, kind="stable").tolist()


def test_extremes_of_a_layer(
    padded: LookupModel, scores: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for numbers in (None, 7 * padded.info.d_model + 1):
        if numbers is not None:
            monkeypatch.setattr("tui_lookups.analysis.layer_extremes._BLOCK_NUMBERS", numbers)
        found = layer_extremes(padded, 1)
        assert found.largest_ids.tolist() == scores[1].argmax(1).tolist()
        assert found.smallest_ids.tolist() == scores[1].argmin(1).tolist()
        assert found.largest == pytest.approx(scores[1].max(1), rel=1e-6)
        assert found.token_largest[: scores.shape[-1]] == pytest.approx(scores[1].max(0), rel=1e-6)


def test_expected_tokens(padded: LookupModel) -> None:
    row = padded.encode_prompt("the cat sat")
    (after,) = next_tokens(padded, row, [len(row) - 1], top=10_000, poll=no_poll)
    assert {token.token.id for token in after.top}.isdisjoint(padded.unused_rows.tolist())
    assert len(after.top) == padded.info.d_vocab - len(padded.unused_rows)
    assert sum(token.probability for token in after.top) < 1, "the rows keep their share"


def test_such_a_row_asked_for_by_its_id_is_ranked_among_the_tokens(
    padded: LookupModel, scores: np.ndarray
) -> None:
    row = score_neurons(padded, [NeuronId(1, 5)], 319)[0]
    assert row.token_rank == 1 + int((scores[1, 5] > row.congruence).sum())


def test_a_token_without_a_row_is_named(padded: LookupModel) -> None:
    assert padded.vocabulary.find("[PAD]").id == 320
    for ask in (
        lambda: token_scores(padded, 320, [0]),
        lambda: score_neurons(padded, [NeuronId(0, 0)], 320),
        lambda: rank_neurons(padded, 320, top=3, layers=[0]),
    ):
        with pytest.raises(UnknownTokenError, match=r'"\[PAD\]" is token #320.*ends at #319'):
            ask()
