from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_lookups.corpus import documents, tables
from tui_lookups.corpus.readers import open_source
from tui_lookups.corpus.tables import text_column
from tui_lookups.errors import CorpusError

TEXTS = ["one", None, "two\n\nthree", " ", "vier é"]
FOUND = ["one", "two\n\nthree", "vier é"]


def texts(path: Path) -> list[str]:
    return [document.text for document in open_source(str(path)).documents()]


def parquet(path: Path, columns: dict[str, object], **arguments) -> Path:
    pq.write_table(pa.table(columns), path, **arguments)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_parquet_file(tmp_path: Path, kind: pa.DataType, rows: int) -> None:
    columns = {"n": [1, 2, 3, 4, 5], "text": pa.array(TEXTS, kind)}
    path = parquet(tmp_path / "a.parquet", columns, row_group_size=rows)
    read = open_source(str(path))
    assert [(document.number, document.text) for document in read.documents()] == list(enumerate(FOUND))
    assert 0 < read.bytes_read <= read.bytes_total


def test_the_only_column_of_strings_will_do(tmp_path: Path) -> None:
    columns = {"n": [1], "story": ["once"], "list": pa.array([["no"]]), "bytes": pa.array([b"no"])}
    assert texts(parquet(tmp_path / "a.parquet", columns)) == ["once"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": [1], "number": [2]}, "no column of text; its columns are text, number"),
        (
            {"title": ["a"], "body": ["b"], "n": [1]},
            "several columns of text; its columns are title, body, n",
        ),
    ],
)
def test_no_clear_column_lists_them(tmp_path: Path, columns: dict[str, object], words: str) -> None:
    with pytest.raises(CorpusError, match=words) as caught:
        texts(parquet(tmp_path / "a.parquet", columns))
    assert "`text`" in caught.value.hint


def test_a_table_of_many_columns_lists_some() -> None:
    with pytest.raises(CorpusError, match=r"c0, c1, .*, c11, \.\.\.\.") as caught:
        text_column([(f"c{n}", False) for n in range(40)], "It")
    assert "c12" not in caught.value.message


def test_long_texts_are_cut_and_too_long_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST_CHARACTERS", 4)
    path = parquet(tmp_path / "a.parquet", {"text": ["ab", "abcdefghij"]})
    assert texts(path) == ["ab", "abcd", "efgh", "ij"]
    monkeypatch.setattr(tables, "MOST_TEXT_BYTES", 9)
    with pytest.raises(CorpusError, match="more than 9 bytes"):
        texts(path)


def test_a_text_of_gigabytes_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "a.parquet", {"text": ["x" * 200_000]}, use_dictionary=False)
    monkeypatch.setattr(tables, "MOST_TEXT_BYTES", 100_000)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    with pytest.raises(CorpusError, match="more than 100,000 bytes"):
        texts(path)


def test_many_copies_of_one_long_text_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int32()), pa.array(["x" * 6_000_000]))
    path = parquet(tmp_path / "a.parquet", {"text": copies})
    assert path.stat().st_size < 400_000
    rows, real = [], pq.ParquetFile.iter_batches

    def watched(self, size, **arguments):
        for batch in real(self, size, **arguments):
            rows.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert len(texts(path)) == 50 * 6
    assert set(rows) == {1}


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    wrong = pa.Array.from_buffers(pa.string(), 2, pa.array([b"good", b"\xff\xfe"]).buffers())
    with pytest.raises(CorpusError, match="row 1: the text is not UTF-8"):
        texts(parquet(tmp_path / "a.parquet", {"text": wrong}))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(CorpusError, match=r"cannot be read|could not be read") as caught:
        texts(tmp_path / "a.parquet")
    assert "a.parquet" in caught.value.message


def test_a_parquet_file_cut_short_or_damaged_inside(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"text": [f"text {n} " * 50 for n in range(300)]})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError):
        texts(path)
    path.write_bytes(data[:4] + b"\xff" * 200 + data[204:])
    with pytest.raises(CorpusError):
        texts(path)


# --- data set folders ---


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    made = datasets.Dataset.from_dict({"text": TEXTS, "n": list(range(5))})
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    return tmp_path / "saved"


def test_a_saved_data_set_in_the_order_of_its_state(saved: Path) -> None:
    read = open_source(str(saved))
    assert [document.text for document in read.documents()] == FOUND
    assert read.name == "saved"
    assert len(read.files) == 2
    assert 0 < read.bytes_read <= read.bytes_total
    before = read.fingerprint()
    state = json.loads((saved / "state.json").read_text())
    state["_data_files"].reverse()
    (saved / "state.json").write_text(json.dumps(state))
    turned = open_source(str(saved))
    assert sorted(document.text for document in turned.documents()) == sorted(FOUND)
    assert turned.fingerprint() != before


def test_a_saved_data_set_of_splits(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"text": ["a"]})
    other = datasets.Dataset.from_dict({"text": ["b"]})
    datasets.DatasetDict({"test": other, "train": made}).save_to_disk(tmp_path / "both")
    datasets.DatasetDict({"test": other}).save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": other, "valid": made}).save_to_disk(tmp_path / "none")
    both = open_source(str(tmp_path / "both"))
    assert (both.name, both.note) == ("both/train", "Other splits left out: test.")
    assert texts(tmp_path / "both") == ["a"]
    assert texts(tmp_path / "one") == texts(tmp_path / "both" / "test") == ["b"]
    with pytest.raises(CorpusError, match="splits test, valid"):
        open_source(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"_data_files": []}',
        b'{"_data_files": ["data.arrow"]}',
        b'{"_data_files": [{"filename": "../elsewhere.arrow"}]}',
        b'{"_data_files": [{"filename": "/etc/passwd"}]}',
        b'{"_data_files": [{"filename": "state.json"}]}',
        b'{"_data_files": [{"filename": "missing.arrow"}]}',
    ],
)
def test_a_state_that_says_something_else_is_refused(saved: Path, content: bytes) -> None:
    (saved / "state.json").write_bytes(content)
    with pytest.raises(CorpusError, match=r"saved data set|regular file"):
        open_source(str(saved))


def test_an_arrow_file_that_is_damaged(saved: Path) -> None:
    first = open_source(str(saved)).files[0]
    data = first.read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"\xff" * 64 + data[64:]):
        first.write_bytes(damaged)
        with pytest.raises(CorpusError) as caught:
            texts(saved)
        assert caught.value.hint


def test_a_folder_of_files_of_every_kind(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00001.parquet", {"text": ["two"]})
    parquet(tmp_path / "train-00000.parquet", {"text": ["one"]})
    (tmp_path / "z.jsonl").write_text('{"text": "three"}\n')
    (tmp_path / "README.md").write_text("no")
    assert texts(tmp_path) == ["one", "two", "three"]
