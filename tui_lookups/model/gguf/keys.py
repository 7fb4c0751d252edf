"""What becomes of every metadata key of a .gguf file: applied, harmless, or refused.

1. A family takes the keys that it knows, each into a field of its configuration (`number`, `whole`, `flag`),
   or holds them to the one value that its Hugging Face module computes with (`hold`).
2. Keys that describe the file or the model's origin are harmless; so are those of namespaces that no loader
   reads.
3. Whatever is left is refused: under the family's own prefix, and under general., tokenizer. and the
   others that loaders read, an unknown key may change the computation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tui_lookups.results.inventory import EntryKind, Fate, FileEntry

_DESCRIPTIVE = re.compile(
    r"general\.(name|author|version|organization|finetune|basename|description|quantized_by|size_label"
    r"|license(\..+)?|url|doi|uuid|repo_url|source\..+|base_model\..+|dataset\..+|datasets|tags|languages"
    r"|sampling\..+|file_type|parameter_count)"
)
_CONVERSATION = re.compile(
    r"tokenizer\.(chat_templates?(\..+)?"
    r"|ggml\.(eot|eom|eog|mask|fim_\w+|prefix|suffix|middle)_token_ids?)"
)
_READ_BY_LOADERS = ("general", "tokenizer", "split", "adapter", "clip", "imatrix", "xlora", "controlvector")
"""Namespaces that change what a file is. Others ("quantize.imatrix", a publisher's) are read by nobody."""

_OF_EXPERTS = re.compile(r"expert|moe")
EXPERTS = "says that it is a mixture of experts: not every token reaches the same neurons"
"""The note on keys of such models, which explains whatever else is refused in their files."""


class Ledger:
    """The entries of a file, as they are decided; each key and tensor exactly once.

    Args:
        metadata: of the whole file.
        architecture: its `general.architecture`; the prefix of the keys that a family reads.
    """

    def __init__(self, metadata: dict[str, Any], architecture: str) -> None:
        self.metadata = metadata
        self.prefix = f"{architecture}."
        self.entries: dict[tuple[EntryKind, str], FileEntry] = {}

    def scalar(self, key: str, default: Any = None) -> Any:
        """The value of a whole key; of a list its length, in words, so that it compares with anything."""
        value = self.metadata.get(key, default)
        return f"a list of {len(value)}" if isinstance(value, np.ndarray | list) else value

    def put(self, kind: EntryKind, name: str, fate: Fate, note: str) -> None:
        """Decide an entry. The first decision stays, but for a refusal, which overrules."""
        earlier = self.entries.get((kind, name))
        if earlier is None or (fate == "refused" and earlier.fate != "refused"):
            self.entries[kind, name] = FileEntry(name, kind, fate, note)

    def refuse(self, key: str, note: str) -> None:
        self.put("key", key, "refused", note)

    @property
    def refused(self) -> list[FileEntry]:
        return [entry for entry in self.entries.values() if entry.fate == "refused"]

    def number(self, key: str, field: str, *, default: float | None = None, whole: bool = False) -> Any:
        """A positive number of the family's keys; per-layer lists of one and the same number count as it.

        Returns `default` where the key is missing. Without a default that is a refusal, and the answer 1.
        """
        full = self.prefix + key
        if full not in self.metadata:
            if default is None:
                self.refuse(full, f"is missing: nothing says what {field} is")
            return 1 if default is None else default
        value = self.metadata[full]
        if isinstance(value, np.ndarray) and value.size and bool((value == value[0]).all()):
            value = value[0].item()
        if isinstance(value, np.ndarray):
            self.refuse(full, "differs from layer to layer")
            return 1
        right = type(value) is int if whole else type(value) in (int, float)
        if not right or not math.isfinite(value) or value <= 0:
            self.refuse(full, f"is {str(value)[:40]}, where a positive number belongs")
            return 1
        self.put("key", full, "applied", field)
        return value if whole else float(value)

    def whole(self, key: str, field: str, *, default: int | None = None) -> int:
        """`number`, where only a whole one is right."""
        value: int = self.number(key, field, default=default, whole=True)
        return value

    def flag(self, key: str, field: str, *, default: bool) -> bool:
        """A yes or no of the family's keys."""
        full = self.prefix + key
        value = self.scalar(full, default)
        if type(value) is not bool:
            self.refuse(full, f"is {str(value)[:40]}, where yes or no belongs")
            return default
        if full in self.metadata:
            self.put("key", full, "applied", field)
        return value

    def has(self, key: str) -> bool:
        return self.prefix + key in self.metadata

    def hold(self, key: str, right: Any, why: str, *, whole_key: bool = False) -> None:
        """A key, if it is there, must have this value: nothing else is computed here.

        `whole_key`: it is not below the family's prefix.
        """
        full = key if whole_key else self.prefix + key
        if full not in self.metadata:
            return
        value = self.scalar(full)
        if value == right:
            self.put("key", full, "harmless", f"{why}: {right}")
        else:
            self.refuse(full, f"is {str(value)[:40]}; {why} can only be {right}")

    def settle(self) -> None:
        """Decide every key that no family and no tokenizer has taken."""
        for key in self.metadata:
            if ("key", key) not in self.entries:
                self.put("key", key, *_remaining(key, self.scalar(key), self.prefix))


def _remaining(key: str, value: Any, prefix: str) -> tuple[Fate, str]:
    if _DESCRIPTIVE.fullmatch(key):
        return "harmless", "describes the file"
    if _CONVERSATION.fullmatch(key):
        return "harmless", "for conversations and generation"
    exact: dict[str, Callable[[Any], bool]] = {
        "general.type": lambda v: v == "model",
        "general.architecture": lambda v: isinstance(v, str),
        "general.alignment": lambda v: True,
        "general.quantization_version": lambda v: v == 2,
    }
    if key in exact and exact[key](value):
        return "applied", "how the file is read"
    if key == "tokenizer.huggingface.json":
        return "harmless", "a copy of what tokenizer.ggml says"
    if key.startswith("split."):
        return "applied", "which files belong together"
    if key.startswith(prefix):
        if _OF_EXPERTS.search(key):
            return _experts(value)
        return "refused", "may change the computation, and is not known for this family"
    if key.split(".")[0] in _READ_BY_LOADERS:
        return "refused", f"is {str(value)[:40]}, which is not known here"
    return "harmless", "read by no loader of models"


def _experts(value: Any) -> tuple[Fate, str]:
    if value == 0:
        return "harmless", "no experts"
    return "refused", EXPERTS
