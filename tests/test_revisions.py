"""One question at several revisions of a model: against a hub with two branches, and on fixed answers."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fake_answers import BECAUSE, FakeExplorer
from tests.faults.processes import answer_anew, needs_fork
from tests.hub_server import hub_environment, hub_of, read_environment
from tests.tiny_models import save_tiny_model
from tui_lookups import cli
from tui_lookups.commands import invocation
from tui_lookups.commands.narration import Narrator
from tui_lookups.errors import UnknownTokenError
from tui_lookups.explorer import Explorer
from tui_lookups.explorer.revisions import Revisions
from tui_lookups.exports.courses import sparkline
from tui_lookups.ids import NeuronId
from tui_lookups.model import sources
from tui_lookups.progress import Progress, heard_by, tell
from tui_lookups.results import HeadOverview, Status, Token, TokenMatch
from tui_lookups.settings import Settings, load_settings
from tui_lookups.storage.codec import document
from tui_lookups.storage.files import file_digest

NEURON_ONE = NeuronId(1, 5)
TEXT = "a river ran under the old stone bridge"


def run_lines(
    environment: dict[str, str], lines: list[list[str]], cache: Path
) -> tuple[list[tuple[int, list[str]]], dict[str, Any]]:
    """What a process does for which the hub is at another place; for `answer_anew`.

    The status of each command line with what it wrote to each stream, and NEURON_ONE over the revisions.
    """
    read_environment(environment)
    answers = []
    for line in lines:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
        sys.stdout, sys.stderr = streams
        status = invocation.run(cli.app, [*line, "--cache-dir", str(cache)])
        for stream in streams:
            stream.flush()
        answers.append((status, [stream.buffer.getvalue().decode() for stream in streams]))  # type: ignore[attr-defined]
    explorer = Explorer(load_settings(model="someone/tiny", cache_dir=cache))
    beside = explorer.over_revisions(NEURON_ONE, ("step1", "main"))
    explorer.close()
    return answers, document(beside)


@needs_fork
def test_two_branches_are_two_models_and_the_same_neurons_are_followed(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Each figure is what that folder gives by itself; a branch that is missing is named before any work."""
    late, early = tiny_folder("gpt2"), tmp_path / "early"
    save_tiny_model("gpt2", early, seed=1)
    model = ["--model", "someone/tiny", "--json"]
    lines = [
        ["neurons", "#100", "--revisions", "step1,main", "--top", "3", *model],
        ["revisions", "L1.N5", "--revisions", "step1,main", "--text", TEXT, *model],
        ["neurons", "#100", "--revisions", "step1,step9,main", *model],
        ["neurons", "#100", "--revisions", "step1,main", "--top", "3", "--offline", *model],
        ["neurons", "#100", "--revisions", "step1,step9,main", "--offline", *model],
    ]
    with hub_of(late) as server:
        server.add_branch("step1", early)
        environment = hub_environment(server.url, tmp_path / "hf")
        answers, beside = answer_anew(run_lines, environment, lines, tmp_path / "cache")
    assert [status for status, _ in answers] == [0, 0, 1, 0, 1], answers
    written = [streams for _, streams in answers]
    ranked, one, offline = (json.loads(written[line][0]) for line in (0, 1, 3))
    explorers = {
        revision: Explorer(load_settings(model=str(folder), cache_dir=tmp_path / "own"))
        for revision, folder in (("step1", early), ("main", late))
    }
    try:
        best = explorers["main"].neurons("#100", top=3).neurons
        for entry in ranked["revisions"]:
            at = explorers[entry["revision"]]
            assert entry["fingerprint"] == at.model_fingerprint()
            expected = at.scores([row.neuron for row in best], at.neurons("#100", top=1).token)
            rows = [(row["neuron"], row["congruence"], row["token_rank"]) for row in entry["neurons"]]
            assert rows == [
                (str(row.neuron), pytest.approx(row.congruence), row.token_rank) for row in expected
            ]
        assert [entry["revision"] for entry in ranked["revisions"]] == ["step1", "main"]
        assert one["token"]["text"] == explorers["main"].tokens(NEURON_ONE, top=1).tokens[0].text
        for entry in one["revisions"]:
            heads = explorers[entry["revision"]].heads(NEURON_ONE, text=TEXT)
            assert entry["peak"] == pytest.approx(heads.activation)
            assert {row["head"]: row["attribution"] for row in entry["heads"]} == {
                str(row.head): pytest.approx(row.attribution, abs=1e-6) for row in heads.heads
            }
    finally:
        for explorer in explorers.values():
            explorer.close()
    assert offline["revisions"] == ranked["revisions"]
    without = {"peak": None, "heads": []}
    assert beside["revisions"] == [entry | without for entry in one["revisions"]]
    assert "someone/tiny has no branch, tag or commit 'step9'" in written[2][1]
    assert "someone/tiny@step9 is not in the local Hugging Face cache" in written[4][1]
    assert ranked["revisions"][0]["fingerprint"] == sources.folder_fingerprint(early, file_digest)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FakeExplorer]:
    """The explorers of a command line in the order of their opening; no two are open at once."""
    made: list[FakeExplorer] = []

    def open_one(settings: Settings) -> FakeExplorer:
        assert all(explorer.closed for explorer in made)
        made.append(FakeExplorer(settings))
        return made[-1]

    monkeypatch.setattr(invocation, "open_explorer", open_one)
    monkeypatch.setattr(sources, "in_hub_cache", lambda name: True)
    return made


def test_the_last_revision_says_what_is_followed_and_one_is_open_at_a_time(
    opened: list[FakeExplorer], capsys: pytest.CaptureFixture[str]
) -> None:
    line = [
        "neurons",
        " because",
        "--revisions",
        "step0, step512,main",
        "--model",
        "someone/tiny",
        "--top",
        "2",
    ]
    assert invocation.run(cli.app, line) == 0
    assert [each.settings.model for each in opened] == [
        "someone/tiny@main", "someone/tiny@step0", "someone/tiny@step512",
    ]  # fmt: skip
    assert all(explorer.closed for explorer in opened)
    out = capsys.readouterr().out
    assert "Neurons that promote ␣because #1093 at main, over 3 revisions" in out
    rows = [row.split() for row in out.splitlines()]
    assert ["L5.N371", "▃█▁", "18.000", "17.000", "2", "2"] in [row[:6] for row in rows]

    assert invocation.run(cli.app, [*line, "--format", "csv"]) == 0
    header, *records = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[:5] == ["token.id", "token.text", "revision", "neuron", "layer"]
    assert [row[2] for row in records] == ["step0"] * 2 + ["step512"] * 2 + ["main"] * 2


def test_a_neuron_has_a_row_a_revision_and_a_course_for_each_figure(
    opened: list[FakeExplorer], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["revisions", "5.371", "--revisions", "step0,main", "--model", "someone/tiny"]
    assert invocation.run(cli.app, [*line, "--prompts"]) == 0
    out = capsys.readouterr().out
    assert "L5.N371 and ␣because #1093 over 2 revisions" in out
    rows = [row.split() for row in out.splitlines()]
    [step] = [row for row in rows if row[:1] == ["step0"]]
    assert step[1:3] == ["18.000", "2"]
    assert "4.250" in step
    assert ["congruence", "█▁"] in rows
    assert "their means over its prompts" in out
    asked = [name for name, _ in opened[0].calls]
    assert {"heads_overview", "prompts"} <= set(asked)

    assert invocation.run(cli.app, [*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["firing"] is None
    assert [(at["revision"], at["peak"], at["heads"]) for at in document["revisions"]] == [
        ("step0", None, []), ("main", None, []),
    ]  # fmt: skip
    assert "heads_overview" not in [name for name, _ in opened[-1].calls]


@pytest.mark.parametrize(
    ("model", "revisions", "said"),
    [
        ("demo", "a,b", "demo is not a model of the hub"),
        ("someone/tiny@main", "a,b", "someone/tiny@main is not a model of the hub"),
        ("someone/tiny", "main", "Two revisions or more"),
        ("someone/tiny", "main,main", "each once"),
        ("someone/tiny", "main,", "Two revisions or more"),
    ],
)
def test_what_has_no_revisions_is_refused_before_anything_is_opened(
    opened: list[FakeExplorer], capsys: pytest.CaptureFixture[str], model: str, revisions: str, said: str
) -> None:
    line = ["revisions", "L5.N371", "--revisions", revisions, "--model", model]
    assert invocation.run(cli.app, line) == 1
    assert said in capsys.readouterr().err
    assert not opened


@pytest.mark.parametrize(
    "line",
    [
        ["neurons", "--tokens-file", "x", "--revisions", "a,b"],
        ["neurons", " so", "--sort", "rank", "--revisions", "a,b"],
        ["neurons", " so", "--as-one", "mean", "--revisions", "a,b"],
        ["revisions", "L5.N371", "--revisions", "a,b", "--text", "x", "--prompts"],
        ["revisions", "L5.N371", "--revisions", "a,b", "--trimmed"],
        ["revisions", "L5.N371"],
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    opened: list[FakeExplorer], line: list[str]
) -> None:
    assert invocation.run(cli.app, line) == 2
    assert not opened


def test_a_token_with_another_id_is_found_by_its_text_and_one_that_is_gone_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "in_hub_cache", lambda name: True)

    class Other(FakeExplorer):
        """Where the id is another token's, and the text may be nobody's."""

        here: Token | None = Token(5, " because")

        def resolve_token(self, text: str) -> TokenMatch:
            token = Token(BECAUSE.id, "other") if text.startswith("#") else self.here
            return TokenMatch(text, token, (), ())

    def over(first: FakeExplorer) -> Revisions:
        models = {"step0": first, "main": FakeExplorer(load_settings())}
        return Revisions("someone/tiny", ("step0", "main"), lambda name, _: nullcontext(models[name]))  # type: ignore[arg-type]

    followed = over(Other(load_settings())).neurons(" because")
    assert [at.token.id for at in followed.revisions] == [5, BECAUSE.id]
    gone = Other(load_settings())
    gone.here = None
    with pytest.raises(UnknownTokenError, match='" because" is not in the vocabulary of step0'):
        over(gone).neurons(" because")


def test_beside_an_open_model_it_is_told_which_revision_is_asked_and_how_far_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "in_hub_cache", lambda name: True)
    made: list[FakeExplorer] = []

    class Telling(FakeExplorer):
        """Tells how far its scan is."""

        def __init__(self, settings: Settings) -> None:
            assert all(explorer.closed for explorer in made)
            super().__init__(settings)
            made.append(self)

        def heads_overview(self, *asked: Any, **more: Any) -> HeadOverview:
            tell(Progress("scan", 3, 4))
            return super().heads_overview(*asked, **more)

    monkeypatch.setattr("tui_lookups.explorer.explorer.Explorer", Telling)
    heard: list[str] = []
    with heard_by(lambda progress: heard.append(progress.sentence)):
        settings = Settings(model="someone/tiny@main", window=64)
        found = Explorer.over_revisions(
            SimpleNamespace(settings=settings),  # type: ignore[arg-type]
            NeuronId(5, 371), ("step0", "step1", "main"), prompts=True,
        )  # fmt: skip
    assert [row.revision for row in found.revisions] == ["step0", "step1", "main"]
    assert [explorer.settings.model for explorer in made] == [
        "someone/tiny@main", "someone/tiny@step0", "someone/tiny@step1",
    ]  # fmt: skip
    assert {explorer.settings.window for explorer in made} == {64}
    assert all(explorer.closed for explorer in made)
    assert heard == [
        "1 of 3: main", "1 of 3: main, scan, 75%",
        "2 of 3: step0", "2 of 3: step0, scan, 75%",
        "3 of 3: step1", "3 of 3: step1, scan, 75%",
    ]  # fmt: skip


def test_what_is_done_says_which_revision_it_is_for() -> None:
    class Told:
        last: Progress | None = None

        def tell(self, progress: Progress) -> None:
            self.last = progress

        def tell_stage(self, progress: Progress | None) -> None:
            self.last = progress

        def close(self) -> None:
            """Nothing is open."""

    def said_of(loading: Progress | None) -> str:
        told = Told()
        status = Status("ready", "", "cpu", "float32", None, None, None, loading=loading)
        whole = Progress("step1000", stage=2, stages=5)
        Narrator(lambda: status, sys.stderr, told, whole=whole).look()
        assert told.last is not None
        return told.last.sentence

    assert said_of(None) == "2 of 5: step1000"
    assert said_of(Progress("reading the weights", 1, 4)) == "2 of 5: step1000, reading the weights, 25%"


def test_a_sparkline_runs_from_the_smallest_to_the_largest_and_leaves_out_what_is_not_there() -> None:
    assert sparkline([-1.0, None, 0.5, 1.0]) == "▁ ▆█"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([]) == ""
