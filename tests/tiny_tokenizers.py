"""Small tokenizers of the kinds real models have, built with `tokenizers` and saved as folders.

The byte-level one (GPT-2, Llama 3, Qwen) spells every byte and knows some words with and without their
leading space; the SentencePiece-like one (Llama 2, Gemma) marks spaces with U+2581 and falls back to bytes;
the unigram one does so too, and chooses the likeliest pieces in place of merging.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

WORDS = ("the", "and", "because", "cat", "sat", "mat")
SPACE_MARK = "\u2581"


def _merges(words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Entries and merges that build each word letter by letter from its left end."""
    entries: dict[str, None] = {}
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        for end in range(2, len(word) + 1):
            entries[word[:end]] = None
            merges[(word[: end - 1], word[end - 1])] = None
    return list(entries), list(merges)


def byte_level_tokenizer(begin_of_text: bool = True) -> Tokenizer:
    """Byte-level BPE over 256 bytes, some words, and </s>; <s> as well where `begin_of_text`."""
    special = ["<s>", "</s>"] if begin_of_text else ["</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries, merges = _merges([*("Ġ" + word for word in WORDS), *WORDS])
    vocabulary = {entry: place for place, entry in enumerate([*special, *alphabet, *entries])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer


def sentencepiece_tokenizer() -> Tokenizer:
    """BPE as SentencePiece writes it: <unk>, <s>, </s>, 256 bytes, letters, words behind U+2581."""
    special = ["<unk>", "<s>", "</s>"]
    octets = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [SPACE_MARK, *sorted(set("".join(WORDS)))]
    entries, merges = _merges([SPACE_MARK + word for word in WORDS])
    vocabulary = {entry: place for place, entry in enumerate([*special, *octets, *letters, *entries])}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE_MARK)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer


def unigram_tokenizer() -> Tokenizer:
    """Unigram as SentencePiece writes it, with the entries of `sentencepiece_tokenizer`; words are likely."""
    entries = sorted(sentencepiece_tokenizer().get_vocab().items(), key=lambda item: item[1])
    scores = [(entry, -20.0 + 2.0 * len(entry.strip("<>"))) for entry, _ in entries]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE_MARK)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer


def filled(tokenizer: Tokenizer, rows: int) -> Tokenizer:
    """The same tokenizer with more entries, until there is one for each of `rows` ids."""
    description = json.loads(tokenizer.to_str())
    vocabulary = description["model"]["vocab"]
    vocabulary.update({f"filler{place}": place for place in range(len(vocabulary), rows)})
    return Tokenizer.from_str(json.dumps(description))


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, begin_of_text: str | None) -> None:
    """Write tokenizer.json and tokenizer_config.json as a Hugging Face folder has them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin_of_text, "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
