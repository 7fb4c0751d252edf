"""What tokenizer.json lists, read as JSON, is what the library lists of it; a text builds the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers

from tests.tiny_tokenizers import (
    byte_level_tokenizer,
    filled,
    sentencepiece_tokenizer,
    unigram_tokenizer,
)
from tui_lookups.errors import ModelLoadError
from tui_lookups.model import tokenizer_listing as module
from tui_lookups.model.sources import demo_folder
from tui_lookups.model.tokenizer_listing import Listing, listing_of, read_listing, tokenizer_from
from tui_lookups.model.vocabulary import Vocabulary

Edit = Callable[[dict[str, Any]], object]


def demo_tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(demo_folder() / "tokenizer.json"))


def with_added_tokens() -> Tokenizer:
    """Added tokens that are entries, and behind the last entry; with every flag."""
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens([AddedToken("<|end|>", lstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("the"), AddedToken("<tool>", single_word=True, rstrip=True)])
    tokenizer.add_tokens([AddedToken("caf\u00e9", normalized=False)])
    return tokenizer


def with_sequences() -> Tokenizer:
    """Parts inside parts, and one that the file leaves to its default."""
    tokenizer = byte_level_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel()])
    return tokenizer


READ_AS_JSON: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": byte_level_tokenizer,
    "sentencepiece": sentencepiece_tokenizer,
    "demo": demo_tokenizer,
    "with rows to spare": lambda: filled(byte_level_tokenizer(), 400),
    "with added tokens": with_added_tokens,
    "with sequences": with_sequences,
}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Tokenizer]:
    """The tokenizers with entries that the library was asked to build."""
    made: list[Tokenizer] = []

    def noted(tokenizer_json: str) -> Tokenizer:
        tokenizer = tokenizer_from(tokenizer_json)
        if tokenizer.get_vocab_size():
            made.append(tokenizer)
        return tokenizer

    monkeypatch.setattr(module, "tokenizer_from", noted)
    return made


def edited(tokenizer: Tokenizer, edit: Edit) -> str:
    """The content of a tokenizer.json, edited."""
    file = json.loads(tokenizer.to_str())
    edit(file)
    return json.dumps(file)


def require_same(found: Listing, expected: Listing) -> None:
    assert (found.kind, found.ids) == (expected.kind, expected.ids)
    assert repr(sorted(found.added.items())) == repr(sorted(expected.added.items()))
    assert found.normalizer == expected.normalizer
    assert found.pre_tokenizer == expected.pre_tokenizer
    assert found.decoder == expected.decoder


@pytest.mark.parametrize("kind", READ_AS_JSON)
def test_it_is_what_the_library_lists_without_being_asked(kind: str, built: list[Tokenizer]) -> None:
    tokenizer = READ_AS_JSON[kind]()
    found = read_listing(tokenizer.to_str())
    assert not built
    require_same(found, listing_of(tokenizer))


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file["model"].update(merges=[" ".join(pair) for pair in file["model"]["merges"]]),
        lambda file: file["decoder"].pop("use_regex"),
        lambda file: file.pop("version"),
    ],
    ids=["merges in one text", "a default left out", "no version"],
)
def test_other_spellings_of_the_same_file(edit: Edit, built: list[Tokenizer]) -> None:
    content = edited(byte_level_tokenizer(), edit)
    found = read_listing(content)
    assert not built
    require_same(found, listing_of(tokenizer_from(content)))


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file["model"].pop("type"),
        lambda file: file["added_tokens"][0].update(id=5),
        lambda file: file["added_tokens"].append({**file["added_tokens"][0], "content": "far", "id": 9999}),
        lambda file: file["added_tokens"].append({**file["added_tokens"][0], "special": False}),
        lambda file: file["model"].update(merges=["#version: 0.2", *map(" ".join, file["model"]["merges"])]),
    ],
    ids=["no kind", "another id", "a gap", "a token twice", "a heading"],
)
def test_the_library_is_asked_where_it_knows_better(edit: Edit, built: list[Tokenizer]) -> None:
    content = edited(byte_level_tokenizer(), edit)
    found = read_listing(content)
    assert len(built) == 1
    require_same(found, listing_of(built[0]))


def test_another_kind_is_listed_by_the_library(built: list[Tokenizer]) -> None:
    found = read_listing(unigram_tokenizer().to_str())
    assert len(built) == 1
    require_same(found, listing_of(unigram_tokenizer()))


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file["model"]["vocab"].update({"x": True}),
        lambda file: file["model"]["vocab"].update({"x": -1}),
        lambda file: file["model"]["vocab"].update({"\ud800": 9999}),
        lambda file: file["model"].update(merges=[["no", "such"]]),
        lambda file: file["model"].update(dropout=float("nan")),
        lambda file: file["added_tokens"][0].update(id=True),
        lambda file: file["added_tokens"][0].pop("normalized"),
        lambda file: file.update(decoder={"type": "Unheard"}),
    ],
    ids=[
        "a truth",
        "a negative id",
        "half a character",
        "a merge of nothing",
        "no number",
        "no id",
        "no flag",
        "a part",
    ],
)
def test_damage_is_refused_at_once(edit: Edit) -> None:
    with pytest.raises(ModelLoadError, match="The tokenizer cannot be read"):
        read_listing(edited(byte_level_tokenizer(), edit))


def test_the_first_text_builds_the_tokenizer_and_the_second_does_not(built: list[Tokenizer]) -> None:
    vocabulary = Vocabulary.from_json(byte_level_tokenizer().to_str(), None)
    assert vocabulary.find(" cat").text == " cat"
    assert vocabulary.special_ids == {0, 1}
    assert not built
    assert vocabulary.encode("the cat") == byte_level_tokenizer().encode("the cat").ids
    assert vocabulary.encode("the mat") == byte_level_tokenizer().encode("the mat").ids
    assert len(built) == 1


@pytest.mark.parametrize("different", ["an entry", "one more", "a flag"])
def test_a_tokenizer_that_lists_something_else_is_refused(
    different: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_listing(byte_level_tokenizer().to_str())
    other = byte_level_tokenizer()
    if different == "a flag":
        other.add_tokens([AddedToken("<s>", special=True, lstrip=True)])
    elif different == "one more":
        other = filled(other, other.get_vocab_size() + 1)
    else:
        other = tokenizer_from(other.to_str().replace('"z":', '"\u00e9":'))
    monkeypatch.setattr(module, "tokenizer_from", lambda _: other)
    with pytest.raises(ModelLoadError, match="lists other tokens"):
        found.tokenizer()
