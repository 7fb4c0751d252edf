"""A loaded model: its weights (loaded_weights.py), tokens, forward passes that keep only what is asked for.

Every tensor handed out is in TransformerLens names and shapes. Nothing here is thread-safe: one thread owns
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from tui_lookups.errors import ModelLoadError, NumericalError, Poll, first_line, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.architecture import Architecture
from tui_lookups.model.loaded_weights import LoadedWeights
from tui_lookups.model.plain_forward import NoPlainForward, PlainForward, compile_attention
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import Basis, ModelInfo

Hook = Callable[[Tensor], Tensor | None]
"""Sees an activation; returns None, or a tensor to put in its place."""


Consume = Callable[[int, Tensor], None]
"""Is handed a layer and its MLP's activations: [batch, pos, d_mlp]."""

PLAIN_TOLERANCE = {
    torch.float64: 1e-6,  # the bridge takes softmax and rotary angles in single precision
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
"""How far the plain module's activations may be from the bridge's, in units of a layer's largest one.

Two orders of the same roundings differ by a tenth of it or less; another mask, scale or layout by far more.
"""

_CHECK_ROWS, _CHECK_LENGTH = 2, 32


class LookupModel(LoadedWeights):
    """One model, on one device or with its blocks on several.

    Weights, and what hooks see, are always on `device`, that of the first block; `mlp_activations` alone
    hands activations out where they are, since they are large and all of them are reduced.

    Args:
        bridge: a TransformerBridge, in compatibility mode when `basis` is "folded".
        info: what the model is; its `d_mlp` and so on are those of the bridge.
        vocabulary: token texts and encoding.
        architecture: how its MLP neurons are wired.
    """

    def __init__(
        self, bridge: Any, info: ModelInfo, vocabulary: Vocabulary, architecture: Architecture, basis: Basis
    ) -> None:
        super().__init__(bridge, info, architecture, basis)
        self.vocabulary = vocabulary
        self._plain: PlainForward | None = None
        self._compiled = False
        self.forward_note = "no plain module was given"
        """Why the bridge computes activations too, where it does; empty where the plain module does."""

    # --- tokens ---

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a text, with begin-of-text in front where that is the rule (method.md, section 3).

        Raises UnknownTokenError for a token that the embedding has no row for.
        """
        bos = [] if self.vocabulary.bos_id is None else [self.vocabulary.bos_id]
        ids = bos + self.vocabulary.encode(text)
        self.check_token(max(ids, default=0))
        return ids

    def check_token(self, token_id: int) -> None:
        """Raise UnknownTokenError when the embedding has no row for a token."""
        self.info.check_token(self.vocabulary.token(token_id))

    @cached_property
    def unused_rows(self) -> Tensor:
        """Rows of the unembedding that no token has, ascending: in no rank, among no top tokens."""
        rows = [row for row in self.vocabulary.unused_ids if row < self.info.d_vocab]
        return torch.tensor(rows, dtype=torch.int64, device=self.device)

    def batch(self, rows: Iterable[Iterable[int]]) -> Tensor:
        """Token ids padded on the right to one length: [batch, pos]. Causal attention never sees padding."""
        lists = [list(map(int, row)) for row in rows]
        width = max(len(row) for row in lists)
        return torch.tensor([row + [0] * (width - len(row)) for row in lists], device=self.device)

    # --- forward passes ---

    @torch.inference_mode()
    def run(
        self, tokens: Tensor, hooks: Mapping[str, Hook], *, stop_after: int, poll: Poll = no_poll
    ) -> None:
        """Run blocks 0 to `stop_after`, handing each named activation to its hook.

        Args:
            tokens: [batch, pos].
            hooks: by TransformerLens name, such as "blocks.3.attn.hook_z".
            stop_after: the last block that is run; n_layers - 1 runs all, without the unembedding.
            poll: called before each block.
        """
        there = {name: _moved(hook, self.device) for name, hook in hooks.items()}
        self._run(tokens, there, stop_after=stop_after, poll=poll)

    @torch.inference_mode()
    def _run(self, tokens: Tensor, hooks: Mapping[str, Hook], *, stop_after: int, poll: Poll) -> None:
        """As `run`, but hooks see activations on the device of their block."""
        wrapped = self._wrapped(hooks, tokens.shape, stop_after + 1, poll)
        if stop_after + 1 < self.info.n_layers:
            self._bridge.run_with_hooks(
                tokens, return_type=None, fwd_hooks=wrapped, stop_at_layer=stop_after + 1
            )
        else:
            self._bridge.run_with_hooks(tokens, return_type=None, fwd_hooks=wrapped, logits_to_keep=1)

    def mlp_activations(
        self, tokens: Tensor, layers: Iterable[int], consume: Consume, *, poll: Poll = no_poll
    ) -> None:
        """Hand every neuron's activation (hook_post) to `consume(layer, [batch, pos, d_mlp])`.

        On the device of the layer. Nothing is kept here; layers above the last one asked for are not run.
        `forward_path` says what runs them.
        """
        if self._plain is None:
            self._bridge_activations(tokens, layers, consume, poll=poll)
        else:
            self._plain.mlp_activations(tokens, layers, consume, poll=poll)

    def _bridge_activations(
        self, tokens: Tensor, layers: Iterable[int], consume: Consume, *, poll: Poll = no_poll
    ) -> None:
        def hook_for(layer: int) -> Hook:
            def hook(activation: Tensor) -> None:
                consume(layer, activation)

            return hook

        wanted = sorted(layers)
        names = {f"blocks.{layer}.mlp.hook_post": hook_for(layer) for layer in wanted}
        self._run(tokens, names, stop_after=wanted[-1], poll=poll)

    def compile_forward(self) -> None:
        """Have torch compile the plain module's attention, and hold the result to the bridge.

        Raises ModelLoadError when there is no plain module, no compiler, or another result.
        """
        try:
            if self._plain is None:
                raise NoPlainForward(self.forward_note)
            compile_attention(self._plain)
            self.use_plain_forward(self._plain)
        except Exception as error:  # torch's compilers raise many kinds; each is told in one sentence
            why = first_line(error)[:300].rstrip(".")
            raise ModelLoadError(
                f"The forward pass of {self.info.name} cannot be compiled: {why}.",
                "Leave --compile out, or install a C++ compiler.",
            ) from error
        self._compiled = True

    @property
    def forward_path(self) -> Literal["plain", "compiled", "bridge"]:
        """What computes MLP activations: Hugging Face's own module on the same weights, or the bridge.

        Both agree within `PLAIN_TOLERANCE`; an index says which one made it.
        """
        return "bridge" if self._plain is None else "compiled" if self._compiled else "plain"

    @property
    def forms_patterns(self) -> bool:
        """Whether `mlp_activations` writes attention patterns out, [n_heads, pos, pos] a row."""
        return self._plain is None or self._plain.attention == "eager"

    def use_plain_forward(self, plain: PlainForward) -> None:
        """Compute MLP activations with the plain module from now on, if it agrees with the bridge.

        Raises NoPlainForward when it does not; the bridge stays in use.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (_CHECK_ROWS, min(_CHECK_LENGTH, self.info.n_ctx))
        tokens = torch.randint(0, self.info.d_vocab, shape, generator=generator).to(self.device)
        expected, layers = {}, range(self.info.n_layers)

        def keep(layer: int, activation: Tensor) -> None:
            expected[layer] = activation.to(self.compute_dtype, copy=True)

        def compare(layer: int, activation: Tensor) -> None:
            # Position 0 counts nowhere, and may be so large that nothing else would be seen beside it.
            theirs = expected.pop(layer)[:, 1:]
            error = float((activation[:, 1:].to(self.compute_dtype) - theirs).abs().max())
            scale = float(theirs.abs().max())
            if not error <= PLAIN_TOLERANCE[self.dtype] * scale:
                raise NoPlainForward(
                    f"its activations of layer {layer} differ from the bridge's by {error:.2g} of {scale:.2g}"
                )

        self._bridge_activations(tokens, layers, keep)
        plain.mlp_activations(tokens, layers, compare, poll=no_poll)
        if expected:
            raise NoPlainForward(f"it does not reach the MLP of layer {min(expected)}")
        self._plain, self.forward_note = plain, ""

    def neuron_activations(self, tokens: Tensor, neuron: NeuronId, *, poll: Poll = no_poll) -> Tensor:
        """One neuron's activation at every position: [batch, pos], in compute_dtype."""
        kept: list[Tensor] = []

        def keep(_: int, activation: Tensor) -> None:
            kept.append(self._at_home(activation[..., neuron.index]))

        self.mlp_activations(tokens, [neuron.layer], keep, poll=poll)
        return kept[0]

    @torch.inference_mode()
    def log_probabilities(
        self,
        tokens: Tensor,
        positions: Tensor,
        hooks: Mapping[str, Hook] | None = None,
        *,
        poll: Poll = no_poll,
    ) -> Tensor:
        """Log-probability of every token after `positions` [batch]: [batch, d_vocab]; after several of each
        row, [batch, k], it is [batch, k, d_vocab].

        Only the asked-for positions are unembedded. `hooks` see, and may replace, activations on the way,
        as those of `run`.
        """
        rows = torch.arange(tokens.shape[0], device=tokens.device).unsqueeze(1)
        at = positions if positions.dim() == 2 else positions.unsqueeze(1)

        def select(residual: Tensor) -> Tensor:
            return residual[rows, at]

        there = {name: _moved(hook, self.device) for name, hook in (hooks or {}).items()}
        wrapped = self._wrapped(there, tokens.shape, self.info.n_layers, poll)
        wrapped.append(("unembed.hook_in", _as_bridge_hook(_moved(select, self.device))))
        logits = self._bridge.run_with_hooks(tokens, return_type="logits", fwd_hooks=wrapped)
        found = self._at_home(logits).log_softmax(-1)
        return found if positions.dim() == 2 else found[:, 0]

    @staticmethod
    def _wrapped(
        hooks: Mapping[str, Hook], shape: torch.Size, n_blocks: int, poll: Poll
    ) -> list[tuple[str, Callable[..., Tensor | None]]]:
        """`hooks` as the bridge takes them, and `poll` in front of each of the first `n_blocks` blocks."""
        wrapped = [(name, _as_bridge_hook(_unflattened(hook, shape))) for name, hook in hooks.items()]
        for layer in range(n_blocks):
            wrapped.append((f"blocks.{layer}.hook_in", _as_bridge_hook(lambda _: poll())))
        return wrapped


def _moved(hook: Hook, home: torch.device) -> Hook:
    """The hook, seeing activations on `home` wherever their block is; what it returns goes back there."""

    def moved(activation: Tensor) -> Tensor | None:
        edited = hook(activation.to(home))
        return None if edited is None else edited.to(activation.device)

    return moved


def _unflattened(hook: Hook, shape: torch.Size) -> Hook:
    """OPT's blocks flatten batch and positions before the MLP's norm; a hook sees them apart everywhere."""

    def apart(activation: Tensor) -> Tensor | None:
        if activation.dim() != 2:
            return hook(activation)
        edited = hook(activation.view(*shape, activation.shape[-1]))
        return None if edited is None else edited.reshape(activation.shape)

    return apart


def _as_bridge_hook(hook: Hook) -> Callable[..., Tensor | None]:
    def bridge_hook(activation: Tensor, hook: Any) -> Tensor | None:
        return inner(activation)

    inner = hook
    return bridge_hook


def require_finite(values: Tensor, layer: int) -> None:
    """Raise NumericalError, naming the layer, when an activation is NaN or infinite."""
    if not bool(torch.isfinite(values).all()):
        raise NumericalError.of_layer(layer)
