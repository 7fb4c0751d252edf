"""A tokenizer made of the files that older folders have in place of a tokenizer.json.

1. A tokenizer.model is a SentencePiece model, of the kind that it says it is (unigram or BPE). transformers'
   general converter follows the model's own settings, where the one for Llama makes BPE of every kind. The
   result is held to SentencePiece's own segmentation, and refused where the two differ.
2. vocab.json and merges.txt do not say how a text is split before it is merged. They are read only where
   the model's family has one rule for that, which its class in transformers knows.
3. Everything else is refused: a guess would give other tokens than the model was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import ModelLoadError, first_line
from tui_lookups.model.first_import import import_transformers

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ONE_RULE = ("GPT2Tokenizer", "Qwen2Tokenizer")
"""Classes of transformers that stand for one way to split a text."""

_PIECES_AT_ONCE = 200
_PROBES = (
    "The harbour was quiet in 1867, and 3.14159 boats lay still.",
    "one  two   three    four",
    "a\n\nb\tc\r\nd",
    "na\u00efve caf\u00e9 cafe\u0301 \ufb01ne \u2460 \u00bd",
    "\u65e5\u672c\u8a9e \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \U0001f469\u200d\U0001f467",
    "def f(x):\n        return x**2  # end\n",
    "https://example.org/?q=a%20b&c=d_e-f",
    "don't WON'T I'll 100%!?...",
    "trailing ",
    "is \u2581marked\u2581",
    "\x00\x1b \u00a0\u3000x",
)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A tokenizer, what its fingerprint is of, its begin-of-text (None: none), and its variant."""

    tokenizer: Tokenizer
    content: str
    bos: str | None
    variant: str


def read_pieces(folder: Path, config: Mapping[str, Any]) -> Pieces:
    """The tokenizer of a folder without a tokenizer.json. Raises ModelLoadError where it cannot be known.

    Args:
        config: the folder's tokenizer_config.json.
    """
    if (folder / "tokenizer.model").is_file():
        return _sentencepiece(folder, config)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _merges(folder)
    raise ModelLoadError(
        f"No tokenizer can be read in {folder}.", "The folder needs a tokenizer.json (a fast tokenizer)."
    )


def _sentencepiece(folder: Path, config: Mapping[str, Any]) -> Pieces:
    path = folder / "tokenizer.model"
    try:
        import_transformers()
        from sentencepiece import SentencePieceProcessor
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise ModelLoadError(
            f"{path} needs the package sentencepiece.", "Install it, or give the folder a tokenizer.json."
        ) from error
    try:
        theirs = SentencePieceProcessor(model_file=str(path))
    except Exception as error:  # the library raises RuntimeError and OSError
        raise ModelLoadError(
            f"{path} is not a SentencePiece model.", "The folder needs a tokenizer.json (a fast tokenizer)."
        ) from error
    pieces = _from_transformers(PreTrainedTokenizerFast, folder)
    tokenizer: Tokenizer = pieces.backend_tokenizer
    _same_prefix(folder, config, theirs)
    for text in _probes(theirs):
        if tokenizer.encode(text, add_special_tokens=False).ids != theirs.encode(text):
            raise ModelLoadError(
                f"{path} cannot be read: {text[:40]!r} comes out as other pieces than SentencePiece's.",
                "Give the folder a tokenizer.json (a fast tokenizer) that was made for the model.",
            )
    return _pieces(pieces, "sentencepiece")


def _same_prefix(folder: Path, config: Mapping[str, Any], theirs: Any) -> None:
    """Raise ModelLoadError where tokenizer_config.json overrules whether a space is put in front."""
    asked, there = config.get("add_prefix_space"), theirs.encode("a", out_type=str)[0].startswith("\u2581")
    if isinstance(asked, bool) and asked != there:
        raise ModelLoadError(
            f"The tokenizer files in {folder} contradict each other: add_prefix_space is "
            f"{str(asked).lower()} in tokenizer_config.json and {str(there).lower()} in tokenizer.model.",
            "Make both say what the model was trained with.",
        )


def _probes(theirs: Any) -> Iterator[str]:
    """Texts without special tokens, not beginning with a space: of all kinds, and of the model's pieces."""
    yield from _PROBES
    ids = [i for i in range(theirs.get_piece_size()) if _is_ordinary(theirs, i)]
    words = [theirs.id_to_piece(i).replace("\u2581", " ") for i in ids]
    for start in range(0, min(len(words), 10 * _PIECES_AT_ONCE), _PIECES_AT_ONCE):
        yield "." + " ".join(words[start : start + _PIECES_AT_ONCE])


def _is_ordinary(theirs: Any, piece: int) -> bool:
    return not (theirs.is_control(piece) or theirs.is_unknown(piece) or theirs.is_byte(piece))


def _merges(folder: Path) -> Pieces:
    import_transformers()
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    pieces = _from_transformers(AutoTokenizer, folder)
    class_name = type(pieces).__name__
    try:
        family = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        family = None  # said where the configuration is read
    if class_name not in _ONE_RULE or TOKENIZER_MAPPING_NAMES.get(family) != class_name:
        raise ModelLoadError(
            f"The tokenizer in {folder} does not say how a text is split before it is merged.",
            "The folder needs a tokenizer.json (a fast tokenizer).",
        )
    return _pieces(pieces, "")


def _from_transformers(loader: Any, folder: Path) -> Any:
    try:
        tokenizer = loader.from_pretrained(str(folder), local_files_only=True)
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    except Exception as error:  # transformers raises many kinds here
        raise ModelLoadError(
            f"No tokenizer can be read in {folder}: {first_line(error).rstrip('.')}.",
            "The folder needs a tokenizer.json (a fast tokenizer).",
        ) from error
    return tokenizer


def _pieces(found: Any, variant: str) -> Pieces:
    tokenizer: Tokenizer = found.backend_tokenizer
    bos = found.bos_token
    # A default of the class that the vocabulary lacks is not the model's.
    own = bos is not None and tokenizer.get_vocab(with_added_tokens=False).get(str(bos)) is not None
    return Pieces(tokenizer, tokenizer.to_str(), str(bos) if own else None, variant)
