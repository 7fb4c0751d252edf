"""A second tree of a model's modules that shares every parameter and buffer with the first.

What has to be done to modules - another attention implementation, compiling, TransformerLens' wrapping - is
done to the second tree, and the first stays as transformers made it. It costs some kilobytes a module.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch

from tui_lookups.model.placement import follow, is_spread, without_hooks


def second_tree(hf_model: Any, *, attention: str | None = None) -> Any:
    """The same model again, on the same weights, without hooks.

    Args:
        hf_model: a transformers causal language model. Not changed.
        attention: the implementation that the second tree computes attention with, as transformers names it.
    """
    tree = second_module(hf_model).eval()
    if attention is not None:
        tree.config._attn_implementation = attention
    if attention == "eager":
        _add_distances_once(tree)
        _give_patterns_out(tree)
    if is_spread(hf_model):
        follow(tree, hf_model.hf_device_map)
    return tree


def _add_distances_once(tree: Any) -> None:
    """Leave what depends on distance (ALiBi) to the mask in Falcon, whose eager attention adds it again."""

    def without(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        alibi = named.get("alibi")
        return None if alibi is None else (arguments, {**named, "alibi": torch.zeros_like(alibi)})

    for module in tree.modules():
        if type(module).__name__ == "FalconAttention":
            module.register_forward_pre_hook(without, with_kwargs=True)


def _give_patterns_out(tree: Any) -> None:
    """Have attention give its patterns out where it does so only when it is asked to (OpenAI-GPT)."""

    def asked(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return arguments, {**named, "output_attentions": True}

    for module in tree.modules() if tree.config.model_type == "openai-gpt" else ():
        if type(module).__name__ == "Attention":
            module.register_forward_pre_hook(asked, with_kwargs=True)


def second_module(module: Any) -> Any:
    """A module again, with a configuration of its own, on the same weights, without accelerate's hooks."""
    # deepcopy takes what its memo holds for a copy.
    memo: dict[int, Any] = {id(values): values for values in chain(module.parameters(), module.buffers())}
    # accelerate's hooks refer to weights, and the copy has no use for them.
    memo.update({id(part._hf_hook): part._hf_hook for part in module.modules() if hasattr(part, "_hf_hook")})
    return without_hooks(copy.deepcopy(module, memo))
