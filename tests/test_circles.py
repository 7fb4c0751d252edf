"""No module of the package imports itself by way of others, type-only and late imports counted."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import tui_lookups

ROOT = Path(tui_lookups.__file__).parent


@cache
def package_imports() -> dict[str, set[str]]:
    """From each module of the package to those of it that it imports, wherever in it that stands."""
    files = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join((ROOT.name, *(part for part in parts if part != "__init__")))] = path
    edges: dict[str, set[str]] = {}
    for module, path in files.items():
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module}: imports are absolute here"
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [name if name in files else str(node.module) for name in inside]
        edges[module] = {name for name in names if name in files and name != module}
    return edges


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty where none do."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        for following in sorted(edges[module]):
            if found := visit(following, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module, []))), [])


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle(package_imports()) == []


def test_a_circle_would_be_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c"]
