"""`--corpus hub:NAME` from a hub: the command, the real `datasets` library, and a server on loopback.

The libraries read where the hub is when they are imported. One process of this module's imports them, and
each command is a fork of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dataset_server import REPO, DatasetHub, dataset_hub
from tests.faults.processes import needs_fork
from tests.hub_server import COMMIT

pytestmark = needs_fork

TOKEN = "hf_" + "m" * 30
FORKS = """
import json, os, sys, time
from tui_lookups.cli import main  # first: the package tells the hub's library what not to ask for
import datasets, tests.faults.scene
from transformers.models.gpt2 import modeling_gpt2

wait = time.sleep
time.sleep = lambda seconds: wait(min(seconds, 0.01))  # between attempts
for line in sys.stdin:
    arguments, environment, *files = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(environment)
        for stream, file in zip((1, 2), files):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
        sys.argv[1:] = arguments
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Streaming:
    """A hub, and a process for which it is the hub."""

    hub: DatasetHub
    forks: subprocess.Popen[str]

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
        assert self.forks.stdin is not None
        assert self.forks.stdout is not None
        command = [arguments, {"HF_TOKEN": token} if token else {}, str(out), str(err)]
        print(json.dumps(command), file=self.forks.stdin, flush=True)
        status = int(self.forks.stdout.readline())
        return subprocess.CompletedProcess(
            arguments, status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        )


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    with (
        dataset_hub() as hub,
        subprocess.Popen(
            [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=hub.environment(tmp_path_factory.mktemp("hf")), cwd=Path(__file__).parents[2],
        ) as forks,
    ):  # fmt: skip
        yield Streaming(hub, forks)


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
