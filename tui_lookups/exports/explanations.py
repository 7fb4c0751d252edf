"""The explanations of an export, as far as they can be worked out without asking a language model again.

1. Recomputed with the model: which prompts the explainer and the scorer were given, and on which of them the
   head is active.
2. Recomputed from the exported answers: every figure of the score, of its shuffled labels and its control.
3. The words and the answers themselves are held against the cache where that has them; where it has not,
   they are named as not recomputed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.scoring import figures, shuffled
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.exports.comparing import Comparison, pointer
from tui_lookups.exports.document import ExportedHead
from tui_lookups.exports.provenances import alike
from tui_lookups.exports.verification import NotRecomputed
from tui_lookups.results import (
    ExampleAnswer,
    Explained,
    Explanation,
    ExplanationScore,
)
from tui_lookups.storage.codec import to_plain

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

_NOT_ASKED = (
    "What a language model wrote is not asked for again, and this cache does not hold it. "
    "Head, source and the number of prompts were recomputed."
)
_NOT_SAID = (
    "What a language model answered is not asked for again, and this cache does not hold it. "
    "Prompts, labels and, from the exported answers, the figures were recomputed."
)
_BY_HAND = "A person wrote it, and this cache does not hold it."


class ExplanationsCheck:
    """Compares the explanations of an export, and collects what was not recomputed."""

    def __init__(self, explorer: Explorer, store: ExplainedStore, comparison: Comparison) -> None:
        self._explorer = explorer
        self._store = store
        self._comparison = comparison
        self.not_recomputed: list[NotRecomputed] = []

    def check(self, head: ExportedHead, at: str) -> None:
        """Everything that is said of one exported head."""
        about, score = head.explanation, head.explanation_score
        if about is None:
            if score is not None:
                self._left(pointer(at, "explanation_score"), "It belongs to no explanation.")
            return
        ours = self._store.get(about)
        self._explanation(head, about, ours, pointer(at, "explanation"))
        if score is not None:
            self._score(head, score, ours, pointer(at, "explanation_score"))

    def _left(self, where: str, reason: str) -> None:
        self.not_recomputed.append(NotRecomputed(where, reason))

    def _subject(self, head: ExportedHead, plain: dict[str, Any], at: str) -> None:
        """It is about this head, of this model and corpus, with these parameters."""
        self._same(plain, {"neuron": str(head.neuron), "head": str(head.head)}, at)
        ours = to_plain(self._explorer.explaining.provenance())
        self._comparison.compare(*alike(plain["provenance"], ours), pointer(at, "provenance"))

    def _same(self, exported: dict[str, Any], recomputed: dict[str, Any], at: str) -> None:
        """Compare the keys that `recomputed` has."""
        self._comparison.compare({key: exported[key] for key in recomputed}, recomputed, at)

    def _explanation(self, head: ExportedHead, about: Explanation, known: Explained | None, at: str) -> None:
        plain = to_plain(about)
        try:
            active, inactive = self._explorer.explaining.shown(head.neuron, head.head)
        except LookupsError as error:
            self._comparison.missing(pointer(at, "active"), about.active, error.message)
        else:
            self._same(plain, {"active": active, "inactive": inactive}, at)
        self._subject(head, plain, at)
        if known is not None:
            self._comparison.compare(_words(plain), _words(to_plain(known.explanation)), at)
        else:
            self._left(at, _BY_HAND if about.author == "person" else _NOT_ASKED)

    def _score(self, head: ExportedHead, score: ExplanationScore, known: Explained | None, at: str) -> None:
        plain = to_plain(score)
        self._subject(head, plain, at)
        try:
            examples, labels, _ = self._explorer.head_scores.held_out(head.neuron, head.head)
        except LookupsError as error:
            self._comparison.missing(pointer(at, "active"), score.active, error.message)
            return
        counts = {
            "active": sum(labels),
            "inactive": len(labels) - sum(labels),
            "single_class": len(set(labels)) < 2,
        }
        self._same(plain, counts, at)
        asked = [] if counts["single_class"] else list(zip(examples, labels, strict=True))
        numbers = [(example.prompt_id, label) for example, label in asked]
        answers = self._answers(score.answers, plain["answers"], numbers, pointer(at, "answers"))
        if answers is None:
            return  # as many answers as prompts, or there is nothing to hold against each other
        self._same(plain, {"score": to_plain(figures(answers))}, at)
        drawn = None if score.shuffled is None else shuffled(answers, self._explorer.settings.seed)
        self._same(plain, {"shuffled": None if drawn is None else to_plain(drawn)}, at)
        if score.control is not None:
            path = pointer(at, "control")
            said = self._answers(
                score.control.answers, plain["control"]["answers"], numbers, pointer(path, "answers")
            )
            if said is not None:
                self._same(plain["control"], {"score": to_plain(figures(said))}, path)
        self._said(score, plain, None if known is None else known.score, at)

    def _answers(
        self,
        answers: tuple[ExampleAnswer, ...],
        plain: list[dict[str, Any]],
        numbers: list[tuple[int, bool]],
        at: str,
    ) -> list[ExampleAnswer] | None:
        """The exported answers on the recomputed prompts and labels; None where there are not as many."""
        if len(answers) != len(numbers):
            self._comparison.compare(plain, [{}] * len(numbers), at)
            return None
        for number, (row, (prompt_id, active)) in enumerate(zip(plain, numbers, strict=True)):
            self._same(row, {"prompt_id": prompt_id, "active": active}, pointer(at, number))
        return [replace(answer, active=active) for answer, (_, active) in zip(answers, numbers, strict=True)]

    def _said(
        self, score: ExplanationScore, plain: dict[str, Any], known: ExplanationScore | None, at: str
    ) -> None:
        if known is None or known.created != score.created:
            self._left(at, _NOT_SAID)
        else:
            self._comparison.compare(_words(plain), _words(to_plain(known)), at)


def _words(plain: dict[str, Any]) -> dict[str, Any]:
    """What is left to compare with the cache when subject, source and figures have been recomputed."""
    done = ("neuron", "head", "provenance", "active", "inactive", "single_class", "score", "shuffled")
    words = {key: value for key, value in plain.items() if key not in done}
    if words.get("control") is not None:
        words["control"] = {key: value for key, value in words["control"].items() if key != "score"}
    return words
