"""What the Explorer answers from beyond congruence: scan, prompts, heads, predictions, explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.answering.example_book import ExampleBook
from tui_lookups.answering.explaining import Explaining
from tui_lookups.answering.head_book import HeadBook
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.answering.prediction_book import PredictionBook
from tui_lookups.answering.prompt_book import PromptBook
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.store import ExplainedStore

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadOverview, Sign


class Books:
    """One of each, for one Explorer, which says by `sign` what sign of firing counts."""

    def __init__(self, engine: Engine, *, sign: Callable[[], Sign]) -> None:
        def overview(neuron: NeuronId) -> HeadOverview:
            return self.heads.overview(neuron, trimmed=True, sign=sign(), wait=True)

        self.scan = ScanSession(engine)
        self.prompts = PromptBook(engine, self.scan)
        self.heads = HeadBook(engine, self.scan, self.prompts)
        self.predictions = PredictionBook(engine)
        examples = ExampleBook(engine, self.scan, sign=sign, overview=overview)
        desk, shelf = RequestDesk(engine.settings, engine.cache), ExplainedStore(engine.cache)
        self.explaining = Explaining(desk, shelf, examples)
        self.head_scores = HeadScores(desk, shelf, examples, self.explaining, seed=engine.settings.seed)
