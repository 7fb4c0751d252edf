"""From what `--corpus` names to a source of documents: the demo passages, files, folders, the hub.

1. `open_source` turns what the person named into a `Source`. A file's ending says how it is read
   (`READERS`); a folder is its files in the order of their paths, or what `save_to_disk` of the `datasets`
   package wrote there; `hub:OWNER/NAME` is a hub data set (hub.py).
2. A folder is read through the links in it, each folder once; what is read of a record: records.py.
3. `Source.documents` streams. No reader holds more than a few megabytes, or one line, or one row; a
   document has at most `MOST_CHARACTERS` characters (a longer one is cut into several).
4. A file that is damaged, truncated or no text is a CorpusError that says where (lines.py, compressed.py,
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
from tui_lookups.corpus.documents import Document, unreadable
from tui_lookups.corpus.hub import PREFIX as HUB_PREFIX
from tui_lookups.corpus.hub import HubSource
from tui_lookups.corpus.lines import read_jsonl, read_txt
from tui_lookups.corpus.records import Records, TextField, listed
from tui_lookups.corpus.source import Source
from tui_lookups.corpus.tables import read_arrow, read_parquet
from tui_lookups.errors import CorpusError
from tui_lookups.home import expanded
from tui_lookups.storage.files import BytesStore, file_digest

DEMO = "demo"


def _paragraphs(path: Path, records: Records) -> Iterator[str]:
    """A text file has no records, and so no fields."""
    return read_txt(path, records.count)


READERS: dict[str, Callable[[Path, Records], Iterator[str]]] = {
    ".txt": _paragraphs,
    ".txt.gz": _paragraphs,
    ".txt.zst": _paragraphs,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".jsonl.zst": read_jsonl,
    ".parquet": read_parquet,
}
"""How a file is read, by its ending in lower case: (path, which field and what was counted) -> texts."""

_SAVED_READERS = {**READERS, ".arrow": read_arrow}
_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_ALLOWED = (
    f"`{DEMO}`, a .jsonl, .parquet or .txt file (.jsonl and .txt also as .gz or .zst), a folder of such "
    f"files, a data set folder, or `{HUB_PREFIX}OWNER/NAME`"
)


class FileSource:
    """Files of texts in a fixed order. See `Source`."""

    def __init__(
        self,
        name: str,
        source: str,
        files: tuple[Path, ...],
        note: str = "",
        field: TextField | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.files = files
        self.note = note
        self.limit: int | None = None
        self.records = Records(field)
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def bytes_read(self) -> int:
        """Bytes read in the last pass."""
        return self.records.bytes_read

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
        self.records = Records(self.records.field)
        for path in self.files:
            before = self._seen.get(path, _status(path))
            for text in _SAVED_READERS[_ending(path)](path, self.records):
                yield Document(text, str(path), number)
                number += 1
            if _status(path) != before:
                raise CorpusError(f"{path} changed while it was read.", "Start again when it is finished.")
        if number == 0:
            self.records.end(f"The corpus {self.source}")
            raise CorpusError(
                f"The corpus {self.source} is empty: it has no text.", "Name a file with text, or `demo`."
            )


def open_source(
    spec: str,
    *,
    offline: bool = False,
    revisions: BytesStore | None = None,
    field: TextField | None = None,
) -> Source:
    """The source that `--corpus` names.

    Reads names and sizes only, and asks no network yet.

    Args:
        spec: "demo", a file, a folder, or "hub:OWNER/NAME[:CONFIG][:SPLIT]".
        offline: never reach for the network: a hub data set is then found by the revision known last.
        revisions: where the last known revisions of hub data sets are kept.
        field: the field of records that was named; the demo keeps its own.
    Raises:
        CorpusError: there is no such thing, or it is of another kind.
    """
    if spec == DEMO:
        path = Path(str(package_files("tui_lookups") / "demo" / "passages.jsonl"))
        _check_file(path)
        return FileSource(DEMO, DEMO, (path,))
    if spec.startswith(HUB_PREFIX):
        return HubSource(spec, offline=offline, revisions=revisions, field=field)
    path = expanded(spec)
    try:
        resolved = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise CorpusError(
            f"There is no corpus {spec!r}.",
            f"Name {_ALLOWED}; `--corpus {DEMO}` goes on with the packaged passages.",
        ) from error
    if resolved.is_dir():
        return _open_folder(resolved, field)
    _check_file(resolved)
    if _ending(resolved) not in READERS:
        raise CorpusError(
            f"{spec} ends in {_ending(resolved)!r}, which is not a supported corpus format.",
            f"Name {_ALLOWED}.",
        )
    return FileSource(resolved.name, str(resolved), (resolved,), field=field)


def _ending(path: Path) -> str:
    """The ending in lower case; of a compressed file that of its content, too (".jsonl.gz")."""
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() + last if last in COMPRESSED else last


# --- folders ---


def _open_folder(folder: Path, field: TextField | None) -> FileSource:
    if (folder / _SPLITS).is_file():
        return _open_splits(folder, field)
    if (folder / _STATE).is_file() and (folder / _INFO).is_file():
        return FileSource(folder.name, str(folder), _saved_files(folder), field=field)
    files: list[Path] = []
    others = 0
    broken: list[str] = []
    for path in _listed(folder):
        if _ending(path) in READERS and not path.name.startswith(".") and path.is_file():
            files.append(path)
            continue
        others += 1
        if path.is_symlink() and not path.exists():
            broken.append(path.relative_to(folder).as_posix())
    if not files:
        raise CorpusError(f"There is no {_endings()} file in {folder}.", f"Name {_ALLOWED}.")
    files.sort(key=lambda path: path.relative_to(folder).as_posix())
    note = f"{others} other file{'s' * (others != 1)} in {folder} left out" if others else ""
    if broken:
        note += f"; links to nothing among them: {listed(sorted(broken))}"
    return FileSource(folder.name or str(folder), str(folder), tuple(files), note and note + ".", field)


def _listed(folder: Path) -> Iterator[Path]:
    """The files below a folder, also in folders that are linked into it; hidden folders are passed over.

    Each folder is read once: a link to one that lies in `folder` itself leads to what is read there.
    """
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        kept = []
        for name in sorted(folders):
            path = Path(parent, name)
            real = path.resolve()
            again = real in seen or (path.is_symlink() and real.is_relative_to(folder))
            if not name.startswith(".") and not again and real != folder:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        yield from (Path(parent, name) for name in names)


def _open_splits(folder: Path, field: TextField | None) -> FileSource:
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
        field,
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
