"""What an answer rests on besides its question, and so what is a part of its key.

1. Every kind of answer names the conventions it rests on (`RESTS_ON`); its key holds their values. What it
   does not rest on leaves it in the cache: another activity rule scans no corpus again.
2. Choices are always in the key, as they always were, and in every key how texts are encoded. A number of a
   rule is in it once it is another than when the first answers were cached, and the version of the
   conventions once it is raised: answers from before that stay what they are, and are missed afterwards.
3. `ANSWER_VERSION` is for all other changes of meaning, and `ranked_otherwise` for those of some models.
"""

from __future__ import annotations

from collections.abc import Mapping

from tui_lookups.model.vocabulary import VocabularyHead
from tui_lookups.results import Basis, ModelInfo
from tui_lookups.results.conventions import CHOICES, CONVENTIONS_VERSION, NUMBERS, Conventions

ANSWER_VERSION = 1
"""Part of every cache key: raised when the meaning of a cached result changes."""

INFO_VERSION = 2
"""The same of what a model is: raised when the context of longrope models became shorter."""

_ACTIVE = ("activity_rule", "active_deviations", "active_highest", "few_heads")
_TRIMMED = ("preset", "kept_share")
_LISTED = ("sign", "fires_above")
_ALL_PROMPTS = (*_TRIMMED, "paper_limit", *_LISTED, *_ACTIVE)

RESTS_ON: Mapping[str, tuple[str, ...]] = {
    "ablation": ("trimmed", *_ALL_PROMPTS, "seed", "mean_sample"),
    "activation_diff": ("sign",),
    "activations": (),
    "atlas_layer": (),
    "attends": (),
    "carries": (),
    "edge_cut": (),
    "examples": _ALL_PROMPTS,
    "figures": (),
    "first_view": (),
    "head_means": ("seed", "mean_sample"),
    "head_reads": ("trimmed", *_TRIMMED, "paper_limit", *_LISTED),
    "heads": ("preset", *_ACTIVE),
    "heads_diff": ("sign", "fires_above", "keep_copies"),
    "index": ("seed", "keep_copies"),
    "inputs": (),
    "inputs_overview": ("trimmed", *_ALL_PROMPTS),
    "joint_layer": ("seed", "keep_copies"),
    "joint_pass": ("seed", "keep_copies"),
    "matched_layer": ("seed",),
    "matches": (),
    "nearest": (),
    "neuron_diff": ("sign", "fires_above", "keep_copies"),
    "neuron_means": ("seed", "mean_sample"),
    "neurons": (),
    "overview": ("trimmed", *_ALL_PROMPTS, "least_share", "most_share"),
    "predictions": (),
    "prompts": (*_TRIMMED, *_LISTED),
    "removed": ("seed", "mean_sample"),
    "sampled": (*_TRIMMED, "seed"),
    "score": (),
    "set_neurons": (),
    "tokens": (),
    "trace": (),
    "trace_graph": (),
    "weight_diff": (),
    "why": (),
}
"""By kind of answer: the conventions it rests on that its question does not settle.

The prompts of an answer, and with them the seed and the copies, are settled by the index that its key names;
the tokens of a head's peak by themselves.
"""

_FIRST: Mapping[str, float] = {
    "active_deviations": 2.0,
    "active_highest": 3,
    "few_heads": 12,
    "least_share": 0.25,
    "most_share": 0.75,
    "fires_above": 1e-6,
    "kept_share": 0.8,
    "paper_limit": 100,
    "mean_sample": 64,
}
"""The numbers of the rules when the first answers were cached, whose keys name none. Never changed."""

RANKS_TOKENS = frozenset(
    (
        "ablation",
        "activation_diff",
        "atlas_layer",
        "carries",
        "figures",
        "first_view",
        "matches",
        "nearest",
        "neurons",
        "predictions",
        "prompts",
        "removed",
        "sampled",
        "score",
        "set_neurons",
        "tokens",
        "trace",
        "trace_graph",
        "weight_diff",
        "why",
    )
)
"""Kinds of answers that a rank, a token of highest rank, or a direction of the unembedding is in."""

_NORM_WITHOUT_WEIGHTS = ("olmo",)
"""Families whose unembedding was once not centred as their final norm centres what it reads."""

_LOGIT_SCALE = ("cohere", "cohere2")
"""Families whose logit scale once counted in the folded basis alone."""


def choices(kind: str, conventions: Conventions) -> dict[str, str | int | bool]:
    """The choices an answer of this kind rests on, as its provenance names them."""
    return {name: getattr(conventions, name) for name in CHOICES if name in RESTS_ON[kind]}


def convention_parts(kind: str, conventions: Conventions) -> dict[str, object]:
    """Parts of the key of an answer of this kind: the conventions it rests on."""
    rests_on = RESTS_ON[kind]
    parts: dict[str, object] = {**choices(kind, conventions)}
    if conventions.encoding:
        parts["tokens"] = conventions.encoding
    if kind == "examples":
        parts["rule"] = parts.pop("activity_rule")  # its name there from the beginning
    numbers = {name: getattr(conventions, name) for name in NUMBERS if name in rests_on}
    changed = {name: value for name, value in numbers.items() if value != _FIRST[name]}
    if changed:
        parts["numbers"] = changed
    if rests_on and CONVENTIONS_VERSION > 1:
        parts["conventions"] = CONVENTIONS_VERSION
    return parts


def ranked_otherwise(head: VocabularyHead, info: ModelInfo, basis: Basis) -> dict[str, int | str]:
    """Parts of the keys of `RANKS_TOKENS` for models of which an earlier version gave other figures.

    It counted rows of the unembedding that no token has, gave OLMo 1 other lengths and cosines, and left
    Cohere's logit scale out of the raw basis.
    """
    rows = head.named < head.size or head.size < info.d_vocab
    return {
        **({"rows_left_out": info.d_vocab} if rows else {}),
        **({"unembedding": "centred"} if info.family in _NORM_WITHOUT_WEIGHTS else {}),
        **({"logits": "scaled"} if basis == "raw" and info.family in _LOGIT_SCALE else {}),
    }
