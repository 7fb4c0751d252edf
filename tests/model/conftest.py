"""Folders of one's own to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def copied(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """copied(name="llama"): a copy of that tiny model's folder."""

    def copy(name: str = "llama") -> Path:
        return Path(shutil.copytree(tiny_folder(name), tmp_path / name))

    return copy


@pytest.fixture
def plain(tiny_folder: Callable[[str], Path]) -> Callable[..., Any]:
    """plain(name, dtype="float64"): transformers' own module of a tiny model, as the product loads it."""

    def load(name: str, dtype: str = "float64") -> Any:
        from tests.model.bridge_helpers import loaded

        return loaded(tiny_folder(name), dtype)

    return load
