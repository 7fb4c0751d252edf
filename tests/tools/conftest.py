from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def generator_as_before() -> Iterator[None]:
    """Training seeds torch's generator, which here is everybody's."""
    with torch.random.fork_rng():
        yield
