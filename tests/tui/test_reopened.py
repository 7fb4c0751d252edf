"""An export marks only what means the same on the model and corpus that are open."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.tui.canned import BECAUSE, CORPUS, MODEL, CannedExplorer
from tests.tui.driving import hints, press, running, type_text
from tui_lookups.errors import ExportError
from tui_lookups.exports.document import ExportDocument
from tui_lookups.exports.filling import filled
from tui_lookups.exports.writing import write_export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedAblation, SelectedHead, SelectedNeuron, SelectedPrompt, Selection
from tui_lookups.tui.screens.open_export import OpenExportScreen
from tui_lookups.tui.state.reopened import reopened
from tui_lookups.tui.widgets.text import WrappedText

NEURON, HEAD = NeuronId(5, 371), HeadId(3, 2)
NEURONS = (SelectedNeuron(NEURON, BECAUSE),)
HEADS = (SelectedHead(NEURON, HEAD, None, "full"), SelectedHead(NEURON, HEAD, None, "trimmed"))
MARKED = Selection(
    NEURONS,
    (SelectedPrompt(NEURON, 1000), SelectedPrompt(NEURON, 1001)),
    (
        SelectedHead(NEURON, HEAD, 1000, "full"),
        SelectedHead(NEURON, HEAD, 1001, "trimmed"),
        SelectedHead(NEURON, HEAD, None, "full"),
    ),
)
WITH_ABLATION = replace(MARKED, ablations=(SelectedAblation(NEURON, HEAD, "mean", "all", "trimmed"),))
ELSEWHERE = replace(CORPUS, name="news", fingerprint="2" * 16)


def document(marked: Selection) -> ExportDocument:
    return filled(CannedExplorer(), marked)


def test_the_same_model_and_corpus_mark_everything() -> None:
    renamed = replace(MODEL, name="renamed"), replace(CORPUS, name="renamed")
    again = reopened(document(WITH_ABLATION), *renamed)
    assert (again.selection, again.note) == (WITH_ABLATION, "")


@pytest.mark.parametrize(
    ("name", "source", "given"),
    [
        ("gpt2", "hub:openai/gpt2", "openai/gpt2"),
        ("small", "/models/small", "/models/small"),
        ("demo", "packaged demo model", "demo"),
        ("smollm2", "hub:HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2"),
    ],
)
def test_another_model_marks_nothing(name: str, source: str, given: str) -> None:
    theirs = document(MARKED)
    other = replace(MODEL, name=name, source=source, fingerprint="9" * 64)
    theirs = replace(theirs, provenance=replace(theirs.provenance, model=other))
    with pytest.raises(ExportError) as refused:
        reopened(theirs, replace(MODEL, name="pythia"), CORPUS)
    assert f"the model {name}, but pythia is open" in refused.value.message
    assert refused.value.hint == f"Start lookups-tui with --model {given} to open it."
    with pytest.raises(ExportError) as refused:  # another model of the same name
        reopened(theirs, replace(MODEL, name=name), CORPUS)
    assert f"{name} (99999999…), but {name} (00000000…) is open" in refused.value.message


def test_another_corpus_marks_no_prompts() -> None:
    again = reopened(document(MARKED), MODEL, ELSEWHERE)
    assert again.selection == Selection(NEURONS, (), HEADS)
    assert again.note == "Prompts left out: they are of another corpus (demo passages)."
    again = reopened(document(WITH_ABLATION), MODEL, ELSEWHERE)
    assert again.selection == Selection(NEURONS, (), HEADS)
    assert again.note == "Prompts and ablations left out: they are of another corpus (demo passages)."
    without = Selection(NEURONS, (), HEADS)
    again = reopened(document(without), MODEL, ELSEWHERE)
    assert (again.selection, again.note) == (without, "")


@pytest.mark.parametrize("what", ["model", "corpus"])
async def test_the_app_says_what_it_did_not_take(what: str, tmp_path: Path) -> None:
    path, theirs = tmp_path / "theirs.json", document(MARKED)
    known = theirs.provenance
    theirs = replace(
        theirs,
        provenance=replace(known, model=replace(MODEL, name="gpt2", source="hub:gpt2", fingerprint="9" * 64))
        if what == "model"
        else replace(known, corpus=ELSEWHERE),
    )
    write_export(theirs, path)
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "O")
        app.screen.query_one("#path", Input).value = str(path)
        await press(pilot, "enter")
        if what == "model":
            assert isinstance(app.screen, OpenExportScreen)
            assert "--model gpt2" in app.screen.query_one("#problem", WrappedText).text
            assert not app.selection
        else:
            assert app.selection.prompts == ()
            assert app.selection.neurons == NEURONS
            assert hints(app).startswith("Prompts left out: they are of another corpus (news). ")


async def test_the_line_begins_with_the_last_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(CannedExplorer(hostile=False)) as (app, pilot):

        async def offered() -> str:
            await press(pilot, "O")
            found: str = app.screen.query_one("#path", Input).value
            await press(pilot, "escape")
            return found

        assert await offered() == ""
        for name, age in (("new", 100), ("old", 200)):
            path = tmp_path / f"lookups-export-{name}.json"
            path.write_text("{}")
            os.utime(path, (2e9 - age, 2e9 - age))
        assert await offered() == "lookups-export-new.json"
        await press(pilot, "space", "x", "ctrl+u")
        await type_text(pilot, "mine.json")
        await press(pilot, "enter")
        assert (await offered()).endswith("mine.json")
