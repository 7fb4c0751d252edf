"""Token texts, matching and encoding, on a byte-level and on a SentencePiece-like tokenizer."""

from __future__ import annotations

import json
import string
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_tokenizers import WORDS, byte_level_tokenizer, save_tokenizer, sentencepiece_tokenizer
from tui_lookups.errors import ModelLoadError, UnknownTokenError
from tui_lookups.model.spelling import by_length, edits, similar
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.model.vocabulary import Entries, Vocabulary, VocabularyHead

BYTES = Vocabulary.from_json(byte_level_tokenizer().to_str(), 0)
PIECES = Vocabulary.from_json(sentencepiece_tokenizer().to_str(), 1)
BOTH = pytest.mark.parametrize("vocabulary", [BYTES, PIECES], ids=["byte-level", "sentencepiece"])
HOSTILE = [
    "", " ", "   ", "\n", "\t", "\x00", "\x1b[31m", "[/INST]", "[bold]", "\\", "\u202e", "\ufeff", "\u0300",
    "\ud800", "é", "日本", "👩\u200d👩\u200d👧", "#", "#x", "#-1", "# 5", "#٣", "<s>", "</s>", "<0x0A>",
    "Ġthe", "▁the", "a" * 10_000,
]  # fmt: skip


def ids_of(vocabulary: Vocabulary, text: str) -> list[int]:
    return [i for i, known in enumerate(vocabulary.texts) if known == text]


@BOTH
class TestTexts:
    def test_words_with_and_without_their_space_are_different_tokens(self, vocabulary: Vocabulary) -> None:
        spaced = vocabulary.find(" because")
        assert spaced.text == " because"
        assert vocabulary.encode(" because") == [spaced.id]
        if vocabulary is BYTES:
            assert vocabulary.find("because").id != spaced.id
            assert [t.text for t in vocabulary.match(" because").close] == ["because"]
            assert [t.text for t in vocabulary.match("because").close] == [" because"]

    def test_every_word_is_found_and_is_what_it_encodes_to(self, vocabulary: Vocabulary) -> None:
        for word in WORDS:
            token = vocabulary.find(" " + word)
            assert vocabulary.encode(" " + word) == [token.id]
            assert vocabulary.token(token.id) == token

    def test_special_tokens_keep_their_names(self, vocabulary: Vocabulary) -> None:
        assert vocabulary.find("<s>").id == vocabulary.bos_id
        assert vocabulary.bos == vocabulary.find("<s>")
        assert vocabulary.find("</s>").id in vocabulary.special_ids

    def test_several_tokens_show_their_pieces(self, vocabulary: Vocabulary) -> None:
        match = vocabulary.match(" the cat")
        assert match.token is None
        assert [piece.text for piece in match.pieces] == [" the", " cat"]
        with pytest.raises(UnknownTokenError, match="several tokens") as caught:
            vocabulary.find(" the cat")
        assert '" the"' in caught.value.message

    def test_a_number_sign_names_an_id(self, vocabulary: Vocabulary) -> None:
        assert vocabulary.find("#5").id == 5
        assert vocabulary.match("#5").token == vocabulary.token(5)
        with pytest.raises(UnknownTokenError, match="no token #99999"):
            vocabulary.find("#99999")

    @pytest.mark.parametrize("wrong", [-1, 10**9])
    def test_ids_outside(self, vocabulary: Vocabulary, wrong: int) -> None:
        with pytest.raises(UnknownTokenError, match="from 0 to"):
            vocabulary.token(wrong)

    def test_an_empty_text_is_no_token(self, vocabulary: Vocabulary) -> None:
        with pytest.raises(UnknownTokenError):
            vocabulary.find("")


def test_byte_level_texts() -> None:
    assert "\n" in BYTES.texts
    assert BYTES.find("\n").text == "\n"
    assert BYTES.find("the").id != BYTES.find(" the").id
    bare_byte = BYTES.encode("é")
    assert [BYTES.texts[i] for i in bare_byte] == ["<0xC3>", "<0xA9>"], "half a character is shown as bytes"


def test_sentencepiece_texts() -> None:
    assert PIECES.find(" the").text == " the"
    assert not any("▁" in text for text in PIECES.texts)
    assert [PIECES.texts[i] for i in PIECES.encode("\n")] == ["<0x0A>"]
    assert [PIECES.texts[i] for i in PIECES.encode("é")] == ["<0xC3>", "<0xA9>"]


def test_rows_of_the_unembedding_without_an_entry_are_named() -> None:
    padded = Vocabulary.from_json(byte_level_tokenizer().to_str(), 0, size=400)
    assert len(padded) == 400
    assert padded.token(399).text == "<unused 399>"
    assert padded.find("<unused 399>").id == 399
    assert len(BYTES) < 400


@BOTH
class TestCompletion:
    def test_begins_with_what_was_typed(self, vocabulary: Vocabulary) -> None:
        found = vocabulary.complete(" bec")
        assert [token.text for token in found][:1] == [" bec"]
        assert all(token.text.startswith(" bec") for token in found)
        assert " because" in [token.text for token in found]

    def test_without_a_space_both_forms_are_offered(self, vocabulary: Vocabulary) -> None:
        texts = [token.text.strip() for token in vocabulary.complete("becaus")]
        assert "because" in texts
        lengths = [len(text) for text in texts]
        assert lengths == sorted(lengths)

    def test_case_does_not_matter_and_the_limit_holds(self, vocabulary: Vocabulary) -> None:
        assert vocabulary.complete(" BECAUSE")[0].text == " because"
        assert len(vocabulary.complete("b", limit=3)) <= 3

    @pytest.mark.parametrize("blank", ["", " ", "\n\t"])
    def test_nothing_typed_completes_nothing(self, vocabulary: Vocabulary, blank: str) -> None:
        assert vocabulary.complete(blank) == ()

    def test_a_misspelling_finds_the_word(self, vocabulary: Vocabulary) -> None:
        close = [token.text for token in vocabulary.close(" becuase")]
        assert " because" in close
        with pytest.raises(UnknownTokenError) as caught:
            vocabulary.find(" becuase")
        assert '" because"' in caught.value.hint


def test_a_word_in_other_case_or_spacing_is_closer_than_what_begins_with_it_or_is_like_it() -> None:
    texts = [" because", "because", " becauses", "Because", "beclause", " BECAUSE", " cause"]
    vocabulary = _of(texts)
    assert [token.text for token in vocabulary.close(" becausE")] == [
        " because", " BECAUSE", "because", "Because", " becauses", "beclause", " cause"
    ]  # fmt: skip
    assert [token.text for token in vocabulary.close("because")][:2] == [" because", "because"]
    assert {token.text for token in vocabulary.close("bceause")[:4]} == {*texts[:2], "Because", " BECAUSE"}


def _of(texts: list[str]) -> Vocabulary:
    """A vocabulary of these texts, in which nothing is encoded."""
    head = VocabularyHead("x", None, len(texts), len(texts))
    return Vocabulary(head, lambda: Entries(tuple(texts), (), ()), byte_level_tokenizer)


@pytest.mark.parametrize(
    ("typed", "word", "count"),
    [
        ("time", "time", 0),
        ("tiem", "time", 1),
        ("tme", "time", 1),
        ("tome", "time", 1),
        ("", "ab", 2),
        ("becuase", "because", 1),
        ("abcd", "badc", 2),
        ("ca", "abc", 3),
        ("xy", "yzx", 3),
    ],
)
def test_a_swap_of_neighbours_is_one_edit(typed: str, word: str, count: int) -> None:
    assert edits(typed, [word]).tolist() == edits(word, [typed]).tolist() == [count]


_FEW = st.text(alphabet="abé\U0001f600", max_size=7)


@given(_FEW, st.lists(_FEW, min_size=1, max_size=5))
def test_edits_are_counted_for_all_words_as_for_one(typed: str, words: list[str]) -> None:
    words = [word.ljust(7, "-") for word in words]
    assert edits(typed, words).tolist() == [_alignment(typed, word) for word in words]


def _alignment(typed: str, word: str) -> int:
    """The optimal string alignment distance, as its recursion is written."""

    @cache
    def cost(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        ways = [cost(i - 1, j) + 1, cost(i, j - 1) + 1, cost(i - 1, j - 1) + (typed[i - 1] != word[j - 1])]
        if i > 1 and j > 1 and typed[i - 2 : i] == word[j - 2 : j][::-1]:
            ways.append(cost(i - 2, j - 2) + 1)
        return min(ways)

    return cost(len(typed), len(word))


def test_of_words_as_close_as_each_other_the_commonest_comes_first() -> None:
    words = by_length({"the": [5, 9], "tehs": [8], "tech": [3], "eth": [4], "zzz": [1]})
    assert similar("teh", words, 9) == ["tech", "eth", "the", "tehs"]
    assert similar("teh", words, 1) == ["tech"]
    assert similar("q", {}, 3) == []


@BOTH
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_match_or_are_refused(vocabulary: Vocabulary, text: str) -> None:
    try:
        match = vocabulary.match(text)
    except UnknownTokenError:
        assert text.startswith("#")
        return
    if match.token is not None:
        assert match.token.text == text or text.startswith("#")
    else:
        with pytest.raises(UnknownTokenError) as caught:
            vocabulary.find(text)
        assert "\x1b" not in str(caught.value), "what a terminal obeys is never echoed"
    vocabulary.complete(text)


@given(st.text(alphabet=string.printable, max_size=60))
def test_byte_level_pieces_spell_the_text(text: str) -> None:
    assert "".join(BYTES.texts[i] for i in BYTES.encode(text)) == text


@given(st.text(alphabet=sorted(set(" " + "".join(WORDS))), max_size=60))
def test_sentencepiece_pieces_spell_the_text(text: str) -> None:
    assert "".join(PIECES.texts[i] for i in PIECES.encode(text)) == text


@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_any_text_is_matched_or_cut_in_pieces(text: str) -> None:
    for vocabulary in (BYTES, PIECES):
        if text.startswith("#"):
            continue
        match = vocabulary.match(text)
        assert (match.token is None) or match.token.text == text
        assert all(0 <= piece.id < len(vocabulary) for piece in match.pieces)


@given(st.lists(st.text(alphabet=string.printable, max_size=20), max_size=6))
def test_a_batch_encodes_as_its_texts_do(texts: list[str]) -> None:
    assert BYTES.encode_batch(texts) == [BYTES.encode(text) for text in texts]


def test_every_text_is_found_again() -> None:
    for vocabulary in (BYTES, PIECES):
        for token_id, text in enumerate(vocabulary.texts):
            assert token_id in ids_of(vocabulary, text)
            if not text.startswith("#"):
                assert vocabulary.find(text).id == ids_of(vocabulary, text)[0]


class TestReading:
    def test_begin_of_text_from_the_configuration(self, tmp_path: Path) -> None:
        save_tokenizer(byte_level_tokenizer(), tmp_path, begin_of_text="<s>")
        assert read_vocabulary(tmp_path).bos_id == 0
        config = {"bos_token": {"__type": "AddedToken", "content": "</s>"}}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        assert read_vocabulary(tmp_path).bos_id == 1

    def test_no_begin_of_text(self, tmp_path: Path) -> None:
        save_tokenizer(byte_level_tokenizer(False), tmp_path, begin_of_text=None)
        vocabulary = read_vocabulary(tmp_path)
        assert vocabulary.bos_id is None
        assert vocabulary.bos is None

    def test_begin_of_text_that_is_no_added_token(self, tmp_path: Path) -> None:
        save_tokenizer(byte_level_tokenizer(), tmp_path, begin_of_text="the")
        assert read_vocabulary(tmp_path).bos == BYTES.find("the")

    def test_begin_of_text_that_is_not_there(self, tmp_path: Path) -> None:
        save_tokenizer(byte_level_tokenizer(), tmp_path, begin_of_text="<nope>")
        with pytest.raises(ModelLoadError, match="<nope>"):
            read_vocabulary(tmp_path)

    def test_transformers_is_asked_where_the_configuration_does_not_say(self, tmp_path: Path) -> None:
        save_tokenizer(byte_level_tokenizer(), tmp_path, begin_of_text=None)
        (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        vocabulary = read_vocabulary(tmp_path)
        assert vocabulary.bos_id is None
        assert vocabulary.texts == BYTES.texts

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": 3}'])
    def test_a_damaged_file_is_named(self, tmp_path: Path, content: str) -> None:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            save_tokenizer(byte_level_tokenizer(), tmp_path, begin_of_text="<s>")
            (tmp_path / file).write_text(content)
            if file == "tokenizer_config.json" and content.startswith("{") and content != "{":
                continue  # says nothing about begin-of-text: transformers is asked
            with pytest.raises(ModelLoadError, match="tokenizer"):
                read_vocabulary(tmp_path)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelLoadError, match="tokenizer"):
            read_vocabulary(tmp_path)

    def test_truncation_and_padding_of_the_file_are_off(self) -> None:
        tokenizer = byte_level_tokenizer()
        tokenizer.enable_truncation(3)
        tokenizer.enable_padding(length=9)
        vocabulary = Vocabulary.from_json(tokenizer.to_str(), 0)
        assert len(vocabulary.encode("abcdefgh")) == 8
        assert [len(ids) for ids in vocabulary.encode_batch(["a", "abcdefgh"])] == [1, 8]

    def test_the_fingerprint_tells_tokenizers_apart(self) -> None:
        same = Vocabulary.from_json(byte_level_tokenizer().to_str(), 0)
        assert same.fingerprint == BYTES.fingerprint
        assert Vocabulary.from_json(byte_level_tokenizer().to_str(), None).fingerprint != BYTES.fingerprint
        assert PIECES.fingerprint != BYTES.fingerprint
