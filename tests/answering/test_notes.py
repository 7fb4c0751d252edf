"""Notes in the cache: of one model, and of one corpus where they are about prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Note
from tui_lookups.settings import load_settings
from tui_lookups.storage import salvage

WRITTEN = "2026-11-30T07:00:00+00:00"
OF_NEURON = Note(NeuronId(5, 371), "fires on \x1b[31m causes", WRITTEN)
OF_PROMPT = replace(OF_NEURON, text="a recipe", prompt_id=3, written="2026-11-30T08:00:00+00:00")
OF_HEAD = replace(OF_NEURON, text="looks back", head=HeadId(3, 2), written="2026-11-30T09:00:00+00:00")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Explorer]:
    def made(text: str) -> Explorer:
        corpus = tmp_path / f"{text}.txt"
        corpus.write_text(f"One {text} about time.\n\nAnother about rain.", encoding="utf-8")
        return Explorer(load_settings(cache_dir=tmp_path / "cache", corpus=str(corpus), device="cpu"))

    return made


def test_notes_are_kept_changed_and_taken_away(make: Callable[[str], Explorer]) -> None:
    explorer = make("text")
    try:
        assert explorer.notes() == ()
        for note in (OF_HEAD, OF_PROMPT, OF_NEURON):
            explorer.keep_note(note)
        explorer.keep_note(replace(OF_HEAD, text="looks at the peak"))
        assert explorer.notes() == (OF_NEURON, OF_PROMPT, replace(OF_HEAD, text="looks at the peak"))
        explorer.keep_note(replace(OF_HEAD, text=""))
        assert explorer.notes() == (OF_NEURON, OF_PROMPT)
    finally:
        explorer.close()
    other = make("poem")
    try:
        assert other.notes() == (OF_NEURON,), "a prompt's number means another text there"
    finally:
        other.close()


def test_a_damaged_cache_gives_its_notes_back(make: Callable[[str], Explorer], tmp_path: Path) -> None:
    explorer = make("text")
    explorer.keep_note(OF_NEURON)
    explorer.close()
    entries = salvage.readable_entries(tmp_path / "cache" / "results" / "cache.db")
    (key,) = (key for key in entries if key.startswith("notes:"))
    assert salvage.in_words({key: entries[key]}) == "1 note was saved; the rest is computed again"
