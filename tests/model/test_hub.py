"""A fetch from the hub: told in bytes, given up at once, held against the hub's checksums."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from tests.hub_server import CHILD, ask, hub_of
from tui_lookups.errors import ModelLoadError
from tui_lookups.model import hub
from tui_lookups.model.sources import folder_fingerprint
from tui_lookups.storage.files import file_digest

TOLD = (
    CHILD.replace("digest=file_digest", "digest=file_digest, say=said.append")
    .replace("try:", "said = []\ntry:")
    .replace("found.fingerprint]", "found.fingerprint, *(getattr(one, 'sentence', one) for one in said)]")
)
GIVEN_UP = """
import json, sys
from pathlib import Path
from tui_lookups.errors import Cancelled
from tui_lookups.model.sources import find_model
from tui_lookups.storage.files import file_digest
said = []
def poll():
    if said and getattr(said[-1], "done", 0) > 5e6:
        raise Cancelled()
try:
    find_model("someone/tiny", cache_dir=Path(sys.argv[1]), digest=file_digest, say=said.append, poll=poll)
except Cancelled:
    print(json.dumps(["cancelled", said[-1].sentence]))
"""


def test_a_fetch_tells_its_bytes_and_a_file_that_is_not_the_hubs_is_named(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with hub_of(tiny_folder("gpt2")) as server:
        total = sum(len(data) for data in server.files.values()) / 1e6
        kind, found, _, *said = ask(server, tmp_path, TOLD)
        assert kind == "found", found
        assert said[0] == "fetching someone/tiny from the hub"
        told = [
            re.fullmatch(rf"{said[0]}, ([0-9]+)%, [0-9.]+ of {total:.1f} MB(, [0-9:]+ left)?", each)
            for each in said[1:]
        ]
        assert told
        shares = [int(each[1]) if each else -1 for each in told]
        assert shares == sorted(shares)
        assert 0 <= shares[0] < 100  # the descriptions are fetched first, and count

        blob = (Path(found) / "model.safetensors").resolve()
        whole = blob.read_bytes()
        blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        kind, message, hint = ask(server, tmp_path)
        assert (kind, "model.safetensors" in message) == ("ModelLoadError", True), message
        assert str(blob) in hint
        blob.unlink()  # as the hint says
        assert ask(server, tmp_path)[:2] == ["found", found]
        assert blob.read_bytes() == whole


def test_a_branch_and_its_commit_are_models_of_their_own(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Of a fetched one offline, too; a branch that is not there is said, and nothing else is taken for it."""
    main, step = tiny_folder("gpt2"), tiny_folder("llama")

    def named(revision: str) -> str:
        return CHILD.replace("someone/tiny", f"someone/tiny@{revision}")

    with hub_of(main) as server:
        server.add_branch("step1000", step)
        _, folder, fingerprint = ask(server, tmp_path)
        _, at_step, of_step = ask(server, tmp_path, named("step1000"))
        assert folder != at_step
        assert (fingerprint, of_step) == (
            folder_fingerprint(main, file_digest),
            folder_fingerprint(step, file_digest),
        )
        commit = server.commit("step1000")
        assert Path(at_step).name == commit
        assert ask(server, tmp_path, named("step9"))[:2] == [
            "ModelLoadError", "someone/tiny has no branch, tag or commit 'step9' on the hub.",
        ]  # fmt: skip
        server.down = True
        for revision in ("step1000", str(commit)):
            assert ask(server, tmp_path, named(revision))[:2] == ["found", at_step]


def test_given_up_it_ends_though_the_file_goes_on(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """The program ends: no thread of the client waits for the rest."""
    with hub_of(tiny_folder("gpt2")) as server:
        server.endless = "model.safetensors"
        kind, said = ask(server, tmp_path, GIVEN_UP)
    assert kind == "cancelled"
    assert "of " in said


def test_what_arrives_just_when_the_wait_for_it_ends_is_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = Future.result

    def times_out_as_it_arrives(future: Future[str], timeout: float | None = None) -> Any:
        found = result(future)
        if timeout is not None:
            raise TimeoutError
        return found

    monkeypatch.setattr(Future, "result", times_out_as_it_arrives)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=[]))
    monkeypatch.setattr(hub, "_require_name_service", lambda name: None)
    assert hub.hub_folder("someone/tiny", ("*",), (), local_only=False) == tmp_path


def test_an_error_of_the_client_without_a_text_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    monkeypatch.setattr(hub, "_require_name_service", lambda name: None)
    with pytest.raises(ModelLoadError, match="cannot fetch someone/tiny: ValueError"):
        hub.hub_folder("someone/tiny", ("*",), (), local_only=False)
