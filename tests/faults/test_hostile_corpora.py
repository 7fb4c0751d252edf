"""Corpora that are none: texts come out, or one sentence; never more than bounded memory."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.faults import processes
from tests.faults.tally import Row, tried
from tui_lookups.corpus import compressed
from tui_lookups.corpus import documents as corpus_documents
from tui_lookups.corpus import lines as corpus_lines
from tui_lookups.corpus.readers import open_source
from tui_lookups.errors import CorpusError

ENDINGS = (".txt", ".jsonl", ".jsonl.gz", ".txt.gz", ".jsonl.zst", ".parquet", ".arrow")
MEGABYTE = 1 << 20
records = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["text", "a", ""]), inner, max_size=2)
    ),
    max_leaves=6,
)


def read(path: Path) -> list[str] | None:
    """The texts; None where a sentence was said instead."""
    try:
        return [document.text for document in open_source(str(path)).documents()]
    except CorpusError as error:
        assert "\n" not in error.message
        assert error.hint
        return None


def is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("examples", [15, pytest.param(1500, marks=pytest.mark.slow)])
def test_any_bytes(tmp_path: Path, ending: str, examples: int) -> None:
    path = tmp_path / f"c{ending}"

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @example(b"a\0b", False)
    @example(b"a\0b", True)
    @example(b"caf\xe9", False)
    @example(b"caf\xe9", True)
    @given(st.binary(max_size=400), st.booleans())
    def every(data: bytes, packed: bool) -> None:
        content = gzip.compress(data) if packed else data
        path.write_bytes(content)
        with tried(Row.CORPORA):
            texts = read(path)
            assert texts is None or all(isinstance(text, str) and text for text in texts)
            if ending == ".txt" and not is_text(content):
                assert texts is None, "bytes that are no text were read as one"
            if ending == ".txt.gz" and not (packed and is_text(data)):
                assert texts is None, "bytes that are no text were read as one"

    every()


@pytest.mark.parametrize("examples", [40, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_records(tmp_path: Path, examples: int) -> None:
    """Lines of JSON of any shape: their texts, or the line that is no record."""
    path = tmp_path / "c.jsonl"

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(records, max_size=4))
    def every(lines: list[object]) -> None:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        with tried(Row.CORPORA):
            texts = read(path)
            shaped = all(isinstance(line, dict) for line in lines)
            values = [line.get("text") for line in lines] if shaped else []
            right = [value for value in values if isinstance(value, str) and value.strip()]
            assert texts == (right or None)

    every()


def read_within(
    allowed: int, folder: Path, most_of_a_line: int | None, most_of_a_text: int | None
) -> list[int]:
    """Characters of the .txt, and whether the .jsonl was refused, where `allowed` bytes can be mapped."""
    if most_of_a_line is not None and most_of_a_text is not None:
        corpus_lines.MOST_LINE_CHARACTERS, corpus_documents.MOST_CHARACTERS = most_of_a_line, most_of_a_text
    list(open_source("demo").documents())
    processes.limit_memory(allowed)
    characters = sum(len(document.text) for document in open_source(str(folder / "c.txt")).documents())
    return [characters, int(read(folder / "c.jsonl") is None)]


@processes.needs_fork
@pytest.mark.parametrize("megabytes", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_line_in_bounded_memory(tmp_path: Path, megabytes: int) -> None:
    """A .txt of one line comes in pieces; a .jsonl of one line is refused before it is read whole."""
    # at 64 MB all of it is a sixteenth of the size
    limits = (40 * MEGABYTE, tmp_path, 4_000_000, 60_000)
    if megabytes >= 100:
        limits = (600 * MEGABYTE, tmp_path, None, None)
    for name, start in (("c.txt", b"word "), ("c.jsonl", b'{"text": "')):
        with (tmp_path / name).open("wb") as file:
            file.write(start)
            for _ in range(megabytes):
                file.write(b"word word word w" * (MEGABYTE // 16))

    with tried(Row.CORPORA, 2):
        assert processes.answer_anew(read_within, *limits) == [5 + megabytes * MEGABYTE, 1]


@pytest.mark.slow
def test_a_million_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("".join(f'{{"text": "line {number}"}}\n' for number in range(10**6)), encoding="utf-8")
    with tried(Row.CORPORA):
        assert sum(1 for _ in open_source(str(path)).documents()) == 10**6


def test_damaged_compressed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of a .gz changed: the texts as they were, or a sentence; never other texts at its end."""
    import zstandard

    # Small pieces of long texts, so that some have come out before the damage is met.
    monkeypatch.setattr(compressed, "_CHUNK", 512)
    monkeypatch.setattr(compressed, "_ZSTD_FEED", 64)
    right = [f"line {number} {number * number} {'more ' * 300}end" for number in range(300)]
    lines = "".join(f'{{"text": "{text}"}}\n' for text in right).encode()
    paragraphs = "\n\n".join(right).encode()  # a line of JSON that is cut short is none; a paragraph is one
    whole = {
        ".jsonl.gz": gzip.compress(lines),
        ".txt.gz": gzip.compress(paragraphs),
        ".jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(lines),
        ".txt.zst": zstandard.ZstdCompressor(write_checksum=True).compress(paragraphs),
    }
    source = random.Random(5)
    for ending, data in whole.items():
        path = tmp_path / f"c{ending}"
        for number in range(20):
            damaged, at = bytearray(data), source.randrange(len(data))
            damaged[at] ^= source.randrange(1, 256)
            path.write_bytes(damaged if number % 4 else data[:at])
            with tried(Row.CORPORA):
                assert read(path) in (None, right)
