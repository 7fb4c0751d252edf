"""The vocabulary of a model, from the cache where it was read before: to read one takes most of a second.

1. What keys need (VocabularyHead) and what the ids stand for (Entries) are cached apart, by the model's
   fingerprint, which covers the tokenizer's files. The texts, up to a quarter of a million, are spelled and
   held to their types by msgspec alone: the checks of storage/codec.py would take longer than reading them.
2. A vocabulary from the cache reads its texts when one is asked for, and its tokenizer when a text is
   encoded, from the folder; it is held to be the same one then.
3. One that transformers had to be asked for is read anew each time: it depends on the installed version.
"""

from __future__ import annotations

import msgspec

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tokenizer_folder import read_vocabulary, says_all
from tui_lookups.model.vocabulary import Entries, Vocabulary, VocabularyHead
from tui_lookups.results import BosRule
from tui_lookups.storage.cache import ResultCache

_HEAD, _ENTRIES = "vocabulary", "vocabulary_entries"
_VERSION = 2
"""Part of the keys: raised when the same files come to give other texts."""


def cached_vocabulary(local: LocalModel, cache: ResultCache, bos: BosRule = "auto") -> Vocabulary:
    """The vocabulary of a model's folder. Raises what `read_vocabulary` raises."""
    if not says_all(local.folder):
        return read_vocabulary(local.folder, bos=bos)
    head_key, entries_key = (
        cache.key(kind, model=local.fingerprint, bos=bos, version=_VERSION) for kind in (_HEAD, _ENTRIES)
    )
    head = cache.get_result(_HEAD, head_key, VocabularyHead)
    if head is None:
        vocabulary = read_vocabulary(local.folder, bos=bos)
        cache.put(_ENTRIES, entries_key, msgspec.json.encode(vocabulary.entries))
        cache.put_result(_HEAD, head_key, vocabulary.head)
        return vocabulary

    def read() -> Vocabulary:
        vocabulary = read_vocabulary(local.folder, bos=bos)
        if vocabulary.head != head:
            raise ModelLoadError(
                f"The tokenizer of {local.name} has changed since the model was found.", "Start again."
            )
        return vocabulary

    def entries() -> Entries:
        cached = cache.get(_ENTRIES, entries_key)
        try:
            return msgspec.json.decode(cached or b"", type=Entries)
        except msgspec.DecodeError:  # dropped as damaged, cleared by another process, or of another version
            read_anew = read().entries
            cache.put(_ENTRIES, entries_key, msgspec.json.encode(read_anew))
            return read_anew

    return Vocabulary(head, entries, lambda: read().tokenizer)
