"""Every screen of the app on a canned explorer: the keys that lead to it, for pictures and measurements.

No figure here comes from a model, no text from this machine and no time from a clock, so that what is shown
is the same everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.strip import Strip

from tests.tui.canned import CannedExplorer
from tests.tui.idleness import let_pass
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.progress import Progress
from tui_lookups.results import Note, SelectedNeuron, Selection, SessionState
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.opening import Opening
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.widgets.hints import Hints

REST = "rest"
"""In place of a key: wait until the cursor counts as at rest and what was typed as typed."""

_QUIET, _PATIENCE = 2, 60


def _plain_text() -> CannedExplorer:
    return CannedExplorer(hostile=False)


def _hostile() -> CannedExplorer:
    return CannedExplorer(hostile=True)


def _scanning() -> CannedExplorer:
    return CannedExplorer(scanned=310, hostile=False)


def _loading() -> CannedExplorer:
    return CannedExplorer(hold=True)


def _failing() -> CannedExplorer:
    explorer = CannedExplorer(hold=True)
    explorer.failure = ("There is no model at 'x'.", "Give demo, or a folder.")
    return explorer


def _refusing() -> CannedExplorer:
    explorer = _plain_text()
    explorer.fail["activations"] = LookupsError("The text is too long.", "Cut it to 256 tokens.")
    return explorer


def _explained() -> CannedExplorer:
    explorer = _plain_text()
    explorer.explaining.write(NeuronId(5, 371), HeadId(3, 2), "After a reason was asked for.")
    explorer.explaining.write(NeuronId(2, 17), HeadId(1, 1), "At the end of a clause; [brackets] are text.")
    return explorer


def _sessions() -> CannedExplorer:
    explorer = _plain_text()
    neuron = NeuronId(5, 371)
    marked = Selection((SelectedNeuron(neuron),), notes=(Note(neuron, "fires on causes", ""),))
    for name, basket in (("", Selection()), ("causes of rain", marked)):
        explorer.named[name] = SessionState(None, neuron, None, None, basket)
    return explorer


def _at_work() -> CannedExplorer:
    """Loading, as far as it is told; the scan; and what the walk waits for."""
    explorer = _scanning()
    status = explorer.status()
    reading = Progress(
        "reading the weights of demo", 41, 100, seconds=5.0, seconds_left=7.0, stage=5, stages=6
    )
    explorer.status = lambda: replace(status, loading=reading)  # type: ignore[method-assign]
    return explorer


_DARK = Options(theme="lookups-dark")
_COMPARING = Options(theme="lookups-dark", against="tuned", revisions=("step0", "step1000", "main"))


@dataclass(frozen=True)
class View:
    """Keys pressed on a new app, and the class of the screen they end on."""

    screen: str
    keys: tuple[str, ...] = ()
    explorer: Callable[[], CannedExplorer] = _plain_text
    options: Options = _DARK


_TEXT = (*"not", "space", *"so", REST)

VIEWS: dict[str, View] = {
    "neurons": View("WalkScreen"),
    "loading": View("WalkScreen", (), _loading),
    "filter": View("WalkScreen", ("slash", "t", "i")),
    "tokens": View("WalkScreen", ("t", *"time")),
    "token-set": View("WalkScreen", ("t", *'" because" " time"', "down", "enter", REST, "1", "down")),
    "pieces": View("WalkScreen", ("t", *"becausewhile")),
    "prompts": View("WalkScreen", ("2", "j", "right", REST)),
    "scanning": View("WalkScreen", ("2",), _scanning),
    "statistics": View("WalkScreen", ("2", "K", REST)),
    "hostile": View("WalkScreen", ("2", "z", REST), _hostile),
    "find": View("WalkScreen", ("2", "slash", *"but", REST)),
    "heads": View("WalkScreen", ("3", REST)),
    "heads-list": View("WalkScreen", ("3", "v", REST)),
    "overview": View("WalkScreen", ("3", "a", REST)),
    "detail": View("WalkScreen", ("3", REST, "enter", REST)),
    "explanation": View("WalkScreen", ("3", REST, "e", "enter", "s", "enter", REST)),
    "plain": View("WalkScreen", ("2",), _plain_text, Options(theme="lookups-dark", plain=True)),
    "low": View("WalkScreen", ("3", REST), _plain_text, Options(theme="lookups-dark", low_bandwidth=True)),
    "atlas": View("AtlasScreen", ("A", "home", "down", "down", "enter", "down")),
    "why": View("WhyScreen", ("w", REST, "d", REST)),
    "why-layers": View("WhyScreen", ("w", REST, "left", "down", "f", REST, "right", "v", "down", REST)),
    "corpus-search": View("CorpusSearchScreen", ("2", "slash", *"because", "ctrl+g", REST)),
    "inputs": View("InputsScreen", ("3", REST, "I", REST)),
    "trace": View("TraceScreen", ("w", REST, "r", REST, "down", "enter", REST, "down", "down", "o", REST)),
    "trace-export": View("TraceExportScreen", ("w", REST, "left", "r", REST, "x")),
    "served-by": View("ServedByScreen", ("3", REST, "left", "D", REST, "down", REST)),
    "shared-heads": View(
        "SharedHeadsScreen", ("space", "j", "space", "j", "space", "G", REST, "down", "right")
    ),
    "survey": View("SurveyScreen", ("M", REST, "r", REST, "down")),
    "survey-heads": View("SurveyScreen", ("M", REST, "r", REST, "v", "m", "up", REST)),
    "survey-export": View("SurveyExportScreen", ("M", REST, "r", REST, "x")),
    "diff": View("DiffScreen", (REST, "down", "space", "S"), _hostile, _COMPARING),
    "diff-activations": View("DiffScreen", (REST, "r", REST, "down"), _plain_text, _COMPARING),
    "diff-neuron": View("NeuronDiffScreen", (REST, "enter", REST, "down"), _hostile, _COMPARING),
    "revisions": View("RevisionsScreen", ("escape", "at", REST, "r", REST, "down"), _plain_text, _COMPARING),
    "records": View("RecordsScreen", (REST, "x"), _plain_text, _COMPARING),
    "playground": View("PlaygroundScreen", ("P", *_TEXT, "ctrl+n", *"but", REST, "enter", REST)),
    "playground-refused": View("PlaygroundScreen", ("P", *_TEXT), _refusing),
    "basket": View("BasketScreen", ("comma", *"causes", "enter", "2", "space", "3", REST, "space", "b")),
    "note": View("OneLineScreen", ("comma", *"because")),
    "tasks": View("TasksScreen", ("J",), _at_work),
    "sessions": View("SessionsScreen", ("L", "down"), _sessions),
    "explained": View("ExplainedScreen", ("i",), _explained),
    "all-heads": View("HeadRunScreen", ("3", REST, "W", "s", "enter", "down", REST)),
    "ablation": View("AblationScreen", ("3", REST, "d", REST)),
    "send": View("SendScreen", ("3", REST, "e", REST)),
    "write": View("WriteScreen", ("3", REST, "E", *"why")),
    "help": View("HelpScreen", ("2", "question_mark")),
    "export": View("ExportScreen", ("space", "x")),
    "figure": View("FigureScreen", ("3", REST, "X")),
    "open-export": View("OpenExportScreen", ("O", "ctrl+u", *"lookups-export-x.json", "enter", REST)),
    "load-problem": View("LoadProblemScreen", (), _failing),
}


@asynccontextmanager
async def shown(name: str, size: tuple[int, int]) -> AsyncIterator[tuple[LookupsApp, Pilot[None]]]:
    """The app on a view, at rest, with the keys on its bottom line."""
    view = VIEWS[name]
    opening = Opening("x", "demo", lambda _model, _corpus: CannedExplorer())
    app = LookupsApp(view.explorer(), options=view.options, opening=opening)
    async with app.run_test(size=size) as pilot:
        await still(app, pilot)
        for key in view.keys:
            await (let_pass(pilot, 0.35) if key == REST else pilot.press(_named(key)))
            if key == REST:
                await still(app, pilot)
        await still(app, pilot)
        await without_message(app, pilot)
        assert type(app.screen).__name__ == view.screen, f"{name}: the keys end on {app.screen}"
        yield app, pilot


def _named(key: str) -> str:
    return {".": "full_stop", " ": "space", "/": "slash"}.get(key, key)


async def still(app: LookupsApp, pilot: Pilot[None]) -> None:
    """Until nothing changes on the screen any more."""
    before, same = None, 0
    for _ in range(_PATIENCE):
        await pilot.pause()
        now = texts(app)
        same = same + 1 if now == before else 0
        if same >= _QUIET:
            return
        before = now
    raise AssertionError("the screen does not come to rest")


async def without_message(app: LookupsApp, pilot: Pilot[None]) -> None:
    """The bottom line says its keys: messages go by the clock."""
    for screen in app.screen_stack:
        for hints in screen.query(Hints):
            hints.show_message("")
    await pilot.pause()


def strips(app: LookupsApp) -> list[Strip]:
    """Every line of the top screen as it is composed."""
    return list(app.screen._compositor.render_strips())


def texts(app: LookupsApp) -> list[str]:
    """What is on the top screen, line by line."""
    return ["".join(segment.text for segment in strip) for strip in strips(app)]


def own_region(app: LookupsApp) -> Region:
    """The part of the terminal that belongs to the top screen: a dialog's frame, or everything."""
    if isinstance(app.screen, ModalScreen):
        return app.screen.query_one(".dialog").region.intersection(app.screen.region)
    return app.screen.region
