"""Where a person was: kept privately, one file a model, refused with a sentence when it is not theirs."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tui_lookups.answering.sessions import Sessions, load_session, save_session, session_path
from tui_lookups.errors import CacheError, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    SessionState,
    Token,
)
from tui_lookups.settings import load_settings
from tui_lookups.storage.codec import to_json_bytes

MODEL, OTHER, CORPUS = "a" * 64, "b" * 64, "c" * 64
NEURON = NeuronId(5, 371)
BASKET = Selection(
    (SelectedNeuron(NEURON, Token(7, "\x1b[31m")),),
    (SelectedPrompt(NEURON, 12),),
    (SelectedHead(NEURON, HeadId(3, 2), 12), SelectedHead(NEURON, HeadId(3, 3), None)),
)
STATE = SessionState(Token(7, " because\n[/red]"), NEURON, 12, HeadId(3, 2), BASKET)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = save_session(tmp_path / "cache", STATE, model=MODEL, corpus=CORPUS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = load_session(tmp_path / "cache", model=MODEL, corpus=CORPUS)
    assert found == replace(STATE, model=MODEL, corpus=CORPUS)


def test_models_do_not_share_a_session(tmp_path: Path) -> None:
    save_session(tmp_path, STATE, model=MODEL, corpus=CORPUS)
    assert load_session(tmp_path, model=OTHER, corpus=CORPUS) is None


def test_prompts_of_another_corpus_are_left_out(tmp_path: Path) -> None:
    save_session(tmp_path, STATE, model=MODEL, corpus=CORPUS)
    found = load_session(tmp_path, model=MODEL, corpus="d" * 64)
    assert found is not None
    assert (found.token, found.neuron, found.prompt_id, found.head) == (STATE.token, NEURON, None, None)
    assert found.basket == Selection(BASKET.neurons, (), BASKET.heads[1:])


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'{"token": 1}', b"null", b"x" * 100])
def test_a_damaged_file_is_set_aside_and_said(tmp_path: Path, data: bytes) -> None:
    path = session_path(tmp_path, MODEL)
    for number in (1, 2):
        path.write_bytes(data)
        with pytest.raises(LookupsError, match="damaged") as caught:
            load_session(tmp_path, model=MODEL, corpus=CORPUS)
        aside = Path(f"{path}.damaged-{number}")
        assert str(aside) in caught.value.hint
        assert aside.read_bytes() == data
    assert load_session(tmp_path, model=MODEL, corpus=CORPUS) is None


def test_a_file_of_another_model_under_this_name_is_refused(tmp_path: Path) -> None:
    path = save_session(tmp_path, STATE, model=OTHER, corpus=CORPUS)
    path.rename(session_path(tmp_path, MODEL))
    with pytest.raises(LookupsError, match="another model"):
        load_session(tmp_path, model=MODEL, corpus=CORPUS)


def test_a_session_from_before_heads_had_a_context_comes_back(tmp_path: Path) -> None:
    state = json.loads(to_json_bytes(replace(STATE, model=MODEL, corpus=CORPUS)))
    for head in state["basket"]["heads"]:
        del head["context"]
    session_path(tmp_path, MODEL).write_text(json.dumps(state))
    assert load_session(tmp_path, model=MODEL, corpus=CORPUS) == replace(STATE, model=MODEL, corpus=CORPUS)


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    path = save_session(tmp_path, STATE, model=MODEL, corpus=CORPUS)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"more": 1}))
    with pytest.raises(LookupsError, match="damaged"):
        load_session(tmp_path, model=MODEL, corpus=CORPUS)


def test_a_folder_in_its_place_is_an_error_with_a_reason(tmp_path: Path) -> None:
    session_path(tmp_path, MODEL).mkdir()
    with pytest.raises(LookupsError, match="cannot be read"):
        load_session(tmp_path, model=MODEL, corpus=CORPUS)
    with pytest.raises(CacheError, match="cannot be saved"):
        save_session(tmp_path, STATE, model=MODEL, corpus=CORPUS)


def test_the_explorer_keeps_the_session_of_its_model(tmp_path: Path) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("One text about time.\n\nAnother about rain.", encoding="utf-8")
    settings = load_settings(cache_dir=tmp_path / "cache", corpus=str(corpus), device="cpu", threads=1)
    explorer = Explorer(settings)
    try:
        assert not explorer.save_session(STATE), "which model it is of is not known yet"
        assert explorer.load_session() is None
        assert explorer.save_session(STATE)
    finally:
        explorer.close()
    again = Explorer(settings)
    try:
        found = again.load_session()
        assert found is not None
        assert (found.token, found.prompt_id, found.basket) == (STATE.token, STATE.prompt_id, BASKET)
        assert found.model == again.model_info().fingerprint
    finally:
        again.close()


def test_sessions_with_names_are_listed_opened_and_deleted(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    for name, state in (("", STATE), ("causes", replace(STATE, neuron=None)), ("große Reise.2", STATE)):
        kept = sessions.save(state, model=MODEL, corpus=CORPUS, name=name)
        assert (kept.name, kept.neuron, kept.marked, kept.notes) == (name, state.neuron, 4, 0)
    sessions.save(STATE, model=OTHER, corpus=CORPUS, name="of another model")
    listed = sessions.saved(model=MODEL, corpus=CORPUS)
    assert {each.name for each in listed} == {"", "causes", "große Reise.2"}
    assert [each.saved for each in listed] == sorted((each.saved for each in listed), reverse=True)
    found = load_session(tmp_path, model=MODEL, corpus=CORPUS, name="causes")
    assert found is not None
    assert found.neuron is None
    sessions.delete(model=MODEL, name="causes")
    assert load_session(tmp_path, model=MODEL, corpus=CORPUS, name="causes") is None
    assert load_session(tmp_path, model=MODEL, corpus=CORPUS) is not None
    sessions.close()


def test_what_another_process_has_open_is_not_overwritten(tmp_path: Path) -> None:
    mine, theirs = Sessions(tmp_path), Sessions(tmp_path)
    assert theirs.claim(MODEL, "causes")
    assert theirs.claim(MODEL, "causes"), "it is its own already"
    theirs.save(replace(STATE, head=None), model=MODEL, corpus=CORPUS, name="causes")
    assert not mine.claim(MODEL, "causes")
    for _ in range(2):
        assert mine.save(STATE, model=MODEL, corpus=CORPUS, name="causes").name == "causes-2"
    with pytest.raises(LookupsError, match="open in another process"):
        mine.delete(model=MODEL, name="causes")
    there = load_session(tmp_path, model=MODEL, corpus=CORPUS, name="causes")
    assert there is not None
    assert there.head is None
    theirs.close()
    assert mine.save(STATE, model=MODEL, corpus=CORPUS, name="causes").name == "causes"
    mine.close()


def test_a_session_that_is_damaged_is_listed_once_with_the_reason(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    session_path(tmp_path, MODEL, "causes").write_bytes(b"{")
    (listed,) = sessions.saved(model=MODEL, corpus=CORPUS)
    assert (listed.name, "damaged" in listed.problem) == ("causes", True)
    assert sessions.saved(model=MODEL, corpus=CORPUS) == ()


@pytest.mark.parametrize("name", ["a/b", "..", "\x1b", " a", "a.", "x" * 41, "a\n"])
def test_a_name_that_is_no_file_name_everywhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LookupsError, match="cannot be the name of a session"):
        session_path(tmp_path, MODEL, name)
