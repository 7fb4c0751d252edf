from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_lookups.corpus import compressed, documents
from tui_lookups.corpus import lines as lines_module
from tui_lookups.corpus.documents import Document
from tui_lookups.corpus.readers import open_source
from tui_lookups.errors import CorpusError


def texts(path: Path) -> list[str]:
    return [document.text for document in open_source(str(path)).documents()]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_the_demo_is_shipped() -> None:
    source = open_source("demo")
    documents = list(source.documents())
    assert (source.name, source.source, len(documents)) == ("demo", "demo", 506)
    assert all(document.text for document in documents)
    assert source.bytes_read == source.bytes_total > 100_000


def test_paragraphs_are_separated_by_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\n\n  one\ntwo \n \t \n\n\nthree\n")
    assert list(open_source(str(path)).documents()) == [
        Document("  one\ntwo ", str(path), 0),
        Document("three", str(path), 1),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, end: bytes) -> None:
    path = write(tmp_path / "a.TXT", b"\xef\xbb\xbf" + end.join([b"one", b"two", b"", b"three"]) + end)
    assert texts(path) == ["one\ntwo", "three"]


def test_a_byte_order_mark_alone_is_removed_at_the_start_only(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "\ufeffa\ufeffb".encode())) == ["a\ufeffb"]


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"
    assert texts(write(tmp_path / "a.txt", text.encode())) == [text]
    line = json.dumps({"text": text}, ensure_ascii=False)
    assert texts(write(tmp_path / "a.jsonl", line.encode())) == [text]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(st.sampled_from("ab \n\r\té€😀"), max_size=40),
    st.integers(1, 7),
    st.integers(4, 12),
)
def test_pieces_of_any_size_give_the_paragraphs_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int, most: int
) -> None:
    """However the bytes arrive and however short documents are cut, no character but line ends is lost."""
    path = write(tmp_path_factory.mktemp("pieces") / "a.txt", text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "_CHUNK", chunk)
        whole = list(lines_module.read_txt(path, lambda _: None))
        patch.setattr(documents, "MOST_CHARACTERS", most)
        cut = list(lines_module.read_txt(path, lambda _: None))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    expected, paragraph = [], []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            expected.append("\n".join(paragraph))
            paragraph = []
    assert whole == expected
    assert all(0 < len(each) <= most for each in cut)
    assert "".join("".join(cut).split()) == "".join("".join(expected).split())


def test_a_line_that_never_ends_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(b"word " * 200_000)
    tracemalloc.start()
    number = 0
    for document in open_source(str(path)).documents():
        assert len(document.text) <= documents.MOST_CHARACTERS
        number += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == 40
    assert peak < 12_000_000


def test_jsonl_texts(tmp_path: Path) -> None:
    lines = [{"text": "one\n\ntwo", "more": [1]}, {"text": "  "}, {"text": "\U0001f600 \u0000 \x1b[31m"}]
    data = b"\r\n\n".join(json.dumps(line).encode() for line in lines)
    assert texts(write(tmp_path / "a.jsonl", data)) == ["one\n\ntwo", "\U0001f600 \u0000 \x1b[31m"]


def test_a_long_text_in_jsonl_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_CHARACTERS", 4)
    assert texts(write(tmp_path / "a.jsonl", b'{"text": "abcdefghij"}')) == ["abcd", "efgh", "ij"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 3"),
        (b"one", "not JSON"),
        (b'["text"]', "no JSON object"),
        (b'"text"', "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": ' + b"[" * 100_000, "not JSON"),
        (b'{"n": ' + b"1" * 5000 + b', "text": "a"}', "not JSON"),
    ],
)
def test_a_bad_line_of_jsonl_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "good"}\n\n' + line + b"\n")
    with pytest.raises(CorpusError, match="line 3") as caught:
        texts(path)
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_line_of_jsonl_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MOST_LINE_CHARACTERS", 1000)
    with pytest.raises(CorpusError, match="line 2: the line is longer"):
        texts(write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "' + b"x" * 5000))


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1 << 20])
@pytest.mark.parametrize(
    ("data", "offset", "line"),
    [
        (b"one\ntwo \xff three", 8, 2),
        (b"one\n\xe2\x82", 4, 2),
        (b"\xc3\x28", 0, 1),
        ("caf\u00e9".encode("latin-1"), 3, 1),
        (b"\n\n\xed\xa0\x80", 2, 3),
        ("é\n".encode() * 3 + b"\x80", 9, 4),
    ],
)
def test_bytes_that_are_no_utf8_are_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, offset: int, line: int, chunk: int
) -> None:
    monkeypatch.setattr(compressed, "_CHUNK", chunk)
    with pytest.raises(CorpusError, match=rf"not UTF-8: line {line}, byte {offset}\.") as caught:
        texts(write(tmp_path / "a.txt", data))
    assert "iconv" in caught.value.hint


def test_binary_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_CHUNK", 4)
    with pytest.raises(CorpusError, match=r"NUL byte at byte 6\."):
        texts(write(tmp_path / "a.txt", b"abcdef\0gh"))
    monkeypatch.undo()
    for encoding in ("utf-16", "utf-16-be"):
        data = "\ufeff" * (encoding == "utf-16-be") + "text"
        with pytest.raises(CorpusError, match="UTF-16") as caught:
            texts(write(tmp_path / "a.txt", data.encode(encoding)))
        assert "iconv -f UTF-16" in caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [
        "The harbour was quiet, and the boats lay still.\n" * 200,
        "\u0413\u0430\u0432\u0430\u043d\u044c \u0431\u044b\u043b\u0430 \u0442\u0438\u0445\u0430.\r\n",
        "\u6e2f\u53e3\u5f88\u5b89\u9759\u3002\n\u8239\u4e0d\u52a8\u3002\n",
        "boats \U0001f6a2\U0001f6a2 " * 511,
    ],
)
@pytest.mark.parametrize("marked", [True, False])
def test_utf16_and_utf32_are_named_with_what_converts_them(
    tmp_path: Path, encoding: str, text: str, marked: bool
) -> None:
    path = write(tmp_path / "a.txt", ("\ufeff" * marked + text).encode(encoding))
    with pytest.raises(CorpusError) as caught:
        texts(path)
    name = encoding.upper()[:6] if marked else encoding.upper()[:6] + encoding.upper()[-2:]
    assert f"{name} text" in caught.value.message
    assert f"iconv -f {name} -t UTF-8" in caught.value.hint


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04\x14\0\0\0\x08\0", "caf\u00e9 \u00e0\n".encode("latin-1"), b"a\0b"]
)
def test_what_gives_no_encoding_away_is_not_given_one(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorpusError) as caught:
        texts(write(tmp_path / "a.txt", data))
    assert "UTF-16" not in caught.value.message
    assert "iconv -f LATIN1" in caught.value.hint


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("data", [b"", b"\n \n\t\r\n", b"\xef\xbb\xbf"])
def test_a_corpus_without_text_is_empty(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(CorpusError, match="empty"):
        texts(write(tmp_path / name, data))


def test_a_folder_is_read_in_order_and_says_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path / "b" / "1.txt", b"b1")
    write(tmp_path / "a.jsonl", b'{"text": "a"}')
    write(tmp_path / "c.txt", b"c")
    write(tmp_path / "README.md", b"no")
    write(tmp_path / ".hidden.txt", b"no")
    write(tmp_path / ".git" / "no.txt", b"no")
    (tmp_path / "broken.txt").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.txt")
    source = open_source(str(tmp_path))
    assert [document.text for document in source.documents()] == ["a", "b1", "c"]
    assert [document.number for document in source.documents()] == [0, 1, 2]
    assert source.note.startswith("4 other files")
    assert source.note.endswith("links to nothing among them: broken.txt.")
    assert source.name == tmp_path.name


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    (corpus / "b").mkdir(parents=True)
    (elsewhere / "deep").mkdir(parents=True)
    write(corpus / "b" / "1.txt", b"in the folder")
    write(elsewhere / "2.txt", b"linked")
    write(elsewhere / "deep" / "3.txt", b"below a link")
    (corpus / "a").symlink_to(corpus / "b")
    (corpus / "c").symlink_to(elsewhere)
    (corpus / "d").symlink_to(elsewhere / "deep")
    (corpus / "up").symlink_to(corpus)
    (elsewhere / "back").symlink_to(corpus)
    (elsewhere / "deep" / "loop").symlink_to(elsewhere)
    source = open_source(str(corpus))
    assert [document.text for document in source.documents()] == ["in the folder", "linked", "below a link"]
    before = source.fingerprint()
    (elsewhere / "2.txt").write_bytes(b"changed")
    assert open_source(str(corpus)).fingerprint() != before


def test_what_is_no_corpus_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write(tmp_path / "a.csv", b"text")
    os.mkfifo(tmp_path / "pipe.txt")
    for spec in ("missing.txt", "empty", "a.csv", "loop", "x\0y", "pipe.txt", "n" * 300):
        with pytest.raises(CorpusError) as caught:
            open_source(str(tmp_path / spec))
        assert "demo" in caught.value.hint
        assert ".jsonl, .parquet or .txt" in caught.value.hint


def test_a_folder_named_demo_is_reached_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    write(tmp_path / "demo" / "a.txt", b"mine")
    monkeypatch.chdir(tmp_path)
    assert [document.text for document in open_source("./demo").documents()] == ["mine"]


def test_the_fingerprint_is_of_contents_in_order(tmp_path: Path) -> None:
    def fingerprint(folder: str, **files: bytes) -> str:
        (tmp_path / folder).mkdir()
        for name, data in files.items():
            write(tmp_path / folder / name.replace("_", "."), data)
        return open_source(str(tmp_path / folder)).fingerprint()

    first = fingerprint("1", a_txt=b"one", b_txt=b"two")
    assert fingerprint("2", c_txt=b"one", d_txt=b"two") == first
    others = [
        fingerprint("3", a_txt=b"two", b_txt=b"one"),
        fingerprint("4", a_txt=b"onetwo"),
        fingerprint("5", a_txt=b"one"),
        fingerprint("6", a_txt=b"one", b_txt=b"two", c_txt=b""),
        fingerprint("7", a_jsonl=b"one", b_txt=b"two"),
    ]
    assert len({first, *others}) == 6


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"one\n\ntwo\n")
    source = open_source(str(path))
    source.fingerprint()
    write(path, b"one\n\ntwo and three\n")
    with pytest.raises(CorpusError, match="changed"):
        list(source.documents())
    path.unlink()
    with pytest.raises(CorpusError, match="could not be read"):
        source.fingerprint()
