"""Cleaning, splitting and counting what the demo model is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools.demo_model.books import (
    clean,
    count_tokens,
    count_whole_words,
    held_out_rows,
    read_books,
    sample_rows,
)


def test_markdown_and_hard_wraps_are_removed() -> None:
    text = "# Title\n\nA *hard*\nwrapped “line” [link](http://x) - end…\n\n\n\nNext"
    assert clean(text) == 'A hard wrapped "line" - end...\n\nNext'


def test_the_split_depends_on_the_files_alone_and_shares_no_book(tmp_path: Path) -> None:
    for i in range(120):
        (tmp_path / f"{i:03}.txt").write_text(f"book {i} " * 400, encoding="utf-8")
    (tmp_path / "short.md").write_text("too short", encoding="utf-8")
    once, again = read_books(tmp_path), read_books(tmp_path)
    assert once == again
    assert len(once.held_out) == 2
    assert len(once.training) == 118
    assert not set(once.held_out) & set(once.training)


def test_one_book_is_too_few(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("word " * 1000, encoding="utf-8")
    with pytest.raises(SystemExit, match="fewer than two books"):
        read_books(tmp_path)


def test_a_row_is_begin_of_text_and_consecutive_tokens() -> None:
    tokens = np.arange(1, 1001, dtype=np.uint16)
    rows = sample_rows(tokens, 5, 8, np.random.default_rng(0))
    assert rows.shape == (5, 8)
    assert (rows[:, 0] == 0).all()
    assert (np.diff(rows[:, 1:], axis=1) == 1).all()


def test_held_out_batches_differ_from_one_another() -> None:
    tokens = np.arange(1, 60_000, dtype=np.uint16)
    batches = held_out_rows(tokens, 16)
    assert len({batch.tobytes() for batch in batches}) == len(batches) == 8


def test_whole_words_are_counted_where_no_letter_follows() -> None:
    texts = ["<bos>", " sun", "sh", "ine", ".", " because", "a", "�"]
    tokens = np.array([1, 2, 3, 4, 1, 4, 5, 1, 5, 6, 1, 7, 1], dtype=np.uint16)
    # " sun" five times: before "sh" (a piece), ".", " because", half a character, and at the end
    assert count_tokens(tokens, 8).tolist() == [0, 5, 1, 1, 2, 2, 1, 1]
    assert count_whole_words(tokens, texts).tolist() == [0, 3, 0, 0, 0, 1, 0, 0]
