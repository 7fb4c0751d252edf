"""What of a record is its text, as the table of the corpora page says it for each format."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.documentation import ROOT
from tui_lookups.corpus import records as module
from tui_lookups.corpus.corpus import build_corpus, corpus_fingerprint
from tui_lookups.corpus.hub import stream_texts
from tui_lookups.corpus.readers import open_source
from tui_lookups.corpus.records import Messages, Records, TextField, conversation, value_at
from tui_lookups.errors import CorpusError
from tui_lookups.storage.arrays import ArrayFolder

GOOD = "a text that is none of these"
CHAT = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nobody."}]
SHARE_GPT = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Nobody."}]
REFUSED = [{"role": "system", "content": "Be brief."}, *CHAT]
RENDERED = "user: Who?\nassistant: Nobody.\n"
MISSING = object()
HOLDS: dict[str, Any] = {
    "a string": "another text", "null": None, "an empty string": "", "blanks": " \t",
    "nothing: it is missing": MISSING, "a number": 7, "true or false": True,
    "a list of strings": ["a", "b"], "a nested object": {"a": "b"}, "a conversation": CHAT,
    "a conversation, and it is named": CHAT, "one of ShareGPT, and it is named": SHARE_GPT,
    "one that the template refuses, named": REFUSED, "a conversation, named, no template": CHAT,
}  # fmt: skip


def render(messages: Messages) -> str:
    """A chat template that knows no system prompt."""
    if any(message["role"] == "system" for message in messages):
        raise ValueError("System role not supported.")
    return "".join(f"{message['role']}: {message['content']}\n" for message in messages)


def no_template(messages: Messages) -> str:
    raise CorpusError("The model has no chat template.", "Name another.")


def named(name: str, how: Callable[[Messages], str] = render) -> TextField:
    return TextField(name, how, "template")


def table() -> list[tuple[str, str, str]]:
    """(what the field holds, format, what becomes of it) for each cell of the page's table."""
    lines = (ROOT / "tui_lookups" / "docs" / "corpora.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| the field holds"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    formats = rows[0][1:]
    return [
        (row[0], format_, cell) for row in rows[2:] for format_, cell in zip(formats, row[1:], strict=True)
    ]


def record(value: Any) -> dict[str, Any]:
    return {"n": 1} if value is MISSING else {"n": 1, "text": value}


def write(folder: Path, format_: str, value: Any) -> Path:
    """A corpus of one good record, where the format allows it, and one whose field holds `value`."""
    if format_ == ".txt" or format_.startswith(".jsonl"):
        good = GOOD if format_ == ".txt" else json.dumps({"n": 0, "text": GOOD})
        data = f"{good}\n\n{json.dumps(record(value))}\n".encode()
        pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(
            Path("a" + format_).suffix
        )
        path = folder / f"corpus{format_}"
        path.write_bytes(pack(data) if pack else data)
        return path
    rows = [record(value), record(value)]
    if value is None or isinstance(value, str):
        rows[0]["text"] = GOOD
    if value is REFUSED:
        rows[0]["text"] = CHAT
    columns = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    if format_ == "data set folder":
        datasets.Dataset(columns).save_to_disk(str(folder / "saved"))
        return folder / "saved"
    path = folder / "train.parquet"
    pq.write_table(columns, path)
    return path


def read(path: Path, format_: str, field: TextField | None) -> tuple[list[str], int]:
    """The texts, and how many records were left out."""
    if format_ == "hub:":
        counted = Records(field)
        texts = list(stream_texts(str(path.parent), "", "", None, counted))
        counted.end("It")
        return texts, counted.left_out
    source = open_source(str(path), field=field)
    return [document.text for document in source.documents()], source.records.left_out


@pytest.mark.parametrize(("holds", "format_", "outcome"), table())
def test_the_table_of_the_corpora_page(tmp_path: Path, holds: str, format_: str, outcome: str) -> None:
    value = HOLDS[holds]
    field = named("text", no_template if "no template" in holds else render) if "named" in holds else None
    path = write(tmp_path, format_, value)
    if outcome == "refused":
        with pytest.raises(CorpusError) as caught:
            read(path, format_, field)
        assert caught.value.hint
        if "no template" not in holds:
            assert caught.value.message.partition("s are ")[2].startswith("n")
        return
    texts, left_out = read(path, format_, field)
    if outcome == "left out":
        assert left_out == 1
        assert texts == [RENDERED if value is REFUSED and GOOD not in texts else GOOD]
    else:
        shown = {"rendered": RENDERED, "text": json.dumps(record(value)) if format_ == ".txt" else value}
        assert shown[outcome] in texts
        assert left_out == 0


def test_every_kind_and_format_is_in_the_table() -> None:
    assert {holds for holds, _, _ in table()} == set(HOLDS)
    assert {".txt", ".jsonl", ".parquet", "hub:"} < {format_ for _, format_, _ in table()}


# --- which field ---


@pytest.mark.parametrize(
    ("name", "value"),
    [("body", "b"), ("a.b.c", "deep"), ("x.y", "key"), ("x", {"y": "way"}), ("messages", CHAT)],
)
def test_a_field_is_a_key_or_a_way_through_nested_objects(name: str, value: object) -> None:
    whole = {"body": "b", "a": {"b": {"c": "deep"}}, "x.y": "key", "x": {"y": "way"}, "messages": CHAT}
    assert value_at(whole, name) == value


def jsonl(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def texts_of(path: Path, field: TextField | None = None) -> list[str]:
    return [document.text for document in open_source(str(path), field=field).documents()]


def test_a_nested_field_in_every_format(tmp_path: Path) -> None:
    rows = [{"id": 1, "doc": {"body": "one", "n": 1}}, {"id": 2, "doc": {"body": None, "n": 2}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    for path in (jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "train.parquet"):
        assert texts_of(path, named("doc.body")) == ["one"]
        with pytest.raises(CorpusError, match=r"null, blank or of another kind in all of 2 records; .* id"):
            texts_of(path, named("id"))


def test_records_without_the_field_name_those_they_have(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"title": "a", "body": "b"}, {"body": "c"})
    with pytest.raises(
        CorpusError, match=r"a\.jsonl has no field `text`; its fields are title, body\."
    ) as caught:
        texts_of(path)
    assert "--text-field" in caught.value.hint
    assert texts_of(path, named("body")) == ["b", "c"]
    with pytest.raises(CorpusError, match="no field `story`; its fields are title, body"):
        texts_of(path, named("story"))
    pq.write_table(pa.table({"title": ["a"], "body": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="no column `story`; its columns are title, body"):
        texts_of(tmp_path / "a.parquet", named("story"))
    assert texts_of(tmp_path / "a.parquet", named("title")) == ["a"]


def test_a_file_of_another_kind_in_a_folder_is_refused_and_one_of_nulls_is_not(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {"text": "one"})
    jsonl(tmp_path / "b.jsonl", {"text": None})
    assert texts_of(tmp_path) == ["one"]
    jsonl(tmp_path / "c.jsonl", {"licence": "CC0"})
    with pytest.raises(CorpusError, match=r"c\.jsonl has no field `text`; its fields are licence"):
        texts_of(tmp_path)


def test_a_long_corpus_without_texts_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WITHOUT", 5)
    broken = "no JSON"  # what would be met further on
    for start, words in (({"a": 1}, "no field `text`"), ({"text": None}, "in all of 5 records")):
        path = jsonl(tmp_path / "a.jsonl", *[start] * 5)
        path.write_text(path.read_text() + broken)
        with pytest.raises(CorpusError, match=words):
            texts_of(path)
    jsonl(tmp_path / "a.jsonl", {"text": "one"}, *[{"text": None}] * 9, {"text": "two"})
    assert texts_of(tmp_path / "a.jsonl") == ["one", "two"]


# --- conversations ---


@pytest.mark.parametrize(
    "value",
    [[], [1], [{"role": "user"}], [{"role": 1, "content": ""}], [{"from": "human"}], {"role": "user"}, "x"],
)
def test_what_is_no_conversation(value: object) -> None:
    assert conversation(value) is None


def test_a_template_that_refuses_every_conversation_is_quoted(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"messages": REFUSED}, {"messages": REFUSED})
    with pytest.raises(CorpusError, match="refused by the chat template: System role not supported"):
        texts_of(path, named("messages"))


# --- the corpus says it ---


def build(path: Path, root: Path, field: TextField | None = None, limit: int | None = None):
    def encode(texts: list[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    source = open_source(str(path), field=field)
    return build_corpus(source, encode, 300, 16, "bytes", root, max_documents=limit).info


def test_a_corpus_says_how_many_records_it_left_out(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", {"text": "one"}, {"text": None}, {"text": "two"}, {"text": 3}, {"text": ""}
    )
    for _ in range(2):  # tokenised, then found
        whole = build(path, tmp_path / "corpora")
        assert (whole.name, whole.left_out) == ("a.jsonl (3 records without text left out)", 3)
        assert whole.omissions == ("3 records without a text were left out.",)
    cut = build(path, tmp_path / "corpora", limit=1)
    assert (cut.name, cut.left_out) == ("a.jsonl (first 1 documents)", 0)
    cut = build(path, tmp_path / "corpora", limit=2)
    assert (cut.name, cut.left_out) == (whole.name, 3)


def test_the_field_is_a_part_of_the_fingerprint_and_of_the_description(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "one", "body": "two"})
    plain, body = (build(path, tmp_path / "corpora", field) for field in (None, named("body")))
    assert plain.fingerprint != body.fingerprint
    assert (plain.text_field, body.text_field) == ("", "body")
    fingerprints = {
        corpus_fingerprint("texts", "tokenizer", 256, 0, field=field)
        for field in (None, named("a"), named("b"), TextField("a", render, "another template"))
    }
    assert len(fingerprints) == 4
    # Nothing changed for what was tokenised before fields could be named.
    before = hashlib.sha256(b"corpus 1\ntexts\ntokenizer\n256\n0\n").hexdigest()
    assert corpus_fingerprint("texts", "tokenizer", 256, 0) == before


def test_what_was_tokenised_before_records_were_counted_is_valid_and_says_nothing_of_them(
    tmp_path: Path,
) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "one"})
    folder = ArrayFolder(tmp_path / "corpora" / build(path, tmp_path / "corpora").fingerprint)
    manifest = folder.manifest()
    assert manifest is not None
    with folder.writing() as writer:
        assert writer is not None
        writer.commit({key: value for key, value in manifest.description.items() if key != "left_out"})
    again = build(path, tmp_path / "corpora")
    assert (again.name, again.left_out, again.omissions) == ("a.jsonl", None, ())
