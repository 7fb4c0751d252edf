"""What the tests of .gguf files share: opening one, and what transformers computes with the folder made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.model.gguf.files import Content
from tests.model.gguf.reference import Computed, computed
from tui_lookups.model.sources import LocalModel, find_model
from tui_lookups.storage.files import file_digest

IDS = [0, 5, 9, 17, 3, 44, 90, 261, 3, 8, 300, 12]

Opened = Callable[..., LocalModel]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """opened(content): the folder made of a file with that content."""

    def make(content: Content, name: str = "tiny.gguf") -> LocalModel:
        path = content.write(tmp_path / name)
        return find_model(str(path), cache_dir=tmp_path / "cache", digest=file_digest)

    return make


def loaded(folder: Path, ids: list[int]) -> Computed:
    """Logits and MLP activations of the Hugging Face module in a folder; nothing missing, nothing left."""
    import torch
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=torch.float32, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report.values()), report
    model.eval()
    kept = []
    last = ("mlp.c_proj", "mlp.down_proj", "mlp.fc2", "mlp.dense_4h_to_h")
    for name, module in model.named_modules():
        if name.endswith(last):
            module.register_forward_pre_hook(lambda _, given: kept.append(given[0][0].numpy()))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    return Computed(logits, np.stack(kept))


def require_equal(folder: Path, content: Content, ids: list[int] = IDS) -> None:
    """The folder's model computes what the reference does with the file's own tensors."""
    ours, right = loaded(folder, ids), computed(content, ids)
    np.testing.assert_allclose(ours.activations, right.activations, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.logits, right.logits, rtol=1e-4, atol=1e-4)
