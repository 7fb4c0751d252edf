"""The README tells the truth: the two commands are CI's, its pictures exist (its commands: test_docs.py)."""

from __future__ import annotations

import re

from tests.documentation import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = 'pip install ".[test]" && pytest'


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    assert TEST_COMMAND in README
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_picture_exists() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
