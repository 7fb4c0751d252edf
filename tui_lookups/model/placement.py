"""A model larger than one GPU: its blocks on several, in the order they run.

1. transformers loads the weights straight onto the GPUs that torch sees (`device_map="auto"`): each takes
   whole blocks, and as much as `_SHARE` of what is free on it, so that batches have room.
2. accelerate's hooks move what a block is given to the block's device. A second tree of the modules
   (second_tree.py) has hooks of its own (`follow`).
3. Nothing is left on the CPU or the disk: such weights are on no device between two passes, and congruence
   could not read them. A model that needs more than the GPUs have is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.free_memory import free_bytes

_SHARE = 0.8


def over_gpus(device: str) -> dict[str, Any]:
    """What `from_pretrained` is told, to spread a model over all GPUs. Raises ModelLoadError without any.

    Args:
        device: the setting; the first GPU is where the first block is.
    """
    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        raise ModelLoadError(
            f"A model can be spread over GPUs with CUDA only, and the device is {device}.",
            "Leave --device-map out, or make the GPUs visible and name --device cuda.",
        )
    gpus = range(torch.cuda.device_count())
    memory = {gpu: int(_SHARE * (free_bytes(torch.device("cuda", gpu)) or 0)) for gpu in gpus}
    return {"device_map": "auto", "max_memory": memory}


def require_on_gpus(hf_model: Any, name: str) -> None:
    """Raise ModelLoadError when a spread model has left weights elsewhere than on GPUs."""
    devices = set(map(str, hf_model.hf_device_map.values()))
    if devices & {"cpu", "disk", "meta"}:
        gpus = torch.cuda.device_count()
        raise ModelLoadError(
            f"{name} does not fit on {gpus} {'GPU' if gpus == 1 else 'GPUs'}.",
            "Use more or larger GPUs, or try --dtype bfloat16.",
        )


def is_spread(hf_model: Any) -> bool:
    """Whether accelerate has placed the model's modules, each on a device of its own."""
    return getattr(hf_model, "hf_device_map", None) is not None


def without_hooks(module: nn.Module) -> nn.Module:
    """A copy's modules with their own forward again, where the original's were hooked by accelerate."""
    if any(hasattr(part, "_hf_hook") for part in module.modules()):
        from accelerate.hooks import remove_hook_from_module

        remove_hook_from_module(module, recurse=True)
    return module


def follow(module: nn.Module, device_map: Mapping[str, Any]) -> None:
    """Have every part of a spread module move what it is given to its own device, by its name."""
    parts = dict(module.named_modules())
    for name in device_map:
        part = parts.get(name)
        tensors = (*part.parameters(), *part.buffers()) if part is not None else ()
        if part is not None and tensors:
            part.register_forward_pre_hook(_Mover(tensors[0].device), with_kwargs=True)


class _Mover:
    """A hook before a forward pass: every tensor among its arguments goes to one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(
        self, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(self._moved, arguments)), {name: self._moved(x) for name, x in named.items()}

    def _moved(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(self._device)
        if type(value) in (tuple, list):
            return type(value)(map(self._moved, value))
        if type(value) is dict:
            return {name: self._moved(x) for name, x in value.items()}
        return value
