"""How texts are split before byte pairs are merged, by the name in `tokenizer.ggml.pre`.

Vocabularies of one kind differ in this alone: whether digits stand singly or in threes, whether newlines are
kept together, what becomes of an apostrophe. A name that is not in this table is refused: split in another
way, numbers and blank lines become other tokens than those the model was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import Normalizer
from tokenizers.pre_tokenizers import PreTokenizer

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_REST_WITH_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

_THREE_DIGITS = rf"{_WORDS}|\p{{N}}{{1,3}}{_REST}"
_SINGLE_DIGITS = rf"{_WORDS}|\p{{N}}{_REST}"
_CASED = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}{_REST_WITH_SLASH}"
_CASED_CONTRACTED = (
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_BEFORE}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}{_REST_WITH_SLASH}"
)


@dataclass(frozen=True, slots=True)
class Splitting:
    """One way of splitting.

    Attributes:
        regex: pieces are its matches; "" for GPT-2's own.
        before: what cuts the text up before that.
        composed: the text is brought to NFC first.
        whole_words: a piece that is an entry is taken as it is, whatever the merges give.
    """

    regex: str = ""
    before: Literal["", "digits", "deepseek-coder"] = ""
    composed: bool = False
    whole_words: bool = False

    def pre_tokenizer(self) -> PreTokenizer:
        """As the `tokenizers` library has it."""
        own = not self.regex and self.before != "deepseek-coder"
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own)
        if self.before == "digits":
            return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), to_bytes])
        if self.before == "deepseek-coder":
            expressions = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
            splits = [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
            return pre_tokenizers.Sequence([*splits, pre_tokenizers.Digits(True), to_bytes])
        if self.regex:
            split = pre_tokenizers.Split(Regex(self.regex), "isolated")
            return pre_tokenizers.Sequence([split, to_bytes])
        return to_bytes

    def normalizer(self) -> Normalizer | None:
        return normalizers.NFC() if self.composed else None


_GPT2 = Splitting()
_DIGITS = Splitting(before="digits")
_LLAMA3 = Splitting(_THREE_DIGITS, whole_words=True)
_QWEN = Splitting(_SINGLE_DIGITS, composed=True)

SPLITTINGS: dict[str, Splitting] = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "olmo": Splitting(composed=True),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "dbrx": Splitting(_THREE_DIGITS),
    "qwen2": _QWEN,
    "deepseek-r1-qwen": _QWEN,
    "tekken": Splitting(_CASED, whole_words=True),
    "gpt-4o": Splitting(_CASED_CONTRACTED),
    "deepseek-coder": Splitting(before="deepseek-coder"),
}
