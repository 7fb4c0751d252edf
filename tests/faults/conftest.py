from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scene as scenes
from tests.loaded_models import Models, loaded_once

LOADED: Models = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is marked `faults`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from outside."""
    for name in list(os.environ):
        if name.startswith("LOOKUPS_") and name != "LOOKUPS_FAULT_TALLY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOOKUPS_CONFIG", "")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):  # what --offline sets for its process
        monkeypatch.setenv(name, "1")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command line sets up logging for its process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def once_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As tests/conftest.py's, for one test."""
    with loaded_once(monkeypatch, LOADED):
        yield


@pytest.fixture(scope="session")
def scene(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> scenes.Scene:
    """The small full run; its cache is copied, never used."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LOOKUPS_CONFIG", "")
    try:
        with loaded_once(patch, LOADED):
            return scenes.build(tiny_folder("gpt2"), tmp_path_factory.mktemp("scene"))
    finally:
        patch.undo()
