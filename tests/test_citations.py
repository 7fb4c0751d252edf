"""What the code cites of the method page is there, and it is cited in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.documentation import ROOT

PAGE = (ROOT / "tui_lookups" / "docs" / "method.md").read_text(encoding="utf-8")

CITATION = re.compile(r"method\.md, sections? (\d+)(?: (to|and) (\d+))?(?:, ([A-Z]\w+))?")
"""What follows a number is a paragraph of that section, by the word it begins with."""


@cache
def modules() -> tuple[tuple[Path, str], ...]:
    """Every Python file of the tree and its text."""
    folders = ("tui_lookups", "tests", "benchmarks", "screenshots")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple((path, path.read_text(encoding="utf-8")) for path in paths if path != Path(__file__))


def sections() -> dict[int, str]:
    """The numbered sections of the method page, by number."""
    parts = re.split(r"^## (?:(\d+)\. )?", PAGE, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True) if number}


def citations() -> Iterator[tuple[Path, str, set[int], str | None]]:
    """Where the method page is cited: file, the words, the sections, and the paragraph if one is named."""
    for path, text in modules():
        for match in CITATION.finditer(re.sub(r"\s+(?:# )?", " ", text)):
            first, how, last, paragraph = match.groups()
            numbers = {int(first)} if last is None else {int(first), int(last)}
            if how == "to":
                numbers = set(range(min(numbers), max(numbers) + 1))
            yield path, match[0], numbers, paragraph


def test_the_method_page_has_its_sections_in_order() -> None:
    assert list(sections()) == list(range(16))


def test_every_cited_section_is_on_the_method_page() -> None:
    found = sections()
    cited = list(citations())
    assert len(cited) > 80
    for path, words, numbers, paragraph in cited:
        assert numbers <= found.keys(), f"{path}: {words}"
        if paragraph is not None:
            assert any(f"*{paragraph}" in found[number] for number in numbers), f"{path}: {words}"


def test_the_method_page_is_cited_in_one_way() -> None:
    for path, text in modules():
        assert not re.search(r"\bMETHOD\b", text), path
