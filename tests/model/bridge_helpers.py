"""What the tests of the bridge read the plain module by: torch's own hooks, on modules found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from tests.tiny_models import randomise
from tui_lookups.model.bridge import Bridge, open_bridge
from tui_lookups.model.norms import norms_in_double_precision

SINGLE, DOUBLE = 1e-5, 1e-11

SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}

ATTENTION_OUT = ("o_proj", "out_proj", "c_proj", "dense")
DOWN = ("down_proj", "c_proj", "fc_out", "fc2")
ACTIVATION = ("act", "act_fn", "activation_fn")


def loaded(folder: Path, dtype: str = "float64") -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=getattr(torch, dtype), local_files_only=True
    ).eval()
    if dtype == "float64":
        norms_in_double_precision(model)
    return model


def from_config(config_class: str, **arguments: Any) -> Any:
    config = getattr(transformers, config_class)(**arguments)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    randomise(model, 0)
    return model


def opened(model: Any) -> Bridge:
    return open_bridge(model, family=str(model.config.model_type), name="a-model", bos_id=None)


def tokens_of(rows: int, length: int) -> Tensor:
    return torch.randint(3, 290, (rows, length), generator=torch.Generator().manual_seed(1))


def captured(bridge: Bridge, tokens: Tensor, *names: str) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(activation: Tensor) -> None:
            assert name not in kept, "handed out twice in a pass"
            kept[name] = activation.clone()

        return hook

    bridge.run(tokens, {name: keep(name) for name in names}, stop_after=len(bridge.layers) - 1)
    return kept


def parts_of(model: nn.Module, names: tuple[str, ...], *, attention: bool) -> list[nn.Module]:
    """Each layer's module of one of these names, inside or outside of the attention."""
    found = []
    for path, module in model.named_modules(remove_duplicate=False):
        *parents, own = path.split(".")
        inside = any("attn" in parent or "attention" in parent for parent in parents)
        if own in names and inside == attention and any(parent.isdigit() for parent in parents):
            found.append(module)
    return found


@contextmanager
def inputs_and_outputs(modules: list[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Filled with what each module reads and writes in the passes run within."""
    seen: list[tuple[Tensor, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _, args, output: seen.append((args[0].clone(), output.clone())))
        for module in modules
    ]
    yield seen
    for handle in handles:
        handle.remove()


def storages(modules: Iterator[nn.Module]) -> dict[int, int]:
    tensors = [
        values
        for module in modules
        for values in (*module._parameters.values(), *module._buffers.values())
        if values is not None
    ]
    return {values.untyped_storage().data_ptr(): values.untyped_storage().nbytes() for values in tensors}


def close(found: Tensor, expected: Tensor, bound: float) -> bool:
    return bool((found - expected).abs().max() <= bound * expected.abs().max())


def shares_all_weights(bridge: Bridge, model: nn.Module) -> None:
    own, its = storages(model.modules()), storages(bridge.lens.modules())
    assert len(its) > 10
    rest = sum(size for place, size in its.items() if place not in own)
    assert rest <= 320 * 8  # a bias of zeros that TransformerLens gives to the unembedding
