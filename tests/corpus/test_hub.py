"""Hub data sets without a hub: names, revisions and refusals; the streaming itself from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from tui_lookups.corpus import hub
from tui_lookups.corpus.corpus import build_corpus
from tui_lookups.corpus.hub import HubName, HubSource, parse_hub, stream_texts
from tui_lookups.corpus.readers import open_source
from tui_lookups.corpus.records import Records
from tui_lookups.errors import CorpusError

COMMIT, OTHER = "a" * 40, "b" * 40
SECRET = "hf_" + "s" * 30


class Store:
    """Remembers in memory what `ResultCache` keeps."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def key(self, kind: str, /, **parts: object) -> str:
        return json.dumps([kind, parts], sort_keys=True)

    def get(self, kind: str, key: str) -> bytes | None:
        return self.kept.get(key)

    def put(self, kind: str, key: str, payload: bytes) -> None:
        self.kept[key] = payload


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def at(monkeypatch: pytest.MonkeyPatch, revision: str | Exception) -> None:
    def newest(repo: str, branch: str | None = None) -> str:
        if isinstance(revision, Exception):
            raise revision
        return revision

    monkeypatch.setattr(hub, "newest_revision", newest)


def response(error: type[Exception], status: int) -> Exception:
    """An error of the hub's client, as its constructor likes it in this version."""
    request = httpx.Request("GET", "http://127.0.0.1/x")
    return error("no", response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("hub:NeelNanda/pile-10k", HubName("NeelNanda/pile-10k")),
        ("hub:wikitext", HubName("wikitext")),
        ("hub:a/b:en", HubName("a/b", "en")),
        ("hub:a/b:en:test", HubName("a/b", "en", "test")),
        ("hub:a/b::test", HubName("a/b", "", "test")),
        (f"hub:a/b:en@{COMMIT}", HubName("a/b", "en", "", COMMIT)),
        ("hub:a/b@refs/convert/parquet", HubName("a/b", revision="refs/convert/parquet")),
    ],
)
def test_names(spec: str, name: HubName) -> None:
    assert parse_hub(spec) == name


@pytest.mark.parametrize(
    "spec",
    [
        "hub:",
        "hub:a/b/c",
        "hub:/b",
        "hub:a b",
        "hub:a/b:c:d:e",
        "hub:../x",
        "hub:a/b:..//",
        "hub:a/b@",
        "hub:é",
        "hub:a\n",
    ],
)
def test_what_is_no_name(spec: str) -> None:
    with pytest.raises(CorpusError, match="not the name of a hub data set") as caught:
        open_source(spec)
    assert "hub:NeelNanda/pile-10k" in caught.value.hint


def test_the_revision_is_in_the_fingerprint_and_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(spec: str, revision: str) -> str:
        at(monkeypatch, revision)
        source = open_source(spec)
        found = source.fingerprint()
        assert source.source == f"{spec.partition('@')[0]}@{revision}"
        assert source.name == spec.removeprefix("hub:").partition("@")[0]
        return found

    first = fingerprint("hub:a/b", COMMIT)
    assert fingerprint("hub:a/b", COMMIT) == first
    assert fingerprint(f"hub:a/b@{COMMIT}", COMMIT) == first
    others = {fingerprint(*each) for each in (("hub:a/b", OTHER), ("hub:a/b:c", COMMIT), ("hub:b", COMMIT))}
    assert len(others | {first}) == 4


def test_offline_the_revision_seen_last_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    at(monkeypatch, COMMIT)
    online = open_source("hub:a/b", revisions=store).fingerprint()
    at(monkeypatch, AssertionError("the network was asked"))
    assert open_source("hub:a/b", offline=True, revisions=store).fingerprint() == online
    assert open_source(f"hub:a/b@{COMMIT}", offline=True).fingerprint() == online
    with pytest.raises(CorpusError, match="c/d is not in the cache yet, and the tool is offline"):
        open_source("hub:c/d", offline=True, revisions=store).fingerprint()
    with pytest.raises(CorpusError, match="offline"):
        next(open_source("hub:a/b", offline=True, revisions=store).documents())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_source("hub:a/b", revisions=store).fingerprint() == online
    monkeypatch.delenv("HF_HUB_OFFLINE")
    at(monkeypatch, httpx.ConnectError("Name or service not known"))
    assert open_source("hub:a/b", revisions=store).fingerprint() == online
    with pytest.raises(CorpusError, match=r"cannot be reached for the data set c/d \(Name or") as caught:
        open_source("hub:c/d", revisions=store).fingerprint()
    assert "network" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (response(RepositoryNotFoundError, 404), "no data set called 'a/b'", "HF_TOKEN"),
        (response(GatedRepoError, 403), "a/b is gated", "HF_TOKEN"),
        (RuntimeError("Dataset scripts are no longer supported"), "scripts are no longer", "never run"),
        (ValueError(""), "cannot be read", "parquet"),
    ],
)
def test_what_the_hub_refuses(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str, hint: str
) -> None:
    at(monkeypatch, error)
    with pytest.raises(CorpusError, match=words) as caught:
        open_source("hub:a/b").fingerprint()
    assert hint in caught.value.hint


def test_a_token_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The HTTP client quotes a header it does not like."""
    at(monkeypatch, httpx.LocalProtocolError(f"Illegal header value b'Bearer {SECRET}\\n'"))
    with pytest.raises(CorpusError) as caught:
        open_source("hub:a/b").fingerprint()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


# --- streaming ---


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A folder laid out like a data set on the hub."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for split, count in (("train", 5), ("test", 2)):
        lines = [json.dumps({"text": f"{split} {n}", "n": n}) for n in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_splits(repo: Path) -> None:
    train, test = [f"train {n}" for n in range(5)], ["test 0", "test 1"]
    for first, second, expected in (
        ("", "", train),
        ("test", "", test),
        ("", "test", test),
        ("default", "", train),
        ("default", "test", test),
    ):
        assert list(stream_texts(str(repo), first, second, None)) == expected
    with pytest.raises(CorpusError, match="no split 'valid'; it has train, test"):
        list(stream_texts(str(repo), "valid", "", None))
    with pytest.raises(CorpusError, match="no configuration 'en'; it has default"):
        list(stream_texts(str(repo), "en", "train", None))


def test_a_data_set_without_a_clear_column(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"title": "a", "body": "b"}\n')
    with pytest.raises(CorpusError, match="several columns of text; its columns are title, body"):
        list(stream_texts(str(tmp_path), "", "", None))


def test_a_hub_corpus_is_cut_tokenised_once_and_found_offline(
    monkeypatch: pytest.MonkeyPatch, repo: Path, tmp_path: Path
) -> None:
    at(monkeypatch, COMMIT)
    asked: list[str | None] = []

    def stream(name: str, first: str, second: str, revision: str | None, records: Records):
        asked.append(revision)
        return stream_texts(str(repo), first, second, None, records)

    monkeypatch.setattr(hub, "stream_texts", stream)
    store = Store()

    def build(*, offline: bool = False, limit: int | None = None):
        source = open_source("hub:a/b", offline=offline, revisions=store)
        return build_corpus(
            source,
            lambda texts: [list(text.encode()) for text in texts],
            300,
            16,
            "bytes",
            tmp_path / "corpora",
            max_documents=limit,
        ).info

    cut = build(limit=3)
    assert (cut.name, cut.documents, cut.source) == ("a/b (first 3 documents)", 3, f"hub:a/b@{COMMIT}")
    assert build(limit=3) == build(limit=3, offline=True) == cut
    assert asked == [COMMIT]
    whole = build()
    assert (whole.name, whole.documents) == ("a/b", 5)
    assert build(limit=5).name == "a/b"
    monkeypatch.setattr(hub, "MOST_DOCUMENTS", 4)
    assert open_source("hub:a/b").limit == 4
    with pytest.raises(CorpusError, match="offline"):
        build(limit=2, offline=True)


def test_errors_in_mid_stream_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, COMMIT)

    def broken(*_):
        yield "one"
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(hub, "stream_texts", broken)
    source = HubSource("hub:a/b")
    documents = source.documents()
    assert next(documents).text == "one"
    with pytest.raises(CorpusError, match="cannot be reached"):
        next(documents)


def test_nothing_of_it_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from tui_lookups.corpus.readers import open_source; open_source('hub:a/b');"
        "print(sorted({'datasets', 'pyarrow', 'huggingface_hub', 'zstandard', 'torch'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.hub
def test_the_papers_corpus() -> None:
    source = open_source("hub:NeelNanda/pile-10k")
    try:
        documents = list(islice(source.documents(), 3))
    except CorpusError as error:
        pytest.skip(f"needs the hub: {error.message}")
    assert source.limit == 10_000
    assert all(len(document.text) > 10 for document in documents)
