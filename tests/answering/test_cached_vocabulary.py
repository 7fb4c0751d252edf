"""The vocabulary from the cache: read once, held to its files, read again where the cache lost it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_tokenizers import byte_level_tokenizer, save_tokenizer
from tui_lookups.answering import cached_vocabulary as module
from tui_lookups.answering.cached_vocabulary import cached_vocabulary
from tui_lookups.errors import ModelLoadError
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import BosRule
from tui_lookups.storage.cache import ResultCache


@pytest.fixture
def local(tmp_path: Path) -> LocalModel:
    folder = tmp_path / "model"
    folder.mkdir()
    save_tokenizer(byte_level_tokenizer(), folder, begin_of_text="<s>")
    return LocalModel("tiny", str(folder), folder, "f" * 64)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResultCache]:
    cache = ResultCache(tmp_path / "cache", 1 << 30)
    yield cache
    cache.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose tokenizer was read."""
    read: list[Path] = []

    def noted(folder: Path, *, bos: BosRule) -> Vocabulary:
        read.append(folder)
        return read_vocabulary(folder, bos=bos)

    monkeypatch.setattr(module, "read_vocabulary", noted)
    return read


def test_the_second_time_nothing_is_read_until_a_text_is_encoded(
    local: LocalModel, cache: ResultCache, reads: list[Path]
) -> None:
    first, second = cached_vocabulary(local, cache), cached_vocabulary(local, cache)
    assert (second.fingerprint, second.bos, len(second)) == (first.fingerprint, first.bos, len(first))
    assert second.texts == first.texts
    assert second.special_ids == first.special_ids
    assert second.find("the") == first.find("the")
    assert reads == [local.folder]
    assert second.encode("the cat") == first.encode("the cat")
    assert second.encode_batch(["the", "a"]) == first.encode_batch(["the", "a"])
    assert reads == [local.folder] * 2


def test_it_needs_no_texts_for_keys(
    local: LocalModel, cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_vocabulary(local, cache)
    get, asked = cache.get, []

    def noted(kind: str, key: str) -> bytes | None:
        asked.append(kind)
        return get(kind, key)

    monkeypatch.setattr(cache, "get", noted)
    vocabulary = cached_vocabulary(local, cache)
    assert len(vocabulary)
    assert vocabulary.fingerprint
    assert asked == ["vocabulary"]


def test_what_the_cache_lost_is_read_again_once(
    local: LocalModel, cache: ResultCache, reads: list[Path]
) -> None:
    texts = cached_vocabulary(local, cache).texts
    for key in cache.keys("vocabulary_entries"):
        cache.put("vocabulary_entries", key, b"[]")
    assert cached_vocabulary(local, cache).texts == texts
    assert cached_vocabulary(local, cache).texts == texts
    assert len(reads) == 2


@pytest.mark.parametrize("lost", [False, True])
def test_a_tokenizer_that_has_changed_is_refused(local: LocalModel, cache: ResultCache, lost: bool) -> None:
    cached_vocabulary(local, cache)
    vocabulary = cached_vocabulary(local, cache)
    if lost:
        for key in cache.keys("vocabulary_entries"):
            cache.put("vocabulary_entries", key, b"[]")
    changed = byte_level_tokenizer()
    changed.add_tokens(["new"])
    changed.save(str(local.folder / "tokenizer.json"))
    with pytest.raises(ModelLoadError, match="has changed"):
        vocabulary.texts if lost else vocabulary.encode("the")


def test_another_model_has_a_vocabulary_of_its_own(local: LocalModel, cache: ResultCache) -> None:
    cached_vocabulary(local, cache)
    changed = byte_level_tokenizer()
    changed.add_tokens(["new"])
    changed.save(str(local.folder / "tokenizer.json"))
    other = LocalModel(local.name, local.source, local.folder, "e" * 64)
    assert cached_vocabulary(other, cache).find("new")


def test_what_transformers_was_asked_for_is_not_kept(
    local: LocalModel, cache: ResultCache, reads: list[Path]
) -> None:
    config = local.folder / "tokenizer_config.json"
    config.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    for _ in range(2):
        assert cached_vocabulary(local, cache).find("the")
    assert len(reads) == 2
    assert not list(cache.keys("vocabulary"))
