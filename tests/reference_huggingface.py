"""Reference for every family: the Hugging Face model itself, in float64, with its norm scales held.

Nothing here uses TransformerLens or the code under test.

1. A clean forward pass keeps what each block's attention output projection, MLP and norms read and write.
2. The norm the MLP reads through, and a norm after attention or after the MLP, are replaced by the affine
   map they are when their scale is held at its clean value (method.md, section 4).
3. Components are the vectors that add up to the MLP norm's input: one a head (its slice of z, value biases
   taken out, through the projection and the held post-norm), one an MLP, the embedding, and the biases.
4. Each component is *added to the MLP norm's input* in a second forward pass, one batch row a component. By
   how much the neuron's pre-activation (gate and up, for gated MLPs) then moves is its attribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.tiny_models import attention_of


@dataclass(frozen=True)
class Names:
    """Where a family keeps its parts. All but the first three are relative to a block."""

    blocks: str
    final_norm: str
    attention_out: str
    value: str
    attention_norm: str | None
    mlp_norm: str | None
    up: str
    down: str
    gate: str | None = None
    attention_post_norm: str | None = None
    mlp_post_norm: str | None = None


_GATED = {"up": "mlp.up_proj", "down": "mlp.down_proj", "gate": "mlp.gate_proj"}
_LLAMA = Names(
    "model.layers", "model.norm", "self_attn.o_proj", "self_attn.v_proj", "input_layernorm",
    "post_attention_layernorm", **_GATED,
)  # fmt: skip
_GEMMA = Names(
    "model.layers", "model.norm", "self_attn.o_proj", "self_attn.v_proj", "input_layernorm",
    "pre_feedforward_layernorm", **_GATED,
    attention_post_norm="post_attention_layernorm", mlp_post_norm="post_feedforward_layernorm",
)  # fmt: skip
_OLMO2 = Names(
    "model.layers", "model.norm", "self_attn.o_proj", "self_attn.v_proj", None, None, **_GATED,
    attention_post_norm="post_attention_layernorm", mlp_post_norm="post_feedforward_layernorm",
)  # fmt: skip

FAMILY_NAMES: dict[str, Names] = {
    "gpt2": Names(
        "transformer.h", "transformer.ln_f", "attn.c_proj", "attn.c_attn", "ln_1", "ln_2",
        "mlp.c_fc", "mlp.c_proj",
    ),
    "gpt_neo": Names(
        "transformer.h", "transformer.ln_f", "attn.attention.out_proj", "attn.attention.v_proj",
        "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj",
    ),
    "gpt_neox": Names(
        "gpt_neox.layers", "gpt_neox.final_layer_norm", "attention.dense", "attention.query_key_value",
        "input_layernorm", "post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
    ),
    "gptj": Names(
        "transformer.h", "transformer.ln_f", "attn.out_proj", "attn.v_proj", "ln_1", "ln_1",
        "mlp.fc_in", "mlp.fc_out",
    ),
    "opt": Names(
        "model.decoder.layers", "model.decoder.final_layer_norm", "self_attn.out_proj", "self_attn.v_proj",
        "self_attn_layer_norm", "final_layer_norm", "fc1", "fc2",
    ),
    "phi": Names(
        "model.layers", "model.final_layernorm", "self_attn.dense", "self_attn.v_proj", "input_layernorm",
        "input_layernorm", "mlp.fc1", "mlp.fc2",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "olmo": _LLAMA,
    "olmo2": _OLMO2,
}  # fmt: skip


class HeldNorm:
    """A norm module as the affine map it is while its scale keeps the value it has on `x` [..., d_model]."""

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        kind = type(module).__name__
        self._centre = "RMS" not in kind
        eps = float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-5)))
        centred = x - x.mean(-1, keepdim=True) if self._centre else x
        self.scale = (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        weight = getattr(module, "weight", None)
        self.weight: Tensor = torch.ones_like(x[..., 0, :]) if weight is None else weight.detach()
        if kind.startswith("Gemma"):
            self.weight = 1.0 + self.weight
        self.bias: Tensor | float = 0.0 if getattr(module, "bias", None) is None else module.bias.detach()  # type: ignore[union-attr]
        difference = (self(x) - module(x)).abs().max()
        assert float(difference) < 1e-5, f"{kind} is not the norm this reference takes it for: {difference}"

    def linear(self, x: Tensor) -> Tensor:
        """The map without its bias: what a component goes through."""
        centred = x - x.mean(-1, keepdim=True) if self._centre else x
        return centred / self.scale * self.weight

    def __call__(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.bias


@dataclass(frozen=True)
class LayerParts:
    """Direct contributions to every neuron of one layer at one position.

    The last axis of each tensor is the neuron; the leading axis of size 1 or 2 is (pre,) for plain and
    (gate, up) for gated MLPs.
    """

    gated: bool
    heads: Tensor  # [1 or 2, n_reaching_layers, n_heads, d_mlp]
    mlps: Tensor  # [1 or 2, n_earlier_layers, d_mlp]
    embedding: Tensor  # [1 or 2, d_mlp]
    attention_biases: Tensor  # [1 or 2, d_mlp]
    bias: Tensor  # [1 or 2, d_mlp]
    sources: Tensor | None  # [1 or 2, positions, d_mlp]
    pattern: Tensor | None  # of the source head, [positions]
    read: Tensor  # [1 or 2, d_mlp]: the pre-activation, or g and u
    activation: Tensor  # [d_mlp]

    def halves(self, part: Tensor) -> Tensor:
        """For gated MLPs (gate, up): rho/2 * g_c * u and rho/2 * g * u_c, stacked on the first axis."""
        g, u = self.read
        half = self.activation / (u * g) / 2  # a = rho * g * u
        return torch.stack((half * part[0] * u, half * g * part[1]))

    def attribution(self, part: Tensor) -> Tensor:
        """The figure of a component (method.md, section 4): [..., d_mlp]."""
        return self.halves(part).sum(0) if self.gated else part[0]


class HuggingFaceReference:
    """The reference for one folder. `own_layer` is found out by trying (`reaches`), not from a table."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float64, local_files_only=True, attn_implementation=attention_of(folder)
        ).eval()
        self.family = str(self.model.config.model_type)
        self.names = FAMILY_NAMES[self.family]
        self.blocks: Any = self.model.get_submodule(self.names.blocks)
        self.n_heads = int(self.model.config.num_attention_heads)

    def part(self, layer: int, name: str) -> nn.Module:
        return self.blocks[layer].get_submodule(name)

    @torch.no_grad()
    def capture(
        self,
        tokens: Tensor,
        wanted: dict[str, tuple[nn.Module, str]],
        edits: tuple[tuple[nn.Module, Callable[[Tensor], Tensor]], ...] = (),
    ) -> tuple[dict[str, Tensor], Any]:
        """One forward pass over [batch, pos] tokens: what the wanted modules read ("in") or write ("out").

        `edits` change what a module reads. Everything is returned as [batch, pos, width].
        """
        kept: dict[str, Tensor] = {}

        def shaped(values: Any) -> Tensor:
            tensor: Tensor = values[0] if isinstance(values, tuple) else values
            return tensor.detach().reshape(*tokens.shape, -1).clone()

        def keeper(key: str, side: str) -> Callable[..., None]:
            def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
                kept[key] = shaped((args[0] if args else kwargs["hidden_states"]) if side == "in" else output)

            return hook

        def editor(edit: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
            def hook(_: nn.Module, args: Any) -> Any:
                return (edit(args[0].reshape(*tokens.shape, -1)).reshape(args[0].shape), *args[1:])

            return hook

        handles = [
            m.register_forward_hook(keeper(k, side), with_kwargs=True) for k, (m, side) in wanted.items()
        ]
        handles += [module.register_forward_pre_hook(editor(edit)) for module, edit in edits]
        try:
            output = self.model(tokens, output_attentions=True, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return kept, output

    def reaches(self, tokens: list[int], position: int, source_layer: int, head: int, layer: int) -> bool:
        """Whether silencing a head changes what the neurons of `layer` read: found by trying."""
        text = tuple(tokens)
        before, after = self._read(text), self._read(text, (source_layer, head))
        return not torch.equal(before[layer][0, position], after[layer][0, position])

    @cache  # noqa: B019 - a reference lives as long as the tests do, and is asked by every layer
    def _read(self, tokens: tuple[int, ...], silent: tuple[int, int] | None = None) -> list[Tensor]:
        """What the neurons of each layer read, one head of one layer silenced or none."""
        layers = range(len(self.blocks))
        wanted = {f"up {layer}": (self.part(layer, self.names.up), "out") for layer in layers}

        def silence(z: Tensor) -> Tensor:
            silenced, width = z.clone(), z.shape[-1] // self.n_heads
            silenced[..., head * width : (head + 1) * width] = 0
            return silenced

        edits: tuple[tuple[nn.Module, Callable[[Tensor], Tensor]], ...] = ()
        if silent is not None:
            source_layer, head = silent
            edits = ((self.part(source_layer, self.names.attention_out), silence),)
        kept, _ = self.capture(torch.tensor([tokens]), wanted, edits)
        return [kept[f"up {layer}"] for layer in layers]

    @torch.no_grad()
    def parts(
        self, tokens: list[int], position: int, layer: int, source_head: tuple[int, int] | None = None
    ) -> LayerParts:
        """Steps 1 to 4 of the module: the contributions to every neuron of `layer` at `position`."""
        names, row = self.names, torch.tensor([tokens])
        reads_at = self.part(layer, names.mlp_norm or names.up)
        reading = [names.up] if names.gate is None else [names.gate, names.up]
        wanted: dict[str, tuple[nn.Module, str]] = {
            "embedding": (self.blocks[0], "in"),
            "read at": (reads_at, "in"),
            "activation": (self.part(layer, names.down), "in"),
            **{name: (self.part(layer, name), "out") for name in reading},
        }
        for l in range(layer + 1):  # noqa: E741
            wanted[f"z {l}"] = (self.part(l, names.attention_out), "in")
            wanted[f"attention {l}"] = (self.part(l, names.attention_out), "out")
            wanted[f"value {l}"] = (self.part(l, names.value), "out")
            wanted[f"mlp {l}"] = (self.part(l, names.mlp_post_norm or names.down), "out")
        clean, output = self.capture(row, wanted)

        last = layer if self.reaches(tokens, position, layer, 0, layer) else layer - 1
        components: list[Tensor] = []  # each [d_model], in the order they are unpacked below
        biases = torch.zeros_like(clean["embedding"][0, position])
        sources: list[Tensor] = []
        pattern: Tensor | None = None
        for l in range(last + 1):  # noqa: E741
            through = self._through_attention_norm(l, clean[f"attention {l}"][0, position])
            constant = self._constant_z(l)
            z = clean[f"z {l}"][0, position] - constant
            components += [through(self._project(l, self._slice(z, head))) for head in range(self.n_heads)]
            out = self.part(l, names.attention_out)
            biases += through(out(constant[None])[0])
            if source_head is not None and source_head[0] == l:
                values = self._values(l, clean[f"value {l}"][0])  # [pos, n_heads * d_head], biases taken out
                pattern = output.attentions[l][0, source_head[1], position, : position + 1]
                for key in range(position + 1):
                    vector = self._project(l, self._slice(values[key], source_head[1]) * pattern[key])
                    sources.append(through(vector))
        n_heads_counted = len(components)
        components += [clean[f"mlp {l}"][0, position] for l in range(layer)]  # noqa: E741
        components += [clean["embedding"][0, position], biases, -clean["read at"][0, position], *sources]

        moved = self._moves(tokens, position, layer, torch.stack(components), clean["read at"])
        read = torch.stack([clean[name][0, position] for name in reading])
        moved_heads, rest = moved[:, :n_heads_counted], moved[:, n_heads_counted:]
        return LayerParts(
            gated=names.gate is not None,
            heads=moved_heads.reshape(len(reading), last + 1, self.n_heads, moved.shape[-1]),
            mlps=rest[:, :layer],
            embedding=rest[:, layer],
            attention_biases=rest[:, layer + 1],
            bias=read + rest[:, layer + 2],  # what is left when nothing is read
            sources=rest[:, layer + 3 :] if sources else None,
            pattern=pattern,
            read=read,
            activation=clean["activation"][0, position],
        )

    def _moves(
        self, tokens: list[int], position: int, layer: int, components: Tensor, clean: Tensor
    ) -> Tensor:
        """By how much each component, added at the MLP norm's input, moves neurons: [1 or 2, n, d_mlp]."""
        names = self.names
        reading = [names.up] if names.gate is None else [names.gate, names.up]
        rows = torch.tensor([tokens]).repeat(len(components) + 1, 1)
        added = torch.zeros(len(components) + 1, *clean.shape[1:], dtype=torch.float64)
        added[1:, position] = components
        wanted = {name: (self.part(layer, name), "out") for name in reading}
        if names.mlp_norm is None:
            edits = tuple((self.part(layer, name), lambda x: x + added) for name in reading)
            moved, _ = self.capture(rows, wanted, edits)
        else:
            norm = self.part(layer, names.mlp_norm)
            # What the MLP reads is given to it, through the held norm, so that a norm shared with attention
            # (parallel blocks) changes attention of no later position either.
            held = HeldNorm(norm, clean)
            edits = tuple((self.part(layer, name), lambda _: held(clean + added)) for name in reading)
            moved, _ = self.capture(rows, wanted, edits)
        out = torch.stack([moved[name][:, position] for name in reading])
        return out[:, 1:] - out[:, :1]

    def _through_attention_norm(self, layer: int, written: Tensor) -> Callable[[Tensor], Tensor]:
        """The held norm after attention, where there is one; `written` is what it reads at the position."""
        if self.names.attention_post_norm is None:
            return lambda x: x
        held = HeldNorm(self.part(layer, self.names.attention_post_norm), written[None])
        return lambda x: held.linear(x[None])[0]

    def _slice(self, z: Tensor, head: int) -> Tensor:
        """z with every head but one silenced."""
        width = z.shape[-1] // self.n_heads
        alone = torch.zeros_like(z)
        alone[head * width : (head + 1) * width] = z[head * width : (head + 1) * width]
        return alone

    def _project(self, layer: int, z: Tensor) -> Tensor:
        out = self.part(layer, self.names.attention_out)
        written: Tensor = out(z[None])[0] - out(torch.zeros_like(z)[None])[0]
        return written

    def _values(self, layer: int, written: Tensor) -> Tensor:
        """Values per query head, value biases taken out: [pos, n_heads * d_head]."""
        bias = self._value_bias(layer)
        return self._repeat(self._select_values(written) - bias)

    def _constant_z(self, layer: int) -> Tensor:
        """What value biases (and the norm's bias through W_V) add to z wherever a head looks."""
        return self._repeat(self._value_bias(layer)[None])[0]

    def _value_bias(self, layer: int) -> Tensor:
        value: Any = self.part(layer, self.names.value)
        norm = None if self.names.attention_norm is None else self.part(layer, self.names.attention_norm)
        bias = None if norm is None else getattr(norm, "bias", None)
        width = value.weight.shape[0] if type(value).__name__ == "Conv1D" else value.in_features
        zero = torch.zeros(width, dtype=torch.float64) if bias is None else bias
        return self._select_values(value(zero[None]).detach())[0]

    def _select_values(self, written: Tensor) -> Tensor:
        """The value part of what a (fused) projection writes: [pos, n_kv * d_head]."""
        if self.family == "gpt2":
            return written.chunk(3, dim=-1)[2]
        if self.family == "gpt_neox":
            by_head = written.reshape(len(written), self.n_heads, 3, -1)
            return by_head[:, :, 2].reshape(len(written), -1)
        return written

    def _repeat(self, values: Tensor) -> Tensor:
        """Each key/value head once per query head that shares it."""
        n_kv = int(getattr(self.model.config, "num_key_value_heads", None) or self.n_heads)
        by_head = values.reshape(len(values), n_kv, -1)
        return by_head.repeat_interleave(self.n_heads // n_kv, dim=1).reshape(len(values), -1)

    @torch.no_grad()
    def logit_moves(self, tokens: list[int], position: int, layer: int) -> Tensor:
        """By how much each neuron of `layer`, writing with activation 1, moves every logit: [d_mlp, d_vocab].

        The final norm's scale is held and multiplied out. A norm after the MLP applies its weight only.
        """
        final: Any = self.model.get_submodule(self.names.final_norm)
        clean, _ = self.capture(torch.tensor([tokens]), {"final": (final, "in")})
        residual = clean["final"][0, position][None]
        held = HeldNorm(final, residual)
        down: Any = self.part(layer, self.names.down)
        conv = type(down).__name__ == "Conv1D"
        written = (down.weight if conv else down.weight.T).detach()
        if self.names.mlp_post_norm is not None:
            written = written * HeldNorm(self.part(layer, self.names.mlp_post_norm), written).weight
        unembed = self.model.get_output_embeddings()
        moved: Tensor = unembed(held(residual + written)) - unembed(held(residual))
        return moved * held.scale
