"""What a tokenizer lists: its entries and their ids, its added tokens, the parts that a text goes through.

1. The `tokenizers` library takes most of a second to build a tokenizer of a quarter of a million entries, and
   as long again to list them. They stand in tokenizer.json as they are: a BPE model's are read from there as
   JSON, and the library builds the tokenizer when a text is first encoded.
2. Its other parts (normalizer, pre-tokenizer, decoder) the library builds at once, in a tokenizer without
   entries: what it would refuse is refused, and what the file leaves out has the library's default.
3. Entries are read as JSON only where there is one way to read them: no id twice, merges of entries that are
   there, added tokens with all their flags and the ids that the library gives them. Else the library lists
   them, or says what is wrong.
4. A tokenizer that is built later is held to what was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.collecting import uncollected

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

FLAGS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
"""What an added token is, as the files write it."""


@dataclass(frozen=True, eq=False, slots=True)
class Listing:
    """What a tokenizer lists.

    Attributes:
        kind: of its model, such as "BPE".
        ids: the id of every entry, added tokens among them.
        added: the added tokens by their ids.
        normalizer, pre_tokenizer, decoder: their descriptions, None where it has none.
        tokenizer: gives the tokenizer, without truncation and padding, always the same object. Raises
            ModelLoadError where it cannot be built.
    """

    kind: str
    ids: Mapping[str, int]
    added: Mapping[int, AddedToken]
    normalizer: Any
    pre_tokenizer: Any
    decoder: Any
    tokenizer: Callable[[], Tokenizer]


def read_listing(tokenizer_json: str) -> Listing:
    """What the content of a tokenizer.json file lists. Raises ModelLoadError where it is damaged."""
    return _read_as_json(tokenizer_json) or listing_of(tokenizer_from(tokenizer_json))


def listing_of(tokenizer: Tokenizer) -> Listing:
    """What a tokenizer lists, by its own account."""
    ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    return _listing(tokenizer, ids, _added_to(tokenizer), lambda: tokenizer)


def tokenizer_from(tokenizer_json: str) -> Tokenizer:
    """The library's tokenizer, without truncation and padding. Raises ModelLoadError."""
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


def components(*parts: Any) -> list[dict[str, Any]]:
    """The descriptions of normalizers, pre-tokenizers and decoders, those inside sequences as well."""

    def inside(part: Any) -> list[dict[str, Any]]:
        if isinstance(part, dict):
            own = [part] if isinstance(part.get("type"), str) else []
            return own + [component for value in part.values() for component in inside(value)]
        return [component for value in part for component in inside(value)] if isinstance(part, list) else []

    return [component for part in parts for component in inside(part)]


def _listing(
    parts: Tokenizer, ids: Mapping[str, int], added: Mapping[int, AddedToken], built: Callable[[], Tokenizer]
) -> Listing:
    """`parts` is a tokenizer with the same parts; it may be without entries."""

    def described(part: Any) -> Any:
        return None if part is None else json.loads(part.__getstate__())

    return Listing(
        kind=type(parts.model).__name__,
        ids=ids,
        added=added,
        normalizer=described(parts.normalizer),
        pre_tokenizer=described(parts.pre_tokenizer),
        decoder=described(parts.decoder),
        tokenizer=built,
    )


def _added_to(tokenizer: Tokenizer) -> dict[int, AddedToken]:
    return {int(i): token for i, token in tokenizer.get_added_tokens_decoder().items()}


def _read_as_json(tokenizer_json: str) -> Listing | None:
    """The listing by the file alone; None where the library has to be asked (step 3)."""
    try:
        with uncollected():  # half a million merges
            file = json.loads(tokenizer_json)
        model = file["model"]
        entries, merges = model["vocab"], model["merges"]
        if model["type"] != "BPE" or model.get("continuing_subword_prefix"):
            return None
        if not (_are_read_one_way(entries) and _merge_entries(merges, entries)):
            return None
        added = _read_added(file["added_tokens"], entries)
        empty = {**file, "added_tokens": [], "model": {**model, "vocab": {}, "merges": []}}
        parts = tokenizer_from(json.dumps(empty))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, ModelLoadError):
        return None  # another layout, or damaged: the library says what is wrong
    size = len(entries)
    ids: dict[str, int] = {**entries, **{token.content: number for number, token in added.items()}}

    @cache
    def built() -> Tokenizer:
        tokenizer = tokenizer_from(tokenizer_json)
        if (
            tokenizer.get_vocab_size(with_added_tokens=False) != size
            or repr(sorted(_added_to(tokenizer).items())) != repr(sorted(added.items()))
            or any(tokenizer.id_to_token(number) != entry for entry, number in ids.items())
        ):
            raise ModelLoadError(
                "The tokenizer lists other tokens than its tokenizer.json.",
                "Its figures may be wrong, so it is refused; please report the model's name.",
            )
        return tokenizer

    return _listing(parts, ids, added, built)


def _are_read_one_way(entries: Mapping[str, Any]) -> bool:
    """Whether every entry has an id of its own, and is text. Raises ValueError for half a character."""
    numbers = entries.values()
    "".join(entries).encode()
    return set(map(type, numbers)) == {int} and min(numbers) >= 0 and len(set(numbers)) == len(numbers)


def _merge_entries(merges: Sequence[Any], entries: Mapping[str, int]) -> bool:
    """Whether every merge makes an entry of two entries."""
    for merge in merges:
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        if not (first in entries and second in entries and first + second in entries):
            return False
    return True


def _read_added(tokens: Sequence[Mapping[str, Any]], entries: Mapping[str, int]) -> dict[int, AddedToken]:
    """The added tokens by their ids. Raises LookupError or ValueError where these may be others than written.

    The library gives a token the id of its entry, or the first one behind all entries and added tokens.
    """
    from tokenizers import AddedToken

    added: dict[int, AddedToken] = {}
    behind = len(entries)
    for token in tokens:
        content, *flags = (token[flag] for flag in FLAGS)
        number = entries.get(content, behind)
        if token["id"] != number or number in added or not content or set(map(type, flags)) != {bool}:
            raise ValueError("another id, or other flags")
        added[number] = AddedToken(content, **dict(zip(FLAGS[1:], flags, strict=True)))
        behind = max(behind, number + 1)
    return added
