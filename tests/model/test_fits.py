"""Models are refused, with the numbers, before weights are read that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.checkpoint import StoredTensor, read_tensors
from tui_lookups.model.fits import needed_bytes, require_room

GB = 10**9


def model(*tensors: tuple[str, int]) -> dict[str, StoredTensor]:
    """Tensors of so many numbers, [numbers / 1000, 1000] each."""
    named = {f"t{place}": each for place, each in enumerate(tensors)}
    file = Path("model.safetensors")
    return {
        name: StoredTensor(name, stored, (numbers // 1000, 1000), file)
        for name, (stored, numbers) in named.items()
    }


HALF = model(("BF16", GB), ("BF16", GB // 2))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", 6 * GB), ("float64", 12 * GB), ("bfloat16", 3 * GB), ("float16", 3 * GB)],
)
def test_parameters_in_the_format_asked_for_and_one_tensor_as_stored(dtype: str, expected: int) -> None:
    assert needed_bytes(HALF, dtype) == expected + 2 * GB


def test_masks_of_the_files_are_no_parameters() -> None:
    assert needed_bytes(HALF | {"mask": StoredTensor("mask", "BOOL", (GB,), Path())}, "float32") == 8 * GB


def test_of_a_real_folder(tiny_folder) -> None:
    """All of it, and its embedding, which is its largest matrix, once more."""
    stored = read_tensors(tiny_folder("gpt2"), "gpt2")
    parameters = sum(
        len(range(tensor.shape[0])) * (tensor.shape[1:] or (1,))[0] for tensor in stored.values()
    )
    assert needed_bytes(stored, "float32") == 4 * (parameters + 320 * 16)


def test_what_fits_or_cannot_be_known_is_let_through() -> None:
    require_room(HALF, "float32", "cpu", 8 * GB, "m")
    require_room(HALF, "float32", "cpu", None, "m")


@pytest.mark.parametrize(
    ("dtype", "device", "free", "numbers", "hint"),
    [
        ("float32", "cpu", 6 * GB, "8.00 GB in float32, and 6.00 GB", "bfloat16, which takes 5.00 GB"),
        ("float32", "cuda:0", 8 * GB - 1, "8.00 GB .* on cuda:0", "bfloat16"),
        ("float32", "cpu", GB, "8.00 GB in float32, and 1.00 GB", "a machine that has more"),
        ("float16", "cuda", 50_000_000, "5.00 GB in float16, and 50.0 MB", "--device cpu"),
    ],
)
def test_the_refusal_has_the_numbers_and_what_would_fit(
    dtype: str, device: str, free: int, numbers: str, hint: str
) -> None:
    with pytest.raises(ModelLoadError, match=numbers) as refused:
        require_room(HALF, dtype, device, free, "m")
    assert hint in (refused.value.hint or "")
