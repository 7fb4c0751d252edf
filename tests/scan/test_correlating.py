"""Streamed correlations against NumPy's over all positions at once, and what is matched by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scan.fake_model import D_MLP, N_LAYERS, FakeModel, MemoryCorpus, random_corpus
from tui_lookups.analysis.matching import match_neurons
from tui_lookups.errors import NumericalError, Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.scan import correlating
from tui_lookups.scan.correlating import CrossCorrelation, OneWithAll, most_layers
from tui_lookups.scan.plan import plan_batches

LAYERS = range(N_LAYERS)
CPU = torch.device("cpu")


class Model(FakeModel):
    """Far from zero, so that sums of squares alone would cancel; neuron 2 of layer 1 is constant."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.by_token = random.normal(size=self.by_token.shape) + 300
        self.by_position[:] = 0
        self.by_token[1, :, 2] = 7

    def neuron_activations(
        self, tokens: torch.Tensor, neuron: NeuronId, poll: Poll = no_poll
    ) -> torch.Tensor:
        rows = [self.activations(row, neuron.layer)[:, neuron.index] for row in tokens.numpy()]
        return torch.from_numpy(np.stack(rows)).float()


class Permuted(Model):
    """Another one's neurons in another order, some of them turned over."""

    def __init__(self, other: Model) -> None:
        super().__init__(0)
        random = np.random.default_rng(3)
        self.order = [random.permutation(D_MLP) for _ in LAYERS]
        self.sign = random.choice([-1.0, 1.0], D_MLP)
        for layer in LAYERS:
            self.by_token[layer] = other.by_token[layer][:, self.order[layer]] * self.sign


@pytest.fixture(scope="module")
def corpus() -> MemoryCorpus:
    return random_corpus(30)


def every(model: Model, corpus: MemoryCorpus, layer: int) -> np.ndarray:
    return np.concatenate([model.activations(window, layer)[1:] for window in corpus.windows])


def take_all(
    streamed: CrossCorrelation | OneWithAll, corpus: MemoryCorpus, first: Model, second: Model
) -> None:
    plan = plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=30, seed=0)
    assert len(plan) > 3
    for number in range(len(plan)):
        streamed.take(plan.batch(number), first, second, no_poll)


def expected(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        found = np.corrcoef(before.T, after.T)[: before.shape[1], before.shape[1] :]
    return np.nan_to_num(found)


def test_every_neuron_of_a_layer_with_every_one(corpus: MemoryCorpus) -> None:
    first, second = Model(1), Model(2)
    streamed = CrossCorrelation(D_MLP, CPU, corpus, [0, 1])
    take_all(streamed, corpus, first, second)
    for layer in (0, 1):
        by_hand = expected(every(first, corpus, layer), every(second, corpus, layer))
        assert streamed.of_layer(layer) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("itself", [False, True])
def test_one_neuron_with_every_one(corpus: MemoryCorpus, itself: bool) -> None:
    first = Model(1)
    second = first if itself else Model(2)
    streamed = OneWithAll(NeuronId(2, 4), corpus, LAYERS)
    take_all(streamed, corpus, first, second)
    own = every(first, corpus, 2)[:, [4]]
    for layer in LAYERS:
        by_hand = expected(own, every(second, corpus, layer))[0]
        assert streamed.of_layer(layer) == pytest.approx(by_hand, abs=1e-4)
    assert bool(streamed.of_layer(2)[4] > 0.999) is itself


def test_a_permuted_copy_is_matched_completely(corpus: MemoryCorpus) -> None:
    first = Model(1)
    second = Permuted(first)
    streamed = CrossCorrelation(D_MLP, CPU, corpus, LAYERS)
    take_all(streamed, corpus, first, second)
    for layer in LAYERS:
        found = match_neurons(streamed.of_layer(layer), either_sign=True)
        for neuron in range(D_MLP):
            if (layer, neuron) == (1, 2):  # constant: it is like no other
                assert (found.match[neuron], found.mutual[neuron]) == (-1, False)
                continue
            place = int(found.match[neuron])
            assert second.order[layer][place] == neuron
            assert found.mutual[neuron]
            assert found.correlation[neuron] == pytest.approx(second.sign[place], abs=1e-4)


def test_a_match_may_be_one_sided_and_of_either_sign() -> None:
    related = np.array([[0.9, -0.95, 0.1], [0.8, 0.2, 0.0], [-0.3, -0.2, -0.1]])
    by_value = match_neurons(related, either_sign=False)
    assert by_value.match.tolist() == [0, 0, -1]
    assert by_value.mutual.tolist() == [True, False, False]
    assert by_value.correlation.tolist() == [0.9, 0.8, 0.0]
    by_size = match_neurons(related, either_sign=True)
    assert by_size.match.tolist() == [1, 0, 0]
    assert by_size.correlation.tolist() == [-0.95, 0.8, -0.3]
    assert by_size.mutual.tolist() == [True, False, False]


def test_not_a_number_is_refused_with_its_layer(corpus: MemoryCorpus) -> None:
    broken = Model(2)
    broken.by_token[1, :, 0] = np.inf
    with pytest.raises(NumericalError, match="layer 1"):
        take_all(CrossCorrelation(D_MLP, CPU, corpus, LAYERS), corpus, Model(1), broken)


def test_as_many_layers_as_fit_are_correlated_in_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, "_MOST_BYTES", 8 * 100 * 100 * 5)
    assert (most_layers(100), most_layers(10_000)) == (5, 1)
