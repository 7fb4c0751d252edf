from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_lookups.corpus import corpus as module
from tui_lookups.corpus.corpus import (
    Corpus,
    build_corpus,
    corpus_fingerprint,
    cut_windows,
    open_corpus,
    part_of,
)
from tui_lookups.corpus.documents import Document
from tui_lookups.corpus.readers import FileSource, open_source
from tui_lookups.corpus.source import Source
from tui_lookups.errors import CacheError, Cancelled, CorpusError
from tui_lookups.progress import Progress
from tui_lookups.storage.arrays import ArrayFolder

BOS = 300


def encode(texts: list[str]) -> list[list[int]]:
    return [list(text.encode()) for text in texts]


def refuse(texts: list[str]) -> list[list[int]]:
    raise AssertionError("nothing should be tokenised")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(f"document {number} " * (1 + number % 7) for number in range(40)))
    return open_source(str(path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "corpora"


def build(source: Source, root: Path, window: int = 16, bos_id: int | None = BOS) -> Corpus:
    return build_corpus(source, encode, bos_id, window, "bytes", root)


@given(st.lists(st.integers(0, 99), max_size=60), st.integers(2, 12), st.sampled_from([None, BOS]))
def test_windows_are_the_tokens_in_order_and_never_too_long(
    tokens: list[int], window: int, bos_id: int | None
) -> None:
    windows = cut_windows(tokens, window, bos_id)
    prefix = [] if bos_id is None else [bos_id]
    assert all(2 <= len(each) <= window for each in windows)
    assert all(each[: len(prefix)] == prefix for each in windows)
    joined = [token for each in windows for token in each[len(prefix) :]]
    if bos_id is None and len(tokens) % window == 1:
        assert joined == tokens[:-1]  # a window of one token has no position that could be a peak
    else:
        assert joined == tokens


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.text(st.sampled_from("abc é"), min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=12
    ),
    st.integers(2, 9),
    st.sampled_from([None, BOS]),
)
def test_a_corpus_on_disk_holds_every_window(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], window: int, bos_id: int | None
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text("\n\n".join(texts))
    expected = [
        (number, each)
        for number, text in enumerate(texts)
        for each in cut_windows(list(text.encode()), window, bos_id)
    ]
    source = open_source(str(folder / "a.txt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_DOCUMENTS", 3)
        if not expected:
            with pytest.raises(CorpusError, match="empty"):
                build(source, folder / "corpora", window, bos_id)
            return
        corpus = build(source, folder / "corpora", window, bos_id)
    found = [
        (corpus.document(prompt), corpus.window_tokens(prompt).tolist()) for prompt in range(len(corpus))
    ]
    assert found == expected
    assert corpus.lengths().tolist() == [len(each) for _, each in expected]
    assert corpus.info.tokens == sum(len(each) for _, each in expected)
    assert (corpus.info.documents, corpus.info.prompts) == (len(texts), len(expected))
    assert corpus.parts().tolist() == [part_of(texts[number]) for number, _ in expected]
    assert corpus.parts().tolist() == [corpus.part(prompt) for prompt in range(len(corpus))]


def test_opening_again_tokenises_nothing_and_reads_only_the_manifest(source: Source, root: Path) -> None:
    first = build(source, root)
    opened = build_corpus(source, refuse, BOS, 16, "bytes", root)
    assert opened.info == first.info
    assert "_arrays" not in vars(opened)
    assert opened.window_tokens(3).tolist() == first.window_tokens(3).tolist()
    found = open_corpus(source, first.info.fingerprint, root)
    assert found is not None
    assert found.info == first.info
    assert open_corpus(source, "0" * 64, root) is None


def test_another_name_for_the_same_texts_finds_it(source: Source, root: Path, tmp_path: Path) -> None:
    first = build(source, root)
    copy = tmp_path / "copy.txt"
    copy.write_bytes(source.files[0].read_bytes())
    second = build_corpus(open_source(str(copy)), refuse, BOS, 16, "bytes", root)
    assert second.info.fingerprint == first.info.fingerprint
    assert (second.info.name, second.info.source) == ("copy.txt", str(copy))


def test_fingerprints_depend_on_everything_that_windows_depend_on() -> None:
    base = ("texts", "tokenizer", 256, 0)
    others = [
        ("t", *base[1:]),
        ("texts", "t", 256, 0),
        ("texts", "tokenizer", 255, 0),
        ("texts", "tokenizer", 256, 1),
    ]
    others.append(("texts", "tokenizer", 256, None))
    assert len({corpus_fingerprint(*each) for each in [base, *others]}) == 6


def test_parts_are_about_half_each_and_follow_the_text() -> None:
    parts = [part_of(f"document {number}") for number in range(2000)]
    assert 900 < sum(parts) < 1100
    assert set(parts) == {0, 1}
    assert parts == [part_of(f"document {number}") for number in range(2000)]


def test_a_grown_corpus_keeps_the_parts(source: Source, root: Path, tmp_path: Path) -> None:
    before = build(source, root)
    grown = tmp_path / "grown.txt"
    grown.write_text("a new first document\n\n" + source.files[0].read_text())
    after = build(open_source(str(grown)), root)
    assert after.info.fingerprint != before.info.fingerprint
    assert after.parts()[-len(before) :].tolist() == before.parts().tolist()


def test_ids_take_two_bytes_where_the_vocabulary_allows(source: Source, root: Path) -> None:
    small = build_corpus(source, encode, BOS, 16, "small", root, d_vocab=301)
    large = build_corpus(source, encode, BOS, 16, "large", root)
    assert small._arrays["tokens"].dtype == np.uint16
    assert large._arrays["tokens"].dtype == np.uint32
    assert small.window_tokens(0).dtype == np.int64
    assert small.window_tokens(0).tolist() == large.window_tokens(0).tolist()
    with pytest.raises(OverflowError):
        build_corpus(source, lambda texts: [[70_000, 1]] * len(texts), None, 16, "wrong", root, d_vocab=301)
    assert open_corpus(source, corpus_fingerprint(source.fingerprint(), "wrong", 16, None), root) is None


@pytest.mark.parametrize("prompt", [-1, 10**6])
def test_a_prompt_that_is_not_there_is_an_index_error(source: Source, root: Path, prompt: int) -> None:
    corpus = build(source, root)
    for question in (corpus.window_tokens, corpus.document, corpus.part):
        with pytest.raises(IndexError):
            question(prompt)


def test_stopping_leaves_nothing_and_the_next_build_is_whole(
    source: Source, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_DOCUMENTS", 5)
    asked: list[int] = []
    reported: list[Progress] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Cancelled):
        build_corpus(source, encode, BOS, 16, "bytes", root, reported.append, should_stop=stop)
    assert len(reported) == 3
    assert reported[-1].done <= reported[-1].total == source.bytes_total
    assert [each.note.partition(",")[0] for each in reported] == [
        "5 documents",
        "10 documents",
        "15 documents",
    ]
    fingerprint = corpus_fingerprint(source.fingerprint(), "bytes", 16, BOS)
    assert open_corpus(source, fingerprint, root) is None
    assert list((root / fingerprint).glob("*.npy")) == []
    assert len(build(source, root)) > 40


KILLED = """
import os, signal, sys
from pathlib import Path
from tui_lookups.corpus import corpus
from tui_lookups.corpus.readers import open_source
corpus._BATCH_DOCUMENTS = 5
calls = []
def encode(texts):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return [list(text.encode()) for text in texts]
corpus.build_corpus(open_source(sys.argv[1]), encode, 300, 16, "bytes", Path(sys.argv[2]))
"""


def test_a_killed_build_is_not_taken_for_a_corpus(source: Source, root: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(source.files[0]), str(root)], check=False)
    assert killed.returncode == -9
    fingerprint = corpus_fingerprint(source.fingerprint(), "bytes", 16, BOS)
    assert open_corpus(source, fingerprint, root) is None
    assert len(list((root / fingerprint).glob("*.npy"))) == 4
    corpus = build(source, root)
    assert corpus.info.documents == 40
    assert len(list((root / fingerprint).glob("*.npy"))) == 4


BUILDER = """
import sys
from pathlib import Path
from tui_lookups.corpus.corpus import build_corpus
from tui_lookups.corpus.readers import open_source
from tui_lookups.progress import Progress
calls = []
def encode(texts):
    calls.append(1)
    return [list(text.encode()) for text in texts]
built = build_corpus(open_source(sys.argv[1]), encode, 300, 16, "bytes", Path(sys.argv[2]))
print(built.info.fingerprint, built.window_tokens(7).tolist(), bool(calls))
"""


def test_two_processes_build_one_corpus_once(source: Source, root: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(source.files[0]), str(root)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [other.communicate(timeout=120)[0] for other in others]
    assert [other.returncode for other in others] == [0, 0, 0]
    assert sorted(answer.split()[-1] for answer in answers) == ["False", "False", "True"]
    assert len({answer.rsplit(" ", 1)[0] for answer in answers}) == 1


def test_whoever_waits_for_another_build_can_stop(source: Source, root: Path) -> None:
    fingerprint = corpus_fingerprint(source.fingerprint(), "bytes", 16, BOS)
    with ArrayFolder(root / fingerprint).writing() as other:
        assert other is not None
        asked: list[int] = []
        with pytest.raises(Cancelled):
            build_corpus(
                source,
                refuse,
                BOS,
                16,
                "bytes",
                root,
                should_stop=lambda: bool(asked) or bool(asked.append(1)),
            )


def test_damage_is_refused_and_the_corpus_built_again(source: Source, root: Path) -> None:
    first = build(source, root)
    expected = [first.window_tokens(prompt).tolist() for prompt in range(len(first))]
    folder = root / first.info.fingerprint
    for block in ("tokens", "offsets", "documents", "split"):
        (path,) = folder.glob(f"windows.{block}.*.npy")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(1, 1))
        damaged = build(source, root)
        with pytest.raises(CacheError, match="damaged"):
            damaged.window_tokens(0)
        damaged.drop()
        again = build(source, root)
        assert [again.window_tokens(prompt).tolist() for prompt in range(len(again))] == expected
    (folder / "manifest.json").write_bytes(b"{")
    again = build(source, root)
    assert [again.window_tokens(prompt).tolist() for prompt in range(len(again))] == expected


def test_a_bad_document_in_the_middle_leaves_nothing(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\n\n" * 1000 + b"\xff")
    with pytest.raises(CorpusError, match="not UTF-8"):
        build(open_source(str(path)), root)
    assert list(root.rglob("*.npy")) == []


class Endless(FileSource):
    """Many documents out of nowhere: memory must not depend on how many."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__("endless", "endless", (path,))
        self._documents = count

    def documents(self) -> Iterator[Document]:
        for number in range(self._documents):
            yield Document(f"{number:06} " * 50, "endless", number)


def test_memory_is_flat_in_the_length_of_the_corpus(source: Source, root: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        endless = Endless(source.files[0], count)
        build_corpus(endless, encode, BOS, 32, f"bytes {count}", root)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(10)  # what is imported or made once
    assert peak(5000) < 1.2 * peak(1000)


def test_a_window_of_one_token_is_a_mistake(source: Source, root: Path) -> None:
    with pytest.raises(ValueError, match="two tokens"):
        build(source, root, window=1)


def test_the_corpus_package_loads_no_torch() -> None:
    code = "import sys, tui_lookups.corpus.corpus; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


# --- what extends what ---


def jsonl(path: Path, texts: list[str]) -> Source:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return open_source(str(path))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.text(st.sampled_from("abc é"), min_size=2, max_size=40).filter(str.strip), min_size=2, max_size=12
    ),
    st.integers(2, 9),
    st.sampled_from([None, BOS]),
    st.integers(1, 5),
    st.data(),
)
def test_a_longer_corpus_proves_that_it_begins_with_a_shorter_one(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    window: int,
    bos_id: int | None,
    piece: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    cut = data.draw(st.integers(1, len(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_DOCUMENTS", data.draw(st.integers(1, 5)))
        patch.setattr(module, "_DIGEST_WINDOWS", piece)
        try:
            part = build(jsonl(folder / "part.jsonl", texts[:cut]), folder / "corpora", window, bos_id)
        except CorpusError:  # no window of two tokens
            return
        whole = build(jsonl(folder / "whole.jsonl", texts), folder / "corpora", window, bos_id)
        counts = list(range(len(whole) + 1))
        digests = whole.prefix_digests(counts)
    assert digests[len(part)] == part.content()
    assert digests[-1] == whole.content()
    assert len(set(digests)) == len(digests)
    changed = [*texts[: cut - 1], "!!" + texts[cut - 1]]  # at its end it could be in a rest that is dropped
    other = build(jsonl(folder / "other.jsonl", changed), folder / "corpora", window, bos_id)
    assert other.content() not in digests
    assert part.prefix_digests([len(part), 0]) == [part.content(), digests[0]]
    with pytest.raises(ValueError, match="prompts"):
        part.prefix_digests([len(part) + 1])


def test_digests_do_not_depend_on_types_on_disk_nor_on_where_texts_are_from(
    source: Source, root: Path, tmp_path: Path
) -> None:
    texts = [document.text for document in source.documents()]
    small = build_corpus(source, encode, BOS, 16, "bytes", root, d_vocab=301)
    other = build(jsonl(tmp_path / "texts.jsonl", texts), root)
    assert small._arrays["tokens"].dtype != other._arrays["tokens"].dtype
    assert small.info.fingerprint != other.info.fingerprint
    assert small.content() == other.content()


def test_a_corpus_written_before_digests_were_has_one(source: Source, root: Path) -> None:
    corpus = build(source, root)
    path = root / corpus.info.fingerprint
    manifest = ArrayFolder(path).manifest()
    assert manifest is not None
    with ArrayFolder(path).writing() as writer:
        assert writer is not None
        kept = {name: value for name, value in manifest.description.items() if name not in ("content", "cut")}
        writer.commit(kept)
    opened = build_corpus(source, refuse, BOS, 16, "bytes", root)
    assert opened.content() == corpus.content()
    assert opened.info == corpus.info


@pytest.mark.parametrize(("limit", "documents", "cut"), [(7, 7, True), (39, 39, True), (40, 40, False)])
def test_a_corpus_that_is_cut_says_so(
    source: Source, root: Path, limit: int, documents: int, cut: bool
) -> None:
    whole = build(source, root)
    part = build_corpus(source, encode, BOS, 16, "bytes", root, max_documents=limit)
    assert part.info.documents == documents
    assert part.info.name == ("texts.txt" + f" (first {limit} documents)" * cut)
    assert part.info.fingerprint != whole.info.fingerprint
    assert whole.prefix_digests([len(part)]) == [part.content()]
    again = build_corpus(source, refuse, BOS, 16, "bytes", root, max_documents=limit)
    assert again.info == part.info


def test_a_source_without_end_is_cut_by_its_own_limit(source: Source, root: Path) -> None:
    endless = Endless(source.files[0], 10**12)
    endless.limit = 600
    corpus = build(endless, root)
    assert corpus.info.documents == 600
    assert "first 600" in corpus.info.name


def test_progress_is_told_in_words(source: Source, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Progress] = []
    corpus = build_corpus(source, encode, BOS, 16, "bytes", root, told.append)
    assert told[-1].sentence == (
        f"tokenising {source.name}, 100%, 40 documents, {corpus.info.tokens:,} tokens, 0:00 left"
    )
    monkeypatch.setattr(type(source), "bytes_total", None)
    build_corpus(source, encode, BOS, 16, "bytes", root / "other", told.append)
    assert told[-1].sentence == f"tokenising {source.name}, 40 documents, {corpus.info.tokens:,} tokens"
