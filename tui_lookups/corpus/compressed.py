"""The bytes of a file in pieces of bounded size, decompressed where its name ends in .gz or .zst.

1. Nothing is ever decompressed whole: a .gz gives at most `_CHUNK` bytes at a time; a .zst is fed
   `_ZSTD_FEED` bytes at a time, which can become at most 64 MB (a block of 128 kB takes at least four bytes).
2. The end is checked: a file that stops before its last stream is complete was truncated, and is refused
   like one whose checksum is wrong. Several streams one after another (what appending makes) are read on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tui_lookups.corpus.documents import Count, unreadable
from tui_lookups.errors import CorpusError

COMPRESSED = (".gz", ".zst")
"""Endings, in lower case, of what is decompressed."""

_CHUNK = 1 << 20
_ZSTD_FEED = 1 << 11
_ZSTD_MOST_WINDOW = 1 << 27
"""What the zstd tool itself grants; a frame may ask for 2 GB."""


def read_chunks(path: Path, count: Count) -> Iterator[bytes]:
    """The content of a file, decompressed by its ending, in pieces that are not empty.

    Raises CorpusError when it cannot be read, is truncated or damaged, or is not what its ending says.
    """
    try:
        with path.open("rb") as file:
            kind = path.suffix.lower()
            if kind == ".gz":
                yield from _gzip_chunks(path, file, count)
            elif kind == ".zst":
                yield from _zstd_chunks(path, file, count)
            else:
                yield from _counted(file, _CHUNK, count)
    except OSError as error:
        raise unreadable(path, error) from error


def _counted(file: BinaryIO, size: int, count: Count) -> Iterator[bytes]:
    while chunk := file.read(size):
        count(len(chunk))
        yield chunk


def _gzip_chunks(path: Path, file: BinaryIO, count: Count) -> Iterator[bytes]:
    seen = 0
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            while chunk := unpacked.read(_CHUNK):
                count(file.tell() - seen)
                seen = file.tell()
                yield chunk
    except EOFError as error:
        raise _truncated(path) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, "gzip", error) from error
    if seen == 0 and path.stat().st_size == 0:
        raise _truncated(path)
    count(file.tell() - seen if not file.closed else 0)


def _zstd_chunks(path: Path, file: BinaryIO, count: Count) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MOST_WINDOW)
    stream, pending = decompressor.decompressobj(), True  # whether the stream has not ended yet
    try:
        for fed in _counted(file, _ZSTD_FEED, count):
            left = fed
            while left:
                if not pending:
                    stream, pending = decompressor.decompressobj(), True
                unpacked = stream.decompress(left)
                left = stream.unused_data if stream.eof else b""
                pending = not stream.eof
                if unpacked:
                    yield unpacked
    except zstandard.ZstdError as error:
        raise _damaged(path, "zstd", error) from error
    if pending:
        raise _truncated(path)


def _truncated(path: Path) -> CorpusError:
    return CorpusError(
        f"{path} is truncated: its compressed data stops before the end.", "Fetch or write the file again."
    )


def _damaged(path: Path, kind: str, error: Exception) -> CorpusError:
    return CorpusError(
        f"{path} cannot be decompressed: it is damaged or not {kind} ({str(error).rstrip('.')}).",
        "Fetch the file again, or check its ending.",
    )
