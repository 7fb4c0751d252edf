"""The tokenizer of a .gguf file gives the tokens that the model was trained on, or a sentence."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model.gguf.conftest import Opened
from tests.model.gguf.files import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    VOCABULARY,
    Content,
    byte_level_keys,
    sentencepiece_keys,
    tiny,
)
from tui_lookups.errors import LookupsError
from tui_lookups.model.gguf.examine import make_plan
from tui_lookups.model.gguf.pretokenizers import SPLITTINGS
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.model.vocabulary import Vocabulary

GGML = "tokenizer.ggml."


def with_tokenizer(keys: dict[str, Any]) -> Content:
    return tiny("llama", tokenizer=keys)


def vocabulary(path: Path, keys: dict[str, Any]) -> Vocabulary:
    """What texts become by these keys, without converting the weights."""
    plan = make_plan(with_tokenizer(keys).write(path / "tiny.gguf"))
    return Vocabulary.from_json(plan.tokenizer, json.loads(plan.tokenizer_config).get("bos_token_id"))


def renamed(keys: dict[str, Any], entries: dict[int, str], kind: int) -> dict[str, Any]:
    """The keys with other texts for some ids, which become tokens of `kind`."""
    tokens, types = list(keys[GGML + "tokens"]), list(keys[GGML + "token_type"])
    for token_id, text in entries.items():
        tokens[token_id], types[token_id] = text, kind
    return {**keys, GGML + "tokens": tokens, GGML + "token_type": types}


# --- how texts are split ---

TEXT = "Steps:\n\n1. Don't DON'T 12345  camelCase über\n x=1;//a"
BY_GPT2 = [
    "Steps", ":", "\n", "\n", "1", ".", " Don", "'t", " DON", "'", "T", " 12345", " ", " camelCase", " über",
    "\n", " x", "=", "1", ";//", "a",
]  # fmt: skip
BY_DIGITS = [
    "Steps", ":", "\n\n", "1", ".", " Don", "'t", " DON", "'", "T", " ", "1", "2", "3", "4", "5", " ",
    " camelCase", " über", "\n", " x", "=", "1", ";//", "a",
]  # fmt: skip
BY_DEEPSEEK_CODER = [
    "Steps", ":", "\n", "\n", "1", ".", " Don", "'", "t", " DON", "'", "T", " ", "1", "2", "3", "4", "5", " ",
    " camelCase", " über", "\n", " x", "=", "1", ";//", "a",
]  # fmt: skip
_WORDS = ["Steps", ":\n\n", "1", ".", " Don", "'t", " DON", "'T", " "]
_END = [" ", " camelCase", " über", "\n", " x", "=", "1", ";//", "a"]
BY_LLAMA3 = [*_WORDS, "123", "45", *_END]
BY_QWEN = [*_WORDS, "1", "2", "3", "4", "5", *_END]
_CASED = [" ", " camel", "Case", " über", "\n", " x", "=", "1", ";//", "a"]
BY_TEKKEN = [
    "Steps", ":\n\n", "1", ".", " Don", "'t", " DON", "'T", " ", "1", "2", "3", "4", "5", *_CASED
]  # fmt: skip
BY_GPT4O = ["Steps", ":\n\n", "1", ".", " Don't", " DON'T", " ", "123", "45", *_CASED]

PIECES = {
    "gpt-2": BY_GPT2, "phi-2": BY_GPT2, "olmo": BY_GPT2,
    "smollm": BY_DIGITS, "starcoder": BY_DIGITS, "refact": BY_DIGITS,
    "llama-bpe": BY_LLAMA3, "llama3": BY_LLAMA3, "llama-v3": BY_LLAMA3, "dbrx": BY_LLAMA3,
    "deepseek-coder": BY_DEEPSEEK_CODER,
    "qwen2": BY_QWEN, "deepseek-r1-qwen": BY_QWEN, "tekken": BY_TEKKEN, "gpt-4o": BY_GPT4O,
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_a_named_splitting_gives_these_pieces(name: str) -> None:
    found = SPLITTINGS[name].pre_tokenizer().pre_tokenize_str(TEXT)
    assert [TEXT[start:end] for _, (start, end) in found] == PIECES[name]


def test_every_splitting_has_its_pieces_here() -> None:
    assert PIECES.keys() == SPLITTINGS.keys()


def test_two_newlines_are_one_token_where_digits_are_split_off_first(tmp_path: Path) -> None:
    """SmolLM2's "Steps:\\n\\n1. Open"; GPT-2's splitting cuts the newlines apart before it."""
    keys = renamed(byte_level_keys("smollm"), {VOCABULARY - 1: "ĊĊ"}, NORMAL)
    keys[GGML + "merges"] = ["Ċ Ċ", *keys[GGML + "merges"]]
    smollm = vocabulary(tmp_path, keys)
    pieces = [token.text for token in smollm.tokens(smollm.encode("Steps:\n\n12. Open"))]
    assert "".join(pieces) == "Steps:\n\n12. Open"
    assert "\n\n" in pieces
    gpt2 = vocabulary(tmp_path, {**keys, GGML + "pre": "gpt-2"})
    assert "\n\n" not in [token.text for token in gpt2.tokens(gpt2.encode("Steps:\n\n12. Open"))]


@pytest.mark.parametrize(("pre", "composed"), [("qwen2", True), ("olmo", True), ("gpt-2", False)])
def test_accents_are_composed_where_the_vocabulary_was_made_so(
    tmp_path: Path, pre: str, composed: bool
) -> None:
    found = vocabulary(tmp_path, byte_level_keys(pre))
    assert (found.encode("e\u0301") == found.encode("\u00e9")) is composed


def test_whole_entries_come_before_merges_in_llama_3(tmp_path: Path) -> None:
    """An entry that no merge makes is found all the same."""
    keys = renamed(byte_level_keys("llama-bpe"), {VOCABULARY - 1: "xyzzy"}, NORMAL)
    assert vocabulary(tmp_path, keys).encode("xyzzy") == [VOCABULARY - 1]
    assert len(vocabulary(tmp_path, {**keys, GGML + "pre": "qwen2"}).encode("xyzzy")) == 5


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pre": "default"}, "tokenizer.ggml.pre is default, a way of splitting texts not among gpt-2"),
        ({"pre": "a-new-one"}, "tokenizer.ggml.pre is a-new-one"),
        ({"pre": None}, "tokenizer.ggml.pre is missing"),
        ({"model": None}, "tokenizer.ggml.model is missing"),
        ({"tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"merges": None}, "tokenizer.ggml.merges is missing"),
        ({"merges": ["a b c"]}, 'tokenizer.ggml.merges has "a b c", which are not entries'),
        ({"tokens": ["same"] * VOCABULARY}, 'tokenizer.ggml.tokens has "same" twice'),
        ({"token_type": [1, 1]}, "tokenizer.ggml.token_type does not give a number for each entry"),
        ({"bos_token_id": 9999}, "tokenizer.ggml.bos_token_id is 9999, and no entry has that id"),
        ({"add_bos_token": 1}, "tokenizer.ggml.add_bos_token is 1, where yes or no belongs"),
        ({"add_space_prefix": True}, "tokenizer.ggml.add_space_prefix is true"),
        ({"add_sep_token": True}, "tokenizer.ggml.add_sep_token is True"),
        ({"precompiled_charsmap": [1, 2]}, "tokenizer.ggml.precompiled_charsmap is a list of 2"),
        *[({"model": kind}, f"tokenizer.ggml.model is {kind}") for kind in ("t5", "bert", "rwkv", "plamo2")],
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_never_guessed(
    opened: Opened, changed: dict[str, Any], said: str
) -> None:
    keys = {**byte_level_keys(), **{GGML + name: value for name, value in changed.items()}}
    with pytest.raises(LookupsError) as caught:
        opened(with_tokenizer({key: value for key, value in keys.items() if value is not None}))
    assert said in caught.value.message


# --- SentencePiece ---


def greedy(keys: dict[str, Any], text: str, prefix: bool) -> list[int]:
    """SentencePiece's pairs, by the definition: of all neighbours join those whose entry scores best."""
    ids = {
        token: i for i, token in enumerate(keys[GGML + "tokens"]) if keys[GGML + "token_type"][i] == NORMAL
    }
    pieces = list((" " * prefix + text).replace(" ", "▁"))
    while True:
        joined = [(-keys[GGML + "scores"][ids[a + b]], place) for place, (a, b) in
                  enumerate(pairwise(pieces)) if a + b in ids]  # fmt: skip
        if not joined:
            break
        _, place = min(joined)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    found = []
    for piece in pieces:
        found += [ids[piece]] if piece in ids else [3 + octet for octet in piece.encode()]
    return found


@pytest.mark.parametrize("prefix", [True, False, None])
@given(text=st.text(st.sampled_from("thecasmndbu \né'"), min_size=1, max_size=24))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_sentencepiece_joins_the_best_scored_neighbours_first(
    tmp_path: Path, prefix: bool | None, text: str
) -> None:
    keys = sentencepiece_keys() if prefix is None else sentencepiece_keys(add_space_prefix=prefix)
    assert vocabulary(tmp_path, keys).encode(text) == greedy(keys, text, prefix is not False)


def test_merges_of_a_sentencepiece_file_come_before_scores(tmp_path: Path) -> None:
    keys = sentencepiece_keys(merges=["▁ t", "t h"])
    found = vocabulary(tmp_path, renamed(keys, {VOCABULARY - 1: "th"}, NORMAL))
    assert [token.text for token in found.tokens(found.encode("the"))] == [" t", "h", "e"]


def test_letters_without_an_entry_are_the_unknown_token_where_there_are_no_bytes(tmp_path: Path) -> None:
    keys = renamed(sentencepiece_keys(), {3 + byte: f"<no{byte}>" for byte in range(256)}, UNUSED)
    del keys[GGML + "unknown_token_id"]
    assert vocabulary(tmp_path, keys).encode("the é") == [*vocabulary(tmp_path, keys).encode("the "), 0]
    with pytest.raises(LookupsError, match="letters without an entry would be dropped"):
        vocabulary(tmp_path, renamed(keys, {0: "<nothing>"}, UNUSED))


# --- control, user-defined, unused tokens; begin-of-text ---


def test_begin_of_text_written_with_other_letters(opened: Opened) -> None:
    """As DeepSeek's distilled models write it: U+FF5C and U+2581, in a byte-level vocabulary."""
    name = "<｜begin▁of▁sentence｜>"
    keys = renamed(byte_level_keys("deepseek-r1-qwen", bos_token_id=2), {2: name}, CONTROL)
    found = read_vocabulary(opened(with_tokenizer(keys)).folder)
    assert found.bos_id == 2
    assert found.texts[2] == name
    assert len(found) <= VOCABULARY
    assert found.encode(f"the{name}cat").count(2) == 1


def test_user_defined_tokens_are_found_before_texts_are_split(tmp_path: Path) -> None:
    keys = renamed(byte_level_keys(), {310: "<think>", 311: "  "}, USER_DEFINED)
    found = vocabulary(tmp_path, keys)
    assert 310 in found.encode("the<think>cat")
    assert 311 in found.encode("the  cat")
    assert not {310, 311} & found.special_ids
    assert 310 in vocabulary(tmp_path, renamed(sentencepiece_keys(), {310: "<think>"}, USER_DEFINED)).encode(
        "<think>"
    )


def test_control_tokens_are_special_and_unused_ones_are_no_tokens(tmp_path: Path) -> None:
    """Of unused ones are the rows that a vocabulary was padded with: in no rank, as in the model's folder."""
    for keys, unused in ((byte_level_keys(), "<unused310>"), (sentencepiece_keys(), "<pad5>")):
        found = vocabulary(tmp_path, keys).padded(VOCABULARY)
        place = keys[GGML + "tokens"].index(unused)
        assert place in found.unused_ids
        assert place not in found.encode(unused)
        assert {i for i, kind in enumerate(keys[GGML + "token_type"]) if kind == CONTROL} <= found.special_ids


def test_an_unused_token_with_a_role_or_a_merge_is_one(tmp_path: Path) -> None:
    keys = byte_level_keys(padding_token_id=310)
    merged = keys[GGML + "merges"][0].replace(" ", "")
    keys = renamed(keys, {keys[GGML + "tokens"].index(merged): merged}, UNUSED)
    found = vocabulary(tmp_path, keys).padded(VOCABULARY)
    assert not {310, keys[GGML + "tokens"].index(merged)} & set(found.unused_ids)


@pytest.mark.parametrize("added", [True, False, None])
def test_whether_begin_of_text_is_put_in_front_is_copied(opened: Opened, added: bool | None) -> None:
    keys = byte_level_keys() if added is None else byte_level_keys(add_bos_token=added, add_eos_token=False)
    config = json.loads((opened(with_tokenizer(keys)).folder / "tokenizer_config.json").read_text())
    assert config["bos_token"] == "<s>"
    assert config.get("add_bos_token") is added


def test_a_file_without_begin_of_text_has_none(opened: Opened) -> None:
    keys = byte_level_keys()
    del keys[GGML + "bos_token_id"]
    assert read_vocabulary(opened(with_tokenizer(keys)).folder).bos_id is None


def test_transformers_reads_the_folder_as_we_do(opened: Opened) -> None:
    from transformers import AutoTokenizer

    for keys in (byte_level_keys("qwen2"), sentencepiece_keys()):
        folder = opened(with_tokenizer(keys)).folder
        theirs, ours = AutoTokenizer.from_pretrained(str(folder)), read_vocabulary(folder)
        for text in ("the cat sat", "because  1 2", "naïve\n\n"):
            assert theirs.encode(text, add_special_tokens=False) == ours.encode(text)
        assert theirs.bos_token_id == ours.bos_id
