"""Neurons of mixtures of experts, the router's weights held (method.md, section 15).

The reference takes every number out of the files, expert by expert, and what the MLPs and norms of
transformers' own module were given and gave, in float64; nothing of the code under test is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import silu

from tests.analysis.neurons import decompose_neurons
from tests.tiny_models import EXPERTS, Recipe, edit_weights, save_recipe, save_tiny_model
from tui_lookups.analysis.ablation import mean_over
from tui_lookups.analysis.congruence import rank_neurons
from tui_lookups.analysis.inputs import cut_edge
from tui_lookups.analysis.why import probability_without, why_token
from tui_lookups.errors import ModelLoadError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.inventory import folder_inventory
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point

ROW = torch.randint(3, 290, (18,), generator=torch.Generator().manual_seed(5)).tolist()
POSITION = 15
CLOSED = 1e-12
LAST = 2


@dataclass(frozen=True)
class Files:
    """A folder's tensors in float64, and how its experts are named and weighted."""

    weights: dict[str, Tensor]
    config: dict[str, Any]

    @property
    def n_experts(self) -> int:
        return int(self.config.get("num_local_experts") or self.config["num_experts"])

    def expert(self, layer: int, expert: int) -> tuple[Tensor, Tensor, Tensor]:
        """W_gate and W_in [d_expert, d_model], W_out [d_model, d_expert]."""
        if self.config["model_type"] == "mixtral":
            path, names = f"model.layers.{layer}.block_sparse_moe.experts.{expert}", ("w1", "w3", "w2")
        else:
            path, names = f"model.layers.{layer}.mlp.experts.{expert}", ("gate_proj", "up_proj", "down_proj")
        if expert == self.n_experts:
            path = f"model.layers.{layer}.mlp.shared_expert"
        gate, up, down = (self.weights[f"{path}.{name}.weight"] for name in names)
        return gate, up, down

    def matrices(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Those of all experts below each other, a shared one last: [d_mlp, d_model] each."""
        experts = range(self.n_experts + ("shared_expert_intermediate_size" in self.config))
        each = [self.expert(layer, expert) for expert in experts]
        return (
            torch.cat([gate for gate, _, _ in each]),
            torch.cat([up for _, up, _ in each]),
            torch.cat([down.T for _, _, down in each]),
        )

    def routed(self, layer: int, given: Tensor) -> Tensor:
        """What each neuron is multiplied by, of what the MLP is given [pos, d_model]: [pos, d_mlp]."""
        block = "block_sparse_moe" if self.config["model_type"] == "mixtral" else "mlp"
        router = self.weights[f"model.layers.{layer}.{block}.gate.weight"]
        probabilities = (given @ router.T).softmax(-1)
        kth = probabilities.sort(-1, descending=True).values[:, self.config["num_experts_per_tok"] - 1]
        chosen = torch.where(probabilities >= kth[:, None], probabilities, 0.0)
        if self.config["model_type"] == "mixtral" or self.config.get("norm_topk_prob"):
            chosen = chosen / chosen.sum(-1, keepdim=True)
        widths = [len(self.expert(layer, expert)[0]) for expert in range(self.n_experts)]
        weights = chosen.repeat_interleave(torch.tensor(widths), -1)
        if "shared_expert_intermediate_size" not in self.config:
            return weights
        gate = self.weights[f"model.layers.{layer}.mlp.shared_expert_gate.weight"]
        shared = (given @ gate.T).sigmoid().expand(-1, self.config["shared_expert_intermediate_size"])
        return torch.cat([weights, shared], -1)


@pytest.fixture(params=list(EXPERTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(tiny_model: Callable[..., LookupModel], name: str) -> LookupModel:
    return tiny_model(name, "float64")


@pytest.fixture
def files(tiny_folder: Callable[[str], Path], name: str) -> Files:
    return _files(tiny_folder(name))


@cache
def _files(folder: Path) -> Files:
    weights = {key: values.double() for key, values in load_file(folder / "model.safetensors").items()}
    return Files(weights, json.loads((folder / "config.json").read_text()))


@dataclass(frozen=True)
class Ran:
    """What one layer of transformers' own module was given and gave in float64, [pos, d_model] each."""

    stream: Tensor
    given: Tensor
    written: Tensor


@pytest.fixture
def ran(tiny_folder: Callable[[str], Path], name: str) -> list[Ran]:
    return _ran(tiny_folder(name))


@cache
@torch.no_grad()
def _ran(folder: Path) -> list[Ran]:
    from transformers import AutoModelForCausalLM

    hf_model = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float64, local_files_only=True, experts_implementation="eager"
    ).eval()
    seen: dict[tuple[str, int], Tensor] = {}

    def keep(what: str, layer: int) -> Callable[..., None]:
        def hook(_: Any, arguments: Any, output: Tensor) -> None:
            seen[f"{what} given", layer] = arguments[0][0]
            seen[f"{what} gave", layer] = output[0]

        return hook

    blocks = hf_model.model.layers
    for layer, block in enumerate(blocks):
        block.mlp.register_forward_hook(keep("mlp", layer))
        block.post_attention_layernorm.register_forward_hook(keep("norm", layer))
    hf_model(torch.tensor([ROW]), use_cache=False)
    return [
        Ran(seen["norm given", layer], seen["mlp given", layer], seen["mlp gave", layer])
        for layer in range(len(blocks))
    ]


def test_activations_are_routed_and_sum_to_what_the_mlp_writes(
    model: LookupModel, files: Files, ran: list[Ran]
) -> None:
    """a = r act(g) u, 0 where an expert is not run; times W_out they are the MLP's output."""
    found: list[Tensor] = []
    model.mlp_activations(model.batch([ROW]), range(3), lambda _, a: found.append(a[0].clone()))
    for layer, (activations, own) in enumerate(zip(found, ran, strict=True)):
        W_gate, W_in, W_out = files.matrices(layer)
        expected = files.routed(layer, own.given) * silu(own.given @ W_gate.T) * (own.given @ W_in.T)
        assert activations.shape == (len(ROW), model.info.d_mlp)
        torch.testing.assert_close(activations, expected, rtol=1e-5, atol=2e-6)
        torch.testing.assert_close(expected @ W_out, own.written, rtol=1e-5, atol=5e-6)
        assert bool((expected == 0).any(0).any())


def test_neurons_are_numbered_expert_by_expert_and_a_shared_one_last(
    model: LookupModel, files: Files
) -> None:
    """By their congruences, which rest on the rows of W_out."""
    unembedding = files.weights["lm_head.weight"]
    read = (unembedding[17] - unembedding.mean(0)) * files.weights["model.norm.weight"]
    for layer in range(3):
        expected = files.matrices(layer)[2] @ read
        np.testing.assert_allclose(model.toward(layer, model.unembedding(17)), expected, atol=1e-12)
        best = rank_neurons(model, 17, top=3, sign="+", layers=[layer])[0]
        assert best.neuron == NeuronId(layer, int(expected.argmax()))
        scattered = [int(index) for index in expected.argsort()[:: model.info.d_mlp // 4]]
        own = model.directions([NeuronId(layer, index) for index in scattered])
        np.testing.assert_allclose(own, files.matrices(layer)[2][scattered], atol=1e-12)


def test_heads_are_attributed_with_the_routers_weight_held(
    model: LookupModel, files: Files, ran: list[Ran]
) -> None:
    """Every neuron, of experts that were run and of others: rho/2 (g_c u + g u_c), rho = r act(g) / g."""
    own, position = ran[LAST], POSITION
    W_gate, W_in, _ = files.matrices(LAST)
    norm = files.weights[f"model.layers.{LAST}.post_attention_layernorm.weight"]
    eps = files.config["rms_norm_eps"]
    sigma = (own.stream[position].pow(2).mean() + eps).sqrt()
    g, u = W_gate @ own.given[position], W_in @ own.given[position]
    rho = files.routed(LAST, own.given)[position] * silu(g) / g
    z = model.capture(model.batch([ROW]), torch.tensor([position]), [Point("z", 1)], stop_after=1)
    W_O = files.weights["model.layers.1.self_attn.o_proj.weight"]  # [d_model, n_heads * d_head]
    written = torch.einsum("hd,mhd->hm", z[Point("z", 1)][0], W_O.unflatten(1, (model.info.n_heads, -1)))
    read = written * norm / sigma  # [n_heads, d_model]
    expected = rho / 2 * (read @ W_gate.T * u + read @ W_in.T * g)  # [n_heads, d_mlp]
    for whole in decompose_neurons(model, LAST, range(model.info.d_mlp), [ROW], [position]):
        neuron = whole.neuron.index
        np.testing.assert_allclose(whole.heads[1], expected[:, neuron], rtol=1e-5, atol=2e-6)
        assert whole.target == pytest.approx(float(rho[neuron] * g[neuron] * u[neuron]), rel=1e-5, abs=2e-6)
        assert abs(whole.remainder) <= CLOSED * max(whole.scale, 1.0)
        assert whole.relative_remainder < CLOSED


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("bfloat16", 5e-2)])
def test_every_neuron_closes_in_less_precision(
    tiny_model: Callable[..., LookupModel], name: str, dtype: str, bound: float
) -> None:
    model = tiny_model(name, dtype)
    for layer in range(3):
        for whole in decompose_neurons(
            model, layer, range(0, model.info.d_mlp, 3), [ROW], [POSITION], source_head=HeadId(0, 1)
        ):
            assert whole.relative_remainder < bound


def loudest(model: LookupModel, layer: int) -> NeuronId:
    """The neuron of a layer that fires most at the position."""
    kept: list[Tensor] = []
    model.mlp_activations(model.batch([ROW]), [layer], lambda _, a: kept.append(a[0, POSITION].abs()))
    return NeuronId(layer, int(kept[0].argmax()))


def test_an_edge_is_cut_with_the_routers_weight_held(
    model: LookupModel, files: Files, ran: list[Ran]
) -> None:
    """act(g) u of the stream without the component, times the weight that the router gave with it."""
    neuron, earlier = loudest(model, LAST), loudest(model, 0)
    cut = cut_edge(model, neuron, earlier, ROW, POSITION)
    W_gate, W_in, _ = files.matrices(LAST)
    own, W_out = ran[LAST], files.matrices(0)[2]
    fired = files.routed(0, ran[0].given)[POSITION] * silu(ran[0].given[POSITION] @ files.matrices(0)[0].T)
    fired = fired * (ran[0].given[POSITION] @ files.matrices(0)[1].T)
    less = own.stream[POSITION] - fired[earlier.index] * W_out[earlier.index]
    norm = files.weights[f"model.layers.{LAST}.post_attention_layernorm.weight"]
    read = less / (less.pow(2).mean() + files.config["rms_norm_eps"]).sqrt() * norm
    weight = files.routed(LAST, own.given)[POSITION, neuron.index]
    expected = weight * silu(W_gate[neuron.index] @ read) * (W_in[neuron.index] @ read)
    assert cut.activation_free == pytest.approx(float(expected), rel=1e-6)
    assert cut.held == pytest.approx(cut.neuron.found.target - cut.contribution)


def test_a_neuron_that_is_removed_takes_what_it_writes_out_of_the_stream(model: LookupModel) -> None:
    neuron = loudest(model, 1)
    (write,) = torch.from_numpy(model.directions([neuron]))
    tokens, streams = model.batch([ROW]), []
    activation = float(model.neuron_activations(tokens, neuron)[0, POSITION])

    def silence(activations: Tensor) -> Tensor:
        edited = activations.clone()
        edited[0, POSITION, neuron.index] = 0.0
        return edited

    edits = {Point("post", 1): silence}
    for hooks in ({}, edits):
        kept: list[Tensor] = []
        model.run(
            tokens,
            {**hooks, Point("resid_pre", 2): lambda s, kept=kept: kept.append(s.clone())},
            stop_after=2,
        )
        streams.append(kept[0][0, POSITION])
    torch.testing.assert_close(streams[0] - streams[1], activation * write, rtol=1e-9, atol=1e-12)
    found = why_token(model, ROW, POSITION, top=5)
    without = probability_without(model, ROW, POSITION, neuron, np.zeros(()), found.token_id)
    assert abs(without - float(found.probabilities[found.token_id])) > 1e-9
    means = mean_over(model, [ROW], 1, "post")
    assert means.shape == (2, model.info.d_mlp)


# --- files ---


def load(folder: Path) -> LookupModel:
    return load_model(folder, name="tiny", source="", fingerprint="tiny", device="cpu")


DOWN = "model.layers.1.mlp.experts.{}.down_proj.weight"


def test_files_that_hold_experts_put_together_give_the_same(tmp_path: Path, tiny_folder: Any) -> None:
    """As transformers keeps them, which some files do too."""
    save_tiny_model("olmoe", tmp_path)

    def put_together(weights: dict[str, Tensor]) -> None:
        for layer in range(3):
            path = f"model.layers.{layer}.mlp.experts"
            each = [
                [weights.pop(f"{path}.{expert}.{name}_proj.weight") for name in ("gate", "up", "down")]
                for expert in range(4)
            ]
            weights[f"{path}.gate_up_proj"] = torch.stack([torch.cat(parts[:2]) for parts in each])
            weights[f"{path}.down_proj"] = torch.stack([down for *_, down in each])

    edit_weights(tmp_path, put_together)
    found, expected = load(tmp_path), load(tiny_folder("olmoe"))
    position = torch.tensor([POSITION])
    assert torch.equal(
        found.log_probabilities(found.batch([ROW]), position),
        expected.log_probabilities(expected.batch([ROW]), position),
    )


@pytest.mark.parametrize(
    ("edit", "refused"),
    [
        (lambda w: w.pop(DOWN.format(2)), "model.layers.1.mlp.experts.down_proj"),
        (lambda w: w.update({DOWN.format(4): w[DOWN.format(3)].clone()}), DOWN.format(4)),
        (lambda w: w.update({DOWN.format(3): w[DOWN.format(3)][:, :5].clone()}), DOWN.format(3)),
        (lambda w: w.update({DOWN.format(3)[6:]: w[DOWN.format(3)] * 2}), DOWN.format(3)),
    ],
    ids=["one too few", "one too many", "another width", "twice"],
)
def test_experts_that_do_not_fit_are_refused(tmp_path: Path, edit: Any, refused: str) -> None:
    save_tiny_model("olmoe", tmp_path)
    assert all(entry.fate != "refused" for entry in folder_inventory(tmp_path))
    edit_weights(tmp_path, edit)
    with pytest.raises(ModelLoadError):
        load(tmp_path)
    assert [entry.name for entry in folder_inventory(tmp_path) if entry.fate == "refused"] == [refused]


def test_blocks_of_which_some_have_experts_are_refused(tmp_path: Path) -> None:
    recipe = EXPERTS["qwen3_moe"]
    save_recipe(Recipe(recipe.config_class, {**recipe.arguments, "mlp_only_layers": [1]}, False), tmp_path)
    with pytest.raises(UnsupportedModelError, match="has blocks of several kinds"):
        load(tmp_path)
