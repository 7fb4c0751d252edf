"""The Explorer: its questions, each answered by the service of its subject (services.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tui_lookups.errors import Cancelled
from tui_lookups.explorer.comparisons import Comparisons
from tui_lookups.explorer.exact_sums import ExactSums
from tui_lookups.explorer.groups import Groups
from tui_lookups.explorer.services import Question, Services
from tui_lookups.explorer.surveys import Surveys
from tui_lookups.explorer.walk_questions import WalkQuestions
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken
from tui_lookups.progress import heard_by

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.head_scores import HeadScores
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.progress import Hear
    from tui_lookups.settings import Settings

T = TypeVar("T")


class Explorer(Comparisons, ExactSums, Groups, Surveys, WalkQuestions):
    """Answers questions about one model and one corpus. Cheap to make: nothing is opened or imported yet."""

    def __init__(self, settings: Settings, *, results: Path | None = None) -> None:
        """`results`: a folder for everything that is worked out, in place of the cache folder's own."""
        self.settings = settings
        self._services = Services(settings, results)
        self._met: tuple[str, ...] = ()  # problems of the cache

    @property
    def _engine(self) -> Engine:
        return self._services.engine

    @property
    def _scan(self) -> ScanSession:
        return self._services.scan

    @property
    def explaining(self) -> Explaining:
        """Explanations of heads (method.md, section 5)."""
        return self._services.explaining

    @property
    def head_scores(self) -> HeadScores:
        """Scores of explanations (method.md, section 5)."""
        return self._services.head_scores

    # --- not blocking ---

    def status(self) -> answer.Status:
        """What is being done, for a header: never blocks, never computes."""
        return self._services.status(self._met)

    def start(self) -> None:
        """Load the model and scan the corpus in the background; what goes wrong appears in `status`.

        What was stopped goes on.
        """
        self._services.start()

    def stop_scan(self) -> None:
        """Stop the scan after the batch under way, with a checkpoint, until `start`; never waits.

        What it has goes on being answered; a question that waits for the whole scan starts it again.
        """
        self._services.stop_scan()

    def stop_loading(self) -> None:
        """Stop the loading of the model's weights, between two tensors, until `start`; never waits.

        What is cached goes on being answered; what needs the model raises LoadingStoppedError.
        """
        self._services.stop_loading()

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Question:
        """Run a blocking question on a thread of its own; one of the callbacks is called on that thread.

        After `Question.cancel()` neither is, model work for it that waits is dropped, and a forward pass
        for it is interrupted between blocks.
        """
        token = CancelToken()
        asked = Question(token)

        def work() -> None:
            CURRENT_TOKEN.set(token)
            try:
                try:
                    with heard_by(asked.hear):
                        answer = question()
                finally:
                    self._met = self.problems
            except Cancelled:
                return
            except BaseException as error:  # noqa: BLE001 - a thread's boundary: handed to the asker
                if not token.cancelled:
                    failed(error)
                return
            if not token.cancelled:
                done(answer)

        threading.Thread(target=work, name="lookups-question", daemon=True).start()
        return asked

    def request_checkpoint(self) -> None:
        """Have the scan, where one runs, write a checkpoint after the batch under way; never waits."""
        self._services.request_checkpoint()

    # --- explanations and their scores (method.md, section 5); more in `explaining` and `head_scores` ---

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
        api_key: str | None = None,
    ) -> answer.Explanation:
        """In what contexts a head is active, in words; see `Explaining.explain`."""
        return self.explaining.explain(neuron, head, fresh=fresh, on_text=on_text, api_key=api_key)

    def score_explanation(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> answer.ExplanationScore:
        """How well words predict a head's activity on held-out prompts; see `HeadScores.score`."""
        return self.head_scores.score(
            neuron, head, explanation=explanation, control=control, fresh=fresh, progress=progress,
            api_key=api_key,
        )  # fmt: skip

    def explanations(self, query: str = "") -> answer.ExplainedList:
        """Everything explained so far that every word of `query` is found in, newest first."""
        return self.explaining.explanations(query)

    # --- revisions of the model (revisions.py) ---

    def over_revisions(
        self, neuron: NeuronId, names: tuple[str, ...], *, token: str | None = None, prompts: bool = False
    ) -> answer.NeuronOverRevisions:
        """One neuron at several revisions of the Explorer's model, each opened beside it, one at a time.

        See method.md, sections 2 to 4.

        Args:
            names: of branches, tags or commits; the last one says what is followed.
            token, prompts: as in `Revisions.neuron`.
        Raises:
            LookupsError: the model has no revisions, or fewer than two are named.
            ModelLoadError: one of them is not there.
        """
        from tui_lookups.explorer.revisions import beside

        return beside(Explorer, self.settings, names).neuron(neuron, token=token, prompts=prompts)

    # --- exports (tui_lookups.exports) ---

    def provenance(self) -> answer.Provenance:
        """What an export is made with: model, corpus and every parameter its answers depend on."""
        from tui_lookups.answering.cache_keys import choices

        conventions = self._engine.conventions()
        return self._engine.provenance(
            corpus=True, top=self.settings.top, seed=conventions.seed, **choices("overview", conventions)
        )
