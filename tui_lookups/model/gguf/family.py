"""What a family of .gguf files is, and the sizes that the keys of every family give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tui_lookups.model.gguf.keys import Ledger
from tui_lookups.model.gguf.weights import Sizes, Weight

HEAD = Weight("output.weight", "lm_head.weight", "VD", group="head")
"""The unembedding; a file without it has the embedding's transpose for it."""


@dataclass(frozen=True, slots=True)
class GgufFamily:
    """How files of one `general.architecture` are read.

    Attributes:
        model_type, class_name: of the Hugging Face configuration and module.
        weights: the table of tensors.
        configure: the configuration's fields, from the keys, the sizes and `rope_freqs.weight`.
        switches: configuration fields that say whether an optional group of tensors is there.
        scaled_frequencies: its files may have `rope_freqs.weight`.
    """

    model_type: str
    class_name: str
    weights: tuple[Weight, ...]
    configure: Callable[[Ledger, Sizes, np.ndarray | None], dict[str, Any]]
    switches: dict[str, str] = field(default_factory=dict)
    scaled_frequencies: bool = False


def read_sizes(ledger: Ledger, vocabulary: int) -> Sizes:
    """The sizes that the keys of every family give."""
    hidden = ledger.whole("embedding_length", "hidden_size")
    heads = ledger.whole("attention.head_count", "num_attention_heads")
    sizes = Sizes(
        vocabulary=vocabulary,
        hidden=hidden,
        layers=ledger.whole("block_count", "num_hidden_layers"),
        heads=heads,
        kv_heads=ledger.whole("attention.head_count_kv", "num_key_value_heads", default=heads),
        head_dim=ledger.whole("attention.key_length", "head_dim", default=max(hidden // heads, 1)),
        mlp=ledger.whole("feed_forward_length", "intermediate_size"),
        context=ledger.whole("context_length", "max_position_embeddings"),
    )
    ledger.hold("attention.value_length", sizes.head_dim, "the length of values")
    ledger.hold("vocab_size", vocabulary, "rows of the embedding")
    ledger.hold("attention.causal", True, "attention")
    ledger.hold("pooling_type", 0, "the pooling of a language model")
    if sizes.heads % sizes.kv_heads:
        ledger.refuse(f"{ledger.prefix}attention.head_count_kv", "does not divide the number of heads")
    if sizes.head_dim % 2:
        ledger.refuse(f"{ledger.prefix}attention.key_length", "is odd")
    return sizes


def plain_heads(ledger: Ledger, sizes: Sizes) -> None:
    """Refuse heads that are not as long as the family's module makes them: hidden size over heads."""
    if sizes.head_dim * sizes.heads != sizes.hidden:
        ledger.refuse(f"{ledger.prefix}attention.key_length", "times the heads is not the hidden size")


def one_key_a_head(ledger: Ledger, sizes: Sizes) -> None:
    """Refuse keys and values that are shared by heads, where the family has none."""
    if sizes.kv_heads != sizes.heads:
        ledger.refuse(f"{ledger.prefix}attention.head_count_kv", "is not the number of heads")
