"""The vocabulary of a model, before any tensor library is imported. Files are tokenizer_folder.py's business.

1. Every id gets the exact text it stands for. Byte-level vocabularies (GPT-2, Llama 3, Qwen) map each
   character of an entry back to a byte; SentencePiece vocabularies (Llama 2, Gemma) mark the space with
   U+2581 and write single bytes as "<0x0A>". Bytes that are no UTF-8 by themselves show as "<0xE2>". Added
   tokens stand for what is written.
2. Typed text is matched against those texts as it stands: " time" and "time" are different tokens.
3. Nothing is added when a text is encoded; begin-of-text, `bos_id`, is put in front by the caller
   (method.md, section 3). A special token that a text spells out becomes that token.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tui_lookups.errors import ModelLoadError, UnknownTokenError
from tui_lookups.model.spelling import Words, by_length, similar
from tui_lookups.model.tokenizer_listing import Listing, components, read_listing
from tui_lookups.results import Token, TokenMatch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE_MARK = "▁"


def _byte_of_character() -> dict[str, int]:
    """The byte-level alphabet: printable bytes stand for themselves, the others for U+0100 upwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + number): byte for number, byte in enumerate(hidden)})
    return alphabet


_MOST_ENTRIES = 1 << 22
"""Ids that a vocabulary may run to; the largest there are have a quarter of a million."""
_ID = re.compile(r"#[0-9]+")
_BYTE_OF = _byte_of_character()
_LATIN = str.maketrans({character: chr(byte) for character, byte in _BYTE_OF.items()})
_IS_BYTES = re.compile("[" + re.escape("".join(_BYTE_OF)) + "]*")


def _byte_level_text(entry: str) -> str:
    if entry.isascii():  # most entries: printable characters stand for themselves, others for nothing
        return entry
    if not _IS_BYTES.fullmatch(entry):
        return entry  # no byte-level entry: stored as plain text
    raw = entry.translate(_LATIN).encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes_to_text(raw)


def _sentencepiece_text(entry: str) -> str:
    return entry.replace(_SPACE_MARK, " ")


def _bytes_to_text(raw: bytes) -> str:
    """UTF-8 text; bytes that are not UTF-8 are written "<0xE2>"."""
    pieces: list[str] = []
    while raw:
        try:
            pieces.append(raw.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            pieces.append(raw[: error.start].decode("utf-8"))
            pieces.extend(f"<0x{byte:02X}>" for byte in raw[error.start : error.end])
            raw = raw[error.end :]
    return "".join(pieces)


def _valid_unicode(text: str) -> str:
    """Half characters (lone surrogates: a broken argument or "\\ud800" in a JSON file) become U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


@dataclass(frozen=True, slots=True)
class VocabularyHead:
    """What keys and windows need of a vocabulary, without its texts.

    Attributes:
        fingerprint: sha256 of the tokenizer and of the token put in front of texts.
        bos_id: begin-of-text that is put in front of every text, None where nothing is.
        size: counts ids, named or not.
        named: how many of them have an entry.
        variant: empty where texts are encoded by tokenizer.json as it stands, with begin-of-text in front
            where one is defined; else what sets this reading of the same files apart. Part of cache keys.
    """

    fingerprint: str
    bos_id: int | None
    size: int
    named: int
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """What the ids stand for, [size] texts; which of them are special, and which no entry has."""

    texts: tuple[str, ...]
    special_ids: tuple[int, ...]
    unused_ids: tuple[int, ...]


class Vocabulary:
    """Token texts, look-ups and encoding for one tokenizer.

    Args:
        head: known at once.
        entries, tokenizer: called when a text is asked for, or one is encoded; each at most once. What they
            raise is raised to who asked.
    """

    def __init__(
        self, head: VocabularyHead, entries: Callable[[], Entries], tokenizer: Callable[[], Tokenizer]
    ) -> None:
        self.head = head
        self.fingerprint = head.fingerprint
        self.bos_id = head.bos_id
        self._read_entries = entries
        self._read_tokenizer = tokenizer
        self._last_similar: tuple[tuple[str, int], list[str]] = ("", 0), []

    @classmethod
    def from_json(cls, tokenizer_json: str, bos_id: int | None, size: int | None = None) -> Vocabulary:
        """Of the content of a tokenizer.json file.

        Args:
            bos_id: begin-of-text that is put in front of texts, None for nothing.
            size: number of rows of the unembedding; rows without an entry are named "<unused 50300>".
        Raises:
            ModelLoadError: it is damaged.
        """
        return vocabulary_of(read_listing(tokenizer_json), bos_id, content=tokenizer_json, size=size)

    @cached_property
    def entries(self) -> Entries:
        """The texts of all ids, and the special ones."""
        return self._read_entries()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Without truncation and padding."""
        return self._read_tokenizer()

    @property
    def texts(self) -> tuple[str, ...]:
        """[size] what each id stands for."""
        return self.entries.texts

    @cached_property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self.entries.special_ids)

    @property
    def unused_ids(self) -> tuple[int, ...]:
        """Ids without an entry, ascending: rows of the embedding that no text can produce."""
        return self.entries.unused_ids

    @cached_property
    def _id_of(self) -> dict[str, int]:
        ids: dict[str, int] = {}
        for token_id, text in enumerate(self.texts):
            ids.setdefault(text, token_id)
        return ids

    @cached_property
    def _folded(self) -> list[tuple[str, int]]:
        """(text without spaces around it, lower case; id), sorted, for completion."""
        return sorted((text.strip().casefold(), token_id) for token_id, text in enumerate(self.texts))

    @cached_property
    def _words(self) -> Words:
        """The same texts, for what is like them."""
        words: dict[str, list[int]] = {}
        for token_id, text in enumerate(self.texts):
            words.setdefault(text.strip().casefold(), []).append(token_id)
        return by_length(words)

    def __len__(self) -> int:
        return self.head.size

    def padded(self, size: int) -> Vocabulary:
        """The same for an unembedding of `size` rows: those without an entry are named "<unused 50300>"."""
        if size <= len(self):
            return self

        def entries() -> Entries:
            unused = tuple(range(len(self), size))
            texts = (*self.texts, *map(_unused, unused))
            return Entries(texts, self.entries.special_ids, (*self.unused_ids, *unused))

        return Vocabulary(replace(self.head, size=size), entries, lambda: self.tokenizer)

    def token(self, token_id: int) -> Token:
        """The token with this id. Raises UnknownTokenError outside the vocabulary."""
        if not 0 <= token_id < len(self):
            raise UnknownTokenError(
                f"There is no token #{token_id}.", f"Ids of this model run from 0 to {len(self) - 1}."
            )
        return Token(token_id, self.texts[token_id])

    def resolve(self, asked: str | int) -> Token:
        """A token by its text or its id. Raises UnknownTokenError as `find` and `token` do."""
        return self.token(asked) if isinstance(asked, int) else self.find(asked)

    def tokens(self, ids: list[int]) -> tuple[Token, ...]:
        return tuple(Token(i, self.texts[i]) for i in ids)

    @property
    def bos(self) -> Token | None:
        return None if self.bos_id is None else self.token(self.bos_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, no special token added."""
        return list(self.tokenizer.encode(_valid_unicode(text), add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a text, with begin-of-text in front where that is the rule (method.md, section 3)."""
        return ([] if self.bos_id is None else [self.bos_id]) + self.encode(text)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Token ids of several texts, no special tokens added."""
        return [
            list(e.ids)
            for e in self.tokenizer.encode_batch([_valid_unicode(t) for t in texts], add_special_tokens=False)
        ]

    def match(self, text: str) -> TokenMatch:
        """What a typed text is: a token, "#id", several pieces, or nothing (then `close` names near ones)."""
        text = _valid_unicode(text)
        if _ID.fullmatch(text):
            # Cut off: Python reads no number of thousands of digits, and no vocabulary has that many.
            return TokenMatch(text, self.token(int(text[1:].lstrip("0")[:18] or "0")), (), ())
        token_id = self._id_of.get(text)
        if token_id is not None:
            return TokenMatch(text, self.token(token_id), (), self._variants(text))
        pieces = self.tokens(self.encode(text)) if text else ()
        return TokenMatch(text, None, pieces, self.close(text))

    def find(self, text: str) -> Token:
        """The one token that `text` is. Raises UnknownTokenError, naming pieces and close tokens, if none."""
        match = self.match(text)
        if match.token is not None:
            return match.token
        text = match.text
        close = ", ".join(json.dumps(token.text, ensure_ascii=False) for token in match.close[:5])
        hint = (
            f"Similar tokens: {close}."
            if close
            else "Tokens are matched as written, a leading space included."
        )
        if len(match.pieces) > 1:
            pieces = " + ".join(json.dumps(token.text, ensure_ascii=False) for token in match.pieces[:8])
            raise UnknownTokenError(
                f"{json.dumps(text, ensure_ascii=False)} is several tokens: {pieces}.", hint
            )
        raise UnknownTokenError(f"{json.dumps(text, ensure_ascii=False)} is not in the vocabulary.", hint)

    def _variants(self, text: str) -> tuple[Token, ...]:
        """The same word with and without its leading space, when both are tokens."""
        other = text[1:] if text.startswith(" ") else " " + text
        token_id = self._id_of.get(other)
        return () if token_id is None or not other else (self.token(token_id),)

    def complete(self, text: str, limit: int = 20) -> tuple[Token, ...]:
        """Tokens that begin with `text`, shortest first; a leading space typed is a leading space meant."""
        stem = text.strip().casefold()
        if not stem:
            return ()
        ids: list[int] = []
        for folded, token_id in self._folded[bisect_left(self._folded, (stem, -1)) :]:
            if not folded.startswith(stem):
                break
            if not text.startswith(" ") or self.texts[token_id].startswith(" "):
                ids.append(token_id)
        ids.sort(key=lambda i: (len(self.texts[i].strip()), not self.texts[i].startswith(" "), i))
        return self.tokens(ids[:limit])

    def close(self, text: str, limit: int = 8) -> tuple[Token, ...]:
        """Tokens a person may have meant by a text, best first.

        The word with or without its space, in other case, what begins with it, and what is few edits away.
        """
        stem = text.strip().casefold()
        spaced = text.startswith(" ")
        same = self._words.get(len(stem), {}).get(stem, ()) if stem else ()
        ids = dict.fromkeys(token.id for token in self._variants(text))
        ids.update(dict.fromkeys(self._alike_first(same, spaced)))
        ids.update(dict.fromkeys(token.id for token in self.complete(text, limit)))
        if len(ids) < limit and stem:
            if self._last_similar[0] != (stem, limit):  # a text is looked up with and without its space
                self._last_similar = (stem, limit), similar(stem, self._words, limit)
            for word in self._last_similar[1]:
                ids.update(dict.fromkeys(self._alike_first(self._words[len(word)][word], spaced)))
        return self.tokens(list(ids)[:limit])

    def _alike_first(self, ids: Sequence[int], spaced: bool) -> list[int]:
        """Tokens of one word, those first that begin with a space as the typed text does, or does not."""
        return sorted(ids, key=lambda token_id: self.texts[token_id].startswith(" ") != spaced)


def vocabulary_of(
    listing: Listing,
    bos_id: int | None,
    *,
    content: str,
    size: int | None = None,
    variant: str = "",
) -> Vocabulary:
    """The vocabulary of what a tokenizer lists; texts are spelled when one is asked for.

    Args:
        bos_id: begin-of-text that is put in front of texts, None for nothing.
        content: what the fingerprint is of, beside `bos_id`.
        size: number of rows of the unembedding; rows without an entry are named "<unused 50300>".
        variant: see `VocabularyHead`.
    Raises:
        ModelLoadError: an id that no vocabulary runs to.
    """
    named = set(listing.ids.values())
    length = max(size or 0, 1 + max(named, default=-1))
    if length > _MOST_ENTRIES:
        raise ModelLoadError(
            f"The tokenizer is damaged: it has an entry with the id {length - 1}.",
            "Fetch the model's tokenizer.json again.",
        )
    fingerprint = hashlib.sha256(f"{bos_id}\n{content}".encode()).hexdigest()
    head = VocabularyHead(fingerprint, bos_id, length, len(named), variant)
    return Vocabulary(head, lambda: _spelled(listing, length), listing.tokenizer)


def _spelled(listing: Listing, length: int) -> Entries:
    """What each of `length` ids stands for."""
    parts = components(listing.decoder, listing.pre_tokenizer)
    byte_level = any(part["type"] == "ByteLevel" for part in parts)
    text_of = _byte_level_text if byte_level else _sentencepiece_text
    entry_of = {token_id: entry for entry, token_id in listing.ids.items()}
    entries = list(map(entry_of.get, range(length)))
    texts = [_unused(i) if entry is None else text_of(entry) for i, entry in enumerate(entries)]
    for token_id, token in listing.added.items():
        # An added token is found in a text as it is written, whatever alphabet the other entries are in.
        if token.special or byte_level:
            texts[token_id] = token.content
    special = sorted(token_id for token_id, token in listing.added.items() if token.special)
    unused = [token_id for token_id, entry in enumerate(entries) if entry is None]
    return Entries(tuple(texts), tuple(special), tuple(unused))


def _unused(token_id: int) -> str:
    return f"<unused {token_id}>"
