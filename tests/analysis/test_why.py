"""Why a token: the sum is the model's own logit, on every family (method.md, section 8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.reference_huggingface import HeldNorm
from tests.reference_raw import RawGPT2
from tests.tiny_models import ALIKE, EXPERTS, FURTHER, RECIPES
from tui_lookups.analysis import attribution
from tui_lookups.analysis.exact_sum import ExactSum, as_contributions
from tui_lookups.analysis.why import layers_of, probability_without, why_token
from tui_lookups.errors import Cancelled, LookupsError, NumericalError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel

FAMILIES = [*RECIPES, *FURTHER, *ALIKE, *EXPERTS]
ROW = torch.randint(3, 290, (48,), generator=torch.Generator().manual_seed(11)).tolist()
"""As long as these models' context."""

POSITION, TOKEN, FOIL = 44, 71, 202


@torch.inference_mode()
def logits_of(model: LookupModel, position: int = POSITION) -> Tensor:
    """transformers' own logits after a position, a soft cap taken off: [d_vocab]."""
    given = model._hf_model(input_ids=torch.tensor([ROW[: position + 1]]), use_cache=False).logits[0, -1]
    cap = model.wiring.logit_cap
    return given if cap is None else cap * torch.atanh(given / cap)


def size(found: ExactSum) -> float:
    """The sum of the magnitudes of everything that is summed."""
    arrays = (found.heads, found.neurons, found.attention_biases, found.mlp_biases)
    return float(sum(np.abs(part).sum() for part in arrays)) + abs(found.embedding) + abs(found.bias)


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_sums_to_the_models_logit(tiny_model, name: str) -> None:
    """Counted from the mean and from a foil; layers and their biases are the same sum."""
    model = tiny_model(name, "float64")
    logits = logits_of(model)
    for foil in (None, FOIL):
        why = why_token(model, ROW, POSITION, TOKEN, foil, top=4)
        result = as_contributions(why.found, 4)
        expected = float(logits[TOKEN] - (logits.mean() if foil is None else logits[foil]))
        bound = 1e-10 * size(why.found)
        assert abs(result.target - expected) <= bound
        assert abs(result.remainder) <= bound
        assert why.found.relative_remainder <= 1e-10
        assert size(why.found) > 1e-2
        layers = layers_of(model, why)
        parts = sum(layer.heads + layer.neurons + layer.biases for layer in layers)
        assert abs(parts + why.found.embedding + why.found.bias - result.target) <= bound


@torch.no_grad()
def held(norm: nn.Module, x: Tensor) -> HeldNorm:
    return HeldNorm(norm, x)


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_neurons_are_what_autograd_gives_with_norms_held(tiny_model, reference, name: str) -> None:
    """Each neuron's activation times the derivative of the logit along the stream, through the modules."""
    model = tiny_model(name, "float64")
    why = why_token(model, ROW, POSITION, TOKEN, FOIL, top=1)
    hugging_face = reference(name)
    names = hugging_face.names
    final = hugging_face.model.get_submodule(names.final_norm)
    wanted: dict[str, tuple[nn.Module, str]] = {"stream": (final, "in")}
    for layer in range(model.info.n_layers):
        wanted[f"post {layer}"] = (hugging_face.part(layer, names.down), "in")
        wanted[f"out {layer}"] = (hugging_face.part(layer, names.down), "out")
    clean, _ = hugging_face.capture(torch.tensor([ROW]), wanted)
    stream = clean["stream"][0, POSITION].requires_grad_()
    normed = held(final, stream.detach())(stream)
    read = hugging_face.model.get_output_embeddings()(normed)
    (read[TOKEN] - read[FOIL]).backward()
    for layer in range(model.info.n_layers):
        post = clean[f"post {layer}"][0, POSITION].clone().requires_grad_()
        written = hugging_face.part(layer, names.down)(post)
        if names.mlp_post_norm is not None:
            norm = hugging_face.part(layer, names.mlp_post_norm)
            written = held(norm, clean[f"out {layer}"][0, POSITION])(written)
        assert stream.grad is not None
        (written @ stream.grad).backward()
        assert post.grad is not None
        expected = (post * post.grad).detach().numpy()
        # Its RMS norms and rotary angles are in single precision.
        assert np.abs(why.found.neurons[layer] - expected).max() <= 1e-5 * size(why.found)


def test_the_packaged_model_from_its_own_tensors(demo_model, demo_folder: Path) -> None:
    """The figure of a neuron is its activation times congruence, over the final norm's scale."""
    row = demo_model.encode_prompt('"How long have')
    why = why_token(demo_model, row, len(row) - 1, top=5)
    raw = RawGPT2(demo_folder)
    kept: list[Tensor] = []
    module = demo_model.wiring.ln_final.module
    with module.register_forward_pre_hook(lambda _, given: kept.append(given[0][0, -1].double())):
        demo_model.log_probabilities(torch.tensor([row]), torch.tensor([len(row) - 1]))
    sigma = float((kept[0].var(unbiased=False) + 1e-5).sqrt())
    for neuron in why.found.largest(5):
        congruence = float(raw.congruence(neuron.layer)[neuron.index, why.token_id])
        activation = why.found.activations[neuron.layer, neuron.index]
        assert why.found.of(neuron) == pytest.approx(activation * congruence / sigma, rel=1e-4)
        assert why.congruences[neuron] == pytest.approx(congruence, rel=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "olmo2"])
def test_the_lens_reads_the_stream_behind_each_layer(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    why = why_token(model, ROW, POSITION, TOKEN, top=1)
    with torch.inference_mode():
        hidden = model._hf_model(torch.tensor([ROW]), output_hidden_states=True).hidden_states
        final, unembed = model.wiring.ln_final.module, model.wiring.unembed
        streams = [unembed(final(stream[0, POSITION])) for stream in hidden[:-1]]
    logits = [*streams, logits_of(model)]  # what comes last is normed already
    expected = [float(each[TOKEN] - each.mean()) for each in logits]
    assert why.lens == pytest.approx(expected, rel=1e-9)
    assert why.lens_tokens == tuple(int(each.argmax()) for each in logits[1:])
    assert [layer.lens_logit for layer in layers_of(model, why)] == pytest.approx(expected[1:], rel=1e-9)


def test_what_comes_after_the_position_does_not_matter(tiny_model) -> None:
    model = tiny_model("llama", "float64")
    long, short = (why_token(model, row, 9, TOKEN, top=3) for row in (ROW, ROW[:10]))
    assert np.array_equal(long.found.neurons, short.found.neurons)
    assert long.predictions == short.predictions


def test_the_most_probable_token_is_asked_about_unless_one_is_named(tiny_model) -> None:
    model = tiny_model("gpt2")
    why = why_token(model, ROW, POSITION, top=3)
    assert why.token_id == int(logits_of(model).argmax()) == why.predictions[0].token.id
    assert [p.probability for p in why.predictions] == sorted(
        (p.probability for p in why.predictions), reverse=True
    )
    total = float(why.probabilities.sum())
    assert total == pytest.approx(1, abs=1e-5)


def test_next_token_neurons_are_those_whose_own_top_token_it_is(tiny_model) -> None:
    model = tiny_model("gpt2")
    write = model.write_block(2, slice(0, model.info.d_mlp))
    token = int(model.congruences(write)[7].argmax())
    every = model.info.n_layers * model.info.d_mlp
    why = why_token(model, ROW, POSITION, token, top=every)
    rows = as_contributions(why.found, every, own=why.own, token_id=token).neurons
    own = [row.neuron for row in rows if row.next_token_neuron]
    assert NeuronId(2, 7) in own
    for neuron in own:
        assert int(model.congruences(model.directions([neuron]))[0].argmax()) == token
    assert len(own) < every / 4


@pytest.mark.parametrize("component", [HeadId(1, 2), NeuronId(1, 5)])
def test_a_component_is_replaced_at_the_position_alone(tiny_model, component) -> None:
    """As when the plain modules' projections are given another value there."""
    model = tiny_model("llama", "float64")
    is_head = isinstance(component, HeadId)
    value = np.linspace(-1, 1, model.info.d_head) if is_head else np.array(0.75)
    block = model.wiring.blocks[1]
    module = block.heads_out.module if is_head else block.down.module
    width = model.info.d_head if is_head else 1
    columns = slice(component.index * width, (component.index + 1) * width)

    def replace(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        other = given[0].clone()
        other[0, POSITION, columns] = torch.from_numpy(value)
        return (other,)

    before = float(logits_of(model).softmax(-1)[TOKEN])
    with module.register_forward_pre_hook(replace):
        expected = float(logits_of(model).softmax(-1)[TOKEN])
    found = probability_without(model, ROW, POSITION, component, value, TOKEN)
    assert found == pytest.approx(expected, rel=1e-9)
    assert abs(found - before) > 1e-4 * before


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_it_stops_when_nobody_waits_between_blocks_and_between_layers(tiny_model, calls: int) -> None:
    polled = 0

    def poll() -> None:
        nonlocal polled
        polled += 1
        if polled == calls:
            raise Cancelled

    with pytest.raises(Cancelled):
        why_token(tiny_model("gpt2"), ROW, POSITION, TOKEN, top=1, poll=poll)
    assert polled == calls


def test_a_token_is_no_foil_of_itself(tiny_model) -> None:
    model = tiny_model("gpt2")
    best = why_token(model, ROW, POSITION, top=1).token_id
    for token in (best, None):
        with pytest.raises(LookupsError, match="no foil of itself"):
            why_token(model, ROW, POSITION, token, best, top=1)


def test_a_sum_that_does_not_close_is_refused(tiny_model, monkeypatch) -> None:
    model = tiny_model("gpt2")
    monkeypatch.setitem(attribution.BOUNDS, torch.float32, 1e-12)
    with pytest.raises(UnsupportedModelError, match=r"the logit of .* at position 44 of .* does not close"):
        why_token(model, ROW, POSITION, TOKEN, top=1)


def test_numbers_that_are_not_finite_are_refused(tiny_model) -> None:
    model = tiny_model("gpt2")

    def spoil(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0] * torch.nan,)

    with (
        model.wiring.blocks[1].down.module.register_forward_pre_hook(spoil),
        pytest.raises(NumericalError, match="not finite"),
    ):
        why_token(model, ROW, POSITION, TOKEN, top=1)
