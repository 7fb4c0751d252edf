"""What sets cached answers apart from those that an earlier version gave to the same question."""

from __future__ import annotations

from tui_lookups.model.vocabulary import VocabularyHead
from tui_lookups.results import ModelInfo

ANSWER_VERSION = 1
"""Part of every cache key: raised when the meaning of a cached result changes."""

INFO_VERSION = 2
"""The same of what a model is: raised when the context of longrope models became shorter."""

RANKS_TOKENS = frozenset(
    (
        "ablation",
        "atlas_layer",
        "figures",
        "first_view",
        "neurons",
        "predictions",
        "prompts",
        "sampled",
        "score",
        "tokens",
    )
)
"""Kinds of answers that a rank, a token of highest rank, or a direction of the unembedding is in."""

_NORM_WITHOUT_WEIGHTS = ("olmo",)
"""Families whose unembedding was once not centred as their final norm centres what it reads."""


def ranked_otherwise(head: VocabularyHead, info: ModelInfo) -> dict[str, int | str]:
    """Parts of the keys of `RANKS_TOKENS` for models of which an earlier version gave other figures.

    It counted rows of the unembedding that no token has, and gave OLMo 1 other lengths and cosines.
    """
    rows = head.named < head.size or head.size < info.d_vocab
    return {
        **({"rows_left_out": info.d_vocab} if rows else {}),
        **({"unembedding": "centred"} if info.family in _NORM_WITHOUT_WEIGHTS else {}),
    }
