"""What a cache holds in a format that this version does not read: in nobody's way, but taking room.

1. Entries of another envelope are counted in the database: their keys are never asked for again.
2. Array folders say their formats in their manifests, which are looked at without any checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tui_lookups.storage import arrays, envelope, index

_CURRENT = envelope.MAGIC + bytes([envelope.FORMAT_VERSION])

COUNT_ENTRIES = (
    "SELECT COUNT(*) FROM Cache WHERE substr(value, 1, ?) = ? AND substr(value, 1, ?) != ?",
    (len(envelope.MAGIC), envelope.MAGIC, len(_CURRENT), _CURRENT),
)
"""The statement, and its parameters, that counts entries of another format."""

_DESCRIBED = {"indexes": index.FORMAT_VERSION, "corpora": None}
"""The format that a manifest's description must name, by kind of folder; a corpus's is in its name."""


def sentences(entries: int, folders: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """One sentence for each kind of thing that is stale; `folders` by kind."""
    lines = [f"{entries} results are of another format and are worked out again."] if entries else []
    for kind, paths in folders.items():
        count = sum(_is_stale(path, _DESCRIBED[kind]) for path in paths)
        if count:
            lines.append(f"{count} of the {kind} are of another format and are made again.")
    return tuple(lines)


def _is_stale(path: Path, described: int | None) -> bool:
    """Whether a manifest names another format; False where there is none, or none that is JSON."""
    try:
        body = json.loads((path / arrays.MANIFEST).read_bytes())
        same = body["format"] == arrays.FORMAT_VERSION
        return not same or (described is not None and body["description"]["format"] != described)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
