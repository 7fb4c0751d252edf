"""What every part of the Explorer stands on: the engine, the services, and what never blocks.

1. Nothing is opened or imported when an Explorer is made; `_services` is made at the first question that is
   not about congruence.
2. `status`, `start`, `ask` and `close` never wait for the model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from tui_lookups import results
from tui_lookups.answering import checks
from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.answering.background import Question, ask, begin
from tui_lookups.answering.congruence_service import CongruenceService
from tui_lookups.answering.engine import Engine
from tui_lookups.results.firing import firing_sign
from tui_lookups.settings import Settings

if TYPE_CHECKING:
    from tui_lookups.answering.head_service import HeadService
    from tui_lookups.answering.prediction_service import PredictionService
    from tui_lookups.answering.prompt_service import PromptService
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.answering.services import Services
    from tui_lookups.results import (
        CacheInfo,
        CorpusInfo,
        FirstView,
        ModelInfo,
        Sign,
        Status,
        Token,
        TokenMatch,
    )

T = TypeVar("T")


def in_brief(problems: Sequence[str]) -> tuple[str, ...]:
    """The first of the sentences that begin alike, up to a colon: a full cache keeps none of many results."""
    first: dict[str, str] = {}
    for problem in problems:
        first.setdefault(problem.partition(":")[0], problem)
    return tuple(first.values())


class Opened:
    """A model, a corpus and a cache by their settings; nothing is read before it is asked for."""

    def __init__(self, settings: Settings, *, results: Path | None = None) -> None:
        """`results`: a folder for everything that is worked out, in place of the cache folder's own."""
        self.settings = settings
        self._engine = Engine(settings, results)
        self._atlas = AtlasService(self._engine)
        self._congruence = CongruenceService(self._engine, self._atlas)
        self._services_lock = threading.Lock()
        self._made_services: Services | None = None
        self._met: tuple[str, ...] = ()

    @property
    def _services(self) -> Services:
        """What is not about congruence: made, and imported, when it is first needed.

        A token's neurons come from the cache within a second of the launch; NumPy alone would take a good
        part of it.
        """
        with self._services_lock:
            if self._made_services is None:
                from tui_lookups.answering.services import Services

                self._made_services = Services(self._engine, sign=lambda: self._sign(None))
            return self._made_services

    @property
    def _scan(self) -> ScanSession:
        return self._services.scan

    @property
    def _prompts(self) -> PromptService:
        return self._services.prompts

    @property
    def _heads(self) -> HeadService:
        return self._services.heads

    @property
    def _predictions(self) -> PredictionService:
        return self._services.predictions

    # --- not blocking ---

    def status(self) -> Status:
        """What is being done, for a header: never blocks, never computes."""
        engine = self._engine
        info, corpus, loaded = engine.known()
        scan = None if self._made_services is None else self._made_services.scan.progress
        stage: Literal["loading", "ready", "failed"] = "failed" if engine.error else "loading"
        done = scan is not None and scan.state == "done"  # what is asked then may all be in the cache
        if stage == "loading" and (loaded or (done and not engine.awaited)):
            stage = "ready"
        busy = stage == "loading" or engine.tokenising  # a long corpus, with the model ready
        message = str(engine.error) if engine.error else engine.message if busy else ""
        known = None if corpus is None else corpus.info
        settings = self.settings
        return results.Status(
            stage,
            message,
            engine.device,
            settings.dtype,
            info,
            known,
            scan,
            settings.layers,
            self._met,
            settings.model,
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What the cache refused, dropped or could not keep so far: the first sentence of each kind.

        May wait while the cache is opened; `status` has what was known when the last `ask` was answered.
        """
        return in_brief(self._engine.cache.problems)

    def start(self) -> None:
        """Load the model and scan the corpus in the background; what goes wrong appears in `status`."""

        def work() -> None:
            self._scan.start()
            self._engine.on_model(lambda model, poll: None, loading=True)

        begin(self._engine, work)

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        """Run a blocking question on a thread of its own; one of the callbacks is called on that thread.

        After `Question.cancel()` neither is, model work for it that waits is dropped, and a forward pass
        for it is interrupted between blocks.
        """

        def heeding() -> T:
            try:
                return question()
            finally:
                self._met = self.problems

        return ask(heeding, done, failed)

    def request_checkpoint(self) -> None:
        """Have the scan, where one runs, write a checkpoint after the batch under way; never waits."""
        if self._made_services is not None:
            self._made_services.scan.request_checkpoint()

    def close(self) -> str:
        """Checkpoint the scan, stop all work, let go of model and cache, in well under a second.

        Returns:
            What of the scan's work could not be kept, in a sentence; empty where nothing was lost.
        """
        services = self._made_services
        lost = self._engine.close(
            services.scan.checkpoint if services is not None and services.scan.unsaved else None
        )
        if services is not None:
            services.scan.close()
        return lost

    # --- model, corpus, vocabulary ---

    def model_info(self) -> ModelInfo:
        return self._engine.model_info()

    def model_fingerprint(self) -> str:
        """Content hash of the model's files; loads no weights."""
        return self._engine.local().fingerprint

    def corpus_info(self) -> CorpusInfo:
        return self._engine.corpus().info

    def resolve_token(self, text: str) -> TokenMatch:
        """What a typed text is in the vocabulary; "#123" is a token id."""
        return self._engine.vocabulary().match(text)

    def complete_token(self, text: str, limit: int = 20) -> tuple[Token, ...]:
        """Tokens that begin with `text`."""
        return self._engine.vocabulary().complete(text, limit)

    def first_view(self) -> FirstView:
        """The token and neuron to open with when nothing was asked for (the rule: opening.first_view)."""
        return self._congruence.first_view()

    # --- cache ---

    def cache_info(self) -> CacheInfo:
        return self._engine.cache.info()

    def cache_stale(self) -> tuple[str, ...]:
        """Sentences about what the cache holds in a format that this version does not read."""
        return self._engine.cache.stale()

    def cache_verify(self) -> tuple[str, ...]:
        """Hold every cached entry to its checksum; sentences about what was damaged and dropped."""
        return self._engine.cache.verify()

    def cache_clear(self) -> CacheInfo:
        """Empty the cache and say what is left: what another process is writing to, say."""
        return self._engine.cache.clear()

    # --- helpers ---

    def _ranking_sign(self, sign: Sign | None) -> Sign:
        """The sign of congruence that is ranked by: "+" unless asked for otherwise."""
        checks.check_sign(sign)
        return sign or ("+" if self.settings.sign == "auto" else self.settings.sign)

    def _sign(self, sign: Sign | None) -> Sign:
        """The sign of firing that counts."""
        checks.check_sign(sign)
        if sign is not None:
            return sign
        setting = self.settings.sign
        return firing_sign(setting, gated=setting == "auto" and self._engine.model_info().gated)
