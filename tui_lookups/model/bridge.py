"""TransformerLens' bridge in the raw basis, around a second tree of modules that shares the parameters.

Attention patterns and values are read from it, for the tokens that a head reads (attention.py), under
TransformerLens' names, which are one set for every family. The other activations it names are what it is held
to. Wrapping a model replaces its submodules in place, so:

1. `second_tree` copies the modules without the weights: parameters and buffers are the original's own. The
   copy has a configuration of its own and computes attention eagerly, which forms the patterns; the original
   stays as it was, to the last bit, and keeps its fused attention.
2. TransformerLens wraps the copy (`build_bridge_from_module`): no compatibility mode, nothing folded.
3. It is not used (`NoBridge`) where TransformerLens does not know the family, where it holds weights that are
   not the model's own (copies: measured by storage), or where blocks differ from each other.
4. It is held to the model that it was made from: on a short text of fixed pseudo-random tokens the logits
   agree, every role is filled once a block, in its shape, and pattern @ v is z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tui_lookups.errors import Poll, first_line, no_poll
from tui_lookups.model.points import EndOfPass, Hook, ends_early
from tui_lookups.model.proof import random_text
from tui_lookups.model.second_tree import second_tree

_LENGTH = 12
_EXACT = 1e-3
_HALF = 3.0
"""Bounds of `_require_same`."""
_PRODUCT = {torch.float64: 1e-6, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far pattern @ v may be from z, in units of z's largest value: softmax is taken in float32 at most."""


class NoBridge(Exception):
    """The bridge cannot be used; the sentence says why. transformers' own eager attention takes its place."""


class Bridge:
    """Forward passes that hand out activations by TransformerLens' names.

    The names, L being a layer:
        blocks.0.hook_resid_pre: [batch, pos, d_model];
        blocks.L.attn.hook_z: [batch, pos, n_heads, d_head], value biases in it;
        blocks.L.attn.hook_pattern: [batch, n_heads, q, k], to be looked at only: some families' attention
            has been computed when it is handed out;
        blocks.L.attn.hook_v: [batch, pos, n_kv_heads, d_head], value biases in it;
        blocks.L.ln1.hook_scale, ln2, ln1_post, ln2_post (those that the family has), ln_final.hook_scale:
            [batch, pos, 1], what the norm divides by, its epsilon in it;
        blocks.L.mlp.hook_pre: [batch, pos, d_mlp], the gate's output where there is one;
        blocks.L.mlp.hook_pre_linear: likewise, the other one's output; gated MLPs only;
        blocks.L.mlp.hook_post: likewise, what the down-projection is given;
        blocks.L.mlp.hook_out: [batch, pos, d_model], what it gives, its bias in it: before a norm, a residual
            multiplier or the residual itself.
    Any other name that TransformerLens has for the model serves as well.

    Args:
        lens: the TransformerBridge.
    """

    def __init__(self, lens: Any) -> None:
        self.lens = lens
        self._base: nn.Module = lens.original_model.base_model
        self._points: dict[str, Any] = lens.hook_dict
        self.layers = range(len(lens.blocks))
        for layer in self.layers:
            # TransformerLens' own mlp.hook_out has the residual in it where the family's MLP module adds it.
            self._points[f"blocks.{layer}.mlp.hook_out"] = self._points[f"blocks.{layer}.mlp.out.hook_out"]

    @torch.inference_mode()
    def run(
        self, tokens: Tensor, hooks: Mapping[str, Hook], *, stop_after: int, poll: Poll = no_poll
    ) -> None:
        """Run blocks 0 to `stop_after`, handing each named activation to its hook, where it is computed.

        Args:
            tokens: [batch, pos].
            hooks: by name, as above. One on a block that is not run is never called.
            stop_after: the last block that is run; that of the last block runs the final norm too.
            poll: called before each block.
        """
        with self._hooked(hooks, tokens.shape, stop_after, poll):
            ends_early(self._base, tokens)

    @torch.inference_mode()
    def logits(self, tokens: Tensor, hooks: Mapping[str, Hook], *, poll: Poll = no_poll) -> Tensor:
        """Run everything, as `run` does, and give the logits: [batch, pos, d_vocab]."""
        with self._hooked(hooks, tokens.shape, self.layers[-1], poll):
            logits: Tensor = self.lens.original_model(input_ids=tokens, use_cache=False).logits
        return logits

    @contextmanager
    def _hooked(
        self, hooks: Mapping[str, Hook], shape: torch.Size, stop_after: int, poll: Poll
    ) -> Iterator[None]:
        """`hooks` in their places until the end, and before each block `poll`, or the end of the pass."""
        begun = 0

        def before_block(_: Tensor) -> None:
            nonlocal begun
            if begun > stop_after:
                raise EndOfPass
            poll()
            begun += 1

        def at_last(hook: Hook) -> Hook:
            # NanoChat's final norm is the one after its embedding, too.
            return lambda activation: hook(activation) if begun == len(self.layers) else None

        with ExitStack() as stack:

            def add(name: str, hook: Hook) -> None:
                handle = self._points[name].add_hook(_as_lens_hook(hook))
                stack.callback(self._remove, name, handle)

            for layer in self.layers[: stop_after + 2]:
                add(f"blocks.{layer}.hook_in", before_block)
            for name, hook in hooks.items():
                apart = _unflattened(hook, shape)
                add(name, at_last(apart) if name.startswith("ln_final.") else apart)
            yield

    def _remove(self, name: str, handle: Any) -> None:
        handle.hook.remove()
        self._points[name].fwd_hooks.remove(handle)

    def roles(self) -> dict[str, int]:
        """The names above that this model has, each with the number of axes of its activation."""
        axes_of = {"blocks.0.hook_resid_pre": 3, "ln_final.hook_scale": 3}
        for layer, block in enumerate(self.lens.blocks):
            parts = {f"{norm}.hook_scale": 3 for norm in _NORMS if norm in block.submodules}
            parts |= {"attn.hook_z": 4, "attn.hook_pattern": 4, "attn.hook_v": 4}
            parts |= {f"mlp.hook_{point}": 3 for point in ("pre", "post", "out")}
            if "gate" in block.mlp.submodules:
                parts["mlp.hook_pre_linear"] = 3
            axes_of |= {f"blocks.{layer}.{part}": axes for part, axes in parts.items()}
        return axes_of


_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post")


def open_bridge(hf_model: Any, *, family: str, name: str, bos_id: int | None) -> Bridge:
    """The bridge of a transformers causal language model, which is not changed.

    Args:
        hf_model: on one device, or spread over several by accelerate.
        family: `model_type` of the configuration.
        name: the model's, as the user gave it.
        bos_id: begin-of-text, if texts start with it: the first token of the text it is tried on.
    Raises:
        NoBridge: see above.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            lens = _wrap(second_tree(hf_model, attention="eager"), family, name)
            _require_one_kind(lens, family)
            _require_shared(lens, hf_model)
            _cast_rotated(lens, next(hf_model.parameters()).dtype)
            bridge = Bridge(lens)
            embedding = hf_model.get_input_embeddings().weight
            probe = random_text(embedding.shape[0], bos_id, embedding.device, length=_LENGTH)
            _require_same(bridge, hf_model, probe)
    except NoBridge:
        raise
    except Exception as error:  # TransformerLens asserts and raises many kinds; memory for copies may run out
        raise NoBridge(
            f"TransformerLens cannot wrap it ({type(error).__name__}: {first_line(error)[:200]})"
        ) from error
    return bridge


def _wrap(tree: Any, family: str, name: str) -> Any:
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    kind = type(tree).__name__
    if kind not in SUPPORTED_ARCHITECTURES:
        raise NoBridge(f"TransformerLens does not know the family {family} ({kind})")
    return build_bridge_from_module(tree, kind, hf_config=tree.config, model_name=name)


def _require_one_kind(lens: Any, family: str) -> None:
    """Raise NoBridge unless all blocks are attention and an MLP of neurons, with the same norms."""
    if not hasattr(lens, "ln_final"):
        raise NoBridge(f"TransformerLens names no final norm for the family {family}")
    kinds = [(set(block.submodules), set(getattr(block, "mlp", block).submodules)) for block in lens.blocks]
    parts, of_mlp = kinds[0]
    if any(kind != kinds[0] for kind in kinds):
        raise NoBridge("its blocks differ from each other")
    if not {"attn", "mlp"} <= parts or not {"in", "out"} <= of_mlp:
        raise NoBridge("its blocks are not attention and an MLP with a row of weights for each neuron")


def _tensors(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        for values in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(values, Tensor):
                yield values


def _require_shared(lens: Any, hf_model: nn.Module) -> None:
    """Raise NoBridge where the bridge has matrices of its own: weights would take memory twice.

    TransformerLens splits joint matrices of queries, keys and values into views where their layout lets it.
    """
    own = {values.untyped_storage().data_ptr() for values in _tensors(hf_model.modules())}
    copies: dict[int, int] = {}
    for values in _tensors([*lens.modules(), *lens.original_model.modules()]):
        storage = values.untyped_storage()
        if values.dim() > 1 and storage.data_ptr() not in own:
            copies[storage.data_ptr()] = storage.nbytes()
    if copies:
        whole = sum(values.nbytes for values in hf_model.parameters())
        share = sum(copies.values()) / whole
        raise NoBridge(f"TransformerLens would copy {max(share, 0.01):.0%} of its weights")


def _cast_rotated(lens: Any, dtype: torch.dtype) -> None:
    """Cast queries and keys back to the model's dtype after rotation.

    OLMo keeps its rotary angles in float32, and its own module casts what it has rotated; TransformerLens
    rotates with Llama's function, which does not, and would multiply float32 patterns with half values.
    """

    def cast(rotated: Tensor, hook: Any) -> Tensor | None:
        return None if rotated.dtype == dtype else rotated.to(dtype)

    for block in lens.blocks:
        for name in ("hook_rot_q", "hook_rot_k"):
            point = getattr(block.attn, name, None)
            if point is not None:
                point.add_perma_hook(cast)


def _require_same(bridge: Bridge, hf_model: Any, tokens: Tensor) -> None:
    """Step 4 of the module: raise NoBridge where it computes something else, or a role is not filled.

    In float32 and float64 log-probabilities may differ by 1e-3. In half precision they differ by more
    than that from rounding alone; there the logits, their mean over the vocabulary taken off, may differ by
    3 * eps * sqrt(n_layers) of their own root mean square. (Rounding gave up to 1.1 of that unit in random
    models of 3 layers and SmolLM2's 30; one layer's scores times 1.5, or its pattern uniform, 6 and more.)
    """
    kept: dict[str, list[Tensor]] = {name: [] for name in bridge.roles()}

    def keep(name: str) -> Hook:
        def hook(activation: Tensor) -> None:
            kept[name].append(activation.clone())

        return hook

    every = {name: keep(name) for name in kept}
    with torch.inference_mode():
        expected = _on_cpu(hf_model(tokens, use_cache=False).logits)
    logits = _on_cpu(bridge.logits(tokens, every))
    _require_close(expected, logits, next(hf_model.parameters()).dtype, len(bridge.layers))
    for name, axes in bridge.roles().items():
        if len(kept[name]) != 1 or kept[name][0].dim() != axes:
            raise NoBridge(f"TransformerLens does not hand out {name}")
    for layer in bridge.layers:
        z, pattern, v = (
            _on_cpu(kept[f"blocks.{layer}.attn.hook_{role}"][0]) for role in ("z", "pattern", "v")
        )
        values = v.repeat_interleave(z.shape[2] // v.shape[2], 2)
        error = (torch.einsum("bhqk,bkhd->bqhd", pattern, values) - z).abs().max()
        if not error <= _PRODUCT[kept[f"blocks.{layer}.attn.hook_z"][0].dtype] * z.abs().max():
            raise NoBridge(f"its patterns and values of layer {layer} do not give what its heads give")


def _on_cpu(values: Tensor) -> Tensor:
    return values.cpu().double()  # Apple's GPU has no double precision


def _require_close(expected: Tensor, found: Tensor, dtype: torch.dtype, n_layers: int) -> None:
    if dtype in (torch.float32, torch.float64):
        error = float((expected.log_softmax(-1) - found.log_softmax(-1)).abs().max())
        if not error < _EXACT:
            raise NoBridge(f"its log-probabilities differ from the plain module's by {error:.2g}")
        return
    expected, found = (logits - logits.mean(-1, keepdim=True) for logits in (expected, found))
    share = float((found - expected).norm() / expected.norm())
    if not share < _HALF * torch.finfo(dtype).eps * math.sqrt(n_layers):
        raise NoBridge(f"its logits differ from the plain module's by {share:.1%}")


def _unflattened(hook: Hook, shape: torch.Size) -> Hook:
    """OPT's blocks flatten batch and positions before the MLP's norm; a hook sees them apart everywhere."""

    def apart(activation: Tensor) -> Tensor | None:
        if activation.dim() != 2:
            return hook(activation)
        edited = hook(activation.view(*shape, activation.shape[-1]))
        return None if edited is None else edited.reshape(activation.shape)

    return apart


def _as_lens_hook(hook: Hook) -> Callable[..., Tensor | None]:
    inner = hook

    def lens_hook(activation: Tensor, hook: Any) -> Tensor | None:
        return inner(activation)

    return lens_hook
