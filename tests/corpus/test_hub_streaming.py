"""`--corpus hub:NAME` from a hub: the command, the real `datasets` library, and a server on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.dataset_server import REPO, DatasetHub, dataset_hub
from tests.hub_server import COMMIT

TOKEN = "hf_" + "m" * 30
COMMAND = """
import time
wait = time.sleep
time.sleep = lambda seconds: wait(min(seconds, 0.01))  # between attempts
from tui_lookups.cli import main
main()
"""


def texts(first: int, last: int) -> list[str]:
    return [f"not tired but number {i}" for i in range(first, last)]


def scan(
    hub: DatasetHub, folder: Path, tmp_path: Path, *more: str, token: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-c", COMMAND, "scan", "--model", str(folder), "--corpus", f"hub:{REPO}",
        "--cache-dir", str(tmp_path / "cache"), "--device", "cpu", "--json", *more,
    ]  # fmt: skip
    environment = hub.environment(tmp_path / "hf") | ({"HF_TOKEN": token} if token else {})
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_data_set_is_streamed_scanned_and_found_again_without_the_hub(tiny_folder, tmp_path: Path) -> None:
    folder = tiny_folder("gpt2")
    with dataset_hub(texts(0, 25), texts(25, 40)) as hub:
        done = scan(hub, folder, tmp_path, token=TOKEN)
        first = document(done)
        assert first["prompts"] == 40
        assert first["provenance"]["corpus"]["source"] == f"hub:{REPO}@{COMMIT}"
        assert hub.tokens == {f"Bearer {TOKEN}"}
        assert TOKEN not in done.stdout + done.stderr
        read = [path for path in hub.asked if path.endswith(".parquet")]
        assert len(set(read)) == 2
        hub.asked.clear()
        again = document(scan(hub, folder, tmp_path))
        assert not [path for path in hub.asked if path.endswith(".parquet")]
    assert again["provenance"]["corpus"] == first["provenance"]["corpus"]
    without = scan(hub, folder, tmp_path)
    assert document(without)["provenance"]["corpus"] == first["provenance"]["corpus"]
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_so_many_documents_as_are_asked_for(tiny_folder, tmp_path: Path) -> None:
    with dataset_hub(texts(0, 25), texts(25, 40)) as hub:
        done = scan(hub, tiny_folder("gpt2"), tmp_path, "--max-documents", "7")
        assert document(done)["prompts"] == 7


def test_a_stream_that_breaks_off_is_one_sentence_and_no_corpus(tiny_folder, tmp_path: Path) -> None:
    folder = tiny_folder("gpt2")
    with dataset_hub(texts(0, 40)) as hub:
        hub.cut_at = 100
        done = scan(hub, folder, tmp_path)
        assert done.returncode == 1
        assert done.stdout == ""
        assert f"data set {REPO}" in done.stderr
        assert "Traceback" not in done.stderr
        hub.cut_at = None
        assert document(scan(hub, folder, tmp_path))["prompts"] == 40
