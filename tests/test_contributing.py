"""CONTRIBUTING lists every version constant of the package, and files that its recipes name are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.documentation import ROOT

PACKAGE = ROOT / "tui_lookups"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES, _, VERSIONS = TEXT.partition("\n## Recipes\n")[2].partition("\n## Versions\n")

PLACEHOLDERS = ("NAME", "SUBJECT")


def version_constants() -> Iterator[tuple[str, str]]:
    """Every module-level constant of the package that is the version of something: file, name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign):
                targets = node.targets
            else:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else []
            for target in targets:
                if isinstance(target, ast.Name) and re.fullmatch(
                    r"(\w*_)?(VERSION|FORMAT)|__version__", target.id
                ):
                    yield path.relative_to(PACKAGE).as_posix(), target.id


def test_it_lists_every_version_and_no_other() -> None:
    listed = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| \S", VERSIONS, flags=re.MULTILINE)
    assert sorted(listed) == sorted(version_constants())


def test_files_that_recipes_name_are_there() -> None:
    named = re.findall(r"`([\w/]+\.(?:py|md|tcss|json|toml))`", RECIPES)
    assert len(named) > 30
    for name in named:
        if not any(word in name for word in PLACEHOLDERS):
            beside = ("", "tui_lookups", "tui_lookups/model/gguf", "tui_lookups/tui/screens")
            assert any((ROOT / folder / name).is_file() for folder in beside), name
