"""Loading: every family, and every way a folder can be wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny_models import (
    FURTHER,
    N_CTX,
    N_HEADS,
    RECIPES,
    REFUSED,
    VOCABULARY,
    Recipe,
    edit_weights,
    save_config_only,
    save_recipe,
)
from tui_lookups.errors import LookupsError, ModelLoadError, NumericalError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import neuron_reader
from tui_lookups.model.configuration import read_config
from tui_lookups.model.loading import all_finite, choose_device, load_model
from tui_lookups.model.points import Point
from tui_lookups.progress import Progress


def load(folder: Path, **more):
    return load_model(folder, name="tiny", source=str(folder), fingerprint="f", device="cpu", **more)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_family_loads(tiny_model, name: str) -> None:
    model = tiny_model(name)
    info = model.info
    assert info.n_heads == N_HEADS
    assert (
        info.d_vocab
        == VOCABULARY
        == model.congruences(np.eye(info.d_model)).shape[1]
        == len(model.vocabulary)
    )
    assert info.n_ctx == N_CTX
    assert info.d_mlp == model.W_out(0).shape[0]
    assert info.d_model == model.W_out(0).shape[1] == neuron_reader(model, NeuronId(0, 0)).directions.shape[0]
    assert model.wiring.blocks[0].heads_out.matrix.shape == (N_HEADS * info.d_head, info.d_model)
    assert info.n_neurons == info.n_layers * info.d_mlp
    assert (info.bos is not None) == RECIPES[name].begin_of_text
    assert info.family == name.removesuffix("_parallel").removesuffix("_sequential")
    assert info.parameters > 1000
    assert not any(values.requires_grad for values in model._hf_model.parameters())
    assert model.basis == "folded"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_the_precision_asked_for(tiny_model, dtype: str) -> None:
    model = tiny_model("gpt2", dtype)
    assert model.dtype == getattr(torch, dtype)
    assert {values.dtype for values in model._hf_model.parameters()} == {model.dtype}
    assert model.compute_dtype == (torch.float64 if dtype == "float64" else torch.float32)
    assert (
        model.W_out(0).dtype == neuron_reader(model, NeuronId(0, 0)).directions.dtype == model.compute_dtype
    )


@pytest.mark.parametrize("name", list(RECIPES))
def test_it_is_the_hugging_face_model(tiny_model, reference, name: str) -> None:
    """Log-probabilities of the model are those of the Hugging Face model in float64."""
    model = tiny_model(name)
    row = torch.randint(3, 290, (1, 12), generator=torch.Generator().manual_seed(2))
    hugging_face = reference(name).model
    with torch.no_grad():
        expected = hugging_face(row).logits.log_softmax(-1)
    positions = torch.tensor([7])
    found = model.log_probabilities(row, positions)
    assert torch.allclose(found[0].double(), expected[0, 7], atol=1e-3)


def test_stages_are_told(tiny_folder) -> None:
    told: list[Progress | str] = []
    load(tiny_folder("gpt2"), say=told.append)
    whats = [each.what if isinstance(each, Progress) else each for each in told]
    first, last = dict.fromkeys(whats)
    assert (first.startswith("reading the weights of "), last) == (True, told[-1])
    shares = [each.share for each in told if isinstance(each, Progress)]
    assert shares == sorted(shares)
    assert len(shares) > 20
    assert shares[-1] > 0.9, "both what is read and what is copied out of the file counts"
    raw: list[Progress | str] = []
    load(tiny_folder("gpt2"), folded=False, say=raw.append)
    assert len(raw) == len(told)


def test_the_context_of_longrope_ends_where_its_frequencies_change(tmp_path: Path) -> None:
    """Beyond it a text's activations depend on how long the others of its batch are."""
    recipe = FURTHER["phi3"]
    rotary = {"rope_type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [2.0, 4.0]}
    more = {"rope_parameters": rotary, "original_max_position_embeddings": 16}
    save_recipe(Recipe(recipe.config_class, {**recipe.arguments, **more}), tmp_path)
    model = load(tmp_path)
    assert model.info.n_ctx == 16
    row = torch.randint(3, 290, (1, 30), generator=torch.Generator().manual_seed(1))

    def at_5(length: int) -> torch.Tensor:
        return model.neuron_activations(row[:, :length], NeuronId(2, 3))[0, 5]

    assert torch.allclose(at_5(16), at_5(6), atol=1e-5)
    assert not torch.allclose(at_5(17), at_5(6), atol=1e-2)


def test_nothing_is_written_and_no_logging_handler_left(tiny_folder, capfd) -> None:
    """Gemma 2's soft cap makes TransformerLens warn through the root logger."""
    handlers = list(logging.getLogger().handlers)
    filters = list(logging.getLogger().filters)
    load(tiny_folder("gemma2"))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().filters == filters


def test_a_fresh_process_writes_nothing(tiny_folder) -> None:
    code = (
        "import sys; from pathlib import Path; from tui_lookups.model.loading import load_model; "
        "load_model(Path(sys.argv[1]), name='m', source='m', fingerprint='f', device='cpu')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_folder("gemma2"))],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


class TestForwardPasses:
    @pytest.mark.parametrize("name", list(RECIPES))
    def test_activations_are_those_of_hugging_face(self, tiny_model, reference, name: str) -> None:
        model, of = tiny_model(name), reference(name)
        rows = torch.randint(3, 290, (2, 9), generator=torch.Generator().manual_seed(5))
        expected, _ = of.capture(
            rows, {str(layer): (of.part(layer, of.names.down), "in") for layer in range(model.info.n_layers)}
        )
        seen: dict[int, torch.Tensor] = {}
        model.mlp_activations(rows, [2, 0] if model.info.n_layers == 3 else [0, 1], seen.__setitem__)
        for layer, activation in seen.items():
            assert activation.shape == (2, 9, model.info.d_mlp)
            assert torch.allclose(activation.double(), expected[str(layer)], atol=2e-4, rtol=1e-3)
        one = model.neuron_activations(rows, NeuronId(0, 3))
        assert torch.equal(one, seen[0][..., 3])

    @pytest.mark.parametrize("name", list(RECIPES))
    def test_padding_on_the_right_changes_nothing(self, tiny_model, name: str) -> None:
        model = tiny_model(name)
        short, long = [5, 9, 40, 77], list(range(10, 22))
        together = model.neuron_activations(model.batch([short, long]), NeuronId(1, 2))
        alone = model.neuron_activations(model.batch([short]), NeuronId(1, 2))
        assert torch.allclose(together[0, :4], alone[0], atol=1e-5)

    def test_log_probabilities_of_each_row(self, tiny_model, reference) -> None:
        model, rows = (
            tiny_model("llama"),
            torch.randint(3, 290, (3, 8), generator=torch.Generator().manual_seed(6)),
        )
        positions = torch.tensor([7, 0, 3])
        found = model.log_probabilities(rows, positions)
        with torch.no_grad():
            every = reference("llama").model(rows).logits.log_softmax(-1)
        for place, q in enumerate(positions.tolist()):
            assert torch.allclose(found[place].double(), every[place, q], atol=1e-3)
            assert float(found[place].exp().sum()) == pytest.approx(1.0, abs=1e-4)

    def test_a_hook_can_put_another_tensor_in_place(self, tiny_model) -> None:
        """Also where OPT flattens batch and positions."""
        for name in ("gpt2", "opt"):
            model, rows = tiny_model(name), torch.arange(5, 13).reshape(2, 4)
            before = model.neuron_activations(rows, NeuronId(1, 0))
            seen: list[torch.Tensor] = []

            def keep(activation: torch.Tensor, seen: list[torch.Tensor] = seen) -> None:
                seen.append(activation[..., 0].clone())

            model.run(
                rows,
                {Point("post", 0): torch.zeros_like, Point("post", 1): keep},
                stop_after=1,
            )
            assert seen[0].shape == (2, 4)
            assert not torch.allclose(seen[0], before)

    def test_layers_above_are_not_run_and_poll_is_called_before_each_block(self, tiny_model) -> None:
        model, polled, ran = tiny_model("gpt2"), [], []
        model.run(
            torch.tensor([[4, 5]]),
            {Point("post", layer): lambda _, layer=layer: ran.append(layer) for layer in (0, 1)},
            stop_after=1,
            poll=lambda: polled.append(len(ran)),
        )
        assert ran == [0, 1]
        assert polled == [0, 1]


class TestDamage:
    def refused(self, folder: Path, kind: type[LookupsError], *words: str, **more) -> LookupsError:
        with pytest.raises(kind) as caught:
            load(folder, **more)
        for word in words:
            assert word in str(caught.value)
        assert caught.value.message.endswith((".", "?"))
        assert caught.value.hint
        return caught.value

    def test_no_configuration(self, tmp_path: Path) -> None:
        self.refused(tmp_path, ModelLoadError, "config.json")

    @pytest.mark.parametrize("content", ["{", "[]", "\x00\x01", '"gpt2"'])
    def test_a_configuration_that_is_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ModelLoadError):
            read_config(tmp_path, "tiny")

    def test_a_configuration_without_a_kind(self, tmp_path: Path) -> None:
        save_config_only({"n_layer": 2}, tmp_path)
        self.refused(tmp_path, UnsupportedModelError, "what kind of model")

    def test_a_kind_nobody_knows(self, tmp_path: Path) -> None:
        save_config_only({"model_type": "zzz"}, tmp_path)
        refusal = self.refused(tmp_path, UnsupportedModelError, "zzz")
        assert "Llama" in refusal.hint

    @pytest.mark.parametrize("length", [0, 7, 5000])
    def test_a_truncated_weight_file(self, copied, length: int) -> None:
        folder = copied()
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:length])
        self.refused(folder, ModelLoadError, "tiny cannot be loaded")

    def test_no_weight_file(self, copied) -> None:
        folder = copied()
        (folder / "model.safetensors").unlink()
        self.refused(folder, ModelLoadError)

    @pytest.mark.parametrize("missing", ["model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"])
    def test_a_missing_tensor_is_not_made_up(self, copied, missing: str) -> None:
        folder = copied()
        edit_weights(folder, lambda weights: weights.pop(missing))
        self.refused(folder, ModelLoadError, "incomplete", missing)

    def test_several_missing_tensors_are_counted(self, copied) -> None:
        folder = copied()
        edit_weights(
            folder, lambda weights: [weights.pop(name) for name in list(weights) if ".layers.2." in name]
        )
        self.refused(folder, ModelLoadError, "incomplete", "8 more tensors")

    def test_a_tensor_of_another_shape(self, copied) -> None:
        folder, name = copied(), "model.layers.1.mlp.up_proj.weight"
        edit_weights(folder, lambda weights: weights.update({name: torch.zeros(3, 3)}))
        self.refused(folder, ModelLoadError, "another shape", name)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
    def test_nan_weights_are_named(self, copied, name: str, value: float) -> None:
        folder = copied()
        edit_weights(folder, lambda weights: weights[name].view(-1).__setitem__(0, value))
        self.refused(folder, NumericalError, name)

    def test_weights_too_large_for_float16(self, copied) -> None:
        folder, name = copied(), "model.layers.1.mlp.up_proj.weight"
        edit_weights(folder, lambda weights: weights[name].__setitem__((0, 0), 1e6))
        self.refused(folder, NumericalError, name, "bfloat16", dtype="float16")

    def test_finite_weights_may_have_a_sum_that_is_not(self) -> None:
        largest = torch.full((4,), torch.finfo(torch.float32).max)
        assert all_finite(largest)
        assert not all_finite(torch.tensor([float("inf"), -float("inf")]))

    def test_no_tokenizer(self, copied) -> None:
        folder = copied()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
        self.refused(folder, ModelLoadError, "tokenizer")

    @pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
    @pytest.mark.parametrize("content", ["{", "[]", "", '{"bos_token": "<nope>"}'])
    def test_a_damaged_tokenizer(self, copied, file: str, content: str) -> None:
        folder = copied()
        (folder / file).write_text(content)
        self.refused(folder, ModelLoadError, "tokenizer")


class TestDevices:
    @pytest.mark.parametrize("name", ["tpu", "cuda:99", "cpu:x", ""])
    def test_a_device_that_is_not_there(self, name: str) -> None:
        with pytest.raises(ModelLoadError, match="cannot be used") as caught:
            choose_device(name)
        assert "cpu" in caught.value.hint

    def test_auto_is_something_that_works(self) -> None:
        torch.empty(1, device=choose_device("auto"))

    def test_cpu(self) -> None:
        assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused_by_its_configuration_alone(tmp_path: Path, name: str) -> None:
    """In one sentence that says why, before any weight is looked for."""
    save_config_only(REFUSED[name], tmp_path)
    with pytest.raises(UnsupportedModelError) as caught:
        load(tmp_path)
    message = caught.value.message
    assert REFUSED[name]["model_type"] in message
    assert message.startswith("tiny (")
    assert message.endswith(".")
    assert "Llama" in caught.value.hint


class TestNames:
    def test_neurons(self, tiny_model) -> None:
        model = tiny_model("gpt2")
        model.check_neuron(NeuronId(2, 39))
        for wrong in (NeuronId(3, 0), NeuronId(0, 40)):
            with pytest.raises(LookupsError, match="has no neuron"):
                model.check_neuron(wrong)

    def test_heads(self, tiny_model) -> None:
        model = tiny_model("gpt2")
        model.check_head(HeadId(2, 3))
        for wrong in (HeadId(3, 0), HeadId(0, 4)):
            with pytest.raises(LookupsError, match="has no head"):
                model.check_head(wrong)


def test_prompts_begin_with_begin_of_text_where_there_is_one(tiny_model) -> None:
    with_bos, without = tiny_model("gpt2"), tiny_model("qwen2")
    assert with_bos.encode_prompt("the cat")[0] == with_bos.vocabulary.bos_id
    assert with_bos.encode_prompt("the cat")[1:] == with_bos.vocabulary.encode("the cat")
    assert without.encode_prompt("the cat") == without.vocabulary.encode("the cat")
