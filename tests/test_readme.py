"""The README tells the truth and is short: its commands are CI's, its picture is there (see test_docs.py)."""

from __future__ import annotations

import re

from tests.documentation import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = 'pip install ".[test]" && pytest'


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    assert TEST_COMMAND in README
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_its_one_picture_exists() -> None:
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert (ROOT / picture).is_file(), picture


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(README.split()) <= 1000


def test_it_links_every_page_that_ships() -> None:
    for page in (ROOT / "tui_lookups" / "docs").glob("*.md"):
        assert f"(tui_lookups/docs/{page.name})" in README, page.name
