"""A loaded model: its weights (loaded_weights.py), tokens, forward passes that keep only what is asked for.

The model that runs is transformers' own module, as it was loaded. What its modules are given or give is seen
through hooks on them (points.py); a pass ends inside the last block that is needed. Attention patterns and
values are asked of `attention` (attention.py), which is opened with the first question about source tokens.

Nothing here is thread-safe: one thread owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tui_lookups.errors import ModelLoadError, NumericalError, Poll, first_line, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.architecture import Architecture
from tui_lookups.model.attention import Attention, open_attention
from tui_lookups.model.dictionaries.dictionary import Dictionary
from tui_lookups.model.loaded_weights import LoadedWeights, wide
from tui_lookups.model.points import EndOfPass, Hook, ModuleHooks, Point, apart, end_of_pass, ends_early
from tui_lookups.model.replayed_attention import ReplayedAttention
from tui_lookups.model.second_tree import second_tree
from tui_lookups.model.units import with_units
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.model.wiring import Wiring, read_wiring
from tui_lookups.results import Basis, ModelInfo

Consume = Callable[[int, Tensor], None]
"""Is handed a layer and its MLP's activations: [batch, pos, d_mlp]."""

Ids = Sequence[int] | npt.NDArray[np.int64]
"""Token ids of one text."""

COMPILED_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""How far compiled activations may be from the others, in units of a layer's largest one.

Two orders of the same roundings differ by a tenth of it or less; another mask, scale or layout by far more.
"""

_CHECK_ROWS, _CHECK_LENGTH = 2, 32


class LookupModel(LoadedWeights):
    """One model, on one device or with its blocks on several.

    Weights, and what hooks see, are always on `device`, that of the first block; `mlp_activations` alone
    hands activations out where they are, since they are large and all of them are reduced.

    Args:
        hf_model: a transformers causal language model.
        wiring: its modules by their roles.
        info: what the model is.
        vocabulary: token texts and encoding.
        architecture: how its MLP neurons are wired.
        dictionary: its units take the place of the MLP neurons, in all that is said of the others here;
            `info` and `architecture` are then of these.
    """

    def __init__(
        self,
        hf_model: Any,
        wiring: Wiring,
        info: ModelInfo,
        vocabulary: Vocabulary,
        architecture: Architecture,
        basis: Basis,
        dictionary: Dictionary | None = None,
    ) -> None:
        self._dictionary = dictionary
        wiring = self._of_units(wiring)
        super().__init__(hf_model, wiring, info, architecture, basis)
        self.vocabulary = vocabulary
        self._points = ModuleHooks(hf_model, wiring, self.device, self.compute_dtype)
        self._scanned: tuple[nn.Module, Wiring] = (hf_model.base_model, wiring)
        self.forward_path: Literal["plain", "compiled"] = "plain"
        """What computes MLP activations; an index says which one made it."""

    # --- tokens ---

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a text, with begin-of-text in front where that is the rule (method.md, section 3).

        Raises UnknownTokenError for a token that the embedding has no row for.
        """
        ids = self.vocabulary.encode_prompt(text)
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

    def batch(self, rows: Iterable[Ids]) -> Tensor:
        """Token ids on the model's device, see `pad`: [batch, pos]."""
        return pad(rows).to(self.device)

    # --- forward passes ---

    @torch.inference_mode()
    def run(
        self, tokens: Tensor, hooks: Mapping[Point, Hook], *, stop_after: int, poll: Poll = no_poll
    ) -> None:
        """Run blocks 0 to `stop_after`, handing each point to its hook.

        Args:
            tokens: [batch, pos].
            hooks: what they return takes the place of "z" or "post"; nothing else can be replaced.
            stop_after: the last block that is run, up to its activations.
            poll: called before each block.
        """
        with self._points.hooked(tokens, hooks, stop_after + 1, poll) as stack:
            down = self.wiring.blocks[stop_after].down.module
            stack.callback(down.register_forward_pre_hook(end_of_pass).remove)
            if not ends_early(self._hf_model.base_model, tokens):
                raise _unreached(stop_after)

    def capture(
        self,
        tokens: Tensor,
        positions: Tensor,
        points: Iterable[Point],
        *,
        rows: Tensor | None = None,
        stop_after: int,
        poll: Poll = no_poll,
    ) -> dict[Point, Tensor]:
        """What was seen at one position of each row, [batch, ...] each, in compute_dtype.

        Args:
            positions: [batch].
            rows: which row each position is of, [places], where it is not one of each; what is seen is then
                [places, ...].
        """
        kept: dict[Point, Tensor] = {}
        hooks = self.keeping(kept, positions, points, rows)
        self.run(tokens, hooks, stop_after=stop_after, poll=poll)
        return kept

    def keeping(
        self,
        kept: dict[Point, Tensor],
        positions: Tensor,
        points: Iterable[Point],
        rows: Tensor | None = None,
    ) -> dict[Point, Hook]:
        """Hooks that put what they see at one position of each row into `kept`; see `capture`."""
        if rows is None:
            rows = torch.arange(len(positions), device=positions.device)

        def keep(point: Point) -> Hook:
            def hook(seen: Tensor) -> None:
                kept[point] = seen[rows, positions].to(self.compute_dtype, copy=True)

            return hook

        return {point: keep(point) for point in points}

    def mlp_activations(
        self, tokens: Tensor, layers: Iterable[int], consume: Consume, *, poll: Poll = no_poll
    ) -> None:
        """Hand every neuron's activation (hook_post) to `consume(layer, [batch, pos, d_mlp])`.

        On the device of the layer. Nothing is kept here; layers above the last one asked for are not run.
        """
        hand_out_activations(*self._scanned, tokens, layers, consume, poll=poll)

    @property
    def forms_patterns(self) -> bool:
        """Whether `mlp_activations` writes attention patterns out, [n_heads, pos, pos] a row."""
        return str(self._hf_model.config._attn_implementation) == "eager"

    def compile_forward(self) -> None:
        """Have torch compile the attention of a second tree, and hold its activations to the first one's.

        Raises ModelLoadError when there is no compiler, or another result.
        """
        try:
            tree = second_tree(self._hf_model)
            wiring = self._of_units(read_wiring(tree))
            for block in wiring.blocks:
                # The MLP is left alone: a pass hands its activations out on the way, which a compiled one
                # cannot. Shapes stay open, so that one compilation serves all batches.
                block.attention.compile(dynamic=True)
            compiled = tree.base_model, wiring
            self._require_same_activations(compiled)
        except Exception as error:  # torch's compilers raise many kinds; each is told in one sentence
            why = first_line(error)[:300].rstrip(".")
            raise ModelLoadError(
                f"The forward pass of {self.info.name} cannot be compiled: {why}.",
                "Leave --compile out, or install a C++ compiler.",
            ) from error
        self._scanned, self.forward_path = compiled, "compiled"

    def _of_units(self, wiring: Wiring) -> Wiring:
        """A tree's wiring, with units for neurons where a dictionary is open."""
        if self._dictionary is None:
            return wiring
        return with_units(wiring, self._dictionary, wide(wiring.blocks[0].down.dtype))

    def _require_same_activations(self, compiled: tuple[nn.Module, Wiring]) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (_CHECK_ROWS, min(_CHECK_LENGTH, self.info.n_ctx))
        tokens = torch.randint(0, self.info.d_vocab, shape, generator=generator).to(self.device)
        expected: dict[int, Tensor] = {}

        def keep(layer: int, activation: Tensor) -> None:
            expected[layer] = activation.to(self.compute_dtype, copy=True)

        def compare(layer: int, activation: Tensor) -> None:
            # Position 0 counts nowhere, and may be so large that nothing else would be seen beside it.
            theirs = expected.pop(layer)[:, 1:]
            error = float((activation[:, 1:].to(self.compute_dtype) - theirs).abs().max())
            scale = float(theirs.abs().max())
            if not error <= COMPILED_TOLERANCE[self.dtype] * scale:
                raise ValueError(f"activations of layer {layer} change by {error:.2g} of {scale:.2g}")

        layers = range(self.info.n_layers)
        hand_out_activations(self._hf_model.base_model, self.wiring, tokens, layers, keep)
        hand_out_activations(*compiled, tokens, layers, compare)

    def neuron_activations(self, tokens: Tensor, neuron: NeuronId, *, poll: Poll = no_poll) -> Tensor:
        """One neuron's activation at every position: [batch, pos], in compute_dtype."""
        kept: list[Tensor] = []

        def keep(_: int, activation: Tensor) -> None:
            kept.append(self.at_home(activation[..., neuron.index]))

        self.mlp_activations(tokens, [neuron.layer], keep, poll=poll)
        return kept[0]

    @torch.inference_mode()
    def log_probabilities(
        self,
        tokens: Tensor,
        positions: Tensor,
        hooks: Mapping[Point, Hook] | None = None,
        *,
        poll: Poll = no_poll,
    ) -> Tensor:
        """Log-probability of every token after `positions` [batch]: [batch, d_vocab]; after several of each
        row, [batch, k], it is [batch, k, d_vocab].

        Only the asked-for positions are unembedded. `hooks` as those of `run`.
        """
        at = positions if positions.dim() == 2 else positions.unsqueeze(1)
        log_probabilities = self.logits(tokens, at, hooks, poll=poll)[0].log_softmax(-1)
        return log_probabilities if positions.dim() == 2 else log_probabilities[:, 0]

    @torch.inference_mode()
    def logits(
        self,
        tokens: Tensor,
        positions: Tensor,
        hooks: Mapping[Point, Hook] | None = None,
        *,
        poll: Poll = no_poll,
    ) -> tuple[Tensor, Tensor]:
        """Logits of every token after `positions` [batch, k] as the model gives them, and before a soft cap,
        which is what its unembedding gives: [batch, k, d_vocab] each, the same where it caps nothing."""
        rows = torch.arange(tokens.shape[0], device=tokens.device).unsqueeze(1)
        unembedded: list[Tensor] = []

        def select(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            residual = arguments[0]
            return (residual[rows.to(residual.device), positions.to(residual.device)], *arguments[1:])

        def keep(_: nn.Module, arguments: Any, output: Tensor) -> None:
            unembedded.append(output.clone())

        unembed, capped = self.wiring.unembed, self.wiring.logit_cap is not None
        with self._points.hooked(tokens, hooks or {}, self.info.n_layers, poll) as stack:
            stack.callback(unembed.register_forward_pre_hook(select).remove)
            if capped:
                stack.callback(unembed.register_forward_hook(keep).remove)
            logits = self.at_home(self._hf_model(input_ids=tokens, use_cache=False).logits)
        if not capped:
            return logits, logits
        return logits, self.at_home(unembedded[0]) * self.wiring.logit_factor

    @torch.inference_mode()
    def read_off(self, streams: Tensor) -> Tensor:
        """What the model's own final norm and unembedding make of residual streams [k, d_model]: the token
        each would find most probable, [k]. Rows that no token has are none. In a Post-LN model the streams
        between blocks are normed already."""
        streams = streams.to(self.dtype)
        normed = streams if self.wiring.post_ln else self.wiring.ln_final.module(streams)
        logits = self.at_home(self.wiring.read_off(normed)) * self.wiring.logit_factor
        return logits.index_fill(-1, self.unused_rows, -torch.inf).argmax(-1)

    @property
    def value_biases(self) -> tuple[Tensor | None, ...]:
        """The part of z that is the same whatever a head attends to, by layer: [n_heads, d_head] or None."""
        return self._points.value_biases

    @cached_property
    def attention(self) -> Attention:
        """Where attention patterns and values come from; opened when it is first asked for."""
        return open_attention(
            self._hf_model, family=self.info.family, name=self.info.name, bos_id=self.vocabulary.bos_id
        )

    @cached_property
    def replayed_attention(self) -> ReplayedAttention:
        """Attention of one text, a layer at a time; opened when it is first asked for."""
        return ReplayedAttention(self._hf_model)


@torch.inference_mode()
def hand_out_activations(
    module: nn.Module,
    wiring: Wiring,
    tokens: Tensor,
    layers: Iterable[int],
    consume: Consume,
    *,
    poll: Poll = no_poll,
) -> None:
    """`LookupModel.mlp_activations` of one tree of modules, its unembedding left out."""
    wanted = set(layers)
    last = max(wanted)

    def hook_for(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            poll()
            if layer in wanted:
                consume(layer, apart(arguments[0], tokens))
            if layer == last:
                raise EndOfPass

        return hook

    with ExitStack() as stack:
        for layer in range(last + 1):
            handle = wiring.blocks[layer].down.module.register_forward_pre_hook(hook_for(layer))
            stack.callback(handle.remove)
        if not ends_early(module, tokens):
            raise _unreached(last)


def _unreached(layer: int) -> ModelLoadError:
    return ModelLoadError(
        f"A pass through the model ended without reaching the MLP of layer {layer}.",
        "Its figures would be wrong; please report the model's name.",
    )


def pad(rows: Iterable[Ids]) -> Tensor:
    """[batch, pos], padded on the right with token 0, which causal attention never looks at."""
    texts = list(rows)
    padded = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    return torch.from_numpy(padded)


def require_finite(values: Tensor, layer: int) -> None:
    """Raise NumericalError, naming the layer, when an activation is NaN or infinite."""
    if not bool(torch.isfinite(values).all()):
        raise NumericalError.of_layer(layer)
