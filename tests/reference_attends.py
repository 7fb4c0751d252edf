"""Reference for why a head attends: autograd of a frozen score, in float64 (method.md, section 10).

Nothing here uses the code under test.

1. transformers' own module runs a text, and hooks keep each block's input, z, activations and outputs.
2. Every component is written out as a vector at each position: embedding, heads (z less value biases, times
   W_O), neurons (activation times W_out), biases; through the norms after attention and MLP, scales held.
   Their sum must be the stream before the layer asked about.
3. The advantage is spelled from the weights as a function of one factor for each component of the query and
   one for each of the keys: norms at their held scales, biases, rotation, the family's factor. Its gradient
   in a factor is what the component contributes; its mixed second derivative what a pair does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class FrozenScore:
    """The advantage of one head's score on one text.

    Args:
        folder: of a model of GPT-2's family, or one with Llama's names.
        row: token ids; the last is the query.
    """

    def __init__(self, folder: Path, layer: int, head: int, row: list[int]) -> None:
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float64, local_files_only=True, attn_implementation="eager"
        ).eval()
        self.layer, self.head = layer, head
        self.gpt2 = hasattr(self.model, "transformer")
        base = self.model.base_model
        self.blocks = list(base.h if self.gpt2 else base.layers)
        self._run(row)
        self.names: list[str] = []
        self.writes = self._components()

    def _run(self, row: list[int]) -> None:
        self.seen: dict[tuple[int, str], Tensor] = {}
        parts = (
            {"z": "attn.c_proj", "a": "mlp.c_proj"}
            if self.gpt2
            else {"z": "self_attn.o_proj", "a": "mlp.down_proj"}
        )
        for layer, block in enumerate(self.blocks):
            block.register_forward_pre_hook(self._keep(layer, "x"))
            for name, path in parts.items():
                block.get_submodule(path).register_forward_pre_hook(self._keep(layer, name))
        with torch.no_grad():
            found = self.model(torch.tensor([row]), output_attentions=True, use_cache=False)
        self.pattern = found.attentions[self.layer][0, self.head, -1]

    def _keep(self, layer: int, name: str) -> Any:
        def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            self.seen[layer, name] = arguments[0][0].detach().clone()

        return keep

    def _norm(self, module: Any, x: Tensor, held: Tensor | None = None) -> Tensor:
        """A norm at the scale of `held` (by default its own), its bias left out."""
        at = x if held is None else held
        weight = module.weight.detach()
        if isinstance(module, nn.LayerNorm):
            centred = at - at.mean(-1, keepdim=True)
            scale = (centred.pow(2).mean(-1, keepdim=True) + module.eps).sqrt()
            return (x - x.mean(-1, keepdim=True)) / scale * weight
        eps = getattr(module, "variance_epsilon", None) or module.eps
        weight = 1 + weight if "Gemma" in type(module).__name__ else weight
        return x / (at.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight

    def _components(self) -> Tensor:
        """[components, pos, d_model], named in `names`."""
        heads = self.model.config.num_attention_heads
        written, biases = (
            [self.seen[0, "x"]],
            torch.zeros_like(self.seen[0, "x"]).unsqueeze(0).repeat(2, 1, 1),
        )
        self.names = ["embedding"]
        for layer in range(self.layer):
            block = self.blocks[layer]
            out, down, values = self._writing(block)
            z = (self.seen[layer, "z"] - values).unflatten(-1, (heads, -1))
            W_O = out[0].reshape(heads, -1, out[0].shape[1])
            of_heads = torch.einsum("phd,hde->hpe", z, W_O)
            neurons = self.seen[layer, "a"].T.unsqueeze(2) * down[0].unsqueeze(1)
            attention = (values @ out[0] + out[1]).expand_as(self.seen[0, "x"])
            mlp = down[1].expand_as(attention)
            post = [getattr(block, f"post_{name}_layernorm", None) for name in ("attention", "feedforward")]
            if post[1] is not None:  # norms after both
                whole = of_heads.sum(0) + attention
                of_heads, attention = (self._norm(post[0], part, whole) for part in (of_heads, attention))
                whole = neurons.sum(0) + mlp
                neurons, mlp = (self._norm(post[1], part, whole) for part in (neurons, mlp))
            written += [*of_heads, *neurons]
            self.names += [f"L{layer}.H{h}" for h in range(heads)]
            self.names += [f"L{layer}.N{n}" for n in range(len(neurons))]
            biases[0] += attention
            biases[1] += mlp
        self.names += ["attention biases", "MLP biases"]
        found = torch.stack([*written, *biases])
        stream = self.seen[self.layer, "x"]
        assert (found.sum(0) - stream).abs().max() < 1e-5 * stream.abs().max()
        return found

    def _writing(self, block: Any) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        """W_O and its bias, W_out and its bias, and value biases for every head, flattened."""
        if self.gpt2:
            attention, d = block.attn, block.attn.embed_dim
            joint, bias = attention.c_attn.weight.detach(), attention.c_attn.bias.detach()
            values = bias[2 * d :] + block.ln_1.bias.detach() @ joint[:, 2 * d :]
            return (
                (attention.c_proj.weight.detach(), attention.c_proj.bias.detach()),
                (block.mlp.c_proj.weight.detach(), block.mlp.c_proj.bias.detach()),
                values,
            )
        attention = block.self_attn
        out, down = attention.o_proj.weight.detach().T, block.mlp.down_proj.weight.detach().T
        bias, groups = attention.v_proj.bias, attention.num_key_value_groups
        none = torch.zeros(out.shape[1], dtype=out.dtype)
        values = torch.zeros(out.shape[0], dtype=out.dtype)
        if bias is not None:
            per_head = bias.detach().unflatten(0, (-1, attention.head_dim))
            values = per_head.repeat_interleave(groups, 0).flatten()
        of_out = none if attention.o_proj.bias is None else attention.o_proj.bias.detach()
        return (out, of_out), (down, none), values

    def advantage(self, key: int, of_query: Tensor, of_keys: Tensor) -> Tensor:
        """The advantage at a key, with these factors for the components [components] of either side."""
        streams = [torch.einsum("c,cpe->pe", factors, self.writes) for factors in (of_query, of_keys)]
        whole = self.writes.sum(0)
        (q, factor), (k, _) = (
            self._projected(side, stream, whole) for side, stream in zip("qk", streams, strict=True)
        )
        scores = factor * (k @ q[-1])
        return scores[key] - self.pattern @ scores

    def _projected(self, side: str, stream: Tensor, whole: Tensor) -> tuple[Tensor, float]:
        """A head's queries, or keys, [pos, d_head]; and the factor on their product."""
        block = self.blocks[self.layer]
        if self.gpt2:
            attention, d, width = block.attn, block.attn.embed_dim, block.attn.head_dim
            at = ("qk".index(side)) * d + self.head * width
            weight = attention.c_attn.weight.detach()[:, at : at + width]
            bias = attention.c_attn.bias.detach()[at : at + width]
            read = self._norm(block.ln_1, stream, whole) + block.ln_1.bias.detach()
            return read @ weight + bias, width**-0.5
        attention, width = block.self_attn, block.self_attn.head_dim
        project = attention.q_proj if side == "q" else attention.k_proj
        norm = getattr(block, "input_layernorm", None)

        def through(x: Tensor) -> Tensor:
            read = x if norm is None else self._norm(norm, x, whole)
            bias = 0 if project.bias is None else project.bias.detach()
            return read @ project.weight.detach().T + bias

        index = self.head if side == "q" else self.head // attention.num_key_value_groups
        own = slice(index * width, (index + 1) * width)
        normed = getattr(attention, f"{side}_norm", None)
        y, held = through(stream), through(whole)
        if normed is not None and normed.weight.shape[0] > width:  # OLMo 2: over all heads
            y = self._norm(normed, y, held)[:, own]
        else:
            y = y[:, own] if normed is None else self._norm(normed, y[:, own], held[:, own])
        return self._rotated(y), float(attention.scaling)

    def _rotated(self, y: Tensor) -> Tensor:
        rotary, places = self.model.base_model.rotary_emb, torch.arange(len(y)).unsqueeze(0)
        kinds = getattr(self.model.config, "layer_types", None)
        by_kind = hasattr(rotary, f"{kinds[self.layer]}_inv_freq") if kinds else False
        given = {"layer_type": kinds[self.layer]} if by_kind and kinds else {}
        cos, sin = (part[0].to(y.dtype) for part in rotary(y.unsqueeze(0), places, **given))
        first, second = y.chunk(2, -1)
        return y * cos + torch.cat([-second, first], -1) * sin
