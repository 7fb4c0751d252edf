"""A model over several devices, as far as a machine without GPUs can show it.

accelerate's hooks are put onto models on the CPU, which goes the way of a spread model but moves nothing;
torch's fake tensors carry a device, compute nothing, and refuse to meet one of another device.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode

from benchmarks.launches import Operations
from tui_lookups.analysis.attribution import decompose
from tui_lookups.errors import ModelLoadError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model import loading, placement
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel, hand_out_activations
from tui_lookups.model.placement import follow, over_gpus, require_on_gpus
from tui_lookups.model.points import ModuleHooks
from tui_lookups.model.second_tree import second_tree
from tui_lookups.model.wiring import read_wiring
from tui_lookups.scan.reductions import Piece, Reductions, reduce_activations
from tui_lookups.scan.state import ScanState

GB = 1 << 30
FIRST, SECOND = "lazy:0", "lazy:1"  # of the devices with a number, one that indexing needs no library for
PARTS = {
    "gpt2": ("transformer", ("wte", "wpe", "drop"), "h", "ln_f"),
    "llama": ("model", ("embed_tokens", "rotary_emb"), "layers", "norm"),
}


class Place(str):
    """The CPU under a name that TransformerLens does not take for offloaded weights."""

    def __str__(self) -> str:
        return "here"


def hooked(hf_model: Any, family: str) -> Any:
    """A model as accelerate leaves it when it has spread it, all on the CPU."""
    from accelerate import dispatch_model

    prefix, first, blocks, last = PARTS[family]
    layers = range(len(getattr(getattr(hf_model, prefix), blocks)))
    names = [f"{prefix}.{part}" for part in (*first, *(f"{blocks}.{n}" for n in layers), last)]
    names.append("lm_head")
    dispatch_model(hf_model, dict.fromkeys(names, "cpu"), main_device="cpu", force_hooks=True)
    hf_model.hf_device_map = dict.fromkeys(names, Place("cpu"))
    return hf_model


def load(folder: Path, **changes: Any) -> LookupModel:
    return load_model(folder, name="tiny", source="", fingerprint="f", device="cpu", **changes)


@pytest.fixture
def hooked_model(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], LookupModel]:
    """hooked_model(family): that tiny model, loaded the way a spread one is."""

    def model(family: str) -> LookupModel:
        weights = loading._load_weights
        with monkeypatch.context() as patched:
            patched.setattr(loading, "over_gpus", lambda device: {"device_map": "auto"})
            patched.setattr(
                loading,
                "_load_weights",
                lambda *given, **named: hooked(weights(*given[:-1], {}, **named), family),
            )
            return load(tiny_folder(family), spread=True)

    return model


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_model_under_accelerates_hooks_answers_the_same(
    family: str, hooked_model: Callable[[str], LookupModel], tiny_model: Callable[..., LookupModel]
) -> None:
    """Equal to the last bit, source tokens on a second tree included."""
    model, plain = hooked_model(family), tiny_model(family)
    assert [part for part in model._hf_model.modules() if hasattr(part, "_hf_hook")]
    tokens = torch.randint(0, plain.info.d_vocab, (2, 9), generator=torch.Generator().manual_seed(0))
    found: list[list[torch.Tensor]] = []
    for one in (model, plain):
        kept: list[torch.Tensor] = []
        one.mlp_activations(
            tokens, range(3), lambda _, activation, kept=kept: kept.append(activation.clone())
        )
        kept.append(one.log_probabilities(tokens, torch.tensor([3, 8])))
        whole = decompose(one, NeuronId(2, 3), [tokens[0].tolist()], [7], source_head=HeadId(1, 2))[0]
        kept += [one.W_out(1), *map(torch.from_numpy, (whole.heads, whole.sources, one.unembedding(5)))]
        found.append(kept)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    second = second_tree(model._hf_model)
    assert not [part for part in second.modules() if hasattr(part, "_hf_hook")]
    shared = {id(values) for values in model._hf_model.parameters()}
    assert {id(values) for values in second.parameters()} == shared


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_scan_of_a_spread_model_keeps_its_devices_apart(
    family: str, tiny_folder: Callable[[str], Path]
) -> None:
    """Forward pass, reductions and state with blocks on two devices: no tensor meets one of the other."""
    hf_model = loading._load_weights(
        tiny_folder(family), "tiny", torch.float32, False, {}, implementations={}
    )
    wiring = read_wiring(hf_model)
    prefix, first, blocks, last = PARTS[family]
    base = getattr(hf_model, prefix).requires_grad_(False)
    homes = {f"{prefix}.{part}": FIRST for part in (*first, f"{blocks}.0")}
    homes |= {f"{prefix}.{part}": SECOND for part in (f"{blocks}.1", f"{blocks}.2", last)}
    with FakeTensorMode(allow_non_fake_inputs=True):
        for name, home in homes.items():
            for part in base.get_submodule(name.removeprefix(f"{prefix}.")).modules():
                for kind in (part._parameters, part._buffers):
                    for key, values in kind.items():
                        if values is not None:
                            fake = torch.empty(values.shape, dtype=values.dtype, device=home)
                            kind[key] = nn.Parameter(fake, False) if kind is part._parameters else fake
        tokens = torch.zeros(2, 8, dtype=torch.int64, device=FIRST)
        d_mlp = wiring.blocks[0].down.matrix.shape[0]
        first_state, second_state = (
            ScanState.empty(3, d_mlp, signs=2, top=1, sample=2, device=torch.device(place))
            for place in (FIRST, SECOND)
        )
        found = Reductions.empty(3, 2, d_mlp, both_signs=True, device=torch.device(FIRST))
        seen: list[str] = []

        def consume(layer: int, activation: torch.Tensor) -> None:
            seen.append(str(activation.device))
            reduce_activations(activation, [8, 8], found.layer(layer))

        with pytest.raises(RuntimeError, match="two devices"):
            hand_out_activations(base, wiring, tokens, range(3), lambda *_: None)
        follow(hf_model, homes)
        with Operations():
            hand_out_activations(base, wiring, tokens, range(3), consume)
            piece = Piece(np.arange(2), found)
            first_state.merge(0, piece, np.arange(2))
            with pytest.raises(FakeTensorDeviceMismatchError):
                second_state.merge(0, piece, np.arange(2))
    assert seen == [FIRST, SECOND, SECOND]


def test_what_hooks_see_and_return_is_at_home() -> None:
    home, there = torch.device("cuda:0"), torch.device("cuda:1")
    seen: list[torch.device] = []

    def hook(activation: torch.Tensor) -> torch.Tensor:
        seen.append(activation.device)
        return activation + torch.zeros(3, device=home)

    spread = SimpleNamespace(_device=home)
    with FakeTensorMode():
        given, tokens = torch.zeros(1, 1, 3, device=there), torch.zeros(1, 1)
        (edited,) = ModuleHooks._editing(spread, hook, tokens, None, None)(None, (given,))
        assert ModuleHooks._editing(spread, lambda _: None, tokens, None, None)(None, (given,)) is None
    assert seen == [home]
    assert edited.device == there


def test_each_gpu_keeps_room_for_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cuda:0": 10 * GB, "cuda:1": 20 * GB}
    monkeypatch.setattr(placement, "free_bytes", lambda device: free[str(device)])
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    expected = {"device_map": "auto", "max_memory": {0: 8 * GB, 1: 16 * GB}}
    assert over_gpus("auto") == over_gpus("cuda") == expected
    with pytest.raises(ModelLoadError, match="the device is cuda:1"):
        over_gpus("cuda:1")
    spread = SimpleNamespace(hf_device_map={"model.layers.0": 0, "model.layers.1": 1})
    require_on_gpus(spread, "big")
    for elsewhere in ("cpu", "disk"):
        spread.hf_device_map["lm_head"] = elsewhere
        with pytest.raises(ModelLoadError, match="big does not fit on 2 GPUs") as caught:
            require_on_gpus(spread, "big")
        assert "bfloat16" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_gpus_it_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ModelLoadError, match="GPUs with CUDA only, and the device is cpu"):
        load(tiny_folder("gpt2"), spread=True)


@pytest.mark.gpu
def test_a_model_spread_over_gpus_answers_the_same(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two GPUs, a tiny model with its last blocks on the second."""
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs with CUDA, and {torch.cuda.device_count()} are visible")
    homes = {"transformer.wte": 0, "transformer.wpe": 0, "transformer.drop": 0, "lm_head": 0}
    homes |= {"transformer.h.0": 0, "transformer.h.1": 1, "transformer.h.2": 1, "transformer.ln_f": 1}
    monkeypatch.setattr(loading, "over_gpus", lambda device: {"device_map": homes})
    folder = tiny_folder("gpt2")
    spread = load_model(folder, name="tiny", source="", fingerprint="f", device="cuda", spread=True)
    one = load_model(folder, name="tiny", source="", fingerprint="f", device="cuda")
    assert [str(device) for device in spread.devices] == ["cuda:0", "cuda:1"]
    tokens = torch.randint(0, one.info.d_vocab, (2, 9), generator=torch.Generator().manual_seed(0)).cuda()
    for neuron in (NeuronId(0, 1), NeuronId(2, 3)):
        expected = one.neuron_activations(tokens, neuron)
        torch.testing.assert_close(spread.neuron_activations(tokens, neuron), expected)
    at = torch.tensor([3, 8], device="cuda:0")
    torch.testing.assert_close(spread.log_probabilities(tokens, at), one.log_probabilities(tokens, at))
