"""From the packaged demo to an export through the real client and command line; and where the key is."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import run_command
from tests.explanation.chat_server import EXPLANATION, ChatServer, is_scoring, status
from tests.explanation.conftest import KEY
from tui_lookups.errors import LookupsError
from tui_lookups.explanation.requests import example_text
from tui_lookups.explorer import Explorer
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.writing import export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Preset, SelectedHead, Selection, Trim
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.send import SendScreen

pytestmark = pytest.mark.usefixtures("once_loaded")


@pytest.fixture(scope="module")
def walk_server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk") / "cache"


@pytest.fixture(scope="module")
def explorer(cache_dir: Path, walk_server: ChatServer) -> Iterator[Explorer]:
    settings = load_settings(
        cache_dir=cache_dir, threads=1, device="cpu", base_url=walk_server.base_url, explainer_model="gpt-4",
        explainer_retries=0, explainer_timeout=20.0,
    )  # fmt: skip
    made = Explorer(settings)
    yield made
    made.close()


@pytest.fixture(scope="module")
def subject(explorer: Explorer) -> tuple[NeuronId, HeadId]:
    """A neuron of the demo and a head worth explaining for it, with both classes in both parts."""
    for row in explorer.neurons(explorer.first_view().token.id, top=10).neurons:
        for mean in explorer.heads_overview(row.neuron, trimmed=True).heads:
            if mean.worth_explaining and explorer.head_scores.plan(row.neuron, mean.head).calls > 1:
                return row.neuron, mean.head
    raise AssertionError("the demo has no head worth explaining")


def test_examples_are_those_of_their_part_with_the_labels_of_the_heads(
    explorer: Explorer, subject: tuple[NeuronId, HeadId]
) -> None:
    neuron, _ = subject
    corpus = explorer._engine.corpus()
    prompts = {prompt.prompt_id: prompt for prompt in explorer.prompts(neuron, top=20).prompts}
    compared = 0
    for number, part in enumerate(("explaining", "scoring")):
        found = explorer.explaining._examples.examples(neuron, part)  # type: ignore[attr-defined]
        assert len(found.examples) == 20
        assert {corpus.part(example.prompt_id) for example in found.examples} == {number}
        for example in found.examples:
            prompt = prompts.get(example.prompt_id)
            if prompt is None:
                continue
            compared += 1
            heads = explorer.heads(neuron, prompt_id=example.prompt_id, trimmed=True).heads
            assert example.active == tuple(head.head for head in heads if head.active)
            assert prompt.trimmed is not None
            kept = prompt.tokens[prompt.trimmed.start : prompt.peak.position + 1]
            assert example.text == "".join(token.text for token in kept if token.id != prompt.tokens[0].id)
            follows = prompt.peak.next_token
            assert example.next_token == (None if follows is None else follows.text)
    assert compared == 20  # the neuron's top 20 are among the top 20 of their parts


def scoring_texts(explorer: Explorer, neuron: NeuronId) -> list[str]:
    """What the scorer is asked about: no text that the explainer is shown."""
    examples = explorer.explaining._examples
    shown = {each.text.strip() for each in examples.examples(neuron, "explaining").examples}  # type: ignore[attr-defined]
    asked = examples.examples(neuron, "scoring").examples  # type: ignore[attr-defined]
    return [example_text(each) for each in asked if each.text.strip() not in shown]


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """One command line in a process of its own."""
    done = run_command(*arguments, environment=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_walk_and_no_trace_of_the_key(
    explorer: Explorer,
    subject: tuple[NeuronId, HeadId],
    walk_server: ChatServer,
    cache_dir: Path,
    tmp_path: Path,
) -> None:
    neuron, head = subject
    names = [str(neuron), str(head)]
    log = tmp_path / "log.txt"
    common = [
        "--cache-dir", str(cache_dir), "--base-url", walk_server.base_url, "--explainer-model", "gpt-4",
        "--device", "cpu", "--log", str(log),
    ]  # fmt: skip
    quick = {"LOOKUPS_EXPLAINER_RETRIES": "0", "OPENAI_LOG": "debug"}
    said: list[str] = []

    def answer(*arguments: str) -> dict[str, Any]:
        code, out, err = run(*arguments, *common, "--json", **quick)
        said.extend((out, err))
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def table(*arguments: str, code: int = 0) -> tuple[str, str]:
        found, out, err = run(*arguments, *common, **quick)
        said.extend((out, err))
        assert found == code, err
        return out, err

    # a plan sends nothing
    sent = len(walk_server.bodies)
    plan = answer("score", *names, "--dry-run")
    held_out = scoring_texts(explorer, neuron)
    assert plan["calls"] == 1 + 2 * len(set(held_out))
    assert len(walk_server.bodies) == sent
    # a server that repeats the key, with a traceback asked for
    walk_server.faults.append(status(401, f"Incorrect API key provided: {KEY}"))
    _, err = table("explain", *names, "--debug", code=1)
    assert "does not accept the API key (401)" in err
    walk_server.faults.append(status(403, f"{KEY} may not"))
    table("explain", *names, code=1)
    # explain, score, report, search
    explained = answer("explain", *names)
    assert {"explanation", "model", "usage", "provenance"} <= set(explained)
    assert (explained["explanation"], explained["cached"]) == (EXPLANATION, False)
    scored = answer("score", *names)
    assert {"explanation", "model", "usage", "score"} <= set(scored)
    keys = {"head_explanation_score", "f1", "precision", "recall", "tp", "fp", "tn", "fn", "unanswered"}
    assert keys <= set(scored["score"])
    counts = scored["score"]
    assert sum(counts[name] for name in ("tp", "fp", "tn", "fn")) == len(held_out)
    rates = counts["tp"] / (counts["tp"] + counts["fn"]), counts["tn"] / (counts["tn"] + counts["fp"])
    assert counts["head_explanation_score"] == pytest.approx(sum(rates) / 2)
    asked = len(walk_server.bodies)
    out, err = table("score", *names)
    assert "(cached)" in out
    assert "request" not in err
    everyone = answer("score", "--worth-explaining", str(neuron), "--yes")
    assert str(head) in [each["head"] for each in everyone["scores"]]
    report = answer("report")
    assert report["head_explanation_score"] == everyone["head_explanation_score"]
    assert "head explanation score" in table("report", str(neuron))[0]
    assert answer("explanations", "not")["explained"]
    assert EXPLANATION in table("explanations")[0]
    table("explain", "--worth-explaining", str(neuron))
    answer("config", "show")
    assert len(walk_server.bodies) >= asked
    # the same from the explorer that is open, which needs nothing more
    assert explorer.explain(neuron, head).cached
    path = export(
        explorer,
        Selection(heads=(SelectedHead(neuron, head), SelectedHead(neuron, HeadId(0, 0)))),
        tmp_path / "x.json",
    )
    exported = read_export(path).heads
    assert exported[0].explanation is not None
    assert (exported[0].explanation.explanation, exported[0].explanation.model) == (EXPLANATION, "gpt-4")
    assert exported[0].explanation_score is not None
    assert exported[0].explanation_score.score.tp == counts["tp"]
    assert exported[0].explanation_score.usage.calls == 2 * len(set(held_out))
    assert exported[1].explanation is None
    # the server has seen the key in every request's header, and nobody else has
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in walk_server.headers)
    written = [file for file in (*cache_dir.rglob("*"), path, log) if file.is_file()]
    # Read by another process: closing a file drops every lock on it, and the cache is open in this one.
    kept = subprocess.run(["cat", *written], capture_output=True, check=True).stdout
    assert EXPLANATION.encode()[:30] in kept  # the search finds things
    assert KEY.encode() not in kept
    assert not [text for text in said if KEY in text]
    assert KEY not in repr(explorer.settings)
    assert all(is_scoring(message) or "ACTIVE" in message for message in walk_server.messages)


@pytest.fixture
def not_asked_yet(
    cache_dir: Path, walk_server: ChatServer, request: pytest.FixtureRequest
) -> Iterator[Explorer]:
    """The same model and corpus, and an explainer of which nothing is cached: each test has its own."""
    settings = load_settings(
        cache_dir=cache_dir, threads=1, device="cpu", base_url=walk_server.base_url,
        explainer_model=request.node.name, explainer_retries=0, explainer_timeout=20.0,
    )  # fmt: skip
    made = Explorer(settings)
    yield made
    made.close()


async def test_no_picture_of_the_app_shows_the_key(
    not_asked_yet: Explorer, subject: tuple[NeuronId, HeadId], walk_server: ChatServer
) -> None:
    """Explained and scored in the app; the last explanation is refused with the key repeated."""
    explorer = not_asked_yet
    neuron, head = subject
    explorer.explain(neuron, head)
    app = LookupsApp(explorer, theme="lookups-dark")
    pictures: list[str] = []
    async with app.run_test(size=(160, 45)) as pilot:
        walk = app.walk_screen.walk

        async def until(condition: Callable[[], object]) -> None:
            end = time.monotonic() + 60
            pictures.append(app.export_screenshot())
            while not condition():
                assert time.monotonic() < end, "the app did not get there"
                await pilot.pause(0.2)
                pictures.append(app.export_screenshot())

        app.walk_screen.steps.neurons.open_neuron(neuron, head=head)
        await until(lambda: walk.neuron == neuron and walk.prompts is not None)
        await pilot.press("2", "enter")
        await until(lambda: walk.heads is not None)
        app.walk_screen.steps.heads.choose_head(head)
        await until(lambda: EXPLANATION[:20] in pictures[-1].replace("&#160;", " "))
        walk_server.faults.append(status(401, f"Incorrect API key provided: {KEY}"))
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, SendScreen) and app.screen.plan is not None)
        await pilot.press("enter")
        await until(lambda: "401" in pictures[-1])
        # all heads: refused at first, with the key repeated; then stopped, and gone on with
        asked = len(walk_server.bodies)
        run = app.walk_screen.head_run
        await pilot.press("W")
        await until(lambda: run.table is not None)
        walk_server.faults.extend(status(401, f"Incorrect API key provided: {KEY}") for _ in range(9))
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, SendScreen) and app.screen.plan is not None)
        await pilot.press("enter")
        await until(lambda: not run.running and run.error is not None)
        assert len(walk_server.bodies) - asked <= 9, "a refusal ends it"
        walk_server.faults.clear()
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, SendScreen) and app.screen.plan is not None)
        await pilot.press("enter")
        await until(lambda: not run.running and run.used is not None)
        assert run.table is not None
        await until(lambda: run.table is not None and run.table.report.scores)
        assert head in [each.head for each in run.table.report.scores]
        await pilot.press("s")  # everything is known by now: nothing to ask about, nothing is sent
        asked = len(walk_server.bodies)
        await until(lambda: not run.running and run.used is not None and run.used.calls == 0)
        assert len(walk_server.bodies) == asked
        await pilot.press("escape", "q")
    assert not [picture for picture in pictures if KEY in picture]


def test_wrong_usage_and_no_key(
    subject: tuple[NeuronId, HeadId], cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(each) for each in subject]
    common = ["--cache-dir", str(cache_dir), "--device", "cpu"]
    for arguments in (["explain"], ["explain", names[0]], ["score", *names, "--worth-explaining", names[0]]):
        assert run(*arguments, *common)[0] == 2
    monkeypatch.delenv("OPENAI_API_KEY")
    code, out, err = run("explain", *names, *common)
    assert (code, out) == (1, "")
    missing = "Explanations need an API key, and OPENAI_API_KEY is not set."
    assert err.startswith(f"{missing} Only what is in the cache can be answered.\n"), "before all work"
    assert f"Error: {missing}" in err
    assert "Hint: Set OPENAI_API_KEY" in err


def test_without_a_key_a_fresh_answer_is_refused_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    for command in ("explain", "score"):
        code, out, err = run(
            command, "L5.N1", "L4.H1", "--fresh", "--cache-dir", str(tmp_path), "--device", "cpu"
        )
        assert (code, out) == (1, "")
        assert err.startswith("Error: Explanations need an API key")
    assert not list(tmp_path.glob("indexes/*"))


def test_a_question_in_the_background_can_be_cancelled(
    not_asked_yet: Explorer, subject: tuple[NeuronId, HeadId], walk_server: ChatServer
) -> None:
    import threading

    explorer = not_asked_yet
    neuron, head = subject
    explorer.explaining.plan(neuron, head)  # all but the request has been worked out
    arrived, heard = threading.Event(), []
    before = len(walk_server.bodies)

    def slowly(handler: Any, body: dict[str, Any]) -> None:
        arrived.set()
        handler.server.released.wait(2)
        handler.answer(body)

    walk_server.faults.append(slowly)
    question = explorer.ask(lambda: explorer.explain(neuron, head, fresh=True), heard.append, heard.append)
    assert arrived.wait(30)
    question.cancel()
    found = threading.Event()
    explorer.ask(lambda: explorer.explain(neuron, head), lambda _: found.set(), lambda _: found.set())
    assert found.wait(30)
    assert heard == []
    assert len(walk_server.bodies) <= before + 2


def test_preset_paper_leaves_long_trimmed_prompts_out(
    explorer: Explorer, subject: tuple[NeuronId, HeadId]
) -> None:
    from tui_lookups.answering import answers
    from tui_lookups.results.conventions import Conventions

    neuron, _ = subject
    prompts = explorer.prompts(neuron, top=20).prompts
    whole = [replace(each, trimmed=Trim(0, 1.0, False, "whole")) for each in prompts]

    def kept(preset: Preset) -> list[int]:
        found = explorer._engine.on_model(
            lambda model, poll: answers.examples(
                model, neuron, whole, conventions=Conventions(preset=preset), poll=poll
            )
        )
        return [example.prompt_id for example in found[1]]

    assert kept("default") == [each.prompt_id for each in whole]
    short = [each.prompt_id for each in whole if each.peak.position + 1 < 100]
    assert kept("paper") == short
    assert 0 < len(short) < 20


def test_a_head_of_a_later_layer_is_refused(explorer: Explorer, subject: tuple[NeuronId, HeadId]) -> None:
    with pytest.raises(LookupsError, match="does not reach"):
        explorer.explain(NeuronId(0, 0), HeadId(5, 0))
