"""The command line on real models: documents and their keys, killed scans, answers without torch."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import run_command
from tests.faults import processes
from tests.small_corpora import first_passages
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.scan.ledger import ScanLedger

pytestmark = pytest.mark.usefixtures("once_loaded")

Run = Callable[..., dict[str, Any]]
PASSAGES = 24


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(*arguments): one command on a small corpus, its JSON document."""
    for name in list(os.environ):
        if name.startswith("LOOKUPS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOOKUPS_CONFIG", "")

    def go(*arguments: str, status: int = 0) -> dict[str, Any]:
        common = [
            "--cache-dir",
            str(cache),
            "--corpus",
            str(first_passages(cache / "few.jsonl", PASSAGES)),
            "--device",
            "cpu",
            "--json",
        ]
        found = invocation.run(cli.app, [*arguments, *common])
        out, err = capfdbinary.readouterr()
        assert found == status, err.decode()
        if status:
            assert out == b""
            assert b"Traceback" not in err
            return {"error": err.decode()}
        document: dict[str, Any] = json.loads(out)
        assert document["schema_version"] == 1
        assert document["generator"].startswith("lookups-tui ")
        return document

    return go


def test_the_walk_headless(run: Run, tmp_path: Path) -> None:
    ranking = run("neurons", " time", "--top", "3")
    assert ranking["token"]["text"] == " time"
    assert {
        "neuron",
        "layer",
        "index",
        "congruence",
        "cosine",
        "token_rank",
        "top_token",
        "top_congruence",
    } <= set(ranking["neurons"][0])
    assert {"model", "corpus", "basis", "parameters", "device", "dtype"} <= set(ranking["provenance"])

    written = run("tokens", "L5.N0", "--top", "4")
    assert [set(t) for t in written["tokens"]] == [{"id", "text", "congruence"}] * 4

    scanned = run("scan")
    assert {
        "prompts",
        "tokens",
        "neurons",
        "seconds",
        "tokens_per_second",
        "resumed_from",
        "index_path",
    } <= set(scanned)
    assert scanned["neurons"] == 6 * 768
    assert Path(scanned["index_path"]).is_dir()

    prompts = run("prompts", "L5.N0", "--top", "2")
    assert {"neuron", "stats", "prompts"} <= set(prompts)
    first = prompts["prompts"][0]
    assert len(first["tokens"]) == len(first["activations"])
    assert set(first["peak"]) >= {"position", "token", "activation"}
    assert set(first["trimmed"]) >= {"start", "activation"}

    shown = run("activations", "L5.N0", "--text", "once upon a time")
    assert len(shown["tokens"]) == len(shown["activations"])

    heads = run("heads", "L5.N0", "--prompt", "1", "--sources", "L5.H1")
    assert heads["target"]["name"] == "pre_activation"
    assert heads["target"]["value"] == heads["pre_activation"]
    assert set(heads["other"]) == {"embedding", "mlps", "attention_biases", "bias"}
    total = sum(h["attribution"] for h in heads["heads"]) + sum(heads["other"].values())
    assert total == pytest.approx(heads["sum"])
    assert heads["sum"] + heads["remainder"] == pytest.approx(heads["target"]["value"])
    assert [s["position"] for s in heads["sources"]] == list(range(heads["position"] + 1))

    overview = run("heads", "L5.N0", "--all-prompts")
    assert {"head", "mean_attribution", "active_fraction", "worth_explaining"} <= set(overview["heads"][0])

    target = tmp_path / "walk.json"
    run("export", " time", "L5.N0", "-o", str(target))
    exported = json.loads(target.read_text(encoding="utf-8"))
    assert "L5.N0" in [n["neuron"] for n in exported["neurons"]]

    assert run("cache", "info")["indexes"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("neurons", "flibbertigibbet"), "several tokens"),
        (("neurons", "#99999999"), "no token #"),
        (("tokens", "L9.N1"), "no neuron"),
        (("tokens", "nine"), "not the name of a neuron"),
        (("prompts", "L5.N99999"), "no neuron"),
        (("heads", "L5.N0", "--prompt", "99"), "no prompt of rank"),
        (("heads", "L1.N0", "--sources", "L4.H0"), "does not reach"),
        (("activations", "L0.N0", "--text", ""), "empty"),
        (("prompts", "L5.N0", "--layers", "0-2"), "not among the layers"),
        (("scan", "--layers", "9"), "no layer 9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_a_hint(run: Run, arguments: tuple[str, ...], said: str) -> None:
    lines = [
        line for line in run(*arguments, status=1)["error"].splitlines() if line.startswith(("Error", "Hint"))
    ]
    assert said in lines[0]
    assert lines[0].startswith("Error: ")
    assert lines[1].startswith("Hint: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02" * 50, "NUL byte"),
        (b"caf\xe9 " * 50, "UTF-8"),
        (b'{"no": 1}\n', "text"),
    ],
)
def test_bad_corpora_are_refused(
    cache: Path, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / ("bad.jsonl" if content.startswith(b"{") else "bad.txt")
    path.write_bytes(content)
    status = invocation.run(
        cli.app, ["scan", "--corpus", str(path), "--cache-dir", str(cache), "--device", "cpu"]
    )
    error = capfdbinary.readouterr().err.decode()
    assert status == 1
    assert said in error
    assert "Traceback" not in error


def _command(cache: Path, corpus: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tui_lookups", *_arguments(cache, corpus, *arguments)]


def _arguments(cache: Path, corpus: Path, *arguments: str) -> list[str]:
    common = [
        "--cache-dir",
        str(cache),
        "--corpus",
        str(corpus),
        "--device",
        "cpu",
        "--threads",
        "1",
        "--json",
    ]
    return [*arguments, *common]


def _array_digests(folder: Path) -> dict[str, str]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for block, arrays in manifest["arrays"].items():
        for key, entry in arrays.items():
            found[f"{block}/{key}"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    return found


def _killed_at_its_first_checkpoint(arguments: list[str], environment: dict[str, str]) -> bool:
    """Whether a scan was killed (SIGKILL) the moment its first checkpoint was written; for `answer_anew`."""
    os.environ.update(environment)
    checkpoint = ScanLedger.checkpoint

    def last_act(ledger: ScanLedger) -> None:
        checkpoint(ledger)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanLedger, "checkpoint", last_act)
        return not processes.finished(processes.start(lambda: invocation.run(cli.app, arguments)))


@processes.needs_fork
def test_a_killed_scan_resumes_to_the_identical_index(tmp_path: Path) -> None:
    corpus = first_passages(tmp_path / "few.jsonl", PASSAGES)
    settings = {
        "LOOKUPS_BATCH_TOKENS": "256", "LOOKUPS_CHECKPOINT_SECONDS": "0.001", "LOOKUPS_CONFIG": ""
    }  # fmt: skip
    whole = run_command(*_arguments(tmp_path / "whole", corpus, "scan"), environment=settings)
    killed = _arguments(tmp_path / "killed", corpus, "scan")
    assert processes.answer_anew(_killed_at_its_first_checkpoint, killed, settings)
    resumed = run_command(*killed, environment=settings)
    assert (whole.returncode, resumed.returncode) == (0, 0), whole.stderr + resumed.stderr
    first, second = json.loads(whole.stdout), json.loads(resumed.stdout)
    assert first["resumed_from"] == 0
    assert 0 < second["resumed_from"] < second["prompts"]
    assert _array_digests(Path(first["index_path"])) == _array_digests(Path(second["index_path"]))


def test_cached_answers_need_no_torch(run: Run, cache: Path) -> None:
    asked = [["neurons", " time", "--top", "3"], ["prompts", "L5.N0"], ["heads", "L5.N0", "--prompt", "1"]]
    answers = [run(*arguments) for arguments in asked]
    common = [
        "--cache-dir",
        str(cache),
        "--corpus",
        str(first_passages(cache / "few.jsonl", PASSAGES)),
        "--device",
        "cpu",
        "--json",
    ]
    program = (
        "import sys\n"
        "from tui_lookups import cli\nfrom tui_lookups.commands import invocation\n"
        f"for arguments in {asked!r}:\n"
        f"    assert invocation.run(cli.app, arguments + {common!r}) == 0\n"
        "print(sorted(m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules))\n"
    )
    environment = {**os.environ, "LOOKUPS_CONFIG": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, check=True, timeout=100
    )
    *documents, loaded = done.stdout.decode().splitlines()
    assert [json.loads(text) for text in documents] == answers
    assert loaded == "[]"


@pytest.mark.slow  # test_repeatable.py asks the same of every command, in two processes
def test_two_runs_give_the_same_document(run: Run, tmp_path: Path, cache: Path) -> None:
    """From the cache and worked out anew, apart from where the index lies and how long it took."""
    again = subprocess.run(
        _command(tmp_path / "fresh", first_passages(cache / "few.jsonl", PASSAGES), "prompts", "L5.N7"),
        env={**os.environ, "LOOKUPS_CONFIG": ""},
        capture_output=True,
        check=True,
        timeout=200,
    )
    first, second = run("prompts", "L5.N7"), json.loads(again.stdout)
    assert first == second
