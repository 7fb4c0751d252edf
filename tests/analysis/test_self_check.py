"""A model whose decomposition does not close is refused, at the bounds of its dtype.

See method.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.self_check import check_closure, self_check
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model import loading
from tui_lookups.settings import load_settings

BOUNDS = {"float32": 1e-4, "float64": 1e-10}


def write_behind_the_back(model: Any, size: float) -> Any:
    """A module of its own adds to the residual stream after block 0, and no component holds it."""

    def add(module: Any, given: Any, written: Any) -> Any:
        stream = written[0] if isinstance(written, tuple) else written
        vector = torch.randn(stream.shape[-1], generator=torch.Generator().manual_seed(0)).to(stream)
        changed = stream + size * vector
        return (changed, *written[1:]) if isinstance(written, tuple) else changed

    return model.wiring.blocks[0].module.register_forward_hook(add)


def checked_text(model: Any) -> list[int]:
    """The text that the check is made on."""
    ids = torch.randint(0, model.info.d_vocab, (10,), generator=torch.Generator().manual_seed(1)).tolist()
    return ids if model.vocabulary.bos_id is None else [model.vocabulary.bos_id, *ids[1:]]


@contextmanager
def disturbed(model: Any, size: float) -> Iterator[None]:
    handle = write_behind_the_back(model, size)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_what_no_component_wrote_is_found_at_the_bound(tiny_model, name: str, dtype: str) -> None:
    model, bound = tiny_model(name, dtype), BOUNDS[dtype]
    with disturbed(model, 100 * bound):
        share = check_closure(model).relative_remainder / (100 * bound)  # what is left grows with it
    assert share > 0.01
    with disturbed(model, 1.3 * bound / share):
        found = self_check(model)
        assert found.bound == bound
        assert bound < found.relative_remainder < 2 * bound
        assert not found.closes
        neuron = NeuronId.parse(found.neuron)
        with pytest.raises(UnsupportedModelError, match="does not close") as refused:
            decompose(model, neuron, [checked_text(model)], [9])
        assert neuron.layer > 0, "neurons of layer 0 read before it is added"
        assert found.neuron in refused.value.message
    with disturbed(model, 0.7 * bound / share):
        found = self_check(model)
        assert bound / 2 < found.relative_remainder < bound
        assert found.closes
        decompose(model, neuron, [checked_text(model)], [9])
    assert check_closure(model).relative_remainder < bound / 100


def test_the_explorer_answers_nothing_of_it(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loading.load_model

    def load_and_disturb(*given: Any, **named: Any) -> Any:
        model = plain(*given, **named)
        write_behind_the_back(model, 0.01)
        return model

    monkeypatch.setattr(loading, "load_model", load_and_disturb)
    explorer = Explorer(load_settings(model=str(tiny_folder("gpt2")), cache_dir=tmp_path, device="cpu"))
    try:
        with pytest.raises(UnsupportedModelError, match="does not close"):
            explorer.heads(NeuronId(1, 3), text="a text")
    finally:
        explorer.close()
