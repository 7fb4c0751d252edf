"""The vocabulary of a model, read from its tokenizer.json, before any tensor library is imported.

1. Every id gets the exact text it stands for. Byte-level vocabularies (GPT-2, Llama 3, Qwen) map each
   character of an entry back to a byte; SentencePiece vocabularies (Llama 2, Gemma) mark the space with
   U+2581 and write single bytes as "<0x0A>". Bytes that are no UTF-8 by themselves show as "<0xE2>".
2. Typed text is matched against those texts as it stands: " time" and "time" are different tokens.
3. Texts are encoded without special tokens; begin-of-text is prepended by the caller (METHOD 3).
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import ModelLoadError, UnknownTokenError, first_line
from tui_lookups.model.spelling import similar
from tui_lookups.results import Token, TokenMatch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE_MARK = "▁"


def _byte_of_character() -> dict[str, int]:
    """The byte-level alphabet: printable bytes stand for themselves, the others for U+0100 upwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + place): byte for place, byte in enumerate(hidden)})
    return alphabet


_MOST_ENTRIES = 1 << 22
"""Ids that a vocabulary may run to; the largest there are have a quarter of a million."""
_ID = re.compile(r"#[0-9]+")
_BYTE_OF = _byte_of_character()
_LATIN = str.maketrans({character: chr(byte) for character, byte in _BYTE_OF.items()})
_IS_BYTES = re.compile("[" + re.escape("".join(_BYTE_OF)) + "]*")


def _byte_level_text(entry: str) -> str:
    if not _IS_BYTES.fullmatch(entry):
        return entry  # an added token, stored as plain text
    raw = entry.translate(_LATIN).encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes_to_text(raw)


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


def _component_types(part: Any) -> set[str]:
    """Every "type" that occurs in a normalizer, pre-tokenizer or decoder description."""
    if isinstance(part, dict):
        found = {part["type"]} if isinstance(part.get("type"), str) else set()
        return found.union(*(_component_types(value) for value in part.values())) if part else found
    if isinstance(part, list):
        return set().union(*(_component_types(value) for value in part)) if part else set()
    return set()


@dataclass(frozen=True, slots=True)
class VocabularyHead:
    """What keys and windows need of a vocabulary, without its texts.

    `fingerprint` is sha256 of the tokenizer and its begin-of-text; `size` counts ids, named or not.
    """

    fingerprint: str
    bos_id: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Entries:
    """What the ids stand for, [size] texts, and which of them are special."""

    texts: tuple[str, ...]
    special_ids: tuple[int, ...]


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

    @classmethod
    def from_json(cls, tokenizer_json: str, bos_id: int | None, size: int | None = None) -> Vocabulary:
        """Of the content of a tokenizer.json file, read to its end now.

        Args:
            bos_id: the id of begin-of-text, None where the tokenizer defines none.
            size: number of rows of the unembedding; rows without an entry are named "<unused 50300>".
        Raises:
            ModelLoadError: it is damaged.
        """
        tokenizer = _tokenizer_from(tokenizer_json)
        return _built(tokenizer, tokenizer_json, json.loads(tokenizer_json), bos_id, size)

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

    def __len__(self) -> int:
        return self.head.size

    def token(self, token_id: int) -> Token:
        """The token with this id. Raises UnknownTokenError outside the vocabulary."""
        if not 0 <= token_id < len(self):
            raise UnknownTokenError(
                f"There is no token #{token_id}.", f"Ids of this model run from 0 to {len(self) - 1}."
            )
        return Token(token_id, self.texts[token_id])

    def tokens(self, ids: list[int]) -> tuple[Token, ...]:
        return tuple(Token(i, self.texts[i]) for i in ids)

    @property
    def bos(self) -> Token | None:
        return None if self.bos_id is None else self.token(self.bos_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, no special token added."""
        return list(self.tokenizer.encode(_valid_unicode(text), add_special_tokens=False).ids)

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
        found: list[int] = []
        for folded, token_id in self._folded[bisect_left(self._folded, (stem, -1)) :]:
            if not folded.startswith(stem):
                break
            if not text.startswith(" ") or self.texts[token_id].startswith(" "):
                found.append(token_id)
        found.sort(key=lambda i: (len(self.texts[i].strip()), not self.texts[i].startswith(" "), i))
        return self.tokens(found[:limit])

    def close(self, text: str, limit: int = 8) -> tuple[Token, ...]:
        """Tokens a person may have meant: the word with or without its space, completions, similar ones."""
        found = dict.fromkeys(t.id for t in (*self._variants(text), *self.complete(text, limit)))
        stem = text.strip().casefold()
        if len(found) < limit and stem:
            words: dict[str, list[int]] = {}
            for folded, token_id in self._folded:
                if abs(len(folded) - len(stem)) <= 2:
                    words.setdefault(folded, []).append(token_id)
            spaced = text.startswith(" ")
            for word in similar(stem, words, limit):
                alike = sorted(words[word], key=lambda i: self.texts[i].startswith(" ") != spaced)
                found.update(dict.fromkeys(alike))
        return self.tokens(list(found)[:limit])


def read_vocabulary(folder: Path, size: int | None = None) -> Vocabulary:
    """The vocabulary of a local Hugging Face folder.

    Reads tokenizer.json and tokenizer_config.json where they say all; otherwise asks transformers, which
    knows each tokenizer class's defaults (slower: it imports more).
    Raises ModelLoadError when the folder has no tokenizer that can be read.
    """
    if says_all(folder):
        text, description = _read_object(folder / "tokenizer.json")
        tokenizer = _tokenizer_from(text)
        _, config = _read_object(folder / "tokenizer_config.json")
        entry = config["bos_token"]
        content = entry.get("content") if isinstance(entry, dict) else entry
        bos_id = None if content is None else _entry_id(tokenizer, str(content))
        return _built(tokenizer, text, description, bos_id, size)
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        text = found.backend_tokenizer.to_str()
    except Exception as error:  # transformers raises many kinds here
        raise ModelLoadError(
            f"No tokenizer can be read in {folder}: {first_line(error).rstrip('.')}.",
            "The folder needs a tokenizer.json (a fast tokenizer).",
        ) from error
    return Vocabulary.from_json(text, found.bos_token_id, size)


def says_all(folder: Path) -> bool:
    """Whether the vocabulary follows from the folder's files alone: both are there and name begin-of-text."""
    config = folder / "tokenizer_config.json"
    if not (folder / "tokenizer.json").is_file() or not config.is_file():
        return False
    return "bos_token" in _read_object(config)[1]


def _tokenizer_from(tokenizer_json: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # the library raises Exception itself
        raise ModelLoadError(
            f"The tokenizer cannot be read: {error}.", "Fetch the model's tokenizer.json again."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _built(
    tokenizer: Tokenizer,
    tokenizer_json: str,
    description: dict[str, Any],
    bos_id: int | None,
    size: int | None,
) -> Vocabulary:
    byte_level = "ByteLevel" in _component_types(
        [description.get("decoder"), description.get("pre_tokenizer")]
    )
    ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    special = {int(i) for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    length = max([size or 0, *(i + 1 for i in ids.values())])
    if length > _MOST_ENTRIES:
        raise ModelLoadError(
            f"The tokenizer is damaged: it has an entry with the id {length - 1}.",
            "Fetch the model's tokenizer.json again.",
        )
    texts = [f"<unused {i}>" for i in range(length)]
    for entry, token_id in ids.items():
        if token_id in special:
            texts[token_id] = entry
        elif byte_level:
            texts[token_id] = _byte_level_text(entry)
        else:
            texts[token_id] = entry.replace(_SPACE_MARK, " ")
    fingerprint = hashlib.sha256(f"{bos_id}\n{tokenizer_json}".encode()).hexdigest()
    entries = Entries(tuple(texts), tuple(sorted(special)))
    return Vocabulary(VocabularyHead(fingerprint, bos_id, length), lambda: entries, lambda: tokenizer)


def _entry_id(tokenizer: Tokenizer, entry: str) -> int:
    token_id: int | None = tokenizer.token_to_id(entry)
    if token_id is None:
        raise ModelLoadError(
            f"The tokenizer names {entry!r} as begin-of-text, but its vocabulary has no such entry.",
            "Fetch tokenizer.json and tokenizer_config.json again.",
        )
    return token_id


def _read_object(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file, and the JSON object that it is."""
    text = _read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(
            f"{path} cannot be read: {error}.", "Fetch the model's tokenizer again."
        ) from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path} is not a JSON object.", "Fetch the model's tokenizer again.")
    return text, content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelLoadError(
            f"{path} cannot be read: {error}.", "Fetch the model's tokenizer again."
        ) from error
