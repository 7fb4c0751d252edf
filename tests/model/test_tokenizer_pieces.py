"""Folders without a tokenizer.json: a SentencePiece model is read as its kind, and nothing is guessed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_tokenizers import byte_level_tokenizer
from tui_lookups.errors import ModelLoadError
from tui_lookups.model.tokenizer_folder import read_vocabulary

sentencepiece = pytest.importorskip("sentencepiece")

LINES = [
    "the river runs past a stone wall where the boats lie still",
    "seven birds of the river sat upon the stone and looked at the boats",
    "a cat and a dog walked along the river because the morning was quiet",
    "the boats of the harbour lay beside the wall for a long time",
] * 20
KINDS = ("unigram", "bpe")
PREFIX = pytest.mark.parametrize("prefix", [True, False], ids=["space in front", "none"])


@pytest.fixture(scope="module")
def trained() -> Any:
    """trained(kind, prefix): the bytes of a small SentencePiece model, as Llama's are made."""
    made: dict[tuple[str, bool], bytes] = {}

    def train(kind: str, prefix: bool = True) -> bytes:
        if (kind, prefix) not in made:
            writer = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(LINES),
                model_writer=writer,
                model_type=kind,
                vocab_size=360,
                byte_fallback=True,
                add_dummy_prefix=prefix,
                remove_extra_whitespaces=False,
                normalization_rule_name="identity",
                hard_vocab_limit=False,
                minloglevel=2,
            )
            made[kind, prefix] = writer.getvalue()
        return made[kind, prefix]

    return train


def folder_of(folder: Path, model: bytes, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    said = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@PREFIX
@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "not legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_sentencepieces_own(
    trained: Any, kind: str, legacy: bool, prefix: bool, tmp_path: Path
) -> None:
    vocabulary = read_vocabulary(folder_of(tmp_path, trained(kind, prefix), legacy=legacy))
    theirs = sentencepiece.SentencePieceProcessor(model_proto=trained(kind, prefix))
    for text in ("river stone 7 birds", "the boats\n\nof  the é harbour", "日本 cat", "x" * 50):
        assert vocabulary.encode(text) == theirs.encode(text)
    pieces = [vocabulary.texts[i] for i in vocabulary.encode("a stone of the river")]
    assert "".join(pieces).strip() == "a stone of the river"
    assert any(piece.startswith(" ") and len(piece) > 2 for piece in pieces), "a space goes with its word"
    assert vocabulary.bos == vocabulary.find("<s>")
    assert [vocabulary.texts[i] for i in vocabulary.encode("<s>")][-1] == "<s>"


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens_exist(trained: Any, kind: str, tmp_path: Path) -> None:
    size = sentencepiece.SentencePieceProcessor(model_proto=trained(kind)).get_piece_size()
    added = {str(size): {"content": "<tool>", "special": True}}
    vocabulary = read_vocabulary(folder_of(tmp_path, trained(kind), added_tokens_decoder=added))
    assert vocabulary.find("<tool>").id == size
    assert size in vocabulary.encode("the<tool>cat")


def test_begin_of_text_is_not_added_where_the_files_say_so(trained: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, trained("bpe"), add_bos_token=False)
    assert read_vocabulary(folder).bos_id is None
    assert read_vocabulary(folder, bos="always").bos == read_vocabulary(folder).find("<s>")


@PREFIX
def test_a_contradiction_about_the_space_in_front_is_refused(
    trained: Any, prefix: bool, tmp_path: Path
) -> None:
    read_vocabulary(folder_of(tmp_path, trained("bpe", prefix), add_prefix_space=prefix))
    with pytest.raises(ModelLoadError, match="add_prefix_space"):
        read_vocabulary(folder_of(tmp_path, trained("bpe", prefix), add_prefix_space=not prefix))


@pytest.mark.parametrize("content", [b"", b"IQ== 0\nIg== 1\n", b"\x00\x01damaged"])
def test_what_is_no_sentencepiece_model_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="not a SentencePiece model"):
        read_vocabulary(folder_of(tmp_path, content))


def test_pieces_that_come_out_otherwise_are_refused(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a converter makes BPE of a unigram model."""
    import transformers

    llama = transformers.LlamaTokenizer
    monkeypatch.setattr(transformers, "PreTrainedTokenizerFast", llama)
    with pytest.raises(ModelLoadError, match="other pieces than SentencePiece's"):
        read_vocabulary(folder_of(tmp_path, trained("unigram")))


class TestVocabularyAndMerges:
    """vocab.json and merges.txt do not say how a text is split."""

    def folder(self, folder: Path, family: str, **config: object) -> Path:
        byte_level_tokenizer().model.save(str(folder))
        said = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>", **config}
        (folder / "tokenizer_config.json").write_text(json.dumps(said))
        (folder / "config.json").write_text(json.dumps({"model_type": family}))
        return folder

    def test_a_family_with_one_rule_is_read(self, tmp_path: Path) -> None:
        vocabulary = read_vocabulary(self.folder(tmp_path, "gpt2", tokenizer_class="GPT2Tokenizer"))
        assert [vocabulary.texts[i] for i in vocabulary.encode("the cat")] == ["the", " cat"]
        assert vocabulary.bos == vocabulary.find("<s>")

    @pytest.mark.parametrize("named", ["GPT2Tokenizer", None, "PreTrainedTokenizerFast"])
    def test_another_is_refused(self, named: str | None, tmp_path: Path) -> None:
        more = {} if named is None else {"tokenizer_class": named}
        with pytest.raises(ModelLoadError, match="tokenizer"):
            read_vocabulary(self.folder(tmp_path, "llama", **more))
