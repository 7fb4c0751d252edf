"""Data sets of the Hugging Face hub, streamed: `hub:OWNER/NAME[:CONFIG][:SPLIT][@REVISION]`.

1. The revision (a commit) is asked for first; it, the name, configuration and split are the fingerprint.
   Offline, or where the hub cannot be reached, the revision seen last stands in: a corpus tokenised before
   is found again without a network. A whole commit that is given is taken at its word.
2. Rows are streamed at that revision through the `datasets` package, which runs no code of the data set;
   nothing is stored but the windows. HF_TOKEN is read by that package, and by nothing here.
3. A hub data set may have no end, so at most `MOST_DOCUMENTS` documents are taken unless a person says how
   many (setting `max_documents`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_lookups.corpus.documents import Document
from tui_lookups.corpus.records import Records, TextField
from tui_lookups.corpus.tables import text_column
from tui_lookups.errors import CorpusError, first_line
from tui_lookups.storage.files import BytesStore, file_digest

PREFIX = "hub:"
MOST_DOCUMENTS = 10_000
"""Documents taken of a hub data set where nobody says how many: the length of the paper's corpus."""

_KIND = "hub_revision"
_WORD = r"[A-Za-z0-9][\w.\-]{0,95}"
_SPEC = re.compile(
    rf"(?P<repo>{_WORD}(?:/{_WORD})?)(?::(?P<first>[\w.\-]*))?(?::(?P<second>[\w.\-]+))?"
    r"(?:@(?P<revision>[\w.\-/]{1,100}))?",
    re.ASCII,
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ROWS_AT_ONCE = 64
_READS = 4
"""Times a file is opened, or read from, before its connection counts as lost: some two minutes."""
_TIMEOUT_SECONDS = 20.0
_LIBRARIES = ("huggingface_hub", "datasets", "fsspec", "httpx", "urllib3")
_NETWORK_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3", "aiohttp")
_SHOWN = 12
_SECRET = re.compile(r"Bearer\s.*|hf_\w{8,}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubName:
    """What stands behind `hub:`. `first` is a configuration or, alone, perhaps a split; "" where unsaid."""

    repo: str
    first: str = ""
    second: str = ""
    revision: str = ""


def parse_hub(spec: str) -> HubName:
    """Read "hub:OWNER/NAME[:CONFIG][:SPLIT][@REVISION]". Raises CorpusError on anything else."""
    match = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if not spec.startswith(PREFIX) or match is None:
        raise CorpusError(
            f"{spec!r} is not the name of a hub data set.",
            "Write it like hub:NeelNanda/pile-10k, or hub:OWNER/NAME:CONFIG:SPLIT.",
        )
    return HubName(match["repo"], match["first"] or "", match["second"] or "", match["revision"] or "")


class HubSource:
    """A hub data set at one revision. See `Source`; `source` names the revision once it is known."""

    def __init__(
        self,
        spec: str,
        *,
        offline: bool = False,
        revisions: BytesStore | None = None,
        field: TextField | None = None,
    ) -> None:
        self.hub = parse_hub(spec)
        self.name = spec.removeprefix(PREFIX).partition("@")[0]
        self.source = spec
        self.note = ""
        self.limit: int | None = MOST_DOCUMENTS
        self.records = Records(field)
        self._offline = offline or _offline_by_environment()
        self._revisions = revisions
        self._revision: str | None = None

    @property
    def bytes_read(self) -> int:
        """Characters of texts, in place of bytes that nobody counts."""
        return self.records.bytes_read

    @property
    def bytes_total(self) -> int | None:
        """Nobody knows."""
        return None

    def fingerprint(self, digest: Callable[[Path], str] = file_digest) -> str:
        """SHA-256 (hex) of the name, configuration and split as they were given, and the revision."""
        hub, revision = self.hub, self.revision()
        text = f"hub\n{hub.repo}\n{hub.first}\n{hub.second}\n{revision}\n"
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def revision(self) -> str:
        """The commit of the data set: the hub's newest or, without a network, the one seen last.

        Raises CorpusError when there is no such data set, it is gated, or neither is known.
        """
        if self._revision is None:
            if _COMMIT.fullmatch(self.hub.revision):
                self._revision = self.hub.revision
            else:
                self._revision = self._remembered() if self._offline else self._asked()
            self.source = f"{PREFIX}{self.name}@{self._revision}"
        return self._revision

    def _asked(self) -> str:
        try:
            with _hub_errors(self.hub.repo):
                revision = newest_revision(self.hub.repo, self.hub.revision or None)
        except _UnreachableError as error:
            try:
                revision = self._remembered()
            except CorpusError:
                raise error from error.__cause__
            _log.warning("%s Using the last known revision.", error.message)
            return revision
        if self._revisions is not None:
            self._revisions.put(_KIND, self._key(self._revisions), revision.encode())
        return revision

    def _remembered(self) -> str:
        store = self._revisions
        remembered = None if store is None else store.get(_KIND, self._key(store))
        if remembered is None:
            raise _offline_error(self.hub.repo)
        return remembered.decode("ascii")

    def _key(self, store: BytesStore) -> str:
        return store.key(_KIND, repo=self.hub.repo, branch=self.hub.revision)

    def documents(self) -> Iterator[Document]:
        """Every document, in order. Raises CorpusError, also without a network."""
        revision = self.revision()
        if self._offline:
            raise _offline_error(self.hub.repo)
        number = 0
        self.records = Records(self.records.field)
        with _hub_errors(self.hub.repo), _quiet(), _bounded_retries():
            hub = self.hub
            for text in stream_texts(hub.repo, hub.first, hub.second, revision, self.records):
                self.records.count(len(text))
                yield Document(text, self.source, number)
                number += 1
        if number == 0:
            self.records.end(f"The data set {self.name}")
            raise CorpusError(
                f"The data set {self.name} is empty: it has no text.", "Name another one, or `demo`."
            )


def newest_revision(repo: str, branch: str | None = None) -> str:
    """The commit a hub data set (or a branch or tag of it) is at. Raises what the hub's client raises."""
    from huggingface_hub import HfApi

    revision = HfApi().dataset_info(repo, revision=branch, timeout=_TIMEOUT_SECONDS).sha
    if not revision:
        raise CorpusError(f"The hub names no revision of {repo}.", "Try again later.")
    return str(revision)


def stream_texts(
    repo: str, first: str, second: str, revision: str | None, records: Records | None = None
) -> Iterator[str]:
    """The texts of a data set, row by row; records.py says which rows have one.

    Args:
        repo: a hub name, or a folder that is laid out like one.
        first, second: as in `HubName`.
        revision: a commit; None for a folder.
        records: knows which field is read, and counts.
    Raises:
        CorpusError: no such configuration, split or column; what the libraries raise otherwise.
    """
    import datasets

    config, split = _choose(repo, first, second, revision)
    rows = datasets.load_dataset(repo, config, split=split, streaming=True, revision=revision)
    features: dict[str, Any] = rows.features or next(iter(rows), {})
    records = records or Records()
    where = f"The data set {repo}"
    column = text_column(
        [(name, isinstance(kind, str) or _is_string(kind)) for name, kind in features.items()],
        where,
        records.field,
    )
    records.begin_file(where, column, features)
    for batch in rows.select_columns([column]).iter(batch_size=_ROWS_AT_ONCE):
        for value in batch[column]:
            yield from records.texts({column: value})


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string", "string_view")


def _choose(repo: str, first: str, second: str, revision: str | None) -> tuple[str | None, str]:
    """The configuration and the split that are meant."""
    import datasets

    configs = datasets.get_dataset_config_names(repo, revision=revision)
    default = "default" if "default" in configs else configs[0] if len(configs) == 1 else None
    # A word alone is a configuration where there is one of that name, else a split.
    alone = bool(first) and not second and first not in configs
    config = default if alone or not first else first
    if config not in configs:
        wanted = f"no configuration {first!r}" if first else "several configurations"
        raise CorpusError(
            f"The data set {repo} has {wanted}; it has {_some(configs)}.",
            f"Write {PREFIX}{repo}:CONFIG, or {PREFIX}{repo}:CONFIG:SPLIT.",
        )
    splits = [str(split) for split in datasets.get_dataset_split_names(repo, config, revision=revision)]
    split = first if alone else second
    chosen = split or ("train" if "train" in splits else splits[0] if len(splits) == 1 else "")
    if chosen not in splits:
        wanted = f"no split {chosen!r}" if chosen else "several splits"
        raise CorpusError(
            f"The data set {repo} has {wanted}; it has {_some(splits)}.",
            f"Write {PREFIX}{repo}:{config}:SPLIT.",
        )
    return config, chosen


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)


# --- what can go wrong ---


class _UnreachableError(CorpusError):
    """The hub cannot be reached."""


def _offline_by_environment() -> bool:
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in names)


def _offline_error(repo: str) -> CorpusError:
    return CorpusError(
        f"The data set {repo} is not in the cache yet, and the tool is offline.",
        "Fetch it where there is a network, then point --corpus at its folder or .parquet files.",
    )


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """What the hub's libraries raise, as one sentence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except CorpusError:
        raise
    except GatedRepoError as error:
        raise CorpusError(
            f"The data set {repo} is gated: its terms must be accepted on the hub.",
            "Accept them there and set HF_TOKEN.",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CorpusError(
            f"The hub has no data set called {repo!r} (or it is private).",
            "Check the name; for a private one set HF_TOKEN.",
        ) from error
    except Exception as error:  # noqa: BLE001 - the libraries raise many kinds; each ends the corpus
        said = first_line(error)
        first = _SECRET.sub("***", said)[:200]
        cause = error if first == said[:200] else None  # a traceback must not show a token either
        if isinstance(error, (HfHubHTTPError, ConnectionError, TimeoutError)) or type(
            error
        ).__module__.startswith(_NETWORK_LIBRARIES):
            raise _UnreachableError(
                f"The hub cannot be reached for the data set {repo} ({first.rstrip('.')}).",
                "Check the network, or point --corpus at a folder or .parquet files of it.",
            ) from cause
        raise CorpusError(
            f"The data set {repo} cannot be read ({first.rstrip('.')}).",
            "It may need code of its own, which is never run: point --corpus at .parquet files of it.",
        ) from cause


@contextmanager
def _bounded_retries() -> Iterator[None]:
    """Keep `datasets` from trying twenty times: with the hub client's own attempts, over nine minutes."""
    from datasets import config

    before = config.STREAMING_OPEN_MAX_RETRIES, config.STREAMING_READ_MAX_RETRIES
    config.STREAMING_OPEN_MAX_RETRIES = config.STREAMING_READ_MAX_RETRIES = _READS
    try:
        yield
    finally:
        config.STREAMING_OPEN_MAX_RETRIES, config.STREAMING_READ_MAX_RETRIES = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries from writing to a terminal the app owns."""
    import datasets

    bars_shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
        if bars_shown:
            datasets.enable_progress_bars()
