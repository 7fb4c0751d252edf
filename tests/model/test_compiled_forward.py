"""--compile: the same activations, said in the index, refused in one sentence where it cannot be had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tui_lookups.errors import ModelLoadError
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel


def load(folder: Path) -> LookupModel:
    return load_model(folder, name="tiny", source="tiny", fingerprint="tiny", device="cpu")


def activations(model: LookupModel, tokens: torch.Tensor) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    model.mlp_activations(tokens, range(model.info.n_layers), lambda _, a: found.append(a.clone()))
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_compiled_pass_gives_the_same_activations(tiny_folder, name: str) -> None:
    model = load(tiny_folder(name))
    assert model.forward_path == "plain"
    seeded = torch.Generator().manual_seed(1)
    batches = [torch.randint(3, 290, shape, generator=seeded) for shape in ((4, 20), (7, 9))]
    before = [activations(model, tokens) for tokens in batches]
    model.compile_forward()
    assert model.forward_path == "compiled"
    for tokens, expected in zip(batches, before, strict=True):
        for ours, theirs in zip(activations(model, tokens), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_it_is_refused_in_one_sentence(
    tiny_folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **named: object) -> None:
        raise RuntimeError("No working C++ compiler found.\nSecond line.")

    model = load(tiny_folder("gpt2"))
    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    with pytest.raises(ModelLoadError, match="No working C") as caught:
        model.compile_forward()
    assert "Second line" not in caught.value.message
    assert "--compile" in caught.value.hint
    assert model.forward_path == "plain"
