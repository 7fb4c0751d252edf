"""Folders of one's own to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def copied(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """copied(name="llama"): a copy of that tiny model's folder."""

    def copy(name: str = "llama") -> Path:
        return Path(shutil.copytree(tiny_folder(name), tmp_path / name))

    return copy
