"""A corpus: the token windows ("prompts") that the scan runs, on disk, in the order of the texts.

1. Documents are tokenised in batches, without special tokens.
2. A document is cut into windows of at most `window` tokens, begin-of-text (where there is one) put before
   each. A window of one token is left out: position 0 never counts as a peak, so it could have none.
3. Every document belongs to one of two parts by the hash of its text (method.md, section 5: one part
   explains, the other scores). The same text is always in the same part, also when the corpus grows or holds
   it twice.
4. Token ids, window offsets, document numbers and parts are appended to array files batch by batch, so
   memory is flat in the length of the corpus, and committed at the end as a whole.
5. The folder's name is the fingerprint: a hash of the texts, the tokenizer, the window, begin-of-text, the
   most documents taken, and the field of its records that was named for the texts.
6. The content digest (digest.py) is of the windows themselves. A corpus that begins with all windows of
   another one is recognised by it, whatever file they came from, and scanned from there on.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.corpus.digest import WindowDigest
from tui_lookups.corpus.documents import Document
from tui_lookups.corpus.records import TextField
from tui_lookups.corpus.source import Source
from tui_lookups.errors import CacheError, Cancelled, CorpusError, UnknownTokenError
from tui_lookups.progress import Count, Hear
from tui_lookups.results import CorpusInfo, ModelInfo, Token
from tui_lookups.storage.arrays import ArrayFolder, ArrayWriter
from tui_lookups.storage.files import file_digest

Encode = Callable[[list[str]], list[list[int]]]

FORMAT_VERSION = 1
"""In the fingerprint: raise it with every change of what documents, windows or parts are."""
EXPLAINING, SCORING = 0, 1
_BLOCK = "windows"
_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 1_000_000
_WAIT_SECONDS = 0.1

_DIGEST_WINDOWS = 1 << 16
"""Windows hashed at a time."""
_TOKENS_AT_ONCE = 1 << 24
"""Tokens looked through at a time."""

_log = logging.getLogger(__name__)


class Corpus:
    """Token windows by number (`prompt_id`, from 0). Arrays are mapped on first use, never loaded whole.

    Raises CacheError from any of them when the files on disk are damaged.
    """

    def __init__(self, info: CorpusInfo, folder: ArrayFolder, content: str | None = None) -> None:
        self.info = info
        self._folder = folder
        self._content = content

    def __len__(self) -> int:
        return self.info.prompts

    def window_tokens(self, prompt_id: int) -> npt.NDArray[np.int64]:
        """Token ids of a window, begin-of-text included: [n_tokens], 2 <= n_tokens <= info.window."""
        start, end = self._arrays["offsets"][self._check(prompt_id) : prompt_id + 2]
        return self._arrays["tokens"][start:end].astype(np.int64)

    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens per window: [prompts]."""
        return np.diff(self._arrays["offsets"])

    def document(self, prompt_id: int) -> int:
        """Number of the document that a window was cut from."""
        return int(self._arrays["documents"][self._check(prompt_id)])

    def part(self, prompt_id: int) -> int:
        """0 (EXPLAINING) or 1 (SCORING): the part of the corpus a window's document is in.

        See method.md, section 5.
        """
        return int(self._arrays["split"][self.document(prompt_id)])

    def parts(self) -> npt.NDArray[np.uint8]:
        """The part of every window: [prompts] of 0 and 1."""
        return np.asarray(self._arrays["split"][self._arrays["documents"]], dtype=np.uint8)

    def content(self) -> str:
        """The digest of all windows and their parts: equal for corpora that hold the same prompts."""
        if self._content is None:  # written before digests were
            (self._content,) = self.prefix_digests([len(self)])
        return self._content

    def prefix_digests(self, counts: Sequence[int]) -> list[str]:
        """For each n of `counts`, `content()` of a corpus that holds the first n prompts of this one.

        One pass over the arrays, however many counts.
        """
        wanted = sorted(set(counts))
        if wanted and not 0 <= wanted[0] <= wanted[-1] <= len(self):
            raise ValueError(f"the corpus has {len(self)} prompts")
        digests: dict[int, str] = {}
        digest, done = WindowDigest(), 0
        arrays = self._arrays
        for count in wanted:
            while done < count:
                end = min(count, done + _DIGEST_WINDOWS)
                offsets = arrays["offsets"][done : end + 1]
                digest.update(
                    arrays["tokens"][offsets[0] : offsets[-1]],
                    np.diff(offsets),
                    arrays["split"][arrays["documents"][done:end]],
                )
                done = end
            digests[count] = digest.hexdigest()
        return [digests[count] for count in counts]

    def require_rows(self, info: ModelInfo, token: Callable[[int], Token]) -> None:
        """Raise CorpusError, naming the token and its document, where the model has no row for a token."""
        tokens, offsets = self._arrays["tokens"], self._arrays["offsets"]
        for start in range(0, len(tokens), _TOKENS_AT_ONCE):
            beyond = np.flatnonzero(tokens[start : start + _TOKENS_AT_ONCE] >= info.d_vocab)
            if len(beyond):
                offset = start + int(beyond[0])
                prompt_id = int(np.searchsorted(offsets, offset, side="right")) - 1
                try:
                    info.check_token(token(int(tokens[offset])))
                except UnknownTokenError as error:
                    raise CorpusError(
                        f"Document {self.document(prompt_id) + 1} of {self.info.name} cannot be read: "
                        f"{error.message}",
                        "Take that token out of the texts.",
                    ) from error

    def is_sound(self) -> bool:
        """Whether the arrays are those that were written (their checksums are compared once)."""
        try:
            return bool(self._arrays)
        except CacheError:
            return False

    def drop(self) -> None:
        """Remove the files, after a CacheError; `build_corpus` makes them again. Raises CacheError."""
        self._folder.drop()

    def _check(self, prompt_id: int) -> int:
        if not 0 <= prompt_id < self.info.prompts:
            raise IndexError(f"prompt {prompt_id} is not one of {self.info.prompts}")
        return prompt_id

    @cached_property
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return self._folder.open(_BLOCK)


def corpus_fingerprint(
    source: str,
    tokenizer: str,
    window: int,
    bos_id: int | None,
    limit: int | None = None,
    field: TextField | None = None,
) -> str:
    """SHA-256 (hex) of everything the windows depend on.

    That is texts, tokenizer, window, begin-of-text, the most documents taken (None: all), the field of the
    records that was named, and the format.
    """
    text = f"corpus {FORMAT_VERSION}\n{source}\n{tokenizer}\n{window}\n{bos_id}\n"
    if limit is not None:
        text += f"first {limit}\n"
    if field is not None:
        text += field.key
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cut_windows(tokens: Sequence[int], window: int, bos_id: int | None) -> list[list[int]]:
    """A document's tokens as windows of at most `window` tokens, each with begin-of-text before it.

    Windows of one token are left out (without begin-of-text a document's last token may be one).
    """
    prefix = [] if bos_id is None else [bos_id]
    room = window - len(prefix)
    windows = [prefix + list(tokens[start : start + room]) for start in range(0, len(tokens), room)]
    return [piece for piece in windows if len(piece) >= 2]


def part_of(text: str) -> int:
    """The part a document belongs to: 0 or 1 by the hash of its text, about half of the texts each."""
    return hashlib.sha256(text.encode("utf-8")).digest()[0] & 1


def open_corpus(source: Source, fingerprint: str, folder_root: Path) -> Corpus | None:
    """The corpus of that fingerprint below `folder_root`, None when there is none. Reads the manifest only.

    Raises CacheError when the manifest is damaged.
    """
    folder = ArrayFolder(folder_root / fingerprint)
    manifest = folder.manifest()
    if manifest is None:
        return None
    try:
        counts = {
            name: int(manifest.description[name]) for name in ("documents", "prompts", "tokens", "window")
        }
        cut = bool(manifest.description.get("cut", False))
        content = None if (count := manifest.description.get("content")) is None else str(count)
        # What an earlier version tokenised was not counted.
        left_out = None if (count := manifest.description.get("left_out")) is None else int(count)
        special = None if (count := manifest.description.get("special_tokens")) is None else int(count)
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError(f"{folder.path} does not hold a corpus.", "Remove that folder.") from error
    # Whoever sees the corpus named sees that there was more of it.
    less = [f"first {counts['documents']:,} documents"] if cut else []
    less += [f"{left_out:,} record{'s' * (left_out != 1)} without text left out"] if left_out else []
    name = f"{source.name} ({', '.join(less)})" if less else source.name
    field = "" if source.records.field is None else source.records.field.name
    info = CorpusInfo(
        name,
        source.source,
        fingerprint,
        **counts,
        left_out=left_out,
        text_field=field,
        other_files=source.note,
        special_tokens=special,
    )
    return Corpus(info, folder, content)


def build_corpus(
    source: Source,
    encode: Encode,
    bos_id: int | None,
    window: int,
    tokenizer_fingerprint: str,
    folder_root: Path,
    progress: Hear | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    digest: Callable[[Path], str] = file_digest,
    d_vocab: int | None = None,
    max_documents: int | None = None,
    special_ids: Collection[int] = (),
) -> Corpus:
    """The corpus of `source`, from `folder_root` (the cache's `corpora` folder) or tokenised into it.

    Args:
        encode: texts to token ids, one list a text, without special tokens.
        bos_id: id of begin-of-text that is put in front, None for nothing.
        window: longest window in tokens, begin-of-text included; at least 2.
        progress: called after each batch.
        should_stop: asked between batches; True raises Cancelled.
        digest: SHA-256 of a file, for one that remembers.
        d_vocab: vocabulary entries; at most 65,536 of them lets ids take two bytes on disk.
        max_documents: most documents taken, at least 1; None leaves it to the source (`Source.limit`). A
            corpus that was cut says so in its name.
        special_ids: ids of special tokens; those that the texts spell out are counted.

    Raises CorpusError (see `Source`), CacheError when the folder cannot be written, Cancelled. A build
    that ends early, however it ends, leaves nothing that is taken for a corpus.
    """
    if window < 2:
        raise ValueError("a window has at least two tokens")
    limit = source.limit if max_documents is None else max_documents
    fingerprint = corpus_fingerprint(
        source.fingerprint(digest), tokenizer_fingerprint, window, bos_id, limit, source.records.field
    )
    folder = ArrayFolder(folder_root / fingerprint)
    while True:
        _stop_if_asked(should_stop)
        corpus = _open_if_sound(source, fingerprint, folder_root)
        if corpus is not None:
            return corpus
        with folder.writing() as writer:
            # Another process may have built it between the look above and the lock.
            if writer is not None and _open_if_sound(source, fingerprint, folder_root) is None:
                _write(
                    writer, source, limit, encode, bos_id, window, d_vocab, special_ids, progress, should_stop
                )
        if writer is None:
            time.sleep(_WAIT_SECONDS)  # another process or thread is building this very corpus


def _open_if_sound(source: Source, fingerprint: str, folder_root: Path) -> Corpus | None:
    """The corpus if it is there and its manifest is sound; over a damaged one the next commit writes."""
    try:
        return open_corpus(source, fingerprint, folder_root)
    except CacheError as error:
        _log.warning("%s", error)
        return None


def _write(
    writer: ArrayWriter,
    source: Source,
    limit: int | None,
    encode: Encode,
    bos_id: int | None,
    window: int,
    d_vocab: int | None,
    special_ids: Collection[int],
    progress: Hear | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Tokenise, cut and append batch by batch, then commit."""
    small = d_vocab is not None and d_vocab <= 1 << 16
    tokens = writer.appender(_BLOCK, "tokens", np.uint16 if small else np.uint32)
    offsets = writer.appender(_BLOCK, "offsets", np.int64)
    documents = writer.appender(_BLOCK, "documents", np.int32)
    split = writer.appender(_BLOCK, "split", np.uint8)
    offsets.append(np.zeros(1, dtype=np.int64))
    digest, special = WindowDigest(), 0
    count = Count(f"tokenising {source.name}", source.bytes_total or 0)
    texts = source.documents()
    for batch in _batches(islice(texts, limit)):
        _stop_if_asked(should_stop)
        ids = encode([document.text for document in batch])
        if len(ids) != len(batch):
            raise ValueError(f"encode answered {len(ids)} lists for {len(batch)} texts")
        windows = [
            (document.number, piece)
            for document, of_document in zip(batch, ids, strict=True)
            for piece in cut_windows(of_document, window, bos_id)
        ]
        parts = {document.number: part_of(document.text) for document in batch}
        split.append(np.fromiter(parts.values(), dtype=np.uint8))
        documents.append(np.array([number for number, _ in windows], dtype=np.int64))
        lengths = np.array([len(piece) for _, piece in windows], dtype=np.int64)
        offsets.append(tokens.length + np.cumsum(lengths))
        flat = chain.from_iterable(piece for _, piece in windows)
        joined = np.fromiter(flat, dtype=np.int64, count=int(lengths.sum()))
        tokens.append(joined)
        put_in_front = len(windows) if bos_id in special_ids else 0
        special += int(np.isin(joined, list(special_ids)).sum()) - put_in_front
        digest.update(joined, lengths, np.array([parts[number] for number, _ in windows], dtype=np.uint8))
        if progress is not None:
            progress(count.at(source.bytes_read, f"{split.length:,} documents, {tokens.length:,} tokens"))
    taken = source.records.left_out  # of the records up to the last document that is taken
    cut = limit is not None and split.length == limit and next(texts, None) is not None
    left_out = taken if cut else source.records.left_out
    if documents.length == 0:
        raise CorpusError(
            f"The corpus {source.source} is empty: no text in it has a token to look at.",
            "Name a file with longer texts, or `demo`.",
        )
    counts = {"documents": split.length, "prompts": documents.length, "tokens": tokens.length}
    description = {**counts, "window": window, "content": digest.hexdigest(), "cut": cut}
    writer.commit({**description, "left_out": left_out, "special_tokens": special})


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in batches of bounded number and length."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _stop_if_asked(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("the corpus is no longer asked for")
