"""Corpora that are none: texts come out, or one sentence; never more than bounded memory."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import processes
from tests.faults.tally import Row, tried
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


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("examples", [15, pytest.param(1500, marks=pytest.mark.slow)])
def test_any_bytes(tmp_path: Path, ending: str, examples: int) -> None:
    path = tmp_path / f"c{ending}"

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.binary(max_size=400), st.booleans())
    def every(data: bytes, packed: bool) -> None:
        path.write_bytes(gzip.compress(data) if packed else data)
        with tried(Row.CORPORA):
            texts = read(path)
            assert texts is None or all(isinstance(text, str) and text for text in texts)

    every()


@pytest.mark.parametrize("examples", [40, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_records(tmp_path: Path, examples: int) -> None:
    """Lines of JSON of any shape: their texts, or the line that has none."""
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
            shaped = all(isinstance(line, dict) and isinstance(line.get("text"), str) for line in lines)
            right = [line["text"] for line in lines if line["text"]] if shaped else []
            assert texts == (right or None)

    every()


@processes.needs_fork
@pytest.mark.parametrize("megabytes", [64, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_line_in_bounded_memory(tmp_path: Path, megabytes: int) -> None:
    """A .txt of one line comes in pieces; a .jsonl of one line is refused before it is read whole."""
    for name, start in (("c.txt", b"word "), ("c.jsonl", b'{"text": "')):
        with (tmp_path / name).open("wb") as file:
            file.write(start)
            for _ in range(megabytes):
                file.write(b"word word word w" * (MEGABYTE // 16))

    def work() -> list[int]:
        list(open_source("demo").documents())
        processes.limit_memory(600 * MEGABYTE)
        characters = sum(len(document.text) for document in open_source(str(tmp_path / "c.txt")).documents())
        return [characters, int(read(tmp_path / "c.jsonl") is None)]

    with tried(Row.CORPORA, 2):
        assert processes.answer_of(work, tmp_path / "child") == [5 + megabytes * MEGABYTE, 1]


@pytest.mark.slow
def test_a_million_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("".join(f'{{"text": "line {number}"}}\n' for number in range(10**6)), encoding="utf-8")
    with tried(Row.CORPORA):
        assert sum(1 for _ in open_source(str(path)).documents()) == 10**6


def test_damaged_compressed_files(tmp_path: Path) -> None:
    """One byte of a .gz changed: the texts as they were, or a sentence; never other texts at its end."""
    import zstandard

    lines = "".join(f'{{"text": "line {number} {number * number}"}}\n' for number in range(300)).encode()
    right = [json.loads(line)["text"] for line in lines.splitlines()]
    source = random.Random(5)
    packers = {
        ".jsonl.gz": lambda: gzip.compress(lines),
        ".jsonl.zst": lambda: zstandard.ZstdCompressor(write_checksum=True).compress(lines),
    }
    for ending, pack in packers.items():
        whole = pack()
        for _ in range(40):
            data = bytearray(whole)
            data[source.randrange(len(data))] ^= source.randrange(1, 256)
            (tmp_path / f"c{ending}").write_bytes(data)
            with tried(Row.CORPORA):
                assert read(tmp_path / f"c{ending}") in (None, right)
