"""The app's tests wait for it to be idle tens of thousands of times: each a moment, not a frame."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual import _wait

_MOMENT = 1 / 200
"""Seconds between two looks at the processor time taken; Textual waits 1/50 between them."""


@pytest.fixture(autouse=True, scope="package")
def short_waits() -> Iterator[None]:
    """The pilot finds the app idle by the same share of time at work, a twentieth, but looks oftener."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_wait, "SLEEP_GRANULARITY", _MOMENT)
        patch.setattr(_wait, "SLEEP_IDLE", _MOMENT / 20)
        yield
