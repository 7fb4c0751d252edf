"""The books the demo model is trained on, as tokens; how often training shows each token.

1. Books are cleaned of Markdown and hard line wraps; one in fifty is held out.
2. Tokens of every book are laid end to end, training and held-out books apart.
3. A row of a batch is the begin-of-text token (id 0) followed by `context - 1` tokens from one place.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]

HELD_OUT_BATCHES = 8
HELD_OUT_ROWS = 64

_PLAIN = str.maketrans({"“": '"', "”": '"', "’": "'", "‘": "'", "–": "-"})
_MARKDOWN = re.compile(r"^\s*#+.*$|!?\[[^\]]*\]\([^)]*\)|[*_`>|]+", re.MULTILINE)
_SHORTEST_BOOK = 2_000


@dataclass(frozen=True)
class Books:
    """The texts of the books, split by book."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def read_books(folder: Path) -> Books:
    """Every .txt and .md file below `folder`; which are held out depends on the folder's files alone.

    Raises:
        SystemExit: fewer than two books of a useful length.
    """
    paths = sorted([*folder.rglob("*.txt"), *folder.rglob("*.md")])
    cleaned = [clean(path.read_text(encoding="utf-8", errors="replace")) for path in paths]
    books = [book for book in cleaned if len(book) > _SHORTEST_BOOK]
    if len(books) < 2:
        raise SystemExit(f"{folder} has fewer than two books of {_SHORTEST_BOOK} characters or more.")
    random.Random(0).shuffle(books)
    n_held_out = max(1, len(books) // 50)
    return Books(training=tuple(books[n_held_out:]), held_out=tuple(books[:n_held_out]))


def clean(text: str) -> str:
    """Plain quotes and dashes, no Markdown, paragraphs on one line each."""
    text = text.translate(_PLAIN).replace("—", " - ").replace("…", "...")
    text = _MARKDOWN.sub("", text)
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
    text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r"\n\s*\n+", "\n\n", text).strip()


def encode(tokenizer: Any, texts: Sequence[str]) -> TokenIds:
    """[n_tokens] the texts' tokens end to end, without begin-of-text tokens."""
    return np.concatenate([np.asarray(tokenizer(text).input_ids, np.uint16) for text in texts])


def sample_rows(tokens: TokenIds, rows: int, context: int, rng: np.random.Generator) -> Counts:
    """[rows, context] token ids; column 0 is the begin-of-text token (id 0)."""
    starts = rng.integers(0, len(tokens) - context, size=rows)
    found = np.stack([tokens[start : start + context - 1] for start in starts]).astype(np.int64)
    return np.concatenate([np.zeros((rows, 1), np.int64), found], axis=1)


def held_out_rows(tokens: TokenIds, context: int) -> list[Counts]:
    """The batches every held-out loss is measured on: eight, each drawn with a seed of its own."""
    return [
        sample_rows(tokens, HELD_OUT_ROWS, context, np.random.default_rng(seed))
        for seed in range(HELD_OUT_BATCHES)
    ]


def count_tokens(tokens: TokenIds, vocab_size: int) -> Counts:
    """[vocab] how often each token occurs."""
    return np.bincount(tokens, minlength=vocab_size).astype(np.int64)


def count_whole_words(tokens: TokenIds, texts: Sequence[str]) -> Counts:
    """[vocab] how often each token stands as a whole word: a space and letters, and no letter after them.

    " sun" before "sh" is a piece of a word there, and is not counted; a token that is no space and letters
    has 0.

    Args:
        texts: the text of each token of the vocabulary.
    """
    is_word = np.array([text[:1] == " " and text[1:].isalpha() for text in texts])
    goes_on = np.array([text[:1].isalpha() or text[:1] == "�" for text in texts])
    ends = np.append(~goes_on[tokens[1:]], True)
    return np.bincount(tokens[ends & is_word[tokens]], minlength=len(texts)).astype(np.int64)
