"""Head attribution: which heads, directly, made a neuron fire at one position (method.md, section 4).

1. One forward pass up to the neuron's block keeps, at the asked position of each row only: the heads' z,
   earlier MLPs' outputs, the embedding, and the scale of the norm the MLP reads through.
2. Projections come first: w = W_O[l', h] @ W_in[l, :, i] is [d_head], a head's figure is z . w / sigma.
   Stacked head results ([heads, positions, d_model]) are never formed.
3. A norm after attention applies its weight and its scale, held at its value, to each component.
4. Plain MLP: heads + MLPs + embedding + attention biases + b_in sum to the pre-activation.
   Gated MLP: with rho = act(g) / g held, component c gets rho/2 * (g_c * u + g * u_c); these sum to a.
5. The attribution of one head splits over key positions k as pattern[q, k] * (v_k . w) / sigma.

Preset "paper" reproduces the authors: the neuron's own layer left out, no division by sigma. Its components
do not close; the remainder says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tui_lookups.errors import Poll, UnsupportedModelError, no_poll
from tui_lookups.ids import HeadId, NeuronId, left_out_by_paper, out_of_reach
from tui_lookups.model.lookup_model import Hook, LookupModel, require_finite
from tui_lookups.results import ActivityRule, HeadAttribution, OtherComponents, Preset

_FEW_HEADS = 12
_ACTIVE_TOP = 3
_BATCH_TOKENS = {"cpu": 768}
_BATCH_TOKENS_ELSEWHERE = 8192
"""Most padded tokens of one forward pass, by device: it bounds the memory beyond the weights."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The exact decomposition of one neuron at one position of one text.

    Attributes:
        heads: direct attribution [n_reaching_layers, n_heads] (float64).
        gate, up: for gated MLPs its two halves, same shape, summing to `heads`; None for plain ones.
        mlps: attribution of each earlier MLP [n_earlier_layers].
        target: pre-activation (plain) or activation (gated).
        sources: attribution of `source_head` by key position [positions], or None.
    """

    neuron: NeuronId
    position: int
    activation: float
    pre_activation: float
    target: float
    heads: np.ndarray
    gate: np.ndarray | None
    up: np.ndarray | None
    mlps: np.ndarray
    embedding: float
    attention_biases: float
    bias: float
    sources: np.ndarray | None

    @property
    def other(self) -> OtherComponents:
        return OtherComponents(self.embedding, float(self.mlps.sum()), self.attention_biases, self.bias)

    @property
    def sum(self) -> float:
        """Heads and everything else."""
        other = self.other
        rest = other.embedding + other.mlps + other.attention_biases + other.bias
        return float(self.heads.sum()) + rest

    @property
    def remainder(self) -> float:
        return self.target - self.sum

    @property
    def scale(self) -> float:
        """Sum of |components|: what the remainder is measured against (method.md, section 4)."""
        parts = np.abs(self.heads).sum() + np.abs(self.mlps).sum()
        return float(parts) + abs(self.embedding) + abs(self.attention_biases) + abs(self.bias)


class _Capture:
    """What one forward pass keeps: every tensor already narrowed to the asked position of each row."""

    def __init__(
        self, model: LookupModel, neuron: NeuronId, positions: Tensor, source_head: HeadId | None
    ) -> None:
        self._rows = torch.arange(len(positions), device=positions.device)
        self._positions = positions
        self._dtype = model.compute_dtype
        self._kept: dict[str, Tensor] = {}
        self.hooks: dict[str, Hook] = {}
        wiring, layer = model.architecture, neuron.layer
        self.head_layers = range(wiring.last_head_layer(layer) + 1)
        for l in self.head_layers:  # noqa: E741 - the field's letter for a layer
            self._keep(f"blocks.{l}.attn.hook_z")
            if wiring.attn_post_norm:
                self._keep(f"blocks.{l}.ln1_post.hook_scale")
        for l in range(layer):  # noqa: E741
            self._keep(self.mlp_name(model, l))
        self._keep("blocks.0.hook_resid_pre")
        if wiring.mlp_norm is not None:
            self._keep(f"blocks.{layer}.{wiring.mlp_norm}.hook_scale")
        for name in ("hook_pre", "hook_post", *(["hook_pre_linear"] if wiring.gated else [])):
            self._keep(f"blocks.{layer}.mlp.{name}", neuron.index)
        if source_head is not None:
            self._keep_sources(source_head, model)

    @staticmethod
    def mlp_name(model: LookupModel, layer: int) -> str:
        """Where the MLP's contribution to the residual stream appears, its own norm applied."""
        after_norm = model.architecture.mlp_post_norm
        return f"blocks.{layer}.ln2_post.hook_out" if after_norm else f"blocks.{layer}.hook_mlp_out"

    def _keep(self, name: str, index: int | None = None) -> None:
        def hook(activation: Tensor) -> None:
            at_position = activation[self._rows, self._positions]
            kept = at_position if index is None else at_position[:, index]
            self._kept[name] = kept.to(self._dtype, copy=True)

        self.hooks[name] = hook

    def _keep_sources(self, head: HeadId, model: LookupModel) -> None:
        def pattern(activation: Tensor) -> None:
            self._kept["pattern"] = activation[self._rows, head.index, self._positions].to(
                self._dtype, copy=True
            )

        def values(activation: Tensor) -> None:
            repeat = model.info.n_heads // activation.shape[2]
            self._kept["values"] = activation[:, :, head.index // repeat].to(self._dtype, copy=True)

        self.hooks[f"blocks.{head.layer}.attn.hook_pattern"] = pattern
        self.hooks[f"blocks.{head.layer}.attn.hook_v"] = values

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name]


def decompose(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    *,
    source_head: HeadId | None = None,
    preset: Preset = "default",
    poll: Poll = no_poll,
) -> list[Decomposition]:
    """Decompose a neuron at one position of each row of token ids.

    Args:
        rows: token ids, begin-of-text included where the text was run with it.
        positions: per row, the position q; only tokens up to it matter.
        source_head: also split this head's attribution over key positions.
        preset: "paper" leaves out the own layer and the norm scale.
    Raises:
        BadIdError: no such neuron or head.
        UnsupportedModelError: the model was loaded in the raw basis, in which nothing closes.
        LookupsError: the source head does not reach the neuron.
        NumericalError: NaN or infinite values.
    """
    model.check_neuron(neuron)
    if model.basis != "folded":
        raise UnsupportedModelError(
            "Head attribution needs folded weights: in the raw basis no sum closes.",
            "Leave out --raw-weights.",
        )
    if source_head is not None:
        check_reaches(model, neuron, source_head, preset)
    results: list[Decomposition] = []
    most = _BATCH_TOKENS.get(model.device.type, _BATCH_TOKENS_ELSEWHERE)
    for start, end in _batches([len(row) for row in rows], most):
        poll()
        results += _decompose_batch(
            model,
            neuron,
            rows[start:end],
            positions[start:end],
            source_head=source_head,
            preset=preset,
            poll=poll,
        )
    return results


def _batches(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Consecutive ranges of rows of at most `most` padded tokens, at least one row each."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(lengths) + 1):
        longer = end < len(lengths) and (end + 1 - start) * max(lengths[start : end + 1]) > most
        if end == len(lengths) or longer:
            ranges.append((start, end))
            start = end
    return ranges


@torch.inference_mode()
def _decompose_batch(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    *,
    source_head: HeadId | None,
    preset: Preset,
    poll: Poll,
) -> list[Decomposition]:
    wiring, layer, index = model.architecture, neuron.layer, neuron.index
    capture = _Capture(model, neuron, torch.tensor(positions, device=model.device), source_head)
    tokens = model.batch(row[: q + 1] for row, q in zip(rows, positions, strict=True))
    model.run(tokens, capture.hooks, stop_after=layer, poll=poll)

    read = [model.W_in(layer, index)] + ([model.W_gate(layer, index)] if wiring.gated else [])
    directions = torch.stack(read, dim=1)  # [d_model, 1 or 2]
    if wiring.centred:
        # The norm takes the mean out of every component; writing weights are centred, which in half
        # precision is only nearly so.
        directions = directions - directions.mean(0)
    ones = torch.ones(len(rows), 1, dtype=model.compute_dtype, device=model.device)
    scale = ones if wiring.mlp_norm is None else capture[f"blocks.{layer}.{wiring.mlp_norm}.hook_scale"]
    if preset == "paper":
        scale = ones

    head_parts: list[Tensor] = []  # each [batch, n_heads, directions]
    bias_part = torch.zeros(len(rows), directions.shape[1], dtype=model.compute_dtype, device=model.device)
    source_part: Tensor | None = None
    for l in capture.head_layers:  # noqa: E741
        if preset == "paper" and l == layer:
            continue
        through, divisor = _through_attention(model, capture, l, directions, scale)
        projected = model.W_O(l) @ through  # [n_heads, d_head, directions]
        z = capture[f"blocks.{l}.attn.hook_z"]
        head_parts.append(torch.einsum("bhd,hdr->bhr", z, projected) / divisor.unsqueeze(1))
        b_O = model.b_O(l)
        if b_O is not None:
            bias_part += (b_O @ through) / divisor
        if source_head is not None and l == source_head.layer:
            by_key = torch.einsum("bkd,dr->bkr", capture["values"], projected[source_head.index])
            source_part = capture["pattern"].unsqueeze(2) * by_key / divisor.unsqueeze(1)
    multiplier = wiring.residual_multiplier
    n_heads = model.info.n_heads
    heads = (
        torch.stack(head_parts, 1)
        if head_parts
        else ones.new_zeros(len(rows), 0, n_heads, directions.shape[1])
    )
    earlier = [capture[_Capture.mlp_name(model, l)] @ directions / scale for l in range(layer)]  # noqa: E741
    mlps = torch.stack(earlier, 1) if earlier else ones.new_zeros(len(rows), 0, directions.shape[1])
    parts = _Parts(
        heads=heads * multiplier,
        mlps=mlps,  # hook_mlp_out is multiplied already
        embedding=capture["blocks.0.hook_resid_pre"] @ directions / scale,
        attention_biases=bias_part * multiplier,
        bias=directions.new_tensor(
            [model.b_in(layer, index)] + ([model.b_gate(layer, index)] if wiring.gated else [])
        ),
        sources=None if source_part is None else source_part * multiplier,
    )
    pre = capture[f"blocks.{layer}.mlp.hook_pre"]
    post = capture[f"blocks.{layer}.mlp.hook_post"]
    linear = capture[f"blocks.{layer}.mlp.hook_pre_linear"] if wiring.gated else None
    for values in (pre, post, parts.heads, parts.mlps):
        require_finite(values, layer)
    rho = _rho(model, pre) if wiring.gated else None
    return [
        parts.row(place, neuron, int(q), float(pre[place]), float(post[place]), linear, rho)
        for place, q in enumerate(positions)
    ]


def _through_attention(
    model: LookupModel, capture: _Capture, layer: int, directions: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """What a vector written by attention of `layer` is dotted with [d_model, directions], and divided by."""
    weight = model.post_norm_weight(layer, "ln1_post")
    if weight is None:
        return directions, scale
    return directions * weight.unsqueeze(1), scale * capture[f"blocks.{layer}.ln1_post.hook_scale"]


def _rho(model: LookupModel, gate: Tensor) -> Tensor:
    """act(g) / g, held at its value; 1/2 at g = 0 (method.md, section 4)."""
    g = gate.double()
    safe = torch.where(g == 0, torch.ones_like(g), g)
    return torch.where(g == 0, torch.full_like(g, 0.5), model.activation_function()(g) / safe)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Components of a batch, last axis: the read directions (W_in, and W_gate when gated)."""

    heads: Tensor
    mlps: Tensor
    embedding: Tensor
    attention_biases: Tensor
    bias: Tensor
    sources: Tensor | None

    def row(
        self,
        place: int,
        neuron: NeuronId,
        position: int,
        pre: float,
        post: float,
        linear: Tensor | None,
        rho: Tensor | None,
    ) -> Decomposition:
        def array(values: Tensor) -> np.ndarray:
            return values.double().cpu().numpy()

        heads, mlps = array(self.heads[place]), array(self.mlps[place])
        embedding, biases = array(self.embedding[place]), array(self.attention_biases[place])
        bias = array(self.bias)
        sources = None if self.sources is None else array(self.sources[place])[: position + 1]
        if linear is None or rho is None:
            return Decomposition(
                neuron, position, post, pre, pre, heads[..., 0], None, None, mlps[..., 0],
                float(embedding[0]), float(biases[0]), float(bias[0]),
                None if sources is None else sources[..., 0],
            )  # fmt: skip
        half = float(rho[place]) / 2
        u, g = float(linear[place]), pre

        def both(values: np.ndarray) -> np.ndarray:
            return half * (values[..., 1] * u + values[..., 0] * g)

        return Decomposition(
            neuron, position, post, pre, post,
            both(heads), half * heads[..., 1] * u, half * heads[..., 0] * g, both(mlps),
            float(both(embedding)), float(both(biases)), float(both(bias)),
            None if sources is None else both(sources),
        )  # fmt: skip


def check_reaches(model: LookupModel, neuron: NeuronId, head: HeadId, preset: Preset) -> None:
    """Raise LookupsError where the head's output does not reach the neuron, or the preset leaves it out."""
    model.check_neuron(neuron)
    model.check_head(head)
    last = model.architecture.last_head_layer(neuron.layer)
    if head.layer > last:
        raise out_of_reach(head, neuron, last)
    if preset == "paper" and head.layer == neuron.layer:
        raise left_out_by_paper(head, neuron)


def count_reaching(model: LookupModel, neuron: NeuronId, preset: Preset) -> int:
    """How many heads reach the neuron; preset "paper" leaves out its own layer's (method.md, section 4)."""
    n_layers = model.architecture.last_head_layer(neuron.layer) + 1
    return (min(n_layers, neuron.layer) if preset == "paper" else n_layers) * model.info.n_heads


def effective_rule(rule: ActivityRule, n_heads: int) -> ActivityRule:
    """The rule that decides among `n_heads` heads that reach the neuron: "top3" where they are few."""
    return "top3" if n_heads < _FEW_HEADS else rule


def active_heads(attributions: np.ndarray, rule: ActivityRule) -> tuple[np.ndarray, float]:
    """Which heads are active on a prompt (method.md, section 4), and the threshold: (bool [n], value).

    "2sd": above mean + 2 sample standard deviations over the heads that reach the neuron. "top3": among the
    three largest; used also where fewer than 12 heads reach, since no value can then lie that far out.
    """
    n = attributions.size
    if n == 0:
        return np.zeros(0, dtype=bool), 0.0
    if effective_rule(rule, n) == "top3":
        order = np.argsort(-attributions, kind="stable")[:_ACTIVE_TOP]
        mask = np.zeros(n, dtype=bool)
        mask[order] = True
        return mask, float(attributions[order[-1]])
    threshold = float(attributions.mean() + 2 * attributions.std(ddof=1))
    return attributions > threshold, threshold


def attributions_of_heads(
    decomposition: Decomposition, rule: ActivityRule, sign: int = 1
) -> tuple[tuple[HeadAttribution, ...], float]:
    """Every head that reaches the neuron, in layer then head order, and the activity threshold.

    `sign` is -1 where the neuron fires negatively: a head is active when it drives it that way.
    """
    heads = decomposition.heads
    mask, threshold = active_heads(sign * heads.ravel(), rule)
    rows = []
    for place, value in enumerate(heads.ravel()):
        head = HeadId(*divmod(place, heads.shape[1]))
        gate = None if decomposition.gate is None else float(decomposition.gate.ravel()[place])
        up = None if decomposition.up is None else float(decomposition.up.ravel()[place])
        rows.append(HeadAttribution(head, head.layer, head.index, float(value), bool(mask[place]), gate, up))
    return tuple(rows), sign * threshold
