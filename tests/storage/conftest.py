from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_lookups.storage.cache import ResultCache


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResultCache]:
    opened = ResultCache(tmp_path / "cache")
    yield opened
    opened.close()
