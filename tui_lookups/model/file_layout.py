"""The names of a family's tensors in its files: one row of file_layouts.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_EXPERT = re.compile(r"experts\.\d+\.")
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class FileLayout:
    """Names in a family's files.

    Attributes:
        block: what is in front of a block's modules; "{}" is the layer.
        modules: of a block, and of the model around them: those with a weight, "*" with a bias, too; "="
            ends the name of a tensor that is neither; "{}" is the number of an expert.
        W_out: the MLP's last module in a block; in a mixture of experts that of each, "{}" its number.
        shared_W_out: that of an expert that is always run, where the family has one.
        final_norm: the module of the norm before the unembedding.
        embedding, head: modules of the two; `head` never has a prefix.
        where_set: modules that a block has where a key of the configuration is set.
        neurons_in_rows: W_out's weight is stored [d_mlp, d_model]; else [d_model, d_mlp], as torch's Linear.
        post_norm: the module of a block that is the norm after the MLP, where the family has one.
        sum_norms: of a Post-LN model, the modules of a block that are the norm after attention and that after
            the MLP; the last of them is the norm before the unembedding.
        project_out: the module that what the final norm gives goes through to the unembedding, where the
            files hold it.
        norm_adds_one: norms multiply by 1 + their weight.
        norms_have_weights: False for OLMo 1 and NanoChat.
        tied: the unembedding is the embedding where the configuration does not say.
        write_scale, logit_scale, logit_divisor: the configuration's keys for what everything that blocks
            write is multiplied by, and for what logits are multiplied or divided by.
        soft_cap: the model caps its logits where `final_logit_softcapping` is set, by default to this; None
            where no family of that name knows the key, 0 where it has no default.
    """

    block: str
    modules: str
    around: str
    W_out: str
    final_norm: str
    embedding: str
    head: str = "lm_head"
    where_set: Mapping[str, str] = field(default_factory=dict)
    neurons_in_rows: bool = False
    post_norm: str | None = None
    sum_norms: tuple[str, str] | None = None
    project_out: str | None = None
    norm_adds_one: bool = False
    norms_have_weights: bool = True
    tied: bool = False
    write_scale: str | None = None
    logit_scale: str | None = None
    logit_divisor: str | None = None
    soft_cap: float | None = None
    shared_W_out: str | None = None

    @property
    def scales(self) -> frozenset[str]:
        """The configuration's keys of the scales."""
        return frozenset(filter(None, (self.write_scale, self.logit_scale, self.logit_divisor)))

    def strange(self, names: Iterable[str], prefix: str, config: Mapping[str, Any], n_layers: int) -> str:
        """The first of a file's tensors that the row does not name; empty where there is none."""
        added = " ".join(modules for key, modules in self.where_set.items() if config.get(key))
        of_block, around = _tensors(f"{self.modules} {added}"), _tensors(self.around)
        for name in names:
            own = name.removeprefix(prefix)
            layer = _LAYER.search(own)
            if layer is not None and int(layer[1]) < n_layers:
                block = self.block.format(layer[1])
                expected = own.startswith(block) and _of_any_expert(own.removeprefix(block)) in of_block
            else:
                expected = own in around or name == f"{self.head}.weight"
            if not expected:
                return name
        return ""


def _of_any_expert(tensor: str) -> str:
    """A tensor's name as a `FileLayout` writes it."""
    return _EXPERT.sub("experts.{}.", tensor)


def _tensors(modules: str) -> frozenset[str]:
    """The names of the tensors of some modules, as a `FileLayout` writes them."""
    names = set()
    for module in modules.split():
        plain = module.rstrip("*=")
        names.add(plain if module.endswith("=") else f"{plain}.weight")
        if module.endswith("*"):
            names.add(f"{plain}.bias")
    return frozenset(names)
