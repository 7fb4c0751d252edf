"""A scan that fails on its way: what it had done is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_lookups.analysis.scan import Scan
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings


@pytest.mark.parametrize(
    ("error", "kept"),
    [(LookupsError("All workers are lost.", "Scan again."), True), (KeyError("bug"), False)],
)
def test_what_was_scanned_before_an_error_is_kept_but_not_before_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kept: bool
) -> None:
    settings = load_settings(
        cache_dir=tmp_path, device="cpu", threads=1, layers="0", batch_tokens=1024, checkpoint_seconds=3600
    )
    step, steps = Scan.step, []

    def fails_at_the_fourth(scan: Scan, *given, **more) -> bool:
        steps.append(1)
        if len(steps) == 4:
            raise error
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", fails_at_the_fourth)
    explorer = Explorer(settings)
    try:
        with pytest.raises(LookupsError):
            explorer.scan()
    finally:
        explorer.close()
    again = Explorer(settings)
    try:
        assert (again.scan().resumed_from > 0) is kept
    finally:
        again.close()
