"""Corpora of the packaged passages that are scanned in a moment."""

from __future__ import annotations

from pathlib import Path

import tui_lookups


def first_passages(path: Path, count: int) -> Path:
    """A corpus of the first packaged passages, written to `path` unless it is there."""
    if not path.exists():
        packaged = Path(tui_lookups.__file__).parent / "demo" / "passages.jsonl"
        lines = packaged.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:count]), encoding="utf-8")
    return path
