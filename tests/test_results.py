"""The package of results: a name is imported from its module, and only when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tui_lookups import results


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = results.Nothing  # type: ignore[attr-defined]


def test_only_what_is_asked_for_is_imported() -> None:
    code = "import sys\nfrom tui_lookups.results import Token\n"
    code += "print(*(m for m in sys.modules if 'results.' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tui_lookups.results.base"]
