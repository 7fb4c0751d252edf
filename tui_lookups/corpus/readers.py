"""Where texts come from: the demo passages, a .txt or .jsonl file, or a folder of them.

1. `open_source` turns what the person named into a `Source`: a fixed order of files, each with the reader
   that its ending calls for.
2. `Source.documents` streams. No reader holds more than one document, a document has at most
   `MOST_CHARACTERS` characters (a longer one is cut into several), so a gigabyte in one line is read in flat
   memory.
3. Text is strict UTF-8. A NUL byte, a byte that is no UTF-8, a line that is no JSON: CorpusError with file,
   line and byte; nothing is skipped or replaced silently.

Another kind of source (a parquet file, a hub data set) is another entry in `READERS` or another `Source`.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

from tui_lookups.errors import CorpusError
from tui_lookups.storage.files import file_digest, reason

DEMO = "demo"
MOST_CHARACTERS = 1_000_000
"""Longest document; longer texts are cut into documents of this length."""
MOST_LINE_CHARACTERS = 64_000_000
"""Longest line of a .jsonl file: JSON cannot be read in parts."""

_CHUNK = 1 << 20
_WRITE_UTF8 = "Convert it to UTF-8 text, for example with: iconv -f LATIN1 -t UTF-8 FILE > NEW."


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `number` counts the documents of the whole source from 0."""

    text: str
    file: str
    number: int


class Source:
    """Files of texts in a fixed order. `note` is a sentence about what was left out, or empty."""

    def __init__(self, name: str, source: str, files: tuple[Path, ...], note: str = "") -> None:
        self.name = name
        self.source = source
        self.files = files
        self.note = note
        self.bytes_read = 0
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def bytes_total(self) -> int:
        """Bytes of all files. Raises CorpusError when one is gone."""
        return sum(_status(path)[0] for path in self.files)

    def fingerprint(self, digest: Callable[[Path], str] = file_digest) -> str:
        """SHA-256 (hex) over the files' endings and contents, in order; names and places do not count.

        `digest` is the SHA-256 of a file; hand in one that remembers (`storage.files.FingerprintMemory`).
        Raises CorpusError when a file cannot be read.
        """
        whole = hashlib.sha256()
        for path in self.files:
            self._seen[path] = _status(path)
            try:
                content = digest(path)
            except OSError as error:
                raise _unreadable(path, error) from error
            whole.update(f"{path.suffix.lower()}:{content}\n".encode("ascii"))
        return whole.hexdigest()

    def documents(self) -> Iterator[Document]:
        """Every document, in order. Raises CorpusError at the first thing that is not text.

        A file that changed since `fingerprint` was taken is refused too: its windows would be kept under
        the fingerprint of another text.
        """
        number = 0
        self.bytes_read = 0
        for path in self.files:
            before = self._seen.get(path, _status(path))
            for text in READERS[path.suffix.lower()](path, self._count):
                yield Document(text, str(path), number)
                number += 1
            if _status(path) != before:
                raise CorpusError(f"{path} changed while it was read.", "Start again when it is finished.")
        if number == 0:
            raise CorpusError(
                f"The corpus {self.source} is empty: it has no text.", "Name a file with text, or `demo`."
            )

    def _count(self, n_bytes: int) -> None:
        self.bytes_read += n_bytes


def open_source(spec: str) -> Source:
    """The source that `--corpus` names: "demo", a .txt or .jsonl file, or a folder of them.

    Reads names and sizes only. Raises CorpusError when there is no such thing or it is of another kind.
    """
    if spec == DEMO:
        path = Path(str(package_files("tui_lookups") / "demo" / "passages.jsonl"))
        _check_file(path)
        return Source(DEMO, DEMO, (path,))
    path = Path(spec).expanduser()
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise CorpusError(f"There is no corpus {spec!r}.", f"Name {_allowed()}.") from error
    if resolved.is_dir():
        return _open_folder(resolved)
    _check_file(resolved)
    if resolved.suffix.lower() not in READERS:
        raise CorpusError(
            f"{spec} ends in {resolved.suffix!r}, which is no kind of corpus.", f"Name {_allowed()}."
        )
    return Source(resolved.name, str(resolved), (resolved,))


def read_txt(path: Path, count: Callable[[int], None]) -> Iterator[str]:
    """Paragraphs of a text file: runs of lines between lines that are blank."""
    pieces: list[str] = []
    held = 0
    for piece, ends_line in _lines(path, count, MOST_CHARACTERS):
        blank = ends_line and not piece.strip() and (not pieces or pieces[-1] == "\n")
        if blank:
            yield from _document(pieces)
            pieces, held = [], 0
            continue
        if held + len(piece) + 1 > MOST_CHARACTERS:
            yield from _document(pieces)
            pieces, held = [], 0
        pieces.append(piece)
        held += len(piece)
        if ends_line:
            pieces.append("\n")
            held += 1
    yield from _document(pieces)


def read_jsonl(path: Path, count: Callable[[int], None]) -> Iterator[str]:
    """The `text` field of every line that is not blank."""
    number = 1
    for line, ends_line in _lines(path, count, MOST_LINE_CHARACTERS):
        if not ends_line and len(line) >= MOST_LINE_CHARACTERS:
            raise CorpusError(
                f"{path}, line {number}: the line is longer than {MOST_LINE_CHARACTERS:,} characters.",
                "Write each text as a line of its own, or the whole as a .txt file.",
            )
        if line.strip():
            text = _text_field(path, number, line)
            for start in range(0, len(text), MOST_CHARACTERS):
                if text[start : start + MOST_CHARACTERS].strip():
                    yield text[start : start + MOST_CHARACTERS]
        number += 1


READERS: dict[str, Callable[[Path, Callable[[int], None]], Iterator[str]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
}
"""How a file is read, by its ending in lower case: (path, count of bytes read) -> texts."""


def _document(pieces: list[str]) -> Iterator[str]:
    text = "".join(pieces).strip("\n")
    if text.strip():
        yield text


def _text_field(path: Path, number: int, line: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        detail = (
            f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        )
        raise CorpusError(
            f"{path}, line {number}: this is not JSON ({detail}).", "Write one JSON object a line."
        ) from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise CorpusError(
            f"{path}, line {number}: there is no field `text` with a string.",
            'Write each line like {"text": "..."}.',
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{path}, line {number}: the text holds half of a surrogate pair, which is no character.",
            "Write the text as UTF-8, or both halves of the pair.",
        ) from error
    return text


def _lines(path: Path, count: Callable[[int], None], most: int) -> Iterator[tuple[str, bool]]:
    """Lines without their ends, and whether the line ends there; longer ones come in parts of `most`.

    Only line feeds (and CR LF, and CR) end a line: the other separators of Unicode occur inside texts.
    """
    held: list[str] = []
    length = 0
    for text in _characters(path, count):
        start = 0
        while start < len(text):
            end = text.find("\n", start)
            stop = len(text) if end < 0 else end
            stop = min(stop, start + most - length)
            held.append(text[start:stop])
            length += stop - start
            start = stop
            if stop == end:
                yield "".join(held), True
                held, length, start = [], 0, stop + 1
            elif length == most:
                yield "".join(held), False
                held, length = [], 0
    if length:
        yield "".join(held), True


def _characters(path: Path, count: Callable[[int], None]) -> Iterator[str]:
    """The file's characters in pieces, line ends made "\n". Raises CorpusError at what is no UTF-8 text."""
    decode = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, line = 0, 1
    try:
        with path.open("rb") as file:
            while True:
                chunk = file.read(_CHUNK)
                count(len(chunk))
                first = offset == 0
                if first:
                    _refuse_utf16(path, chunk)
                if (null := chunk.find(b"\0")) >= 0:
                    raise CorpusError(
                        f"{path} is not text: there is a NUL byte at byte {offset + null}.", _WRITE_UTF8
                    )
                pending = len(decode.getstate()[0])
                try:
                    text = decode.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise CorpusError(
                        f"{path} is not UTF-8: line {line + error.object[: error.start].count(10)}, "
                        f"byte {offset - pending + error.start}.",
                        _WRITE_UTF8,
                    ) from error
                if first:
                    text = text.removeprefix("\ufeff")
                line += chunk.count(b"\n")
                offset += len(chunk)
                if text or not chunk:
                    yield newlines.decode(text, final=not chunk)
                if not chunk:
                    return
    except OSError as error:
        raise _unreadable(path, error) from error


def _refuse_utf16(path: Path, start: bytes) -> None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(
            f"{path} is UTF-16 text: its byte order mark says so.",
            "Convert it with: iconv -f UTF-16 -t UTF-8 FILE > NEW.",
        )


def _open_folder(folder: Path) -> Source:
    found: list[Path] = []
    others = 0
    for parent, folders, names in os.walk(folder, followlinks=False, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in READERS and not name.startswith(".") and path.is_file():
                found.append(path)
            else:
                others += 1
    if not found:
        raise CorpusError(f"There is no {_endings()} file in {folder}.", f"Name {_allowed()}.")
    found.sort(key=lambda path: path.relative_to(folder).as_posix())
    note = f"{others} other file{'s' * (others != 1)} in {folder} left out." if others else ""
    return Source(folder.name or str(folder), str(folder), tuple(found), note)


def _cannot_list(error: OSError) -> None:
    raise _unreadable(Path(error.filename), error) from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise CorpusError(f"{path} is not a regular file.", f"Name {_allowed()}.")


def _status(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"{path} could not be read: {reason(error)}.", "Check the name and its permissions.")


def _endings() -> str:
    return " or ".join(sorted(READERS))


def _allowed() -> str:
    return f"`{DEMO}`, a {_endings()} file, or a folder of such files"
