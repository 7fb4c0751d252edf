"""Reference for every family that TransformerLens folds: its compatibility mode.

Nothing of the code under test is used. The model is folded as HookedTransformer folded its own (method.md,
section 1), in float32 or float64:

1. transformers loads the folder; in float64 its norms, which compute in float32, are given a formula of the
   precision of what they read. TransformerLens wraps the model and folds it (`enable_compatibility_mode`);
   in float64 `KeepDouble` keeps it from folding in float32.
2. The folded model has to be the model it was, and the norm before an MLP to be without a weight: what
   TransformerLens does not fold (GLM, Nemotron) has no reference here.
3. Left to do: a final norm that it does not fold (OLMo 2), the mean of an unembedding behind a LayerNorm
   without weights (OLMo 1), the factors that multiply what blocks write, and logits (Granite), the weights of
   norms after attention and MLP.

A test reads weights and activations, all in the folded basis, and multiplies:

    model = folded(folder, "float64")
    seen = model.run(row)
    R = model.W_in(layer)[:, i] / seen.scale[layer][q]               # what the neuron reads, its norm held
    through = R * model.through_attention(l, q, seen)                # the norm after attention, held
    heads = (seen.z[l][q] * (model.W_O(l) @ through)).sum(-1)        # [n_heads]
    mlp, embedding, biases = seen.mlp_out[l][q] @ R, seen.resid_pre[q] @ R, model.b_O(l) @ through

`attribution` does just that for one neuron.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Neuron = tuple[int, int]
"""Layer and index."""


class KeepDouble(TorchFunctionMode):
    """While entered, `tensor.float()` of a float64 tensor is the tensor: TransformerLens calls it to fold."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float and args[0].dtype is torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True, eq=False)
class Pass:
    """What one text gave, by layer; q counts its positions.

    Attributes:
        resid_pre: what the first block is given: [pos, d_model].
        z: [pos, n_heads, d_head], no value biases in it.
        pattern: [n_heads, q, k].
        v: [pos, n_heads, d_head], no value biases in it, each once a head.
        attention_scale: what the norm after attention divides by: [pos, 1], ones where there is none.
        scale: what the MLP's norm divides by, likewise.
        mlp_scale: what the norm after the MLP divides by, likewise.
        mlp_out: what the MLP adds to the residual stream: [pos, d_model].
        pre, up, post: [pos, d_mlp]: the pre-activation or the gate's, the other factor's (None: not gated),
            the activation.
        final_scale: what the final norm divides by: [pos, 1].
        log_probabilities: [pos, d_vocab].
    """

    resid_pre: Tensor
    z: list[Tensor]
    pattern: list[Tensor]
    v: list[Tensor]
    attention_scale: list[Tensor]
    scale: list[Tensor]
    mlp_scale: list[Tensor]
    mlp_out: list[Tensor]
    pre: list[Tensor]
    up: list[Tensor | None]
    post: list[Tensor]
    final_scale: Tensor
    log_probabilities: Tensor


class Folded:
    """A model in compatibility mode."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.dtype = dtype
        model = _load(folder, dtype)
        probe = torch.randint(0, 64, (1, 12), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            before = model(probe, use_cache=False).logits.log_softmax(-1)
            self.bridge = _wrap(model)
            with KeepDouble() if dtype == torch.float64 else nullcontext():
                self.bridge.enable_compatibility_mode(disable_warnings=True)
            after = self.bridge(probe, return_type="logits").log_softmax(-1)
        assert float((before - after).abs().max()) < 1e-3, "folding has changed the model"
        cfg, parts = self.bridge.cfg, set(self.bridge.blocks[0].submodules)
        self.config = model.config
        self.n_layers, self.n_heads = int(cfg.n_layers), int(cfg.n_heads)
        self.gated = "gate" in self.bridge.blocks[0].mlp.submodules
        self.own_layer = not cfg.parallel_attn_mlp
        self.centred = not cfg.uses_rms_norm
        self.mlp_norm = next((norm for norm in ("ln2", "ln1") if norm in parts), None)
        self.multiplier = float(getattr(model.config, "residual_multiplier", 1.0))
        self._offset = 1.0 if cfg.rmsnorm_uses_offset else 0.0
        self._last: tuple[list[int], Pass] | None = None
        for layer in range(self.n_layers):
            left = None if self.mlp_norm is None else self._norm_weight(layer, self.mlp_norm)
            assert left is None or bool((left == 1.0).all()), "the norm before the MLP was not folded"

    # --- weights, by layer ---

    def W_out(self, layer: int) -> Tensor:
        """What each neuron writes, as the unembedding sees it: [d_mlp, d_model]."""
        weight, post = self._mlp(layer).W_out.detach(), self._norm_weight(layer, "ln2_post")
        return (weight if post is None else weight * post) * self.multiplier

    def W_in(self, layer: int) -> Tensor:
        """What each neuron reads: [d_model, d_mlp]."""
        return self._read(self._mlp(layer).W_in)

    def W_gate(self, layer: int) -> Tensor:
        """What each neuron's gate reads: [d_model, d_mlp]."""
        return self._read(self._mlp(layer).W_gate)

    def b_in(self, layer: int) -> Tensor:
        """[d_mlp]."""
        return self._bias(self._mlp(layer).b_in, self.W_in(layer)[0])

    def b_gate(self, layer: int) -> Tensor:
        """[d_mlp]."""
        return self._bias(self._mlp(layer).b_gate, self.W_in(layer)[0])

    def W_O(self, layer: int) -> Tensor:
        """[n_heads, d_head, d_model]; a norm after attention and the multiplier are not in it."""
        weight: Tensor = self.bridge.blocks[layer].attn.W_O.detach()
        return weight

    def b_O(self, layer: int) -> Tensor:
        """What attention writes whatever it attends to, value biases in it: [d_model]."""
        return self._bias(self.bridge.blocks[layer].attn.b_O, self.W_O(layer)[0, 0])

    def b_out(self, layer: int) -> Tensor:
        """What the MLP writes whatever its neurons do; a norm after it is not in it: [d_model]."""
        return self._bias(self._mlp(layer).b_out, self.W_O(layer)[0, 0])

    def through_attention(self, layer: int, position: int, seen: Pass) -> Tensor:
        """What a vector that attention writes is multiplied by, once the norm after it is held: [d_model]."""
        post = self._norm_weight(layer, "ln1_post")
        one = torch.ones_like(seen.resid_pre[0]) if post is None else post
        return one * self.multiplier / seen.attention_scale[layer][position]

    def W_U(self) -> Tensor:
        """[d_model, d_vocab]: the final norm in it, its mean over the vocabulary taken off.

        But for a soft cap on the logits: TransformerLens leaves the mean in it there.
        """
        unembedding: Tensor = self.bridge.W_U.detach()
        unembedding = unembedding / float(getattr(self.config, "logits_scaling", 1.0))
        weight = getattr(self.bridge.ln_final.original_component, "weight", None)
        if weight is not None:
            return unembedding * (weight.detach() + self._offset).unsqueeze(1)  # ones where it was folded
        return unembedding - unembedding.mean(0) if self.centred else unembedding

    def congruence(self, layer: int) -> Tensor:
        """[d_mlp, d_vocab] (method.md, section 2)."""
        return self.W_out(layer) @ self.W_U()

    # --- a text ---

    def run(self, row: list[int]) -> Pass:
        """One forward pass over a row of token ids; that of the last row is kept."""
        if self._last is None or self._last[0] != row:
            self._last = (list(row), self._run(row))
        return self._last[1]

    @torch.no_grad()
    def _run(self, row: list[int]) -> Pass:
        kept: dict[str, Tensor] = {}

        def keep(activation: Tensor, hook: Any, name: str) -> None:
            kept[name] = activation.detach().clone()

        def keeper(name: str) -> Callable[..., None]:
            return lambda activation, hook: keep(activation, hook, name)

        parts = self.bridge.blocks[0].submodules
        wanted = ["attn.hook_z", "attn.hook_pattern", "attn.hook_v", "mlp.hook_pre", "mlp.hook_post"]
        wanted += [f"{norm}.hook_scale" for norm in ("ln1_post", "ln2_post", self.mlp_norm) if norm in parts]
        wanted += ["mlp.hook_pre_linear"] if self.gated else []
        wanted += ["ln2_post.hook_out" if "ln2_post" in parts else "hook_mlp_out"]
        names = [f"blocks.{layer}.{name}" for layer in range(self.n_layers) for name in wanted]
        names += ["blocks.0.hook_resid_pre", "ln_final.hook_scale"]
        logits = self.bridge.run_with_hooks(
            torch.tensor([row]), return_type="logits", fwd_hooks=[(name, keeper(name)) for name in names]
        )
        one = torch.ones(len(row), 1, dtype=self.dtype)

        def each(name: str) -> list[Tensor]:
            """OPT's blocks flatten batch and positions; elsewhere the batch of one is taken off."""
            found = []
            for layer in range(self.n_layers):
                values = kept.get(f"blocks.{layer}.{name}")
                if values is None:
                    found.append(one)
                else:
                    found.append(values if values.shape[0] == len(row) and values.dim() == 2 else values[0])
            return found

        up: list[Tensor | None] = [*each("mlp.hook_pre_linear")] if self.gated else [None] * self.n_layers
        return Pass(
            resid_pre=kept["blocks.0.hook_resid_pre"][0],
            z=each("attn.hook_z"),
            pattern=each("attn.hook_pattern"),
            v=[v.repeat_interleave(self.n_heads // v.shape[1], 1) for v in each("attn.hook_v")],
            attention_scale=each("ln1_post.hook_scale"),
            scale=each(f"{self.mlp_norm}.hook_scale"),
            mlp_scale=each("ln2_post.hook_scale"),
            mlp_out=each(wanted[-1]),
            pre=each("mlp.hook_pre"),
            up=up,
            post=each("mlp.hook_post"),
            final_scale=kept["ln_final.hook_scale"][0],
            log_probabilities=logits[0].log_softmax(-1),
        )

    # --- parts ---

    def _mlp(self, layer: int) -> Any:
        return self.bridge.blocks[layer].mlp

    def _read(self, weight: Tensor) -> Tensor:
        """A LayerNorm takes the mean out of whatever it is given (folding has, but for rounding)."""
        weight = weight.detach()
        return weight - weight.mean(0) if self.centred and self.mlp_norm is not None else weight

    @staticmethod
    def _bias(bias: Tensor | None, like: Tensor) -> Tensor:
        return torch.zeros_like(like) if bias is None else bias.detach()

    def _norm_weight(self, layer: int, norm: str) -> Tensor | None:
        block = self.bridge.blocks[layer]
        if norm not in block.submodules:
            return None
        weight = getattr(getattr(block, norm).original_component, "weight", None)
        return None if weight is None else weight.detach() + self._offset


@dataclass(frozen=True, eq=False)
class Components:
    """Direct contributions to one neuron at one position; they sum to `target` (method.md, section 4).

    Attributes:
        heads: [n_reaching_layers, n_heads]; gate, up: the two halves of a gated neuron's, None otherwise.
        mlps: [n_earlier_layers].
        sources: of every head, by key: [n_reaching_layers, n_heads, position + 1].
        target: the pre-activation, or a gated neuron's activation.
    """

    heads: np.ndarray
    gate: np.ndarray | None
    up: np.ndarray | None
    mlps: np.ndarray
    sources: np.ndarray
    embedding: float
    attention_biases: float
    bias: float
    target: float

    @property
    def sum(self) -> float:
        return float(self.heads.sum() + self.mlps.sum()) + self.embedding + self.attention_biases + self.bias

    @property
    def scale(self) -> float:
        """The sum of magnitudes, which errors are measured against."""
        rest = abs(self.embedding) + abs(self.attention_biases) + abs(self.bias)
        return float(np.abs(self.heads).sum() + np.abs(self.mlps).sum()) + rest


@lru_cache(maxsize=64)
def folded(folder: Path, dtype: str = "float64") -> Folded:
    """The model of a folder, folded; those of every family are kept, which are tiny."""
    return Folded(folder, getattr(torch, dtype))


def attribution(folder: Path, neuron: Neuron, row: list[int], position: int) -> Components:
    """Everything that makes up a neuron's pre-activation (gated: activation), in float64."""
    model, (layer, index) = folded(folder), neuron
    seen = model.run(row)
    read = [model.W_in(layer)[:, index]] + ([model.W_gate(layer)[:, index]] if model.gated else [])
    R = torch.stack(read, 1) / seen.scale[layer][position]  # [d_model, 1 or 2]
    bias = [model.b_in(layer)[index]] + ([model.b_gate(layer)[index]] if model.gated else [])
    reaching = range(layer + 1 if model.own_layer else layer)
    heads, sources, attention_biases = [], [], torch.zeros_like(R[0])
    for l in reaching:  # noqa: E741 - the field's letter for a layer
        through = R * model.through_attention(l, position, seen).unsqueeze(1)
        w = model.W_O(l) @ through  # [n_heads, d_head, 1 or 2]
        heads.append(torch.einsum("hd,hdr->hr", seen.z[l][position], w))
        by_key = torch.einsum("khd,hdr->hkr", seen.v[l][: position + 1], w)
        sources.append(seen.pattern[l][:, position, : position + 1].unsqueeze(-1) * by_key)
        attention_biases = attention_biases + model.b_O(l) @ through
    parts = (
        _stacked(heads, model.n_heads, R.shape[1]),
        _stacked([seen.mlp_out[l][position] @ R for l in range(layer)], R.shape[1]),  # noqa: E741
        _stacked(sources, model.n_heads, position + 1, R.shape[1]),
        seen.resid_pre[position] @ R,
        attention_biases,
        torch.stack(bias),
    )
    pre, up, post = seen.pre[layer][position, index], seen.up[layer], seen.post[layer][position, index]
    _require_closed(parts, [pre] if up is None else [up[position, index], pre])
    if up is None:
        of_heads, mlps, by_source, *rest = (part[..., 0].double().numpy() for part in parts)
        return Components(of_heads, None, None, mlps, by_source, *map(float, rest), target=float(pre))
    g, u = float(pre), float(up[position, index])
    half = float(post) / (g * u) / 2  # act(g) / g, held; the activation is act(g) * u
    halves = [(half * part[..., 1].double() * u, half * part[..., 0].double() * g) for part in parts]
    of_heads, mlps, by_source, *rest = ((gate + of_up).numpy() for gate, of_up in halves)
    gate, of_up = (part.numpy() for part in halves[0])
    return Components(of_heads, gate, of_up, mlps, by_source, *map(float, rest), target=float(post))


def _require_closed(parts: tuple[Tensor, ...], read: list[Tensor]) -> None:
    """Heads, MLPs, embedding and biases sum to what the neuron reads; a head's sources to the head."""
    heads, mlps, sources, *rest = parts
    for r, expected in enumerate(read):
        terms = torch.cat([heads[..., r].flatten(), mlps[..., r], *(part[r : r + 1] for part in rest)])
        assert abs(terms.sum() - expected) <= 1e-10 * terms.abs().sum(), "the reference does not close"
    assert torch.allclose(sources.sum(2), heads, atol=1e-10 * float(sources.abs().sum()))


def _stacked(parts: list[Tensor], *shape: int) -> Tensor:
    return torch.stack(parts) if parts else torch.zeros(0, *shape, dtype=torch.float64)


def _load(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=dtype, local_files_only=True, attn_implementation="eager"
    ).eval()
    model.requires_grad_(False)
    if dtype == torch.float64:
        for module in model.modules():
            if "Norm" in type(module).__name__ and not isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
                module.forward = _double_norm(module)  # a module called as norm(x) runs its forward
    return model


def _double_norm(module: Any) -> Callable[[Tensor], Tensor]:
    """The formula of a norm that transformers computes in float32: (x - mean) / std * w, x / rms * w,
    x / rms * (1 + w), or the first two without weights (OLMo 1, NanoChat)."""
    kind, weight = type(module).__name__, getattr(module, "weight", None)
    eps = float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-5)))

    def formula(x: Tensor) -> Tensor:
        x = x if "RMS" in kind else x - x.mean(-1, keepdim=True)
        normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        if weight is None:
            return normed
        # The weight is read at each call: folding replaces it.
        return normed * (module.weight + 1.0 if kind.startswith("Gemma") else module.weight)

    shape = getattr(module, "normalized_shape", (8,)) if weight is None else weight.shape
    probe = torch.randn(1, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float((formula(probe) - module(probe)).abs().max()) < 1e-5, f"{kind} is another norm"
    return formula


def _wrap(model: Any) -> Any:
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    dtype = model.dtype
    bridge = build_bridge_from_module(model, type(model).__name__, hf_config=model.config)
    for block in bridge.blocks:
        for name in ("hook_rot_q", "hook_rot_k"):  # OLMo's angles stay in float32
            if hasattr(block.attn, name):
                getattr(block.attn, name).add_perma_hook(lambda rotated, hook: rotated.to(dtype))
    return bridge
