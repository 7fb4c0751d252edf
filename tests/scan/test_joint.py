"""A joint pass of two models against arrays put side by side by hand (method.md, section 13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch

from tests.scan.fake_model import D_MLP, N_LAYERS, FakeModel, MemoryCorpus, random_corpus
from tui_lookups.analysis.joint import activation_changes, correlations, peak_of
from tui_lookups.errors import Cancelled, LookupsError, NumericalError, Poll, no_poll
from tui_lookups.model.side_by_side import activations_side_by_side
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.joint import Arrays, JointPass
from tui_lookups.scan.plan import plan_batches

LAYERS = range(N_LAYERS)


class OtherModel(FakeModel):
    """The same architecture with other weights; one neuron is constant."""

    def __init__(self) -> None:
        super().__init__(gated=True)
        random = np.random.default_rng(7)
        self.by_token = self.by_token + random.integers(-2, 3, self.by_token.shape)
        self.by_token[1, :, 2] = 1.0
        self.by_position[1, :, 2] = 0.0


@pytest.fixture(scope="module")
def corpus() -> MemoryCorpus:
    return random_corpus(40)


def run(first: FakeModel, second: FakeModel, corpus: MemoryCorpus, batch_tokens: int) -> list[Arrays]:
    joint = JointPass(D_MLP, first.device, corpus, LAYERS, top=3, copies=find_copies(corpus, no_poll))
    plan = plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=batch_tokens, seed=0)
    for number in range(len(plan)):
        joint.take(plan.batch(number), first, second, no_poll)
    positions = int((corpus.lengths() - 1).sum())
    return [joint.layer_arrays(layer, positions) for layer in LAYERS]


def side_by_side(first: FakeModel, second: FakeModel, corpus: MemoryCorpus, layer: int) -> list[np.ndarray]:
    """Before, after and difference on each prompt, position 0 left out: [3, positions, d_mlp] each."""
    rows = []
    for prompt in range(len(corpus.windows)):
        both = [model.activations(corpus.window_tokens(prompt), layer)[1:] for model in (first, second)]
        rows.append(np.stack([*both, both[1] - both[0]]))
    return rows


@pytest.mark.parametrize("batch_tokens", [20, 4000])
def test_moments_and_what_follows_from_them(corpus: MemoryCorpus, batch_tokens: int) -> None:
    first, second = FakeModel(gated=True), OtherModel()
    for layer, found in enumerate(run(first, second, corpus, batch_tokens)):
        every = np.concatenate(side_by_side(first, second, corpus, layer), axis=1)  # [3, positions, d_mlp]
        assert found["moments"] == pytest.approx(np.stack([every.mean(1), every.var(1)], 1))
        related, changes = correlations(found["moments"]), activation_changes(found["moments"])
        squares = (every**2).mean(1)
        for neuron in range(D_MLP):
            before, after = every[0, :, neuron], every[1, :, neuron]
            if (layer, neuron) == (1, 2):
                assert np.isnan(related[neuron])
            else:
                assert related[neuron] == pytest.approx(np.corrcoef(before, after)[0, 1])
            typical = max(squares[0, neuron], squares[0].mean())
            assert changes[neuron] == pytest.approx(np.sqrt(squares[2, neuron] / typical))


def test_peaks_and_where_a_neuron_rose_and_fell_most(corpus: MemoryCorpus) -> None:
    first, second = FakeModel(gated=True), OtherModel()
    originals = find_copies(corpus, no_poll).originals
    for layer, found in enumerate(run(first, second, corpus, 30)):
        rows = side_by_side(first, second, corpus, layer)
        for role in range(3):
            for which, sign in enumerate((1, -1)):
                for neuron in range(D_MLP):
                    phi = {
                        prompt: (sign * row[role, :, neuron]).max()
                        for prompt, row in enumerate(rows)
                        if originals[prompt] == prompt
                    }
                    best = sorted(phi, key=lambda prompt: (-phi[prompt], prompt))[:3]
                    at = role, which, neuron
                    assert found["prompts"][at].tolist() == best
                    assert found["values"][at].tolist() == [phi[prompt] for prompt in best]
                    assert found["positions"][at].tolist() == [
                        1 + int((sign * rows[prompt][role, :, neuron]).argmax()) for prompt in best
                    ]


def test_a_model_and_itself_do_not_differ(corpus: MemoryCorpus) -> None:
    for found in run(FakeModel(), FakeModel(), corpus, 30):
        assert correlations(found["moments"]) == pytest.approx(np.ones(D_MLP))
        assert activation_changes(found["moments"]) == pytest.approx(np.zeros(D_MLP))


def test_layers_are_asked_for_apart_and_slots_stay_empty(corpus: MemoryCorpus) -> None:
    small = MemoryCorpus([[1, 2, 3], [1, 4]], [0, 1])
    models = FakeModel(), OtherModel()
    joint = JointPass(D_MLP, models[0].device, small, [2], top=3, copies=None)
    joint.take(np.array([1, 0]), *models, no_poll)
    found = joint.layer_arrays(2, 3)
    assert np.isnan(found["values"][..., 2]).all()
    assert (found["prompts"][..., 2] == -1).all()
    assert (found["prompts"][..., :2] >= 0).all()
    full = [model.activations(np.array([1, 2, 3]), 2)[1:] for model in models]
    assert found["values"][2, 0, 0, 0] >= (full[1] - full[0])[:, 0].max()


def test_not_a_number_is_refused_with_its_layer(corpus: MemoryCorpus) -> None:
    broken = OtherModel()
    broken.by_token[2, 4, 0] = np.nan
    with pytest.raises(NumericalError, match="layer 2"):
        run(FakeModel(), broken, corpus, 30)


@pytest.mark.parametrize(
    ("values", "sign", "expected"),
    [([3.0, 5.0], "+", (0, 3.0)), ([3.0, 5.0], "-", (1, -5.0)), ([3.0, 5.0], "both", (1, -5.0)),
     ([5.0, 3.0], "both", (0, 5.0))],
)  # fmt: skip
def test_the_peak_is_of_the_sign_that_counts(values, sign, expected) -> None:
    assert peak_of(np.array(values), sign) == expected


class Failing(FakeModel):
    """Breaks before it hands out layer 1."""

    def mlp_activations(
        self,
        tokens: torch.Tensor,
        layers: Iterable[int],
        consume: Callable[[int, torch.Tensor], None],
        *,
        poll: Poll = no_poll,
    ) -> None:
        super().mlp_activations(tokens, [0], consume, poll=poll)
        raise LookupsError("It broke.")


@pytest.mark.parametrize("pair", [(Failing, FakeModel), (FakeModel, Failing), (Failing, Failing)])
def test_what_either_pass_raises_is_raised_and_no_thread_stays(pair: tuple[type, type]) -> None:
    import threading

    met = []
    tokens = torch.tensor([[1, 2, 3]])
    with pytest.raises(LookupsError, match="It broke"):
        activations_side_by_side(
            pair[0](), pair[1](), tokens, LAYERS, lambda layer, a, b: met.append(layer), no_poll
        )
    assert met == [0]
    assert "lookups-first-model" not in {thread.name for thread in threading.enumerate()}


def test_it_is_interrupted_between_layers() -> None:
    def poll() -> None:
        if met:
            raise Cancelled

    met: list[int] = []
    with pytest.raises(Cancelled):
        activations_side_by_side(
            FakeModel(),
            FakeModel(),
            torch.tensor([[1, 2]]),
            LAYERS,
            lambda layer, a, b: met.append(layer),
            poll,
        )
    assert met == [0]
