"""The tokenizer of a .gguf file, as tokenizer.json and tokenizer_config.json.

1. `tokenizer.ggml.model` is "gpt2" (byte pairs, with a list of merges and the named splitting of
   pretokenizers.py) or "llama" (SentencePiece's byte pairs: of all neighbours, those are joined first whose
   entry has the best score). Others are refused by name.
2. SentencePiece's scores become merges, where the file lists none: every way of writing an entry as two
   entries, best score first. Spaces are U+2581; one is put in front of the text unless `add_space_prefix`
   says no; what no entry spells is written in byte entries, or as the unknown token.
3. Control tokens and the unknown one are special; user-defined ones are found in texts before anything is
   split. Unused ones, which converters write for rows that no token has, are no entries of the tokenizer, as
   they are none in the model's Hugging Face folder.
4. Begin-of-text is what `bos_token_id` names; whether it is put in front of texts is copied as the file says.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tui_lookups.model.gguf.keys import Ledger
from tui_lookups.results.inventory import Fate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_GGML = "tokenizer.ggml."
_SPACE = "\u2581"
_UNDEFINED, _NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 0, 1, 2, 3, 4, 5
"""Kinds of entries; unused ones, and 6, a byte, are never merged to."""
_ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
    "sep_token": "seperator_token_id",
    "cls_token": "cls_token_id",
}
_NEEDED_ROLES = ("bos_token", "unk_token")
_BYTE_ENTRIES = [f"<0x{byte:02X}>" for byte in range(256)]


def read_tokenizer(ledger: Ledger) -> tuple[str, str] | None:
    """The texts of tokenizer.json and tokenizer_config.json; None where something of it was refused."""
    reading = _Reading(ledger)
    return None if any(entry.name.startswith("tokenizer.") for entry in ledger.refused) else reading.files()


class _Reading:
    """The tokenizer keys of one file, each decided in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.kind = self._text("model")
        self.entries = self._entries()
        self.types = self._column("token_type", _NORMAL)
        self.scores = self._column("scores", 0.0)
        self.roles = {role: self._id(role, key) for role, key in _ROLES.items()}
        self.flags = {
            name: self._flag(name)
            for name in ("add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces")
        }
        ledger.hold(_GGML + "add_sep_token", False, "a separator after texts", whole_key=True)
        self.merges: list[tuple[str, str]] = []
        self.in_bytes = False
        if self.kind == "gpt2":
            self._read_byte_level()
        elif self.kind == "llama":
            self._read_sentencepiece()
        elif self.kind:
            ledger.refuse(_GGML + "model", f"is {self.kind[:40]}; gpt2 and llama are known")

    # --- single keys ---

    def _text(self, key: str) -> str:
        value = self._ledger.scalar(_GGML + key)
        if isinstance(value, str) and value:
            self._ledger.put("key", _GGML + key, "applied", "the kind of tokenizer")
            return value
        self._ledger.refuse(_GGML + key, "is missing: nothing says how texts become tokens")
        return ""

    def _entries(self) -> list[str]:
        value = self._ledger.metadata.get(_GGML + "tokens")
        if not isinstance(value, list) or not value:
            self._ledger.refuse(_GGML + "tokens", "is missing: the file has no vocabulary")
            return []
        if len(set(value)) != len(value):
            twice = Counter(value).most_common(1)[0][0]
            self._ledger.refuse(_GGML + "tokens", f"has {json.dumps(twice)[:60]} twice")
        self._ledger.put("key", _GGML + "tokens", "applied", f"{len(value)} entries")
        return value

    def _column(self, key: str, default: float) -> list[Any]:
        """A number for each entry."""
        value = self._ledger.metadata.get(_GGML + key)
        if value is None:
            return [default] * len(self.entries)
        numbers_for_all = isinstance(value, np.ndarray) and len(value) == len(self.entries)
        if not numbers_for_all or not bool(np.isfinite(value).all()):
            self._ledger.refuse(_GGML + key, "does not give a number for each entry")
            return [default] * len(self.entries)
        self._ledger.put("key", _GGML + key, "applied", "of each entry")
        numbers: list[Any] = value.tolist()
        return numbers

    def _id(self, role: str, key: str) -> int | None:
        """The id of a token with a role; converters write -1 where there is none to pad or end with."""
        value = self._ledger.scalar(_GGML + key)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < len(self.entries):
            fate: Fate = "refused" if role in _NEEDED_ROLES else "harmless"
            self._ledger.put("key", _GGML + key, fate, f"is {str(value)[:40]}, and no entry has that id")
            return None
        self._ledger.put("key", _GGML + key, "applied", json.dumps(self.entries[value], ensure_ascii=False))
        return value

    def _flag(self, key: str) -> bool | None:
        value = self._ledger.scalar(_GGML + key)
        if value is None:
            return None
        if type(value) is not bool:
            self._ledger.refuse(_GGML + key, f"is {str(value)[:40]}, where yes or no belongs")
            return None
        self._ledger.put("key", _GGML + key, "applied", "yes" if value else "no")
        return value

    # --- the two kinds ---

    def _read_byte_level(self) -> None:
        from tui_lookups.model.gguf.pretokenizers import SPLITTINGS

        key = _GGML + "pre"
        name = self._ledger.scalar(key)
        if name in SPLITTINGS:
            self._ledger.put("key", key, "applied", "how texts are split")
        elif name is None:
            self._ledger.refuse(key, "is missing: nothing says how texts are split before merging")
        else:
            supported = ", ".join(SPLITTINGS)
            self._ledger.refuse(key, f"is {str(name)[:40]}, a way of splitting texts not among {supported}")
        if self.flags["add_space_prefix"]:
            self._ledger.refuse(_GGML + "add_space_prefix", "is true, which byte-level tokenizers have not")
        if _GGML + "merges" in self._ledger.metadata:
            self._read_merges()
        else:
            self._ledger.refuse(_GGML + "merges", "is missing: nothing says which pairs are merged")

    def _read_sentencepiece(self) -> None:
        if _GGML + "pre" in self._ledger.metadata:
            self._ledger.hold(_GGML + "pre", "default", "the splitting of SentencePiece", whole_key=True)
        if self.flags["remove_extra_whitespaces"]:
            self._ledger.refuse(_GGML + "remove_extra_whitespaces", "is true, which is not known here")
        self.in_bytes = set(_BYTE_ENTRIES) <= set(self.entries)
        if self.roles["unk_token"] is None and _UNKNOWN in self.types:
            self.roles["unk_token"] = self.types.index(_UNKNOWN)
        if self.roles["unk_token"] is None and not self.in_bytes:
            self._ledger.refuse(
                _GGML + "unknown_token_id", "is missing: letters without an entry would be dropped"
            )
        if _GGML + "merges" in self._ledger.metadata:
            self._read_merges()
        elif _GGML + "scores" in self._ledger.metadata:
            self.merges = _merges_of_scores(self.entries, self.types, self.scores)
        else:
            self._ledger.refuse(_GGML + "scores", "is missing: nothing says which pairs are merged first")

    def _read_merges(self) -> None:
        """Merges as the file lists them; scores beside them say nothing more."""
        key = _GGML + "merges"
        merges = self._ledger.metadata[key]
        if not isinstance(merges, list):
            self._ledger.refuse(key, "is no list of pairs")
            return
        self.merges = [_pair(merge) for merge in merges]
        texts = set(self.entries)
        for left, right in self.merges:
            if not (left in texts and right in texts and left + right in texts):
                what = json.dumps(f"{left} {right}", ensure_ascii=False)
                self._ledger.refuse(key, f"has {what[:60]}, which are not entries")
                return
        self._ledger.put("key", key, "applied", f"{len(merges)} merges")

    # --- the files ---

    def files(self) -> tuple[str, str]:
        tokenizer = self._byte_level() if self.kind == "gpt2" else self._sentencepiece()
        self._add_tokens(tokenizer)
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
        }
        for role, token_id in self.roles.items():
            if token_id is not None or role in ("bos_token", "eos_token"):
                config[role] = None if token_id is None else self.entries[token_id]
        for flag in ("add_bos_token", "add_eos_token"):
            if self.flags[flag] is not None:
                config[flag] = self.flags[flag]
        return tokenizer.to_str(), json.dumps(config, ensure_ascii=False, indent=2)

    def _vocabulary(self) -> dict[str, int]:
        """Ids by entry, without those that are unused and have no role and no merge either."""
        used = {part for left, right in self.merges for part in (left, right, left + right)}
        used |= {self.entries[token_id] for token_id in self.roles.values() if token_id is not None}
        numbered = enumerate(zip(self.entries, self.types, strict=True))
        return {e: token_id for token_id, (e, kind) in numbered if e and (kind != _UNUSED or e in used)}

    def _byte_level(self) -> Tokenizer:
        from tokenizers import Tokenizer, decoders, models

        from tui_lookups.model.gguf.pretokenizers import SPLITTINGS

        splitting = SPLITTINGS[self._ledger.metadata[_GGML + "pre"]]
        model = models.BPE(vocab=self._vocabulary(), merges=self.merges, ignore_merges=splitting.whole_words)
        tokenizer = Tokenizer(model)
        if splitting.composed:
            tokenizer.normalizer = splitting.normalizer()
        tokenizer.pre_tokenizer = splitting.pre_tokenizer()
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _sentencepiece(self) -> Tokenizer:
        from tokenizers import Tokenizer, decoders, models, normalizers

        unknown = self.roles["unk_token"]
        model = models.BPE(
            vocab=self._vocabulary(),
            merges=self.merges,
            unk_token=None if unknown is None else self.entries[unknown],
            fuse_unk=True,
            byte_fallback=self.in_bytes,
        )
        tokenizer = Tokenizer(model)
        prefixed = self.flags["add_space_prefix"] is not False
        spaces = [normalizers.Replace(" ", _SPACE)]
        in_front = [normalizers.Prepend(_SPACE)] if prefixed else []
        tokenizer.normalizer = normalizers.Sequence([*in_front, *spaces])
        steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        tokenizer.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prefixed else [])])
        return tokenizer

    def _add_tokens(self, tokenizer: Tokenizer) -> None:
        """Tokens found in texts as they are written, before anything else."""
        from tokenizers import AddedToken

        roles = {token_id for token_id in self.roles.values() if token_id is not None}
        added = []
        for token_id, (entry, kind) in enumerate(zip(self.entries, self.types, strict=True)):
            special = kind in (_CONTROL, _UNKNOWN) or token_id in roles
            if entry and (special or kind == _USER_DEFINED):
                added.append(AddedToken(entry, special=special, normalized=False))
        tokenizer.add_tokens(added)


def _pair(merge: str) -> tuple[str, str]:
    """The two entries of "left right"; a space at the very beginning is the left one's own."""
    cut = merge.find(" ", 1)
    return (merge, "") if cut < 0 else (merge[:cut], merge[cut + 1 :])


def _merges_of_scores(entries: list[str], types: list[int], scores: list[float]) -> list[tuple[str, str]]:
    """All pairs of entries that make an entry, in the order in which SentencePiece would join them."""
    plain = (_UNDEFINED, _NORMAL)
    usable = {
        entry: token_id
        for token_id, entry in enumerate(entries)
        if types[token_id] in (*plain, _USER_DEFINED)
    }
    ranked = []
    for entry, token_id in usable.items():
        if types[token_id] not in plain:
            continue
        for cut in range(1, len(entry)):
            left, right = entry[:cut], entry[cut:]
            if left in usable and right in usable:
                ranked.append((-scores[token_id], token_id, cut, left, right))
    ranked.sort()
    return [(left, right) for *_, left, right in ranked]
