"""The tokenizer of a Hugging Face folder: which tokens it has, and what is put in front of a text.

1. A tokenizer.json is read as it stands: its model, normalizer and pre-tokenizer are the ones the model was
   trained with. (transformers 5 rebuilds some classes from vocabulary and merges alone, with rules of its
   own.) To it are added the tokens that stand elsewhere, as transformers' AutoTokenizer adds them:
   `added_tokens_decoder` of tokenizer_config.json, or else added_tokens.json and special_tokens_map.json;
   then the named special tokens, then `extra_special_tokens` (once `additional_special_tokens`).
2. Where the files do not name begin-of-text, transformers is asked, which knows each class's default.
3. Without a tokenizer.json, tokenizer_pieces.py makes the tokenizer of the files that are there.
4. Begin-of-text is put in front where one is defined, unless `add_bos_token` of tokenizer_config.json is
   false; `bos` "always" and "never" overrule that (method.md, section 3).
5. What contradicts itself, or would need code that comes with the model, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import ModelLoadError, first_line
from tui_lookups.model.first_import import import_transformers
from tui_lookups.model.tokenizer_listing import (
    FLAGS,
    Listing,
    components,
    listing_of,
    read_listing,
)
from tui_lookups.model.vocabulary import Vocabulary, vocabulary_of
from tui_lookups.results import BosRule

if TYPE_CHECKING:
    from tokenizers import AddedToken

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_KINDS = ("BPE", "Unigram")
_SPACE_MARK = "\u2581"
_FETCH = "Fetch the model's tokenizer again."


def read_vocabulary(folder: Path, size: int | None = None, bos: BosRule = "auto") -> Vocabulary:
    """The vocabulary of a local Hugging Face folder, and the token that is put in front of texts.

    Args:
        size: number of rows of the unembedding, where it is known.
        bos: whether begin-of-text is put in front (method.md, section 3).
    Raises:
        ModelLoadError: no tokenizer that can be read, files that contradict each other, or `bos` is
            "always" where no begin-of-text is defined.
    """
    config = _config(folder)
    _refuse_code(folder, config)
    if not (folder / "tokenizer.json").is_file():
        from tui_lookups.model.tokenizer_pieces import read_pieces

        read = read_pieces(folder, config)
        listing, content, variant, name = listing_of(read.tokenizer), read.content, read.variant, read.bos
    else:
        content, variant = _read_text(folder / "tokenizer.json"), ""
        listing = read_listing(content)
        elsewhere = _TokensElsewhere(folder, config, listing)
        new = elsewhere.missing()
        if new:
            tokenizer = listing.tokenizer()
            tokenizer.add_tokens(new)
            listing = listing_of(tokenizer)
        elsewhere.require_numbers(listing)
        added = "\n".join(map(repr, new))
        _require_known(listing, folder, config)
        if elsewhere.names_bos:
            name = elsewhere.bos
        else:
            name, backend = _ask_transformers(folder, read_listing(content).ids)
            if _parts(backend) == _parts(listing.tokenizer().to_str()):
                content, added = backend, ""
            else:
                added += "read as it stands"
        if config.get("split_special_tokens") is True:
            listing.tokenizer().encode_special_tokens = True
            added += "special tokens are split"
        if added:
            variant = hashlib.sha256(added.encode()).hexdigest()[:16]
            content += added
    defined = None if name is None else listing.ids.get(name)
    front = _in_front(defined, config.get("add_bos_token"), bos)
    if front != defined:
        variant += " without begin-of-text"
    return vocabulary_of(listing, front, content=content, size=size, variant=variant)


def says_all(folder: Path) -> bool:
    """Whether the vocabulary follows from the folder's files alone: they name begin-of-text, or none."""
    return (folder / "tokenizer.json").is_file() and "bos_token" in _settings(folder, _config(folder))


def _in_front(defined: int | None, adds: object, bos: BosRule) -> int | None:
    """The id put in front of texts, None for nothing. `adds` is what the files say of it.

    See method.md, section 3.
    """
    if bos == "always" and defined is None:
        raise ModelLoadError(
            "The model's tokenizer defines no begin-of-text that could be put in front of texts.",
            "Leave --bos away, or give --bos never.",
        )
    return None if bos == "never" or (bos == "auto" and adds is False) else defined


# --- tokens that are not in tokenizer.json ---


class _TokensElsewhere:
    """What the files beside tokenizer.json say of added and special tokens."""

    def __init__(self, folder: Path, config: Mapping[str, Any], listing: Listing) -> None:
        self._folder = folder
        self._listing = listing
        self._settings = _settings(folder, config)
        self._numbered = self._read_numbered(config)

    @property
    def names_bos(self) -> bool:
        """Whether the files say what begin-of-text is, be it that there is none."""
        return "bos_token" in self._settings

    @property
    def bos(self) -> str | None:
        token = self._token(self._settings.get("bos_token"))
        return None if token is None else str(token.content)

    def missing(self) -> list[AddedToken]:
        """Those that tokenizer.json lacks, or has with other flags, in transformers' order.

        Raises ModelLoadError for a begin-of-text without an entry.
        """
        there = self._listing.added.values()
        contents, same = {token.content for token in there}, {repr(token) for token in there}
        new = [token for _, token in sorted(self._numbered.items()) if repr(token) not in same]
        contents |= {token.content for token in new}
        if self.bos is not None and self.bos not in contents and self.bos not in self._listing.ids:
            raise ModelLoadError(  # transformers would put it behind the last entry, where the model has none
                f"The tokenizer names {self.bos!r} as begin-of-text, but its vocabulary has no such entry.",
                "Fetch tokenizer.json and tokenizer_config.json again.",
            )
        named = self._special_names()
        for entry in (*named.values(), *self._extra()):
            token = self._token(entry)
            if token is not None and token.content not in contents:
                new.append(token)
                contents.add(token.content)
        names = {token.content for token in map(self._token, named.values()) if token is not None}
        for token in new:
            token.special = token.special or token.content in names
        return new

    def require_numbers(self, listing: Listing) -> None:
        """Raise ModelLoadError for a token that has come to have another id than the files give it."""
        for token_id, token in self._numbered.items():
            number = listing.ids.get(token.content)
            if number != token_id:
                raise ModelLoadError(
                    f"The tokenizer files in {self._folder} contradict each other: {token.content!r} is "
                    f"token {token_id} in one, and {number} by the others.",
                    _FETCH,
                )

    def _read_numbered(self, config: Mapping[str, Any]) -> dict[int, AddedToken]:
        """Added tokens by the id that the files give them."""
        from tokenizers import AddedToken

        if "added_tokens_decoder" in config:
            listed = _mapping(config["added_tokens_decoder"], self._folder)
            return {_number(key, self._folder): self._required(entry) for key, entry in listed.items()}
        legacy = _object(self._folder / "added_tokens.json")
        special = {
            token.content
            for token in map(self._token, (*self._special_names().values(), *self._extra()))
            if token is not None
        }
        numbered = {
            _number(key, self._folder): AddedToken(
                content, normalized=content not in special, special=content in special
            )
            for content, key in legacy.items()
        }
        return {**numbered, **self._listing.added}

    def _special_names(self) -> dict[str, Any]:
        """The named special tokens, those that only this model has last."""
        named = {name: self._settings.get(name) for name in _NAMED}
        for name, entry in self._settings.items():
            if name.endswith("_token") and isinstance(entry, str | dict):
                named.setdefault(name, entry)
        extra = self._settings.get("extra_special_tokens")
        return {**named, **extra} if isinstance(extra, dict) else named

    def _extra(self) -> list[Any]:
        extra = self._settings.get("extra_special_tokens") or self._settings.get("additional_special_tokens")
        return extra if isinstance(extra, list) else []

    def _required(self, entry: object) -> AddedToken:
        token = self._token(entry)
        if token is None or isinstance(entry, str):
            raise _damaged(self._folder)
        return token

    def _token(self, entry: object) -> AddedToken | None:
        """A token as the files write one: its text, or an object with its text and flags."""
        from tokenizers import AddedToken

        if entry is None:
            return None
        if isinstance(entry, str):
            return AddedToken(entry, special=True)
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise _damaged(self._folder)
        try:
            return AddedToken(**{flag: entry[flag] for flag in FLAGS if flag in entry})
        except TypeError as error:
            raise _damaged(self._folder) from error


def _settings(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json, with special_tokens_map.json over it where transformers still reads that."""
    if "added_tokens_decoder" in config:
        return dict(config)
    return {**config, **_object(folder / "special_tokens_map.json")}


# --- what is refused ---


def _refuse_code(folder: Path, config: Mapping[str, Any]) -> None:
    mapped = config.get("auto_map")
    if mapped and (not isinstance(mapped, dict) or mapped.get("AutoTokenizer")):
        raise ModelLoadError(
            f"The tokenizer in {folder} is code that comes with the model, which is never run.",
            "Where its tokenizer.json says all, take auto_map out of tokenizer_config.json.",
        )
    others = [name for name in config.get("fast_tokenizer_files") or [] if name != "tokenizer.json"]
    if any((folder / str(name)).is_file() for name in others):
        raise ModelLoadError(
            f"{folder} has several tokenizers, one for each version of transformers.",
            "Keep the one that is meant as tokenizer.json, and take fast_tokenizer_files out of its config.",
        )


def _require_known(listing: Listing, folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelLoadError for a kind whose tokens are not known to be read right."""
    if listing.kind not in _KINDS:
        raise ModelLoadError(
            f"The tokenizer in {folder} is of the kind {listing.kind}, which is not supported.",
            f"Supported are {' and '.join(_KINDS)}.",
        )
    asked, there = config.get("add_prefix_space"), _puts_space_in_front(listing)
    if isinstance(asked, bool) and there is not None and asked != there:
        raise ModelLoadError(
            f"The tokenizer files in {folder} contradict each other: add_prefix_space is "
            f"{str(asked).lower()} in tokenizer_config.json and {str(there).lower()} in tokenizer.json.",
            "Make both say what the model was trained with.",
        )


def _puts_space_in_front(listing: Listing) -> bool | None:
    """Whether a space is put in front of a text; None where no part of the tokenizer could say so."""
    answers = []
    for part in components(listing.normalizer, listing.pre_tokenizer):
        if part["type"] == "ByteLevel":
            answers.append(bool(part["add_prefix_space"]))
        elif part["type"] == "Metaspace":
            answers.append(part["prepend_scheme"] != "never")
        elif part["type"] in ("Prepend", "Replace") and _SPACE_MARK in str(part):
            answers.append(part["type"] == "Prepend")
    return any(answers) if answers else None


# --- transformers, and files ---


def _ask_transformers(folder: Path, entries: Mapping[str, int]) -> tuple[str | None, str]:
    """Begin-of-text by the defaults of the tokenizer's class, and what transformers makes of the files.

    A default that the vocabulary lacks is not the model's: transformers adds it behind the last entry.
    """
    import_transformers()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        backend = str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # transformers raises many kinds here
        raise ModelLoadError(
            f"No tokenizer can be read in {folder}: {first_line(error).rstrip('.')}.",
            "The folder needs a tokenizer.json (a fast tokenizer).",
        ) from error
    return (str(tokenizer.bos_token) if tokenizer.bos_token in entries else None), backend


def _parts(tokenizer_json: str) -> dict[str, Any]:
    """What of a tokenizer decides on the ids of a text."""
    description = json.loads(tokenizer_json)
    return {part: description.get(part) for part in ("model", "normalizer", "pre_tokenizer", "added_tokens")}


def _config(folder: Path) -> dict[str, Any]:
    return _object(folder / "tokenizer_config.json")


def _object(path: Path) -> dict[str, Any]:
    """The JSON object that a file is; {} where there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}.", _FETCH) from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path} is not a JSON object.", _FETCH)
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}.", _FETCH) from error


def _mapping(found: object, folder: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _damaged(folder)
    return found


def _number(key: object, folder: Path) -> int:
    try:
        return int(str(key))
    except ValueError as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> ModelLoadError:
    return ModelLoadError(f"The added tokens of the tokenizer in {folder} cannot be read.", _FETCH)
