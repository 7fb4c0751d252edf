"""A folder's tokenizer has the tokens that transformers' AutoTokenizer finds, wherever they are written.

Held to AutoTokenizer on texts of every kind, for byte-level BPE, BPE with byte fallback and unigram; and
what cannot be known to be right is refused in a sentence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from tests.tiny_tokenizers import (
    byte_level_tokenizer,
    save_tokenizer,
    sentencepiece_tokenizer,
    unigram_tokenizer,
)
from tui_lookups.errors import ModelLoadError
from tui_lookups.model.tokenizer_folder import read_vocabulary, says_all
from tui_lookups.model.vocabulary import Vocabulary

KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": byte_level_tokenizer,
    "sentencepiece": sentencepiece_tokenizer,
    "unigram": unigram_tokenizer,
}
OF_EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
TEXTS = [
    "", " ", "   ", "\n\n", "\t", "the cat", " the cat sat because", "thecat", "é café", "日本 👩\u200d👧",
    "<s>", "a<s>b", "the <s> cat", "<s></s>", " </s> the", "<tool>", "the<tool>cat", "the <tool> cat",
    "the  <tool>  cat", "naïve", "the naïveté", "Cafe\u0301", "<|end|>", "x<|end|>\nx", "[PAD] [PAD]",
    "CAT", "cat<TOOL>", "\u2581the", "a" * 300, "\x00", "<0x0A>", "\ufeffthe",
]  # fmt: skip
PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}


def folder_of(
    kind: str,
    folder: Path,
    *,
    config: dict[str, Any] | None = None,
    files: dict[str, Any] | None = None,
    edit: Callable[[Tokenizer], object] = lambda _: None,
) -> Path:
    """A folder with a tokenizer of this kind, more keys in its configuration, and more JSON files."""
    tokenizer = KINDS[kind]()
    edit(tokenizer)
    save_tokenizer(tokenizer, folder, begin_of_text="<s>")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}), encoding="utf-8")
    for name, content in {"config.json": {"model_type": "llama"}, **(files or {})}.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def require_same(folder: Path) -> Vocabulary:
    """Our ids are those of AutoTokenizer on every text."""
    from transformers import AutoTokenizer

    ours = read_vocabulary(folder)
    theirs = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), repr(text)
    assert len(ours) == max(theirs.get_vocab().values()) + 1
    return ours


def next_id(kind: str) -> int:
    return int(KINDS[kind]().get_vocab_size())


@OF_EVERY_KIND
class TestTokensWrittenElsewhere:
    def test_none(self, kind: str, tmp_path: Path) -> None:
        assert require_same(folder_of(kind, tmp_path)).head.variant == ""

    @pytest.mark.parametrize("flag", ["", "special", "lstrip", "rstrip", "single_word", "not normalized"])
    def test_in_tokenizer_json(self, kind: str, flag: str, tmp_path: Path) -> None:
        flags = {**PLAIN, "normalized": flag != "not normalized", **({flag: True} if flag in PLAIN else {})}
        added = [AddedToken(text, **flags) for text in ("<tool>", "naïve", "[PAD]")]
        vocabulary = require_same(folder_of(kind, tmp_path, edit=lambda t: t.add_tokens(added)))
        assert vocabulary.find("naïve").id == next_id(kind) + 1
        assert vocabulary.head.variant == ""

    @pytest.mark.parametrize("flag", ["", "special", "lstrip", "rstrip", "single_word", "not normalized"])
    def test_in_added_tokens_decoder(self, kind: str, flag: str, tmp_path: Path) -> None:
        flags = {**PLAIN, "normalized": flag != "not normalized", **({flag: True} if flag in PLAIN else {})}
        first = next_id(kind)
        listed = {
            str(first + n): {"content": text, **flags}
            for n, text in enumerate(["<tool>", "naïve", "<|end|>"])
        }
        vocabulary = require_same(folder_of(kind, tmp_path, config={"added_tokens_decoder": listed}))
        assert vocabulary.find("naïve").id == first + 1
        assert vocabulary.encode("naïve")[-1] == first + 1
        assert ("<tool>" in {vocabulary.texts[i] for i in vocabulary.special_ids}) == (flag == "special")

    def test_in_added_tokens_json(self, kind: str, tmp_path: Path) -> None:
        first = next_id(kind)
        files = {"added_tokens.json": {"<tool>": first, "naïve": first + 1, "<|end|>": first + 2}}
        config = {"additional_special_tokens": ["<|end|>"]}
        vocabulary = require_same(folder_of(kind, tmp_path, files=files, config=config))
        assert vocabulary.find("<|end|>").id in vocabulary.special_ids
        assert vocabulary.find("<tool>").id not in vocabulary.special_ids

    @pytest.mark.parametrize("key", ["additional_special_tokens", "extra_special_tokens"])
    def test_among_more_special_tokens(self, kind: str, key: str, tmp_path: Path) -> None:
        vocabulary = require_same(folder_of(kind, tmp_path, config={key: ["<tool>", "<|end|>", "</s>"]}))
        assert vocabulary.find("<|end|>").id == next_id(kind) + 1
        assert vocabulary.find("<|end|>").id in vocabulary.special_ids

    def test_by_names_of_the_models_own(self, kind: str, tmp_path: Path) -> None:
        config = {"tool_token": "<tool>", "extra_special_tokens": {"end_token": "<|end|>"}}
        assert require_same(folder_of(kind, tmp_path, config=config)).find("<|end|>").id == next_id(kind) + 1

    def test_in_special_tokens_map(self, kind: str, tmp_path: Path) -> None:
        named = {"bos_token": "</s>", "pad_token": {"content": "[PAD]", **PLAIN, "lstrip": True}}
        vocabulary = require_same(folder_of(kind, tmp_path, files={"special_tokens_map.json": named}))
        assert vocabulary.bos == vocabulary.find("</s>")
        assert vocabulary.find("[PAD]").id in vocabulary.special_ids

    def test_special_tokens_map_counts_for_nothing_beside_added_tokens_decoder(
        self, kind: str, tmp_path: Path
    ) -> None:
        listed = {str(next_id(kind)): {"content": "<tool>", **PLAIN}}
        files = {"special_tokens_map.json": {"bos_token": "</s>", "pad_token": "[PAD]"}}
        folder = folder_of(kind, tmp_path, config={"added_tokens_decoder": listed}, files=files)
        assert require_same(folder).bos_id == read_vocabulary(folder).find("<s>").id

    def test_other_flags_than_in_tokenizer_json(self, kind: str, tmp_path: Path) -> None:
        listed = {str(next_id(kind)): {"content": "<tool>", **PLAIN, "lstrip": True, "rstrip": True}}
        folder = folder_of(
            kind,
            tmp_path,
            edit=lambda t: t.add_tokens([AddedToken("<tool>", normalized=False)]),
            config={"added_tokens_decoder": listed},
        )
        assert require_same(folder).head.variant != ""

    def test_special_tokens_that_are_split_in_texts(self, kind: str, tmp_path: Path) -> None:
        vocabulary = require_same(folder_of(kind, tmp_path, config={"split_special_tokens": True}))
        if kind != "unigram":  # which may still find the entry, as any other
            assert vocabulary.bos_id not in vocabulary.encode("<s>")
        assert vocabulary.fingerprint != read_vocabulary(folder_of(kind, tmp_path)).fingerprint

    def test_an_id_that_cannot_be_given_is_refused(self, kind: str, tmp_path: Path) -> None:
        listed = {str(next_id(kind) + 7): {"content": "<tool>", **PLAIN}}
        with pytest.raises(ModelLoadError, match=r"contradict.*<tool>"):
            read_vocabulary(folder_of(kind, tmp_path, config={"added_tokens_decoder": listed}))

    @pytest.mark.parametrize(
        "listed", [[], {"x": {"content": "a"}}, {"5": "a"}, {"5": {}}, {"5": {"content": 3}}]
    )
    def test_damaged_lists_are_named(self, kind: str, listed: object, tmp_path: Path) -> None:
        with pytest.raises(ModelLoadError, match="added tokens"):
            read_vocabulary(folder_of(kind, tmp_path, config={"added_tokens_decoder": listed}))

    def test_transformers_is_not_imported_for_them(self, kind: str, tmp_path: Path) -> None:
        folder = folder_of(kind, tmp_path, config={"additional_special_tokens": ["<tool>"]})
        assert says_all(folder)
        code = (
            "import sys; from pathlib import Path\n"
            "from tui_lookups.model.tokenizer_folder import read_vocabulary\n"
            "read_vocabulary(Path(sys.argv[1])).encode('the <tool>')\n"
            "assert not {'transformers', 'torch'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


class TestTheFilesOwnRules:
    def test_a_pre_tokenizer_outweighs_the_class_that_is_named(self, tmp_path: Path) -> None:
        """transformers 5 makes a GPT2Tokenizer of vocabulary and merges alone, where digits join."""

        def single_digits(tokenizer: Tokenizer) -> None:
            digits = pre_tokenizers.Digits(individual_digits=True)
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, tokenizer.pre_tokenizer])

        folder = folder_of(
            "byte-level", tmp_path, config={"tokenizer_class": "GPT2Tokenizer"}, edit=single_digits
        )
        named = read_vocabulary(folder)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        del config["bos_token"]  # its default is asked of transformers
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        asked = read_vocabulary(folder)
        for vocabulary in (named, asked):
            assert [vocabulary.texts[i] for i in vocabulary.encode(" 12")] == [" ", "1", "2"]
        assert asked.bos_id is None, "the class's <|endoftext|> is not in the vocabulary"
        assert asked.head.variant != ""

    def test_a_normalizer_is_applied(self, tmp_path: Path) -> None:
        def composed(tokenizer: Tokenizer) -> None:
            tokenizer.normalizer = normalizers.NFC()

        vocabulary = require_same(folder_of("byte-level", tmp_path, edit=composed))
        assert vocabulary.encode("cafe\u0301") == vocabulary.encode("caf\u00e9")

    @pytest.mark.parametrize(("kind", "says"), [("byte-level", True), ("sentencepiece", True)])
    def test_add_prefix_space_that_contradicts_is_refused(
        self, kind: str, says: bool, tmp_path: Path
    ) -> None:
        require_same(folder_of(kind, tmp_path, config={"add_prefix_space": not says}))
        with pytest.raises(ModelLoadError, match="add_prefix_space"):
            read_vocabulary(folder_of(kind, tmp_path, config={"add_prefix_space": says}))

    def test_a_space_in_front_that_both_files_want(self, tmp_path: Path) -> None:
        def spaced(tokenizer: Tokenizer) -> None:
            tokenizer.normalizer = None
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)

        folder = folder_of("sentencepiece", tmp_path, config={"add_prefix_space": True}, edit=spaced)
        vocabulary = require_same(folder)
        assert [vocabulary.texts[i] for i in vocabulary.encode("the")] == [" the"]
        with pytest.raises(ModelLoadError, match="add_prefix_space"):
            read_vocabulary(
                folder_of("sentencepiece", tmp_path, config={"add_prefix_space": False}, edit=spaced)
            )


class TestRefused:
    @pytest.mark.parametrize("mapped", [{"AutoTokenizer": ["own.OwnTokenizer", None]}, ["own.Own", None]])
    def test_a_tokenizer_that_is_code(self, mapped: object, tmp_path: Path) -> None:
        with pytest.raises(ModelLoadError, match="code that comes with the model"):
            read_vocabulary(folder_of("byte-level", tmp_path, config={"auto_map": mapped}))

    def test_code_for_something_else_does_not_matter(self, tmp_path: Path) -> None:
        require_same(folder_of("byte-level", tmp_path, config={"auto_map": {"AutoProcessor": "own.Own"}}))

    @pytest.mark.parametrize("model", [models.WordPiece, models.WordLevel])
    def test_kinds_that_are_not_known(self, model: Any, tmp_path: Path) -> None:
        tokenizer = Tokenizer(model({"[UNK]": 0, "the": 1, "<s>": 2}, unk_token="[UNK]"))
        save_tokenizer(tokenizer, tmp_path, begin_of_text="<s>")
        with pytest.raises(ModelLoadError, match="kind Word"):
            read_vocabulary(tmp_path)

    def test_a_tokenizer_for_each_version_of_transformers(self, tmp_path: Path) -> None:
        names = ["tokenizer.json", "tokenizer.4.9.0.json"]
        folder = folder_of("byte-level", tmp_path, config={"fast_tokenizer_files": names})
        read_vocabulary(folder)
        (folder / names[1]).write_text((folder / names[0]).read_text())
        with pytest.raises(ModelLoadError, match="several tokenizers"):
            read_vocabulary(folder)


class TestBeginOfText:
    """In front where one is defined, unless the files say that none is added (method.md, section 3)."""

    @pytest.mark.parametrize(
        ("defined", "adds", "auto"), [("<s>", None, True), ("<s>", True, True), ("<s>", False, False)]
    )
    def test_as_the_files_say(self, defined: str, adds: bool | None, auto: bool, tmp_path: Path) -> None:
        folder = folder_of("byte-level", tmp_path, config={} if adds is None else {"add_bos_token": adds})
        assert (read_vocabulary(folder).bos_id == 0) == auto
        assert (read_vocabulary(folder, bos="auto").bos_id == 0) == auto
        assert read_vocabulary(folder, bos="always").bos_id == 0
        assert read_vocabulary(folder, bos="defined").bos_id == 0
        assert read_vocabulary(folder, bos="never").bos_id is None

    def test_where_none_is_defined(self, tmp_path: Path) -> None:
        folder = folder_of("byte-level", tmp_path, config={"bos_token": None, "add_bos_token": True})
        for rule in ("auto", "never", "defined"):
            assert read_vocabulary(folder, bos=rule).bos_id is None
        with pytest.raises(ModelLoadError, match="defines no begin-of-text"):
            read_vocabulary(folder, bos="always")

    def test_each_reading_has_keys_of_its_own(self, tmp_path: Path) -> None:
        with_it = read_vocabulary(folder_of("byte-level", tmp_path))
        without = read_vocabulary(tmp_path, bos="never")
        assert with_it.head.variant == ""
        assert without.head.variant != ""
        assert with_it.fingerprint != without.fingerprint
        folder_of("byte-level", tmp_path, config={"add_bos_token": False})
        assert read_vocabulary(tmp_path).head == without.head
        assert read_vocabulary(tmp_path, bos="always").head == with_it.head
