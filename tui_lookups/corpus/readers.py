"""From what `--corpus` names to a source of documents: the demo passages, files, folders, the hub.

1. `open_source` turns what the person named into a `Source`. A file's ending says how it is read
   (`READERS`); a folder is its files in the order of their paths, or what `save_to_disk` of the `datasets`
   package wrote there; `hub:OWNER/NAME` is a hub data set (hub.py).
2. `Source.documents` streams. No reader holds more than a few megabytes, or one line, or one row; a
   document has at most `MOST_CHARACTERS` characters (a longer one is cut into several).
3. A file that is damaged, truncated or no text is a CorpusError that says where (lines.py, compressed.py,
   tables.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.resources import files as package_files
from pathlib import Path

from tui_lookups.corpus.compressed import COMPRESSED
from tui_lookups.corpus.hub import PREFIX as HUB_PREFIX
from tui_lookups.corpus.hub import HubSource
from tui_lookups.corpus.lines import read_jsonl, read_txt
from tui_lookups.corpus.source import Count, Document, Source, unreadable
from tui_lookups.corpus.tables import read_arrow, read_parquet
from tui_lookups.errors import CorpusError
from tui_lookups.home import expanded
from tui_lookups.storage.files import BytesStore, file_digest

DEMO = "demo"

READERS: dict[str, Callable[[Path, Count], Iterator[str]]] = {
    ".txt": read_txt,
    ".txt.gz": read_txt,
    ".txt.zst": read_txt,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".jsonl.zst": read_jsonl,
    ".parquet": read_parquet,
}
"""How a file is read, by its ending in lower case: (path, count of bytes read) -> texts."""

_SAVED_READERS = {**READERS, ".arrow": read_arrow}
_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_ALLOWED = (
    f"`{DEMO}`, a .jsonl, .parquet or .txt file (.jsonl and .txt also as .gz or .zst), a folder of such "
    f"files, a data set folder, or `{HUB_PREFIX}OWNER/NAME`"
)


class FileSource:
    """Files of texts in a fixed order. See `Source`."""

    def __init__(self, name: str, source: str, files: tuple[Path, ...], note: str = "") -> None:
        self.name = name
        self.source = source
        self.files = files
        self.note = note
        self.limit: int | None = None
        self.bytes_read = 0
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all files, compressed as they are. Raises CorpusError when one is gone."""
        return sum(_status(path)[0] for path in self.files)

    def fingerprint(self, digest: Callable[[Path], str] = file_digest) -> str:
        """SHA-256 (hex) over the files' endings and contents, in order; names and places do not count.

        Raises CorpusError when a file cannot be read.
        """
        whole = hashlib.sha256()
        for path in self.files:
            self._seen[path] = _status(path)
            try:
                content = digest(path)
            except OSError as error:
                raise unreadable(path, error) from error
            whole.update(f"{_ending(path)}:{content}\n".encode("ascii"))
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
            for text in _SAVED_READERS[_ending(path)](path, self._count):
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


def open_source(spec: str, *, offline: bool = False, revisions: BytesStore | None = None) -> Source:
    """The source that `--corpus` names.

    Reads names and sizes only, and asks no network yet.

    Args:
        spec: "demo", a file, a folder, or "hub:OWNER/NAME[:CONFIG][:SPLIT]".
        offline: never reach for the network: a hub data set is then found by the revision known last.
        revisions: where the last known revisions of hub data sets are kept.
    Raises:
        CorpusError: there is no such thing, or it is of another kind.
    """
    if spec == DEMO:
        path = Path(str(package_files("tui_lookups") / "demo" / "passages.jsonl"))
        _check_file(path)
        return FileSource(DEMO, DEMO, (path,))
    if spec.startswith(HUB_PREFIX):
        return HubSource(spec, offline=offline, revisions=revisions)
    path = expanded(spec)
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise CorpusError(
            f"There is no corpus {spec!r}.",
            f"Name {_ALLOWED}; `--corpus {DEMO}` goes on with the packaged passages.",
        ) from error
    if resolved.is_dir():
        return _open_folder(resolved)
    _check_file(resolved)
    if _ending(resolved) not in READERS:
        raise CorpusError(
            f"{spec} ends in {_ending(resolved)!r}, which is not a supported corpus format.",
            f"Name {_ALLOWED}.",
        )
    return FileSource(resolved.name, str(resolved), (resolved,))


def _ending(path: Path) -> str:
    """The ending in lower case; of a compressed file that of its content, too (".jsonl.gz")."""
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() + last if last in COMPRESSED else last


# --- folders ---


def _open_folder(folder: Path) -> FileSource:
    if (folder / _SPLITS).is_file():
        return _open_splits(folder)
    if (folder / _STATE).is_file() and (folder / _INFO).is_file():
        return FileSource(folder.name, str(folder), _saved_files(folder))
    found: list[Path] = []
    others = 0
    for parent, folders, names in os.walk(folder, followlinks=False, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if _ending(path) in READERS and not name.startswith(".") and path.is_file():
                found.append(path)
            else:
                others += 1
    if not found:
        raise CorpusError(f"There is no {_endings()} file in {folder}.", f"Name {_ALLOWED}.")
    found.sort(key=lambda path: path.relative_to(folder).as_posix())
    note = f"{others} other file{'s' * (others != 1)} in {folder} left out." if others else ""
    return FileSource(folder.name or str(folder), str(folder), tuple(found), note)


def _open_splits(folder: Path) -> FileSource:
    """A saved DatasetDict: its split `train`, or the only one it has."""
    splits = _json_field(folder / _SPLITS, "splits")
    if not isinstance(splits, list) or not all(_is_plain_name(split) for split in splits):
        raise _not_saved(folder / _SPLITS)
    chosen = "train" if "train" in splits else splits[0] if len(splits) == 1 else None
    if chosen is None:
        raise CorpusError(
            f"The data set {folder} has the splits {', '.join(splits) or '(none)'}.",
            "Name the folder of one of them.",
        )
    others = ", ".join(split for split in splits if split != chosen)
    return FileSource(
        f"{folder.name}/{chosen}",
        str(folder / chosen),
        _saved_files(folder / chosen),
        f"Other splits left out: {others}." if others else "",
    )


def _saved_files(folder: Path) -> tuple[Path, ...]:
    """The .arrow files of a saved data set in their order, as its state lists them."""
    listed = _json_field(folder / _STATE, "_data_files")
    if not isinstance(listed, list) or not listed:
        raise _not_saved(folder / _STATE)
    files = []
    for entry in listed:
        name = entry.get("filename") if isinstance(entry, dict) else None
        # A name that leads elsewhere is never one of the data set's files.
        if not _is_plain_name(name) or _ending(Path(str(name))) != ".arrow":
            raise _not_saved(folder / _STATE)
        files.append(folder / str(name))
        _check_file(files[-1])
    return tuple(files)


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _json_field(path: Path, name: str) -> object:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise _not_saved(path) from error
    return content.get(name) if isinstance(content, dict) else None


def _not_saved(path: Path) -> CorpusError:
    return CorpusError(f"{path} does not describe a saved data set.", "Save the data set to disk again.")


def _cannot_list(error: OSError) -> None:
    raise unreadable(Path(error.filename), error) from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise CorpusError(f"{path} is not a regular file.", f"Name {_ALLOWED}.")


def _status(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns


def _endings() -> str:
    *most, last = sorted(READERS)
    return f"{', '.join(most)} or {last}"
