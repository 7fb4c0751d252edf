"""What the Explorer answers from beyond congruence: scan, prompts, heads, predictions, explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.answering.example_service import ExampleService
from tui_lookups.answering.explaining import Explaining
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.answering.head_service import HeadService
from tui_lookups.answering.prediction_service import PredictionService
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.store import ExplainedStore

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadOverview, Sign


class Services:
    """One of each, for one Explorer, which says by `sign` what sign of firing counts."""

    def __init__(self, engine: Engine, *, sign: Callable[[], Sign]) -> None:
        def overview(neuron: NeuronId) -> HeadOverview:
            return self.heads.overview(neuron, trimmed=True, sign=sign(), wait=True)

        self.scan = ScanSession(engine)
        self.prompts = PromptService(engine, self.scan)
        self.heads = HeadService(engine, self.scan, self.prompts)
        self.predictions = PredictionService(engine)
        examples = ExampleService(engine, self.scan, sign=sign, overview=overview)
        desk, store = RequestDesk(engine.settings, engine.cache), ExplainedStore(engine.cache)
        self.explaining = Explaining(desk, store, examples)
        settings = engine.settings
        self.head_scores = HeadScores(
            desk,
            store,
            examples,
            self.explaining,
            seed=settings.seed,
            deviation_of="population" if settings.preset == "paper" else "sample",
        )
