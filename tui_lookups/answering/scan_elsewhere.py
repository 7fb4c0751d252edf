"""How far a scan is that another process makes: what its last checkpoint says."""

from __future__ import annotations

from pathlib import Path

from tui_lookups.errors import CacheError, UnavailableError
from tui_lookups.results import CorpusInfo, ScanProgress
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import ScanManifest

_ELSEWHERE = "another lookups-tui is scanning this corpus"


def progress_elsewhere(folder: Path, corpus: CorpusInfo) -> ScanProgress:
    """How far the process that holds a scan's folder was at its last checkpoint."""
    try:
        committed = ArrayFolder(folder).manifest()
        progress = None if committed is None else ScanManifest.from_plain(committed.description)
    except (CacheError, UnavailableError):  # whoever scans there finds out, and says so
        progress = None
    prompts, tokens, seconds = (
        (progress.prompts, progress.tokens, progress.seconds) if progress else (0, 0, 0.0)
    )
    # What was taken over from an earlier index took no time.
    speed = tokens / seconds if progress and seconds and not progress.extended_from else 0.0
    left = (corpus.tokens - tokens) / speed if speed else None
    return ScanProgress(
        "waiting", prompts, corpus.prompts, tokens, corpus.tokens, seconds, left, speed, _ELSEWHERE
    )
