"""A corpus that grows, through the Explorer: only what is new is scanned, and answers are those of all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.progress import Progress
from tui_lookups.results import Status
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")

NEURON = NeuronId(0, 17)


@pytest.fixture(scope="module")
def passages() -> list[str]:
    return (files("tui_lookups") / "demo" / "passages.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def closing() -> Iterator[list[Explorer]]:
    opened: list[Explorer] = []
    yield opened
    for explorer in opened:
        explorer.close()


def test_only_what_is_new_is_scanned(tmp_path: Path, passages: list[str], closing: list[Explorer]) -> None:
    def explorer(path: Path, cache: str, **changes) -> Explorer:
        made = Explorer(
            load_settings(
                corpus=str(path), cache_dir=tmp_path / cache, threads=1, device="cpu", layers="0", **changes
            )
        )
        closing.append(made)
        return made

    corpus = tmp_path / "growing.jsonl"
    corpus.write_text("\n".join(passages[:30]) + "\n")
    first = explorer(corpus, "cache").scan()
    assert (first.resumed_from, first.extended_from) == (0, 0)
    with corpus.open("a") as file:
        file.write("\n".join(passages[30:45]) + "\n")

    grown = explorer(corpus, "cache")
    heard: list[Status] = []
    say = grown._engine.doing.say

    def listen(message: Progress | str) -> None:
        say(message)
        heard.append(grown.status())

    grown._engine.doing.say = listen
    found = grown.scan()
    assert (found.resumed_from, found.extended_from) == (0, first.prompts)
    assert found.prompts > first.prompts
    assert any("2 of 6: tokenising growing.jsonl, 100%, 45 documents" in status.message for status in heard)
    assert grown.status().message == ""

    scratch = explorer(corpus, "elsewhere")
    expected = scratch.scan()
    assert (expected.extended_from, expected.prompts) == (0, found.prompts)
    mine, other = grown.prompts(NEURON), scratch.prompts(NEURON)
    assert [prompt.prompt_id for prompt in mine.prompts] == [prompt.prompt_id for prompt in other.prompts]
    assert mine.stats.histogram == other.stats.histogram
    assert mine.stats.mean == pytest.approx(other.stats.mean, rel=1e-5)
    assert mine.stats.variance == pytest.approx(other.stats.variance, rel=1e-5)
    assert mine.stats.maximum == pytest.approx(other.stats.maximum, rel=1e-5)

    again = explorer(corpus, "cache").scan()
    assert (again.resumed_from, again.extended_from) == (found.prompts, first.prompts)
    fewer = explorer(corpus, "cache", max_documents=30).scan()
    assert (fewer.prompts, fewer.extended_from, fewer.seconds) == (first.prompts, first.prompts, 0.0)
    assert fewer.provenance.corpus is not None
    assert fewer.provenance.corpus.name == "growing.jsonl (first 30 documents)"
