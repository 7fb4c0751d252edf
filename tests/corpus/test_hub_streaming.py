"""`--corpus hub:NAME` from a hub: the command, the real `datasets` library, and a server on loopback.

The libraries read where the hub is when they are imported. One process of this module's imports them anew,
and each command is a fork of it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow
import pytest

from tests.dataset_server import REPO, DatasetHub, dataset_hub
from tests.faults.processes import needs_fork, start_anew
from tests.hub_server import COMMIT, hub_environment, read_environment
from tui_lookups import cli

pytestmark = needs_fork

TOKEN = "hf_" + "m" * 30


def fork_for_each(commands: Connection, environment: dict[str, str]) -> None:
    """The process of this module: runs each command in a fork of it, until there are no more."""
    signal.alarm(0)
    read_environment(environment)
    with mock.patch.object(pyarrow, "register_extension_type"), warnings.catch_warnings(action="ignore"):
        importlib.import_module("datasets")  # whose types have been registered when it was imported before
    wait = time.sleep
    time.sleep = lambda seconds: wait(min(seconds, 0.01))  # between attempts
    while True:
        try:
            arguments, more, *files = commands.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            os.environ.update(more)
            for stream, file in zip((1, 2), files, strict=True):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
            sys.argv[1:] = arguments
            cli.main()
        commands.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@dataclass(frozen=True)
class Streaming:
    """A hub, and a process for which it is the hub."""

    hub: DatasetHub
    commands: Connection

    def scan(
        self, folder: Path, tmp_path: Path, *more: str, token: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`lookups-tui scan` of the hub's data set: its status and all it wrote."""
        arguments = [
            "scan", "--model", str(folder), "--corpus", f"hub:{REPO}", "--cache-dir", str(tmp_path / "cache"),
            "--device", "cpu", "--json", *more,
        ]  # fmt: skip
        out, err = tmp_path / "out", tmp_path / "err"
        for file in (out, err):
            file.unlink(missing_ok=True)
        self.commands.send([arguments, {"HF_TOKEN": token} if token else {}, out, err])
        status: int = self.commands.recv()
        return subprocess.CompletedProcess(
            arguments, status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        )


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    ours, theirs = Pipe()
    with dataset_hub() as hub:
        forks = start_anew(fork_for_each, theirs, hub_environment(hub.url, tmp_path_factory.mktemp("hf")))
        theirs.close()
        with ours:
            yield Streaming(hub, ours)
        forks.join()


def texts(first: int, last: int) -> list[str]:
    return [f"not tired but number {i}" for i in range(first, last)]


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_data_set_is_streamed_scanned_and_found_again_without_the_hub(
    streaming: Streaming, tiny_folder, tmp_path: Path
) -> None:
    folder, hub = tiny_folder("gpt2"), streaming.hub
    hub.hold(texts(0, 25), texts(25, 40))
    done = streaming.scan(folder, tmp_path, token=TOKEN)
    first = document(done)
    assert first["prompts"] == 40
    assert first["provenance"]["corpus"]["source"] == f"hub:{REPO}@{COMMIT}"
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr
    read = [path for path in hub.asked if path.endswith(".parquet")]
    assert len(set(read)) == 2
    hub.asked.clear()
    again = document(streaming.scan(folder, tmp_path))
    assert not [path for path in hub.asked if path.endswith(".parquet")]
    assert again["provenance"]["corpus"] == first["provenance"]["corpus"]
    hub.down = True
    without = streaming.scan(folder, tmp_path)
    assert document(without)["provenance"]["corpus"] == first["provenance"]["corpus"]
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_so_many_documents_as_are_asked_for(streaming: Streaming, tiny_folder, tmp_path: Path) -> None:
    streaming.hub.hold(texts(0, 25), texts(25, 40))
    done = streaming.scan(tiny_folder("gpt2"), tmp_path, "--max-documents", "7")
    assert document(done)["prompts"] == 7


def test_a_stream_that_breaks_off_is_one_sentence_and_no_corpus(
    streaming: Streaming, tiny_folder, tmp_path: Path
) -> None:
    folder, hub = tiny_folder("gpt2"), streaming.hub
    hub.hold(texts(0, 40))
    hub.cut_at = 100
    done = streaming.scan(folder, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"data set {REPO}" in done.stderr
    assert "Traceback" not in done.stderr
    hub.cut_at = None
    assert document(streaming.scan(folder, tmp_path))["prompts"] == 40
