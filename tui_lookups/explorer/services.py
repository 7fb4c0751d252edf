"""The services behind an Explorer, one a subject, each imported and made when it is first needed.

1. The first question makes the engine. A token's neurons come from the cache within a second of the launch,
   of which importing NumPy alone would take a good part: services that need it are made by questions that do.
2. `status`, `problems`, `request_checkpoint` and `close` never wait for what is being made. An engine that
   is still being made when it is closed is closed as soon as it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tui_lookups.errors import Cancelled, LoadingStoppedError, as_lookups_error

if TYPE_CHECKING:
    from tui_lookups.answering.atlas_service import AtlasService
    from tui_lookups.answering.attends_service import AttendsService
    from tui_lookups.answering.congruence_service import CongruenceService
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.example_service import ExampleService
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.group_service import GroupService
    from tui_lookups.answering.head_scores import HeadScores
    from tui_lookups.answering.head_service import HeadService
    from tui_lookups.answering.input_service import InputService
    from tui_lookups.answering.overviews import HeadOverviews
    from tui_lookups.answering.prediction_service import PredictionService
    from tui_lookups.answering.prompt_lists import PromptLists
    from tui_lookups.answering.prompt_service import PromptService
    from tui_lookups.answering.reads_service import ReadsService
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.answering.sessions import Sessions
    from tui_lookups.answering.survey_pairs import SurveyPairs
    from tui_lookups.answering.survey_service import SurveyService
    from tui_lookups.answering.trace_service import TraceService
    from tui_lookups.answering.two_models import TwoModels
    from tui_lookups.answering.why_service import WhyService
    from tui_lookups.explanation.desk import RequestDesk
    from tui_lookups.explanation.store import ExplainedStore
    from tui_lookups.model_thread import CancelToken
    from tui_lookups.progress import Progress
    from tui_lookups.results.status import Status
    from tui_lookups.settings import Settings

T = TypeVar("T")
Stage = Literal["starting", "loading", "stopped", "ready", "failed"]


class made_once(Generic[T]):
    """A property that is made when it is first read, once, under the lock `making` of its owner."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, _: type | None = None) -> T:
        with owner.making:
            if self._name not in vars(owner):
                vars(owner)[self._name] = self._make(owner)
            made: T = vars(owner)[self._name]  # read from there from now on, without this function
            return made


class Question:
    """A question that was put with `Explorer.ask`."""

    def __init__(self, token: CancelToken) -> None:
        self.token = token
        self.progress: Progress | None = None
        """How far the answer is, as it was told last; set on whichever thread works at it."""

    def hear(self, progress: Progress) -> None:
        """Take over how far the answer is."""
        self.progress = progress

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards, and work for it stops soon."""
        self.token.cancel()


class Services:
    """What answers the questions about one model and one corpus. Thread-safe."""

    def __init__(self, settings: Settings, results: Path | None) -> None:
        self.settings = settings
        self.making = threading.RLock()  # held while something is imported and made
        self._results = results
        self._opened: Engine | None = None
        self._failure = ""  # why there is no engine
        self._closed = False
        self._against: dict[str, TwoModels] = {}

    @property
    def engine(self) -> Engine:
        """What all of them stand on. Raises Cancelled where it was closed before it was needed."""
        if self._opened is None:
            with self.making:
                if self._opened is None and not self._closed:
                    self._open()
        if self._opened is None:
            raise Cancelled
        return self._opened

    def _open(self) -> None:
        try:
            from tui_lookups.answering.engine import Engine

            made = self._opened = Engine(self.settings, self._results)
        except Exception as error:
            self._failure = str(as_lookups_error(error))
            raise
        if self._closed:  # in the meantime: whoever did so may have seen no engine
            made.close(None)
            self._opened = None

    @made_once
    def atlas(self) -> AtlasService:
        from tui_lookups.answering.atlas_service import AtlasService

        return AtlasService(self.engine)

    @made_once
    def congruence(self) -> CongruenceService:
        from tui_lookups.answering.congruence_service import CongruenceService

        return CongruenceService(self.engine, self.atlas)

    @made_once
    def scan(self) -> ScanSession:
        from tui_lookups.answering.scan_session import ScanSession

        return ScanSession(self.engine)

    @made_once
    def prompts(self) -> PromptService:
        from tui_lookups.answering.prompt_service import PromptService

        return PromptService(self.engine, self.scan)

    @made_once
    def prompt_lists(self) -> PromptLists:
        from tui_lookups.answering.prompt_lists import PromptLists

        return PromptLists(self.engine, self.scan)

    @made_once
    def heads(self) -> HeadService:
        from tui_lookups.answering.head_service import HeadService

        return HeadService(self.engine, self.scan, self.prompts)

    @made_once
    def reads(self) -> ReadsService:
        from tui_lookups.answering.reads_service import ReadsService

        return ReadsService(self.engine, self.scan, self.overviews)

    @made_once
    def overviews(self) -> HeadOverviews:
        from tui_lookups.answering.overviews import HeadOverviews

        return HeadOverviews(self.engine, self.scan, self.prompts)

    @made_once
    def attends(self) -> AttendsService:
        from tui_lookups.answering.attends_service import AttendsService

        return AttendsService(self.engine, self.prompts)

    @made_once
    def why(self) -> WhyService:
        from tui_lookups.answering.why_service import WhyService

        return WhyService(self.engine)

    @made_once
    def inputs(self) -> InputService:
        from tui_lookups.answering.input_service import InputService

        return InputService(self.engine, self.scan, self.prompts)

    @made_once
    def surveys(self) -> SurveyService:
        from tui_lookups.answering.survey_service import SurveyService

        return SurveyService(self.engine, self.atlas, self.prompt_lists, self.overviews)

    @made_once
    def groups(self) -> GroupService:
        from tui_lookups.answering.group_service import GroupService

        return GroupService(self.engine, self.prompts, self.heads, self.overviews)

    @made_once
    def traces(self) -> TraceService:
        from tui_lookups.answering.trace_service import TraceService

        return TraceService(self.engine, self.prompts)

    @made_once
    def sessions(self) -> Sessions:
        from tui_lookups.answering.sessions import Sessions

        return Sessions(self.settings.cache_dir)

    @made_once
    def predictions(self) -> PredictionService:
        from tui_lookups.answering.prediction_service import PredictionService

        return PredictionService(self.engine)

    @made_once
    def examples(self) -> ExampleService:
        from tui_lookups.answering.example_service import ExampleService

        return ExampleService(self.engine, self.scan, self.overviews)

    @made_once
    def desk(self) -> RequestDesk:
        from tui_lookups.explanation.desk import RequestDesk

        return RequestDesk(self.settings, self.engine.cache)

    @made_once
    def store(self) -> ExplainedStore:
        from tui_lookups.explanation.store import ExplainedStore

        return ExplainedStore(self.engine.cache)

    @made_once
    def explaining(self) -> Explaining:
        """Explanations of heads (method.md, section 5)."""
        from tui_lookups.answering.explaining import Explaining

        return Explaining(self.desk, self.store, self.examples)

    @made_once
    def head_scores(self) -> HeadScores:
        """Scores of explanations (method.md, section 5)."""
        from tui_lookups.answering.head_scores import HeadScores

        settings = self.settings
        return HeadScores(
            self.desk,
            self.store,
            self.examples,
            self.explaining,
            seed=settings.seed,
            deviation_of="population" if settings.preset == "paper" else "sample",
        )

    @made_once
    def survey_pairs(self) -> SurveyPairs:
        """Explanation, score and ablation of a survey's pairs (method.md, section 12)."""
        from tui_lookups.answering.survey_pairs import SurveyPairs

        return SurveyPairs(
            self.engine,
            self.desk,
            self.heads,
            self.examples,
            self.explaining,
            self.head_scores,
            self.prompt_lists,
            self.prompts,
        )

    def against(self, other: str) -> TwoModels:
        """The Explorer's model and another one, which is held as long as this one is."""
        from tui_lookups.answering.two_models import TwoModels

        engine = self.engine
        with self.making:
            if other not in self._against:
                self._against[other] = TwoModels(engine, other, self._results)
            return self._against[other]

    # --- never waiting ---

    @property
    def _scan_made(self) -> ScanSession | None:
        scan: ScanSession | None = vars(self).get("scan")
        return scan

    def status(self, problems: tuple[str, ...]) -> Status:
        """See `Explorer.status`; `problems` are those of the cache."""
        from tui_lookups.results.status import Status

        settings, engine = self.settings, self._opened
        if engine is None:
            stage: Stage = "failed" if self._failure else "starting"
            return Status(
                stage, self._failure, settings.device, settings.dtype, None, None, None, asked=settings.model
            )
        info, corpus, loaded = engine.opened_so_far()
        scan = None if self._scan_made is None else self._scan_made.progress
        stage = "failed" if engine.error else "loading"
        done = scan is not None and scan.state == "done"  # what is asked then may all be in the cache
        if stage == "loading" and (loaded or (done and not engine.awaited)):
            stage = "ready"
        if stage == "loading" and engine.doing.stopped:
            stage = "stopped"
        busy = stage == "loading" or engine.tokenising  # a long corpus, with the model ready
        loading = engine.doing.progress if busy and not engine.error else None
        message = str(engine.error) if engine.error else "" if loading is None else loading.sentence
        corpus_info = None if corpus is None else corpus.info
        return Status(
            stage, message, engine.device, settings.dtype, info, corpus_info, scan, settings.layers, problems,
            settings.model, loading,
        )  # fmt: skip

    @property
    def problems(self) -> tuple[str, ...]:
        """What the cache refused, dropped or could not keep so far: the first sentence of each kind.

        Of sentences that begin alike, up to a colon: a full cache keeps none of many results.
        """
        first: dict[str, str] = {}
        engine = self._opened
        for problem in () if engine is None else engine.cache.problems:
            first.setdefault(problem.partition(":")[0], problem)
        return tuple(first.values())

    def start(self) -> None:
        """See `Explorer.start`."""

        if self._opened is not None:
            self._opened.doing.stopped = False

        def work() -> None:
            try:
                self.scan.go_on()
                self.engine.on_model(lambda model, poll: None, loading=True)
            except (Cancelled, LoadingStoppedError):
                return
            except Exception as error:  # noqa: BLE001 - a thread's boundary: said in the status
                engine = self._opened
                if engine is not None:
                    engine.error = as_lookups_error(error)

        threading.Thread(target=work, name="lookups-start", daemon=True).start()

    def stop_scan(self) -> None:
        """See `Explorer.stop_scan`."""
        if self._scan_made is not None:
            self._scan_made.stop()

    def stop_loading(self) -> None:
        """See `Explorer.stop_loading`."""
        if self._opened is not None:
            self._opened.doing.stopped = True

    def request_checkpoint(self) -> None:
        """See `Explorer.request_checkpoint`; a signal's handler calls it, and it takes no lock."""
        if self._scan_made is not None:
            self._scan_made.request_checkpoint()

    def close(self) -> str:
        """See `Explorer.close`."""
        self._closed = True
        engine, scan = self._opened, self._scan_made
        if "sessions" in vars(self):
            self.sessions.close()
        for models in tuple(self._against.values()):
            models.close()
        if engine is None:
            return ""
        lost = engine.close(scan.checkpoint if scan is not None and scan.unsaved else None)
        if "traces" in vars(self):
            self.traces.let_go()
        if scan is not None:
            scan.close()
        return lost
