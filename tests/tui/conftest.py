"""What the app's tests do by the thousand is made cheap: waiting until it is idle, and collecting garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def cheap(quick_waits: None) -> Iterator[None]:
    """An app is 100,000 objects: at Python's thresholds a fifth of these tests' time goes into collecting."""
    thresholds = gc.get_threshold()
    gc.set_threshold(10_000, *thresholds[1:])
    yield
    gc.set_threshold(*thresholds)
