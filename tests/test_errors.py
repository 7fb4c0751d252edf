"""Any error as a sentence and a hint."""

from __future__ import annotations

import logging

import pytest

from tui_lookups.errors import BadIdError, as_lookups_error, first_line, is_out_of_memory, kind_and_line


def test_one_of_ours_stays_as_it_is() -> None:
    error = BadIdError("No such neuron.", "Name another.")
    assert as_lookups_error(error) is error


def test_every_way_of_running_out_of_memory() -> None:
    import torch

    with pytest.raises(RuntimeError) as too_large:
        torch.empty(1 << 60, dtype=torch.uint8)
    ways = [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(12, "Cannot allocate memory"),
        too_large.value,
    ]
    for error in ways:
        assert as_lookups_error(error).message == "There is not enough memory for this."
        assert "--dtype" in as_lookups_error(error).hint
    assert not is_out_of_memory(ValueError("not enough memory"))  # a text, from who knows where
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_anything_else_is_a_defect_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        said = as_lookups_error(ZeroDivisionError("by zero\nsecond line"))
    assert said.message == "internal error: ZeroDivisionError: by zero"
    assert "--log" in said.hint
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (ValueError("one"), "one", "ValueError: one"),
        (ValueError("\n one \n two"), "one", "ValueError: one"),
        (ValueError("one\u2028two\r\nthree"), "one", "ValueError: one"),
        (ValueError(" \n\t"), "ValueError", "ValueError"),
        (AssertionError(), "AssertionError", "AssertionError"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_the_first_line_of_any_error(error: BaseException, line: str, with_kind: str) -> None:
    assert first_line(error) == line
    assert kind_and_line(error) == with_kind
