"""A model folder that is loaded once, for tests of what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from tui_lookups.model.lookup_model import LookupModel


Models = dict[tuple[object, ...], "LookupModel"]
"""Loaded models by all that was given for loading them, but for whom to tell of it."""


@contextmanager
def loaded_once(monkeypatch: pytest.MonkeyPatch, models: Models) -> Iterator[None]:
    """A model folder that is in `models` is not loaded again; its weights are what they were then."""
    from tui_lookups.model import loading

    with monkeypatch.context() as patch:
        real = loading.load_model

        def load(folder: Path, **given: Any) -> LookupModel:
            key = (folder, *sorted((name, value) for name, value in given.items() if name != "say"))
            if key not in models:
                models[key] = real(folder, **given)
            return models[key]

        patch.setattr(loading, "load_model", load)
        yield
