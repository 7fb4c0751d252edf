"""The garbage collector is off inside, and afterwards as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tui_lookups.model.collecting import uncollected


@pytest.fixture(params=[True, False])
def was_on(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether it is on before; restored afterwards."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_is_off_inside_and_as_before_afterwards(was_on: bool) -> None:
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() == was_on


def test_an_error_leaves_it_as_it_was(was_on: bool) -> None:
    with pytest.raises(ValueError, match="damaged"), uncollected():
        raise ValueError("damaged")
    assert gc.isenabled() == was_on
