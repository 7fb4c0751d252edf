"""Texts in lines: the paragraphs of .txt, the records of .jsonl, from plain or compressed files.

1. Bytes arrive in pieces (compressed.py) and become characters: strict UTF-8, no NUL, line ends made "\\n".
2. Lines of bounded length are cut from those, so a gigabyte in one line is read in flat memory.
3. What is no text is a CorpusError with file, line and byte (of the decompressed text); nothing is skipped
   or replaced silently. Which field of a record is its text: records.py.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tui_lookups.corpus import documents
from tui_lookups.corpus.compressed import read_chunks
from tui_lookups.corpus.documents import Count
from tui_lookups.corpus.encodings import encoding_of
from tui_lookups.corpus.records import Records
from tui_lookups.errors import CorpusError

MOST_LINE_CHARACTERS = 64_000_000
"""Longest line of a .jsonl file: JSON cannot be read in parts."""


def read_txt(path: Path, count: Count) -> Iterator[str]:
    """Paragraphs of a text file: runs of lines between lines that are blank."""
    pieces: list[str] = []
    held = 0
    for piece, ends_line in _lines(path, count, documents.MOST_CHARACTERS):
        blank = ends_line and not piece.strip() and (not pieces or pieces[-1] == "\n")
        if blank:
            yield from _document(pieces)
            pieces, held = [], 0
            continue
        if held + len(piece) + 1 > documents.MOST_CHARACTERS:
            yield from _document(pieces)
            pieces, held = [], 0
        pieces.append(piece)
        held += len(piece)
        if ends_line:
            pieces.append("\n")
            held += 1
    yield from _document(pieces)


def read_jsonl(path: Path, records: Records) -> Iterator[str]:
    """The text of every line that is not blank, each an object."""
    number = 1
    records.begin_file(str(path))
    for line, ends_line in _lines(path, records.count, MOST_LINE_CHARACTERS):
        if not ends_line and len(line) >= MOST_LINE_CHARACTERS:
            raise CorpusError(
                f"{path}, line {number}: the line is longer than {MOST_LINE_CHARACTERS:,} characters.",
                "Write each text as a line of its own, or the whole as a .txt file.",
            )
        if line.strip():
            for text in records.texts(_record(path, number, line)):
                _require_whole_characters(text, path, number)
                yield text
        number += 1
    records.end_file()


def _document(pieces: list[str]) -> Iterator[str]:
    text = "".join(pieces).strip("\n")
    if text.strip():
        yield text


def _record(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        detail = (
            f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        )
        raise CorpusError(
            f"{path}, line {number}: this is not JSON ({detail}).", "Write one JSON object per line."
        ) from error
    if not isinstance(record, dict):
        raise CorpusError(
            f"{path}, line {number}: this is no JSON object, and so has no fields.",
            'Write each line like {"text": "..."}.',
        )
    return record


def _require_whole_characters(text: str, path: Path, number: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{path}, line {number}: the text holds half of a surrogate pair, which is not a character.",
            "Write the text as UTF-8, or both halves of the pair.",
        ) from error


def _lines(path: Path, count: Count, most: int) -> Iterator[tuple[str, bool]]:
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


def _characters(path: Path, count: Count) -> Iterator[str]:
    """The file's characters in pieces, line ends made "\n". Raises CorpusError at what is no UTF-8 text."""
    decode = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, line, start, started = 0, 1, b"", False
    for chunk in chain(read_chunks(path, count), [b""]):
        if not offset:
            start = chunk
        if (null := chunk.find(b"\0")) >= 0:
            raise _no_utf8(path, start, f"is not text: there is a NUL byte at byte {offset + null}")
        pending = len(decode.getstate()[0])
        try:
            text = decode.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            where = f"line {line + error.object[: error.start].count(10)}, "
            where += f"byte {offset - pending + error.start}"
            raise _no_utf8(path, start, f"is not UTF-8: {where}") from error
        if text and not started:
            text, started = text.removeprefix("\ufeff"), True
        line += chunk.count(b"\n")
        offset += len(chunk)
        if text or not chunk:
            yield newlines.decode(text, final=not chunk)


def _no_utf8(path: Path, start: bytes, problem: str) -> CorpusError:
    """What is wrong with a file's bytes, and their encoding where `start`, the first of them, shows it."""
    encoding, marked = encoding_of(start)
    if marked:
        problem = f"is {encoding} text: its byte order mark says so"
    elif encoding:
        problem += f" (it looks like {encoding} text)"
    how = f"with: iconv -f {encoding}" if encoding else "for example with: iconv -f LATIN1"
    return CorpusError(f"{path} {problem}.", f"Convert it to UTF-8 text, {how} -t UTF-8 FILE > NEW.")
