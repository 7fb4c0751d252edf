"""The package of results: every name is there, found in its module, and imported only when asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tui_lookups import results

SOURCE = ast.parse(Path(results.__file__).read_text(encoding="utf-8"))


def test_the_types_are_told_what_is_found() -> None:
    said = {
        (alias.name, str(node.module).rpartition(".")[2])
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tui_lookups.results.")
        for alias in node.names
    }
    assert said == set(results._MODULE_OF.items())
    for name, module in said:
        assert getattr(results, name) is not None
        assert name in vars(sys.modules[f"tui_lookups.results.{module}"])
    assert {name for name, _ in said} <= set(dir(results))


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = results.Nothing  # type: ignore[attr-defined]


def test_only_what_is_asked_for_is_imported() -> None:
    code = "import sys\nfrom tui_lookups.results import Token\n"
    code += "print(*(m for m in sys.modules if 'results.' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tui_lookups.results.base"]
